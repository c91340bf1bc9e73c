//! Several IPv6 packets one after the other, and both families beside each other.

use std::net::Ipv6Addr;

use lb_common::{sched::Scheduler, tcp::flag};
use xlvs::{control::Event, health::Verdict};

use crate::{
    bench::{Bench, VIP6, service, service6},
    both::{Either, Family, PORT, serve},
    frame::{TCP, UDP},
    frame6::Packet6,
};

fn director(scheduler: Scheduler, servers: &[(u8, u16)]) -> Bench {
    let services = [TCP, UDP].map(|protocol| service6(protocol, PORT, scheduler, servers));
    let mut bench = Bench::new(&services).expect("the program loads");
    for &(last, _) in servers {
        bench.resolve(last, 0);
    }
    bench
}

fn tcp(client: u16, flags: u8) -> Either {
    Family::V6.asks(TCP, client, flags)
}

fn udp(client: u16) -> Either {
    Family::V6.asks(UDP, client, 0)
}

fn picks(bench: &Bench, clients: std::ops::Range<u16>) -> Vec<u8> {
    clients.map(|client| serve(bench, &tcp(client, flag::SYN)).expect("forwarded")).collect()
}

#[test]
fn flows_stay_and_are_counted_once() {
    let bench = director(Scheduler::Rr, &[(1, 1), (2, 1)]);
    assert_eq!(picks(&bench, 1..3), [2, 1]);
    for flags in [flag::SYN, flag::ACK, flag::ACK | 0x08, flag::FIN | flag::ACK, flag::ACK] {
        assert_eq!(serve(&bench, &tcp(1, flags)), Ok(2), "flags {flags:#x}");
        assert_eq!(serve(&bench, &tcp(2, flags)), Ok(1), "flags {flags:#x}");
    }
    assert_eq!(
        [1, 2, 1, 2, 1].map(|client| serve(&bench, &udp(client))),
        [Ok(2), Ok(1), Ok(2), Ok(1), Ok(2)]
    );
    let counts = |protocol| {
        let stats = bench.stats6(PORT, protocol, 2).expect("a row");
        (stats.connections, stats.packets, stats.bytes)
    };
    let segment = tcp(1, 0).bytes().len() as u64;
    assert_eq!(counts(TCP), (1, 6, 6 * segment));
    assert_eq!(counts(UDP), (1, 3, 3 * 58));
}

#[test]
fn a_connection_is_active_until_it_closes() {
    let bench = director(Scheduler::Rr, &[(1, 1)]);
    for (flags, load) in [(flag::SYN, (1, 0)), (flag::ACK, (1, 0)), (flag::FIN | flag::ACK, (0, 1))] {
        assert_eq!(serve(&bench, &tcp(1, flags)), Ok(1));
        assert_eq!(bench.load6(PORT, TCP, 1).expect("a row"), load, "flags {flags:#x}");
    }
    assert_eq!(serve(&bench, &udp(1)), Ok(1));
    assert_eq!(bench.load6(PORT, UDP, 1).expect("a row"), (0, 1));
    assert_eq!(bench.collect_in(301).expect("maps").forgotten, 2);
    assert_eq!(bench.load6(PORT, TCP, 1).expect("a row"), (0, 0));
}

#[test]
fn every_bit_of_an_address_makes_another_flow() {
    let bench = director(Scheduler::Rr, &[(1, 1), (2, 1)]);
    let from = |address: u128, flags| {
        let client = (Ipv6Addr::from_bits(address), 1);
        serve(&bench, &Either::V6(Packet6::tcp(client, (VIP6, PORT), flags)))
    };
    let first = 0x2001_0db8_0007_0000_0000_0000_0000_0007;
    assert_eq!(from(first, flag::SYN), Ok(2));
    for bit in 0..128 {
        let other = first ^ 1 << bit;
        assert_eq!(from(other, flag::ACK), Err("pass_no_flow"), "bit {bit}");
    }
    assert_eq!(from(first, flag::ACK), Ok(2));
}

