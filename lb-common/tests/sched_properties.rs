//! What holds for every pool: who is never picked, how long a search may be, what weights and rings promise.

use bytemuck::Zeroable as _;
use lb_common::{
    layout::{Load, MAX_POOL},
    sched::{
        Candidate, Cursor, Flags, Listed, Memory, Method, NOBODY, Request, Scheduler, Search, fill,
        published, rebase,
    },
};
use proptest::{
    collection::{SizeRange, vec},
    prelude::*,
};

/// A pool whose servers are numbered from [`FIRST`] on.
#[derive(Clone, Debug)]
struct Pool {
    method: Method,
    servers: Vec<Candidate>,
    ring: Vec<u16>,
    memory: Memory,
}

/// Rows of `servers` in these tests: not the places in the list.
const FIRST: u16 = 100;

impl Pool {
    fn new(method: Method, servers: Vec<Candidate>) -> Self {
        let list: Vec<(u16, u16)> = servers.iter().map(|server| (server.server, server.weight)).collect();
        let cursor = rebase(method.scheduler, Cursor::default(), &[], &list, 1);
        let listed: Vec<Listed> = servers.iter().map(listed).collect();
        let ring = ring(method.scheduler, &listed);
        Self { method, servers, ring, memory: Memory { cursor, ..Memory::default() } }
    }

    /// The row as it would be published.
    fn row(&self, row: u16, weights: &[u16]) -> Candidate {
        let row = usize::from(row);
        let place = match row.checked_sub(self.servers.len()) {
            Some(bucket) => self.ring[bucket],
            None => row as u16,
        };
        if place == NOBODY {
            return Candidate::default();
        }
        Candidate { weight: weights[usize::from(place)], ..self.servers[usize::from(place)] }
    }

    /// The pick, and after how many steps.
    fn pick(&mut self, request: &Request) -> (Option<u16>, u32) {
        let weights: Vec<u16> =
            published(self.method.scheduler, self.servers.iter().map(|server| server.weight)).collect();
        let len = self.servers.len() as u16;
        let mut search = Search::zeroed();
        search.memory = self.memory;
        let mut steps = 0;
        if search.begin(self.method, len, request) {
            while steps < search.steps() {
                steps += 1;
                if search.offer(self.row(search.place(), &weights)) {
                    break;
                }
            }
        }
        let picked = search.end();
        self.memory = search.memory;
        if let Some(gone) = search.leaves() {
            self.servers[usize::from(gone - FIRST)].joined = 0;
        }
        if let (Some(joined), Some(server)) = (search.joins(), picked) {
            self.servers[usize::from(server - FIRST)].joined = joined;
        }
        (picked, steps)
    }

    fn server(&self, row: u16) -> Option<&Candidate> {
        self.servers.get(usize::from(row.checked_sub(FIRST)?))
    }
}

fn ring(scheduler: Scheduler, listed: &[Listed]) -> Vec<u16> {
    let mut ring = vec![0; scheduler.ring_len()];
    fill(scheduler, listed, &mut ring);
    ring
}

fn listed(server: &Candidate) -> Listed {
    let address = 0x0a00_0000 + u32::from(server.server);
    Listed { weight: server.weight, last_weight: server.weight.max(1), address, port: 80 }
}

fn request(client: u32, random: [u32; 2]) -> Request {
    Request { client, client_port: client as u16, destination: client >> 8, random, now: client }
}

fn methods() -> impl Strategy<Value = Method> {
    (proptest::sample::select(&Scheduler::ALL), any::<bool>(), any::<bool>())
        .prop_map(|(scheduler, port, fallback)| Method { scheduler, flags: Flags { port, fallback } })
}

