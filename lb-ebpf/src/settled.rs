//! A packet to a service whose pool is [settled](lb_common::layout::Pool::SETTLED): the ring says whose it is, and its flow is looked
//! up only so that its time and state go on.

use lb_common::flow::{Key as _, Lately, State, changes};

use network_types::ip::IpProto;

use crate::{
    family::Family, lookup::Rows as _, maps, opening::AGAIN, pick::named_by_ring, service::Found,
    verdict::Outcome,
};

/// The packet in this CPU's scratch row: an [`crate::verdict::Outcome`] by the ring if its flow was seen lately, and else [`AGAIN`]. Then
/// the flow is looked up, and if the packet changes nothing, it is noted that it was.
///
/// Apart from the way of other packets, for the verifier would follow both together.
#[inline(always)]
pub(crate) fn settled<F: Family>(service: u32) -> u64 {
    try_settled::<F>(service).map_or(AGAIN, |row| Outcome::new(row, false).word())
}

#[inline(always)]
fn try_settled<F: Family>(service: u32) -> Option<u16> {
    let (service, work) = (Found::at(service)?, F::work()?);
    // SAFETY: the row is this CPU's own, and one packet uses it at a time.
    let (packet, hash, now) = unsafe { (&(*work).packet, (*work).hash, (*work).now) };
    let lately = lately(hash, now)?;
    if changes(packet.flags) {
        lately.forget();
        return None;
    }
    if lately.has() {
        let row = named_by_ring(&service, packet)?;
        // Nothing is settled as soon as it is published: so this is the pool whose ring was asked.
        return if service.pool().is_settled() { Some(row) } else { None };
    }
    let state = if packet.key.protocol() == IpProto::Udp as u8 { State::Udp } else { State::Established };
    // SAFETY: the row lies in the map.
    unsafe { lately.note(maps::TIMEOUTS.row(0)?, state) };
    None
}

/// The flow that was noted is in no steady state, or unknown: its next packet is to find it in the table.
#[inline(always)]
pub(crate) fn forget(hash: u32, now: u32) {
    if let Some(lately) = lately(hash, now) {
        lately.forget();
    }
}

/// What this CPU has seen lately of flows with a hash.
#[inline(always)]
fn lately(hash: u32, now: u32) -> Option<Lately> {
    // SAFETY: the word lies in the map, and is this CPU's own.
    Some(unsafe { Lately::of(maps::lately(hash)?, hash, now) })
}
