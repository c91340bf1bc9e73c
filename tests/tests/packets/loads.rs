//! Active and inactive connections of real servers: right after every change of a flow, whoever makes it.

use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use lb_common::{
    flow::{SLOTS, State},
    sched::Scheduler,
    tcp::flag,
};
use lb_tests::netns;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::{
    bench::{self, Bench, DIRECTOR, action, attach_services, attached_program, pin_to, row, service},
    frame::{Frame, Packet},
};

const VIP: [u8; 4] = [10, 0, 0, 100];
const CLIENT: [u8; 4] = [192, 0, 2, 7];
/// Longer than every timeout.
const AN_HOUR: u32 = 3600;

fn bytes(packet: &Packet) -> Vec<u8> {
    let from = [2, 0, 0, 0, 9, 9];
    Frame { to: DIRECTOR, from, tags: Vec::new(), ethertype: 0x0800, payload: packet.bytes() }.bytes()
}

/// The port of the client with this number: nothing from the lowest ones, among which FTP's is.
const fn port(client: u16) -> u16 {
    1024 + client
}

fn tcp(client: u16, flags: u8) -> Vec<u8> {
    bytes(&Packet::tcp((CLIENT, port(client)), (VIP, 80), flags))
}

fn udp(client: u16) -> Vec<u8> {
    bytes(&Packet::udp((CLIENT, port(client)), (VIP, 53)))
}

fn sent(bench: &Bench, frame: &[u8]) {
    assert_eq!(bench.run(frame).expect("the program runs").action, action::TX);
}

/// TCP on port 80 and UDP on port 53, each with these servers.
fn services(servers: &[u8]) -> [xlvs::plan::Wanted; 2] {
    let servers: Vec<_> = servers.iter().map(|&last| (last, 1)).collect();
    [(6, 80), (17, 53)].map(|(protocol, port)| service(protocol, port, Scheduler::Rr, &servers))
}

fn director(servers: &[u8], flow_slots: u32) -> Bench {
    let mut bench = Bench::with_flow_slots(&services(servers), flow_slots).expect("the program loads");
    for &last in servers {
        bench.resolve(last, 0);
    }
    bench
}

fn load(bench: &Bench, last: u8) -> (u32, u32) {
    bench.load(80, 6, last).expect("a row")
}

fn udp_load(bench: &Bench, last: u8) -> (u32, u32) {
    bench.load(53, 17, last).expect("a row")
}

#[test]
fn a_connection_is_active_until_it_closes_and_counted_until_it_expires() {
    let bench = director(&[1, 2], 4096);
    for (flags, expected) in [
        (flag::SYN, (1, 0)),
        (flag::SYN, (1, 0)),
        (flag::ACK, (1, 0)),
        (flag::ACK, (1, 0)),
        (flag::FIN | flag::ACK, (0, 1)),
        (flag::ACK, (0, 1)),
    ] {
        sent(&bench, &tcp(1, flags));
        assert_eq!(load(&bench, 2), expected, "flags {flags:#x}");
    }
    sent(&bench, &tcp(1, flag::SYN));
    assert_eq!((load(&bench, 1), load(&bench, 2)), ((1, 0), (0, 0)), "the port used again, another turn");
    sent(&bench, &tcp(1, flag::ACK));
    sent(&bench, &tcp(1, flag::RST));
    assert_eq!(load(&bench, 1), (0, 1));
    for client in 1..4 {
        sent(&bench, &udp(client));
        sent(&bench, &udp(client));
    }
    assert_eq!((udp_load(&bench, 2), udp_load(&bench, 1)), ((0, 2), (0, 1)), "UDP is inactive");
    assert_eq!(bench.collect_in(9).expect("maps").forgotten, 0);
    assert_eq!(bench.collect_in(11).expect("maps").forgotten, 1, "what was reset is over after 10 s");
    assert_eq!(load(&bench, 1), (0, 0));
    assert_eq!(bench.collect_in(301).expect("maps").forgotten, 3);
    assert_eq!((udp_load(&bench, 2), udp_load(&bench, 1)), ((0, 0), (0, 0)));
}

