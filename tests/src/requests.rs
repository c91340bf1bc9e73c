//! A client that asks a web server without pause, each time on a new connection.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::http;
use crate::netns::Netns;
use crate::wait;

/// A request without an answer for this long is given up.
const PATIENCE: Duration = Duration::from_millis(200);
const PERIOD: Duration = Duration::from_millis(5);

/// A client that keeps asking until it is dropped.
#[derive(Debug)]
pub struct Requests {
    stop: Arc<AtomicBool>,
    answers: Arc<Mutex<Vec<Answer>>>,
    thread: Option<JoinHandle<Result<()>>>,
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// When it had come.
    pub at: Instant,
    /// The name of the server it came from.
    pub from: String,
}

impl Requests {
    /// Begins to ask `server` from `netns`.
    ///
    /// # Errors
    /// When nobody answers within ten seconds.
    pub fn start(netns: &Arc<Netns>, server: SocketAddr) -> Result<Self> {
        let (stop, answers) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<Answer>>>::default());
        let (flag, store, netns) = (Arc::clone(&stop), Arc::clone(&answers), Arc::clone(netns));
        let thread = std::thread::spawn(move || {
            netns.join()?;
            while !flag.load(Ordering::Relaxed) {
                if let Ok(from) = http::get_within(server, "/", PATIENCE) {
                    let answer = Answer { at: Instant::now(), from };
                    store.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
                }
                std::thread::sleep(PERIOD);
            }
            Ok(())
        });
        let requests = Self { stop, answers, thread: Some(thread) };
        requests.wait_answers(1, Duration::from_secs(10))?;
        Ok(requests)
    }

    /// Waits for `count` more answers.
    ///
    /// # Errors
    /// When they do not come in time.
    pub fn wait_answers(&self, count: usize, bound: Duration) -> Result<()> {
        let goal = self.answers().len() + count;
        wait::until(&format!("{count} answered requests"), bound, || {
            let missing = goal.saturating_sub(self.answers().len());
            Ok(match missing {
                0 => std::ops::ControlFlow::Break(()),
                _ => std::ops::ControlFlow::Continue(format!("{missing} are missing")),
            })
        })
    }

    /// The answers until now.
    pub fn answers(&self) -> Vec<Answer> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops, and says what was the longest time from one answer to the next.
    ///
    /// # Errors
    /// When it could not ask.
    pub fn longest_gap(mut self) -> Result<Duration> {
        self.end()?;
        let answers = self.answers();
        let gaps = answers.windows(2).map(|two| two[1].at.duration_since(two[0].at));
        gaps.max().ok_or_else(|| anyhow!("there were not even two answers"))
    }

    fn end(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().map_err(|_| anyhow!("the client panicked"))?
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("requests: {error:#}");
        }
    }
}
