//! Persistence: which real server a client comes back to, for how long, and what its templates cost nobody.

use std::{ops::ControlFlow, path::Path, process::Command, time::Duration};

use lb_common::{
    flow::{KIND_TEMPLATE, Key4, Slot, State, ticks},
    layout::{Address, MarkRule, Policy},
    sched::Scheduler,
    tcp::flag,
};
use lb_tests::{netns, wait};
use xlvs::{
    control::Event,
    health::Verdict,
    io::datapath::Flows,
    plan::{ServiceKey, Wanted},
};

use crate::{
    beginnings::{CLIENT, TCP, UDP, VIP, bytes, datagram, resolved, segment, served},
    bench::{self, Bench, attach_services, attached_program, count_slots, service},
    frame::Packet,
};

/// For how long clients stay, in seconds.
const LONG: u32 = 300;
/// Another client, of the same /24.
const NEIGHBOUR: [u8; 4] = [192, 0, 2, 200];

/// The service with persistence for so many seconds.
pub(crate) fn persistent(service: Wanted, persistence: u32) -> Wanted {
    Wanted { policy: Policy { persistence, mask: Address::mask(128), ..Policy::default() }, ..service }
}

/// Three servers in turns.
fn turns(protocol: u8, port: u16) -> Wanted {
    service(protocol, port, Scheduler::Rr, &[(1, 1), (2, 1), (3, 1)])
}

fn director(services: &[Wanted]) -> Bench {
    resolved(Bench::new(services).expect("the program loads"))
}

/// Opens a connection: the server.
fn open(bench: &Bench, client: [u8; 4], client_port: u16, port: u16) -> Option<u8> {
    let server = served(bench, &segment((client, client_port), (VIP, port), flag::SYN));
    assert_eq!(server, served(bench, &segment((client, client_port), (VIP, port), flag::ACK)));
    server
}

fn fails(bench: &mut Bench, last: u8) {
    bench.event(&Event::Check(last.into(), Verdict::Down { reason: "a test".to_owned() }));
}

fn is_template(slot: &Slot<Key4>) -> bool {
    slot.key.kind == KIND_TEMPLATE
}

fn templates(bench: &Bench) -> usize {
    bench.count_slots(is_template).expect("maps")
}

/// Two passes of the collector over everything, so many seconds from now.
fn collect_twice(flows: &Flows, seconds: u32) {
    let now = bench::tick().expect("a clock") + ticks(seconds) + 1;
    for _pass in 0..2 {
        flows.collect(0..flows.rows(), now);
    }
}

#[test]
fn a_client_comes_back_to_its_server() {
    let bench = director(&[persistent(turns(TCP, 80), LONG)]);
    let first = open(&bench, CLIENT, 1, 80);
    for port in 2..9 {
        assert_eq!(open(&bench, CLIENT, port, 80), first);
    }
    assert_ne!(open(&bench, NEIGHBOUR, 1, 80), first, "the next one's turn");
    assert_eq!(open(&bench, CLIENT, 9, 80), first);
    assert_eq!(templates(&bench), 2);
    let loads = [1, 2, 3].map(|last| bench.load(80, TCP, last).expect("a row"));
    let mut all = loads.to_vec();
    all.sort_unstable();
    assert_eq!(all, [(0, 0), (1, 0), (9, 0)], "a template is no connection");
    let counted: u64 =
        [1, 2, 3].map(|last| bench.stats(80, TCP, last).expect("a row").connections).iter().sum();
    assert_eq!(counted, 10);
}

#[test]
fn clients_under_one_mask_are_one_client() {
    let mut wanted = persistent(turns(TCP, 80), LONG);
    wanted.policy.mask = Address::mask(96 + 24);
    let bench = director(&[wanted]);
    let first = open(&bench, CLIENT, 1, 80);
    assert_eq!(open(&bench, NEIGHBOUR, 1, 80), first);
    assert_ne!(open(&bench, [192, 0, 3, 7], 1, 80), first);
    assert_eq!(templates(&bench), 2);
}

