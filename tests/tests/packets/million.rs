//! A million connections at once: every one is kept, found and counted, whatever the clients' addresses are like.

use std::{thread, time::Instant};

use lb_common::{counters::Counter, flow::State, sched::Scheduler, tcp::flag};
use xlvs::plan::Wanted;

use crate::{
    bench::{self, Bench, DIRECTOR, action, pin_to, service},
    frame::{Frame, Packet},
};

const VIP: [u8; 4] = [10, 0, 0, 100];
const SERVERS: [u8; 4] = [1, 2, 3, 4];
const CONNECTIONS: u32 = 1_000_000;
/// So many that nobody finds sixteen of them taken: with half of them it would be one connection in a hundred runs.
const SLOTS: u32 = 1 << 23;
/// Each has half of the connections.
const THREADS: u32 = 2;
/// A timeout longer than the test.
const AN_HOUR: u32 = 3600;

/// The address and port of a client by its number; all are different.
type Client = fn(u32) -> ([u8; 4], u16);

/// Addresses all over the world, a port each.
fn varied(number: u32) -> ([u8; 4], u16) {
    (number.wrapping_mul(0x9e37_79b1).to_be_bytes(), (number.wrapping_mul(40_503) >> 3) as u16 | 1024)
}

/// The 256 addresses of one network, each with ports in steps of 16.
fn one_network(number: u32) -> ([u8; 4], u16) {
    ([192, 0, 2, number as u8], (1024 + 16 * (number >> 8)) as u16)
}

fn frame(client: ([u8; 4], u16), flags: u8) -> Vec<u8> {
    let payload = Packet::tcp(client, (VIP, 80), flags).bytes();
    Frame { to: DIRECTOR, from: [2, 0, 0, 0, 9, 9], tags: Vec::new(), ethertype: 0x0800, payload }.bytes()
}

fn wanted() -> Wanted {
    service(6, 80, Scheduler::Rr, &SERVERS.map(|last| (last, 1)))
}

/// Sends a segment of every connection, from several CPUs; each must be forwarded. The last octets of the servers that
/// it went to, by thread and in order.
fn send(bench: &Bench, client: Client, flags: u8) -> Vec<Vec<u8>> {
    let program = bench.program().expect("loaded");
    let part = |cpu: u32| {
        // Where there are fewer CPUs the threads share one.
        let _pinned = pin_to(cpu as usize);
        let server = |number: u32| {
            let (action, out) = bench::run(program, &frame(client(number), flags))?;
            anyhow::ensure!(action == action::TX, "connection {number}, flags {flags:#x}: action {action}");
            Ok(out[5])
        };
        (cpu..CONNECTIONS).step_by(THREADS as usize).map(server).collect::<anyhow::Result<Vec<u8>>>()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|cpu| scope.spawn(move || part(cpu))).collect();
        let parts = threads.into_iter().map(|thread| thread.join().expect("no panic"));
        let sent = parts.collect::<anyhow::Result<_>>();
        sent.unwrap_or_else(|error| panic!("{error:#}: every segment is forwarded: {:?}", bench.counters()))
    })
}

/// Active and inactive connections of each server.
fn loads(bench: &Bench) -> [(u32, u32); 4] {
    SERVERS.map(|last| bench.load(80, 6, last).expect("a row"))
}

/// How many flows there are, and how many of them the buckets count as lying in others than their own.
fn table(bench: &Bench) -> (usize, u32) {
    bench.buckets().expect("a map").fold((0, 0), |(flows, spilled), bucket| {
        let slots = bucket.expect("a bucket").slots;
        let here = slots.iter().filter(|slot| slot.state().is_living()).count();
        (flows + here, spilled + slots[0].spilled)
    })
}

fn hold(what: &str, client: Client) {
    let start = Instant::now();
    let mut bench = Bench::with_flow_slots(&[wanted()], SLOTS).expect("the program loads");
    for last in SERVERS {
        bench.resolve(last, 0);
    }
    // However slow the machine is.
    bench.set_timeout(State::SynRecv, AN_HOUR);
    bench.set_timeout(State::Established, AN_HOUR);
    let chosen = send(&bench, client, flag::SYN);
    assert!(send(&bench, client, flag::ACK) == chosen, "the handshake's end goes where its begin went");
    let opened = start.elapsed();

    assert!(send(&bench, client, flag::ACK) == chosen, "every connection is found with its server");
    let counters = bench.counters().expect("a map");
    for &counter in Counter::ALL {
        let expected = if counter == Counter::ForwardedTx { 3 * u64::from(CONNECTIONS) } else { 0 };
        assert_eq!(counter.of(&counters), expected, "{}", counter.name());
    }
    let share = CONNECTIONS / SERVERS.len() as u32;
    for (last, (active, inactive)) in SERVERS.into_iter().zip(loads(&bench)) {
        // Where two CPUs want a server in one moment and give up, the next turn is another's.
        assert!(active.abs_diff(share) <= share / 100, "{active} connections of server {last}");
        assert_eq!(inactive, 0);
    }
    assert_eq!(loads(&bench).map(|(active, _)| active).iter().sum::<u32>(), CONNECTIONS);
    let (flows, spilled) = table(&bench);
    assert_eq!(flows, CONNECTIONS as usize);
    println!(
        "{what}: {CONNECTIONS} connections in {SLOTS} slots, opened in {opened:.1?}; {spilled} in another bucket"
    );

    assert!(send(&bench, client, flag::FIN | flag::ACK) == chosen);
    let closed = loads(&bench);
    assert!(closed.iter().all(|&(active, _)| active == 0), "{closed:?}");
    assert_eq!(closed.map(|(_, inactive)| inactive).iter().sum::<u32>(), CONNECTIONS);
    assert_eq!(bench.collect_in(2 * AN_HOUR).expect("maps").forgotten, CONNECTIONS);
    assert_eq!((loads(&bench), table(&bench)), ([(0, 0); 4], (0, 0)));
}

#[test]
fn a_million_connections_from_everywhere_are_held() {
    hold("varied clients", varied);
}

#[test]
fn a_million_connections_from_one_network_are_held() {
    hold("one network, ports in steps", one_network);
}
