//! What the program costs, against a budget: numbers that do not depend on how busy the machine is.
//!
//! What the verifier follows depends on the kernel's version. It grows before the program becomes slow, and long before a kernel
//! refuses it; the budget is that of Linux 6.18, whose verifier follows more than that of 6.1. The lookups in maps that a
//! packet costs depend on the program alone; a build of it counts them.

use std::collections::BTreeMap;

use lb_common::{
    layout::{MarkRule, Policy},
    sched::Scheduler,
    tcp::flag,
};
use serde::Deserialize;
use xlvs::plan::Wanted;

use crate::{
    beginnings::with_flags,
    bench::{Bench, pin_to, service, service6},
    both::{Either, Family, PORT},
    frame::{TCP, UDP},
    marks::ALL,
    persistence::persistent,
    settled::{forget_moment, in_one_spell, settle},
};

const BUDGET: &str = include_str!("../../fixtures/budget.json");

#[derive(Deserialize)]
struct Budget {
    /// The most instructions that the verifier may follow, by what the services need.
    #[serde(rename = "verified instructions")]
    verified: BTreeMap<String, u32>,
    /// The lookups in arrays that a packet costs, by what it is.
    lookups: BTreeMap<String, u64>,
}

fn budget() -> Budget {
    serde_json::from_str(BUDGET).expect("the fixture is JSON")
}

/// Services that need nothing of what others do not pay for.
fn plain() -> Vec<Wanted> {
    vec![service(UDP, 53, Scheduler::Rr, &[(1, 1)]), service6(TCP, 80, Scheduler::Wlc, &[(1, 1)])]
}

/// The same with services whose flows may all be where their rings say.
fn by_hash() -> Vec<Wanted> {
    let more = [service(TCP, 443, Scheduler::Mh, &[(1, 1)]), service6(UDP, 53, Scheduler::Sh, &[(1, 1)])];
    [plain(), more.to_vec()].concat()
}

/// Services, and a rule for marks, that together need all of it.
fn everything() -> (Vec<Wanted>, [MarkRule; 1]) {
    let mut limited = service(TCP, 81, Scheduler::Lc, &[(1, 1)]);
    limited.servers_mut()[0].thresholds = [8, 4];
    let services = [
        plain(),
        vec![
            persistent(service(TCP, 21, Scheduler::Rr, &[(1, 1)]), 60),
            persistent(service(TCP, 0, Scheduler::Rr, &[(1, 1)]), 60),
            limited,
            with_flags(service(UDP, 54, Scheduler::Mh, &[(1, 1)]), Policy::ONE_PACKET),
        ],
    ];
    (services.concat(), [MarkRule { mark: 1, ..ALL }])
}

