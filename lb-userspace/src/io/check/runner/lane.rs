//! Probes of one kind that wait for their turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A probe that waits for its turn.
pub(super) struct Waiting {
    pub(super) shared: u64,
    pub(super) number: u64,
    /// Since when.
    pub(super) due: Instant,
    pub(super) step: u32,
    pub(super) timeout: Duration,
}

/// Those that wait, and how many more may be under way.
pub(super) struct Lane {
    waiting: VecDeque<Waiting>,
    room: Arc<Semaphore>,
}

impl Lane {
    pub(super) fn new(most: usize) -> Self {
        Self { waiting: VecDeque::new(), room: Arc::new(Semaphore::new(most)) }
    }

    pub(super) fn push(&mut self, waiting: Waiting) {
        self.waiting.push_back(waiting);
    }

    /// Who is next, if there is room, which is taken until the permit is dropped.
    pub(super) fn pop(&mut self) -> Option<(Waiting, OwnedSemaphorePermit)> {
        self.waiting.front()?;
        let room = Arc::clone(&self.room).try_acquire_owned().ok()?;
        Some((self.waiting.pop_front()?, room))
    }
}
