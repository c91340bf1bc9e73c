//! Several packets one after the other: flows, weights, servers that come and go.

use std::{sync::Barrier, thread};

use lb_common::{flow::SLOTS, layout::NextHop, sched::Scheduler, tcp::flag};
use xlvs::{
    control::{Event, Way},
    health::Verdict,
};

use crate::{
    bench::{Bench, DIRECTOR, action, mac, pin_to, rip, service},
    frame::{Frame, Packet},
};

const VIP: [u8; 4] = [10, 0, 0, 100];

fn bytes(packet: &Packet) -> Vec<u8> {
    Frame {
        to: DIRECTOR,
        from: [2, 0, 0, 0, 9, 9],
        tags: Vec::new(),
        ethertype: 0x0800,
        payload: packet.bytes(),
    }
    .bytes()
}

fn tcp(client: u16, flags: u8) -> Packet {
    Packet::tcp(([192, 0, 2, 7], client), (VIP, 80), flags)
}

fn udp(client: u16) -> Packet {
    Packet::udp(([192, 0, 2, 7], client), (VIP, 53))
}

/// The server a packet is sent to, or the counter of what else becomes of it.
fn serve(bench: &Bench, packet: &Packet) -> Result<u8, &'static str> {
    let outcome = bench.run(&bytes(packet)).expect("the program runs");
    match outcome.action {
        action::TX => {
            let server = outcome.frame[5];
            assert_eq!(outcome.frame[..6], mac(server));
            Ok(server)
        }
        _ => Err(outcome.counted[0].0),
    }
}

fn picks(bench: &Bench, clients: std::ops::Range<u16>) -> Vec<u8> {
    clients.map(|client| serve(bench, &tcp(client, flag::SYN)).expect("forwarded")).collect()
}

fn director(scheduler: Scheduler, servers: &[(u8, u16)]) -> Bench {
    let services = [service(6, 80, scheduler, servers), service(17, 53, scheduler, servers)];
    let mut bench = Bench::new(&services).expect("the program loads");
    for (last, _) in servers {
        bench.resolve(*last, 0);
    }
    bench
}

fn down(last: u8) -> Event {
    Event::Check(u32::from(last), Verdict::Down { reason: "connection refused".to_owned() })
}

/// The server that several packets of a flow go to, after which a CPU knows where its packets go.
fn talk(bench: &Bench, packet: &Packet) -> u8 {
    pin_to(0).expect("the CPU is there");
    let servers = [(); 4].map(|()| serve(bench, packet).expect("forwarded"));
    assert_eq!(servers, [servers[0]; 4]);
    servers[0]
}

#[test]
fn a_flow_that_has_just_spoken_follows_every_change() {
    type Change = fn(&mut Bench);
    let rows: [(&str, Change, Result<u8, &str>); 6] = [
        ("it is down", |bench| bench.event(&down(2)), Err("pass_server_gone")),
        (
            "its MAC address is lost",
            |bench| bench.event(&Event::Way(rip(2), Way::None("it does not answer".to_owned()))),
            Err("drop_unresolved"),
        ),
        (
            "its MAC address is another",
            |bench| bench.event(&Event::Way(rip(2), Way::Through(NextHop { mac: mac(9), port: 0 }))),
            Ok(9),
        ),
        ("it is this host", |bench| bench.event(&Event::Way(rip(2), Way::Local)), Err("local")),
        (
            "it is removed",
            |bench| bench.reassign(&[service(6, 80, Scheduler::Rr, &[(1, 1)])]).expect("small"),
            Err("pass_server_gone"),
        ),
        (
            "its service is removed",
            |bench| bench.reassign(&[service(17, 53, Scheduler::Rr, &[(1, 1)])]).expect("small"),
            Err("pass_no_service"),
        ),
    ];
    for (what, change, expected) in rows {
        let mut bench = director(Scheduler::Rr, &[(1, 1), (2, 1)]);
        assert_eq!((picks(&bench, 1..2), talk(&bench, &tcp(1, flag::ACK))), (vec![2], 2));
        change(&mut bench);
        assert_eq!(serve(&bench, &tcp(1, flag::ACK)), expected, "{what}");
    }
}

/// The kernel's limit is a million, and other kernels and compilers need more or less of it.
#[test]
fn the_verifier_has_room() {
    let bench = director(Scheduler::Rr, &[(1, 1)]);
    let followed = bench.verified_instructions().expect("a count");
    assert!(followed < 750_000, "{followed} instructions followed");
}

