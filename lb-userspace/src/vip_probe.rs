//! What `vip_check` sends to one real server, and how an answer is known: whole IP packets, bytes in and out.
//! Refuses to know MAC addresses, sockets and time.

use std::net::IpAddr;

use etherparse::err::packet::BuildWriteError;
use etherparse::{
    Icmpv4Slice, Icmpv4Type, Icmpv6Slice, Icmpv6Type, IpNumber, LaxIpSlice, PacketBuilder, PacketBuilderStep,
    TcpOptionElement, TcpSlice,
};

/// Who takes the packet itself does not look at this; who would forward it drops it (RFC 1812 section 5.3.1). So the answer is
/// that of the server that has the packet's MAC address, and not of one to which that passes it on, perhaps by this director.
const TIME_TO_LIVE: u8 = 1;

/// What a SYN of an ordinary host offers.
const WINDOW: u16 = 64_240;
const SEGMENT: u16 = 1_220;

/// In echo requests, for people who capture them.
const ECHO_TEXT: &[u8] = b"xlvs vip_check";

/// A question to the virtual address, which tells itself from every other by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The director's own address.
    pub own: IpAddr,
    /// The virtual address, of the same family.
    pub vip: IpAddr,
    /// What is asked.
    pub kind: Kind,
    /// By chance: the sequence number of a SYN, identifier and sequence number of an echo request.
    pub number: u32,
}

/// What is asked of the virtual address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Whether it takes connections.
    Syn {
        /// The director's port.
        from: u16,
        /// The service's port.
        to: u16,
    },
    /// Whether it is there.
    Echo,
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is there and, where that was asked, takes connections.
    Serves,
    /// A reset.
    Refused,
    /// An ICMP error: the packet was to be passed on.
    PassedOn {
        /// Who says so.
        by: IpAddr,
    },
    /// An ICMP error: the packet cannot be delivered.
    Unreachable {
        /// Who says so.
        by: IpAddr,
    },
}

impl Question {
    /// The packet that asks.
    ///
    /// # Errors
    /// With addresses of two families.
    pub fn packet(&self) -> Result<Vec<u8>, Error> {
        let mut packet = Vec::new();
        match self.kind {
            Kind::Syn { from, to } => {
                let syn = self.network()?.tcp(from, to, self.number, WINDOW).syn();
                let syn = syn.options(&[TcpOptionElement::MaximumSegmentSize(SEGMENT)])?;
                syn.write(&mut packet, &[])?;
            }
            Kind::Echo => {
                let [identifier, sequence] = [(self.number >> 16) as u16, self.number as u16];
                let network = self.network()?;
                if self.vip.is_ipv4() {
                    network.icmpv4_echo_request(identifier, sequence).write(&mut packet, ECHO_TEXT)?;
                } else {
                    network.icmpv6_echo_request(identifier, sequence).write(&mut packet, ECHO_TEXT)?;
                }
            }
        }
        Ok(packet)
    }

    /// The reset that has a server forget the connection that was begun (RFC 5961 section 3.2: with the number it expects
    /// next); none where none was.
    ///
    /// # Errors
    /// With addresses of two families.
    pub fn farewell(&self) -> Result<Option<Vec<u8>>, Error> {
        let Kind::Syn { from, to } = self.kind else { return Ok(None) };
        let mut packet = Vec::new();
        let reset = self.network()?.tcp(from, to, self.number.wrapping_add(1), 0).rst();
        reset.write(&mut packet, &[])?;
        Ok(Some(packet))
    }

    fn network(&self) -> Result<PacketBuilderStep<etherparse::IpHeaders>, Error> {
        match (self.own, self.vip) {
            (IpAddr::V4(own), IpAddr::V4(vip)) => {
                Ok(PacketBuilder::ipv4(own.octets(), vip.octets(), TIME_TO_LIVE))
            }
            (IpAddr::V6(own), IpAddr::V6(vip)) => {
                Ok(PacketBuilder::ipv6(own.octets(), vip.octets(), TIME_TO_LIVE))
            }
            (own, vip) => Err(Error::Families(own, vip)),
        }
    }
}

