//! With which packets connections begin, and with which servers: thresholds, one-packet scheduling, sloppy TCP, and
//! connections that a scheduler by hash places in the middle.

use lb_common::{
    flow::State,
    layout::{Address, Policy},
    sched::Scheduler,
    tcp::flag,
};
use xlvs::{
    control::{Action, Event},
    health::Verdict,
    plan::Wanted,
};

use crate::{
    bench::{Bench, DIRECTOR, action, key, service},
    frame::{Frame, Packet},
};

/// IP protocol numbers.
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const VIP: [u8; 4] = [10, 0, 0, 100];
pub(crate) const CLIENT: [u8; 4] = [192, 0, 2, 7];

/// The packet in a frame to the director.
pub(crate) fn bytes(packet: &Packet) -> Vec<u8> {
    let from = [2, 0, 0, 0, 9, 9];
    Frame { to: DIRECTOR, from, tags: Vec::new(), ethertype: 0x0800, payload: packet.bytes() }.bytes()
}

/// A TCP segment in a frame.
pub(crate) fn segment(client: ([u8; 4], u16), service: ([u8; 4], u16), flags: u8) -> Vec<u8> {
    bytes(&Packet::tcp(client, service, flags))
}

/// A UDP datagram to the VIP in a frame.
pub(crate) fn datagram(client: ([u8; 4], u16), port: u16) -> Vec<u8> {
    bytes(&Packet::udp(client, (VIP, port)))
}

/// The bench with the ways to the servers 1 to 3.
pub(crate) fn resolved(mut bench: Bench) -> Bench {
    (1..=3).for_each(|last| bench.resolve(last, 0));
    bench
}

/// The last octet of the server that a frame is sent to; none where the client is answered that there is none.
pub(crate) fn served(bench: &Bench, frame: &[u8]) -> Option<u8> {
    let outcome = bench.run(frame).expect("the program runs");
    if outcome.counted == [("answer_no_server", 1)] {
        return None;
    }
    assert_eq!(outcome.action, action::TX, "{:?}", outcome.counted);
    Some(outcome.frame[5])
}

/// What a frame that is not forwarded is counted as.
fn counted(bench: &Bench, frame: &[u8]) -> &'static str {
    let outcome = bench.run(frame).expect("the program runs");
    assert_eq!((outcome.action, outcome.counted.len()), (action::PASS, 1), "{:?}", outcome.counted);
    outcome.counted[0].0
}

fn director(services: &[Wanted]) -> Bench {
    resolved(Bench::new(services).expect("the program loads"))
}

pub(crate) fn with_flags(service: Wanted, flags: u32) -> Wanted {
    Wanted { policy: Policy { flags, ..Policy::default() }, ..service }
}

fn tcp(client_port: u16, flags: u8) -> Vec<u8> {
    segment((CLIENT, client_port), (VIP, 80), flags)
}

/// A service whose server 1 has thresholds and whose server 2, if it has a weight, has none.
fn limited(thresholds: [u32; 2], other: u16) -> Wanted {
    let mut wanted = service(TCP, 80, Scheduler::Rr, &[(1, 1), (2, other)]);
    wanted.servers_mut()[0].thresholds = thresholds;
    wanted
}

#[test]
fn an_overloaded_server_leaves_connections_to_others() {
    let bench = director(&[limited([4, 0], 1)]);
    let servers: Vec<_> = (1..=12).map(|port| served(&bench, &tcp(port, flag::SYN))).collect();
    assert_eq!(servers.iter().filter(|server| **server == Some(1)).count(), 4);
    assert_eq!(servers[8..], [Some(2); 4]);
    assert_eq!(bench.load(80, TCP, 1).expect("a row"), (4, 0));
}

#[test]
fn when_all_are_overloaded_clients_are_told() {
    let bench = director(&[limited([2, 0], 0)]);
    assert_eq!(
        [1, 2, 3, 4].map(|port| served(&bench, &tcp(port, flag::SYN))),
        [Some(1), Some(1), None, None]
    );
    assert_eq!(served(&bench, &tcp(2, flag::ACK)), Some(1), "what is open goes on");
}

