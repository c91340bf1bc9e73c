//! Firewall marks: which service's a packet is by the rules, and what is left to services by address.

use std::net::IpAddr;

use lb_common::{
    layout::{Address, Lease, MarkRule, NO_VMAC},
    sched::Scheduler,
    tcp::flag,
};
use xlvs::plan::{ServiceKey, Wanted, mapped};

use crate::{
    beginnings::{CLIENT, TCP, UDP, VIP, bytes, resolved, segment, served},
    bench::{Bench, DIRECTOR, service},
    both::{Family, PORT, serve},
    frame::{Frame, Packet},
};

/// A rule for every packet.
pub(crate) const ALL: MarkRule = MarkRule {
    source_mask: Address { octets: [0; 16] },
    source: Address { octets: [0; 16] },
    destination_mask: Address { octets: [0; 16] },
    destination: Address { octets: [0; 16] },
    ports: [0, u16::MAX],
    protocol: 0,
    reserved: [0; 3],
    mark: 0,
    reserved2: 0,
};

fn v6(groups: [u16; 8]) -> Address {
    mapped(IpAddr::from(groups))
}

/// The service of a mark: its only server says which.
pub(crate) fn of_mark(is_v6: bool, mark: u32, last: u8) -> Wanted {
    Wanted { key: ServiceKey::of_mark(is_v6, mark), ..service(TCP, 0, Scheduler::Rr, &[(last, 1)]) }
}

fn director(services: &[Wanted], rules: &[MarkRule]) -> Bench {
    resolved(Bench::with_marks(services, rules, &[]).expect("the program loads"))
}

/// The server of a TCP connection.
fn tcp(bench: &Bench, client: [u8; 4], service: ([u8; 4], u16)) -> Option<u8> {
    served(bench, &segment((client, 1), service, flag::SYN))
}

fn v6_syn(client: [u16; 8], vip: [u16; 8], port: u16) -> Vec<u8> {
    let address = |groups: [u16; 8]| std::net::Ipv6Addr::from(groups).octets();
    let head = [&[0x60, 0, 0, 0, 0, 20, 6, 64][..], &address(client), &address(vip)].concat();
    let ports = [1u16.to_be_bytes(), port.to_be_bytes()].concat();
    let segment = [&ports[..], &[0; 8], &[0x50, flag::SYN], &[0xff, 0xff, 0, 0, 0, 0]].concat();
    let payload = [head, segment].concat();
    Frame { to: DIRECTOR, from: [2, 0, 0, 0, 9, 9], tags: Vec::new(), ethertype: 0x86dd, payload }.bytes()
}

#[test]
fn the_first_rule_that_fits_decides() {
    let rules = [
        MarkRule { ports: [80, 89], mark: 1, ..ALL },
        MarkRule { ports: [85, 100], mark: 2, ..ALL },
        MarkRule { ports: [80, 80], mark: 3, ..ALL },
    ];
    let bench = director(&[of_mark(false, 1, 1), of_mark(false, 2, 2), of_mark(false, 3, 3)], &rules);
    for (port, server) in [(80, 1), (85, 1), (89, 1), (90, 2), (100, 2)] {
        assert_eq!(tcp(&bench, CLIENT, (VIP, port)), Some(server), "port {port}");
    }
    for port in [79, 101] {
        let outcome = bench.run(&segment((CLIENT, 1), (VIP, port), flag::SYN)).expect("the program runs");
        assert_eq!(outcome.counted, [("pass_no_service", 1)], "port {port}");
    }
}

#[test]
fn a_rule_names_sources_destinations_and_protocols() {
    let of_client = MarkRule {
        source_mask: Address::mask(96 + 24),
        source: Address::v4([192, 0, 2, 0]),
        protocol: TCP,
        mark: 1,
        ..ALL
    };
    let of_vip = MarkRule {
        destination_mask: Address::mask(128),
        destination: Address::v4([10, 0, 0, 101]),
        protocol: UDP,
        mark: 2,
        ..ALL
    };
    let services = [
        of_mark(false, 1, 1),
        of_mark(false, 2, 2),
        service(TCP, 80, Scheduler::Rr, &[(3, 1)]),
        service(UDP, 80, Scheduler::Rr, &[(3, 1)]),
    ];
    let bench = director(&services, &[of_client, of_vip]);
    assert_eq!(tcp(&bench, CLIENT, (VIP, 80)), Some(1), "a mark goes before an address");
    assert_eq!(tcp(&bench, CLIENT, ([203, 0, 113, 1], 9)), Some(1), "whatever the address");
    assert_eq!(tcp(&bench, [192, 0, 3, 7], (VIP, 80)), Some(3), "no rule: by address");
    let udp = |vip| served(&bench, &bytes(&Packet::udp((CLIENT, 1), (vip, 80))));
    assert_eq!((udp([10, 0, 0, 101]), udp(VIP)), (Some(2), Some(3)));
}

