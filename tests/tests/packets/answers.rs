//! The ICMP errors that the program sends of its own, compared byte by byte.

use std::time::Instant;

use lb_common::{checksum, icmp, sched::Scheduler, tcp::flag};

use crate::{
    bench::{Bench, DIRECTOR, OTHER_PORT, action, mac, pin_to, run, service},
    frame::{Frame, Packet},
};

const TCP: u8 = 6;
const UDP: u8 = 17;
const VIP: [u8; 4] = [10, 0, 0, 100];
const CLIENT: ([u8; 4], u16) = ([192, 0, 2, 7], 40_000);
const ROUTER: [u8; 6] = [2, 0, 0, 0, 9, 9];
const VLAN: u16 = 0x8100;
const QINQ: u16 = 0x88a8;
/// The MTU of the interface that leads to server 4.
const NARROW: u16 = 1400;

/// Port unreachable, time exceeded in transit, fragmentation needed: type, code, and what follows the checksum.
const UNREACHABLE: ([u8; 2], [u8; 4]) = ([3, 3], [0; 4]);
const EXCEEDED: ([u8; 2], [u8; 4]) = ([11, 0], [0; 4]);
const NEEDED: ([u8; 2], [u8; 4]) = ([3, 4], [0, 0, 0x05, 0x78]);

/// 80 TCP to server 1; 81 TCP without a weight and UDP without a server; 83 TCP and 53 UDP to server 4 through the other,
/// narrow interface; 84 TCP unresolved.
fn director() -> Bench {
    let services = [
        service(TCP, 80, Scheduler::Rr, &[(1, 1)]),
        service(TCP, 81, Scheduler::Rr, &[(1, 0)]),
        service(UDP, 81, Scheduler::Rr, &[]),
        service(TCP, 83, Scheduler::Rr, &[(4, 1)]),
        service(UDP, 53, Scheduler::Rr, &[(4, 1)]),
        service(TCP, 84, Scheduler::Rr, &[(5, 1)]),
    ];
    let mut bench = Bench::with_mtu(&services, NARROW.into()).expect("the program loads");
    bench.resolve(1, 0);
    bench.resolve(4, 1);
    bench
}

fn syn(port: u16) -> Packet {
    Packet::tcp(CLIENT, (VIP, port), flag::SYN)
}

fn datagram(port: u16) -> Packet {
    Packet::udp(CLIENT, (VIP, port))
}

fn frame(packet: &Packet) -> Frame {
    Frame { to: DIRECTOR, from: ROUTER, tags: Vec::new(), ethertype: 0x0800, payload: packet.bytes() }
}

fn ip(packet: &Packet) -> Vec<u8> {
    frame(packet).bytes()
}

/// A packet of so many bytes.
fn long(packet: Packet, bytes: usize) -> Packet {
    let headers = packet.bytes().len() - packet.data;
    Packet { data: bytes - headers, ..packet }
}

/// Where the network layer begins.
fn network(frame: &[u8]) -> usize {
    let mut offset = 14;
    while [[0x81, 0x00], [0x88, 0xa8]].contains(&[frame[offset - 2], frame[offset - 1]]) {
        offset += 4;
    }
    offset
}

/// The answer to `input`. Its identification, which may be any, is that of `output`.
fn answer(input: &[u8], (kind, rest): ([u8; 2], [u8; 4]), output: &[u8]) -> Vec<u8> {
    let offset = network(input);
    let packet = &input[offset..];
    let len = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let quote = &packet[..len.min(576 - 28)];

    let mut icmp = [&kind[..], &[0, 0], &rest, quote].concat();
    let check = checksum::internet(&icmp);
    icmp[2..4].copy_from_slice(&check.to_be_bytes());

    let mut head = vec![0x45, 0xc0];
    head.extend((20 + icmp.len() as u16).to_be_bytes());
    head.extend(output.get(offset + 4..offset + 6).unwrap_or(&[0; 2]));
    head.extend([0, 0, 64, 1, 0, 0]);
    head.extend([&packet[16..20], &packet[12..16]].concat());
    let check = checksum::internet(&head);
    head[10..12].copy_from_slice(&check.to_be_bytes());
    [&ROUTER[..], &DIRECTOR, &input[12..offset], &head, &icmp].concat()
}

