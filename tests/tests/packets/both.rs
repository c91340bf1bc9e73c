//! The same packets in both families: what tests want that do not care which it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lb_common::{
    layout::{Lease, NO_VMAC},
    sched::Scheduler,
};
use xlvs::plan::Wanted;

use crate::{
    bench::{Bench, DIRECTOR, Outcome, VIP4, VIP6, action, service_of},
    frame::{Frame, ICMP, ICMP6, Packet, SCTP, TCP, UDP},
    frame6::{Extension, Packet6},
    rows,
};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A packet of either.
#[derive(Clone, Debug)]
pub(crate) enum Either {
    /// IPv4.
    V4(Packet),
    /// IPv6.
    V6(Packet6),
}

/// The port of every service.
pub(crate) const PORT: u16 = 80;

impl Family {
    /// Both.
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The services' address.
    pub(crate) const fn vip(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(VIP4),
            Self::V6 => IpAddr::V6(VIP6),
        }
    }

    /// The client's address.
    pub(crate) const fn client(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
            Self::V6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 7)),
        }
    }

    /// A router on the way to the client.
    pub(crate) const fn router(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
            Self::V6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 8, 0, 0, 0, 0, 1)),
        }
    }

    /// A packet with these TCP flags, or of this SCTP chunk.
    pub(crate) fn packet(protocol: u8, from: (IpAddr, u16), to: (IpAddr, u16), flags: u8) -> Either {
        match (from, to) {
            ((IpAddr::V4(from), from_port), (IpAddr::V4(to), to_port)) => Either::V4(Packet {
                protocol,
                flags,
                ..Packet::udp((from.octets(), from_port), (to.octets(), to_port))
            }),
            ((IpAddr::V6(from), from_port), (IpAddr::V6(to), to_port)) => {
                Either::V6(Packet6 { protocol, flags, ..Packet6::udp((from, from_port), (to, to_port)) })
            }
            other => panic!("{other:?} are of two families"),
        }
    }

    /// A packet of the client to its service.
    pub(crate) fn asks(self, protocol: u8, client_port: u16, flags: u8) -> Either {
        Self::packet(protocol, (self.client(), client_port), (self.vip(), PORT), flags)
    }

    /// What a real server sends to the client.
    pub(crate) fn answers(self, protocol: u8, client_port: u16) -> Either {
        Self::packet(protocol, (self.vip(), PORT), (self.client(), client_port), 0)
    }

    /// An ICMP message from a router to the VIP.
    pub(crate) fn icmp(self, [kind, code]: [u8; 2], behind: &[u8]) -> Either {
        let message = [&[kind, code, 0, 0, 0, 0, 0x05, 0x78], behind].concat();
        let protocol = if self == Self::V4 { ICMP } else { ICMP6 };
        Self::packet(protocol, (self.router(), 0), (self.vip(), 0), 0).with_data(0, &message)
    }

    /// TCP, UDP and SCTP to servers 1 and 2, of which the last added comes first, owned by virtual router 51.
    pub(crate) fn director(self) -> Bench {
        let services = [TCP, UDP, SCTP].map(|protocol| Wanted {
            lease: 1,
            ..service_of(self.vip(), (protocol, PORT), Scheduler::Rr.into(), &[(1, 1), (2, 1)])
        });
        let mut bench =
            Bench::with_routers(&services, &[Lease::none(51, NO_VMAC)]).expect("the program loads");
        (1..=2).for_each(|last| bench.resolve(last, 0));
        bench.leases().set(1, crate::leases::far());
        bench
    }
}

impl Either {
    /// The same with `data` bytes behind its transport header and `tail` behind them.
    pub(crate) fn with_data(self, data: usize, tail: &[u8]) -> Self {
        let tail = tail.to_vec();
        match self {
            Self::V4(packet) => Self::V4(Packet { data, tail, ..packet }),
            Self::V6(packet) => Self::V6(Packet6 { data, tail, ..packet }),
        }
    }

    /// The same behind IP options or an extension header of destination options; `units` of 4 or 8 bytes, at least one.
    pub(crate) fn with_options(self, units: u8) -> Self {
        match self {
            Self::V4(packet) => Self::V4(Packet { options: vec![1; 4 * usize::from(units)], ..packet }),
            Self::V6(packet) => Self::V6(packet.behind(&[Extension::Destination(units - 1)])),
        }
    }

    /// The same as a piece of a datagram, `offset` in units of 8 bytes.
    pub(crate) fn into_piece(self, offset: u16, more: bool) -> Self {
        match self {
            Self::V4(packet) => Self::V4(Packet { fragment: u16::from(more) << 13 | offset, ..packet }),
            Self::V6(packet) => Self::V6(packet.behind(&[Extension::Fragment(offset, more)])),
        }
    }

    /// The network packet.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::V4(packet) => packet.bytes(),
            Self::V6(packet) => packet.bytes(),
        }
    }

    /// The frame from the router to the director.
    pub(crate) fn frame(&self) -> Vec<u8> {
        match self {
            Self::V4(packet) => Frame { ethertype: 0x0800, ..frame(packet.bytes()) },
            Self::V6(packet) => Frame { ethertype: 0x86dd, ..frame(packet.bytes()) },
        }
        .bytes()
    }
}

fn frame(payload: Vec<u8>) -> Frame {
    Frame { to: DIRECTOR, from: [2, 0, 0, 0, 9, 9], tags: Vec::new(), ethertype: 0, payload }
}

/// The server a packet is sent to, rewritten as it must be; or the counter of what else becomes of it.
pub(crate) fn serve(bench: &Bench, packet: &Either) -> Result<u8, &'static str> {
    let input = packet.frame();
    let Outcome { action, counted, frame } = bench.run(&input).expect("the program runs");
    assert_eq!(counted.len(), 1, "{counted:?}");
    match action {
        action::TX => {
            let server = frame[5];
            assert_eq!(counted, [("forwarded_tx", 1)]);
            assert_eq!(frame, rows::rewritten(&input, server, DIRECTOR));
            Ok(server)
        }
        action::PASS => {
            assert_eq!(frame, input, "passed unchanged");
            Err(counted[0].0)
        }
        _ => Err(counted[0].0),
    }
}
