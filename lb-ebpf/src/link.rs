//! The link layer: is the frame for this director, and where does the network layer begin?

use lb_common::{
    counters::Counter,
    layout::{self, MAX_PORTS, Vmac},
};
use network_types::{
    eth::{EthHdr, EtherType},
    vlan::VlanHdr,
};

use crate::{
    access::Frame,
    maps,
    verdict::{Verdict, aside, drop, pass},
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
pub(crate) fn parse(frame: &Frame) -> Result<Link, Verdict> {
    let ethernet = frame.at::<EthHdr>(0).ok_or_else(|| aside(drop(Counter::DropTruncatedLink)))?;
    // SAFETY: `at` checked the bounds, and neither read asks for alignment. The first is the address and two bytes more.
    let (to, mut protocol) = unsafe {
        (ethernet.cast::<u64>().read_unaligned(), (&raw const (*ethernet).ether_type).read_unaligned())
    };
    let (port, vmac) = port_of(frame, to).ok_or_else(|| aside(pass(Counter::PassOtherHost)))?;
    let mut offset = EthHdr::LEN;
    let mut tags = 0;
    while tags < MAX_TAGS
        && (protocol == EtherType::Ieee8021q as u16 || protocol == EtherType::Ieee8021ad as u16)
    {
        let tag = frame.read::<VlanHdr>(offset).ok_or_else(|| aside(drop(Counter::DropTruncatedLink)))?;
        protocol = tag.ether_type;
        offset += VlanHdr::LEN;
        tags += 1;
    }
    Ok(Link { port, vmac, protocol, offset })
}

/// The row of the interface the frame came in by, if the frame is addressed to it or to a virtual router. `to` begins with
/// the address.
#[inline(always)]
fn port_of(frame: &Frame, to: u64) -> Option<(u16, u32)> {
    let ifindex = frame.ifindex();
    let mut row = 0;
    while row < MAX_PORTS {
        let port = maps::port(row);
        // SAFETY: `row` is below MAX_PORTS.
        let own = unsafe { (&raw const (*port).ifindex).read_volatile() };
        if own == ifindex {
            let is_own = (to ^ mac_and_mtu(row)) << MAC_REST == 0;
            return Some((row as u16, if is_own { 0 } else { vmac(to)? }));
        }
        if own == 0 {
            return None;
        }
        row += 1;
    }
    None
}

/// The bits of a word that follow a MAC address.
const MAC_REST: u32 = 16;

/// The MAC address of the interface in a row of `ports`, which must be below `MAX_PORTS`, and behind it its MTU.
#[inline(always)]
pub(crate) fn mac_and_mtu(row: usize) -> u64 {
    // SAFETY: the row is valid, and a port begins with these as one word.
    unsafe { maps::port(row).cast::<u64>().read_volatile() }
}

/// The MTU behind a MAC address.
#[inline(always)]
pub(crate) const fn mtu(mac_and_mtu: u64) -> u16 {
    (mac_and_mtu >> (64 - MAC_REST)) as u16
}

/// Writes the MAC addresses that a frame begins with; in both numbers more may follow the address.
///
/// # Safety
/// The header may be written.
#[inline(always)]
pub(crate) unsafe fn readdress(ethernet: *mut EthHdr, to: u64, from: u64) {
    let first = to << MAC_REST >> MAC_REST | from << (64 - MAC_REST);
    let place = ethernet.cast::<u64>();
    // SAFETY: the contract; both lie in the header, and no write asks for alignment.
    unsafe {
        place.write_unaligned(first);
        place.add(1).cast::<u32>().write_unaligned((from >> MAC_REST) as u32);
    }
}

/// What a frame to another MAC address begins with, if that is a virtual router's: [`Link::vmac`].
#[inline(always)]
fn vmac(to: u64) -> Option<u32> {
    let [a, b, c, d, e, f, ..] = to.to_ne_bytes();
    layout::vmac([a, b, c, d, e, f]).map(word)
}

/// A virtual MAC address as [`Link::vmac`] has it.
#[inline(always)]
pub(crate) fn word(vmac: Vmac) -> u32 {
    u32::from(u16::from_ne_bytes(vmac))
}