#[test]
fn a_server_without_weight_keeps_its_clients_unless_it_is_to_lose_them() {
    for (flags, stays) in [(0, true), (Policy::EXPIRE_QUIESCENT, false)] {
        let mut wanted = persistent(turns(TCP, 80), LONG);
        wanted.policy.flags = flags;
        wanted.servers_mut().iter_mut().for_each(|server| server.inhibit_on_failure = true);
        let mut bench = director(&[wanted]);
        let first = open(&bench, CLIENT, 1, 80).expect("a server");
        // A failed check takes its weight and not its place.
        fails(&mut bench, first);
        let second = open(&bench, CLIENT, 2, 80);
        assert_eq!(second == Some(first), stays, "flags {flags}");
        assert_eq!(open(&bench, CLIENT, 3, 80), second);
        let old = segment((CLIENT, 1), (VIP, 80), flag::ACK);
        assert_eq!(served(&bench, &old), Some(first), "what is open goes on");
        for client in 1..7 {
            assert_ne!(open(&bench, [198, 51, 100, client], 1, 80), Some(first), "no new clients");
        }
        assert_eq!(templates(&bench), 7);
    }
}

#[test]
fn a_server_that_is_down_loses_its_clients_for_good() {
    let mut bench = director(&[persistent(turns(TCP, 80), LONG)]);
    let first = open(&bench, CLIENT, 1, 80).expect("a server");
    fails(&mut bench, first);
    let second = open(&bench, CLIENT, 2, 80);
    assert!(second.is_some() && second != Some(first));
    bench.event(&Event::Check(first.into(), Verdict::Up));
    for port in 3..9 {
        assert_eq!(open(&bench, CLIENT, port, 80), second);
    }
    assert_eq!(templates(&bench), 1, "the template was replaced");
}

#[test]
fn the_time_begins_anew_with_every_connection_and_not_with_packets() {
    let bench = director(&[persistent(turns(TCP, 80), LONG), persistent(turns(TCP, 81), LONG)]);
    open(&bench, CLIENT, 1, 80);
    open(&bench, CLIENT, 1, 81);
    let begun = bench::tick().expect("a clock");
    wait::until("two ticks", Duration::from_secs(10), || {
        let is_later = bench::tick()? >= begun + 2;
        Ok(if is_later { ControlFlow::Break(()) } else { ControlFlow::Continue("the clock".to_owned()) })
    })
    .expect("time passes");
    open(&bench, CLIENT, 2, 80);
    served(&bench, &segment((CLIENT, 1), (VIP, 81), flag::ACK)).expect("a server");
    let of = |port: u16| {
        let port = port.to_be_bytes();
        let is = |slot: &Slot<Key4>| is_template(slot) && slot.key.vip_port == port;
        bench.count_slots(is).expect("maps")
    };
    // No flow is to keep them.
    bench.set_timeout(State::Established, 1);
    let flows = bench.flows().expect("maps");
    for (since, left) in [(0, [1, 1]), (1, [1, 0]), (4, [0, 0])] {
        let now = begun + ticks(LONG) + since;
        for _pass in 0..2 {
            flows.collect(0..flows.rows(), now);
        }
        assert_eq!([of(80), of(81)], left, "{since} ticks after the first connections' time");
    }
}

#[test]
fn a_template_outlives_its_time_by_a_minute_while_a_connection_goes_on() {
    let bench = director(&[persistent(turns(TCP, 80), LONG)]);
    let first = open(&bench, CLIENT, 1, 80);
    let flows = bench.flows().expect("maps");
    collect_twice(&flows, LONG + 10);
    assert_eq!(templates(&bench), 1, "its connection goes on");
    assert_eq!(open(&bench, CLIENT, 2, 80), first);
    for seconds in [LONG + 10, LONG + 30, LONG + 75] {
        collect_twice(&flows, seconds);
        assert_eq!(templates(&bench), 1, "{seconds} s");
    }
    // Then both are silent for longer than connections may be.
    collect_twice(&flows, 1000);
    collect_twice(&flows, 1000);
    assert_eq!(bench.count_slots(|_| true).expect("maps"), 0);
    assert_eq!(bench.load(80, TCP, first.expect("a server")).expect("a row"), (0, 0));
}

