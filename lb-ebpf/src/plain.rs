//! What most connections that begin are: one function does all there is to do for them.

use lb_common::{
    flow::{Key as _, Word, tag},
    opening::{begins_plainly, first},
};

use crate::{
    family::{Family, Packet},
    flow::{Target, flows},
    limit,
    opening::AGAIN,
    pick,
    service::Found,
    settled,
    verdict::Outcome,
};

/// The whole way of what most connections are: the flow table has nothing of the packet, its service's policy nothing to say, the
/// server that is picked is reached, and a slot of the flow's bucket is free: an [`Outcome`]. Else [`AGAIN`], or [`FOUND`].
#[inline(always)]
pub(crate) fn open_plainly<F: Family>(service: u32, packet: &Packet<F::Key>, hash: u32, now: u32) -> u64 {
    try_plainly::<F>(service, packet, hash, now).unwrap_or(AGAIN)
}

/// Not recorded: somebody else may have done so.
pub(crate) const FOUND: u64 = AGAIN | 1;

#[inline(always)]
fn try_plainly<F: Family>(service: u32, packet: &Packet<F::Key>, hash: u32, now: u32) -> Option<u64> {
    let service = Found::at(service)?;
    let (about, port) = ((packet.key.protocol(), packet.flags), packet.key.client_port());
    if !begins_plainly(service.info.scheduler, about, port) || service.info.port != packet.key.vip_port() {
        return None;
    }
    let picked = pick::pick_at_once(&service, packet)?;
    let target = Target::new(picked.server, None).ok()?;
    let flow = Word::new(target.row, target.generation, tag(hash), first(about.0, about.1));
    if !flows::<F>(hash).insert_free(&packet.key, flow, now, || picked.take()) {
        return Some(FOUND);
    }
    settled::begins(&service, about.0, hash, now);
    limit::changed(target.row);
    Some(Outcome::new(target.row, true).word())
}
