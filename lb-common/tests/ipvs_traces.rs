//! The schedulers beside a real kernel: recorded traces of Linux 6.1's IPVS, replayed connection by connection.
//!
//! The fixtures' columns are run, n, op, client address, client port, destination, server; an operation is `open`,
//! `close`, or a change of the pool: `weight K W`, `del K`, `add K W`.

use std::collections::BTreeMap;

use lb_common::sched::{Cursor, Scheduler, Walk, normalised, rebase};

/// A service's pool as a director keeps it.
struct Pool {
    scheduler: Scheduler,
    list: Vec<(u8, u16)>,
    cursor: Cursor,
}

impl Pool {
    /// Real servers 1, 2, ... with `weights`, added one after the other.
    fn new(scheduler: Scheduler, weights: &str) -> Self {
        let mut pool = Self { scheduler, list: Vec::new(), cursor: Cursor::default() };
        for (server, weight) in (1..).zip(weights.split('/')) {
            pool.operate(&["add", &server.to_string(), weight]);
        }
        pool
    }

    fn operate(&mut self, operation: &[&str]) {
        let number = |at: usize| operation[at].parse::<u16>().expect("a number");
        let (server, mut list) = (number(1) as u8, self.list.clone());
        match operation[0] {
            "add" => list.insert(0, (server, number(2))),
            "del" => list.retain(|&(other, _)| other != server),
            "weight" => {
                list.iter_mut().filter(|entry| entry.0 == server).for_each(|entry| entry.1 = number(2));
            }
            other => panic!("unknown operation {other}"),
        }
        self.cursor = rebase(self.scheduler, self.cursor, &self.list, &list, self.cursor.epoch + 1);
        self.list = list;
    }

    fn pick(&mut self) -> Option<u8> {
        let weights: Vec<u16> = normalised(self.list.iter().map(|&(_, weight)| weight)).collect();
        let mut walk = Walk::new(self.scheduler, self.cursor, self.list.len() as u16)?;
        for _step in 0..walk.steps() {
            let place = usize::from(walk.place());
            if let Some(cursor) = walk.offer(weights[place]) {
                self.cursor = cursor;
                return Some(self.list[place].0);
            }
        }
        None
    }
}

/// Replays every run of a trace; says how many connections were compared.
fn replay(trace: &str) -> usize {
    let mut pools = BTreeMap::new();
    let mut compared = 0;
    for line in trace.lines().skip(1) {
        let columns: Vec<&str> = line.split(',').collect();
        let (run, connection, operation) = (columns[0], columns[1], columns[2]);
        let pool = pools.entry(run.to_owned()).or_insert_with(|| {
            let words: Vec<&str> = run.split(' ').collect();
            let scheduler = if words[0] == "rr" { Scheduler::Rr } else { Scheduler::Wrr };
            Pool::new(scheduler, words[1])
        });
        match operation {
            "open" => {
                let server = pool.pick().map_or_else(|| "refused".to_owned(), |server| format!("r{server}"));
                assert_eq!(server, columns[6], "{run}, connection {connection}");
                compared += 1;
            }
            "close" => {}
            change => pool.operate(&change.split(' ').collect::<Vec<_>>()),
        }
    }
    compared
}

#[test]
fn rr_picks_as_the_kernel_did() {
    assert_eq!(replay(include_str!("../../tests/fixtures/ipvs/rr.csv")), 5 * 200);
}

#[test]
fn wrr_picks_as_the_kernel_did() {
    assert_eq!(replay(include_str!("../../tests/fixtures/ipvs/wrr.csv")), 5 * 200);
}

#[test]
fn changes_under_way_change_the_order_as_in_the_kernel() {
    assert_eq!(replay(include_str!("../../tests/fixtures/ipvs/events.csv")), 200);
}
