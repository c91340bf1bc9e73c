//! Firewall marks: what netfilter would have written on the packet if it saw it first, by a list of rules of our own.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use lb_common::layout::{Address, MAX_MARK_RULES, MarkRule};

use crate::{
    family::{Family, Packet},
    maps,
};

/// What a search through the rules knows.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Classified {
    source: Address,
    destination: Address,
    port: u16,
    protocol: u8,
    /// Rules there are.
    found: bool,
    mark: u32,
}

/// The mark of the packet in this CPU's scratch row, and behind it a bit that says that it has one.
#[inline(always)]
pub(crate) fn classify<F: Family>() -> u64 {
    let (Some(work), Some(search)) = (F::work(), maps::CLASSIFIED.get_ptr_mut(0)) else { return 0 };
    // SAFETY: both rows are this CPU's own, and one packet uses them at a time.
    unsafe {
        let Packet { client, vip, port, protocol, .. } = (*work).packet;
        *search = Classified { source: client, destination: vip, port, protocol, found: false, mark: 0 };
        bpf_loop(MAX_MARK_RULES as u32, step as *mut c_void, core::ptr::null_mut(), 0);
        if (*search).found { 1 << 32 | u64::from((*search).mark) } else { 0 }
    }
}

/// Looks at one rule; 1 ends the search.
#[inline(never)]
extern "C" fn step(index: u32, _context: *mut c_void) -> i64 {
    let (Some(rule), Some(search)) = (maps::MARK_RULES.get_ptr(index), maps::CLASSIFIED.get_ptr_mut(0))
    else {
        return 1;
    };
    // SAFETY: the rule lies in the map and does not change, and the row is this CPU's own.
    let (rule, search): (&MarkRule, &mut Classified) = unsafe { (&*rule, &mut *search) };
    if rule.fits(&search.source, &search.destination, search.port, search.protocol) {
        search.mark = rule.mark;
        search.found = true;
        return 1;
    }
    0
}