#[test]
fn a_server_is_overloaded_until_three_quarters_or_the_lower_threshold() {
    // Upper and lower threshold, and how many connections it has when it is served again.
    for (upper, lower, again) in [(8, 0, 5), (8, 7, 6), (8, 2, 1)] {
        let mut wanted = limited([upper, lower], 0);
        wanted.servers_mut().truncate(1);
        let bench = director(&[wanted]);
        let ports = 1..=upper as u16;
        for port in ports.clone() {
            assert_eq!(served(&bench, &tcp(port, flag::SYN)), Some(1));
        }
        assert_eq!(served(&bench, &tcp(100, flag::SYN)), None, "{upper}, {lower}");
        // One after another is reset and forgotten.
        for (port, left) in ports.zip((0..upper).rev()) {
            bench.run(&tcp(port, flag::ACK)).expect("the program runs");
            bench.run(&tcp(port, flag::RST)).expect("the program runs");
            assert_eq!(bench.collect_in(11).expect("maps").forgotten, 1);
            let server = served(&bench, &tcp(100, flag::SYN));
            assert_eq!(server.is_some(), left == again, "{upper}, {lower}: {left} left");
            if left == again {
                break;
            }
        }
        assert_eq!(bench.load(80, TCP, 1).expect("a row"), (again + 1, 0));
    }
}

#[test]
fn every_datagram_alone_is_somebodys() {
    let wanted = with_flags(service(UDP, 53, Scheduler::Rr, &[(1, 1), (2, 1), (3, 1)]), Policy::ONE_PACKET);
    let bench = director(&[wanted]);
    let servers: Vec<_> = (0..6).map(|_| served(&bench, &datagram((CLIENT, 1), 53))).collect();
    assert_eq!(servers, [3, 2, 1, 3, 2, 1].map(Some));
    for last in 1..=3 {
        assert_eq!(bench.stats(53, UDP, last).expect("a row").connections, 2);
        assert_eq!(bench.load(53, UDP, last).expect("a row"), (0, 0));
    }
    assert_eq!(bench.count_slots(|_| true).expect("maps"), 0, "no flow is left");
}

#[test]
fn datagrams_alone_go_where_their_client_stays() {
    let wanted = service(UDP, 53, Scheduler::Rr, &[(1, 1), (2, 1), (3, 1)]);
    let policy =
        Policy { flags: Policy::ONE_PACKET, persistence: 300, mask: Address::mask(128), ..Policy::default() };
    let bench = director(&[Wanted { policy, ..wanted }]);
    for (client, server) in [(CLIENT, 3), ([192, 0, 2, 8], 2), (CLIENT, 3), (CLIENT, 3), ([192, 0, 2, 8], 2)]
    {
        assert_eq!(served(&bench, &datagram((client, 1), 53)), Some(server));
    }
    assert_eq!(bench.count_slots(|slot| slot.state() == State::Template).expect("maps"), 2);
    assert_eq!(bench.count_slots(|_| true).expect("maps"), 2, "no flow is left");
    assert_eq!(bench.stats(53, UDP, 3).expect("a row").connections, 3);
}

#[test]
fn datagrams_alone_by_hash_ask_no_flow_table() {
    let mut wanted = with_flags(service(UDP, 53, Scheduler::Sh, &[(1, 1), (2, 1)]), Policy::ONE_PACKET);
    wanted.servers_mut()[1].inhibit_on_failure = true;
    let mut bench = director(&[wanted]);
    let be = |bench: &mut Bench, flags| {
        let policy = Policy { flags, ..Policy::default() };
        let (key, method) = (key(VIP.into(), UDP, 53), Scheduler::Sh.into());
        bench.apply(&Action::Service { key, method, lease: 0, policy });
    };
    be(&mut bench, 0);
    let clients = || (1..=50).map(|last| datagram(([192, 0, 2, last], 1), 53));
    let of_second = clients().find(|client| served(&bench, client) == Some(2)).expect("one of fifty");
    let flows = bench.count_slots(|_| true).expect("maps");
    bench.event(&Event::Check(2, Verdict::Down { reason: "a test".to_owned() }));
    assert_eq!(served(&bench, &of_second), Some(2), "its flow stays");
    be(&mut bench, Policy::ONE_PACKET);
    assert_eq!(served(&bench, &of_second), None, "its bucket is of a server that takes none");
    be(&mut bench, 0);
    assert_eq!(served(&bench, &of_second), Some(2), "its flow is still there");
    assert_eq!(bench.count_slots(|_| true).expect("maps"), flows);
}

