//! Leases: a packet is forwarded only while this node is master of the virtual router that owns its service's address.

use std::{path::Path, time::Duration};

use lb_common::{
    layout::{Lease, NO_VMAC},
    sched::Scheduler,
    tcp::flag,
};
use lb_tests::netns;
use nix::time::ClockId;
use xlvs::plan::Wanted;

use crate::{
    bench::{self, Bench, DIRECTOR, Outcome, action, mac, service},
    frame::{Frame, Packet},
};

const VIP: [u8; 4] = [10, 0, 0, 100];
/// The client's port in every test.
const CLIENT: u16 = 40_000;

/// Owned by virtual router 51, which uses its virtual MAC address: row 1.
const WITH_VMAC: u16 = 80;
/// Owned by virtual router 52 under the interface's own MAC address: row 2.
const WITHOUT_VMAC: u16 = 81;
/// Owned by virtual router 51 of IPv6, which uses its virtual MAC address: row 3.
const OF_IPV6: u16 = 82;
/// Owned by none: row 0.
const UNOWNED: u16 = 83;

const fn virtual_mac(family: u8, vrid: u8) -> [u8; 6] {
    [0, 0, 0x5e, 0, family, vrid]
}

fn director() -> Bench {
    let routers = [Lease::none(51, [1, 51]), Lease::none(52, NO_VMAC), Lease::none(51, [2, 51])];
    let under = |(port, lease)| Wanted { lease, ..service(6, port, Scheduler::Rr, &[(1, 1), (2, 1)]) };
    let services = [(WITH_VMAC, 1), (WITHOUT_VMAC, 2), (OF_IPV6, 3), (UNOWNED, 0)].map(under);
    let mut bench = Bench::with_routers(&services, &routers).expect("the program loads");
    (1..=2).for_each(|last| bench.resolve(last, 0));
    bench
}

fn now_ns() -> u64 {
    let now = ClockId::CLOCK_MONOTONIC.now().expect("a clock");
    Duration::from(now).as_nanos() as u64
}

/// Long enough for any test.
pub(crate) fn far() -> u64 {
    now_ns() + 600_000_000_000
}

fn frame(to: [u8; 6], port: u16, flags: u8) -> Vec<u8> {
    let payload = Packet::tcp(([192, 0, 2, 7], CLIENT), (VIP, port), flags).bytes();
    Frame { to, from: [2, 0, 0, 0, 9, 9], tags: Vec::new(), ethertype: 0x0800, payload }.bytes()
}

fn run(bench: &Bench, to: [u8; 6], port: u16, flags: u8) -> Result<u8, &'static str> {
    let input = frame(to, port, flags);
    let Outcome { action, counted, frame } = bench.run(&input).expect("the program runs");
    match action {
        action::TX => {
            assert_eq!(frame[..12], [mac(frame[5]), DIRECTOR].concat());
            Ok(frame[5])
        }
        action::PASS => {
            assert_eq!(frame, input, "passed unchanged");
            assert_eq!(counted.len(), 1, "{counted:?}");
            Err(counted[0].0)
        }
        other => panic!("XDP action {other}, {counted:?}"),
    }
}

#[test]
fn nobody_is_master_at_the_start() {
    let bench = director();
    let leases = bench.leases();
    assert_eq!([0, 1, 2, 3].map(|row| leases.get(row)), [u64::MAX, 0, 0, 0]);
    assert_eq!([0, 1, 2, 3].map(|row| leases.is_alive(row)), [true, false, false, false]);
    for port in [WITH_VMAC, WITHOUT_VMAC, OF_IPV6] {
        assert_eq!(run(&bench, DIRECTOR, port, flag::SYN), Err("pass_not_master"), "port {port}");
    }
    assert_eq!(run(&bench, DIRECTOR, UNOWNED, flag::SYN), Ok(2), "row 0 never runs out");
}

#[test]
fn a_start_takes_no_lease_over_and_a_stop_leaves_none() {
    let pins = Path::new("/sys/fs/bpf").join(netns::unique_name());
    let link = bench::namespace().expect("a namespace");
    let attach = || bench::attach(&pins, &link, &[Lease::none(51, NO_VMAC)]).expect("it attaches");
    let killed = attach();
    let old = killed.leases();
    let until = far();
    old.set(1, until);
    let refusal = bench::attach(&pins, &link, &[]).err().map(|error| error.to_string());
    assert!(
        refusal.is_some_and(|text| text.contains("another xlvs runs")),
        "while it runs nobody takes its place"
    );
    // Its program forwards on, its controller does nothing more.
    drop(killed);
    let mut heir = attach();
    let leases = heir.leases();
    assert_eq!((old.get(1), leases.get(1)), (until, 0));
    leases.set(1, until);
    heir.stop();
    assert_eq!([leases.get(0), leases.get(1)], [u64::MAX, 0]);
    assert!(!pins.exists(), "{} is left", pins.display());
}

#[test]
fn a_lease_is_for_its_own_services() {
    let bench = director();
    let leases = bench.leases();
    leases.set(2, far());
    assert!(leases.is_alive(2));
    assert_eq!(run(&bench, DIRECTOR, WITHOUT_VMAC, flag::SYN), Ok(2));
    assert_eq!(run(&bench, DIRECTOR, WITH_VMAC, flag::SYN), Err("pass_not_master"));
}