fn pools(size: impl Into<SizeRange>) -> impl Strategy<Value = Vec<Candidate>> {
    let weight = prop_oneof![Just(0), 1..4_u16, 1..200_u16, any::<u16>()];
    let count = prop_oneof![0..4_u32, 0..2000_u32, any::<u32>()];
    let server = (weight, proptest::bool::weighted(0.1), count.clone(), count);
    vec(server, size).prop_map(|servers| {
        let servers = servers.into_iter().zip(FIRST..);
        let candidate = |((weight, overloaded, active, inactive), server)| Candidate {
            server,
            weight,
            overloaded,
            load: Load { active, inactive },
            joined: 0,
        };
        servers.map(candidate).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_pick_is_a_server_of_the_pool_that_takes_connections(
        method in methods(),
        servers in prop_oneof![pools(0..8), pools(0..=MAX_POOL)],
        requests in vec((any::<u32>(), any::<[u32; 2]>()), 8),
    ) {
        let mut pool = Pool::new(method, servers);
        let takes = pool.servers.iter().any(|server| server.weight > 0 && !server.overloaded);
        for (client, random) in requests {
            let (picked, steps) = pool.pick(&request(client, random));
            let most = match method.scheduler {
                Scheduler::Mh if method.flags.fallback => 1 + 4093,
                Scheduler::Sh if method.flags.fallback => 1 + 256,
                Scheduler::Sh | Scheduler::Dh | Scheduler::Mh => 1,
                Scheduler::Rr | Scheduler::Wrr => 3 * MAX_POOL as u32,
                Scheduler::Twos => 2 * MAX_POOL as u32,
                _ => MAX_POOL as u32,
            };
            prop_assert!(steps <= most, "{steps} steps");
            if let Some(row) = picked {
                let server = pool.server(row).expect("a server of the pool");
                prop_assert!(server.weight > 0 && !server.overloaded, "{server:?}");
            } else if takes {
                let may_refuse = matches!(
                    method.scheduler,
                    Scheduler::Sh | Scheduler::Dh | Scheduler::Mh | Scheduler::Ovf
                );
                prop_assert!(may_refuse, "nobody was found");
            }
        }
    }

    #[test]
    fn what_is_remembered_never_outlives_its_server(
        scheduler in proptest::sample::select(&[Scheduler::Lblc, Scheduler::Lblcr][..]),
        servers in pools(2..20),
        clients in vec(any::<u32>(), 1..20),
    ) {
        let mut pool = Pool::new(scheduler.into(), servers);
        for &client in &clients {
            pool.pick(&request(client, [0; 2]));
        }
        let gone = pool.servers.pop().expect("two or more").server;
        for &client in &clients {
            prop_assert_ne!(pool.pick(&request(client, [0; 2])).0, Some(gone));
        }
    }

    #[test]
    fn connections_that_stay_are_shared_by_weight(
        scheduler in proptest::sample::select(
            &[Scheduler::Wrr, Scheduler::Wlc, Scheduler::Sed, Scheduler::Nq][..]
        ),
        weights in vec(0..40_u16, 1..12),
    ) {
        let total: u32 = weights.iter().map(|&weight| u32::from(weight)).sum();
        let server = |(&weight, server)| Candidate { server, weight, ..Candidate::default() };
        let mut pool = Pool::new(scheduler.into(), weights.iter().zip(FIRST..).map(server).collect());
        for client in 0..3 * total {
            let row = pool.pick(&request(client, [0; 2])).0.expect("somebody has a weight");
            pool.servers[usize::from(row - FIRST)].load.active += 1;
        }
        for server in &pool.servers {
            let (has, due) = (server.load.active, 3 * u32::from(server.weight));
            prop_assert!(has.abs_diff(due) <= 1, "{has} connections at weight {} of {total}", server.weight);
        }
    }

    #[test]
    fn the_maglev_ring_is_shared_by_weight_and_hardly_changes_without_one_server(
        count in 2..50_usize,
        network in any::<u32>(),
        seed in any::<prop::sample::Index>(),
    ) {
        let servers: Vec<Listed> = (0..count as u32)
            .map(|n| Listed { weight: 1, last_weight: 1, address: network.wrapping_add(n), port: 80 })
            .collect();
        let full = ring(Scheduler::Mh, &servers);
        for place in 0..count as u16 {
            let has = full.iter().filter(|&&other| other == place).count();
            prop_assert!(has.abs_diff(full.len() / count) <= 1, "{has} of {} buckets", full.len());
        }
        let gone = seed.index(count);
        let mut left = servers.clone();
        left.remove(gone);
        let moved = ring(Scheduler::Mh, &left)
            .into_iter()
            .zip(&full)
            .filter(|&(now, &before)| {
                usize::from(before) != gone && left[usize::from(now)] != servers[usize::from(before)]
            })
            .count();
        prop_assert!(moved * 100 <= full.len() * 10, "{moved} of {} buckets moved needlessly", full.len());
    }
}

#[test]
fn wrr_comes_down_to_lighter_servers_from_wherever_it_stands() {
    let server =
        |(weight, server)| Candidate { server, weight, overloaded: weight > 3, ..Candidate::default() };
    for weights in [[1, 9, 3, 9], [9, 9, 9, 2], [9, 2, 9, 0], [1, 9, 9, 9]] {
        for (place, threshold) in (0..4).flat_map(|place| (1..=9).map(move |threshold| (place, threshold))) {
            let servers = weights.into_iter().zip(FIRST..).map(server).collect();
            let mut pool = Pool::new(Scheduler::Wrr.into(), servers);
            pool.memory.cursor = Cursor { place, threshold, highest: 9, epoch: 1 };
            let row = pool.pick(&Request::default()).0.expect("one takes connections");
            assert!(weights[usize::from(row - FIRST)] <= 3);
        }
    }
}

#[test]
fn two_choices_follow_the_weights_and_avoid_the_busy() {
    let server = |(weight, server)| Candidate { server, weight, ..Candidate::default() };
    let mut pool =
        Pool::new(Scheduler::Twos.into(), [1, 3, 0, 6].into_iter().zip(FIRST..).map(server).collect());
    let mut seed = 1_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 32) as u32
    };
    let mut shares = [0_u32; 4];
    for client in 0..100_000 {
        let row = pool.pick(&request(client, [random(), random()])).0.expect("there is weight");
        shares[usize::from(row - FIRST)] += 1;
    }
    // Nobody has a connection, so the first draw stands.
    for (share, due) in shares.into_iter().zip([10_000_u32, 30_000, 0, 60_000]) {
        assert!(share.abs_diff(due) <= due / 20, "{shares:?}");
    }
    pool.servers[3].load.active = 60;
    let busy =
        (0..10_000).filter(|&n| pool.pick(&request(n, [random(), random()])).0 == Some(FIRST + 3)).count();
    assert!((3400..=3800).contains(&busy), "both draws must fall on it: {busy}");
}
