//! A service's pool on the host, and random ones.

use bytemuck::Zeroable as _;
use lb_common::{
    layout::{Load, ring_place},
    sched::{
        Candidate, Flags, Listed, Memory, Method, NOBODY, Request, Scheduler, Search, fill, published, rebase,
    },
};
use proptest::{
    collection::{SizeRange, vec},
    prelude::*,
};

/// A pool whose servers are numbered from [`FIRST`] on.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) method: Method,
    pub(crate) servers: Vec<Candidate>,
    pub(crate) memory: Memory,
    weights: Vec<u16>,
    ring: Vec<u16>,
}

/// Rows of `servers` in these tests: not the places in the list.
pub(crate) const FIRST: u16 = 100;

impl Pool {
    /// A pool that nothing was picked from.
    pub(crate) fn new(method: impl Into<Method>, servers: Vec<Candidate>) -> Self {
        let (method, memory) = (method.into(), Memory::default());
        let mut pool = Self { method, servers: Vec::new(), memory, weights: Vec::new(), ring: Vec::new() };
        pool.change(servers);
        pool
    }

    /// A pool of idle servers with these weights.
    pub(crate) fn of_weights(method: impl Into<Method>, weights: &[u16]) -> Self {
        let server = |(&weight, server)| Candidate { server, weight, ..Candidate::default() };
        Self::new(method, weights.iter().zip(FIRST..).map(server).collect())
    }

    /// Publishes other servers in its place. Those that stay keep their numbers in the set of the destination.
    pub(crate) fn change(&mut self, mut servers: Vec<Candidate>) {
        for server in &mut servers {
            server.joined = self.server(server.server).map_or(0, |server| server.joined);
        }
        let scheduler = self.method.scheduler;
        let epoch = self.memory.cursor.epoch + 1;
        let (before, list) = (list(&self.servers), list(&servers));
        self.memory.cursor = rebase(scheduler, self.memory.cursor, &before, &list, epoch);
        self.weights = published(scheduler, servers.iter().map(|server| server.weight)).collect();
        self.ring = ring(scheduler, &servers.iter().map(listed).collect::<Vec<_>>());
        self.servers = servers;
    }

    /// The row as it would be published.
    fn row(&self, row: u16) -> Candidate {
        let place = match row.checked_sub(ring_place(self.servers.len() as u16)) {
            Some(bucket) => self.ring[usize::from(bucket)],
            None => row,
        };
        if place == NOBODY {
            return Candidate::default();
        }
        Candidate { weight: self.weights[usize::from(place)], ..self.servers[usize::from(place)] }
    }

    /// The pick, and after how many steps.
    pub(crate) fn pick_counting(&mut self, request: &Request) -> (Option<u16>, u32) {
        let len = self.servers.len() as u16;
        let mut search = Search::zeroed();
        search.memory = self.memory;
        let mut steps = 0;
        if search.begin(self.method, len, request) {
            while steps < search.steps() {
                steps += 1;
                if search.offer(self.row(search.place())) {
                    break;
                }
            }
        }
        let picked = search.end();
        self.memory = search.memory;
        if let Some(gone) = search.leaves().and_then(|row| self.server_mut(row)) {
            gone.joined = 0;
        }
        if let Some(server) = picked.and_then(|row| self.server_mut(row)) {
            server.joined = search.joins().unwrap_or(server.joined);
        }
        (picked, steps)
    }

    /// The pick.
    pub(crate) fn pick(&mut self, request: &Request) -> Option<u16> {
        self.pick_counting(request).0
    }

    /// How many buckets of the ring the server at a place of the list has.
    pub(crate) fn buckets(&self, place: usize) -> u32 {
        self.ring.iter().filter(|&&bucket| usize::from(bucket) == place).count() as u32
    }

    /// The server of a row.
    pub(crate) fn server(&self, row: u16) -> Option<&Candidate> {
        self.servers.iter().find(|server| server.server == row)
    }

    /// The same, to be changed.
    pub(crate) fn server_mut(&mut self, row: u16) -> Option<&mut Candidate> {
        self.servers.iter_mut().find(|server| server.server == row)
    }
}

fn list(servers: &[Candidate]) -> Vec<(u16, u16)> {
    servers.iter().map(|server| (server.server, server.weight)).collect()
}

/// A scheduler's ring.
pub(crate) fn ring(scheduler: Scheduler, listed: &[Listed]) -> Vec<u16> {
    let mut ring = vec![0; scheduler.ring_len()];
    fill(scheduler, listed, &mut ring);
    ring
}

fn listed(server: &Candidate) -> Listed {
    let address = 0x0a00_0000 + u32::from(server.server);
    Listed { weight: server.weight, last_weight: server.weight, address, port: 80 }
}

/// What a client asks for; the destination and the time follow from it.
pub(crate) fn request(client: u32, random: [u32; 2]) -> Request {
    Request { client, client_port: client as u16, destination: client >> 8, random, now: client }
}

/// splitmix64: the same numbers with every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next one.
    pub(crate) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z >> 32) as u32
    }

    /// A client who comes now.
    pub(crate) fn request(&mut self) -> Request {
        let (client, random) = (self.next(), [self.next(), self.next()]);
        Request { now: 1, ..request(client, random) }
    }
}

/// Every scheduler with every choice of flags.
pub(crate) fn methods() -> impl Strategy<Value = Method> {
    (proptest::sample::select(&Scheduler::ALL), any::<bool>(), any::<bool>())
        .prop_map(|(scheduler, port, fallback)| Method { scheduler, flags: Flags { port, fallback } })
}

/// Servers of all weights and loads, some overloaded.
pub(crate) fn pools(size: impl Into<SizeRange>) -> impl Strategy<Value = Vec<Candidate>> {
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
