//! A program of the kernel's classic BPF that keeps of all packets of a family those which may be answers: accepted SYNs,
//! resets, echo replies and ICMP errors. It spares the controller what else comes to this host, and knows no ports, so that it
//! never changes.

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_B, BPF_H, BPF_IND, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_LDX,
    BPF_MSH, BPF_RET,
};
use socket2::SockFilter;

use crate::config::model::vrrp::Family;

/// As much as is kept of a packet; no answer needs more.
pub(super) const LONGEST: usize = 256;

/// Where the flags of TCP are, and which.
const FLAGS: u32 = 13;
const RESET: u32 = 0x04;
const SYN_ACK: u32 = 0x12;

/// Bytes of the header of IPv6.
const V6: u32 = 40;

/// An instruction: code, how many to pass over where a comparison holds and where not, and value.
type Instruction = (u32, u8, u8, u32);

const KEEP: Instruction = (BPF_RET | BPF_K, 0, 0, LONGEST as u32);
const DROP: Instruction = (BPF_RET | BPF_K, 0, 0, 0);

/// The program for packets that begin with the header of their network layer.
pub(super) fn of(family: Family) -> Vec<SockFilter> {
    let program = match family {
        // No fragments (offset or more of them); the length of the header goes to the index.
        Family::V4 => [
            vec![load(BPF_H | BPF_ABS, 6), compare(BPF_JSET, 0x3fff, 0, 1), DROP],
            vec![(BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0), load(BPF_B | BPF_ABS, 9)],
            for_protocol(libc::IPPROTO_TCP as u32, &segments(load(BPF_B | BPF_IND, FLAGS))),
            // Echo reply, unreachable, time exceeded.
            for_protocol(libc::IPPROTO_ICMP as u32, &kinds(load(BPF_B | BPF_IND, 0), [0, 3, 11])),
            vec![DROP],
        ]
        .concat(),
        Family::V6 => [
            vec![load(BPF_B | BPF_ABS, 6)],
            for_protocol(libc::IPPROTO_TCP as u32, &segments(load(BPF_B | BPF_ABS, V6 + FLAGS))),
            // Unreachable, time exceeded, echo reply.
            for_protocol(libc::IPPROTO_ICMPV6 as u32, &kinds(load(BPF_B | BPF_ABS, V6), [1, 3, 129])),
            vec![DROP],
        ]
        .concat(),
    };
    program.into_iter().map(|(code, yes, no, value)| SockFilter::new(code as u16, yes, no, value)).collect()
}

/// `rules`, which are the end, where the number that was loaded last is this protocol's.
fn for_protocol(number: u32, rules: &[Instruction]) -> Vec<Instruction> {
    [&[compare(BPF_JEQ, number, 0, rules.len() as u8)], rules].concat()
}

fn segments(flags: Instruction) -> Vec<Instruction> {
    let syn_and_ack = (BPF_ALU | BPF_AND | BPF_K, 0, 0, SYN_ACK);
    vec![
        flags,
        compare(BPF_JSET, RESET, 0, 1),
        KEEP,
        syn_and_ack,
        compare(BPF_JEQ, SYN_ACK, 0, 1),
        KEEP,
        DROP,
    ]
}

fn kinds(kind: Instruction, kept: [u32; 3]) -> Vec<Instruction> {
    let keep = kept.into_iter().flat_map(|number| [compare(BPF_JEQ, number, 0, 1), KEEP]);
    [kind].into_iter().chain(keep).chain([DROP]).collect()
}

fn load(from: u32, at: u32) -> Instruction {
    (BPF_LD | from, 0, 0, at)
}

