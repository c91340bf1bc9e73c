//! Clients that ask a web server all the time, each request on a new connection, while something is done to the director.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::http;
use crate::netns::Netns;
use crate::wait;

const CLIENTS: u32 = 8;
/// From one request of a client to its next, so that all together make 1000 in a second.
const PERIOD: Duration = Duration::from_millis(CLIENTS as u64);
/// A request without an answer for this long has failed. A SYN that is lost comes again after one second.
const PATIENCE: Duration = Duration::from_millis(900);
const BOUND: Duration = Duration::from_secs(20);

/// What the clients have seen so far.
#[derive(Debug, Default)]
pub struct Load {
    answers: Mutex<BTreeMap<String, usize>>,
    failures: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Load {
    /// Has the clients of this namespace ask `server` until `body` is done.
    ///
    /// # Errors
    /// What `body` failed with.
    pub fn during<T>(netns: &Netns, server: SocketAddr, body: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let load = Self::default();
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| match netns.join() {
                    Ok(()) => load.ask(server),
                    Err(error) => locked(&load.failures).push(format!("{error:#}")),
                });
            }
            let outcome = body(&load);
            load.is_over.store(true, Ordering::Relaxed);
            outcome
        })
    }

    fn ask(&self, server: SocketAddr) {
        let mut due = Instant::now();
        while !self.is_over.load(Ordering::Relaxed) {
            match http::get_within(server, "/", PATIENCE) {
                Ok(name) => *locked(&self.answers).entry(name).or_default() += 1,
                Err(error) => locked(&self.failures).push(format!("{error:#}")),
            }
            due += PERIOD;
            let now = Instant::now();
            // What was missed is not made up for.
            due = if now.saturating_duration_since(due) > PERIOD { now } else { due };
            std::thread::sleep(due.saturating_duration_since(now));
        }
    }

    /// How often each server has answered.
    pub fn answers(&self) -> BTreeMap<String, usize> {
        locked(&self.answers).clone()
    }

    /// Requests without an answer.
    pub fn failures(&self) -> Vec<String> {
        locked(&self.failures).clone()
    }

    /// Waits until each of `names` has answered so many more requests.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn wait_answers(&self, names: &[&str], count: usize) -> Result<()> {
        let before = self.answers();
        wait::until(&format!("{count} answers of each of {names:?}"), BOUND, || {
            let now = self.answers();
            let of = |answers: &BTreeMap<String, usize>, name: &str| answers.get(name).copied().unwrap_or(0);
            let enough = |name: &&str| of(&now, name) >= of(&before, name) + count;
            Ok(if names.iter().all(enough) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(format!("{now:?} after {before:?}"))
            })
        })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
