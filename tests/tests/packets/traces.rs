//! The program beside a real kernel: the recorded traces of Linux 6.1's IPVS, packet by packet.
//!
//! What the fixtures say is told in `lb-common/tests/ipvs_traces.rs`, which replays them on the host. The runs of a trace
//! share a director. So each has a port of its own; under mh, which hashes the port, a VIP of its own.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use lb_common::{
    layout::{Address, MarkRule, NextHop, Policy, ServerInfo, ServerState},
    sched::{Flags, Method, Scheduler},
    tcp::flag,
};
use xlvs::{
    control::{Action, Event, Way},
    plan::{ServiceKey, Wanted, WantedServer, mapped},
};

use crate::{
    bench::{Bench, DIRECTOR, action, mac},
    frame::{Frame, Packet},
};

/// A trace with the number of connections in it.
type Trace = (&'static str, &'static str, usize);

macro_rules! trace {
    ($file:literal, $connections:expr) => {
        ($file, include_str!(concat!("../../fixtures/ipvs/", $file, ".csv")), $connections)
    };
}

/// A run of a trace, which is a service of the director.
struct Run {
    wanted: Wanted,
    /// The port that its clients connect to.
    port: u16,
    /// Its VIP, where it is not the trace's.
    vip: Option<IpAddr>,
    /// Servers by number with their weights, head first.
    list: Vec<(u8, u16)>,
    /// The servers that are gone, or were: see `changes_under_way_move_what_the_kernel_moved`.
    gone: Vec<u8>,
    /// Who are connected to whom, by the connections' numbers.
    open: BTreeMap<String, (SocketAddr, SocketAddr)>,
}

impl Run {
    /// The run with this name and number in its trace.
    fn new(name: &str, number: u8) -> Self {
        let words: Vec<&str> = name.split(' ').collect();
        let scheduler = words[0]
            .split('+')
            .next()
            .and_then(|name| Scheduler::ALL.into_iter().find(|scheduler| scheduler.name() == name));
        let has = |flag: &str| words[..2].iter().any(|word| word.contains(flag));
        let flags = Flags { port: has("port"), fallback: has("fallback") };
        let method = Method { scheduler: scheduler.expect("a known scheduler"), flags };
        let (is_v6, is_marked) = (words.contains(&"ipv6"), words.contains(&"fwmark"));
        let own_vip = method.scheduler == Scheduler::Mh && !is_marked;
        let port = if own_vip { 80 } else { 80 + u16::from(number) };
        let vip = if is_v6 {
            IpAddr::from([0xfd99, 0, 0, 0, 0, 0, 0, 0x100 + u16::from(own_vip) * u16::from(number)])
        } else {
            IpAddr::from([10, 99, 0, 100 + u8::from(own_vip) * number])
        };
        let key = if is_marked {
            ServiceKey::of_mark(false, u32::from(port))
        } else {
            ServiceKey { vip: mapped(vip), protocol: 6, port }
        };
        let weights = words.iter().find(|word| word.contains('/')).expect("weights");
        let weights: Vec<u16> = weights.split('/').map(|weight| weight.parse().expect("a weight")).collect();
        let server = |(number, &weight): (u8, &u16)| WantedServer::new(rip(is_v6, number), weight);
        let after = |option: &str| words.iter().position(|word| *word == option).map(|at| words[at + 1]);
        let mask = after("-M").map_or(Address::mask(128), |mask| {
            let mask: std::net::Ipv4Addr = mask.parse().expect("a mask");
            Address::mask(96 + u32::from(mask).count_ones() as u8)
        });
        let persistence = after("-p").map_or(0, |seconds| seconds.parse().expect("seconds"));
        let policy = Policy { persistence, mask, ..Policy::default() };
        let servers = (1..).zip(&weights).map(server).collect();
        let mut list: Vec<(u8, u16)> = (1..).zip(weights).collect();
        list.reverse();
        Self {
            wanted: Wanted { policy, ..Wanted::new(key, method, servers) },
            port,
            vip: own_vip.then_some(vip),
            list,
            gone: Vec::new(),
            open: BTreeMap::new(),
        }
    }

    /// The rule that gives its packets their mark, if it has one: they go to 10.99.64.0/18.
    fn rule(&self) -> Option<MarkRule> {
        let (_, mark) = self.wanted.key.mark()?;
        Some(MarkRule {
            destination_mask: Address::mask(96 + 18),
            destination: Address::v4([10, 99, 64, 0]),
            ports: [self.port; 2],
            mark,
            ..MarkRule::default()
        })
    }

    /// Publishes the pool as it grew: the kernel's servers were added one after another, and from there its threshold went.
    fn begin(&self, bench: &mut Bench) {
        for count in 0..=self.list.len() {
            bench.apply(&self.pool(bench, &self.list[self.list.len() - count..]));
        }
    }

