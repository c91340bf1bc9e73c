//! Every scheduler in the program beside the same one on the host: random pools, loads and clients.

use std::{cell::RefCell, net::IpAddr};

use aya::maps::{Array, Map, MapData};
use lb_common::{
    layout::{Limit, Load, Loads, MAX_POOL, ring_place},
    sched::{
        self, Candidate, Cursor, Flags, Listed, Memory, Method, NOBODY, Request, Scheduler, Search, rebase,
    },
    tcp::flag,
};
use xlvs::{
    control::{Event, Way},
    plan::{ServiceKey, Wanted, WantedServer, mapped},
};

use crate::{bench::Bench, both::Family, frame::TCP};

const FIRST_PORT: u16 = 80;

/// splitmix64: the same pools with every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z >> 32) as u32 % limit
    }
}

/// The thresholds of a pool's servers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Thresholds {
    /// Nobody has one.
    Without,
    /// Most have: some overloaded by almost any load of the test, some by the greatest only.
    With,
}

/// What a pool is made of.
#[derive(Clone, Copy)]
struct Pool {
    family: Family,
    count: usize,
    thresholds: Thresholds,
}

impl Pool {
    const fn without_limits(family: Family, count: usize) -> Self {
        Self { family, count, thresholds: Thresholds::Without }
    }
}

/// A service on the host: its list with weights and numbers in the set of the VIP, its ring, and which of its servers
/// are overloaded.
struct Model {
    method: Method,
    destination: u32,
    list: Vec<Candidate>,
    ring: Vec<u16>,
    memory: Memory,
    /// By rows; kept as the program keeps them, at every look.
    limits: RefCell<Vec<Limit>>,
}

impl Model {
    fn new(wanted: &Wanted) -> Self {
        let method = wanted.method;
        // What was added last stands first, in the row that was given last.
        let mut list: Vec<(u16, &WantedServer)> = (0..).zip(wanted.servers.iter()).collect();
        list.reverse();
        let weights = list.iter().map(|&(_, server)| server.weight);
        let listed = list.iter().map(|&(_, server)| Listed {
            weight: server.weight,
            last_weight: server.weight,
            address: mapped(server.rip).fold(),
            port: wanted.key.port,
        });
        let mut ring = vec![0; method.scheduler.ring_len()];
        sched::fill(method.scheduler, &listed.collect::<Vec<_>>(), &mut ring);
        let published = sched::published(method.scheduler, weights);
        let candidate = |(&(server, _), weight)| Candidate { server, weight, ..Candidate::default() };
        let by_row: Vec<(u16, u16)> = list.iter().map(|(row, server)| (*row, server.weight)).collect();
        let cursor = rebase(method.scheduler, Cursor::default(), &[], &by_row, 1);
        let list = list.iter().zip(published).map(candidate).collect();
        let limit = |server: &WantedServer| {
            let [upper, lower] = server.thresholds;
            Limit { upper, lower, ..Limit::default() }
        };
        let limits = RefCell::new(wanted.servers.iter().map(limit).collect());
        let memory = Memory { cursor, ..Memory::default() };
        Self { method, destination: wanted.key.vip.fold(), list, ring, memory, limits }
    }

    /// Is a server overloaded, with these connections and as it was before?
    fn overloaded(&self, row: u16, load: Load) -> bool {
        let limit = &mut self.limits.borrow_mut()[usize::from(row)];
        let is = limit.upper != 0 && load.overloads(limit.upper, limit.lower, limit.overloaded != 0);
        limit.overloaded = u32::from(is);
        is
    }