#[test]
fn timeouts_hold_at_once_and_for_the_three_that_can_be_set() {
    let bench = director(&[1], 4096);
    for client in 1..=3 {
        sent(&bench, &tcp(client, flag::SYN));
        sent(&bench, &tcp(client, flag::ACK));
    }
    sent(&bench, &tcp(2, flag::FIN | flag::ACK));
    sent(&bench, &udp(1));
    assert_eq!((load(&bench, 1), udp_load(&bench, 1)), ((2, 1), (0, 1)));
    assert_eq!(bench.collect_in(50).expect("maps").forgotten, 0);
    for (state, left) in [
        (State::FinWait, ((2, 0), (0, 1))),
        (State::Udp, ((2, 0), (0, 0))),
        (State::Established, ((0, 0), (0, 0))),
    ] {
        bench.set_timeout(state, 40);
        bench.collect_in(50).expect("maps");
        assert_eq!((load(&bench, 1), udp_load(&bench, 1)), left, "{state:?}");
    }
}

#[test]
fn who_makes_room_is_subtracted_from_its_own_server() {
    let bench = director(&[1, 2], SLOTS as u32);
    for client in 1..=4 {
        sent(&bench, &tcp(client, flag::SYN));
    }
    assert_eq!((load(&bench, 1), load(&bench, 2)), ((2, 0), (2, 0)));
    for client in 5..=20 {
        sent(&bench, &tcp(client, flag::SYN));
        let ((one, 0), (two, 0)) = (load(&bench, 1), load(&bench, 2)) else { panic!("inactive ones") };
        assert_eq!(one + two, 4, "a bucket holds no more");
    }
    assert_eq!(bench.collect_in(AN_HOUR).expect("maps").forgotten, 4);
    assert_eq!((load(&bench, 1), load(&bench, 2)), ((0, 0), (0, 0)));
}

#[test]
fn a_row_given_to_another_server_begins_with_nothing() {
    let mut bench = director(&[1, 2], 4096);
    for client in 1..=4 {
        sent(&bench, &tcp(client, flag::SYN));
        sent(&bench, &udp(client));
    }
    assert_eq!((load(&bench, 2), udp_load(&bench, 2)), ((2, 0), (0, 2)));
    bench.reassign(&services(&[1, 3])).expect("small");
    for last in [1, 3] {
        bench.resolve(last, 0);
    }
    assert_eq!((load(&bench, 1), load(&bench, 3)), ((2, 0), (0, 0)));
    assert_eq!((udp_load(&bench, 1), udp_load(&bench, 3)), ((0, 2), (0, 0)));
    // The first is closed by a segment, the second picked anew, the rest is collected: 1 of TCP, 1 of UDP.
    assert_eq!(bench.run(&tcp(1, flag::ACK)).expect("runs").action, action::PASS);
    sent(&bench, &udp(1));
    let udp_flows = udp_load(&bench, 1).1 + udp_load(&bench, 3).1;
    assert_eq!((load(&bench, 3), udp_flows), ((0, 0), 3));
    assert_eq!(bench.collect_in(0).expect("maps").forgotten, 2);
    assert_eq!((load(&bench, 1), load(&bench, 3)), ((2, 0), (0, 0)));
}

