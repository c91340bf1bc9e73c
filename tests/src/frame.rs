//! What a captured frame says: who sent it to whom, and the adverts and announcements of virtual routers.
//!
//! Reads only what tests ask for, and takes every frame for hostile. It shares no code with what it tests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::SystemTime;

use crate::node::Node;

/// VRRP's protocol number.
pub const VRRP: u8 = 112;
/// The protocol number of an authentication header.
pub const AH: u8 = 51;

const ETHERNET: usize = 14;
/// Bytes of both MAC addresses, behind which VLAN tags are.
const ADDRESSES: usize = 12;
const TAG: usize = 4;

/// A MAC address.
pub type Mac = [u8; 6];

/// One frame as a port of the switch received it.
#[derive(Debug, Clone)]
pub struct Frame {
    /// When the kernel had it.
    pub at: SystemTime,
    /// The port it came in by.
    pub port: Arc<str>,
    /// How many bytes it had.
    pub length: usize,
    /// The first of them.
    pub bytes: Vec<u8>,
}

/// A VRRP advert, as far as tests ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advert {
    /// Who sent it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// Version of the protocol.
    pub version: u8,
    /// The virtual router.
    pub vrid: u8,
    /// The priority it names.
    pub priority: u8,
    /// Whether it came in an authentication header.
    pub authenticated: bool,
}

/// The network header of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Who sent it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// What it carries.
    pub protocol: u8,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// The part behind the header, as far as it was captured.
    pub payload: &'a [u8],
}

impl Frame {
    /// Whether `node` sent it.
    pub fn is_from(&self, node: &Node) -> bool {
        *self.port == *node.name()
    }

    /// Whose interface sent it.
    pub fn source_mac(&self) -> Option<Mac> {
        self.bytes.get(6..12)?.try_into().ok()
    }

    /// Whose interface it is for.
    pub fn destination_mac(&self) -> Option<Mac> {
        self.bytes.get(..6)?.try_into().ok()
    }

    /// The IPv4 or IPv6 packet in it.
    pub fn packet(&self) -> Option<Packet<'_>> {
        let (ether_type, at) = self.network()?;
        let rest = self.bytes.get(at..)?;
        match ether_type {
            0x0800 => ipv4(rest),
            0x86dd => ipv6(rest),
            _ => None,
        }
    }

    /// The VRRP advert in it.
    pub fn advert(&self) -> Option<Advert> {
        let packet = self.packet()?;
        let (message, authenticated) = match packet.protocol {
            VRRP => (packet.payload, false),
            AH if *packet.payload.first()? == VRRP => {
                let length = 4 * (usize::from(*packet.payload.get(1)?) + 2);
                (packet.payload.get(length..)?, true)
            }
            _ => return None,
        };
        let &[head, vrid, priority, ..] = message else { return None };
        let Packet { source, destination, .. } = packet;
        (head & 0x0f == 1).then_some(Advert {
            source,
            destination,
            version: head >> 4,
            vrid,
            priority,
            authenticated,
        })
    }

    /// The address that it tells all neighbours to be at its sender: gratuitous ARP, or a neighbour advertisement
    /// nobody asked for.
    pub fn announces(&self) -> Option<IpAddr> {
        if self.ether_type()? == 0x0806 {
            let arp = self.bytes.get(ETHERNET..)?;
            let (sender, target) = (arp.get(14..18)?, arp.get(24..28)?);
            return (sender == target).then(|| v4(sender)).flatten();
        }
        let packet = self.packet()?;
        let all_nodes = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
        if packet.protocol != 58 || packet.destination != all_nodes || *packet.payload.first()? != 136 {
            return None;
        }
        v6(packet.payload.get(8..24)?)
    }

    /// Its VLAN tags from the outermost, each with its type and what stands in it.
    pub fn tags(&self) -> Vec<(u16, u16)> {
        let tags = (ADDRESSES..).step_by(TAG).map_while(|at| Some((self.word(at)?, self.word(at + 2)?)));
        tags.take_while(|(kind, _)| is_tag(*kind)).collect()
    }

    /// What kind of packet is behind the tags, and where it begins.
    fn network(&self) -> Option<(u16, usize)> {
        let at = ADDRESSES + TAG * self.tags().len();
        Some((self.word(at)?, at + 2))
    }

    fn ether_type(&self) -> Option<u16> {
        self.word(ADDRESSES)
    }

    fn word(&self, at: usize) -> Option<u16> {
        Some(u16::from_be_bytes(self.bytes.get(at..at + 2)?.try_into().ok()?))
    }
}

