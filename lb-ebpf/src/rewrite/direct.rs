//! Direct routing: the real server owns the VIP too, so only the frame's addresses and the TTL change.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_TX};
use lb_common::{
    counters::Counter,
    layout::{MAX_PORTS, NextHop},
};
use network_types::eth::EthHdr;

use crate::{
    access::Frame,
    family::Family,
    flow::Target,
    link, maps,
    verdict::{Verdict, drop, too_big},
};

/// Rewrites the frame for the real server and sends it out of the interface that leads there.
#[inline(always)]
pub(super) fn send<F: Family>(
    frame: &Frame,
    port: u16,
    offset: usize,
    bytes: u64,
    target: &Target,
) -> Result<u32, Verdict> {
    // SAFETY: the row lies in the map, aligned; the controller replaces the word whole.
    let hop = unsafe { (&raw const (*target.server).next_hop).cast::<u64>().read_volatile() };
    let NextHop { port: egress, .. } = bytemuck::must_cast(hop);
    if usize::from(egress) >= MAX_PORTS {
        return Err(drop(Counter::DropNoPort));
    }
    let own = link::mac_and_mtu(usize::from(egress));
    let mtu = link::mtu(own);
    if bytes > u64::from(mtu) {
        return Err(too_big(mtu));
    }
    F::hop(frame, offset)?;
    let ethernet = frame.at::<EthHdr>(0).ok_or(drop(Counter::DropTruncatedLink))?;
    // SAFETY: `at` checked the bounds.
    unsafe { link::readdress(ethernet, hop, own) };
    if egress == port {
        maps::count(Counter::ForwardedTx as u32);
        return Ok(XDP_TX);
    }
    match maps::PORT_DEVICES.redirect(u32::from(egress), u64::from(XDP_DROP)) {
        Ok(action) => {
            maps::count(Counter::ForwardedRedirect as u32);
            Ok(action)
        }
        Err(_) => Err(drop(Counter::DropNoPort)),
    }
}