#[test]
fn without_a_lease_no_flow_is_made() {
    let bench = director();
    for flags in [flag::SYN, flag::ACK, flag::FIN | flag::ACK, flag::RST] {
        assert_eq!(run(&bench, DIRECTOR, WITH_VMAC, flags), Err("pass_not_master"), "flags {flags:#x}");
    }
    assert_eq!(bench.copies_of_flow(CLIENT).expect("a map"), 0);
    bench.leases().set(1, far());
    assert_eq!(run(&bench, DIRECTOR, WITH_VMAC, flag::ACK), Err("pass_no_flow"));
    assert_eq!(run(&bench, DIRECTOR, WITH_VMAC, flag::SYN), Ok(2), "the first turn was not spent");
}

#[test]
fn a_connection_rests_while_the_lease_is_out() {
    let bench = director();
    let leases = bench.leases();
    leases.set(1, far());
    assert_eq!(run(&bench, DIRECTOR, WITH_VMAC, flag::SYN), Ok(2));
    assert_eq!(run(&bench, DIRECTOR, WITH_VMAC, flag::ACK), Ok(2));
    leases.set(1, 0);
    // Each of these would close the flow if it touched it, so that the SYN below were scheduled anew.
    for flags in [flag::ACK, flag::FIN | flag::ACK, flag::RST] {
        assert_eq!(run(&bench, DIRECTOR, WITH_VMAC, flags), Err("pass_not_master"), "flags {flags:#x}");
    }
    leases.set(1, far());
    assert_eq!(run(&bench, DIRECTOR, WITH_VMAC, flag::ACK), Ok(2));
    assert_eq!(run(&bench, DIRECTOR, WITH_VMAC, flag::SYN), Ok(2), "the same flow as before");
    assert_eq!(bench.copies_of_flow(CLIENT).expect("a map"), 1);
    let stats = bench.stats(WITH_VMAC, 6, 2).expect("a row");
    assert_eq!((stats.connections, stats.packets), (1, 4));
}

#[test]
fn a_lease_ends_at_its_nanosecond() {
    let bench = director();
    let leases = bench.leases();
    for _ in 0..200 {
        leases.set(1, now_ns());
        assert_eq!(run(&bench, DIRECTOR, WITH_VMAC, flag::SYN), Err("pass_not_master"));
    }
    // So near to the end that the program asks the exact clock.
    let near_the_end = || {
        let until = now_ns() + 50_000_000;
        leases.set(1, until);
        let served = run(&bench, DIRECTOR, WITH_VMAC, flag::SYN);
        (now_ns() < until).then_some(served)
    };
    let served = (0..100).find_map(|_| near_the_end()).expect("a try that the machine did not interrupt");
    assert_eq!(served, Ok(2));
}

#[test]
fn a_virtual_mac_address_is_this_nodes_only_under_its_own_live_lease() {
    let rows = [
        ("its own", WITH_VMAC, virtual_mac(1, 51), Ok(2)),
        ("its own of IPv6", OF_IPV6, virtual_mac(2, 51), Ok(2)),
        ("another virtual router's", WITH_VMAC, virtual_mac(1, 52), Err("pass_other_host")),
        ("a virtual router's that uses none", WITHOUT_VMAC, virtual_mac(1, 52), Err("pass_other_host")),
        ("of the other family", WITH_VMAC, virtual_mac(2, 51), Err("pass_other_host")),
        ("of no family", WITH_VMAC, virtual_mac(3, 51), Err("pass_other_host")),
        ("one of a service that nobody owns", UNOWNED, virtual_mac(1, 51), Err("pass_other_host")),
        ("the interface's own", WITH_VMAC, DIRECTOR, Ok(2)),
    ];
    for (description, port, to, expected) in rows {
        let bench = director();
        let leases = bench.leases();
        let dead = if expected.is_ok() { Err("pass_not_master") } else { expected };
        assert_eq!(run(&bench, to, port, flag::SYN), dead, "{description}, no lease");
        (1..=3).for_each(|row| leases.set(row, far()));
        assert_eq!(run(&bench, to, port, flag::SYN), expected, "{description}");
        (1..=3).for_each(|row| leases.set(row, 0));
        assert_eq!(run(&bench, to, port, flag::ACK), dead, "{description}, lease over");
    }
}

/// Master and backup are real servers of each other: what the master sends on has the VIP and the backup's own MAC.
#[test]
fn what_the_master_forwarded_is_the_backups_own_to_answer() {
    let (master, backup) = (director(), director());
    master.leases().set(1, far());
    let forwarded = master.run(&frame(DIRECTOR, WITH_VMAC, flag::SYN)).expect("the program runs");
    assert_eq!(forwarded.action, action::TX);
    let arriving = [&DIRECTOR[..], &forwarded.frame[6..]].concat();
    let outcome = backup.run(&arriving).expect("the program runs");
    assert_eq!((outcome.action, outcome.counted), (action::PASS, vec![("pass_not_master", 1)]));
    assert_eq!(outcome.frame, arriving);
    assert_eq!(backup.copies_of_flow(CLIENT).expect("a map"), 0);
}
