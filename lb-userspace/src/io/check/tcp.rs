//! `TCP_CHECK`: a connection comes about. Most do within a moment, and those are seen with one system call for all that were
//! begun before it; only what takes longer costs a registration, a timer and a task of its own.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::dial::{self, Connection};
use super::probe::{Failure, late};
use crate::config::model::check::Endpoint;

/// After which connections are looked at. A server in the same building has answered by then.
pub(super) const MOMENT: Duration = Duration::from_millis(1);

/// What a server says of its own accord is shorter.
const GREETING: usize = 1024;

/// Connects once and closes again; the handshake is the whole probe.
pub(super) async fn probe(endpoint: &Endpoint, timeout: Duration) -> Result<(), Failure> {
    Begun::new(Instant::now(), endpoint, timeout)?.end().await
}

/// A connection that was asked for and not looked at since.
pub(super) struct Begun {
    connection: Connection,
    at: Instant,
    timeout: Duration,
}

impl Begun {
    pub(super) fn new(now: Instant, endpoint: &Endpoint, timeout: Duration) -> Result<Self, Failure> {
        Ok(Self { connection: dial::begin(endpoint)?, at: now, timeout })
    }

    /// Waits for one that takes longer than a moment.
    pub(super) async fn end(self) -> Result<(), Failure> {
        let left = self.timeout.saturating_sub(self.at.elapsed());
        let ended = tokio::time::timeout(left, self.connection.established()).await;
        ended.unwrap_or_else(|_| Err(late(self.timeout, ""))).map(drop)
    }

    fn seen(&self, events: PollFlags) -> Option<Result<(), Failure>> {
        let state = self.connection.state(events);
        // Closed with something unread it would be reset, which the server may complain about.
        if events.contains(PollFlags::POLLIN) {
            let _length = (&self.connection.socket).read(&mut [0; GREETING]);
        }
        state
    }
}

/// Looks at all of them at once, and says of each what is known by now.
pub(super) fn look<'a>(begun: impl Iterator<Item = &'a Begun> + Clone) -> Vec<Option<Result<(), Failure>>> {
    let events = PollFlags::POLLOUT | PollFlags::POLLIN;
    let mut polled: Vec<PollFd<'_>> =
        begun.clone().map(|one| PollFd::new(one.connection.socket.as_fd(), events)).collect();
    // Without an answer of the kernel nothing is known, and each is waited for.
    let _count = poll(&mut polled, PollTimeout::ZERO);
    begun.zip(&polled).map(|(one, polled)| one.seen(polled.revents().unwrap_or(PollFlags::empty()))).collect()
}
