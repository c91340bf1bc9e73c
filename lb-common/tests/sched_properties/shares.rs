//! The long run: connections are shared among the servers as the weights say.

use std::collections::BTreeMap;

use lb_common::sched::{Flags, Method, Request, Scheduler};
use proptest::{collection::vec, prelude::*};

use crate::pool::{FIRST, Pool, Random};

/// How often each server, by its place, is picked of `count` times.
fn picks(pool: &mut Pool, count: u32, mut request: impl FnMut(u32) -> Request) -> Vec<u32> {
    let mut picks = vec![0; pool.servers.len()];
    for n in 0..count {
        let row = pool.pick(&request(n)).expect("somebody has a weight");
        picks[usize::from(row - FIRST)] += 1;
    }
    picks
}

fn weights(range: std::ops::Range<u16>) -> impl Strategy<Value = Vec<u16>> {
    vec(prop_oneof![1 => Just(0), 5 => range], 1..12)
        .prop_filter("somebody has a weight", |weights| weights.iter().any(|&weight| weight > 0))
}

fn sum(weights: &[u16]) -> u32 {
    weights.iter().copied().map(u32::from).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn round_robin_serves_all_that_have_a_weight_alike(weights in weights(1..9), count in 1..400_u32) {
        let mut pool = Pool::of_weights(Scheduler::Rr, &weights);
        let having = weights.iter().filter(|&&weight| weight > 0).count() as u32;
        for (&weight, has) in weights.iter().zip(picks(&mut pool, count, |_| Request::default())) {
            let due = if weight > 0 { count / having } else { 0 };
            let more = u32::from(weight > 0 && count % having > 0);
            prop_assert!((due..=due + more).contains(&has), "{has} of {count} at weight {weight}");
        }
    }

    #[test]
    fn weighted_round_robin_is_exact_over_every_cycle(weights in weights(1..300), ahead in 0..1000_u32) {
        let divisor = weights.iter().fold(0, |a, &b| gcd(a, b));
        let cycle = sum(&weights) / u32::from(divisor);
        let mut pool = Pool::of_weights(Scheduler::Wrr, &weights);
        picks(&mut pool, ahead, |_| Request::default());
        let picks = picks(&mut pool, cycle, |_| Request::default());
        let due: Vec<_> = weights.iter().map(|&weight| u32::from(weight / divisor)).collect();
        prop_assert_eq!(picks, due);
    }

    #[test]
    fn connections_that_stay_are_shared_by_weight(
        scheduler in proptest::sample::select(
            &[Scheduler::Wrr, Scheduler::Wlc, Scheduler::Sed, Scheduler::Nq][..]
        ),
        weights in weights(1..40),
    ) {
        let total = sum(&weights);
        let mut pool = Pool::of_weights(scheduler, &weights);
        for _ in 0..3 * total {
            let row = pool.pick(&Request::default()).expect("somebody has a weight");
            pool.servers[usize::from(row - FIRST)].load.active += 1;
        }
        for server in &pool.servers {
            let (has, due) = (server.load.active, 3 * u32::from(server.weight));
            prop_assert!(has.abs_diff(due) <= 1, "{has} connections at weight {} of {total}", server.weight);
        }
    }

    /// Connections last for random times, the same on average with every server: 40 at once for each unit of weight,
    /// over 100 generations of them. No share is wrong by more than a twelfth.
    #[test]
    fn connections_that_end_are_shared_by_weight(
        scheduler in proptest::sample::select(
            &[Scheduler::Lc, Scheduler::Wlc, Scheduler::Sed, Scheduler::Nq, Scheduler::Twos][..]
        ),
        weights in weights(1..9),
        seed in any::<u64>(),
    ) {
        let shares: Vec<u32> = match scheduler {
            Scheduler::Lc => weights.iter().map(|&weight| u32::from(weight > 0)).collect(),
            _ => weights.iter().map(|&weight| u32::from(weight)).collect(),
        };
        let total: u32 = shares.iter().sum();
        let (mut pool, mut random) = (Pool::of_weights(scheduler, &weights), Random(seed));
        let (mut open, mut picks) = (Vec::new(), vec![0; weights.len()]);
        for _ in 0..100 * 40 * total {
            if open.len() as u32 == 40 * total {
                let ends: usize = open.swap_remove(random.next() as usize % open.len());
                pool.servers[ends].load.active -= 1;
            }
            let row = pool.pick(&random.request()).expect("somebody has a weight");
            let place = usize::from(row - FIRST);
            pool.servers[place].load.active += 1;
            open.push(place);
            picks[place] += 1;
        }
        for (has, share) in picks.into_iter().zip(shares) {
            let due: u32 = 100 * 40 * share;
            prop_assert!(due.abs_diff(has) * 12 <= due, "{has} connections of {due}");
        }
    }

    /// Within what a last turn around the ring leaves over.
    #[test]
    fn rings_are_shared_by_weight(
        scheduler in proptest::sample::select(&[Scheduler::Sh, Scheduler::Mh][..]),
        weights in vec(1..20_u16, 1..12),
    ) {
        let pool = Pool::of_weights(scheduler, &weights);
        // mh divides by the greatest common divisor, so that a turn is shorter.
        let divisor = if scheduler == Scheduler::Mh { weights.iter().fold(0, |a, &b| gcd(a, b)) } else { 1 };
        let turns = scheduler.ring_len() as u32 / (sum(&weights) / u32::from(divisor));
        for (place, &weight) in weights.iter().enumerate() {
            let has = pool.buckets(place);
            let turn = u32::from(weight / divisor);
            prop_assert!((turns * turn..=(turns + 1) * turn).contains(&has), "{has} buckets at {weight}");
        }
    }

    /// Whatever the weights of those that have one.
    #[test]
    fn destinations_are_shared_alike(weights in vec(1..20_u16, 1..50)) {
        let pool = Pool::of_weights(Scheduler::Dh, &weights);
        let due = Scheduler::Dh.ring_len() / weights.len();
        for place in 0..weights.len() {
            let has = pool.buckets(place) as usize;
            prop_assert!((due..=due + 1).contains(&has), "{has} of 256 buckets");
        }
    }
}