#[test]
fn rr_alternates_and_begins_with_the_last_added() {
    let bench = director(Scheduler::Rr, &[(1, 1), (2, 9), (3, 1)]);
    assert_eq!(picks(&bench, 1..8), [3, 2, 1, 3, 2, 1, 3]);
}

#[test]
fn wrr_gives_three_and_six_of_nine() {
    let bench = director(Scheduler::Wrr, &[(1, 10), (2, 20)]);
    assert_eq!(picks(&bench, 1..10), [2, 1, 2, 2, 1, 2, 2, 1, 2]);
}

#[test]
fn weight_zero_gets_none_of_eight() {
    let bench = director(Scheduler::Wrr, &[(1, 0), (2, 20)]);
    assert_eq!(picks(&bench, 1..9), [2; 8]);
}

#[test]
fn a_connection_stays_with_its_server_and_is_counted_once() {
    let bench = director(Scheduler::Rr, &[(1, 1), (2, 1)]);
    assert_eq!(picks(&bench, 1..3), [2, 1]);
    for flags in [flag::SYN, flag::ACK, flag::ACK | 0x08, flag::FIN | flag::ACK, flag::ACK] {
        assert_eq!(serve(&bench, &tcp(1, flags)), Ok(2), "flags {flags:#x}");
        assert_eq!(serve(&bench, &tcp(2, flags)), Ok(1), "flags {flags:#x}");
    }
    let stats = bench.stats(80, 6, 2).expect("a row");
    assert_eq!((stats.connections, stats.packets, stats.bytes), (1, 6, 6 * 40));
}

#[test]
fn udp_stays_with_its_server() {
    let bench = director(Scheduler::Rr, &[(1, 1), (2, 1)]);
    assert_eq!(
        [1, 2, 1, 2, 1].map(|client| serve(&bench, &udp(client))),
        [Ok(2), Ok(1), Ok(2), Ok(1), Ok(2)]
    );
    let stats = bench.stats(53, 17, 2).expect("a row");
    assert_eq!((stats.connections, stats.packets, stats.bytes), (1, 3, 3 * 38));
}

#[test]
fn a_port_used_again_after_fin_or_rst_is_scheduled_anew() {
    let bench = director(Scheduler::Rr, &[(1, 1), (2, 1)]);
    assert_eq!(serve(&bench, &tcp(1, flag::SYN)), Ok(2));
    assert_eq!(talk(&bench, &tcp(1, flag::ACK)), 2);
    assert_eq!(serve(&bench, &tcp(1, flag::FIN | flag::ACK)), Ok(2));
    assert_eq!(serve(&bench, &tcp(1, flag::SYN)), Ok(1), "another turn");
    assert_eq!(talk(&bench, &tcp(1, flag::ACK)), 1);
    assert_eq!(serve(&bench, &tcp(1, flag::RST)), Ok(1));
    assert_eq!(serve(&bench, &tcp(1, flag::SYN)), Ok(2));
}

#[test]
fn an_inhibited_server_keeps_its_connections_and_gets_no_new_one() {
    let mut services = [service(6, 80, Scheduler::Rr, &[(1, 1), (2, 1)])];
    services[0].servers_mut().iter_mut().for_each(|server| server.inhibit_on_failure = true);
    let mut bench = Bench::new(&services).expect("the program loads");
    (1..=2).for_each(|last| bench.resolve(last, 0));
    assert_eq!(picks(&bench, 1..2), [2]);
    bench.event(&down(2));
    assert_eq!(serve(&bench, &tcp(1, flag::ACK)), Ok(2), "weight 0 keeps the old ones");
    assert_eq!(picks(&bench, 2..6), [1; 4]);
}