#[test]
fn datagrams_alone_by_hash_go_where_connections_would_and_leave_no_flow() {
    let clients = || (1..=200).map(|last| ([192, 0, 2, last], 1000 + u16::from(last)));
    for scheduler in [Scheduler::Sh, Scheduler::Dh, Scheduler::Mh] {
        let wanted = service(UDP, 53, scheduler, &[(1, 1), (2, 3), (3, 2)]);
        let remembers = director(std::slice::from_ref(&wanted));
        let alone = director(&[with_flags(wanted, Policy::ONE_PACKET)]);
        for client in clients().chain(clients()) {
            let server = served(&alone, &datagram(client, 53));
            assert!(server.is_some());
            assert_eq!(server, served(&remembers, &datagram(client, 53)), "{scheduler:?} {client:?}");
        }
        assert_eq!(alone.count_slots(|_| true).expect("maps"), 0, "no flow is left");
        assert_eq!(remembers.count_slots(|_| true).expect("maps"), 200);
        let connections = (1..=3).map(|last| alone.stats(53, UDP, last).expect("a row").connections);
        assert_eq!(connections.sum::<u64>(), 400, "each is counted");
    }
}

#[test]
fn datagrams_alone_by_hash_whose_server_takes_none_are_refused_or_fall_back() {
    for scheduler in [Scheduler::Sh, Scheduler::Mh] {
        for fallback in [false, true] {
            let mut wanted = with_flags(service(UDP, 53, scheduler, &[(1, 1), (2, 1)]), Policy::ONE_PACKET);
            wanted.method.flags.fallback = fallback;
            wanted.servers_mut()[1].inhibit_on_failure = true;
            let mut bench = director(&[wanted]);
            bench.event(&Event::Check(2, Verdict::Down { reason: "a test".to_owned() }));
            let clients = (1..=12).map(|last| ([192, 0, 2, last], 1));
            let servers: Vec<_> = clients.map(|client| served(&bench, &datagram(client, 53))).collect();
            let refused = servers.iter().filter(|server| server.is_none()).count();
            assert_eq!(servers.len(), refused + servers.iter().filter(|server| **server == Some(1)).count());
            assert_eq!(refused > 0, !fallback, "{scheduler:?} {servers:?}");
            assert_eq!(bench.count_slots(|_| true).expect("maps"), 0);
        }
    }
}

#[test]
fn one_packet_scheduling_is_for_datagrams_only() {
    let bench =
        director(&[with_flags(service(TCP, 80, Scheduler::Rr, &[(1, 1), (2, 1)]), Policy::ONE_PACKET)]);
    assert_eq!([flag::SYN, flag::ACK, flag::ACK].map(|flags| served(&bench, &tcp(1, flags))), [Some(2); 3]);
    assert_eq!(bench.load(80, TCP, 2).expect("a row"), (1, 0));
}

#[test]
fn a_sloppy_service_takes_what_is_under_way_except_resets() {
    let rr = service(TCP, 80, Scheduler::Rr, &[(1, 1), (2, 1)]);
    let strict = director(std::slice::from_ref(&rr));
    assert_eq!(counted(&strict, &tcp(1, flag::ACK)), "pass_no_flow");

    let bench = director(&[with_flags(rr, Policy::SLOPPY)]);
    assert_eq!(counted(&bench, &tcp(1, flag::RST)), "pass_no_flow");
    assert_eq!(counted(&bench, &tcp(1, flag::RST | flag::ACK)), "pass_no_flow");
    for state in [State::Midway, State::Established, State::Established] {
        assert_eq!(served(&bench, &tcp(1, flag::ACK)), Some(2));
        let in_state = bench.count_slots(|slot| slot.state() == state).expect("maps");
        assert_eq!((in_state, bench.load(80, TCP, 2).expect("a row")), (1, (1, 0)), "{state:?}");
    }
    assert_eq!(served(&bench, &tcp(2, flag::FIN | flag::ACK)), Some(1));
    assert_eq!(bench.load(80, TCP, 1).expect("a row"), (0, 1), "it begins closed");
}

/// The services by hash, of three servers.
fn by_hash(scheduler: Scheduler) -> Wanted {
    service(TCP, 80, scheduler, &[(1, 1), (2, 1), (3, 1)])
}

#[test]
fn two_directors_place_a_connection_in_the_middle_alike() {
    for scheduler in [Scheduler::Sh, Scheduler::Mh, Scheduler::Dh] {
        let [one, other] = [(); 2].map(|()| director(&[by_hash(scheduler)]));
        let mut all = std::collections::BTreeSet::new();
        for last in 1..=40 {
            let of = |flags| segment(([192, 0, 2, last], 1), (VIP, 80), flags);
            let server = served(&one, &of(flag::SYN));
            assert!(server.is_some());
            assert_eq!(served(&one, &of(flag::ACK)), server);
            assert_eq!(served(&other, &of(flag::ACK)), server, "{scheduler:?}, client {last}");
            all.insert(server);
        }
        assert!(scheduler == Scheduler::Dh || all.len() == 3, "{scheduler:?}: {all:?}");
        assert_eq!(counted(&other, &segment(([192, 0, 2, 99], 1), (VIP, 80), flag::RST)), "pass_no_flow");
    }
}

