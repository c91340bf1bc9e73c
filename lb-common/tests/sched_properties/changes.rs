//! A pool that changes: who has gone gets nothing more, and who stays keeps its clients as far as the scheduler
//! promises it.

use lb_common::sched::{Candidate, Flags, Listed, Method, Scheduler};
use proptest::{collection::vec, prelude::*};

use crate::pool::{FIRST, Pool, Random, methods, pools, request, ring};

/// What happens to a pool.
#[derive(Clone, Debug)]
enum Change {
    Remove(prop::sample::Index),
    /// At the head of the list, as IPVS adds.
    Add(u16),
    Weight(prop::sample::Index, u16),
    Overloaded(prop::sample::Index, bool),
}

fn changes() -> impl Strategy<Value = Change> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        2 => place().prop_map(Change::Remove),
        2 => (0..50_u16).prop_map(Change::Add),
        1 => (place(), prop_oneof![Just(0), 1..50_u16]).prop_map(|(place, weight)| Change::Weight(place, weight)),
        1 => (place(), any::<bool>()).prop_map(|(place, overloaded)| Change::Overloaded(place, overloaded)),
    ]
}

fn changed(servers: &[Candidate], change: &Change, next: u16) -> Vec<Candidate> {
    let mut servers = servers.to_vec();
    match *change {
        Change::Add(weight) => {
            servers.insert(0, Candidate { server: next, weight, ..Candidate::default() });
        }
        _ if servers.is_empty() => {}
        Change::Remove(place) => {
            servers.remove(place.index(servers.len()));
        }
        Change::Weight(place, weight) => {
            let len = servers.len();
            servers[place.index(len)].weight = weight;
        }
        Change::Overloaded(place, overloaded) => {
            let len = servers.len();
            servers[place.index(len)].overloaded = overloaded;
        }
    }
    servers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn whoever_is_removed_or_takes_nobody_gets_nothing_from_then_on(
        method in methods(),
        servers in pools(1..12),
        changes in vec((changes(), 1..12_usize), 1..12),
        seed in any::<u64>(),
    ) {
        let (mut pool, mut random) = (Pool::new(method, servers), Random(seed));
        // A few clients who come again and again: what is remembered of them must not outlive the change.
        let clients: Vec<u32> = (0..4).map(|_| random.next()).collect();
        for ((change, picks), next) in changes.iter().zip(1000..) {
            pool.change(changed(&pool.servers, change, next));
            for pick in 0..*picks {
                let client = clients[pick % clients.len()];
                if let Some(row) = pool.pick(&request(client, [random.next(), random.next()])) {
                    let server = pool.server(row).expect("it is in the pool");
                    prop_assert!(server.weight > 0 && !server.overloaded, "{server:?} after {change:?}");
                    pool.server_mut(row).expect("the same").load.active /= 2;
                }
            }
        }
    }

    #[test]
    fn what_is_remembered_never_outlives_its_server(
        scheduler in proptest::sample::select(&[Scheduler::Lblc, Scheduler::Lblcr][..]),
        servers in pools(2..20),
        clients in vec(any::<u32>(), 1..20),
    ) {
        let mut pool = Pool::new(scheduler, servers);
        for &client in &clients {
            pool.pick(&request(client, [0; 2]));
        }
        let mut left = pool.servers.clone();
        let gone = left.pop().expect("two or more").server;
        pool.change(left);
        for &client in &clients {
            prop_assert_ne!(pool.pick(&request(client, [0; 2])), Some(gone));
        }
    }

    /// A server that takes nobody any more stays in the ring, so that nobody else's clients move.
    #[test]
    fn with_a_fallback_only_the_clients_of_a_quiescent_or_overloaded_server_move(
        scheduler in proptest::sample::select(&[Scheduler::Sh, Scheduler::Mh][..]),
        weights in vec(1..9_u16, 2..12),
        place in any::<prop::sample::Index>(),
        seed in any::<u64>(),
    ) {
        let method = Method { scheduler, flags: Flags { port: false, fallback: true } };
        let mut pool = Pool::of_weights(method, &weights);
        let mut random = Random(seed);
        let requests: Vec<_> = (0..200).map(|_| random.request()).collect();
        let before: Vec<_> = requests.iter().map(|request| pool.pick(request)).collect();
        let place = place.index(weights.len());
        pool.servers[place].overloaded = true;
        let quiet = FIRST + place as u16;
        for (request, before) in requests.iter().zip(before) {
            let now = pool.pick(request);
            prop_assert!(now.is_some() && now != Some(quiet));
            prop_assert!(now == before || before == Some(quiet), "{before:?} became {now:?}");
        }
    }
}