#[test]
fn wlc_takes_the_server_with_the_least_for_its_weight() {
    let bench = director(Scheduler::Wlc, &[(1, 1), (2, 3)]);
    let picked = picks(&bench, 1..9);
    let seconds: Vec<&u8> = picked.iter().filter(|server| **server == 2).collect();
    assert_eq!(seconds.len(), 6, "{picked:?}");
    for client in (1..9).filter(|&client| picked[usize::from(client) - 1] == 1) {
        // Before an ACK a reset changes nothing.
        for flags in [flag::ACK, flag::RST] {
            assert_eq!(serve(&bench, &tcp(client, flags)), Ok(1));
        }
    }
    assert_eq!(picks(&bench, 9..10), [1], "it has inactive ones only");
}

#[test]
fn schedulers_by_hash_take_the_same_server_for_a_client_even_without_a_syn() {
    for scheduler in [Scheduler::Sh, Scheduler::Mh] {
        let servers = [(1, 1), (2, 1), (3, 1)];
        let (bench, other) = (director(scheduler, &servers), director(scheduler, &servers));
        let from = |bench: &Bench, host: u16, port: u16, flags| {
            let client = (Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, host), port);
            serve(bench, &Either::V6(Packet6::tcp(client, (VIP6, PORT), flags)))
        };
        let mut seen = [0; 4];
        for host in 1..100 {
            let server = from(&bench, host, 1, flag::SYN).expect("forwarded");
            seen[usize::from(server)] += 1;
            assert_eq!(from(&bench, host, 2, flag::SYN), Ok(server), "{scheduler:?}: another port");
            assert_eq!(from(&bench, host, 3, flag::ACK), Ok(server), "{scheduler:?}: no SYN");
            assert_eq!(from(&other, host, 4, flag::ACK), Ok(server), "{scheduler:?}: another director");
            assert_eq!(from(&bench, host, 5, flag::RST), Err("pass_no_flow"), "{scheduler:?}");
        }
        assert!(seen[1..].iter().all(|&count| count > 10), "{scheduler:?}: {seen:?}");
    }
}

#[test]
fn connections_of_a_failed_server_are_reset_by_the_stack_or_opened_anew() {
    let mut bench = director(Scheduler::Rr, &[(1, 1), (2, 1)]);
    assert_eq!(picks(&bench, 1..3), [2, 1]);
    assert_eq!(serve(&bench, &udp(1)), Ok(2));
    bench.event(&Event::Check(2, Verdict::Down { reason: "connection refused".to_owned() }));
    assert_eq!(serve(&bench, &tcp(1, flag::ACK)), Err("pass_server_gone"));
    assert_eq!(serve(&bench, &tcp(1, flag::ACK)), Err("pass_no_flow"), "it is forgotten");
    assert_eq!(serve(&bench, &tcp(1, flag::SYN)), Ok(1));
    assert_eq!(serve(&bench, &tcp(2, flag::ACK)), Ok(1), "another server's connection goes on");
    assert_eq!(serve(&bench, &udp(1)), Ok(1), "UDP is picked anew at once");
}

#[test]
fn families_have_nothing_in_common_but_the_servers() {
    let services = [
        service(TCP, PORT, Scheduler::Rr, &[(1, 1), (2, 1)]),
        service6(TCP, PORT, Scheduler::Rr, &[(1, 1), (2, 1)]),
    ];
    let mut bench = Bench::new(&services).expect("the program loads");
    (1..=2).for_each(|last| bench.resolve(last, 0));
    for client in 1025..1074 {
        let server = if client % 2 == 1 { 2 } else { 1 };
        for family in Family::BOTH {
            assert_eq!(serve(&bench, &family.asks(TCP, client, flag::ACK)), Err("pass_no_flow"));
            assert_eq!(serve(&bench, &family.asks(TCP, client, flag::SYN)), Ok(server), "{family:?}");
        }
    }
    let connections = |stats: anyhow::Result<lb_common::layout::Stats>| stats.expect("a row").connections;
    assert_eq!([1, 2].map(|last| connections(bench.stats(PORT, TCP, last))), [24, 25]);
    assert_eq!([1, 2].map(|last| connections(bench.stats6(PORT, TCP, last))), [24, 25]);
}
