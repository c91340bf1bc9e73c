//! Services by hash whose flows are all with the servers of their rings: packets of a flow that was seen lately go there without
//! their flow being looked up, and with every change that ends.

use std::{ops::ControlFlow, time::Duration};

use lb_common::{
    flow::{Bucket, Key4, State},
    layout::{Lease, NO_VMAC, NextHop, Policy, ServiceBucket},
    sched::{Flags, Method, Scheduler},
    tcp::flag,
};
use lb_tests::wait;
use xlvs::{
    control::{Event, Way},
    health::Verdict,
    plan::Wanted,
};

use crate::{
    beginnings::{TCP, UDP, VIP, datagram, resolved, segment, served, with_flags},
    bench::{self, Bench, array, mac, pin_to, rip, service},
    marks::of_mark,
    persistence::persistent,
};

const TWO: &[(u8, u16)] = &[(1, 1), (2, 1)];
pub(crate) const THREE: &[(u8, u16)] = &[(1, 1), (2, 1), (3, 1)];
/// Clients, by the last octet of their addresses.
pub(crate) const CLIENTS: std::ops::Range<u8> = 1..65;
/// More than are looked up because they have their tick.
pub(crate) const FEW: usize = 16;

fn client(last: u8) -> ([u8; 4], u16) {
    ([192, 0, 2, last], 4000)
}

pub(crate) fn asks(last: u8) -> Vec<u8> {
    datagram(client(last), 53)
}

pub(crate) fn opens(last: u8) -> Vec<u8> {
    segment(client(last), (VIP, 80), flag::SYN)
}

pub(crate) fn acknowledges(last: u8) -> Vec<u8> {
    segment(client(last), (VIP, 80), flag::ACK)
}

pub(crate) fn director(services: &[Wanted]) -> Bench {
    pin_to(0).expect("the CPU is there");
    resolved(Bench::new(services).expect("the program loads"))
}

/// The servers that the clients' packets go to.
pub(crate) fn all(bench: &Bench, packet: fn(u8) -> Vec<u8>) -> Vec<Option<u8>> {
    CLIENTS.map(|last| served(bench, &packet(last))).collect()
}

/// The same when their flows are long there.
pub(crate) fn talk(bench: &Bench, packet: fn(u8) -> Vec<u8>) -> Vec<Option<u8>> {
    let servers = all(bench, packet);
    assert_eq!([(); 2].map(|()| all(bench, packet)), [servers.clone(), servers.clone()]);
    servers
}

/// As many passes of the collector as it takes.
pub(crate) fn settle(bench: &Bench) {
    let flows = bench.flows().expect("maps");
    let now = bench::tick().expect("a clock");
    for later in [0, 32] {
        flows.collect(0..flows.rows(), now + later);
    }
}

/// Makes the table have heard of every flow so many ticks earlier.
pub(crate) fn age(bench: &Bench, ticks: u32) -> anyhow::Result<()> {
    let mut rows = array::<{ size_of::<Bucket<Key4>>() }>(bench.ebpf(), "flows4")?;
    for row in 0..rows.len() {
        let mut bucket: Bucket<Key4> = bytemuck::pod_read_unaligned(&rows.get(&row, 0)?);
        bucket.slots.iter_mut().filter(|slot| slot.state().is_living()).for_each(|slot| slot.seen -= ticks);
        rows.set(row, <[u8; _]>::try_from(bytemuck::bytes_of(&bucket))?, 0)?;
    }
    Ok(())
}

/// Pools that are settled.
pub(crate) fn settled(bench: &Bench) -> usize {
    let buckets = bench.rows::<ServiceBucket, { size_of::<ServiceBucket>() }>("services").expect("maps");
    buckets.iter().flat_map(|bucket| bucket.slots).filter(|service| service.pool.is_settled()).count()
}

/// Makes the CPU forget where packets went a moment ago, by a change that no service depends on.
pub(crate) fn forget_moment(bench: &mut Bench) {
    for last in [8, 9] {
        bench.event(&Event::Way(rip(3), Way::Through(NextHop { mac: mac(last), port: 0 })));
    }
    bench.resolve(3, 0);
}

/// A spell in which a CPU knows whom it has seen lasts 32 ticks: what this does must begin and end in one.
pub(crate) fn in_one_spell<T>(mut all: impl FnMut() -> T) -> T {
    let spell = || bench::tick().expect("a clock") >> 5;
    loop {
        let before = spell();
        let done = all();
        if spell() == before {
            return done;
        }
    }
}

