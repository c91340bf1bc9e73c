//! Packets by chance over states by chance: each is explained first and then sent through the program, and the explanation has
//! said what becomes of it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use lb_common::{
    layout::{Address, Lease, MarkRule, NO_VMAC, NextHop, Policy},
    sched::{Flags, Method, Scheduler},
    sctp::chunk,
    tcp::flag,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use xlvs::{
    config::model::Protocol,
    control::{Event, Way},
    explain::{Action, Explanation, FoundBy, PickedBy, Question, Segment},
    health::Verdict,
    plan::{ServiceKey, Wanted, mapped},
};

use crate::{
    bench::{Bench, VIP4, VIP6, action, mac, rip, rip6, service_of},
    both::Family,
    leases::far,
};

/// Directors, each with services by chance.
const DIRECTORS: u64 = 10;
/// Packets to each of them.
const PACKETS: usize = 400;
/// Ports that services may have; some are nobody's.
const PORTS: [u16; 6] = [80, 443, 21, 53, 0, 8080];
/// Ports that packets go to.
const ASKED: [u16; 8] = [80, 443, 21, 20, 53, 8080, 9999, 7];
/// Real servers by their last octets.
const SERVERS: std::ops::RangeInclusive<u8> = 1..=9;
/// The row of a lease that never begins, and of one that lasts.
const DEAD: u16 = 2;
const ALIVE: u16 = 1;
const MARK: u32 = 7;

/// A director and what is known of it.
struct Explained {
    rng: StdRng,
    bench: Bench,
    services: Vec<Wanted>,
    /// What was seen, and how often.
    seen: BTreeMap<String, usize>,
}

fn method(rng: &mut StdRng, scheduler: Scheduler) -> Method {
    let is_ring = matches!(scheduler, Scheduler::Sh | Scheduler::Mh);
    let mut flag = || is_ring && rng.random_bool(0.5);
    Method { scheduler, flags: Flags { port: flag(), fallback: flag() } }
}

fn service(rng: &mut StdRng, vip: IpAddr, protocol: u8, port: u16, scheduler: Scheduler) -> Wanted {
    let mut servers: Vec<(u8, u16)> = Vec::new();
    for last in SERVERS {
        if rng.random_bool(0.4) {
            servers.push((last, rng.random_range(0..5)));
        }
    }
    let mut wanted = service_of(vip, (protocol, port), method(rng, scheduler), &servers);
    for server in wanted.servers_mut() {
        if rng.random_bool(0.3) {
            server.thresholds = [rng.random_range(1..6), 0];
        }
        server.inhibit_on_failure = rng.random_bool(0.5);
    }
    let prefix = if vip.is_ipv4() { 96 + 24 } else { 64 };
    let flags = [Policy::ONE_PACKET, Policy::SLOPPY, Policy::EXPIRE_QUIESCENT];
    wanted.policy = Policy {
        flags: flags.into_iter().filter(|_| rng.random_bool(0.3)).sum(),
        persistence: if rng.random_bool(0.5) { 300 } else { 0 },
        mask: Address::mask(*[128, prefix].choose(rng).expect("some")),
        ..Policy::default()
    };
    wanted.lease = *[0, 0, ALIVE, DEAD].choose(rng).expect("some");
    wanted
}