#[test]
fn every_port_of_an_address_is_one_service_and_exact_ports_go_first() {
    let bench = director(&[persistent(turns(TCP, 0), LONG), turns(TCP, 80)]);
    let first = open(&bench, CLIENT, 1, 8000);
    assert_eq!([8001, 443, 21, 20, 65535].map(|port| open(&bench, CLIENT, 2, port)), [first; 5]);
    assert_eq!(templates(&bench), 1);
    let taken: std::collections::BTreeSet<_> = (3..6).map(|port| open(&bench, CLIENT, port, 80)).collect();
    assert_eq!(taken.len(), 3, "port 80 takes turns");
    let loads: Vec<u32> = (1..=3).map(|last| bench.load(80, TCP, last).expect("a row").0).collect();
    assert_eq!(loads, [1, 1, 1]);
}

#[test]
fn ftp_data_goes_where_its_control_connection_went() {
    let bench = director(&[persistent(turns(TCP, 21), LONG)]);
    let first = open(&bench, CLIENT, 1, 21);
    assert_eq!([50_000, 1024].map(|port| open(&bench, CLIENT, 2, port)), [first; 2]);
    // The server has opened a data connection from its port 20, past the director, and the client answers.
    for flags in [flag::SYN | flag::ACK, flag::ACK, flag::FIN | flag::ACK] {
        assert_eq!(served(&bench, &segment((CLIENT, 50_000), (VIP, 20), flags)), first);
    }
    let low = bench.run(&segment((CLIENT, 3), (VIP, 1023), flag::SYN)).expect("the program runs");
    assert_eq!(low.counted, [("pass_no_service", 1)]);

    let mut bench = director(&[persistent(turns(TCP, 21), LONG)]);
    for last in 1..=3 {
        bench.event(&Event::Check(last, Verdict::Down { reason: "a test".to_owned() }));
    }
    let data = bench.run(&segment((CLIENT, 2), (VIP, 50_000), flag::SYN)).expect("the program runs");
    assert_eq!(data.counted, [("pass_no_service", 1)], "it may be for this host");
    assert_eq!(served(&bench, &segment((CLIENT, 1), (VIP, 21), flag::SYN)), None);

    let bench = director(&[turns(TCP, 21)]);
    open(&bench, CLIENT, 1, 21);
    let data = bench.run(&segment((CLIENT, 2), (VIP, 50_000), flag::SYN)).expect("the program runs");
    assert_eq!(data.counted, [("pass_no_service", 1)], "without persistence nobody knows");
}

#[test]
fn a_mark_holds_a_client_over_addresses_ports_and_protocols() {
    let rule = MarkRule {
        destination_mask: Address::mask(96 + 24),
        destination: Address::v4([10, 0, 0, 0]),
        ports: [0, u16::MAX],
        mark: 9,
        ..MarkRule::default()
    };
    let wanted = Wanted { key: ServiceKey::of_mark(false, 9), ..persistent(turns(TCP, 80), LONG) };
    let bench = resolved(Bench::with_marks(&[wanted], &[rule], &[]).expect("the program loads"));
    let first = open(&bench, CLIENT, 1, 80);
    assert!(first.is_some());
    for (vip, port) in [(VIP, 443), ([10, 0, 0, 101], 80), ([10, 0, 0, 102], 7)] {
        assert_eq!(served(&bench, &segment((CLIENT, 2), (vip, port), flag::SYN)), first, "{vip:?} {port}");
        assert_eq!(served(&bench, &bytes(&Packet::udp((CLIENT, 3), (vip, port)))), first, "{vip:?} {port}");
    }
    assert_eq!(templates(&bench), 1);
    assert_ne!(open(&bench, NEIGHBOUR, 1, 80), first);
}

