//! The ICMPv6 errors that the program sends of its own, compared byte by byte.

use std::net::Ipv6Addr;

use lb_common::{checksum, icmp, sched::Scheduler, tcp::flag};

use crate::{
    bench::{Bench, DIRECTOR, OTHER_PORT, VIP6, action, mac, service6},
    frame::{ICMP6, SCTP, TCP, UDP},
    frame6::{
        Extension::{self, Authentication, Destination, HopByHop},
        Packet6,
    },
};

const CLIENT: (Ipv6Addr, u16) = (Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 7), 40_000);
const ROUTER: [u8; 6] = [2, 0, 0, 0, 9, 9];
const VLAN: u16 = 0x8100;
const QINQ: u16 = 0x88a8;
/// The MTU of the interface that leads to server 4.
const NARROW: u16 = 1400;

/// Port unreachable, time exceeded in transit, packet too big: type, code, and what follows the checksum.
const UNREACHABLE: ([u8; 2], [u8; 4]) = ([1, 4], [0; 4]);
const EXCEEDED: ([u8; 2], [u8; 4]) = ([3, 0], [0; 4]);
const TOO_BIG: ([u8; 2], [u8; 4]) = ([2, 0], [0, 0, 0x05, 0x78]);

/// 80 TCP to server 1; 81 TCP without a weight, UDP and SCTP without a server; 83 TCP and 53 UDP to server 4 through the
/// other, narrow interface.
fn director() -> Bench {
    let services = [
        service6(TCP, 80, Scheduler::Rr, &[(1, 1)]),
        service6(TCP, 81, Scheduler::Rr, &[(1, 0)]),
        service6(UDP, 81, Scheduler::Rr, &[]),
        service6(SCTP, 81, Scheduler::Rr, &[]),
        service6(TCP, 83, Scheduler::Rr, &[(4, 1)]),
        service6(UDP, 53, Scheduler::Rr, &[(4, 1)]),
    ];
    let mut bench = Bench::with_mtu(&services, NARROW.into()).expect("the program loads");
    bench.resolve(1, 0);
    bench.resolve(4, 1);
    bench
}

fn syn(port: u16) -> Packet6 {
    Packet6::tcp(CLIENT, (VIP6, port), flag::SYN)
}

fn datagram(port: u16) -> Packet6 {
    Packet6::udp(CLIENT, (VIP6, port))
}

fn ip(packet: &Packet6) -> Vec<u8> {
    packet.frame().bytes()
}

/// A packet of so many bytes.
fn long(packet: Packet6, bytes: usize) -> Packet6 {
    let headers = packet.bytes().len() - packet.data;
    Packet6 { data: bytes - headers, ..packet }
}

/// The answer to a frame whose link layer is `offset` bytes long.
fn answer(input: &[u8], offset: usize, (kind, rest): ([u8; 2], [u8; 4])) -> Vec<u8> {
    let packet = &input[offset..];
    let len = 40 + usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    let quote = &packet[..len.min(1280 - 48)];
    let addresses = [&packet[24..40], &packet[8..24]].concat();

    let mut icmp = [&kind[..], &[0, 0], &rest, quote].concat();
    let pseudo = [&addresses[..], &(icmp.len() as u32).to_be_bytes(), &[0, 0, 0, ICMP6], &icmp].concat();
    icmp[2..4].copy_from_slice(&checksum::internet(&pseudo).to_be_bytes());

    let mut head = vec![0x60, 0, 0, 0];
    head.extend((icmp.len() as u16).to_be_bytes());
    head.extend([ICMP6, 64]);
    [&ROUTER[..], &DIRECTOR, &input[12..offset], &head, &addresses, &icmp].concat()
}

