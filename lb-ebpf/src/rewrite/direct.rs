//! Direct routing: the real server owns the VIP too, so only the frame's addresses and the TTL change.

use core::mem::offset_of;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_TX};
use lb_common::{
    counters::Counter,
    layout::{MAX_PORTS, NextHop},
};
use network_types::eth::EthHdr;

use crate::{
    access::{Frame, forgotten},
    family::Family,
    flow::Target,
    link, maps,
    verdict::{Verdict, aside, drop, too_big},
};

/// Where in a [`NextHop`] as one number its port begins.
const PORT_SHIFT: usize = 8 * offset_of!(NextHop, port);

/// Rewrites the frame for the real server and sends it out of the interface that leads there.
#[inline(always)]
pub(super) fn send<F: Family>(
    frame: &Frame,
    port: u16,
    offset: usize,
    bytes: u64,
    target: &Target,
) -> Result<u32, Verdict> {
    let hop = target.hop;
    let egress = forgotten(hop >> PORT_SHIFT) as usize;
    if egress >= MAX_PORTS {
        return Err(aside(drop(Counter::DropNoPort)));
    }
    let own = link::mac_and_mtu(egress);
    let mtu = link::mtu(own);
    if bytes > u64::from(mtu) {
        return Err(aside(too_big(mtu)));
    }
    F::hop(frame, offset)?;
    let ethernet = frame.at::<EthHdr>(0).ok_or_else(|| aside(drop(Counter::DropTruncatedLink)))?;
    // SAFETY: `at` checked the bounds.
    unsafe { link::readdress(ethernet, hop, own) };
    if egress == usize::from(port) {
        maps::count(Counter::ForwardedTx as u32);
        return Ok(XDP_TX);
    }
    match maps::PORT_DEVICES.redirect(egress as u32, u64::from(XDP_DROP)) {
        Ok(action) => {
            maps::count(Counter::ForwardedRedirect as u32);
            Ok(action)
        }
        Err(_) => Err(drop(Counter::DropNoPort)),
    }
}
