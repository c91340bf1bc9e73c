//! The same for IPv6, where every service has one server, so that one director does for all rows.

use std::net::Ipv6Addr;

use lb_common::{sched::Scheduler, sctp::chunk, tcp::flag};
use xlvs::control::{Event, Way};

use crate::{
    bench::{Bench, OTHER_PORT, VIP6, mac, rip6, service6},
    frame::{Frame, ICMP, SCTP, TCP, UDP},
    frame6::{
        Extension::{self, Authentication, Destination, Fragment, HopByHop, Routing},
        Packet6,
    },
    rows::{
        Expect::{Drop, Pass, Redirected, Sent},
        Row, check_on,
    },
};

const CLIENT: (Ipv6Addr, u16) = (Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 7), 40_000);
const VLAN: u16 = 0x8100;
const QINQ: u16 = 0x88a8;

/// 80 TCP and SCTP and 53 UDP to server 2; 82 is local; 83 through the other interface.
fn director() -> Bench {
    let services = [(TCP, 80, 2), (SCTP, 80, 2), (UDP, 53, 2), (TCP, 82, 3), (TCP, 83, 4)];
    let services =
        services.map(|(protocol, port, last)| service6(protocol, port, Scheduler::Rr, &[(last, 1)]));
    let mut bench = Bench::new(&services).expect("the program loads");
    bench.resolve(2, 0);
    bench.event(&Event::Way(rip6(3), Way::Local));
    bench.resolve(4, 1);
    bench
}

fn syn(port: u16) -> Packet6 {
    Packet6::tcp(CLIENT, (VIP6, port), flag::SYN)
}

fn datagram(port: u16) -> Packet6 {
    Packet6::udp(CLIENT, (VIP6, port))
}

fn init() -> Packet6 {
    Packet6::sctp(CLIENT, (VIP6, 80), chunk::INIT)
}

fn ip(packet: &Packet6) -> Vec<u8> {
    packet.frame().bytes()
}

/// The frame of `packet` with `change` done to its IPv6 packet.
fn damaged(packet: &Packet6, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = packet.frame();
    change(&mut frame.payload);
    frame.bytes()
}

/// The frame cut after `len` bytes.
fn cut(packet: &Packet6, len: usize) -> Vec<u8> {
    let mut bytes = ip(packet);
    bytes.truncate(len);
    bytes
}

fn forwarded() -> Vec<Row> {
    let ttl = |hop_limit| ip(&Packet6 { hop_limit, ..syn(80) });
    vec![
        ("TCP SYN", ip(&syn(80)), Sent(2)),
        ("TCP SYN with ECN bits", ip(&Packet6 { flags: flag::SYN | 0xc0, ..syn(80) }), Sent(2)),
        ("TCP SYN with data", ip(&Packet6 { data: 100, ..syn(80) }), Sent(2)),
        ("UDP", ip(&datagram(53)), Sent(2)),
        ("UDP without data", ip(&Packet6 { data: 0, ..datagram(53) }), Sent(2)),
        ("UDP of 1452 bytes", ip(&Packet6 { data: 1452, ..datagram(53) }), Sent(2)),
        ("SCTP INIT", ip(&init()), Sent(2)),
        ("one VLAN tag", syn(80).frame().tagged(VLAN, 7).bytes(), Sent(2)),
        ("QinQ", syn(80).frame().tagged(QINQ, 7).tagged(VLAN, 8).bytes(), Sent(2)),
        ("hop limit 2", ttl(2), Sent(2)),
        ("hop limit 255", ttl(255), Sent(2)),
        ("bytes behind the IPv6 packet", [ip(&syn(80)), vec![0xaa; 40]].concat(), Sent(2)),
        ("a server behind another interface", ip(&syn(83)), Redirected(4)),
        ("VLAN to another interface", syn(83).frame().tagged(VLAN, 7).bytes(), Redirected(4)),
        ("a server that is this host", ip(&syn(82)), Pass("local")),
        ("this host with hop limit 1", ip(&Packet6 { hop_limit: 1, ..syn(82) }), Pass("local")),
    ]
}

