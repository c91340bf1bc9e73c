//! Fragments, which go where the first of their datagram went.

use std::net::SocketAddr;

use aya::maps::{HashMap, Map, MapData};
use bytemuck::Zeroable as _;
use lb_common::{
    flow::ticks,
    fragment::{self, Datagram, First},
    layout::{Address, Lease, NO_VMAC},
    sched::Scheduler,
    tcp::flag,
};
use lb_tests::fragments;
use xlvs::{
    control::{Event, Way},
    io::datapath::Came,
    plan::{ServiceKey, Wanted},
};

use crate::{
    bench::{Bench, DIRECTOR, action, mac, rip, service},
    frame::{Frame, Packet},
};

const TCP: u8 = 6;
const UDP: u8 = 17;
const V6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100];
/// Of the client and the VIP in each family.
const FAMILIES: [[&str; 2]; 2] = [["192.0.2.7", "10.0.0.100"], ["fd01::7", "fd00::100"]];

/// In both families 53 UDP and 80 TCP to servers 1 and 2, of which the last added comes first; 82 UDP to this host; 84 UDP
/// to a server that is not resolved.
fn services() -> Vec<Wanted> {
    let v4 = [
        service(UDP, 53, Scheduler::Rr, &[(1, 1), (2, 1)]),
        service(TCP, 80, Scheduler::Rr, &[(1, 1), (2, 1)]),
        service(UDP, 82, Scheduler::Rr, &[(3, 1)]),
        service(UDP, 84, Scheduler::Rr, &[(5, 1)]),
    ];
    let vip = Address {
        octets: {
            let mut vip = V6;
            vip[14] = 1;
            vip[15] = 0;
            vip
        },
    };
    let v6 = v4.clone().map(|service| Wanted { key: ServiceKey { vip, ..service.key }, ..service });
    [v4, v6].concat()
}

fn director() -> Bench {
    resolved(Bench::new(&services()).expect("the program loads"))
}

fn resolved(mut bench: Bench) -> Bench {
    (1..=2).for_each(|last| bench.resolve(last, 0));
    bench.event(&Event::Way(rip(3), Way::Local));
    bench
}

/// The fragments of a datagram of four pieces from the client's port to a port of the VIP, as frames.
fn datagram([client, vip]: [&str; 2], ports: [u16; 2], identification: u16) -> Vec<Vec<u8>> {
    let [client, vip]: [SocketAddr; 2] = [(client, ports[0]), (vip, ports[1])]
        .map(|(address, port)| SocketAddr::new(address.parse().expect("address"), port));
    let packets = fragments::datagram(client, vip, &[7; 3000], 800, identification).expect("a datagram");
    assert_eq!(packets.len(), 4);
    packets.into_iter().map(|packet| frame(packet, vip.is_ipv6())).collect()
}

fn frame(payload: Vec<u8>, is_v6: bool) -> Vec<u8> {
    let ethertype = if is_v6 { 0x86dd } else { 0x0800 };
    Frame { to: DIRECTOR, from: [2, 0, 0, 0, 9, 9], tags: Vec::new(), ethertype, payload }.bytes()
}

/// The server that each frame was sent to, or the counter it left under.
fn run(bench: &Bench, frames: &[Vec<u8>]) -> Vec<Result<u8, &'static str>> {
    let run = |input: &Vec<u8>| {
        let outcome = bench.run(input).expect("the program runs");
        assert_eq!(outcome.counted.len(), 1, "{:?}", outcome.counted);
        let counter = outcome.counted[0].0;
        match outcome.action {
            action::TX => {
                assert_eq!(counter, "forwarded_tx");
                assert_eq!(outcome.frame[..12], [mac(outcome.frame[5]), DIRECTOR].concat());
                let ttl = if outcome.frame[12] == 8 { 14 + 8 } else { 14 + 7 };
                assert_eq!(outcome.frame[ttl], input[ttl] - 1);
                assert_eq!(outcome.frame.len(), input.len());
                Ok(outcome.frame[5])
            }
            action::PASS => {
                assert_eq!(&outcome.frame, input);
                Err(counter)
            }
            _ => Err(counter),
        }
    };
    frames.iter().map(run).collect()
}