    fn pick(&mut self, (client, client_port): (IpAddr, u16), loads: &[Load]) -> Option<u16> {
        let request = Request {
            client: mapped(client).fold(),
            client_port,
            destination: self.destination,
            ..Request::default()
        };
        let len = self.list.len() as u16;
        let candidate = |place: u16| {
            let bucket = place.checked_sub(ring_place(len));
            let place = bucket.map_or(place, |bucket| self.ring[usize::from(bucket)]);
            if place == NOBODY {
                return Candidate::default();
            }
            let candidate = self.list[usize::from(place)];
            let load = loads[usize::from(candidate.server)];
            Candidate { load, overloaded: self.overloaded(candidate.server, load), ..candidate }
        };
        let (search, picked) = Search::through(self.method, self.memory, len, &request, candidate);
        // Without a server nothing is remembered.
        let server = picked?;
        self.memory = search.memory;
        if let Some(joined) = search.joins() {
            self.list
                .iter_mut()
                .filter(|listed| listed.server == server)
                .for_each(|listed| listed.joined = joined);
        }
        // It has got a connection more.
        let load = loads[usize::from(server)];
        self.overloaded(server, Load { active: load.active + 1, ..load });
        picked
    }
}

/// A service with the servers of a pool, `10.1.x.y` or `2001:db8:1::xy`, whose MAC addresses say which they are.
fn service(port: u16, method: Method, pool: Pool, random: &mut Random) -> Wanted {
    let Pool { family, count, thresholds: limits } = pool;
    let servers = (0..count as u16).map(|row| {
        let weight = [0, 1, 3, random.below(10) as u16, random.below(300) as u16][random.below(5) as usize];
        let thresholds = if limits == Thresholds::With { thresholds(random) } else { [0; 2] };
        WantedServer { thresholds, ..WantedServer::new(rip(family, row), weight) }
    });
    let key = ServiceKey { vip: mapped(family.vip()), protocol: TCP, port };
    Wanted::new(key, method, servers.collect())
}

/// None, or an upper one with or without a lower one.
fn thresholds(random: &mut Random) -> [u32; 2] {
    let upper = [0, 1 + random.below(4), 1 + random.below(600), 1 + random.below(3000), 1 << 24];
    let upper = upper[random.below(5) as usize];
    [upper, if random.below(2) == 0 { 0 } else { random.below(upper.max(1)) }]
}

fn rip(family: Family, row: u16) -> IpAddr {
    let [high, low] = row.to_be_bytes();
    match family {
        Family::V4 => IpAddr::from([10, 1, high, low]),
        Family::V6 => IpAddr::from([0x2001, 0xdb8, 1, 0, 0, 0, 0, row]),
    }
}

fn mac(row: u16) -> [u8; 6] {
    let [high, low] = row.to_be_bytes();
    [0x02, 0, 0, 1, high, low]
}

/// A director for services of the same servers, to all of which the way is known.
fn director(wanted: &[Wanted]) -> Bench {
    let mut bench = Bench::new(wanted).expect("the program loads");
    let ways = (0..).zip(wanted[0].servers.iter()).map(|(row, server)| {
        let hop = lb_common::layout::NextHop { mac: mac(row), port: 0 };
        Event::Way(server.rip, Way::Through(hop))
    });
    bench.events(&ways.collect::<Vec<_>>());
    bench
}

/// Which server the program sends a new connection to.
fn serve(bench: &Bench, family: Family, client: (IpAddr, u16), port: u16) -> Option<u16> {
    let packet = Family::packet(TCP, client, (family.vip(), port), flag::SYN);
    let outcome = bench.run(&packet.frame()).expect("the program runs");
    if outcome.counted == [("forwarded_tx", 1)] {
        return Some(u16::from_be_bytes([outcome.frame[4], outcome.frame[5]]));
    }
    // A client is answered that there is no server; so many are not.
    let unserved = [[("answer_no_server", 1)], [("drop_answer_limit", 1)]];
    assert!(unserved.iter().any(|counted| outcome.counted == counted), "{:?}", outcome.counted);
    None
}