#[test]
fn the_verifier_follows_no_more_instructions_than_budgeted() {
    let budget = budget().verified;
    let (services, rules) = everything();
    let verified = |bench: Bench| bench.verified_instructions().expect("since Linux 5.16 it is told");
    let found = BTreeMap::from([
        ("plain".to_owned(), verified(Bench::new(&plain()).expect("the program loads"))),
        ("by hash".to_owned(), verified(Bench::new(&by_hash()).expect("the program loads"))),
        (
            "everything".to_owned(),
            verified(Bench::with_marks(&services, &rules, &[]).expect("the program loads")),
        ),
    ]);
    println!("instructions that the verifier followed: {found:?}");
    assert_eq!(budget.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
    for (what, most) in &budget {
        assert!(
            found[what] <= *most,
            "{what}: the verifier followed {} instructions, {most} are budgeted: find out what made the program larger, or \
             raise tests/fixtures/budget.json and say why",
            found[what]
        );
    }
}

/// Packets one after another, each with what it is called, to a service of three servers.
struct Path {
    service: Wanted,
    packets: Vec<(&'static str, Either)>,
}

/// What those packets are called that follow another of their flow in the same moment.
const OF_THIS_MOMENT: &str = "of this moment";

/// The ways that packets take: those of the table, and where they differ by scheduler.
fn paths() -> Vec<Path> {
    let three = &[(1, 1), (2, 1), (3, 1)];
    let datagrams = |family: Family, names: &[&'static str]| {
        names.iter().map(|name| (*name, family.asks(UDP, 1, 0))).collect::<Vec<_>>()
    };
    let path = |service, packets: &[(&'static str, Either)]| Path { service, packets: packets.to_vec() };
    let [syn, ack] = [flag::SYN, flag::ACK].map(|flags| Family::V4.asks(TCP, 1, flags));
    let icmp = Family::V4.icmp([3, 4], &Family::V4.answers(UDP, 1).bytes());
    let by_hash = service(UDP, PORT, Scheduler::Mh, three);
    vec![
        path(
            service(UDP, PORT, Scheduler::Rr, three),
            &[
                datagrams(
                    Family::V4,
                    &["UDP, rr, new", "UDP, a flow's second", "UDP, a flow", "UDP, a flow of this moment"],
                ),
                vec![("ICMP, of a flow", icmp)],
            ]
            .concat(),
        ),
        path(
            service6(UDP, PORT, Scheduler::Rr, three),
            &datagrams(
                Family::V6,
                &[
                    "UDP, IPv6, rr, new",
                    "UDP, IPv6, a flow's second",
                    "UDP, IPv6, a flow",
                    "UDP, IPv6, a flow of this moment",
                ],
            ),
        ),
        path(
            service(TCP, PORT, Scheduler::Wlc, three),
            &[
                ("TCP, wlc of three servers, new", syn.clone()),
                ("TCP, a flow that becomes established", ack.clone()),
                ("TCP, a flow", ack.clone()),
                ("TCP, a flow of this moment", ack.clone()),
            ],
        ),
        path(
            persistent(service(TCP, PORT, Scheduler::Rr, three), 60),
            &[
                ("TCP, persistence, new", syn.clone()),
                ("TCP, persistence, a flow that becomes established", ack.clone()),
                ("TCP, persistence, a flow", ack),
            ],
        ),
        path(by_hash.clone(), &datagrams(Family::V4, &["UDP, mh, new", "UDP, mh, a flow"])),
        path(
            with_flags(by_hash, Policy::ONE_PACKET),
            &datagrams(Family::V4, &["UDP, mh, each alone", "UDP, mh, each alone, again"]),
        ),
        path(service(UDP, PORT, Scheduler::Rr, three), &[("TCP, no service", syn)]),
    ]
}

/// The lookups of a packet whose flow need not be looked up, and did not come in this moment.
fn of_a_settled_service(protocol: u8) -> u64 {
    pin_to(0).expect("the CPU is there");
    let service = service(protocol, PORT, Scheduler::Mh, &[(1, 1), (2, 1), (3, 1)]);
    let packet = Family::V4.asks(protocol, 1, flag::ACK).frame();
    in_one_spell(|| {
        let mut bench = Bench::counting(std::slice::from_ref(&service)).expect("the program loads");
        (1..=3).for_each(|last| bench.resolve(last, 0));
        let ask = |bench: &Bench| {
            let before = bench.lookups().expect("it counts");
            bench.run(&packet).expect("the program runs");
            bench.lookups().expect("it counts") - before
        };
        (0..2).for_each(|_| _ = ask(&bench));
        settle(&bench);
        forget_moment(&mut bench);
        ask(&bench);
        forget_moment(&mut bench);
        ask(&bench)
    })
}

#[test]
fn a_packet_looks_into_as_many_rows_as_budgeted() {
    let mut found = BTreeMap::new();
    for Path { service, packets } in paths() {
        let mut bench = Bench::counting(&[service]).expect("the program loads");
        (1..=3).for_each(|last| bench.resolve(last, 0));
        for (what, packet) in packets {
            let cost = || {
                let before = bench.lookups().expect("it counts");
                bench.run(&packet.frame()).expect("the program runs");
                bench.lookups().expect("it counts") - before
            };
            // With the clock's tick a moment is over, and between two packets is one tick at most.
            let lookups = if what.ends_with(OF_THIS_MOMENT) { cost().min(cost()) } else { cost() };
            found.insert(what.to_owned(), lookups);
        }
    }
    for (protocol, name) in [(TCP, "TCP"), (UDP, "UDP")] {
        found.insert(format!("{name}, mh, settled"), of_a_settled_service(protocol));
    }
    println!("lookups: {}", serde_json::to_string_pretty(&found).expect("text"));
    assert_eq!(
        found,
        budget().lookups,
        "find out what made a way longer or shorter, and let tests/fixtures/budget.json say how many lookups it costs"
    );
}
