//! The link layer: is the frame for this director, and where does the network layer begin?

use aya_ebpf::programs::XdpContext;
use lb_common::{
    counters::Counter,
    layout::{MAX_PORTS, Port},
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
const MAX_TAGS: usize = 2;

/// Where a frame came in and what it carries.
pub(crate) struct Link {
    /// Row of `ports`: the interface it came in by.
    pub(crate) port: u16,
    /// EtherType of the network layer, network order.
    pub(crate) protocol: u16,
    /// Offset of the network layer.
    pub(crate) offset: usize,
}

/// Reads the Ethernet header and up to two VLAN tags.
///
/// Frames to another MAC address than the interface's end here: a switch may flood what a director has sent to a
/// real server, and it must not be balanced twice.
#[inline(always)]
pub(crate) fn parse(ctx: &XdpContext) -> Result<Link, Verdict> {
    let ethernet = access::read::<EthHdr>(ctx, 0).ok_or(drop(Counter::DropTruncatedLink))?;
    let port = port_of(ctx, ethernet.dst_addr).ok_or(pass(Counter::PassOtherHost))?;
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
    Ok(Link { port, protocol, offset })
}

/// The row of the interface the frame came in by, if the frame is addressed to it.
#[inline(always)]
fn port_of(ctx: &XdpContext, destination: [u8; 6]) -> Option<u16> {
    let ifindex = ctx.ingress_ifindex() as u32;
    let mut row = 0;
    while row < MAX_PORTS {
        let port = maps::port(row);
        // SAFETY: `row` is below MAX_PORTS.
        let (own, mac) = unsafe { ((&raw const (*port).ifindex).read_volatile(), mac(port)) };
        if own == ifindex {
            return (mac == destination).then_some(row as u16);
        }
        if own == 0 {
            return None;
        }
        row += 1;
    }
    None
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
