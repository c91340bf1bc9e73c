//! What holds for several schedulers.

use std::{string::String, vec::Vec};

use super::*;

/// A pool as a director keeps it: the list with identities, and what is remembered.
pub(crate) struct Pool {
    scheduler: Scheduler,
    list: Vec<(char, u16)>,
    memory: Memory,
}

impl Pool {
    pub(crate) fn new(scheduler: Scheduler, list: &[(char, u16)]) -> Self {
        let mut pool = Self { scheduler, list: Vec::new(), memory: Memory::default() };
        pool.change(list);
        pool
    }

    pub(crate) fn change(&mut self, list: &[(char, u16)]) {
        let epoch = self.memory.cursor.epoch + 1;
        self.memory.cursor = rebase(self.scheduler, self.memory.cursor, &self.list, list, epoch);
        self.list = list.to_vec();
    }

    pub(crate) fn pick(&mut self) -> Option<char> {
        let weights: Vec<u16> =
            published(self.scheduler, self.list.iter().map(|&(_, weight)| weight)).collect();
        let candidate = |place: u16| Candidate {
            server: place,
            weight: weights[usize::from(place)],
            ..Candidate::default()
        };
        let len = self.list.len() as u16;
        let (search, picked) =
            Search::through(self.scheduler.into(), self.memory, len, &Request::default(), candidate);
        self.memory = search.memory;
        picked.map(|place| self.list[usize::from(place)].0)
    }

    pub(crate) fn picks(&mut self, count: usize) -> String {
        (0..count).map(|_| self.pick().unwrap_or('-')).collect()
    }
}

#[test]
fn an_empty_pool_and_one_without_weights_give_nobody() {
    for scheduler in Scheduler::ALL {
        assert_eq!(Pool::new(scheduler, &[]).pick(), None);
        if scheduler.ring_len() == 0 {
            assert_eq!(Pool::new(scheduler, &[('a', 0), ('b', 0)]).pick(), None);
        }
    }
}

#[test]
fn a_full_pool_is_searched_to_its_only_server() {
    let mut list: Vec<(char, u16)> = (0..MAX_POOL).map(|_| ('x', 0)).collect();
    list[MAX_POOL - 1] = ('y', 5);
    for scheduler in Scheduler::ALL {
        if scheduler.ring_len() == 0 {
            assert_eq!(Pool::new(scheduler, &list).picks(3), "yyy", "{}", scheduler.name());
        }
    }
}
