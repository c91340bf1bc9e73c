//! One pick: who may be picked, and who must.

use std::cmp::Ordering;

use lb_common::{
    layout::MAX_POOL,
    sched::{Candidate, Cursor, Request, Scheduler},
};
use proptest::{collection::vec, prelude::*};

use crate::pool::{FIRST, Pool, methods, pools, request};

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
            let (picked, steps) = pool.pick_counting(&request(client, random));
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

    /// Beside the definition, computed without shortcuts.
    #[test]
    fn the_server_with_the_least_cost_is_picked_and_among_equals_the_first(
        scheduler in proptest::sample::select(&LEAST),
        servers in pools(1..40),
        client in any::<u32>(),
    ) {
        let due = least(scheduler, &servers).map(|server| server.server);
        prop_assert_eq!(Pool::new(scheduler, servers).pick(&request(client, [0; 2])), due);
    }
}

const LEAST: [Scheduler; 6] =
    [Scheduler::Lc, Scheduler::Wlc, Scheduler::Sed, Scheduler::Nq, Scheduler::Fo, Scheduler::Ovf];

fn least(scheduler: Scheduler, servers: &[Candidate]) -> Option<&Candidate> {
    let takes = |server: &&Candidate| server.weight > 0 && !server.overloaded;
    let has_room = |server: &&Candidate| {
        !matches!(scheduler, Scheduler::Ovf) || server.load.active <= u32::from(server.weight)
    };
    let mut candidates = servers.iter().filter(takes).filter(has_room);
    let idle = |server: &&Candidate| scheduler == Scheduler::Nq && server.load.active == 0;
    // `min_by` takes the first of equals.
    candidates.clone().find(idle).or_else(|| candidates.by_ref().min_by(|a, b| compare(scheduler, a, b)))
}

/// By cost for the weight, as fractions.
fn compare(scheduler: Scheduler, a: &Candidate, b: &Candidate) -> Ordering {
    let cost = |server: &Candidate| {
        let (active, inactive) = (u128::from(server.load.active), u128::from(server.load.inactive));
        match scheduler {
            Scheduler::Lc | Scheduler::Wlc => active * 256 + inactive,
            Scheduler::Sed | Scheduler::Nq => active + 1,
            _ => 1,
        }
    };
    let weight = |server: &Candidate| if scheduler == Scheduler::Lc { 1 } else { u128::from(server.weight) };
    (cost(a) * weight(b)).cmp(&(cost(b) * weight(a)))
}

#[test]
fn wrr_comes_down_to_lighter_servers_from_wherever_it_stands() {
    let server =
        |(weight, server)| Candidate { server, weight, overloaded: weight > 3, ..Candidate::default() };
    for weights in [[1, 9, 3, 9], [9, 9, 9, 2], [9, 2, 9, 0], [1, 9, 9, 9]] {
        for (place, threshold) in (0..4).flat_map(|place| (1..=9).map(move |threshold| (place, threshold))) {
            let servers = weights.into_iter().zip(FIRST..).map(server).collect();
            let mut pool = Pool::new(Scheduler::Wrr, servers);
            pool.memory.cursor = Cursor { place, threshold, highest: 9, epoch: 1 };
            let row = pool.pick(&Request::default()).expect("one takes connections");
            assert!(weights[usize::from(row - FIRST)] <= 3);
        }
    }
}
