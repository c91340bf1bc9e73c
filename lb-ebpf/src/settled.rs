//! A packet to a service whose pool is [settled](lb_common::layout::Pool::SETTLED): the ring says whose it is, and its flow is looked
//! up only so that its time and state go on.

use bytemuck::{Pod, Zeroable};
use lb_common::{
    flow::{Asked, Key as _, Lately, Looks, State, Timeouts, changes, is_its_tick, patience},
    layout::Pool,
    opening::FTP_DATA,
    sched::{Method, Request},
};
use network_types::ip::IpProto;

use crate::{
    family::{Family, Packet},
    flow::Target,
    lookup::Rows as _,
    maps,
    pick::{NOBODY, named},
    service::Found,
};

/// The real server of a packet with this hash to a service that is settled, if its flow is not to be looked up.
///
/// Who cannot be sent to is found in the table, where it says so.
#[inline(always)]
pub(crate) fn server<F: Family>(
    service: &Found,
    packet: &Packet<F::Key>,
    hash: u32,
    now: u32,
) -> Option<Target> {
    let key = &packet.key;
    let client = Client {
        address: key.client().fold(),
        port: key.client_port(),
        protocol: key.protocol(),
        flags: packet.flags,
    };
    let row = ask_ring(
        bytemuck::must_cast(service.pool()),
        service.info.scheduler.into(),
        bytemuck::must_cast(client),
        u64::from(key.vip().fold()) << 32 | u64::from(hash),
        now,
    );
    // Nothing is settled as soon as it is published: so this is the pool whose ring was asked.
    if row > u64::from(u16::MAX) || !service.pool().is_settled() {
        return None;
    }
    Target::new(row as u16, None).ok()
}

/// What the ring and the table are to know of a packet.
#[repr(C, align(8))]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Client {
    /// Folded.
    address: u32,
    port: u16,
    protocol: u8,
    /// [`Packet::flags`].
    flags: u8,
}

/// The server that the ring of a pool has for a [`Client`] by a method, with its destination, folded, in the upper half of a word and
/// its flow's hash in the lower; [`NOBODY`] where the table is to be asked.
///
/// Apart from the way of other packets, for the verifier would follow both together, and all of it numbers, so that it looks at nothing
/// which the packet's own way has found already.
#[unsafe(no_mangle)]
extern "C" fn ask_ring(pool: u64, method: u32, client: u64, destination: u64, now: u32) -> u64 {
    let (pool, client): (Pool, Client) = (bytemuck::must_cast(pool), bytemuck::must_cast(client));
    let hash = destination as u32;
    let is_tcp = client.protocol == IpProto::Tcp as u8;
    // The first of these is of no connection of ours.
    if client.port == FTP_DATA || changes(client.flags) || is_its_tick(hash, now, is_tcp) {
        return NOBODY;
    }
    let Some(method) = Method::from_number(method as u8) else { return NOBODY };
    if is_known(is_tcp, hash, now) != Some(true) {
        return NOBODY;
    }
    let request = Request {
        client: client.address,
        client_port: client.port,
        destination: (destination >> 32) as u32,
        ..Request::default()
    };
    named(pool, method, &request)
}

/// Does the table need to hear nothing of the flow's next packet? Of TCP, unless somebody asks. Of UDP, whose flows begin without a
/// sign, if this CPU has seen the flow lately, which is noted here; where it does not look for it, as of TCP.
#[inline(always)]
fn is_known(is_tcp: bool, hash: u32, now: u32) -> Option<bool> {
    if is_tcp || !looks()?.is_due(now) {
        return Some(!asked(hash, now)?.is());
    }
    let lately = lately(hash, now)?;
    let is_known = lately.has();
    if !is_known {
        lately.note();
    }
    Some(is_known)
}

/// The flow's next packet is to be looked up, for its state is not yet what it will be: it begins, or is under way.
#[inline(always)]
fn ask(is_tcp: bool, hash: u32, now: u32, begins: bool) {
    if !is_tcp {
        if let Some(lately) = lately(hash, now) {
            lately.forget();
        }
        let Some(looks) = looks() else { return };
        if begins {
            looks.begun();
        }
        if !looks.is_seldom(now) {
            return;
        }
    }
    if let Some(asked) = asked(hash, now) {
        asked.ask();
    }
}

/// A flow of this protocol and hash to a service was recorded: where that is settled, its next packet is to be looked up.
#[inline(always)]
pub(crate) fn begins(service: &Found, protocol: u8, hash: u32, now: u32) {
    if maps::has(maps::SETTLES) && service.pool().is_settled() {
        ask(protocol == IpProto::Tcp as u8, hash, now, true);
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

/// The same with its last three in a number: apart, as [`ask_ring`] is.
#[unsafe(no_mangle)]
extern "C" fn heard(hash: u32, now: u32, seen: u32, about: u32) -> u32 {
    let (protocol, is_changed, state) =
        (about as u8, about >> 8 & 1 != 0, State::from_number((about >> 16) as u8));
    let is_tcp = protocol == IpProto::Tcp as u8;
    if !state.is_steady() {
        // What closes has no further packets, but for those that the collector asks after.
        if !state.is_closing() {
            ask(is_tcp, hash, now, false);
        }
    } else if (is_changed || now.wrapping_sub(seen) >= patience_with(state))
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
    maps::TIMEOUTS.row(0).map_or(0, |row| patience(state, unsafe { Timeouts::at(row, state) }))
}

/// What this CPU knows of its looks.
#[inline(always)]
fn looks() -> Option<&'static mut Looks> {
    // SAFETY: the row is this CPU's own, and one packet uses it at a time; others only read it.
    maps::looks().map(|row| unsafe { &mut *row })
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