/// Whoever runs the next daemon on the pinned maps counts the same connections.
#[test]
fn a_daemon_that_takes_over_counts_what_is_there() {
    let pins = Path::new("/sys/fs/bpf").join(netns::unique_name());
    bench::namespace().expect("a namespace");
    let up = Command::new("ip").args("link set lo up".split(' ')).status().expect("ip");
    assert!(up.success());
    let (mut killed, old_rows) = attach_services(&pins, &services(&[1, 2])).expect("it attaches");
    let run = |datapath: &mut xlvs::io::datapath::Datapath, frame: &[u8]| {
        let program = attached_program(datapath).expect("loaded");
        bench::run(program, frame).expect("the program runs").0
    };
    for client in 1..=40 {
        assert_eq!(run(&mut killed, &tcp(client, flag::SYN)), action::TX);
        if client % 2 == 0 {
            run(&mut killed, &tcp(client, flag::FIN | flag::ACK));
        }
        assert_eq!(run(&mut killed, &udp(client)), action::TX);
    }
    let loads = |datapath: &xlvs::io::datapath::Datapath, rows: &xlvs::control::Director, last| {
        [(80, 6), (53, 17)].map(|(port, protocol)| {
            let load = datapath.load(row(rows, port, protocol, last).expect("a row"));
            (load.active, load.inactive)
        })
    };
    assert_eq!(loads(&killed, &old_rows, 1), [(0, 20), (0, 20)]);
    assert_eq!(loads(&killed, &old_rows, 2), [(20, 0), (0, 20)]);
    // Its pinned program forwards on, its controller is gone.
    drop(killed);

    let (mut heir, rows) = attach_services(&pins, &services(&[1, 3])).expect("it takes over");
    assert_eq!(loads(&heir, &rows, 1), [(0, 0), (0, 0)], "not counted yet");
    // A change before the collector has come by, and one connection more.
    run(&mut heir, &tcp(2, flag::SYN));
    run(&mut heir, &tcp(41, flag::SYN));
    let flows = heir.flows().expect("maps");
    let [collected, _] = flows.collect(0..flows.rows(), bench::tick().expect("a clock"));
    assert_eq!(
        (collected.forgotten, collected.counted),
        (40, 39),
        "server 2 is gone; one was counted before"
    );
    let [[tcp_1, udp_1], [tcp_3, udp_3]] = [1, 3].map(|last| loads(&heir, &rows, last));
    assert_eq!((tcp_1.0 + tcp_3.0, tcp_1.1 + tcp_3.1), (2, 19));
    assert_eq!((udp_1, udp_3), ((0, 20), (0, 0)));
    flows.collect(0..flows.rows(), bench::tick().expect("a clock") + 5000);
    assert_eq!([1, 3].map(|last| loads(&heir, &rows, last)), [[(0, 0); 2]; 2]);
    heir.stop();
}

/// Two CPUs open, close and reset connections in few buckets, so that they evict each other's, while the collector
/// goes round: nothing is counted twice or not at all.
#[test]
fn several_cpus_and_the_collector_count_together() {
    const PACKETS: u32 = 60_000;
    let bench = director(&[1, 2, 3], 64);
    let program = bench.program().expect("loaded");
    let flows = bench.flows().expect("maps");
    let (running, now) = (AtomicBool::new(true), bench::tick().expect("a clock"));
    let traffic = |cpu: usize| {
        pin_to(cpu)?;
        let mut random = StdRng::seed_from_u64(cpu as u64);
        for _ in 0..PACKETS {
            let client = random.random_range(1..150);
            let flags = [flag::SYN, flag::SYN, flag::ACK, flag::FIN, flag::RST][random.random_range(0..5)];
            let frame = if random.random_ratio(1, 5) { udp(client) } else { tcp(client, flags) };
            bench::run(program, &frame)?;
        }
        anyhow::Ok(())
    };
    thread::scope(|scope| {
        let threads = [0, 1].map(|cpu| scope.spawn(move || traffic(cpu)));
        let running = &running;
        scope.spawn(move || {
            while running.load(Ordering::Relaxed) {
                // Young ones and old ones by turns.
                for ahead in [0, 20, 70, 2000] {
                    flows.collect(0..flows.rows(), now + ahead);
                    thread::yield_now();
                }
            }
        });
        let done = threads.map(|thread| thread.join().expect("no panic"));
        running.store(false, Ordering::Relaxed);
        done.into_iter().collect::<anyhow::Result<Vec<_>>>().expect("both CPUs run the program");
    });
    // A collected flow may still be open at the client, whose next segment goes to the stack. So only the table says
    // how many there are.
    let counted: u32 = [1, 2, 3]
        .map(|last| {
            let (tcp, udp) = (load(&bench, last), udp_load(&bench, last));
            tcp.0 + tcp.1 + udp.0 + udp.1
        })
        .into_iter()
        .sum();
    assert_eq!(bench.collect_in(AN_HOUR).expect("maps").forgotten, counted);
    for last in 1..=3 {
        assert_eq!((load(&bench, last), udp_load(&bench, last)), ((0, 0), (0, 0)), "server {last}");
    }
}

