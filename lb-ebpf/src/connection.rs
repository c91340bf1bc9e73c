//! Whose connection a packet belongs to, where the flow table's answer is plain. All else is `opening`'s.

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use lb_common::{
    counters::Counter,
    flow::{Key as _, RecentSet, Recents, changes, miss, tag},
    opening::{after, begins_plainly, is_by_ring, opens_alone, reopens},
};

use crate::{
    family::{Family, Packet},
    flow::{Target, flows, hash},
    maps,
    opening::{AGAIN, Phase},
    pick::by_ring,
    plain::FOUND,
    service::Found,
    settled,
    verdict::{Outcome, Verdict, drop},
};

/// This CPU's row of the flows of this moment.
#[inline(always)]
fn recents<F: Family>() -> Option<*mut Recents<F::Key>> {
    // SAFETY: a helper without arguments.
    F::recents(unsafe { bpf_get_smp_processor_id() })
}

/// The real server of a packet whose flow's tables need not be asked again, and the row of `leases` under which it goes.
#[inline(always)]
pub(crate) fn known<F: Family>(packet: &Packet<F::Key>, now: u32) -> Option<(Target, u16)> {
    if changes(packet.flags) {
        return None;
    }
    // SAFETY: the row lies in the map, and is this CPU's own.
    let way = unsafe { RecentSet::of(recents::<F>()?, &packet.key, now) }?.find(&packet.key)?;
    Some((Target::by(&way), way.lease))
}

/// The flows among which that of a packet is that was looked for in [`known`].
#[inline(always)]
fn recent<F: Family>(packet: &Packet<F::Key>) -> Option<RecentSet<F::Key>> {
    // SAFETY: the row lies in the map, and is this CPU's own.
    unsafe { RecentSet::again(recents::<F>()?, &packet.key) }
}

/// The packet was asked for in [`known`] in vain, and so will the next one of its kind be.
#[inline(always)]
fn in_vain<F: Family>() {
    if let Some(row) = recents::<F>() {
        // SAFETY: the row lies in the map, and is this CPU's own.
        unsafe { miss(row) };
    }
}

/// Keeps where packets of the flow go for the rest of the moment.
#[inline(always)]
fn keep<F: Family>(service: &Found, packet: &Packet<F::Key>, target: &Target) {
    if !target.is_local
        && let Some(recent) = recent::<F>(packet)
    {
        recent.keep(&packet.key, target.way(service.info.lease));
    }
}

/// The next packet of the flow, which changes, is to ask the tables.
#[inline(always)]
fn forget<F: Family>(packet: &Packet<F::Key>) {
    if let Some(recent) = recent::<F>(packet) {
        recent.forget();
    }
}

/// The real server of a packet to a service, and whether the packet opens its connection. Lets the flow live on. Whether
/// it has expired is the collector's to say.
#[inline(always)]
pub(crate) fn serve<F: Family>(
    service: &Found,
    packet: &Packet<F::Key>,
    now: u32,
) -> Result<(Target, bool), Verdict> {
    if maps::has(maps::BY_RING) && is_by_ring(service.info.scheduler, packet.key.protocol()) {
        return match by_ring(service, packet) {
            Some(target) => {
                in_vain::<F>();
                Ok((target, true))
            }
            None => opened::<F>(service, packet, hash::<F>(&packet.key), now, Phase::Found),
        };
    }
    let hash = hash::<F>(&packet.key);
    let (about, port) = ((packet.key.protocol(), packet.flags), packet.key.client_port());
    let is_settled = maps::has(maps::SETTLES) && service.pool().is_settled();
    if is_settled
        && !opens_alone(about.0, about.1)
        && let Some(target) = settled::server::<F>(service, packet, hash, now)
    {
        keep::<F>(service, packet, &target);
        return Ok((target, false));
    }
    let home = flows::<F>(hash).home().ok_or(drop(Counter::DropFlowTableFull))?;
    // Hardly any of these is of a flow that is there, and who records it finds that out.
    let is_tried = opens_alone(about.0, about.1) && begins_plainly(service.info.scheduler, about, port);
    if is_tried {
        home.fetch();
        if is_settled {
            // What is kept may be by the ring, and of no flow.
            forget::<F>(packet);
        }
        let outcome = F::open_plainly(service.number, packet, hash, now);
        if outcome & AGAIN == 0 {
            return recorded(outcome);
        }
    }
    let found = home.find(&packet.key, tag(hash));
    if let Some(hit) = found
        && !reopens(hit.state(), packet.key.protocol(), packet.flags)
        && let Ok(target) = Target::new(hit.control.server(), Some(hit.control.generation()))
    {
        let next = after(hit.state(), packet.key.protocol(), packet.flags);
        home.touch(&hit, next, now);
        let is_changed = next != hit.state();
        if is_changed {
            forget::<F>(packet);
        } else if next.is_steady() {
            keep::<F>(service, packet, &target);
        }
        if is_settled {
            settled::looked_up(about.0, hash, (hit.seen, now), (is_changed, next));
        }
        if is_changed && maps::has(maps::PERSISTENCE) {
            note::<F>(packet, hash, now, Phase::Found);
            F::confirm(service.number);
        }
        return Ok((target, false));
    }
    if found.is_some() {
        forget::<F>(packet);
    }
    let is_unknown = found.is_none() && home.spilled() == 0;
    let phase = if is_unknown { Phase::Unknown } else { Phase::Found };
    if is_tried {
        note::<F>(packet, hash, now, phase);
        return recorded(F::open(service.number));
    }
    opened::<F>(service, packet, hash, now, phase)
}

/// The same where no plain hit decides: most connections have a shorter way than [`crate::opening::open`].
#[inline(always)]
fn opened<F: Family>(
    service: &Found,
    packet: &Packet<F::Key>,
    hash: u32,
    now: u32,
    phase: Phase,
) -> Result<(Target, bool), Verdict> {
    let mut outcome = F::open_plainly(service.number, packet, hash, now);
    if outcome & AGAIN != 0 {
        note::<F>(packet, hash, now, if outcome == FOUND { Phase::Found } else { phase });
        outcome = F::open(service.number);
    }
    recorded(outcome)
}

/// What an exported function says of the packet, in its real server.
#[inline(always)]
fn recorded(outcome: u64) -> Result<(Target, bool), Verdict> {
    let (row, is_new) = Outcome::from_word(outcome).served()?;
    // It was reachable a moment ago.
    let target = Target::new(row, None).map_err(|_| drop(Counter::DropUnresolved))?;
    Ok((target, is_new))
}

/// Leaves the packet in this CPU's scratch row.
#[inline(always)]
pub(crate) fn note<F: Family>(packet: &Packet<F::Key>, hash: u32, now: u32, phase: Phase) {
    if let Some(work) = F::work() {
        // SAFETY: the row is this CPU's own, and one packet uses it at a time.
        unsafe {
            (*work).packet = *packet;
            (*work).hash = hash;
            (*work).now = now;
            (*work).phase = phase as u32;
        }
    }
}
