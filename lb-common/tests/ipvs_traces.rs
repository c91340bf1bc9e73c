//! The schedulers and persistence beside a real kernel: recorded traces of Linux 6.1's IPVS, replayed connection by connection.
//!
//! The fixtures' columns are run, n, op, client address, client port, destination, server, then weight, active and
//! inactive connections of the servers 1, 2, 3 before the operation; an operation is `open`, `close`, or a change of
//! the pool: `weight K W`, `del K`, `add K W`.

use std::{collections::BTreeMap, net::IpAddr};

use lb_common::{
    layout::{Address, Load, ring_place},
    sched::{
        Affinity, Candidate, Cursor, Flags, Listed, Memory, Method, NOBODY, Request, Scheduler, Search, fill,
        published, rebase,
    },
};

/// How inactive connections weigh in a server's overhead.
#[derive(Clone, Copy, Debug)]
enum Rule {
    /// active * 256 + inactive.
    Classic,
    /// What the recorded kernel computes: active * 256 + all.
    Recorded,
    /// No server has a connection.
    Nothing,
}

/// A service's pool as a director keeps it.
struct Pool {
    method: Method,
    /// Number, weight, last weight above 0; head first.
    list: Vec<(u8, u16, u16)>,
    cursor: Cursor,
    affinities: BTreeMap<String, Affinity>,
    joined: BTreeMap<(String, u16), u32>,
    ring: Vec<u16>,
    is_v6: bool,
    port: u16,
    /// Which bits of a client's address count for persistence, in a service that has it.
    mask: Option<u32>,
    /// Where the clients stay.
    templates: BTreeMap<u32, u8>,
}

impl Pool {
    /// The pool of a run, named by scheduler, flags, weights of the servers 1, 2, ... in the order they were added,
    /// persistence, and kind.
    fn new(run: &str) -> Self {
        let words: Vec<&str> = run.split(' ').collect();
        let name = words[0].split('+').next().expect("a scheduler");
        let scheduler = Scheduler::ALL.into_iter().find(|scheduler| scheduler.name() == name);
        let has = |flag: &str| words[..2].iter().any(|word| word.contains(flag));
        let flags = Flags { port: has("port"), fallback: has("fallback") };
        let mut pool = Self {
            method: Method { scheduler: scheduler.expect("a known scheduler"), flags },
            list: Vec::new(),
            cursor: Cursor::default(),
            affinities: BTreeMap::new(),
            joined: BTreeMap::new(),
            ring: Vec::new(),
            is_v6: words.contains(&"ipv6"),
            port: if words.contains(&"fwmark") { 0 } else { 80 },
            mask: words.contains(&"-p").then(|| {
                let mask = words.iter().position(|word| *word == "-M").map(|at| folded(words[at + 1]));
                mask.unwrap_or(u32::MAX)
            }),
            templates: BTreeMap::new(),
        };
        let weights = words.iter().find(|word| word.contains('/')).expect("weights");
        for (server, weight) in (1..).zip(weights.split('/')) {
            pool.operate(&["add", &server.to_string(), weight]);
        }
        pool
    }

    fn operate(&mut self, operation: &[&str]) {
        let number = |at: usize| operation[at].parse::<u16>().expect("a number");
        let (server, mut list) = (number(1) as u8, self.list.clone());
        match operation[0] {
            "add" => list.insert(0, (server, number(2), number(2))),
            "del" => list.retain(|entry| entry.0 != server),
            "weight" => {
                let entry = list.iter_mut().find(|entry| entry.0 == server).expect("it was added");
                entry.1 = number(2);
                entry.2 = if number(2) == 0 { entry.2 } else { number(2) };
            }
            other => panic!("unknown operation {other}"),
        }
        let weights =
            |list: &[(u8, u16, u16)]| list.iter().map(|entry| (entry.0, entry.1)).collect::<Vec<_>>();
        let epoch = self.cursor.epoch + 1;
        self.cursor =
            rebase(self.method.scheduler, self.cursor, &weights(&self.list), &weights(&list), epoch);
        let listed: Vec<Listed> = list.iter().map(|entry| self.listed(*entry)).collect();
        self.ring = vec![0; self.method.scheduler.ring_len()];
        fill(self.method.scheduler, &listed, &mut self.ring);
        self.list = list;
    }

    fn listed(&self, (server, weight, last_weight): (u8, u16, u16)) -> Listed {
        let address = if self.is_v6 { format!("fd99::1{server}") } else { format!("10.99.0.1{server}") };
        Listed { weight, last_weight, address: folded(&address), port: self.port }
    }

    /// The server of a connection: where its client stays, else the pick. No run takes as long as persistence lasts.
    fn serve(&mut self, client: (&str, u16), destination: &str, loads: [Load; 3]) -> Option<u8> {
        let Some(mask) = self.mask else { return self.pick(client, destination, loads) };
        let one = folded(client.0) & mask;
        let stays = self.templates.get(&one).copied();
        let server = stays.or_else(|| self.pick(client, destination, loads))?;
        self.templates.insert(one, server);
        Some(server)
    }