#[test]
fn a_scheduler_by_hash_places_the_connections_of_a_server_that_is_gone_anew() {
    for scheduler in [Scheduler::Sh, Scheduler::Mh, Scheduler::Rr] {
        let mut bench = director(&[by_hash(scheduler)]);
        let first = served(&bench, &tcp(1, flag::SYN)).expect("a server");
        assert_eq!(served(&bench, &tcp(1, flag::ACK)), Some(first));
        bench.event(&Event::Check(first.into(), Verdict::Down { reason: "a test".to_owned() }));
        if scheduler == Scheduler::Rr {
            assert_eq!(counted(&bench, &tcp(1, flag::ACK)), "pass_server_gone");
            continue;
        }
        // Without a fallback sh finds nobody in the place of a server without weight, but this one has no place.
        let second = served(&bench, &tcp(1, flag::ACK));
        assert!(second.is_some() && second != Some(first), "{scheduler:?}: {second:?}");
        assert_eq!(served(&bench, &tcp(1, flag::ACK)), second);
        assert_eq!(bench.copies_of_flow(1).expect("maps"), 1);
        let loads = [first, second.expect("a server")].map(|last| bench.load(80, TCP, last).expect("a row"));
        assert_eq!(loads, [(0, 0), (1, 0)]);
    }
}

#[test]
fn a_flood_of_segments_without_a_connection_takes_no_connection_that_goes_on() {
    let wanted = [by_hash(Scheduler::Sh), service(TCP, 81, Scheduler::Rr, &[(1, 1)])];
    let bench = resolved(Bench::with_flow_slots(&wanted, 1024).expect("the program loads"));
    let client = |last: u8, flags| segment(([192, 0, 2, last], 1), (VIP, 80), flags);
    for last in 1..=40 {
        for flags in [flag::SYN, flag::ACK] {
            assert!(served(&bench, &client(last, flags)).is_some());
        }
    }
    for number in 0..20_000_u16 {
        let [high, low] = number.to_be_bytes();
        let outcome = bench.run(&segment(([198, 18, high, low], 1), (VIP, 80), flag::ACK)).expect("it runs");
        assert_eq!(outcome.counted, [("forwarded_tx", 1)], "segment {number}");
    }
    let established = bench.count_slots(|slot| slot.state() == State::Established).expect("maps");
    assert_eq!(established, 40);
    let opened =
        (1024..1124).filter(|&port| served(&bench, &segment((CLIENT, port), (VIP, 81), flag::SYN)).is_some());
    assert_eq!(opened.count(), 100, "other services open connections all the while");
}

#[test]
fn connections_are_reset_when_nobody_is_left_for_them() {
    let down = |bench: &mut Bench| {
        for last in 1..=3 {
            bench.event(&Event::Check(last, Verdict::Down { reason: "a test".to_owned() }));
        }
    };
    for scheduler in [Scheduler::Sh, Scheduler::Mh, Scheduler::Dh] {
        let mut bench = director(&[by_hash(scheduler)]);
        for flags in [flag::SYN, flag::ACK] {
            assert!(served(&bench, &tcp(1, flags)).is_some());
        }
        down(&mut bench);
        assert_eq!(counted(&bench, &tcp(1, flag::ACK)), "pass_server_gone", "{scheduler:?}");
        assert_eq!(counted(&bench, &tcp(1, flag::ACK)), "pass_no_flow", "{scheduler:?}: it is forgotten");
        assert_eq!(served(&bench, &tcp(2, flag::SYN)), None, "{scheduler:?}: a new one is told so");
    }
    let mut bench =
        director(&[with_flags(service(TCP, 80, Scheduler::Rr, &[(1, 1), (2, 1)]), Policy::SLOPPY)]);
    assert_eq!([flag::SYN, flag::ACK].map(|flags| served(&bench, &tcp(1, flags))), [Some(2); 2]);
    bench.event(&Event::Check(2, Verdict::Down { reason: "a test".to_owned() }));
    assert_eq!(counted(&bench, &tcp(1, flag::ACK)), "pass_server_gone", "another server would not know it");
}

#[test]
fn nothing_from_ftps_data_port_is_scheduled() {
    let bench = director(&[service(TCP, 80, Scheduler::Rr, &[(1, 1)])]);
    assert_eq!(counted(&bench, &tcp(20, flag::SYN)), "pass_no_flow");
    assert_eq!(served(&bench, &tcp(21, flag::SYN)), Some(1));
}
