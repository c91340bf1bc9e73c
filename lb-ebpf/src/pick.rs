//! A new connection: the scheduler picks a real server, the flow table keeps the choice.

use lb_common::{
    counters::Counter,
    flow::{Atomic as _, Hit, Inserted},
    layout::{MAX_POOL, Member, Pool, ServerState},
    sched::{self, Cursor, Scheduler},
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
        let pick = sched::pick(scheduler, cursor, pool.len.min(MAX_POOL as u16), |at| {
            member(pool, at).map_or(0, |member| member.weight)
        })?;
        picked = member(pool, pick.place).map(|member| member.server);
        let new: u64 = bytemuck::must_cast(pick.cursor);
        // SAFETY: as for the load.
        if !is_current || unsafe { Bpf::compare_exchange(cursor_word, old, new) } == old {
            // The pool's rows may have been given to its next publication while they were read.
            if service.pool() == pool {
                return picked;
            }
        }
        attempt += 1;
    }
    picked
}

#[inline(always)]
fn member(pool: Pool, place: u16) -> Option<Member> {
    maps::MEMBERS.get(pool.base + u32::from(place)).copied()
}