    /// The pick for a connection, given the load of the servers 1, 2, 3.
    fn pick(&mut self, client: (&str, u16), destination: &str, loads: [Load; 3]) -> Option<u8> {
        let weights: Vec<u16> =
            published(self.method.scheduler, self.list.iter().map(|entry| entry.1)).collect();
        let candidate = |row: u16| {
            let row = usize::from(row);
            let ring = usize::from(ring_place(self.list.len() as u16));
            let place = row.checked_sub(ring).map_or(row, |bucket| usize::from(self.ring[bucket]));
            assert_ne!(place, usize::from(NOBODY), "the ring is full");
            let server = u16::from(self.list[place].0);
            let load = loads[usize::from(server) - 1];
            let joined = self.joined.get(&(destination.to_owned(), server)).copied().unwrap_or(0);
            Candidate { server, weight: weights[place], overloaded: false, load, joined }
        };
        let request = Request {
            client: folded(client.0),
            client_port: client.1,
            destination: folded(destination),
            ..Request::default()
        };
        let affinity = self.affinities.get(destination).copied().unwrap_or_default();
        let memory = Memory { cursor: self.cursor, affinity };
        let len = self.list.len() as u16;
        let (search, picked) = Search::through(self.method, memory, len, &request, candidate);
        self.cursor = search.memory.cursor;
        self.affinities.insert(destination.to_owned(), search.memory.affinity);
        if let Some(gone) = search.leaves() {
            self.joined.remove(&(destination.to_owned(), gone));
        }
        if let (Some(joined), Some(server)) = (search.joins(), picked) {
            self.joined.insert((destination.to_owned(), server), joined);
        }
        picked.map(|server| server as u8)
    }
}

fn folded(address: &str) -> u32 {
    let address = match address.parse().expect("an address") {
        IpAddr::V4(v4) => Address::v4(v4.octets()),
        IpAddr::V6(v6) => Address { octets: v6.octets() },
    };
    address.fold()
}

/// Replays every run of a trace: how many connections were compared, and which of them went elsewhere than in the
/// kernel.
fn differences(trace: &str, rule: Rule) -> (usize, Vec<String>) {
    let mut pools = BTreeMap::new();
    let (mut compared, mut different) = (0, Vec::new());
    for line in trace.lines().skip(1) {
        let columns: Vec<&str> = line.split(',').collect();
        let (run, connection, operation) = (columns[0], columns[1], columns[2]);
        let pool = pools.entry(run.to_owned()).or_insert_with(|| Pool::new(run));
        match operation {
            "open" => {
                let client = (columns[3], columns[4].parse().expect("a port"));
                let picked = pool.serve(client, columns[5], loads(&columns, rule));
                let server = picked.map_or_else(|| "refused".to_owned(), |server| format!("r{server}"));
                compared += 1;
                if server != columns[6] {
                    different.push(format!("{run}, connection {connection}: {server}, not {}", columns[6]));
                }
            }
            "close" => {}
            change => pool.operate(&change.split(' ').collect::<Vec<_>>()),
        }
    }
    (compared, different)
}

fn loads(columns: &[&str], rule: Rule) -> [Load; 3] {
    let number = |at: usize| columns[at].parse::<u32>().unwrap_or(0);
    [8, 11, 14].map(|at| {
        let load = Load { active: number(at), inactive: number(at + 1) };
        match rule {
            Rule::Classic => load,
            Rule::Recorded => Load { inactive: load.active + load.inactive, ..load },
            Rule::Nothing => Load::default(),
        }
    })
}

macro_rules! trace {
    ($file:literal) => {
        include_str!(concat!("../../tests/fixtures/ipvs/", $file, ".csv"))
    };
}

/// Every trace with the number of connections in it.
const TRACES: [(&str, &str, usize); 22] = [
    ("rr", trace!("rr"), 5 * 200),
    ("wrr", trace!("wrr"), 5 * 200),
    ("lc", trace!("lc"), 10 * 200),
    ("wlc", trace!("wlc"), 10 * 200),
    ("sed", trace!("sed"), 10 * 200),
    ("nq", trace!("nq"), 10 * 200),
    ("fo", trace!("fo"), 10 * 200),
    ("ovf", trace!("ovf"), 10 * 200),
    ("dh", trace!("dh"), 5 * 200),
    ("sh", trace!("sh"), 5 * 200),
    ("sh_port", trace!("sh_port"), 5 * 200),
    ("sh_fallback", trace!("sh_fallback"), 5 * 200),
    ("sh_port_fallback", trace!("sh_port_fallback"), 5 * 200),
    ("mh", trace!("mh"), 5 * 200),
    ("mh_port", trace!("mh_port"), 5 * 200),
    ("mh_fallback", trace!("mh_fallback"), 5 * 200),
    ("lblc", trace!("lblc"), 5 * 200),
    ("lblcr", trace!("lblcr"), 5 * 200),
    ("events", trace!("events"), 4 * 200),
    ("multivip", trace!("multivip"), 6 * 200),
    ("ipv6", trace!("ipv6"), 8 * 200),
    ("persist", trace!("persist"), 7 * 200),
];

/// The two rules decide alike in all of them: where active connections differ, the inactive ones never make up for it.
#[test]
fn every_pick_is_the_kernels_under_either_rule() {
    for (name, trace, connections) in TRACES {
        for rule in [Rule::Classic, Rule::Recorded] {
            let (compared, different) = differences(trace, rule);
            assert_eq!(compared, connections, "{name}");
            assert!(
                different.is_empty(),
                "{name}, {rule:?}: {} of {compared}: {different:#?}",
                different.len()
            );
        }
    }
}

#[test]
fn a_pick_by_another_rule_is_noticed() {
    for (name, trace, _) in TRACES {
        let by_load = ["lc", "wlc", "sed", "nq", "ovf", "lblc", "lblcr"].contains(&name);
        let (_, different) = differences(trace, Rule::Nothing);
        assert_eq!(
            different.is_empty(),
            !by_load && !["events", "multivip", "ipv6", "persist"].contains(&name),
            "{name}"
        );
    }
}
