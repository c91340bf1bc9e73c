//! A new connection: the scheduler picks a real server, the flow table keeps the choice.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use lb_common::{
    counters::Counter,
    flow::{Atomic as _, Hit, Inserted},
    layout::{Pool, ServerState},
    sched::{Cursor, Scheduler, Walk},
};

use crate::{
    family::{Family, Packet},
    flow::{Bpf, Place, Target},
    maps,
    service::Found,
    verdict::{Verdict, drop, pass},
};

/// How often a pick is repeated because another CPU picked at the same moment. The last one stands all the same:
/// then two connections in a row went to one server.
const ATTEMPTS: u32 = 3;

/// The server that the packet's new connection goes to, and whether this packet is the one that opened it.
#[inline(always)]
pub(crate) fn schedule<F: Family>(
    service: &Found,
    packet: &Packet<F::Key>,
    place: &Place<F>,
    stale: Option<Hit>,
) -> Result<(Target, bool), Verdict> {
    let row = pick(service).ok_or(pass(Counter::PassNoServer))?;
    let target = Target::new(row, None).map_err(|state| match state {
        ServerState::Unresolved => drop(Counter::DropUnresolved),
        _ => pass(Counter::PassNoServer),
    })?;
    match place.record(packet, &target, stale)? {
        // Another CPU opened the same connection a moment ago; its choice stands.
        Inserted::Existing(flow) => {
            let target =
                Target::new(flow.server, Some(flow.generation)).map_err(|_| pass(Counter::PassNoServer))?;
            Ok((target, false))
        }
        _ => Ok((target, true)),
    }
}

/// Row in `servers` of the scheduler's pick.
#[inline(always)]
fn pick(service: &Found) -> Option<u16> {
    let scheduler = Scheduler::from_number(service.info.scheduler)?;
    let cursor_word = maps::CURSORS.get_ptr_mut(u32::from(service.info.id))?.cast::<u64>();
    let mut picked = None;
    let mut attempt = 0;
    while attempt < ATTEMPTS {
        let pool = service.pool();
        // SAFETY: the word is the row's first, aligned, and changed atomically.
        let old = unsafe { Bpf::load(cursor_word) };
        let mut cursor: Cursor = bytemuck::must_cast(old);
        let is_current = cursor.epoch == pool.epoch;
        if !is_current {
            // The controller is about to publish another pool: this pick takes the old one from its head.
            cursor = Cursor { place: 0, threshold: 1, highest: 1, epoch: pool.epoch };
        }
        let (server, cursor) = Search::run(scheduler, cursor, pool)?;
        picked = Some(server);
        let new: u64 = bytemuck::must_cast(cursor);
        // SAFETY: as for the load.
        let is_stored = !is_current || unsafe { Bpf::compare_exchange(cursor_word, old, new) } == old;
        // The pool's rows may have been given to its next publication while they were read.
        if is_stored && service.pool() == pool {
            break;
        }
        attempt += 1;
    }
    picked
}

/// A walk over a pool's rows, in the kernel's loop helper: the verifier sees one step and not a thousand.
struct Search {
    walk: Walk,
    base: u32,
    server: u16,
    taken: Option<Cursor>,
}

impl Search {
    #[inline(always)]
    fn run(scheduler: Scheduler, cursor: Cursor, pool: Pool) -> Option<(u16, Cursor)> {
        let walk = Walk::new(scheduler, cursor, pool.len)?;
        let steps = walk.steps();
        let mut search = Self { walk, base: pool.base, server: 0, taken: None };
        // SAFETY: the helper calls `step` with the search, which outlives the call.
        unsafe { bpf_loop(steps, step as *mut c_void, (&raw mut search).cast(), 0) };
        search.taken.map(|cursor| (search.server, cursor))
    }
}

/// One step of a search; 1 ends it.
///
/// # Safety
/// `search` is what [`Search::run`] gave to the helper.
#[inline(never)]
unsafe extern "C" fn step(_index: u32, search: *mut Search) -> i64 {
    // SAFETY: the contract.
    let search = unsafe { &mut *search };
    let Some(member) = maps::MEMBERS.get(search.base + u32::from(search.walk.place())) else { return 1 };
    search.server = member.server;
    search.taken = search.walk.offer(member.weight);
    i64::from(search.taken.is_some())
}
