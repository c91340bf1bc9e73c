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

/// The program has one row of memory for all services: what a search left there must not matter to the next.
#[test]
fn a_search_begins_as_if_there_had_been_none() {
    let candidate = |place: u16| Candidate {
        server: place % 8,
        weight: 1 + place % 3,
        load: Load { active: u32::from(place * 7 % 5), inactive: u32::from(place) },
        ..Candidate::default()
    };
    let mut used = Search { memory: Memory::default(), ..Search::zeroed() };
    for turn in 0..400_u32 {
        let method = Method::from(Scheduler::ALL[(turn * 11 % 14) as usize]);
        let request = Request {
            client: turn * 97,
            destination: 1,
            random: [turn * 31, turn * 17],
            now: turn,
            ..Request::default()
        };
        let memory = Memory {
            cursor: Cursor { place: turn as u16 % 8, threshold: 1, highest: 3, epoch: 1 },
            ..Memory::default()
        };
        let (fresh, expected) = Search::through(method, memory, 8, &request, candidate);
        used.memory = memory;
        assert!(used.begin(method, 8, &request));
        for _step in 0..used.steps() {
            if used.offer(candidate(used.place())) {
                break;
            }
        }
        assert_eq!(used.end(), expected, "{:?}", method.scheduler);
        assert_eq!(used.memory.cursor, fresh.memory.cursor, "{:?}", method.scheduler);
    }
}