fn extended() -> Vec<Row> {
    let behind = |headers: &[Extension]| ip(&syn(80).behind(headers));
    let ack = Packet6::tcp((CLIENT.0, 1), (VIP6, 80), flag::ACK);
    let all = [HopByHop(0), Destination(0), Routing(2), Extension::ATOMIC, Authentication(3), Destination(1)];
    vec![
        ("hop-by-hop options", behind(&[HopByHop(0)]), Sent(2)),
        ("hop-by-hop options of 64 bytes", behind(&[HopByHop(7)]), Sent(2)),
        ("a routing header", behind(&[Routing(0)]), Sent(2)),
        ("destination options", behind(&[Destination(0)]), Sent(2)),
        ("an authentication header of 12 bytes", behind(&[Authentication(0)]), Sent(2)),
        ("an authentication header of 24 bytes", behind(&[Authentication(3)]), Sent(2)),
        ("an atomic fragment", behind(&[Extension::ATOMIC]), Sent(2)),
        ("all of them in their order", behind(&all), Sent(2)),
        ("all of them and UDP", ip(&datagram(53).behind(&all)), Sent(2)),
        ("all of them and SCTP", ip(&init().behind(&all)), Sent(2)),
        ("all of them in a tagged frame", syn(80).behind(&all).frame().tagged(VLAN, 7).bytes(), Sent(2)),
        ("eight headers", behind(&[Destination(0); 8]), Sent(2)),
        ("nine headers", behind(&[Destination(0); 9]), Drop("drop_bad_header")),
        ("headers of 1400 bytes", behind(&[Destination(174)]), Sent(2)),
        ("headers that never end", behind(&[Destination(250)]), Drop("drop_bad_header")),
        ("ACK without a flow", ip(&ack.behind(&all)), Pass("pass_no_flow")),
        ("no service", ip(&syn(8080).behind(&all)), Pass("pass_no_service")),
        ("an echo request", ip(&echo().behind(&all)), Pass("pass_protocol")),
        ("VRRP", ip(&Packet6 { protocol: 112, ..datagram(0) }.behind(&all)), Pass("pass_protocol")),
        ("no next header", ip(&Packet6 { protocol: 59, ..datagram(0) }.behind(&all)), Pass("pass_protocol")),
    ]
}

fn echo() -> Packet6 {
    Packet6::icmp(CLIENT.0, VIP6, [&[128, 0, 0, 0, 0, 1, 0, 1][..], &[0xda; 56]].concat())
}

fn not_ours() -> Vec<Row> {
    let flags = |flags| ip(&Packet6 { flags, ..syn(80) });
    let piece = |offset, more| ip(&datagram(53).behind(&[Fragment(offset, more)]));
    let elsewhere = Ipv6Addr::from_bits(VIP6.to_bits() ^ 1);
    let prefix = Ipv6Addr::from_bits(VIP6.to_bits() ^ 1 << 127);
    let to = |address| ip(&Packet6 { service: (address, 80), ..syn(80) });
    let mapped = Ipv6Addr::from_bits(0xffff_0a00_0064);
    let unknown = |protocol| ip(&Packet6 { protocol, ..datagram(0) });
    vec![
        ("another port", ip(&syn(8080)), Pass("pass_no_service")),
        ("an address that ends otherwise", to(elsewhere), Pass("pass_no_service")),
        ("an address that begins otherwise", to(prefix), Pass("pass_no_service")),
        ("UDP to a TCP service", ip(&datagram(80)), Pass("pass_no_service")),
        ("TCP to a UDP service", ip(&syn(53)), Pass("pass_no_service")),
        ("an echo request", ip(&echo()), Pass("pass_protocol")),
        (
            "a neighbour solicitation",
            ip(&Packet6::icmp(CLIENT.0, VIP6, solicitation())),
            Pass("pass_protocol"),
        ),
        ("ICMP of IPv4", unknown(ICMP), Pass("pass_protocol")),
        (
            "the beginning of an ICMPv6 message",
            ip(&Packet6::icmp(CLIENT.0, VIP6, vec![128, 0])),
            Pass("pass_protocol"),
        ),
        ("VRRP", unknown(112), Pass("pass_protocol")),
        ("no next header", unknown(59), Pass("pass_protocol")),
        ("a tunnel", unknown(41), Pass("pass_protocol")),
        ("encryption", unknown(50), Pass("pass_protocol")),
        ("all nodes", syn(80).frame().to([0x33, 0x33, 0, 0, 0, 1]).bytes(), Pass("pass_other_host")),
        ("flooded for a real server", syn(80).frame().to(mac(1)).bytes(), Pass("pass_other_host")),
        ("the other interface's MAC", syn(80).frame().to(OTHER_PORT).bytes(), Pass("pass_other_host")),
        ("a middle fragment", piece(185, true), Pass("pass_early_fragment")),
        ("a last fragment", piece(370, false), Pass("pass_early_fragment")),
        ("ACK without a flow", flags(flag::ACK), Pass("pass_no_flow")),
        ("RST without a flow", flags(flag::RST), Pass("pass_no_flow")),
        ("SYN and RST", flags(flag::SYN | flag::RST), Pass("pass_no_flow")),
        ("SCTP DATA without a flow", ip(&Packet6 { flags: 0, ..init() }), Pass("pass_no_flow")),
        ("an IPv4 VIP, mapped", to(mapped), Pass("pass_no_service")),
    ]
}