    /// What publishes a list of servers by number with their weights.
    fn pool(&self, bench: &Bench, list: &[(u8, u16)]) -> Action {
        let servers = &bench.director.services[&self.wanted.key].servers;
        let row = |number: u8| servers[usize::from(number) - 1].row.row;
        Action::Pool(self.wanted.key, list.iter().map(|&(number, weight)| (row(number), weight)).collect())
    }

    /// Changes the pool as the daemon does.
    fn change(&mut self, bench: &mut Bench, operation: &str) {
        let words: Vec<&str> = operation.split(' ').collect();
        let number = |at: usize| words[at].parse::<u16>().expect("a number");
        let which = number(1) as u8;
        let service = &bench.director.services[&self.wanted.key];
        let mut state = ServerState::Ready;
        let weight = match words[0] {
            "add" => {
                self.list.insert(0, (which, number(2)));
                number(2)
            }
            "del" => {
                self.list.retain(|listed| listed.0 != which);
                self.gone.push(which);
                state = ServerState::Down;
                0
            }
            "weight" => {
                let listed = self.list.iter_mut().find(|listed| listed.0 == which).expect("it was added");
                listed.1 = number(2);
                number(2)
            }
            other => panic!("unknown operation {other}"),
        };
        let server = &service.servers[usize::from(which) - 1];
        let info = ServerInfo {
            generation: server.row.generation,
            // The ring has the places of the weight that it had last.
            weight: if weight == 0 { self.wanted.servers[usize::from(which) - 1].weight } else { weight },
            service: service.id,
            state: state as u8,
            quiescent: u8::from(weight == 0),
        };
        let next_hop = NextHop { mac: mac(which), port: 0 };
        let server = Action::Server { row: server.row.row, next_hop, info, rip: server.rip };
        bench.apply(&server);
        bench.apply(&self.pool(bench, &self.list));
    }

    /// Opens a connection as a client does: where to.
    fn connect(&mut self, bench: &Bench, columns: &[&str]) -> String {
        let client = SocketAddr::new(columns[3].parse().expect("an address"), number(columns[4]) as u16);
        let vip = self.vip.unwrap_or_else(|| columns[5].parse().expect("an address"));
        let service = SocketAddr::new(vip, self.port);
        let syn = bench.run(&frame(client, service, flag::SYN)).expect("the program runs");
        if syn.counted == [("answer_no_server", 1)] || syn.counted == [("drop_answer_limit", 1)] {
            return "refused".to_owned();
        }
        let ack = bench.run(&frame(client, service, flag::ACK)).expect("the program runs");
        if (syn.action, ack.action) != (action::TX, action::TX) || syn.frame[..6] != ack.frame[..6] {
            return format!("nowhere ({:?}, then {:?})", syn.counted, ack.counted);
        }
        self.open.insert(columns[1].to_owned(), (client, service));
        format!("r{}", syn.frame[5])
    }

    /// Closes a connection as a client does.
    fn close(&self, bench: &Bench, connection: &str) {
        if let Some(&(client, service)) = self.open.get(connection) {
            bench.run(&frame(client, service, flag::FIN | flag::ACK)).expect("the program runs");
        }
    }

    /// The servers whose connections are not those of the trace.
    fn wrong_loads(&self, bench: &Bench, columns: &[&str]) -> Vec<String> {
        let mut wrong = Vec::new();
        let servers = &bench.director.services[&self.wanted.key].servers;
        for (which, server) in (1..).zip(servers) {
            let at = 8 + 3 * (usize::from(which) - 1);
            if columns[at].is_empty() || self.gone.contains(&which) {
                continue;
            }
            let (ours, theirs) =
                (bench.load_of(server.row.row), (number(columns[at]), number(columns[at + 1])));
            if ours != theirs {
                wrong.push(format!("r{which} has {ours:?}, not {theirs:?}"));
            }
        }
        wrong
    }
}

fn number(column: &str) -> u32 {
    column.parse().expect("a number")
}

fn rip(is_v6: bool, number: u8) -> IpAddr {
    if is_v6 {
        IpAddr::from([0xfd99, 0, 0, 0, 0, 0, 0, 0x10 + u16::from(number)])
    } else {
        IpAddr::from([10, 99, 0, 10 + number])
    }
}

fn frame(client: SocketAddr, service: SocketAddr, flags: u8) -> Vec<u8> {
    let (ethertype, payload) = match (client.ip(), service.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let ends = ((from.octets(), client.port()), (to.octets(), service.port()));
            (0x0800, Packet::tcp(ends.0, ends.1, flags).bytes())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let head = [&[0x60, 0, 0, 0, 0, 20, 6, 64][..], &from.octets(), &to.octets()].concat();
            let ports = [client.port().to_be_bytes(), service.port().to_be_bytes()].concat();
            let segment = [&ports[..], &[0; 8], &[0x50, flags], &[0xff, 0xff, 0, 0, 0, 0]].concat();
            (0x86dd, [head, segment].concat())
        }
        _ => panic!("two address families"),
    };
    Frame { to: DIRECTOR, from: [2, 0, 0, 0, 9, 9], tags: Vec::new(), ethertype, payload }.bytes()
}