type Row = (&'static str, Vec<u8>, &'static str, ([u8; 2], [u8; 4]));

fn check(rows: Vec<Row>) {
    let bench = director();
    assert!(rows.len() < icmp::RATE.burst as usize);
    for (description, input, counter, kind) in rows {
        let outcome = bench.run(&input).unwrap_or_else(|error| panic!("{description}: {error:#}"));
        assert_eq!(outcome.counted, [(counter, 1)], "{description}: counters");
        assert_eq!(outcome.action, action::TX, "{description}: XDP action");
        let expected = answer(&input, kind, &outcome.frame);
        assert_eq!(outcome.frame, expected, "{description}: the answer");
        assert_eq!(checksum::internet(&expected[network(&input)..][..20]), 0, "{description}: IP checksum");
        assert_eq!(checksum::internet(&expected[network(&input) + 20..]), 0, "{description}: ICMP checksum");
    }
}

#[test]
fn a_connection_that_nobody_takes_is_answered_with_port_unreachable() {
    let row = |description, frame| (description, frame, "answer_no_server", UNREACHABLE);
    let tagged = |protocol| frame(&syn(81)).tagged(protocol, 7);
    let options = |len| Packet { options: vec![1; len], ..syn(81) };
    check(vec![
        row("no server with a weight", ip(&syn(81))),
        row("no server at all", ip(&datagram(81))),
        row("a server that is not resolved", ip(&syn(84))),
        row("no data", ip(&Packet { data: 0, ..datagram(81) })),
        row("bytes behind the IP packet", [ip(&syn(81)), vec![0xaa; 41]].concat()),
        row("an odd length", ip(&Packet { data: 1, ..syn(81) })),
        row("two bytes more than a word", ip(&Packet { data: 2, ..syn(81) })),
        row("one byte less than a word", ip(&Packet { data: 3, ..syn(81) })),
        row("one byte less than the longest quote", ip(&long(syn(81), 547))),
        row("the longest quote", ip(&long(syn(81), 548))),
        row("one byte more", ip(&long(syn(81), 549))),
        row("exactly one chunk of a checksum", ip(&long(syn(81), 512 - 8))),
        row("a chunk and one byte", ip(&long(syn(81), 513 - 8))),
        row("a full frame", ip(&long(syn(81), 1500))),
        row("a full frame of UDP with an odd length", ip(&long(datagram(81), 1499))),
        row("a jumbo frame in one buffer", ip(&long(datagram(81), 3000))),
        row("a jumbo frame in several", ip(&long(datagram(81), 8999))),
        row("the longest packet", ip(&long(datagram(81), 65_535))),
        row("IP options of 4 bytes", ip(&options(4))),
        row("IP options of 40 bytes", ip(&long(options(40), 1500))),
        row("a VLAN tag", tagged(VLAN).bytes()),
        row("an 802.1ad tag", tagged(QINQ).bytes()),
        row("QinQ", tagged(QINQ).tagged(VLAN, 8).bytes()),
        row("QinQ and a jumbo frame", frame(&long(syn(81), 9000)).tagged(QINQ, 7).tagged(VLAN, 8).bytes()),
        row("a first TTL of 1", ip(&Packet { ttl: 1, ..syn(81) })),
    ]);
}

