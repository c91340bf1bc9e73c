//! IPv6 packets for single-packet tests, with extension headers.

use std::net::Ipv6Addr;

use crate::{
    bench::DIRECTOR,
    frame::{Frame, ICMP6, SCTP, TCP, UDP, transport},
};

/// An IPv6 packet in the making.
#[derive(Clone, Debug)]
pub(crate) struct Packet6 {
    /// Source address and port.
    pub(crate) client: (Ipv6Addr, u16),
    /// Destination address and port.
    pub(crate) service: (Ipv6Addr, u16),
    /// Number of the transport protocol.
    pub(crate) protocol: u8,
    /// TCP flags, or the type of an SCTP chunk.
    pub(crate) flags: u8,
    /// Hop limit.
    pub(crate) hop_limit: u8,
    /// Extension headers.
    pub(crate) headers: Vec<Extension>,
    /// Bytes behind the transport header.
    pub(crate) data: usize,
    /// What comes behind these: a further SCTP chunk, or a whole ICMPv6 message.
    pub(crate) tail: Vec<u8>,
}

/// An extension header (RFC 8200, section 4).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extension {
    /// Hop-by-hop options, with as many units of 8 bytes behind the first.
    HopByHop(u8),
    /// A routing header of a type that nobody knows, with no segment left.
    Routing(u8),
    /// Destination options.
    Destination(u8),
    /// A piece of a datagram: its offset in units of 8 bytes, and whether more follow.
    Fragment(u16, bool),
    /// An authentication header (RFC 4302) with a check value of so many words.
    Authentication(u8),
}

impl Extension {
    /// A fragment header of a datagram that is whole (RFC 6946).
    pub(crate) const ATOMIC: Self = Self::Fragment(0, false);

    const fn number(self) -> u8 {
        match self {
            Self::HopByHop(_) => 0,
            Self::Routing(_) => 43,
            Self::Fragment(..) => 44,
            Self::Authentication(_) => 51,
            Self::Destination(_) => 60,
        }
    }

    fn bytes(self, next: u8) -> Vec<u8> {
        match self {
            Self::HopByHop(more) | Self::Destination(more) => {
                let padding = 8 * usize::from(more) + 4;
                // An option of no meaning that is skipped by who does not know it (RFC 4727), filled up.
                [&[next, more, 0x1e, padding as u8][..], &vec![0xee; padding]].concat()
            }
            Self::Routing(more) => {
                [&[next, more, 253, 0][..], &vec![0xee; 8 * usize::from(more) + 4]].concat()
            }
            Self::Fragment(offset, more) => {
                let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
                vec![next, 0, high, low, 0x12, 0x34, 0x56, 0x78]
            }
            Self::Authentication(words) => {
                [&[next, 1 + words, 0, 0][..], &vec![0xee; 8 + 4 * usize::from(words)]].concat()
            }
        }
    }
}

impl Packet6 {
    /// A TCP segment.
    pub(crate) const fn tcp(client: (Ipv6Addr, u16), service: (Ipv6Addr, u16), flags: u8) -> Self {
        let headers = Vec::new();
        let tail = Vec::new();
        Self { client, service, protocol: TCP, flags, hop_limit: 64, headers, data: 0, tail }
    }

    /// A UDP datagram of 10 bytes.
    pub(crate) const fn udp(client: (Ipv6Addr, u16), service: (Ipv6Addr, u16)) -> Self {
        let headers = Vec::new();
        let tail = Vec::new();
        Self { client, service, protocol: UDP, flags: 0, hop_limit: 64, headers, data: 10, tail }
    }

    /// An SCTP packet with one chunk.
    pub(crate) fn sctp(client: (Ipv6Addr, u16), service: (Ipv6Addr, u16), chunk: u8) -> Self {
        Self { protocol: SCTP, flags: chunk, ..Self::udp(client, service) }
    }

    /// An ICMPv6 message.
    pub(crate) fn icmp(from: Ipv6Addr, to: Ipv6Addr, message: Vec<u8>) -> Self {
        Self { protocol: ICMP6, data: 0, tail: message, ..Self::udp((from, 0), (to, 0)) }
    }

    /// The same packet behind extension headers.
    #[must_use]
    pub(crate) fn behind(self, headers: &[Extension]) -> Self {
        Self { headers: headers.to_vec(), ..self }
    }

    /// The IPv6 packet.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let ports = (self.client.1, self.service.1);
        let mut payload = transport(self.protocol, ports, self.flags, self.data, &self.tail);
        let mut next = self.protocol;
        for header in self.headers.iter().rev() {
            payload = [header.bytes(next), payload].concat();
            next = header.number();
        }
        // Some traffic class and some flow label.
        let mut packet = vec![0x6b, 0x8a, 0xbc, 0xde];
        packet.extend((payload.len() as u16).to_be_bytes());
        packet.extend([next, self.hop_limit]);
        packet.extend(self.client.0.octets());
        packet.extend(self.service.0.octets());
        [packet, payload].concat()
    }

    /// The frame from the router to the director.
    pub(crate) fn frame(&self) -> Frame {
        let from = [2, 0, 0, 0, 9, 9];
        Frame { to: DIRECTOR, from, tags: Vec::new(), ethertype: 0x86dd, payload: self.bytes() }
    }
}