type Row = (&'static str, Vec<u8>, usize);

/// Runs the rows, each a description, a frame and the length of its link layer.
fn check(rows: Vec<Row>, counter: &'static str, kind: ([u8; 2], [u8; 4])) {
    let bench = director();
    assert!(rows.len() < icmp::RATE.burst as usize);
    for (description, input, offset) in rows {
        let outcome = bench.run(&input).unwrap_or_else(|error| panic!("{description}: {error:#}"));
        assert_eq!(outcome.counted, [(counter, 1)], "{description}: counters");
        assert_eq!(outcome.action, action::TX, "{description}: XDP action");
        assert_eq!(outcome.frame, answer(&input, offset, kind), "{description}: the answer");
    }
}

#[test]
fn a_service_without_a_server_is_answered_with_port_unreachable() {
    let tagged = |packet: &Packet6| packet.frame().tagged(QINQ, 7).tagged(VLAN, 8).bytes();
    let init = Packet6::sctp(CLIENT, (VIP6, 81), lb_common::sctp::chunk::INIT);
    let headers = [HopByHop(0), Destination(1), Extension::ATOMIC, Authentication(3)];
    check(
        vec![
            ("TCP", ip(&syn(81)), 14),
            ("UDP", ip(&datagram(81)), 14),
            ("SCTP", ip(&init), 14),
            ("no data", ip(&Packet6 { data: 0, ..datagram(81) }), 14),
            ("an odd length", ip(&Packet6 { data: 9, ..datagram(81) }), 14),
            ("one byte more than a word", ip(&Packet6 { data: 1, ..syn(81) }), 14),
            ("one byte less than a word", ip(&Packet6 { data: 3, ..syn(81) }), 14),
            ("one byte less than the longest quote", ip(&long(syn(81), 1231)), 14),
            ("the longest quote", ip(&long(syn(81), 1232)), 14),
            ("one byte more", ip(&long(syn(81), 1233)), 14),
            ("a full frame", ip(&long(syn(81), 1500)), 14),
            ("a full frame of UDP with an odd length", ip(&long(datagram(81), 1499)), 14),
            ("a jumbo frame in one buffer", ip(&long(datagram(81), 3000)), 14),
            ("a jumbo frame in several", ip(&long(datagram(81), 8999)), 14),
            ("extension headers", ip(&syn(81).behind(&headers)), 14),
            ("extension headers and a full frame", ip(&long(syn(81).behind(&headers), 1500)), 14),
            ("a VLAN tag", syn(81).frame().tagged(VLAN, 7).bytes(), 18),
            ("QinQ", tagged(&syn(81)), 22),
            ("QinQ and a jumbo frame", tagged(&long(syn(81), 9000)), 22),
            ("a hop limit of 1", ip(&Packet6 { hop_limit: 1, ..syn(81) }), 14),
        ],
        "answer_no_server",
        UNREACHABLE,
    );
}

#[test]
fn a_hop_limit_that_ends_here_is_answered_with_time_exceeded() {
    let last = |packet| Packet6 { hop_limit: 1, ..packet };
    check(
        vec![
            ("hop limit 1", ip(&last(syn(80))), 14),
            ("hop limit 0", ip(&Packet6 { hop_limit: 0, ..syn(80) }), 14),
            ("to another interface", ip(&last(datagram(53))), 14),
            ("a full frame", ip(&last(long(syn(80), 1500))), 14),
            ("extension headers", ip(&last(syn(80)).behind(&[HopByHop(0)])), 14),
            ("a VLAN tag", last(syn(80)).frame().tagged(VLAN, 7).bytes(), 18),
            ("and longer than the MTU", ip(&last(long(syn(83), 1401))), 14),
        ],
        "answer_ttl",
        EXCEEDED,
    );
}

#[test]
fn a_packet_that_is_too_long_is_answered_with_packet_too_big() {
    check(
        vec![
            ("a byte too long", ip(&long(syn(83), 1401)), 14),
            ("a full frame", ip(&long(syn(83), 1500)), 14),
            ("UDP", ip(&long(datagram(53), 1500)), 14),
            ("extension headers", ip(&long(datagram(53).behind(&[Extension::ATOMIC]), 1500)), 14),
            ("a jumbo frame", ip(&long(datagram(53), 9000)), 14),
            ("a VLAN tag", long(syn(83), 1500).frame().tagged(VLAN, 7).bytes(), 18),
        ],
        "answer_too_big",
        TOO_BIG,
    );
}

#[test]
fn what_is_as_long_as_the_mtu_is_forwarded() {
    let bench = director();
    let input = ip(&long(datagram(53), NARROW.into()));
    let outcome = bench.run(&input).expect("the program runs");
    assert_eq!(outcome.counted, [("forwarded_redirect", 1)]);
    assert_eq!(outcome.frame[..12], [mac(4), OTHER_PORT].concat());
    assert_eq!(outcome.frame.len(), input.len());
}

#[test]
fn a_source_that_is_no_single_host_gets_no_answer() {
    let bench = director();
    let multicast = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    for source in [Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST, multicast] {
        let client = (source, 40_000);
        for packet in [Packet6 { client, ..syn(81) }, Packet6 { client, hop_limit: 1, ..syn(80) }] {
            let outcome = bench.run(&ip(&packet)).expect("the program runs");
            let dropped = (action::DROP, vec![("drop_no_answer", 1)]);
            assert_eq!((outcome.action, outcome.counted), dropped, "from {source}");
        }
    }
}