/// A director for the runs, to whose servers the ways are known.
fn director(runs: &[Run]) -> Bench {
    let wanted: Vec<Wanted> = runs.iter().map(|run| run.wanted.clone()).collect();
    let rules: Vec<MarkRule> = runs.iter().filter_map(Run::rule).collect();
    let mut bench = Bench::with_marks(&wanted, &rules, &[]).expect("the program loads");
    let ways = [false, true].into_iter().flat_map(|is_v6| {
        (1..=3).map(move |which| {
            Event::Way(rip(is_v6, which), Way::Through(NextHop { mac: mac(which), port: 0 }))
        })
    });
    bench.events(&ways.collect::<Vec<_>>());
    bench
}

/// In a run of lblc and lblcr over many addresses the kernel kept a set of servers for each address. The program keeps one
/// for each service, which is the same where a service has one address, and not under a firewall mark.
fn is_other(run: &str) -> bool {
    run.starts_with("lblc") && run.ends_with("multivip")
}

/// Replays a trace.
fn replay((name, trace, connections): Trace) {
    let lines = trace.lines().skip(1).map(|line| line.split(',').collect());
    let lines: Vec<Vec<&str>> = lines.filter(|columns: &Vec<&str>| !is_other(columns[0])).collect();
    let mut names: Vec<&str> = lines.iter().map(|columns| columns[0]).collect();
    names.dedup();
    let mut runs: Vec<Run> = (0..).zip(&names).map(|(number, name)| Run::new(name, number)).collect();
    let mut bench = director(&runs);
    for run in &runs {
        run.begin(&mut bench);
    }
    let (mut compared, mut different) = (0, Vec::new());
    for columns in &lines {
        let at = names.iter().position(|name| *name == columns[0]).expect("a run");
        let run = &mut runs[at];
        let place = format!("{}, connection {}", columns[0], columns[1]);
        match columns[2] {
            "open" => {
                let wrong = run.wrong_loads(&bench, columns);
                different.extend(wrong.into_iter().map(|wrong| format!("{place}: before it {wrong}")));
                let server = run.connect(&bench, columns);
                compared += 1;
                if server != columns[6] {
                    different.push(format!("{place}: {server}, not {}", columns[6]));
                }
            }
            "close" => run.close(&bench, columns[1]),
            operation => run.change(&mut bench, operation),
        }
    }
    assert_eq!(compared, connections, "{name}");
    let first: Vec<_> = different.iter().take(20).collect();
    assert!(
        different.is_empty(),
        "{name}: {} differences in {compared} connections: {first:#?}",
        different.len()
    );
}

#[test]
fn who_takes_turns_picks_as_the_kernel_did() {
    for trace in [trace!("rr", 5 * 200), trace!("wrr", 5 * 200), trace!("fo", 10 * 200)] {
        replay(trace);
    }
}

#[test]
fn who_looks_at_loads_picks_as_the_kernel_did() {
    let traces = [trace!("lc", 2000), trace!("wlc", 2000), trace!("sed", 2000), trace!("nq", 2000)];
    traces.into_iter().chain([trace!("ovf", 2000)]).for_each(replay);
}

#[test]
fn who_hashes_picks_as_the_kernel_did() {
    let sh = [trace!("sh", 1000), trace!("sh_port", 1000), trace!("sh_fallback", 1000)];
    let both = [trace!("sh_port_fallback", 1000), trace!("dh", 1000)];
    let mh = [trace!("mh", 1000), trace!("mh_port", 1000), trace!("mh_fallback", 1000)];
    sh.into_iter().chain(both).chain(mh).for_each(replay);
}

#[test]
fn who_minds_locality_picks_as_the_kernel_did() {
    for trace in [trace!("lblc", 1000), trace!("lblcr", 1000)] {
        replay(trace);
    }
}

/// A server that was deleted and comes back has its connections, as in IPVS; but those that closed meanwhile are closed,
/// where the kernel dropped their segments and let them be. So the loads of such a server are not compared.
#[test]
fn changes_under_way_move_what_the_kernel_moved() {
    replay(trace!("events", 4 * 200));
}

#[test]
fn services_by_mark_pick_as_the_kernel_did() {
    replay(trace!("multivip", 4 * 200));
}

#[test]
fn services_on_ipv6_pick_as_the_kernel_did() {
    replay(trace!("ipv6", 8 * 200));
}

#[test]
fn clients_stay_where_the_kernel_kept_them() {
    replay(trace!("persist", 7 * 200));
}
