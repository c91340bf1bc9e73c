//! Records what ports of the switch receive, with the kernel's time of arrival, in bounded memory.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};

use crate::frame::{Advert, Frame};
use crate::netns::Netns;
use crate::node::Node;
use crate::packet_socket::{PacketSocket, Received};
use crate::socket;
use crate::wait;

/// Bytes kept of each frame.
const SNAP: usize = 160;
/// Frames kept; more than this is an error when they are asked for.
const ROOM: usize = 400_000;
const TURN: Duration = Duration::from_millis(50);

/// A running capture; it ends when the value goes out of scope.
#[derive(Debug)]
pub struct Capture {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    store: Mutex<Store>,
}

#[derive(Debug, Default)]
struct Store {
    frames: Vec<Frame>,
    lost: u64,
}

impl Capture {
    /// Records what comes in by `ports` of the namespace from now on: what the interfaces at their other ends send.
    ///
    /// # Errors
    /// When a port does not exist.
    pub fn start<S: AsRef<str>>(netns: &Netns, ports: impl IntoIterator<Item = S>) -> Result<Self> {
        let mut capture = Self { shared: Arc::default(), threads: Vec::new() };
        for port in ports {
            let port: Arc<str> = port.as_ref().into();
            let socket = netns.enter(|| PacketSocket::receiver(&port))?;
            let shared = Arc::clone(&capture.shared);
            capture.threads.push(std::thread::spawn(move || record(&socket, &port, &shared)));
        }
        Ok(capture)
    }

    /// What was recorded until now, by time.
    ///
    /// # Errors
    /// When a frame was lost: nothing can be said about what did not happen.
    pub fn frames(&self) -> Result<Vec<Frame>> {
        // What has arrived by now is in its place after a turn.
        std::thread::sleep(2 * TURN);
        let store = self.shared.store();
        ensure!(store.lost == 0, "the capture lost {} frames", store.lost);
        ensure!(!self.threads.iter().any(JoinHandle::is_finished), "a thread of the capture has ended");
        let mut frames = store.frames.clone();
        drop(store);
        frames.sort_by_key(|frame| frame.at);
        Ok(frames)
    }

    /// The adverts that `node` sent until now, with their times.
    ///
    /// # Errors
    /// When a frame was lost.
    pub fn adverts(&self, node: &Node) -> Result<Vec<(SystemTime, Advert)>> {
        let frames = self.frames()?.into_iter().filter(|frame| frame.is_from(node));
        Ok(frames.filter_map(|frame| Some((frame.at, frame.advert()?))).collect())
    }

    /// Waits for an advert that `node` sent after `since` and for which `wanted` holds, and says when it was sent.
    ///
    /// # Errors
    /// When none comes in time.
    pub fn wait_advert(
        &self,
        node: &Node,
        since: SystemTime,
        wanted: impl Fn(&Advert) -> bool,
    ) -> Result<SystemTime> {
        let what = format!("an advert of {}", node.name());
        let found = self.wait_for(&what, wait::TAKEOVER, since, |frame| {
            frame.is_from(node) && frame.advert().is_some_and(|advert| wanted(&advert))
        });
        Ok(found?.at)
    }

    /// Waits until `node` has sent `count` adverts after `since`.
    ///
    /// # Errors
    /// When they do not come in time.
    pub fn wait_adverts(&self, node: &Node, since: SystemTime, count: usize) -> Result<()> {
        wait::until(&format!("{count} adverts of {}", node.name()), 2 * wait::TAKEOVER, || {
            let sent = self.adverts(node)?.iter().filter(|(at, _)| *at > since).count();
            Ok(if sent >= count {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(format!("it sent {sent}"))
            })
        })
    }

    /// The frames recorded until now that tell everybody that `address` is at their sender: gratuitous ARP, or
    /// neighbour advertisements nobody asked for.
    ///
    /// # Errors
    /// When a frame was lost.
    pub fn arp_for(&self, address: IpAddr) -> Result<Vec<Frame>> {
        Ok(self.frames()?.into_iter().filter(|frame| frame.announces() == Some(address)).collect())
    }

    /// Waits for a frame that was received after `since` and for which `wanted` holds.
    ///
    /// # Errors
    /// When none comes in time.
    pub fn wait_for(
        &self,
        what: &str,
        bound: Duration,
        since: SystemTime,
        wanted: impl Fn(&Frame) -> bool,
    ) -> Result<Frame> {
        let mut seen = 0;
        wait::closely(what, bound, || {
            let store = self.shared.store();
            let found = store.frames[seen..].iter().find(|frame| frame.at > since && wanted(frame));
            seen = store.frames.len();
            Ok(found.map_or_else(
                || ControlFlow::Continue("not seen".to_owned()),
                |frame| ControlFlow::Break(frame.clone()),
            ))
        })
    }

    /// Forgets what was recorded.
    pub fn clear(&self) {
        self.shared.store().frames.clear();
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if let Ok(Err(error)) = thread.join() {
                eprintln!("capture: {error:#}");
            }
        }
    }
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn record(socket: &PacketSocket, port: &Arc<str>, shared: &Shared) -> Result<()> {
    let mut buffer = [0; SNAP];
    while !shared.stop.load(Ordering::Relaxed) {
        socket::wait(&[socket.as_fd()], TURN)?;
        while let Some(Received { bytes, length, at }) =
            socket.receive(&mut buffer).with_context(|| port.to_string())?
        {
            let frame = Frame { at, port: Arc::clone(port), length, bytes: bytes.to_vec() };
            let mut store = shared.store();
            if store.frames.len() < ROOM {
                store.frames.push(frame);
            } else {
                store.lost += 1;
            }
        }
        let dropped = socket.dropped()?;
        shared.store().lost += u64::from(dropped);
    }
    Ok(())
}