/// Neighbours ask for the VIP; the stack answers.
fn solicitation() -> Vec<u8> {
    [&[135, 0, 0, 0, 0, 0, 0, 0][..], &VIP6.octets(), &[1, 1, 2, 0, 0, 0, 9, 9]].concat()
}

fn malformed() -> Vec<Row> {
    let version = |version: u8| damaged(&syn(80), move |ip| ip[0] = version << 4);
    let len = |packet: &Packet6, len: u16| damaged(packet, |ip| ip[4..6].copy_from_slice(&len.to_be_bytes()));
    let options = syn(80).behind(&[HopByHop(1)]);
    let ethertype = Frame { ethertype: 0x0800, ..syn(80).frame() };
    vec![
        ("cut behind the Ethernet header", cut(&syn(80), 14), Drop("drop_truncated_ip")),
        ("cut in the IPv6 header", cut(&syn(80), 53), Drop("drop_truncated_ip")),
        ("cut behind the IPv6 header", cut(&syn(80), 54), Drop("drop_truncated_ip")),
        ("cut in the TCP header", cut(&syn(80), 73), Drop("drop_truncated_ip")),
        ("cut in the extension header", cut(&options, 62), Drop("drop_truncated_ip")),
        ("a length that ends in the TCP header", len(&syn(80), 19), Drop("drop_truncated_transport")),
        ("a length of 0", len(&syn(80), 0), Drop("drop_truncated_transport")),
        ("a length of 7 for UDP", len(&datagram(53), 7), Drop("drop_truncated_transport")),
        ("a length of 15 for SCTP", len(&init(), 15), Drop("drop_truncated_transport")),
        ("a length beyond the frame", len(&syn(80), 1000), Drop("drop_truncated_ip")),
        ("a length that ends in the extension header", len(&options, 15), Drop("drop_truncated_ip")),
        ("a length that ends behind it", len(&options, 16), Drop("drop_truncated_transport")),
        (
            "an extension header beyond the frame",
            damaged(&options, |ip| ip[41] = 100),
            Drop("drop_truncated_ip"),
        ),
        ("version 4", version(4), Drop("drop_bad_header")),
        ("version 7", version(7), Drop("drop_bad_header")),
        ("IPv6 under IPv4's EtherType", ethertype.bytes(), Drop("drop_bad_header")),
    ]
}

#[test]
fn ipv6_to_a_service_is_forwarded() {
    check_on(&director(), forwarded());
}

#[test]
fn extension_headers_are_walked() {
    check_on(&director(), extended());
}

#[test]
fn ipv6_that_is_not_ours_is_passed_unchanged() {
    check_on(&director(), not_ours());
}

#[test]
fn ipv6_that_is_malformed_is_dropped() {
    check_on(&director(), malformed());
}
