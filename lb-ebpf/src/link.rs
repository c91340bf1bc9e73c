//! The link layer: is the frame for this director, and where does the network layer begin?

use aya_ebpf::programs::XdpContext;
use lb_common::{
    counters::Counter,
    layout::{self, MAX_PORTS, Port, Vmac},
};
use network_types::{
    eth::{EthHdr, EtherType},
    vlan::VlanHdr,
};

use crate::{
    access, maps,
    verdict::{Verdict, drop, pass},
};

/// The most VLAN tags before the network layer (802.1ad: one outer, one inner).
pub(crate) const MAX_TAGS: usize = 2;

/// Where a frame came in and what it carries.
pub(crate) struct Link {
    /// Row of `ports`: the interface it came in by.
    pub(crate) port: u16,
    /// The virtual MAC address it was sent to, a [`Vmac`]; 0 for the interface's own. A whole word, because the
    /// verifier takes no load that begins in the middle of one, which is how smaller fields here are copied.
    pub(crate) vmac: u32,
    /// EtherType of the network layer, network order.
    pub(crate) protocol: u16,
    /// Offset of the network layer.
    pub(crate) offset: usize,
}

/// Reads the Ethernet header and up to two VLAN tags.
///
/// Frames to another MAC address than the interface's end here: a switch may flood what a director has sent to a
/// real server, and it must not be balanced twice. Whether one to a virtual router's MAC address is for this node,
/// `lease` says.
#[inline(always)]
pub(crate) fn parse(ctx: &XdpContext) -> Result<Link, Verdict> {
    let ethernet = access::read::<EthHdr>(ctx, 0).ok_or(drop(Counter::DropTruncatedLink))?;
    let (port, vmac) = port_of(ctx, ethernet.dst_addr).ok_or(pass(Counter::PassOtherHost))?;
    let mut protocol = ethernet.ether_type;
    let mut offset = EthHdr::LEN;
    let mut tags = 0;
    while tags < MAX_TAGS
        && (protocol == EtherType::Ieee8021q as u16 || protocol == EtherType::Ieee8021ad as u16)
    {
        let tag = access::read::<VlanHdr>(ctx, offset).ok_or(drop(Counter::DropTruncatedLink))?;
        protocol = tag.ether_type;
        offset += VlanHdr::LEN;
        tags += 1;
    }
    Ok(Link { port, vmac, protocol, offset })
}

/// The row of the interface the frame came in by, if the frame is addressed to it or to a virtual router.
#[inline(always)]
fn port_of(ctx: &XdpContext, destination: [u8; 6]) -> Option<(u16, u32)> {
    let ifindex = ctx.ingress_ifindex() as u32;
    let mut row = 0;
    while row < MAX_PORTS {
        let port = maps::port(row);
        // SAFETY: `row` is below MAX_PORTS.
        let (own, mac) = unsafe { ((&raw const (*port).ifindex).read_volatile(), mac(port)) };
        if own == ifindex {
            let vmac = if mac == destination { 0 } else { word(layout::vmac(destination)?) };
            return Some((row as u16, vmac));
        }
        if own == 0 {
            return None;
        }
        row += 1;
    }
    None
}

/// A virtual MAC address as [`Link::vmac`] has it.
#[inline(always)]
pub(crate) fn word(vmac: Vmac) -> u32 {
    u32::from(u16::from_ne_bytes(vmac))
}

/// The MAC address of an interface as it is written into frames.
///
/// # Safety
/// `port` is a row that [`maps::port`] gave.
#[inline(always)]
pub(crate) unsafe fn mac(port: *const Port) -> [u8; 6] {
    // SAFETY: the row is valid, and its MAC address lies at a multiple of 4.
    let words = unsafe { (&raw const (*port).mac).cast::<[u16; 3]>().read_volatile() };
    let [[a, b], [c, d], [e, f]] = words.map(u16::to_ne_bytes);
    [a, b, c, d, e, f]
}
