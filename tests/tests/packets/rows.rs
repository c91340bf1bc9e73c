//! Rows that stand alone: each frame meets a director that has seen nothing before it.

use lb_common::{checksum, sched::Scheduler, tcp::flag};
use xlvs::control::{Event, Way};

use crate::{
    bench::{Bench, DIRECTOR, OTHER_PORT, action, mac, rip, service},
    frame::{Frame, Packet, TCP, UDP},
};

const VIP: [u8; 4] = [10, 0, 0, 100];
const CLIENT: ([u8; 4], u16) = ([192, 0, 2, 7], 40_000);
const VLAN: u16 = 0x8100;
const QINQ: u16 = 0x88a8;

/// What a row expects.
pub(crate) enum Expect {
    /// Rewritten for this server and sent out of the interface it came in by.
    Sent(u8),
    /// Rewritten for this server and sent out of the other interface.
    Redirected(u8),
    /// Unchanged, to the stack, under this counter.
    Pass(&'static str),
    /// Dropped under this counter.
    Drop(&'static str),
}
use Expect::{Drop, Pass, Redirected, Sent};

/// A description, a frame, what is expected.
pub(crate) type Row = (&'static str, Vec<u8>, Expect);

/// 80 TCP and 53 UDP to servers 1 and 2, of which the last added comes first; 82 is local; 83 through the other
/// interface; 85 to server 1 under wrr.
fn director() -> Bench {
    let services = [
        service(TCP, 80, Scheduler::Rr, &[(1, 1), (2, 1)]),
        service(UDP, 53, Scheduler::Rr, &[(1, 1), (2, 1)]),
        service(TCP, 82, Scheduler::Rr, &[(3, 1)]),
        service(TCP, 83, Scheduler::Rr, &[(4, 1)]),
        service(TCP, 85, Scheduler::Wrr, &[(1, 3)]),
    ];
    let mut bench = Bench::new(&services).expect("the program loads");
    for last in [1, 2] {
        bench.resolve(last, 0);
    }
    bench.event(&Event::Way(rip(3), Way::Local));
    bench.resolve(4, 1);
    bench
}

fn frame(payload: Vec<u8>) -> Frame {
    Frame { to: DIRECTOR, from: [2, 0, 0, 0, 9, 9], tags: Vec::new(), ethertype: 0x0800, payload }
}

fn syn(port: u16) -> Packet {
    Packet::tcp(CLIENT, (VIP, port), flag::SYN)
}

fn datagram(port: u16) -> Packet {
    Packet::udp(CLIENT, (VIP, port))
}

fn ip(packet: &Packet) -> Vec<u8> {
    frame(packet.bytes()).bytes()
}

/// The frame of `packet` with `change` done to its IP packet and the header checksum made right again.
fn damaged(packet: &Packet, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = packet.bytes();
    change(&mut bytes);
    frame(bytes).bytes()
}

/// The frame cut after `len` bytes.
fn cut(packet: &Packet, len: usize) -> Vec<u8> {
    let mut bytes = frame(packet.bytes()).bytes();
    bytes.truncate(len);
    bytes
}

fn forwarded() -> Vec<Row> {
    let options = |options: Vec<u8>| ip(&Packet { options, ..syn(80) });
    vec![
        ("TCP SYN", ip(&syn(80)), Sent(2)),
        ("TCP SYN with ECN bits", ip(&Packet { flags: flag::SYN | 0xc0, ..syn(80) }), Sent(2)),
        ("TCP SYN with data", ip(&Packet { data: 100, ..syn(80) }), Sent(2)),
        ("TCP SYN under wrr", ip(&syn(85)), Sent(1)),
        ("UDP", ip(&datagram(53)), Sent(2)),
        ("UDP without data", ip(&Packet { data: 0, ..datagram(53) }), Sent(2)),
        ("UDP of 1472 bytes", ip(&Packet { data: 1472, ..datagram(53) }), Sent(2)),
        ("IP options of 4 bytes", options(vec![1; 4]), Sent(2)),
        ("IP options of 40 bytes", options(vec![1; 40]), Sent(2)),
        ("one VLAN tag", frame(syn(80).bytes()).tagged(VLAN, 7).bytes(), Sent(2)),
        ("an 802.1ad tag", frame(syn(80).bytes()).tagged(QINQ, 7).bytes(), Sent(2)),
        ("QinQ", frame(syn(80).bytes()).tagged(QINQ, 7).tagged(VLAN, 8).bytes(), Sent(2)),
        (
            "two 802.1Q tags and UDP",
            frame(datagram(53).bytes()).tagged(VLAN, 1).tagged(VLAN, 2).bytes(),
            Sent(2),
        ),
        ("TTL 2", ip(&Packet { ttl: 2, ..syn(80) }), Sent(2)),
        ("TTL 255", ip(&Packet { ttl: 255, ..syn(80) }), Sent(2)),
        ("bytes behind the IP packet", [ip(&syn(80)), vec![0xaa; 40]].concat(), Sent(2)),
        ("a server behind another interface", ip(&syn(83)), Redirected(4)),
        ("VLAN to another interface", frame(syn(83).bytes()).tagged(VLAN, 7).bytes(), Redirected(4)),
        ("a server that is this host", ip(&syn(82)), Pass("local")),
        ("this host with TTL 1", ip(&Packet { ttl: 1, ..syn(82) }), Pass("local")),
    ]
}

fn not_ours() -> Vec<Row> {
    let other = |ethertype| Frame { ethertype, ..frame(vec![0; 46]) }.bytes();
    let elsewhere = Packet { service: ([10, 0, 0, 101], 80), ..syn(80) };
    vec![
        ("another port", ip(&syn(8080)), Pass("pass_no_service")),
        ("another address", ip(&elsewhere), Pass("pass_no_service")),
        ("UDP to a TCP service", ip(&datagram(80)), Pass("pass_no_service")),
        ("TCP to a UDP service", ip(&syn(53)), Pass("pass_no_service")),
        ("ICMP to the VIP", ip(&Packet { protocol: 1, ..datagram(0) }), Pass("pass_protocol")),
        ("VRRP", ip(&Packet { protocol: 112, ..datagram(0) }), Pass("pass_protocol")),
        ("SCTP", ip(&Packet { protocol: 132, ..datagram(80) }), Pass("pass_no_service")),
        ("ARP", other(0x0806), Pass("pass_not_ip")),
        ("LLDP", other(0x88cc), Pass("pass_not_ip")),
        ("an 802.3 length", other(46), Pass("pass_not_ip")),
        ("three VLAN tags", triple_tagged(), Pass("pass_not_ip")),
        (
            "a VLAN tag and ARP",
            Frame { ethertype: 0x0806, ..frame(vec![0; 46]) }.tagged(VLAN, 1).bytes(),
            Pass("pass_not_ip"),
        ),
        ("broadcast", frame(syn(80).bytes()).to([0xff; 6]).bytes(), Pass("pass_other_host")),
        ("multicast", frame(syn(80).bytes()).to([1, 0, 0x5e, 0, 0, 18]).bytes(), Pass("pass_other_host")),
        ("flooded for a real server", frame(syn(80).bytes()).to(mac(1)).bytes(), Pass("pass_other_host")),
        ("the other interface's MAC", frame(syn(80).bytes()).to(OTHER_PORT).bytes(), Pass("pass_other_host")),
        (
            "a first fragment of ICMP",
            ip(&Packet { fragment: 0x2000, protocol: 1, ..datagram(0) }),
            Pass("pass_fragment"),
        ),
        (
            "a later fragment of ICMP",
            ip(&Packet { fragment: 0x0010, protocol: 1, ..datagram(0) }),
            Pass("pass_fragment"),
        ),
        ("ACK without a flow", ip(&Packet { flags: flag::ACK, ..syn(80) }), Pass("pass_no_flow")),
        ("FIN without a flow", ip(&Packet { flags: flag::FIN | flag::ACK, ..syn(80) }), Pass("pass_no_flow")),
        ("RST without a flow", ip(&Packet { flags: flag::RST, ..syn(80) }), Pass("pass_no_flow")),
        ("SYN from FTP's data port", ip(&Packet { client: (CLIENT.0, 20), ..syn(80) }), Pass("pass_no_flow")),
        ("SYN and RST", ip(&Packet { flags: flag::SYN | flag::RST, ..syn(80) }), Pass("pass_no_flow")),
        ("no TCP flags", ip(&Packet { flags: 0, ..syn(80) }), Pass("pass_no_flow")),
    ]
}

fn triple_tagged() -> Vec<u8> {
    frame(syn(80).bytes()).tagged(QINQ, 1).tagged(QINQ, 2).tagged(VLAN, 3).bytes()
}

fn malformed() -> Vec<Row> {
    let bad_version = damaged(&syn(80), |ip| ip[0] = 0x65);
    let bad_ihl = |ihl: u8| damaged(&syn(80), move |ip| ip[0] = 0x40 | ihl);
    let total = |total: u16| damaged(&syn(80), move |ip| ip[2..4].copy_from_slice(&total.to_be_bytes()));
    let tag_only = {
        let mut bytes = frame(syn(80).bytes()).tagged(VLAN, 1).bytes();
        bytes.truncate(16);
        bytes
    };
    let inner_tag_only = {
        let mut bytes = frame(syn(80).bytes()).tagged(QINQ, 1).tagged(VLAN, 1).bytes();
        bytes.truncate(20);
        bytes
    };
    vec![
        ("cut in the VLAN tag", tag_only, Drop("drop_truncated_link")),
        ("cut in the inner VLAN tag", inner_tag_only, Drop("drop_truncated_link")),
        ("cut behind the Ethernet header", cut(&syn(80), 14), Drop("drop_truncated_ip")),
        ("cut in the IP header", cut(&syn(80), 33), Drop("drop_truncated_ip")),
        ("cut behind the IP header", cut(&syn(80), 34), Drop("drop_truncated_ip")),
        ("cut in the TCP header", cut(&syn(80), 53), Drop("drop_truncated_ip")),
        ("cut in the UDP header", cut(&datagram(53), 41), Drop("drop_truncated_ip")),
        ("cut in the data", cut(&Packet { data: 400, ..syn(80) }, 200), Drop("drop_truncated_ip")),
        ("an IP length that ends in the TCP header", total(39), Drop("drop_truncated_transport")),
        ("an IP length without a transport header", total(20), Drop("drop_truncated_transport")),
        ("an IP length beyond the frame", total(1000), Drop("drop_truncated_ip")),
        ("an IP length below the IP header", total(19), Drop("drop_bad_header")),
        ("IHL 0", bad_ihl(0), Drop("drop_bad_header")),
        ("IHL 4", bad_ihl(4), Drop("drop_bad_header")),
        ("IHL beyond the IP length", bad_ihl(15), Drop("drop_bad_header")),
        ("IP version 6 under IPv4's EtherType", bad_version, Drop("drop_bad_header")),
    ]
}

/// The frame as it must leave for `server`: addresses, TTL and checksum or hop limit changed, nothing else.
pub(crate) fn rewritten(input: &[u8], server: u8, source: [u8; 6]) -> Vec<u8> {
    let mut frame = input.to_vec();
    frame[..6].copy_from_slice(&mac(server));
    frame[6..12].copy_from_slice(&source);
    let mut network = 12;
    while [[0x81, 0x00], [0x88, 0xa8]].contains(&[frame[network], frame[network + 1]]) {
        network += 4;
    }
    let header = &mut frame[network + 2..];
    if header[0] >> 4 == 6 {
        header[7] -= 1;
        return frame;
    }
    let len = usize::from(header[0] & 0xf) * 4;
    header[8] -= 1;
    header[10..12].fill(0);
    let check = checksum::internet(&header[..len]);
    header[10..12].copy_from_slice(&check.to_be_bytes());
    frame
}

fn check(rows: Vec<Row>) {
    for row in rows {
        check_on(&director(), vec![row]);
    }
}

/// Runs the rows through one director.
pub(crate) fn check_on(bench: &Bench, rows: Vec<Row>) {
    for (description, input, expect) in rows {
        let outcome = bench.run(&input).unwrap_or_else(|error| panic!("{description}: {error:#}"));
        let (expected_action, counter, frame) = match expect {
            Sent(server) => (action::TX, "forwarded_tx", Some(rewritten(&input, server, DIRECTOR))),
            Redirected(server) => {
                (action::REDIRECT, "forwarded_redirect", Some(rewritten(&input, server, OTHER_PORT)))
            }
            Pass(counter) => (action::PASS, counter, Some(input)),
            Drop(counter) => (action::DROP, counter, None),
        };
        assert_eq!(outcome.counted, [(counter, 1)], "{description}: counters");
        assert_eq!(outcome.action, expected_action, "{description}: XDP action");
        if let Some(frame) = frame {
            assert_eq!(outcome.frame, frame, "{description}: the frame afterwards");
        }
    }
}

#[test]
fn what_is_for_a_service_is_forwarded() {
    check(forwarded());
}

#[test]
fn what_is_not_ours_is_passed_unchanged() {
    check(not_ours());
}

#[test]
fn what_is_malformed_is_dropped() {
    check(malformed());
}

#[test]
fn there_are_enough_rows() {
    assert!(forwarded().len() + not_ours().len() + malformed().len() >= 60);
}