/// Fills the rows of `loads` from the first of a service on.
fn set_loads(bench: &Bench, first: usize, loads: &[Load]) {
    let mut map = bench.map("loads").expect("there is such a map");
    let row = Array::<_, [u8; size_of::<Loads>()]>::try_from(&mut map);
    let mut row = row.expect("an array");
    let mut all = row.get(&0, 0).expect("a row");
    let bytes: &[u8] = bytemuck::cast_slice(loads);
    all[first * size_of::<Load>()..][..bytes.len()].copy_from_slice(bytes);
    row.set(0, all, 0).expect("a row");
}

fn loads(count: usize, random: &mut Random) -> Vec<Load> {
    let kind = random.below(3);
    let load = |_| match kind {
        0 => Load { active: random.below(3), inactive: random.below(3) },
        1 => Load { active: random.below(400), inactive: random.below(2000) },
        _ => Load { active: random.below(1 << 20), inactive: random.below(1 << 30) },
    };
    (0..count).map(load).collect()
}

/// The rows of `limits` from the first of a service on.
fn limits(bench: &Bench, first: usize, count: usize) -> Vec<Limit> {
    let mut map = bench.map("limits").expect("there is such a map");
    let rows = Array::<_, [u8; size_of::<Limit>()]>::try_from(&mut map).expect("an array");
    let row = |row: usize| bytemuck::must_cast(rows.get(&(row as u32), 0).expect("a row"));
    (first..first + count).map(row).collect()
}

/// Lets the program and the host pick for the same clients from the same pools, one for each of the methods; how many
/// clients were not served, and how many servers were overloaded at the end.
fn compare(methods: &[Method], pool: Pool, rounds: usize, seed: u64) -> (usize, usize) {
    let Pool { family, count, thresholds } = pool;
    let mut random = Random(seed);
    let services = (FIRST_PORT..).zip(methods);
    let wanted: Vec<Wanted> =
        services.map(|(port, method)| service(port, *method, pool, &mut random)).collect();
    let bench = director(&wanted);
    let (mut served, mut overloaded) = (0, 0);
    for (place, wanted) in wanted.iter().enumerate() {
        let (method, mut model) = (wanted.method, Model::new(wanted));
        for round in 0..rounds {
            let loads = loads(count, &mut random);
            for client in 0..8 {
                // The connections that were just opened would count.
                set_loads(&bench, place * count, &loads);
                let client = (some_client(family, &mut random), 1024 + (round * 8 + client) as u16);
                let real = serve(&bench, family, client, wanted.key.port);
                let expected = model.pick(client, &loads);
                assert_eq!(real, expected, "{method:?}, {count} servers, seed {seed}, round {round}");
                served += usize::from(real.is_some());
            }
        }
        let limits = limits(&bench, place * count, count);
        assert_eq!(limits, model.limits.into_inner(), "{method:?}, {count} servers, seed {seed}");
        overloaded += limits.iter().filter(|limit| limit.overloaded != 0).count();
    }
    let all = methods.len() * rounds * 8;
    assert!(thresholds == Thresholds::With || count < 3 || served > all / 2, "{served} of {all} were served");
    (all - served, overloaded)
}

fn some_client(family: Family, random: &mut Random) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([192, 0, random.below(256) as u8, random.below(256) as u8]),
        Family::V6 => {
            let mut word = || random.below(0x1_0000) as u16;
            IpAddr::from([0x2001, 0xdb8, word(), word(), word(), word(), word(), word()])
        }
    }
}

fn methods() -> Vec<Method> {
    let flags = |scheduler| {
        let several = matches!(scheduler, Scheduler::Sh | Scheduler::Mh);
        let choices = if several {
            &[(false, false), (true, false), (false, true), (true, true)][..]
        } else {
            &[(false, false)]
        };
        choices.iter().map(move |&(port, fallback)| Method { scheduler, flags: Flags { port, fallback } })
    };
    // Twos is random; what it promises is tested by itself.
    Scheduler::ALL.into_iter().filter(|&scheduler| scheduler != Scheduler::Twos).flat_map(flags).collect()
}

#[test]
fn the_program_picks_as_the_host_does() {
    for (seed, count) in (1..).zip([1, 2, 3, 7, 40]) {
        compare(&methods(), Pool::without_limits(Family::V4, count), 6, seed);
    }
}