/// Servers of one network, all alike.
fn alike(count: u32, network: u32) -> Vec<Listed> {
    let server = |n| Listed { weight: 1, last_weight: 1, address: network + n, port: 80 };
    (0..count).map(server).collect()
}

/// The share of a ring's buckets whose server is another one after a change.
fn moved(scheduler: Scheduler, before: &[Listed], after: &[Listed]) -> f64 {
    let (old, new) = (ring(scheduler, before), ring(scheduler, after));
    let moved = |&(&old, &new): &(&u16, &u16)| before[usize::from(old)] != after[usize::from(new)];
    old.iter().zip(&new).filter(moved).count() as f64 / old.len() as f64
}

/// The shares that move when one of `count` servers goes and when one comes to them, each at every place of the list or
/// at some of them, and from some networks: the means.
fn disruption(scheduler: Scheduler, count: u32) -> [f64; 2] {
    let (mut sums, mut cases) = ([0.0; 2], 0.0);
    for network in [0x0a00_0001, 0xc0a8_0a0a, 0xac10_fe80] {
        let full = alike(count, network);
        for place in (0..count as usize).step_by((count as usize).div_ceil(8)) {
            let mut left = full.clone();
            left.remove(place);
            sums[0] += moved(scheduler, &full, &left);
            sums[1] += moved(scheduler, &left, &full);
            cases += 1.0;
        }
    }
    sums.map(|sum| sum / cases)
}

/// The figures of mh with its 4093 buckets, of servers of one weight: the clients who find another server when one of
/// so many goes or comes. Of these one in so many must. Under sh, which promises nothing, most do.
const MAGLEV: [(u32, f64); 10] = [
    (2, 0.500),
    (3, 0.334),
    (5, 0.205),
    (10, 0.110),
    (20, 0.066),
    (50, 0.044),
    (100, 0.039),
    (200, 0.026),
    (500, 0.013),
    (1000, 0.007),
];

#[test]
fn maglev_moves_11_percent_of_clients_where_10_must_and_never_3_percent_more_than_must() {
    for (count, figure) in MAGLEV {
        let must = 1.0 / f64::from(count);
        for share in disruption(Scheduler::Mh, count) {
            assert!((share - figure).abs() < 0.001, "{count} servers: {share}");
            assert!((must..must + 0.03).contains(&(share + 0.0005)), "{count} servers: {share}");
        }
    }
    assert!(disruption(Scheduler::Sh, 10).into_iter().all(|share| share > 0.9));
}

/// In any network, with any weights: the share of all clients that move though their server stays. A network may have bad
/// luck, if servers go through the buckets in steps that are alike.
#[test]
fn maglev_moves_few_clients_of_servers_that_stay() {
    const POOLS: u32 = 1000;
    let mut random = Random(3);
    let mut needless: Vec<f64> = Vec::new();
    for _ in 0..POOLS {
        let network = random.next();
        let server =
            |(weight, n)| Listed { weight, last_weight: weight, address: network.wrapping_add(n), port: 80 };
        let weights = (0..2 + random.next() % 50).map(|_| 1 + (random.next() % 4) as u16);
        let full: Vec<Listed> = weights.collect::<Vec<_>>().into_iter().zip(0..).map(server).collect();
        let mut left = full.clone();
        let gone = left.remove(random.next() as usize % full.len());
        let (before, after) = (ring(Scheduler::Mh, &full), ring(Scheduler::Mh, &left));
        let stays = |&place: &u16| full[usize::from(place)] != gone;
        let moved = before.iter().zip(&after).filter(|&(before, &after)| {
            stays(before) && full[usize::from(*before)] != left[usize::from(after)]
        });
        needless.push(moved.count() as f64 / before.len() as f64);
    }
    let mean = needless.iter().sum::<f64>() / f64::from(POOLS);
    assert!(mean < 0.025, "{mean}");
    let bad = needless.iter().filter(|&&share| share > 0.08).count();
    assert!(bad <= 5, "{bad} of {POOLS} pools");
}