/// Why a packet cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The addresses are of two families.
    #[error("{0} and {1} are of two families")]
    Families(IpAddr, IpAddr),
    /// The packet has no room for what is to be in it.
    #[error(transparent)]
    Build(#[from] BuildWriteError),
    /// Likewise of its options.
    #[error(transparent)]
    Options(#[from] etherparse::TcpOptionWriteError),
}

/// The answer that a packet brings, and to which question; none if it brings none. It may be cut off.
///
/// Checksums are not looked at: adapters do that, and between two namespaces nobody fills them in. Who answers knows the
/// number of the question.
pub fn parse(packet: &[u8]) -> Option<(Question, Answer)> {
    let (ip, _) = LaxIpSlice::from_slice(packet).ok()?;
    let (by, to, payload) = (ip.source_addr(), ip.destination_addr(), ip.payload());
    if payload.fragmented {
        return None;
    }
    match payload.ip_number {
        IpNumber::TCP => segment(by, to, payload.payload),
        IpNumber::ICMP if by.is_ipv4() => icmp(by, to, payload.payload),
        IpNumber::IPV6_ICMP if by.is_ipv6() => icmp6(by, to, payload.payload),
        _ => None,
    }
}

/// A SYN that is accepted, or a reset: both acknowledge it (RFC 9293 sections 3.5 and 3.5.2).
fn segment(vip: IpAddr, own: IpAddr, bytes: &[u8]) -> Option<(Question, Answer)> {
    let segment = TcpSlice::from_slice(bytes).ok()?;
    let answer = match (segment.syn(), segment.rst(), segment.ack()) {
        (true, false, true) => Answer::Serves,
        (_, true, true) => Answer::Refused,
        _ => return None,
    };
    let kind = Kind::Syn { from: segment.destination_port(), to: segment.source_port() };
    let number = segment.acknowledgment_number().wrapping_sub(1);
    Some((Question { own, vip, kind, number }, answer))
}

fn icmp(by: IpAddr, to: IpAddr, bytes: &[u8]) -> Option<(Question, Answer)> {
    let message = Icmpv4Slice::from_slice(bytes).ok()?;
    match message.icmp_type() {
        Icmpv4Type::EchoReply(_) => Some((echoed(by, to, message.bytes5to8()), Answer::Serves)),
        Icmpv4Type::DestinationUnreachable(_) => {
            Some((quoted(message.payload())?, Answer::Unreachable { by }))
        }
        Icmpv4Type::TimeExceeded(_) => Some((quoted(message.payload())?, Answer::PassedOn { by })),
        _ => None,
    }
}

fn icmp6(by: IpAddr, to: IpAddr, bytes: &[u8]) -> Option<(Question, Answer)> {
    let message = Icmpv6Slice::from_slice(bytes).ok()?;
    match message.icmp_type() {
        Icmpv6Type::EchoReply(_) => Some((echoed(by, to, message.bytes5to8()), Answer::Serves)),
        Icmpv6Type::DestinationUnreachable(_) => {
            Some((quoted(message.payload())?, Answer::Unreachable { by }))
        }
        Icmpv6Type::TimeExceeded(_) => Some((quoted(message.payload())?, Answer::PassedOn { by })),
        _ => None,
    }
}

fn echoed(vip: IpAddr, own: IpAddr, number: [u8; 4]) -> Question {
    Question { own, vip, kind: Kind::Echo, number: u32::from_be_bytes(number) }
}

/// The question in an ICMP error, of which there are at least the first eight bytes behind the network header (RFC 792).
fn quoted(bytes: &[u8]) -> Option<Question> {
    let (ip, _) = LaxIpSlice::from_slice(bytes).ok()?;
    let (own, vip) = (ip.source_addr(), ip.destination_addr());
    let first = ip.payload().payload.first_chunk::<8>()?;
    let [a, b, c, d, number @ ..] = *first;
    match ip.payload().ip_number {
        IpNumber::TCP => {
            let kind = Kind::Syn { from: u16::from_be_bytes([a, b]), to: u16::from_be_bytes([c, d]) };
            Some(Question { own, vip, kind, number: u32::from_be_bytes(number) })
        }
        // An echo request, RFC 792 page 14 and RFC 4443 section 4.1.
        IpNumber::ICMP if a == 8 => Some(echoed(vip, own, number)),
        IpNumber::IPV6_ICMP if a == 128 => Some(echoed(vip, own, number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