fn compare(how: u32, with: u32, holds: u8, fails: u8) -> Instruction {
    (BPF_JMP | how | BPF_K, holds, fails, with)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::IpAddr;
    use std::os::unix::net::UnixDatagram;

    use etherparse::{Icmpv4Type, Icmpv6Type, PacketBuilder};
    use socket2::SockRef;

    use super::*;

    /// What the kernel lets through of a packet; any socket takes such a program.
    fn kept(family: Family, packet: &[u8]) -> Option<usize> {
        let (sender, receiver) = UnixDatagram::pair().unwrap();
        SockRef::from(&receiver).attach_filter(&of(family)).unwrap();
        receiver.set_nonblocking(true).unwrap();
        // Where nothing comes through, a datagram socket of this kind says so to the sender or not.
        let _refused = sender.send(packet);
        let mut buffer = [0; 2048];
        match receiver.recv(&mut buffer) {
            Ok(length) => Some(length),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn segment(family: Family, flags: &str, payload: &[u8]) -> Vec<u8> {
        let network = match family {
            Family::V4 => PacketBuilder::ipv4([10, 0, 0, 100], [10, 0, 0, 2], 64),
            Family::V6 => PacketBuilder::ipv6([1; 16], [2; 16], 64),
        };
        let mut segment = network.tcp(80, 40_000, 7, 100);
        for flag in flags.chars() {
            segment = match flag {
                's' => segment.syn(),
                'a' => segment.ack(8),
                'r' => segment.rst(),
                'p' => segment.psh(),
                'f' => segment.fin(),
                other => panic!("{other}"),
            };
        }
        let mut packet = Vec::new();
        segment.write(&mut packet, payload).unwrap();
        packet
    }

    #[test]
    fn of_segments_only_accepted_syns_and_resets_are_kept() {
        for family in [Family::V4, Family::V6] {
            for flags in ["sa", "r", "ra", "sap"] {
                let packet = segment(family, flags, &[]);
                assert_eq!(kept(family, &packet), Some(packet.len()), "{family:?} {flags}");
            }
            for flags in ["", "s", "a", "pa", "fa", "sf"] {
                assert_eq!(kept(family, &segment(family, flags, &[])), None, "{family:?} {flags}");
            }
            assert_eq!(kept(family, &segment(family, "sa", &[0; 1000])), Some(LONGEST));
            assert_eq!(kept(family, &segment(family, "sa", &[])[..20]), None, "{family:?} cut off");
            assert_eq!(kept(family, &[]), None);
        }
    }

    #[test]
    fn options_of_the_network_header_move_the_flags() {
        let mut packet = segment(Family::V4, "sa", &[]);
        packet[0] = 0x46;
        packet.splice(20..20, [1; 4]);
        assert_eq!(kept(Family::V4, &packet), Some(packet.len()));
        let mut packet = segment(Family::V4, "pa", &[]);
        packet[0] = 0x46;
        packet.splice(20..20, [1; 4]);
        assert_eq!(kept(Family::V4, &packet), None);
    }

    #[test]
    fn fragments_are_not_kept() {
        for place in [[0x20, 0], [0, 1], [0x1f, 0xff]] {
            let mut packet = segment(Family::V4, "sa", &[]);
            packet[6..8].copy_from_slice(&place);
            assert_eq!(kept(Family::V4, &packet), None, "{place:?}");
        }
    }

    #[test]
    fn of_icmp_errors_and_echo_replies_are_kept() {
        let v4 = |kind: Icmpv4Type| {
            let mut packet = Vec::new();
            let network = PacketBuilder::ipv4([10, 0, 0, 11], [10, 0, 0, 2], 64);
            network.icmpv4(kind).write(&mut packet, &[0; 28]).unwrap();
            kept(Family::V4, &packet).is_some()
        };
        let v6 = |kind: Icmpv6Type| {
            let mut packet = Vec::new();
            PacketBuilder::ipv6([1; 16], [2; 16], 64).icmpv6(kind).write(&mut packet, &[0; 48]).unwrap();
            kept(Family::V6, &packet).is_some()
        };
        let echo = etherparse::IcmpEchoHeader { id: 1, seq: 2 };
        assert!(v4(Icmpv4Type::EchoReply(echo)) && !v4(Icmpv4Type::EchoRequest(echo)));
        assert!(v4(Icmpv4Type::TimeExceeded(etherparse::icmpv4::TimeExceededCode::TtlExceededInTransit)));
        assert!(v4(Icmpv4Type::DestinationUnreachable(etherparse::icmpv4::DestUnreachableHeader::Port)));
        assert!(v6(Icmpv6Type::EchoReply(echo)) && !v6(Icmpv6Type::EchoRequest(echo)));
        assert!(v6(Icmpv6Type::TimeExceeded(etherparse::icmpv6::TimeExceededCode::HopLimitExceeded)));
        assert!(v6(Icmpv6Type::DestinationUnreachable(etherparse::icmpv6::DestUnreachableCode::Port)));
        let datagram = |address: IpAddr| {
            let mut packet = Vec::new();
            let network = match address {
                IpAddr::V4(_) => PacketBuilder::ipv4([10, 0, 0, 11], [10, 0, 0, 2], 64),
                IpAddr::V6(_) => PacketBuilder::ipv6([1; 16], [2; 16], 64),
            };
            network.udp(53, 53).write(&mut packet, &[0x12; 40]).unwrap();
            packet
        };
        assert_eq!(kept(Family::V4, &datagram([0; 4].into())), None);
        assert_eq!(kept(Family::V6, &datagram([0; 16].into())), None);
    }
}
