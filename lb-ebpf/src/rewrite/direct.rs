//! Direct routing: the real server owns the VIP too, so only the frame's addresses and the TTL change.

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_TX},
    programs::XdpContext,
};
use lb_common::{
    counters::Counter,
    layout::{MAX_PORTS, NextHop},
};
use network_types::eth::EthHdr;

use crate::{
    access,
    family::Family,
    flow::Target,
    link, maps,
    verdict::{Verdict, drop, too_big},
};

/// Rewrites the frame for the real server and sends it out of the interface that leads there.
#[inline(always)]
pub(super) fn send<F: Family>(
    ctx: &XdpContext,
    port: u16,
    offset: usize,
    bytes: u64,
    target: &Target,
) -> Result<Verdict, Verdict> {
    // SAFETY: the row lies in the map, aligned; the controller replaces the word whole.
    let hop: NextHop =
        bytemuck::must_cast(unsafe { (&raw const (*target.server).next_hop).cast::<u64>().read_volatile() });
    let egress = usize::from(hop.port);
    if egress >= MAX_PORTS {
        return Err(drop(Counter::DropNoPort));
    }
    // SAFETY: `egress` is below MAX_PORTS.
    let mtu = unsafe { (&raw const (*maps::port(egress)).mtu).read_volatile() };
    if bytes > u64::from(mtu) {
        return Err(too_big(mtu));
    }
    F::hop(ctx, offset)?;
    let ethernet = access::at::<EthHdr>(ctx, 0).ok_or(drop(Counter::DropTruncatedLink))?;
    // SAFETY: `at` checked the bounds, the fields are bytes, and `egress` is below MAX_PORTS.
    unsafe {
        (&raw mut (*ethernet).dst_addr).write(hop.mac);
        (&raw mut (*ethernet).src_addr).write(link::mac(maps::port(egress)));
    }
    if hop.port == port {
        return Ok(Verdict::new(Counter::ForwardedTx, XDP_TX));
    }
    match maps::PORT_DEVICES.redirect(u32::from(hop.port), u64::from(XDP_DROP)) {
        Ok(action) => Ok(Verdict::new(Counter::ForwardedRedirect, action)),
        Err(_) => Err(drop(Counter::DropNoPort)),
    }
}
