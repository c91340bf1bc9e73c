//! ICMP errors about packets of a connection: they go to the real server that sent these (`ip_vs_in_icmp` in
//! `net/netfilter/ipvs/ip_vs_core.c`), so that it learns of a path's MTU, for example.

use aya_ebpf::bindings::xdp_md;
use lb_common::{
    counters::Counter,
    layout::{Address, ServerState},
};

use crate::{
    access::{self, Frame},
    clock,
    family::{self, Ends, Family, Piece, is_balanced},
    flow::{Target, flows, hash},
    lease, maps,
    service::presence,
    verdict::{Outcome, Verdict, drop, pass},
};

/// The header of ICMP and what follows before the packet that the error is about (RFC 792, RFC 4443).
const ICMP: usize = 8;

/// The real server of the ICMP packet with these offsets of its network and transport headers: an [`Outcome`].
#[inline(always)]
pub(crate) fn related<F: Family>(ctx: *mut xdp_md, offset: u32, transport: u32, vmac: u32) -> u64 {
    let frame = Frame::of(ctx);
    // So far headers reach at most.
    let bounded = |number, limit| access::forgotten(u64::from(number)) as usize & limit;
    let (offset, transport) = (bounded(offset, 0xff), bounded(transport, 0xfff));
    match try_related::<F>(&frame, offset, transport, vmac) {
        Ok(row) => Outcome::new(row, false),
        Err(verdict) => Outcome::ended(verdict),
    }
    .word()
}

#[inline(always)]
fn try_related<F: Family>(frame: &Frame, offset: usize, transport: usize, vmac: u32) -> Result<u16, Verdict> {
    let other = pass(Counter::PassProtocol);
    // The type and the code; the verifier takes no bound of one byte.
    let [kind, _] = frame.read::<[u8; 2]>(transport).ok_or(drop(Counter::DropTruncatedTransport))?;
    if !F::is_error(kind) {
        return Err(other);
    }
    let Ends { destination: vip, .. } = F::addresses(frame, offset).ok_or(other)?;
    // An error that is cut short is no reason to drop what the stack may understand.
    let inner = F::quoted(frame, transport + ICMP).ok_or(other)?;
    if matches!(inner.piece, Piece::Later) || !is_balanced(inner.protocol) {
        return Err(other);
    }
    // What the error is about went from the VIP to the client.
    let Ends { source, destination: client } = F::addresses(frame, inner.offset).ok_or(other)?;
    let [from, to] = family::ports(frame, inner.transport).ok_or(other)?;
    if source != vip {
        return Err(other);
    }
    let presence = presence(&Address::from_halves(vip));
    if let Some(presence) = &presence {
        lease::check(presence.info.lease, vmac, clock::coarse_ns())?;
    }
    let key = F::key(client, vip, [to, from], inner.protocol);
    let hit = flows::<F>(hash::<F>(&key)).find(&key).ok_or(other)?;
    let target = Target::new(hit.control.server(), Some(hit.control.generation()));
    let target = target.map_err(|state| match state {
        ServerState::Unresolved => drop(Counter::DropUnresolved),
        _ => pass(Counter::PassServerGone),
    })?;
    if presence.is_none() {
        // It is a firewall mark's.
        lease::check(maps::policy(target.service).lease, vmac, clock::coarse_ns())?;
    }
    Ok(target.row)
}