#[test]
fn what_is_behind_the_first_fragment_follows_it() {
    let bench = director();
    for addresses in FAMILIES {
        for (number, expected) in [(1, 2), (2, 1), (3, 2)] {
            let frames = datagram(addresses, [40_000 + number, 53], 7);
            assert_eq!(run(&bench, &frames), vec![Ok(expected); 4], "{addresses:?}");
            // Once more, in another order: the first came already, and its flow goes on.
            let again: Vec<_> = frames.into_iter().rev().collect();
            assert_eq!(run(&bench, &again), vec![Ok(expected); 4], "{addresses:?}");
        }
    }
    let stats = bench.stats(53, UDP, 2).expect("counts");
    assert_eq!((stats.connections, stats.packets), (2, 16));
    // Three pieces of 800 bytes and what is left of 3008, with four headers.
    assert_eq!(stats.bytes, 4 * (3008 + 4 * 20));
}

#[test]
fn fragments_of_two_datagrams_are_told_apart() {
    let bench = director();
    for addresses in FAMILIES {
        let [one, two] = [(40_000, 1), (40_001, 2)].map(|(port, id)| datagram(addresses, [port, 53], id));
        let mixed: Vec<_> = one.into_iter().zip(two).flat_map(|(one, two)| [one, two]).collect();
        assert_eq!(run(&bench, &mixed), [Ok(2), Ok(1)].repeat(4), "{addresses:?}");
    }
}

#[test]
fn a_segment_of_tcp_in_fragments_and_ip_options_are_no_other() {
    let bench = director();
    let piece = |fragment, options: usize, flags| {
        let client = ([192, 0, 2, 7], 40_000);
        let segment = Packet::tcp(client, ([10, 0, 0, 100], 80), flags);
        frame(Packet { fragment, data: 76, options: vec![1; options], ..segment }.bytes(), false)
    };
    for options in [0, 4, 40] {
        let frames = [piece(0x2000, options, flag::SYN), piece(0x200c, 0, 0), piece(0x0018, options, 0)];
        assert_eq!(run(&bench, &frames), [Ok(2); 3], "{options} bytes of options");
    }
    assert_eq!(bench.load(80, TCP, 2).expect("a load"), (1, 0));
}

#[test]
fn an_ipv6_fragment_may_stand_behind_other_extension_headers() {
    let bench = director();
    let with_options = |frame: Vec<u8>| {
        let mut frame = frame;
        // Destination options of one padding option, before the fragment header.
        let next = std::mem::replace(&mut frame[14 + 6], 60);
        frame.splice(54..54, [next, 0, 1, 4, 0, 0, 0, 0]);
        let len = u16::from_be_bytes([frame[18], frame[19]]) + 8;
        frame[18..20].copy_from_slice(&len.to_be_bytes());
        frame
    };
    let frames: Vec<_> = datagram(FAMILIES[1], [40_000, 53], 7).into_iter().map(with_options).collect();
    assert_eq!(run(&bench, &frames), [Ok(2); 4]);
}

#[test]
fn what_is_behind_a_first_fragment_that_was_passed_is_passed() {
    let bench = director();
    for addresses in FAMILIES {
        let frames = datagram(addresses, [40_000, 5353], 7);
        let follows = [Err("pass_fragment"); 3];
        assert_eq!(run(&bench, &frames), [&[Err("pass_no_service")][..], &follows].concat());
        let frames = datagram(addresses, [40_000, 82], 8);
        assert_eq!(run(&bench, &frames), [Err("local"); 4]);
    }
}