#[test]
fn after_200_000_connections_nothing_is_left() {
    const CONNECTIONS: u32 = 200_000;
    let bench = director(&[1, 2], 1 << 20);
    let program = bench.program().expect("loaded");
    let connect = |half: u32| {
        pin_to(half as usize)?;
        for connection in (half..CONNECTIONS).step_by(2) {
            let [_, a, b, c] = connection.to_be_bytes();
            for flags in [flag::SYN, flag::ACK, flag::FIN | flag::ACK] {
                let packet = Packet::tcp(([10, 1 + a, b, c], 40_000), (VIP, 80), flags);
                let (action, _) = bench::run(program, &bytes(&packet))?;
                anyhow::ensure!(action == action::TX, "connection {connection}: action {action}");
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads = [0, 1].map(|half| scope.spawn(move || connect(half)));
        for thread in threads {
            thread.join().expect("no panic").expect("every packet is sent");
        }
    });
    let stats = [1, 2].map(|last| bench.stats(80, 6, last).expect("a row").connections);
    assert_eq!(stats.iter().sum::<u64>(), u64::from(CONNECTIONS));
    let left = [1, 2].map(|last| load(&bench, last));
    assert_eq!([left[0].0, left[1].0], [0, 0], "all are closed");
    // The rest made room for others in full buckets.
    assert!(left[0].1 + left[1].1 > CONNECTIONS * 9 / 10, "{left:?}");
    bench.set_timeout(State::FinWait, 1);
    bench.collect_in(2).expect("maps");
    assert_eq!([1, 2].map(|last| load(&bench, last)), [(0, 0); 2]);
}

/// So many that no bucket is full of a test's own flows, whatever the keys of the hash.
const FLOODED_SLOTS: u32 = 16_384;
/// Fills every bucket several times over.
const FLOOD: u32 = 5 * FLOODED_SLOTS;

#[test]
fn a_flood_of_random_datagrams_evicts_its_own_and_no_flow_that_goes_on() {
    const LIVING: u16 = 100;
    let bench = director(&[1, 2], FLOODED_SLOTS);
    let program = bench.program().expect("loaded");
    let send = |frame: &[u8]| assert_eq!(bench::run(program, frame).expect("the program runs").0, action::TX);
    let scheduled = || [1, 2].map(|last| bench.stats(53, 17, last).expect("a row").connections).iter().sum();
    for client in 1..=LIVING {
        send(&udp(client));
        send(&udp(client));
    }
    let mut random = StdRng::seed_from_u64(2);
    for _ in 0..FLOOD {
        send(&bytes(&Packet::udp((random.random(), random.random()), (VIP, 53))));
    }
    let before: u64 = scheduled();
    (1..=LIVING).for_each(|client| send(&udp(client)));
    assert_eq!(scheduled(), before, "every one of them was still there");
}

#[test]
fn a_flood_of_random_sources_evicts_its_own_and_no_established_connection() {
    let bench = director(&[1, 2], FLOODED_SLOTS);
    let program = bench.program().expect("loaded");
    let server = |frame: &[u8]| match bench::run(program, frame).expect("the program runs") {
        (action::TX, out) => Some(out[5]),
        _ => None,
    };
    let mut random = StdRng::seed_from_u64(1);
    let mut established = Vec::new();
    for client in 1..300 {
        let to = server(&tcp(client, flag::SYN)).expect("sent");
        assert_eq!(server(&tcp(client, flag::ACK)), Some(to));
        established.push((client, to));
    }
    let mut refused = 0;
    for _ in 0..FLOOD {
        let packet = Packet::tcp((random.random(), random.random()), (VIP, 80), flag::SYN);
        refused += u32::from(server(&bytes(&packet)).is_none());
    }
    for (client, to) in established {
        assert_eq!(server(&tcp(client, flag::ACK)), Some(to), "client {client}");
    }
    assert!(refused < FLOOD / 100, "a flood evicts itself: {refused} of {FLOOD} refused");
    let active: u32 = [1, 2].map(|last| load(&bench, last).0).iter().sum();
    assert!((300..=FLOODED_SLOTS).contains(&active), "{active} connections in {FLOODED_SLOTS} slots");
    assert_eq!(
        bench.collect_in(61).expect("maps").forgotten,
        active - 299,
        "what was never answered is over"
    );
    assert_eq!([1, 2].map(|last| load(&bench, last).0).iter().sum::<u32>(), 299);
}