#[test]
fn a_flow_that_was_seen_lately_is_not_looked_up() {
    let (servers, with, without) = in_one_spell(|| {
        let mut bench = director(&[service(UDP, 53, Scheduler::Mh, THREE)]);
        let servers = talk(&bench, asks);
        settle(&bench);
        assert_eq!(settled(&bench), 1);
        forget_moment(&mut bench);
        // The flows of the first half are seen now.
        for last in CLIENTS.take(32) {
            served(&bench, &asks(last));
        }
        forget_moment(&mut bench);
        bench.clear::<{ size_of::<Bucket<Key4>>() }>("flows4").expect("maps");
        let with = CLIENTS.take(32).map(|last| served(&bench, &asks(last))).collect::<Vec<_>>();
        let regularly = bench.count_slots(|_| true).expect("maps");
        assert!(regularly < FEW, "{regularly} were missed");
        let without = CLIENTS.skip(32).map(|last| served(&bench, &asks(last))).collect::<Vec<_>>();
        assert_eq!(bench.count_slots(|_| true).expect("maps"), regularly + 32, "each was looked up");
        (servers, with, without)
    });
    assert_eq!([with, without].concat(), servers);
}

#[test]
fn a_backup_is_not_settled() {
    let router = Lease::none(1, NO_VMAC);
    let under = Wanted { lease: 1, ..service(TCP, 80, Scheduler::Mh, TWO) };
    pin_to(0).expect("the CPU is there");
    let bench = resolved(Bench::with_routers(&[under], &[router]).expect("the program loads"));
    let flows = bench.flows().expect("maps");
    let begun = bench::tick().expect("a clock");
    let pass = |later| {
        flows.collect(0..flows.rows(), begun + later);
        settled(&bench)
    };
    assert_eq!([0, 40].map(pass), [0, 0], "another director serves");
    bench.leases().set(1, u64::MAX);
    assert_eq!([50, 81, 82].map(pass), [0, 0, 1], "it has served for 32 ticks");
    bench.leases().set(1, 0);
    assert_eq!(pass(90), 0, "another director serves again");
}

#[test]
fn whoever_is_elsewhere_keeps_a_pool_from_being_settled() {
    let mut bench = director(&[service(TCP, 80, Scheduler::Mh, TWO)]);
    all(&bench, opens);
    let servers = talk(&bench, acknowledges);
    settle(&bench);
    assert_eq!(settled(&bench), 1);
    talk(&bench, acknowledges);

    bench.reassign(&[service(TCP, 80, Scheduler::Mh, THREE)]).expect("small");
    bench.resolve(3, 0);
    assert_eq!(settled(&bench), 0, "the pool is another");
    assert_eq!(talk(&bench, acknowledges), servers);
    settle(&bench);
    assert_eq!(settled(&bench), 0, "connections of before go on");
    forget_moment(&mut bench);
    assert_eq!(talk(&bench, acknowledges), servers);

    all(&bench, |last| segment(client(last), (VIP, 80), flag::RST));
    bench.set_timeout(State::Close, 0);
    bench.collect_in(1).expect("maps");
    assert_eq!(bench.count_slots(|_| true).expect("maps"), 0);
    let anew = all(&bench, opens);
    assert!(anew.contains(&Some(3)), "{anew:?}");
    settle(&bench);
    assert_eq!((settled(&bench), talk(&bench, acknowledges)), (1, anew));
}

#[test]
fn a_settled_service_follows_every_change() {
    type Change = fn(&mut Bench);
    /// What it is, the change, and who serves the clients of server 2 then.
    type Row<'a> = (&'static str, Box<dyn Fn(&mut Bench) + 'a>, u8);
    let reassign: fn(&mut Bench, Method, &[(u8, u16)]) = |bench, method, servers| {
        bench.reassign(&[service(UDP, 53, method, servers)]).expect("small");
    };
    let mh = Method::from(Scheduler::Mh);
    let by_port = Method { flags: Flags { port: true, ..Flags::default() }, ..mh };
    let down: Change = |bench| bench.event(&Event::Check(2, Verdict::Down { reason: "a test".to_owned() }));
    let moved: Change =
        |bench| bench.event(&Event::Way(rip(2), Way::Through(NextHop { mac: mac(9), port: 0 })));
    let rows: [Row<'_>; 8] = [
        ("a server comes", Box::new(|bench| reassign(bench, mh, THREE)), 2),
        ("another weight", Box::new(|bench| reassign(bench, mh, &[(1, 9), (2, 1)])), 2),
        ("weight 0", Box::new(|bench| reassign(bench, mh, &[(1, 1), (2, 0)])), 2),
        ("the port is hashed", Box::new(|bench| reassign(bench, by_port, TWO)), 2),
        ("another scheduler", Box::new(|bench| reassign(bench, Scheduler::Sh.into(), TWO)), 2),
        ("none by hash", Box::new(|bench| reassign(bench, Scheduler::Rr.into(), TWO)), 2),
        ("its MAC address is another", Box::new(moved), 9),
        ("it is down", Box::new(down), 1),
    ];
    for (what, change, then) in rows {
        let mut bench = director(&[service(UDP, 53, Scheduler::Mh, TWO)]);
        talk(&bench, asks);
        settle(&bench);
        let servers = talk(&bench, asks);
        assert_eq!(settled(&bench), 1, "{what}");
        change(&mut bench);
        for (last, before) in CLIENTS.zip(servers) {
            let expected = if before == Some(2) { Some(then) } else { before };
            assert_eq!(served(&bench, &asks(last)), expected, "{what}: client {last}");
        }
    }
}