#[test]
fn a_ttl_that_ends_here_is_answered_with_time_exceeded() {
    let row = |description, frame| (description, frame, "answer_ttl", EXCEEDED);
    let last = |packet| Packet { ttl: 1, ..packet };
    check(vec![
        row("TTL 1", ip(&last(syn(80)))),
        row("TTL 0", ip(&Packet { ttl: 0, ..syn(80) })),
        row("to another interface", ip(&last(datagram(53)))),
        row("a full frame", ip(&last(long(syn(80), 1500)))),
        row("a VLAN tag", frame(&last(syn(80))).tagged(VLAN, 7).bytes()),
        row("and longer than the MTU", ip(&last(long(syn(83), 1401)))),
    ]);
}

#[test]
fn a_packet_that_is_too_long_is_answered_with_the_mtu() {
    let row = |description, frame| (description, frame, "answer_too_big", NEEDED);
    let whole = |packet| Packet { fragment: 0x4000, ..packet };
    check(vec![
        row("a byte too long", ip(&long(syn(83), 1401))),
        row("a full frame", ip(&long(syn(83), 1500))),
        row("UDP", ip(&long(whole(datagram(53)), 1500))),
        row("a jumbo frame", ip(&long(whole(datagram(53)), 9000))),
        row("QinQ", frame(&long(syn(83), 1500)).tagged(QINQ, 7).tagged(VLAN, 8).bytes()),
    ]);
}

#[test]
fn what_is_as_long_as_the_mtu_is_forwarded_and_what_may_be_fragmented_is_dropped() {
    let bench = director();
    let tagged = frame(&long(syn(83), NARROW.into())).tagged(QINQ, 7).tagged(VLAN, 8).bytes();
    for input in [ip(&long(datagram(53), NARROW.into())), tagged] {
        let outcome = bench.run(&input).expect("the program runs");
        assert_eq!(outcome.counted, [("forwarded_redirect", 1)]);
        assert_eq!(outcome.frame[..12], [mac(4), OTHER_PORT].concat());
        assert_eq!(outcome.frame.len(), input.len());
    }
    let outcome = bench.run(&ip(&long(datagram(53), 1401))).expect("the program runs");
    assert_eq!((outcome.action, outcome.counted), (action::DROP, vec![("drop_too_big", 1)]));
}

#[test]
fn a_source_that_is_no_single_host_gets_no_answer() {
    let bench = director();
    for source in [[0; 4], [127, 0, 0, 1], [224, 0, 0, 18], [239, 1, 2, 3], [240, 0, 0, 1], [255; 4]] {
        let client = (source, 40_000);
        for packet in [Packet { client, ..syn(81) }, Packet { client, ttl: 1, ..syn(80) }] {
            let outcome = bench.run(&ip(&packet)).expect("the program runs");
            let dropped = (action::DROP, vec![("drop_no_answer", 1)]);
            assert_eq!((outcome.action, outcome.counted), dropped, "from {source:?}");
        }
    }
}

#[test]
fn answers_are_limited_but_not_those_that_find_out_the_mtu() {
    let bench = director();
    let program = bench.program().expect("the program");
    pin_to(0).expect("a CPU");
    let input = ip(&syn(81));
    let begin = Instant::now();
    let answered = (0..1_000_000)
        .take_while(|_| run(program, &input).expect("the program runs").0 == action::TX)
        .count() as u64;
    // The program's clock ticks 100 times a second at least.
    let longer = begin.elapsed().as_nanos() as u64 + 10_000_000;
    let allowed = icmp::RATE.burst..=icmp::RATE.burst + longer / icmp::RATE.interval_ns;
    assert!(allowed.contains(&answered), "{answered} answers, of which {allowed:?} are allowed");
    let counters = bench.counters().expect("counters");
    assert_eq!((counters.answer_no_server, counters.drop_answer_limit), (answered, 1));
    for _ in 0..100 {
        let (action, _) = run(program, &ip(&long(syn(83), 1500))).expect("the program runs");
        assert_eq!(action, action::TX);
    }
    assert_eq!(bench.counters().expect("counters").answer_too_big, 100);
}