#[test]
fn connections_of_a_failed_server_are_reset_by_the_stack_or_opened_anew() {
    let mut bench = director(Scheduler::Rr, &[(1, 1), (2, 1)]);
    assert_eq!(picks(&bench, 1..3), [2, 1]);
    assert_eq!(serve(&bench, &udp(1)), Ok(2));
    bench.event(&down(2));
    assert_eq!(serve(&bench, &tcp(1, flag::ACK)), Err("pass_server_gone"));
    assert_eq!(serve(&bench, &tcp(1, flag::ACK)), Err("pass_no_flow"), "it is forgotten");
    assert_eq!(serve(&bench, &tcp(1, flag::SYN)), Ok(1));
    assert_eq!(serve(&bench, &tcp(2, flag::ACK)), Ok(1), "another server's connection goes on");
    assert_eq!(serve(&bench, &udp(1)), Ok(1), "UDP is picked anew at once");
    bench.event(&Event::Check(2, Verdict::Up));
    assert_eq!(serve(&bench, &udp(1)), Ok(1));
    assert!(picks(&bench, 10..14).contains(&2), "it is back");
}

#[test]
fn a_server_whose_mac_is_lost_drops_and_goes_on_when_it_is_found() {
    let mut bench = director(Scheduler::Rr, &[(1, 1), (2, 1)]);
    assert_eq!(picks(&bench, 1..2), [2]);
    bench.event(&Event::Way(rip(2), Way::None("it does not answer".to_owned())));
    assert_eq!(serve(&bench, &tcp(1, flag::ACK)), Err("drop_unresolved"));
    assert_eq!(picks(&bench, 2..5), [1; 3]);
    bench.resolve(2, 0);
    assert_eq!(serve(&bench, &tcp(1, flag::ACK)), Ok(2));
}

#[test]
fn a_row_given_to_another_server_never_receives_its_flows() {
    let mut bench = director(Scheduler::Rr, &[(1, 1), (2, 1)]);
    assert_eq!(picks(&bench, 1..3), [2, 1]);
    assert_eq!(serve(&bench, &udp(1)), Ok(2));
    let servers = [(1, 1), (3, 1)];
    let services = [service(6, 80, Scheduler::Rr, &servers), service(17, 53, Scheduler::Rr, &servers)];
    bench.reassign(&services).expect("small");
    for last in [1, 3] {
        bench.resolve(last, 0);
    }
    assert_eq!(serve(&bench, &tcp(1, flag::ACK)), Err("pass_server_gone"));
    assert_ne!(serve(&bench, &udp(1)), Ok(2));
    assert_eq!(serve(&bench, &tcp(2, flag::ACK)), Ok(1));
}

/// How often two CPUs meet in one bucket.
const ROUNDS: u16 = 4000;

/// Both CPUs insert the same flows at the same moments: every flow ends with one server on both.
#[test]
fn two_cpus_agree_on_every_flow() {
    let services = [service(17, 53, Scheduler::Rr, &[(1, 1), (2, 1), (3, 1)])];
    let mut bench = Bench::with_flow_slots(&services, SLOTS as u32).expect("the program loads");
    (1..=3).for_each(|last| bench.resolve(last, 0));
    let program = bench.program().expect("loaded");
    // A server's last octet, or 0: a panic would leave the other thread waiting at the barrier.
    let server = |frame: &[u8]| match crate::bench::run(program, frame) {
        Ok((action::TX, out)) => out[5],
        _ => 0,
    };
    let barrier = Barrier::new(2);
    // One bucket of four slots: every round claims a slot of a round before.
    let port = |round: u16| 1024 + round;
    let flow = |round: u16| bytes(&Packet::udp(([203, 0, 113, 1], port(round)), (VIP, 53)));
    let frames: Vec<Vec<u8>> = (0..ROUNDS).map(flow).collect();
    let insert_all = |cpu: usize| {
        let pinned = crate::bench::pin_to(cpu);
        let mut told = Vec::new();
        for (round, frame) in (0..).zip(&frames) {
            barrier.wait();
            let first = server(frame);
            barrier.wait();
            let copies = if cpu == 0 { bench.copies_of_flow(port(round)).unwrap_or(0) } else { 1 };
            told.push((first, copies));
        }
        pinned.map(|()| told)
    };
    let (one, two) = thread::scope(|scope| {
        let (one, two) = (scope.spawn(|| insert_all(0)), scope.spawn(|| insert_all(1)));
        (one.join().expect("no panic"), two.join().expect("no panic"))
    });
    let (one, two) = (one.expect("a first CPU"), two.expect("a second CPU"));
    for (round, (one, two)) in one.into_iter().zip(two).enumerate() {
        assert!((1..=3).contains(&one.0), "round {round}: forwarded");
        assert_eq!(one, two, "round {round}: the same server on both, and one slot");
    }
}
