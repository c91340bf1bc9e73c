//! A packet to a service whose pool is [settled](lb_common::layout::Pool::SETTLED): the ring says whose it is, and its flow is looked
//! up only so that its time and state go on.

use lb_common::{
    flow::{Asked, Key as _, Lately, State, Timeouts, changes, is_its_tick, patience},
    opening::FTP_DATA,
};
use network_types::ip::IpProto;

use crate::{
    family::Family, lookup::Rows as _, maps, opening::AGAIN, pick::named_by_ring, service::Found,
    verdict::Outcome,
};

/// The packet in this CPU's scratch row: an [`crate::verdict::Outcome`] by the ring if its flow is not to be looked up, and else
/// [`AGAIN`].
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
    // The first of these is of no connection of ours.
    if packet.key.client_port() == FTP_DATA || changes(packet.flags) {
        return None;
    }
    if is_its_tick(hash, now) || !is_known(packet.key.protocol(), hash, now)? {
        return None;
    }
    let row = named_by_ring(&service, packet)?;
    // Nothing is settled as soon as it is published: so this is the pool whose ring was asked.
    if service.pool().is_settled() { Some(row) } else { None }
}

/// Does the table need to hear nothing of the flow's next packet? Of TCP, unless somebody asks. Of UDP, whose flows begin without a
/// sign, if this CPU has seen the flow lately, which is noted here.
#[inline(always)]
fn is_known(protocol: u8, hash: u32, now: u32) -> Option<bool> {
    if protocol == IpProto::Tcp as u8 {
        return Some(!asked(hash, now)?.is());
    }
    let lately = lately(hash, now)?;
    let is_known = lately.has();
    if !is_known {
        lately.note();
    }
    Some(is_known)
}

/// The flow's next packet is to be looked up, for its state is not yet what it will be.
#[inline(always)]
pub(crate) fn ask(protocol: u8, hash: u32, now: u32) {
    if protocol == IpProto::Tcp as u8 {
        if let Some(asked) = asked(hash, now) {
            asked.ask();
        }
    } else if let Some(lately) = lately(hash, now) {
        lately.forget();
    }
}

/// A packet of this protocol and hash was looked up: its flow was seen at the first tick and at the second, which is now, and is in
/// another state or the same.
#[inline(always)]
pub(crate) fn looked_up(
    protocol: u8,
    hash: u32,
    (seen, now): (u32, u32),
    (is_changed, state): (bool, State),
) {
    heard(hash, now, seen, u32::from(protocol) | u32::from(is_changed) << 8 | (state as u32) << 16);
}

/// The same with its last three in a number: apart, as [`settled`] is.
#[unsafe(no_mangle)]
extern "C" fn heard(hash: u32, now: u32, seen: u32, about: u32) -> u32 {
    let (protocol, is_changed, state) =
        (about as u8, about >> 8 & 1 != 0, State::from_number((about >> 16) as u8));
    let is_tcp = protocol == IpProto::Tcp as u8;
    if !state.is_steady() || (is_changed && !is_tcp) {
        // What closes has no further packets, but for those that the collector asks after.
        if !state.is_closing() {
            ask(protocol, hash, now);
        }
    } else if is_tcp
        && (is_changed || now.wrapping_sub(seen) >= patience_with(state))
        && let Some(asked) = asked(hash, now)
    {
        asked.answer();
    }
    0
}

/// After how many ticks of silence a flow in this state is asked after.
#[inline(always)]
fn patience_with(state: State) -> u32 {
    // SAFETY: the row lies in the map.
    maps::TIMEOUTS.row(0).map_or(0, |row| patience(unsafe { Timeouts::at(row, state) }))
}

/// Whether somebody asks after flows with a hash.
#[inline(always)]
fn asked(hash: u32, now: u32) -> Option<Asked> {
    // SAFETY: the word lies in the map.
    Some(unsafe { Asked::of(maps::asked(hash)?, hash, now) })
}

/// What this CPU has seen lately of flows with a hash.
#[inline(always)]
fn lately(hash: u32, now: u32) -> Option<Lately> {
    // SAFETY: the word lies in the map, and is this CPU's own.
    Some(unsafe { Lately::of(maps::lately(hash)?, hash, now) })
}
