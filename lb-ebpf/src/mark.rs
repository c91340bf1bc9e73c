//! Firewall marks: what netfilter would have written on the packet if it saw it first, by a list of rules of our own.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use lb_common::{
    flow::Key,
    layout::{Address, MARK_PROTOCOL, MAX_MARK_RULES, MarkRule},
};

use crate::{
    family::{Family, Packet},
    lookup::Rows as _,
    maps,
    service::{Found, look_up, presence},
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

/// The service by firewall mark of the packet in this CPU's scratch row: its number, behind it the row of `leases` under
/// which this node may serve it, and a bit that says that there is one. Whoever owns the address decides, for those of one
/// mark may be several routers'.
#[inline(always)]
pub(crate) fn classify<F: Family>() -> u64 {
    try_classify::<F>().map_or(0, |service| {
        let lease = service.info.lease;
        FOUND | u64::from(lease) << LEASE_SHIFT | u64::from(service.number)
    })
}

/// What [`classify`] said.
#[inline(always)]
pub(crate) fn found(said: u64) -> Option<Found> {
    if said & FOUND == 0 {
        return None;
    }
    Some(Found::at(said as u32)?.under((said >> LEASE_SHIFT) as u16))
}

const LEASE_SHIFT: u32 = 32;
const FOUND: u64 = 1 << 48;

#[inline(always)]
fn try_classify<F: Family>() -> Option<Found> {
    let work = F::work()?;
    // SAFETY: the row is this CPU's own, and one packet uses it at a time.
    let packet = unsafe { &(*work).packet };
    let service = look_up(&Address::mark(F::IS_V6, mark(packet)?), 0, MARK_PROTOCOL)?;
    let lease = presence(&packet.key.vip()).map_or(service.info.lease, |owned| owned.info.lease);
    Some(service.under(lease))
}

#[inline(always)]
fn mark<K: Key>(packet: &Packet<K>) -> Option<u32> {
    let search = maps::CLASSIFIED.row(0)?;
    let key = &packet.key;
    // SAFETY: the row is this CPU's own, and one packet uses it at a time.
    unsafe {
        *search = Classified {
            source: key.client(),
            destination: key.vip(),
            port: key.vip_port(),
            protocol: key.protocol(),
            found: false,
            mark: 0,
        };
        bpf_loop(MAX_MARK_RULES as u32, step as *mut c_void, core::ptr::null_mut(), 0);
        (*search).found.then_some((*search).mark)
    }
}

/// Looks at one rule; 1 ends the search.
#[inline(never)]
extern "C" fn step(index: u32, _context: *mut c_void) -> i64 {
    let (Some(rule), Some(search)) = (maps::MARK_RULES.row(index), maps::CLASSIFIED.row(0)) else {
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