fn gcd(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Clients of random addresses and ports find every bucket alike: the share of a server is that of its buckets, within
/// five standard deviations.
#[test]
fn clients_are_shared_as_the_ring_is() {
    const CLIENTS: u32 = 200_000;
    for (scheduler, port) in [Scheduler::Sh, Scheduler::Mh].into_iter().flat_map(|s| [(s, false), (s, true)])
    {
        let method = Method { scheduler, flags: Flags { port, fallback: false } };
        let mut pool = Pool::of_weights(method, &[1, 5, 2, 9, 3]);
        let mut random = Random(5);
        let picks = picks(&mut pool, CLIENTS, |_| random.request());
        for (place, has) in picks.into_iter().enumerate() {
            let share = f64::from(pool.buckets(place)) / scheduler.ring_len() as f64;
            let due = f64::from(CLIENTS) * share;
            let deviation = (due * (1.0 - share)).sqrt();
            assert!((f64::from(has) - due).abs() < 5.0 * deviation, "{method:?}: {has} of {due}");
        }
    }
}

/// A client keeps its server for as long as the pool stays as it is, and so does a destination.
#[test]
fn who_comes_again_finds_the_same_server() {
    for scheduler in [Scheduler::Sh, Scheduler::Mh, Scheduler::Dh] {
        let mut pool = Pool::of_weights(scheduler, &[1, 5, 2, 9, 3]);
        let (mut served, mut random) = (BTreeMap::new(), Random(9));
        for _ in 0..5000 {
            let client = random.next() % 500;
            let request = Request { client, destination: client, ..random.request() };
            let row = pool.pick(&request).expect("all have a weight");
            assert_eq!(*served.entry(client).or_insert(row), row, "{scheduler:?}, client {client}");
        }
    }
}

#[test]
fn two_choices_follow_the_weights_and_avoid_the_busy() {
    let (mut pool, mut random) = (Pool::of_weights(Scheduler::Twos, &[1, 3, 0, 6]), Random(1));
    // Nobody has a connection, so the first draw stands.
    let shares = picks(&mut pool, 100_000, |_| random.request());
    for (&share, due) in shares.iter().zip([10_000_u32, 30_000, 0, 60_000]) {
        assert!(share.abs_diff(due) <= due / 20, "{shares:?}");
    }
    pool.servers[3].load.active = 60;
    let busy = picks(&mut pool, 10_000, |_| random.request())[3];
    assert!((3400..=3800).contains(&busy), "both draws must fall on it: {busy}");
}