#[test]
fn masks_are_of_one_family() {
    const CLIENT6: [u16; 8] = [0x2001, 0xdb8, 0, 1, 0, 0, 0, 7];
    const VIP6: [u16; 8] = [0xfd99, 0, 0, 0, 0, 0, 0, 0x100];
    let rules = [
        MarkRule {
            source_mask: Address::mask(64),
            source: v6([0x2001, 0xdb8, 0, 1, 0, 0, 0, 0]),
            mark: 1,
            ..ALL
        },
        // All of IPv4: a prefix of no bits.
        MarkRule { source_mask: Address::mask(96), source: Address::v4([0; 4]), mark: 1, ..ALL },
        MarkRule {
            destination_mask: Address::mask(128),
            destination: v6(VIP6),
            ports: [80, 80],
            mark: 2,
            ..ALL
        },
    ];
    let bench = director(&[of_mark(false, 1, 1), of_mark(true, 1, 2), of_mark(true, 2, 3)], &rules);
    assert_eq!(tcp(&bench, CLIENT, (VIP, 80)), Some(1));
    assert_eq!(served(&bench, &v6_syn(CLIENT6, VIP6, 80)), Some(2), "the same mark in the other family");
    let stranger = [0x2001, 0xdb8, 0, 2, 0, 0, 0, 7];
    assert_eq!(served(&bench, &v6_syn(stranger, VIP6, 80)), Some(3));
    let outcome = bench.run(&v6_syn(stranger, VIP6, 81)).expect("the program runs");
    assert_eq!(outcome.counted, [("pass_no_service", 1)]);
}

#[test]
fn a_mark_that_no_service_has_leaves_the_packet_to_its_address() {
    let rules = [MarkRule { ports: [80, 80], mark: 7, ..ALL }, MarkRule { ports: [80, 81], mark: 1, ..ALL }];
    let services = [of_mark(false, 1, 1), service(TCP, 80, Scheduler::Rr, &[(2, 1)])];
    let bench = director(&services, &rules);
    assert_eq!(tcp(&bench, CLIENT, (VIP, 80)), Some(2), "the first rule has decided");
    assert_eq!(tcp(&bench, CLIENT, (VIP, 81)), Some(1));
}

#[test]
fn as_many_rules_as_there_may_be_are_looked_at() {
    let count = lb_common::layout::MAX_MARK_RULES as u16;
    let rule = |port| MarkRule { ports: [port; 2], mark: 1 + u32::from(port == count), ..ALL };
    let rules: Vec<_> = (1..=count).map(rule).collect();
    let bench = director(&[of_mark(false, 1, 1), of_mark(false, 2, 2)], &rules);
    for (port, server) in [(1, 1), (count - 1, 1), (count, 2)] {
        assert_eq!(tcp(&bench, CLIENT, (VIP, port)), Some(server), "port {port}");
    }
}

#[test]
fn an_error_about_a_connection_of_a_mark_is_the_masters_to_forward() {
    let family = Family::V4;
    let wanted = Wanted { lease: 1, ..of_mark(false, 1, 1) };
    let rules = [MarkRule { ports: [PORT, PORT], mark: 1, ..ALL }];
    let bench = Bench::with_marks(&[wanted], &rules, &[Lease::none(51, NO_VMAC)]);
    let bench = resolved(bench.expect("the program loads"));
    let leases = bench.leases();
    leases.set(1, u64::MAX);
    assert_eq!(serve(&bench, &family.asks(TCP, 1, flag::SYN)), Ok(1));
    let told = family.icmp([3, 4], &family.answers(TCP, 1).bytes());
    assert_eq!(serve(&bench, &told), Ok(1));
    leases.set(1, 0);
    assert_eq!(serve(&bench, &told), Err("pass_not_master"));
}