impl Explained {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut services: Vec<Wanted> = Vec::new();
        let mut schedulers = Scheduler::ALL.into_iter().cycle().skip(5 * seed as usize);
        for vip in [IpAddr::V4(VIP4), IpAddr::V6(VIP6)] {
            for protocol in [6, 17, 132] {
                for port in PORTS {
                    // Only with persistence is a service on every port.
                    if rng.random_bool(0.7) {
                        let scheduler = schedulers.next().expect("a cycle");
                        services.push(service(&mut rng, vip, protocol, port, scheduler));
                    }
                }
            }
            if rng.random_bool(0.7) {
                let marked = service(&mut rng, vip, 6, 0, schedulers.next().expect("a cycle"));
                services.push(Wanted { key: ServiceKey::of_mark(vip.is_ipv6(), MARK), lease: 0, ..marked });
            }
        }
        // The virtual router of an address is one.
        for vip in [VIP4.into(), VIP6.into()] {
            let lease = if rng.random_bool(0.2) { DEAD } else { *[0, ALIVE].choose(&mut rng).expect("some") };
            services
                .iter_mut()
                .filter(|wanted| wanted.key.vip == mapped(vip))
                .for_each(|wanted| wanted.lease = lease);
        }
        let rule = MarkRule { ports: [443, 443], mark: MARK, ..MarkRule::default() };
        let routers = [51, 52].map(|vrid| Lease::none(vrid, NO_VMAC));
        let bench = Bench::with_marks(&services, &[rule], &routers).expect("the program loads");
        bench.leases().set(ALIVE, far());
        let mut explained = Self { rng, bench, services, seen: BTreeMap::new() };
        SERVERS.for_each(|last| explained.way(last));
        explained
    }

    fn count(&mut self, what: impl Into<String>) {
        *self.seen.entry(what.into()).or_default() += 1;
    }

    /// Another way to a real server: mostly one through an interface.
    fn way(&mut self, last: u8) {
        for address in [rip(last), rip6(last)] {
            let way = match self.rng.random_range(0..10) {
                0 => Way::Local,
                1 => Way::None("a test".to_owned()),
                port => Way::Through(NextHop { mac: mac(last), port: port % 2 }),
            };
            self.bench.event(&Event::Way(address, way));
        }
    }

    /// Something happens, now and then.
    fn happens(&mut self) {
        let last = self.rng.random_range(SERVERS);
        match self.rng.random_range(0..40) {
            0 => self.way(last),
            1 => self.bench.event(&Event::Check(last.into(), Verdict::Down { reason: "a test".to_owned() })),
            2 => self.bench.event(&Event::Check(last.into(), Verdict::Up)),
            3 => self.exchange(last),
            _ => {}
        }
    }

    /// Gives the place of one service's first real server to another.
    fn exchange(&mut self, last: u8) {
        let place = self.rng.random_range(0..self.services.len());
        let service = &mut self.services[place];
        let is_v6 = service.key.is_v6();
        let address = if is_v6 { rip6(last) } else { rip(last) };
        if service.servers.is_empty() || service.servers.iter().any(|server| server.rip == address) {
            return;
        }
        let first = &mut service.servers_mut()[0];
        first.rip = address;
        first.checks = vec![last.into()];
        let services = self.services.clone();
        self.bench.reassign(&services).expect("as many rows as before");
        self.count("exchanged");
        SERVERS.for_each(|last| self.way(last));
    }

    fn question(&mut self) -> Question {
        let rng = &mut self.rng;
        let (octet, port) = (rng.random_range(1..4), *ASKED.choose(rng).expect("some"));
        let client_port = *[20, 1024, 1025, 1026, 1027].choose(rng).expect("some");
        // Some ask for an address that is no VIP, and some come from one that nobody answers.
        let stray = rng.random_bool(0.03);
        let (client, vip): (IpAddr, IpAddr) = if rng.random_bool(0.5) {
            let client = if rng.random_bool(0.05) { [0, 0, 0, octet] } else { [192, 0, 2, octet] };
            (client.into(), if stray { Ipv4Addr::new(10, 0, 0, 200) } else { VIP4 }.into())
        } else {
            let client = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, octet.into());
            let other = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x200);
            (client.into(), if stray { other } else { VIP6 }.into())
        };
        Question {
            source: SocketAddr::new(client, client_port),
            destination: SocketAddr::new(vip, port),
            protocol: *[Protocol::Tcp, Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
                .choose(rng)
                .expect("some"),
            segment: *[
                Segment::First,
                Segment::First,
                Segment::Middle,
                Segment::Middle,
                Segment::Fin,
                Segment::Reset,
            ]
            .choose(rng)
            .expect("some"),
            interface: None,
        }
    }

    fn explain(&self, question: &Question, now: u64) -> Explanation {
        let maps = self.bench.flows().expect("maps").maps();
        self.bench.explain(&maps, question, now).expect("a frame comes in by the first interface")
    }

    /// Explains a packet and sends it; what differs, in words.
    fn compare(&mut self) -> Result<(), String> {
        let question = self.question();
        let now = crate::bench::now_ns();
        let told = self.explain(&question, now);
        let again = self.explain(&question, now);
        let stats = |bench: &Bench, explanation: &Explanation| -> Vec<u64> {
            let servers = explanation.outcomes.iter().filter_map(|outcome| outcome.server.as_ref());
            servers.map(|server| bench.packets_of(server.row)).collect()
        };
        let before = stats(&self.bench, &told);
        let frame = frame(&question);
        let mut outcome = self.bench.run(&frame).expect("the program runs");
        // No more answers are sent than so many in a second, and what is not answered changes nothing.
        while outcome.counted == [("drop_answer_limit", 1)] {
            outcome = self.bench.run(&frame).expect("the program runs");
        }
        let after = stats(&self.bench, &told);
        let number = |action| match action {
            Action::Tx | Action::Answer => action::TX,
            Action::Redirect => action::REDIRECT,
            Action::Pass => action::PASS,
            Action::Drop => action::DROP,
        };
        let is_so = told.outcomes.iter().any(|may| {
            let verdict = &may.verdict;
            let is_counted = outcome.counted.len() == 1
                && (outcome.counted[0].0, outcome.counted[0].1) == (&*verdict.counter, 1);
            let way = may.server.as_ref().and_then(|server| server.mac);
            let is_sent = way.is_none_or(|mac| outcome.frame[..6] == mac);
            number(verdict.action) == outcome.action && is_counted && is_sent
        });
        let forwarded = usize::from(told.by.is_some() && outcome.counted[0].0 != "drop_unresolved");
        let got = before.iter().zip(&after).filter(|(before, after)| **after == **before + 1).count();
        let mac = &outcome.frame[..6];
        if !is_so || got != forwarded || told != again {
            return Err(format!(
                "{}\nthe program: action {}, {:?}, to {mac:02x?}; {got} servers counted it",
                told.to_text(),
                outcome.action,
                outcome.counted
            ));
        }
        self.count(outcome.counted[0].0);
        self.count(format!("{:?}", told.by));
        if let Some(service) = &told.service {
            let by = if let FoundBy::Mark(_) = service.by {
                "Mark".to_owned()
            } else {
                format!("{:?}", service.by)
            };
            self.count(by);
        }
        if let (Some(scheduling), Some(PickedBy::Scheduler)) = (&told.scheduling, told.by) {
            self.count(scheduling.name.clone());
            let is_alone = question.protocol == Protocol::Udp && told.records.is_empty();
            if is_alone && told.template.is_none() && ["sh", "dh", "mh"].contains(&&*scheduling.name) {
                self.count("by the ring alone");
            }
        }
        for stands in [&told.flow, &told.template].into_iter().flatten().map(|known| known.stands) {
            self.count(format!("{stands:?}"));
        }
        Ok(())
    }
}