#[test]
fn what_is_behind_a_first_fragment_that_was_answered_is_dropped() {
    let bench = director();
    for addresses in FAMILIES {
        let [first, later @ ..] = &datagram(addresses, [40_000, 84], 7)[..] else { panic!("fragments") };
        assert_eq!(bench.run(first).expect("the program runs").counted, [("answer_no_server", 1)]);
        assert_eq!(run(&bench, later), [Err("drop_fragment"); 3]);
    }
}

#[test]
fn what_is_behind_a_first_fragment_that_was_cut_short_is_dropped() {
    let bench = director();
    let piece = |fragment, data| {
        let datagram = Packet::udp(([192, 0, 2, 7], 40_000), ([10, 0, 0, 100], 53));
        frame(Packet { fragment, data, ..datagram }.bytes(), false)
    };
    let mut first = piece(0x2000, 8);
    // Four bytes of UDP's eight.
    first[16..18].copy_from_slice(&24_u16.to_be_bytes());
    assert_eq!(
        run(&bench, &[first, piece(0x0002, 8)]),
        ["drop_truncated_transport", "drop_fragment"].map(Err)
    );
}

#[test]
fn fragments_to_an_address_without_services_are_passed() {
    let bench = director();
    for [client, _] in FAMILIES {
        let other = if client.contains(':') { "fd00::101" } else { "10.0.0.101" };
        let frames = datagram([client, other], [40_000, 53], 7);
        let follows = [Err("pass_fragment"); 3];
        assert_eq!(run(&bench, &frames), [&[Err("pass_no_service")][..], &follows].concat());
        assert_eq!(remembered(&bench).iter().count(), 0, "nothing is kept of what is not ours");
    }
}

#[test]
fn fragments_are_passed_where_this_node_is_not_master() {
    let under = |service| Wanted { lease: 1, ..service };
    let services: Vec<_> = services().into_iter().map(under).collect();
    let bench = Bench::with_routers(&services, &[Lease::none(51, NO_VMAC)]).expect("the program loads");
    let bench = resolved(bench);
    let leases = bench.leases();
    for addresses in FAMILIES {
        let frames = datagram(addresses, [40_000, 53], 7);
        assert_eq!(run(&bench, &frames), [Err("pass_not_master"); 4]);
        leases.set(1, u64::MAX);
        assert_eq!(run(&bench, &frames), [Ok(2); 4]);
        leases.set(1, 0);
        assert_eq!(run(&bench, &frames), [Err("pass_not_master"); 4]);
    }
}

#[test]
fn a_server_that_is_gone_gets_no_more_fragments() {
    for addresses in FAMILIES {
        let mut bench = director();
        let frames = datagram(addresses, [40_000, 53], 7);
        assert_eq!(run(&bench, &frames[..2]), [Ok(2); 2]);
        let other = |service| Wanted {
            servers: crate::bench::service(UDP, 1, Scheduler::Rr, &[(4, 1)]).servers,
            ..service
        };
        bench.reassign(&services().into_iter().map(other).collect::<Vec<_>>()).expect("rows");
        bench.resolve(4, 0);
        assert_eq!(run(&bench, &frames[2..]), [Err("drop_fragment"); 2]);
    }
}

type Remembered = HashMap<MapData, [u8; size_of::<Datagram>()], [u8; size_of::<First>()]>;

fn remembered(bench: &Bench) -> Remembered {
    let Some(Map::LruHashMap(data)) = bench.ebpf().map("fragments") else { panic!("no map fragments") };
    let data = MapData::from_id(data.info().expect("information").id()).expect("the map");
    HashMap::try_from(Map::LruHashMap(data)).expect("rows of these sizes")
}