#[test]
fn templates_outlive_the_daemon() {
    let pins = Path::new("/sys/fs/bpf").join(netns::unique_name());
    bench::namespace().expect("a namespace");
    let up = Command::new("ip").args("link set lo up".split(' ')).status().expect("ip");
    assert!(up.success());
    let services = [persistent(turns(TCP, 80), LONG)];
    let open = |datapath: &mut xlvs::io::datapath::Datapath, client: u8, port: u16| {
        let program = attached_program(datapath).expect("loaded");
        let syn = segment(([192, 0, 2, client], port), (VIP, 80), flag::SYN);
        bench::run(program, &syn).expect("the program runs").1[5]
    };
    let (mut killed, _) = attach_services(&pins, &services).expect("it attaches");
    let first: Vec<u8> = (1..20).map(|client| open(&mut killed, client, 1)).collect();
    drop(killed);
    let (mut heir, _) = attach_services(&pins, &services).expect("it takes over");
    let second: Vec<u8> = (1..20).rev().map(|client| open(&mut heir, client, 2)).collect();
    assert_eq!(first, second.into_iter().rev().collect::<Vec<_>>());
    let flows = heir.flows().expect("maps");
    flows.collect(0..flows.rows(), bench::tick().expect("a clock"));
    assert_eq!(count_slots(heir.ebpf_mut(), is_template).expect("maps"), 19);
    let third: Vec<u8> = (1..20).map(|client| open(&mut heir, client, 3)).collect();
    assert_eq!(first, third);
    heir.stop();
}

/// The client's second packet says that it is there.
#[test]
fn a_connection_beyond_its_first_packet_confirms_the_clients_template() {
    let bench = director(&[persistent(turns(TCP, 80), LONG), persistent(turns(UDP, 53), LONG)]);
    let of = |protocol: u8, state: State| {
        let is =
            |slot: &Slot<Key4>| is_template(slot) && slot.key.protocol == protocol && slot.state() == state;
        bench.count_slots(is).expect("maps")
    };
    for (protocol, first, second) in [
        (TCP, segment((CLIENT, 1), (VIP, 80), flag::SYN), segment((CLIENT, 1), (VIP, 80), flag::ACK)),
        (UDP, datagram((CLIENT, 1), 53), datagram((CLIENT, 1), 53)),
    ] {
        let server = served(&bench, &first);
        assert_eq!((of(protocol, State::TemplateFirst), of(protocol, State::Template)), (1, 0));
        assert_eq!(served(&bench, &second), server);
        assert_eq!((of(protocol, State::TemplateFirst), of(protocol, State::Template)), (0, 1));
    }
}

#[test]
fn a_flood_of_first_packets_takes_no_template_of_a_client_that_is_there() {
    let wanted = [persistent(turns(TCP, 80), LONG)];
    let bench = resolved(Bench::with_flow_slots(&wanted, 256).expect("the program loads"));
    let client = |last| [192, 0, 2, last];
    let first: Vec<_> = (1..=40).map(|last| open(&bench, client(last), 1, 80)).collect();
    for number in 0..10_000_u16 {
        let [high, low] = number.to_be_bytes();
        let syn = segment(([198, 18, high, low], 1), (VIP, 80), flag::SYN);
        bench.run(&syn).expect("the program runs");
    }
    let confirmed = |slot: &Slot<Key4>| slot.state() == State::Template;
    assert_eq!(bench.count_slots(confirmed).expect("maps"), 40);
    let second: Vec<_> = (1..=40).map(|last| open(&bench, client(last), 2, 80)).collect();
    assert_eq!(first, second);
}