fn frame(question: &Question) -> Vec<u8> {
    let Question { source, destination, protocol, segment, .. } = question;
    let flags = match (protocol, segment) {
        (Protocol::Udp, _) | (Protocol::Sctp, Segment::Middle) => 0,
        (Protocol::Tcp, Segment::First) => flag::SYN,
        (Protocol::Tcp, Segment::Middle) => flag::ACK,
        (Protocol::Tcp, Segment::Fin) => flag::FIN | flag::ACK,
        (Protocol::Tcp, Segment::Reset) => flag::RST,
        (Protocol::Sctp, Segment::First) => chunk::INIT,
        (Protocol::Sctp, Segment::Fin) => chunk::SHUTDOWN,
        (Protocol::Sctp, Segment::Reset) => chunk::ABORT,
    };
    let end = |address: &SocketAddr| (address.ip(), address.port());
    Family::packet(protocol.number(), end(source), end(destination), flags).frame()
}

#[test]
fn what_is_explained_is_what_becomes_of_a_packet() {
    let (mut seen, mut differences) = (BTreeMap::<String, usize>::new(), Vec::new());
    for seed in 0..DIRECTORS {
        let mut explained = Explained::new(seed);
        for packet in 0..PACKETS {
            explained.happens();
            if let Err(difference) = explained.compare() {
                differences.push(format!("director {seed}, packet {packet}: {difference}"));
            }
        }
        explained.seen.into_iter().for_each(|(what, count)| *seen.entry(what).or_default() += count);
    }
    let (count, first) = (differences.len(), &differences[..differences.len().min(5)]);
    assert!(count == 0, "{count} differences, the first of them:\n{}", first.join("\n"));
    println!("{} packets: {seen:?}", DIRECTORS as usize * PACKETS);
    let counters = [
        "forwarded_tx",
        "forwarded_redirect",
        "local",
        "pass_no_service",
        "pass_not_master",
        "pass_no_flow",
        "pass_server_gone",
        "answer_no_server",
        "drop_no_answer",
        "drop_unresolved",
    ];
    let ways = [
        "Some(Flow)",
        "Some(Template)",
        "Some(Scheduler)",
        "Address",
        "Mark",
        "Ftp",
        "EveryPort",
        "by the ring alone",
    ];
    let stands = ["Serves", "Over", "Quiescent", "Unresolved", "ServerGone", "exchanged"];
    let schedulers = Scheduler::ALL.map(Scheduler::name);
    let wanted = counters.iter().chain(&ways).chain(&stands).chain(&schedulers);
    let missing: Vec<_> = wanted.filter(|what| !seen.contains_key(**what)).collect();
    assert!(missing.is_empty(), "never seen: {missing:?}");
}
