//! Follows a real server that is drained until its flows are over, by what the daemon's status says of it.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::time::{Instant, sleep};

use super::socket::{ask_status, patiently};
use crate::{config::model::Protocol, status::Status};

/// Between two looks, at the least.
const LOOK: Duration = Duration::from_millis(500);
/// Who looks rests so many times as long as the daemon took to answer, which has the whole status to tell.
const RESTS: u32 = 20;
/// A daemon that is well answers within milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// A real server of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The service.
    pub service: SocketAddr,
    /// Its protocol.
    pub protocol: Protocol,
    /// The RIP.
    pub server: IpAddr,
}

/// What the status says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its weight now.
    pub weight: u16,
    /// The weight that it gets back, if it is drained.
    pub draining: Option<u16>,
    /// Its flows that are to end: those in an active state, or all of UDP, whose flows have no other.
    pub flows: u32,
}

/// How far a drain came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// The flows there were.
    pub at_start: u32,
    /// Those there are still.
    pub left: u32,
    /// How long that took.
    pub seconds: u64,
}

/// What the daemon of `state_dir` says of it now.
///
/// # Errors
/// No answer, or no such real server.
pub async fn look(state_dir: &Path, place: &Place) -> anyhow::Result<Seen> {
    let status = patiently(state_dir, PATIENCE, ask_status(state_dir), "").await?;
    seen(&status, place).with_context(|| format!("{}: the service has it no longer", place.server))
}

fn seen(status: &Status, place: &Place) -> Option<Seen> {
    let Place { service, protocol, server } = place;
    let service = status.services.iter().find(|known| {
        let is_there = (known.address, known.port) == (service.ip(), service.port());
        is_there && known.protocol == protocol.name()
    })?;
    let server = service.servers.iter().find(|known| known.address == *server && !known.sorry)?;
    let others = if *protocol == Protocol::Udp { server.inactive_connections } else { 0 };
    let flows = server.active_connections + others;
    Some(Seen { weight: server.weight, draining: server.draining, flows })
}

/// Waits until it has no flows, or `limit` is over, and tells of every number of them that is another.
///
/// # Errors
/// No answer; a real server that is gone, or is no longer drained.
pub async fn wait(
    state_dir: &Path,
    place: &Place,
    limit: Option<Duration>,
    mut tell: impl FnMut(u32),
) -> anyhow::Result<Drained> {
    let (begin, mut at_start, mut told) = (Instant::now(), None, None);
    loop {
        let asked = Instant::now();
        let Seen { draining, flows, .. } = look(state_dir, place).await?;
        let rest = LOOK.max(asked.elapsed() * RESTS);
        if draining.is_none() {
            bail!(
                "{}: it is no longer drained: somebody gave it a weight, by hand or by the file",
                place.server
            );
        }
        let at_start = *at_start.get_or_insert(flows);
        if told.replace(flows) != Some(flows) {
            tell(flows);
        }
        let passed = begin.elapsed();
        if flows == 0 || limit.is_some_and(|limit| passed >= limit) {
            return Ok(Drained { at_start, left: flows, seconds: passed.as_secs() });
        }
        sleep(limit.map_or(rest, |limit| rest.min(limit.saturating_sub(passed)))).await;
    }
}
