//! Owns who follows events. Nobody waits for a reader: who is too slow is told how many events it lost.

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    body::Body,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use hyper::{
    Request,
    body::{Bytes, Incoming},
};
use tokio::sync::{
    broadcast::{self, error::RecvError},
    mpsc,
};

use super::socket::{self, Ask};
use crate::event::{Event, What};

/// Events that wait for the slowest reader; beyond them it loses the oldest.
const WAITING: usize = 1024;

/// Where events are put.
#[derive(Debug)]
pub(super) struct Events(broadcast::Sender<Event>);

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::Sender::new(WAITING))
    }
}

impl Events {
    /// Tells all who follow.
    pub(super) fn tell(&self, what: What) {
        let _nobody_follows = self.0.send(now(what));
    }

    /// What happens from now on.
    pub(super) fn follow(&self) -> Follower {
        Follower { events: self.0.subscribe(), is_new: true }
    }
}

/// A reader of events.
#[derive(Debug)]
pub struct Follower {
    events: broadcast::Receiver<Event>,
    is_new: bool,
}

impl Follower {
    /// The next event; none when the director has ended.
    async fn next(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.is_new) {
            return Some(now(What::Following { version: env!("CARGO_PKG_VERSION").to_owned() }));
        }
        match self.events.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(count)) => Some(now(What::Lost { count })),
            Err(RecvError::Closed) => None,
        }
    }
}

fn now(what: What) -> Event {
    let milliseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Event { time: milliseconds as f64 / 1e3, what }
}

/// Answers a question for events: a line for each, for as long as somebody reads.
pub(super) async fn answer(State(asks): State<mpsc::Sender<Ask>>) -> Response {
    let Some(follower) = socket::put(&asks, Ask::Events).await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let lines = stream::unfold(follower, |mut follower| async {
        let line = serde_json::to_vec(&follower.next().await?).map(|mut line| {
            line.push(b'\n');
            Bytes::from(line)
        });
        Some((line, follower))
    });
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

/// Asks the daemon of `state_dir` for its events, one JSON object on each line.
///
/// # Errors
/// No daemon, no permission.
pub async fn ask(state_dir: &Path) -> anyhow::Result<Incoming> {
    Ok(socket::send(state_dir, Request::get("/events"), Bytes::new()).await?.into_body())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(priority: u8) -> What {
        What::Priority { instance: "VI_1".to_owned(), priority }
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_how_many_it_lost() {
        let events = Events::default();
        events.tell(event(0));
        let mut follower = events.follow();
        for turn in 0..WAITING + 3 {
            events.tell(event(turn as u8));
        }
        assert!(matches!(follower.next().await, Some(Event { what: What::Following { .. }, .. })));
        assert_eq!(follower.next().await.map(|event| event.what), Some(What::Lost { count: 3 }));
        assert_eq!(follower.next().await.map(|event| event.what), Some(event(3)), "and goes on");
        drop(events);
        for _ in 1..WAITING {
            assert!(follower.next().await.is_some(), "what was told before the end is read");
        }
        assert_eq!(follower.next().await, None);
    }
}