#[test]
fn connections_of_a_settled_service_end_and_begin() {
    in_one_spell(|| {
        let bench = director(&[service(TCP, 80, Scheduler::Mh, &[(1, 1)])]);
        let load = || bench.load(80, TCP, 1).expect("a row");
        settle(&bench);
        assert_eq!(settled(&bench), 1);
        let segment = |flags| served(&bench, &segment(client(1), (VIP, 80), flags));
        for _connection in 0..2 {
            segment(flag::SYN);
            assert_eq!([(); 4].map(|()| segment(flag::ACK)), [Some(1); 4]);
            assert_eq!(load(), (1, 0));
            let established = bench.count_slots(|slot| slot.state() == State::Established);
            assert_eq!(established.expect("maps"), 1, "it was asked after when it began");
            segment(flag::FIN | flag::ACK);
            assert_eq!(load(), (0, 1));
            segment(flag::ACK);
            assert_eq!(load(), (0, 1));
        }
        let counted = bench.stats(80, TCP, 1).expect("a row");
        assert_eq!((counted.connections, counted.packets), (2, 14));
    });
}

#[test]
fn the_time_of_a_flow_goes_on_with_each_spell() {
    let (noted, next) = in_one_spell(|| {
        let mut bench = director(&[service(UDP, 53, Scheduler::Mh, THREE)]);
        settle(&bench);
        talk(&bench, asks);
        let begun = bench::tick().expect("a clock");
        wait::until("the next tick", Duration::from_secs(10), || {
            let is_next = bench::tick()? > begun;
            Ok(if is_next { ControlFlow::Break(()) } else { ControlFlow::Continue("the clock".to_owned()) })
        })
        .expect("time passes");
        let seen_again = |bench: &Bench| {
            talk(bench, asks);
            bench.count_slots(|slot| slot.seen > begun).expect("maps")
        };
        let noted = seen_again(&bench);
        bench.clear::<8>("lately").expect("a map");
        // Nor is it known what came a moment ago.
        forget_moment(&mut bench);
        (noted, seen_again(&bench))
    });
    assert!(noted < FEW, "{noted} were looked up again");
    assert_eq!(next, CLIENTS.len());
}

#[test]
fn a_service_whose_flows_may_be_elsewhere_is_not_settled() {
    let fallback = Method { scheduler: Scheduler::Mh, flags: Flags { fallback: true, ..Flags::default() } };
    let by_hash = || service(UDP, 53, Scheduler::Mh, TWO);
    let rows = [
        ("one by hash", vec![by_hash()], 1),
        (
            "several",
            vec![by_hash(), service(TCP, 80, Scheduler::Sh, TWO), service(TCP, 81, Scheduler::Dh, TWO)],
            3,
        ),
        ("beside a round robin", vec![by_hash(), service(TCP, 80, Scheduler::Rr, TWO)], 1),
        ("with a fallback", vec![service(UDP, 53, fallback, TWO)], 0),
        ("with persistence", vec![persistent(by_hash(), 60)], 0),
        ("each datagram alone", vec![with_flags(by_hash(), Policy::ONE_PACKET)], 0),
        ("beside one on every port", vec![by_hash(), service(UDP, 0, Scheduler::Rr, TWO)], 0),
        ("beside FTP", vec![by_hash(), service(TCP, 21, Scheduler::Rr, TWO)], 0),
        ("beside one of a mark without a rule", vec![by_hash(), of_mark(false, 1, 1)], 0),
        ("without a server", vec![service(UDP, 53, Scheduler::Mh, &[])], 0),
    ];
    for (what, services, expected) in rows {
        let bench = director(&services);
        settle(&bench);
        assert_eq!(settled(&bench), expected, "{what}");
    }
    let bench = director(&[by_hash(), service(TCP, 80, Scheduler::Sh, TWO)]);
    for (seconds, expected) in [(274, 1), (275, 2), (60, 1)] {
        bench.set_timeout(State::Established, seconds);
        settle(&bench);
        assert_eq!(settled(&bench), expected, "with a timeout of TCP of {seconds} s");
    }
}