fn is_tag(ether_type: u16) -> bool {
    matches!(ether_type, 0x8100 | 0x88a8)
}

fn ipv4(bytes: &[u8]) -> Option<Packet<'_>> {
    let header = 4 * usize::from(*bytes.first()? & 0x0f);
    Some(Packet {
        source: v4(bytes.get(12..16)?)?,
        destination: v4(bytes.get(16..20)?)?,
        protocol: *bytes.get(9)?,
        ttl: *bytes.get(8)?,
        payload: bytes.get(header.max(20)..)?,
    })
}

fn ipv6(bytes: &[u8]) -> Option<Packet<'_>> {
    Some(Packet {
        source: v6(bytes.get(8..24)?)?,
        destination: v6(bytes.get(24..40)?)?,
        protocol: *bytes.get(6)?,
        ttl: *bytes.get(7)?,
        payload: bytes.get(40..)?,
    })
}

fn v4(bytes: &[u8]) -> Option<IpAddr> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into())
}

fn v6(bytes: &[u8]) -> Option<IpAddr> {
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(ether_type: [u8; 2], packet: &str) -> Frame {
        let digits: Vec<u8> = packet.bytes().filter(u8::is_ascii_hexdigit).collect();
        let packet = digits.chunks_exact(2).map(|two| {
            u8::from_str_radix(std::str::from_utf8(two).expect("ASCII"), 16).expect("hexadecimal")
        });
        let bytes: Vec<u8> =
            [1, 0, 0x5e, 0, 0, 18, 2, 0, 0, 0, 0, 1].into_iter().chain(ether_type).chain(packet).collect();
        Frame { at: SystemTime::UNIX_EPOCH, port: "dr1".into(), length: bytes.len(), bytes }
    }

    #[test]
    fn adverts_of_both_versions_are_read() {
        let two = frame(
            [8, 0],
            "45c0002800010000ff70e1dec0a8380be0000012 2133640101011df7c0a838c83131313100000000",
        );
        let three = frame([8, 0], "45c0002000020000ff70e1e5c0a8380be0000012 3134ff010032fce2c0a838c9");
        let advert = two.advert().expect("version 2");
        assert_eq!((advert.version, advert.vrid, advert.priority), (2, 0x33, 100));
        assert_eq!(advert.source, IpAddr::from([192, 168, 56, 11]));
        let advert = three.advert().expect("version 3");
        assert_eq!((advert.version, advert.vrid, advert.priority), (3, 0x34, 255));
    }

    #[test]
    fn gratuitous_arp_announces_its_sender() {
        let arp = "0001080006040001 020000000001 c0a838c8 ffffffffffff c0a838c8";
        assert_eq!(frame([8, 6], arp).announces(), Some(IpAddr::from([192, 168, 56, 200])));
        let asks = "0001080006040001 020000000001 c0a838c8 000000000000 c0a83809";
        assert_eq!(frame([8, 6], asks).announces(), None);
    }

    #[test]
    fn no_piece_of_a_frame_is_read_beyond_its_end() {
        let whole = frame(
            [8, 0],
            "45c0002800010000ff33e1dec0a8380be0000012 70020000 00000000 00000001 2133640101011df7",
        );
        for length in 0..whole.bytes.len() {
            let piece = Frame { bytes: whole.bytes[..length].to_vec(), ..whole.clone() };
            let _ = (piece.advert(), piece.announces(), piece.source_mac());
        }
    }
}