#[test]
fn a_first_fragment_is_forgotten_in_time() {
    let bench = director();
    for addresses in FAMILIES {
        let frames = datagram(addresses, [40_000, 53], 7);
        assert_eq!(run(&bench, &frames[..2]), [Ok(2); 2]);
        let mut map = remembered(&bench);
        for (seconds, expected) in
            [(fragment::SECONDS - 1, Ok(2)), (fragment::SECONDS + 2, Err("pass_early_fragment"))]
        {
            let keys: Vec<_> = map.keys().map(|key| key.expect("a key")).collect();
            for key in keys {
                let mut first = First::zeroed();
                bytemuck::bytes_of_mut(&mut first).copy_from_slice(&map.get(&key, 0).expect("a value"));
                first.tick = crate::bench::tick().expect("a clock").wrapping_sub(ticks(seconds));
                map.insert(key, bytemuck::must_cast::<First, [u8; size_of::<First>()]>(first), 0)
                    .expect("room");
            }
            assert_eq!(run(&bench, &frames[2..3]), [expected], "after {seconds} s");
        }
    }
}

#[test]
fn what_comes_before_the_first_fragment_is_passed_and_copied() {
    let bench = director();
    let mut early = bench.early().expect("the ring");
    for addresses in FAMILIES {
        let frames = datagram(addresses, [40_000, 53], 7);
        let [first, later @ ..] = &frames[..] else { panic!("fragments") };
        assert_eq!(run(&bench, later), [Err("pass_early_fragment"); 3]);
        let mut copies = Vec::new();
        while let Some((datagram, copy)) = early.take() {
            assert_eq!(early.first(&datagram), Came::NotYet);
            copies.push((datagram, copy));
        }
        let bytes: Vec<_> = copies.iter().map(|(_, copy)| &copy.bytes).collect();
        assert_eq!(bytes, later.iter().collect::<Vec<_>>(), "{addresses:?}");
        assert_eq!(run(&bench, std::slice::from_ref(first)), [Ok(2)]);
        for (datagram, copy) in &copies {
            assert_eq!((copy.ifindex, datagram.identification), (1, 7));
            let Came::Served(server) = early.first(datagram) else { panic!("the first has come") };
            let outgoing = early.run(copy, server).expect("the program runs").expect("it is sent");
            assert_eq!((outgoing.ifindex, &outgoing.bytes[..6]), (1, &mac(2)[..]));
            assert_eq!(outgoing.bytes[14..].len(), copy.bytes[14..].len());
        }
        assert!(early.take().is_none(), "what follows its first is not copied");
    }
    let stats = bench.stats(53, UDP, 2).expect("counts");
    assert_eq!((stats.connections, stats.packets), (1, 4));
}

#[test]
fn nobody_waits_for_a_first_fragment_that_was_passed_or_dropped() {
    let bench = director();
    let mut early = bench.early().expect("the ring");
    for (port, expected) in [(5353, "pass_no_service"), (84, "answer_no_server")] {
        let frames = datagram(FAMILIES[0], [40_000, port], port);
        let [first, later @ ..] = &frames[..] else { panic!("fragments") };
        assert_eq!(run(&bench, &later[..1]), [Err("pass_early_fragment")]);
        assert_eq!(bench.run(first).expect("the program runs").counted, [(expected, 1)]);
        let (datagram, _) = early.take().expect("a copy");
        assert_eq!(early.first(&datagram), Came::Lost);
    }
}

#[test]
fn a_flood_of_fragments_without_a_first_is_copied_in_part() {
    let bench = director();
    let mut early = bench.early().expect("the ring");
    let mut counted = [0; 2];
    let burst = fragment::EARLY_RATE.burst;
    for identification in 0..2 * burst as u16 {
        let frames = datagram(FAMILIES[0], [40_000, 53], identification);
        match run(&bench, &frames[3..])[0] {
            Err("pass_early_fragment") => counted[0] += 1,
            Err("pass_fragment") => counted[1] += 1,
            other => panic!("{other:?}"),
        }
    }
    // The ring has room for all of them.
    let copies = std::iter::from_fn(|| early.take()).count() as u64;
    assert_eq!(copies, counted[0]);
    assert!(copies >= burst && counted[1] > 0, "{counted:?}");
}