#[test]
fn the_program_picks_as_the_host_does_in_ipv6() {
    for (seed, count) in (1..).zip([1, 3, 7]) {
        compare(&methods(), Pool::without_limits(Family::V6, count), 6, seed);
    }
}

#[test]
fn the_program_passes_over_overloaded_servers_as_the_host_does() {
    let (mut refused, mut overloaded) = (0, 0);
    for (seed, count) in (20..).zip([1, 2, 3, 5, 17]) {
        let (refusals, servers) =
            compare(&methods(), Pool { family: Family::V4, count, thresholds: Thresholds::With }, 12, seed);
        refused += refusals;
        overloaded += servers;
    }
    assert!(refused > 100 && overloaded > 100, "{refused} clients refused, {overloaded} servers overloaded");
}

#[test]
fn the_largest_pool_is_searched_whole() {
    // One director does not hold so many servers for all of them.
    for methods in methods().chunks(9) {
        compare(methods, Pool::without_limits(Family::V4, MAX_POOL), 2, 99);
    }
}

#[test]
fn a_count_below_0_is_none() {
    use Scheduler::{Lc, Nq, Ovf, Sed, Wlc};
    let mut random = Random(8);
    let wanted = (FIRST_PORT..).zip([Lc, Wlc, Sed, Nq, Ovf]).map(|(port, scheduler)| {
        let pool = Pool::without_limits(Family::V4, 3);
        let mut wanted = service(port, scheduler.into(), pool, &mut random);
        for (server, weight) in wanted.servers_mut().iter_mut().zip([5, 9, 5]) {
            server.weight = weight;
        }
        wanted
    });
    let wanted: Vec<_> = wanted.collect();
    let bench = director(&wanted);
    let busy = Load { active: 2, inactive: 2 };
    // What ended in the moment before it was added.
    let below = [(u32::MAX, 1), (1, u32::MAX), (u32::MAX, u32::MAX)];
    for (place, wanted) in wanted.iter().enumerate() {
        for (active, inactive) in below {
            set_loads(&bench, place * 3, &[busy, Load { active, inactive }, busy]);
            let client = (Family::V4.client(), 1024 + random.below(60_000) as u16);
            let picked = serve(&bench, Family::V4, client, wanted.key.port);
            assert_eq!(picked, Some(1), "{:?}, {active:#x} active, {inactive:#x} inactive", wanted.method);
        }
    }
}

#[test]
fn two_choices_take_the_idle_server_more_often_and_weight_zero_never() {
    let mut random = Random(7);
    let pool = Pool::without_limits(Family::V4, 3);
    let mut wanted = service(FIRST_PORT, Scheduler::Twos.into(), pool, &mut random);
    for (server, weight) in wanted.servers_mut().iter_mut().zip([1, 1, 0]) {
        server.weight = weight;
    }
    let bench = director(&[wanted]);
    let busy = Load { active: 9, inactive: 0 };
    let pick = |client: u16| {
        set_loads(&bench, 0, &[busy, Load::default(), Load::default()]);
        serve(&bench, Family::V4, (Family::V4.client(), 1024 + client), FIRST_PORT)
    };
    let picks: Vec<_> = (0..400).map(pick).collect();
    let of = |row| picks.iter().filter(|&&pick| pick == Some(row)).count();
    assert_eq!(of(0) + of(1), 400, "two servers have a weight");
    // Both draws fall on the busy one once in four times; the bound is five standard deviations away.
    assert!((57..=143).contains(&of(0)), "{} of 400 to the busy server", of(0));
}

impl Bench {
    /// A map under a descriptor of its own.
    fn map(&self, name: &str) -> anyhow::Result<Map> {
        let Some(Map::Array(data)) = self.ebpf().map(name) else { anyhow::bail!("no map {name}") };
        Ok(Map::Array(MapData::from_id(data.info()?.id())?))
    }
}
