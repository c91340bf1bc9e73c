//! What most connections that begin are: one function does all there is to do for them.

use lb_common::{
    flow::{Key as _, Word, tag},
    opening::{begins_plainly, first},
};

use crate::{
    family::Family,
    flow::{Target, Work, flows},
    limit, maps,
    opening::{AGAIN, Phase},
    pick,
    service::Found,
    settled,
    verdict::Outcome,
};

/// The packet in this CPU's scratch row, for which most have a shorter way than [`crate::opening::open`]: an [`Outcome`].
#[inline(always)]
pub(crate) fn open_anew<F: Family>(service: u32) -> u64 {
    match F::open_plainly(service) {
        AGAIN => F::open(service),
        outcome => outcome,
    }
}

/// The whole way of what most connections are: the flow table has nothing of the packet, its service's policy nothing to say, the
/// server that is picked is reached, and a slot of the flow's bucket is free. Else [`AGAIN`], and the row says how far the packet
/// has come.
#[inline(always)]
pub(crate) fn open_plainly<F: Family>(service: u32) -> u64 {
    let Some(work) = F::work() else { return AGAIN };
    // SAFETY: the row is this CPU's own, and one packet uses it at a time.
    try_plainly::<F>(service, unsafe { &mut *work }).map_or(AGAIN, Outcome::word)
}

#[inline(always)]
fn try_plainly<F: Family>(service: u32, work: &mut Work<F::Key>) -> Option<Outcome> {
    let service = Found::at(service)?;
    let (about, port) = ((work.packet.key.protocol(), work.packet.flags), work.packet.key.client_port());
    if !begins_plainly(service.info.scheduler, about, port) || service.info.port != work.packet.key.vip_port()
    {
        return None;
    }
    if maps::has(maps::SETTLES) && service.pool().is_settled() {
        settled::begins(about.0, work.hash, work.now);
    }
    let picked = pick::pick_at_once(&service, &work.packet)?;
    let target = Target::new(picked.server, None).ok()?;
    let flow = Word::new(target.row, target.generation, tag(work.hash), first(about.0, about.1));
    // Where it is not recorded, another CPU may have done so.
    work.phase = Phase::Found as u32;
    if !flows::<F>(work.hash).insert_free(&work.packet.key, flow, work.now, || picked.take()) {
        return None;
    }
    limit::changed(target.row);
    Some(Outcome::new(target.row, true))
}
