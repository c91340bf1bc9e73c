//! A thread that lets fragments wait which came before the first of their datagram, and hands them to the program again when
//! that has come. The kernel's stack got them too; whatever goes wrong here, they are lost to the real server only.

use std::{
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Instant,
};

use anyhow::Context as _;
use lb_common::fragment::Datagram;
use nix::{
    poll::{PollFd, PollFlags, ppoll},
    sys::{
        eventfd::{EfdFlags, EventFd},
        time::TimeSpec,
    },
};
use tracing::{debug, error};

use super::{
    datapath::{Came, Early},
    frames::FrameSocket,
};
use crate::parking::{Frame, Parking};

/// The running thread; it ends with the value.
#[derive(Debug)]
pub struct EarlyFragments {
    end: Arc<End>,
    thread: Option<JoinHandle<()>>,
}

/// How the thread is told to end.
#[derive(Debug)]
struct End {
    is_near: AtomicBool,
    wake: EventFd,
}

impl EarlyFragments {
    /// Starts it in the network namespace of the caller.
    ///
    /// # Errors
    /// Without the right to open packet sockets, or without threads.
    pub fn start(early: Early) -> anyhow::Result<Self> {
        let socket = FrameSocket::open().context("opening a packet socket")?;
        let wake =
            EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC).context("an eventfd")?;
        let end = Arc::new(End { is_near: AtomicBool::new(false), wake });
        let mut worker = Worker { early, socket, parking: Parking::default(), end: Arc::clone(&end) };
        let run = move || {
            if let Err(error) = worker.follow() {
                error!("fragments that come before the first of their datagram wait no more: {error}");
            }
        };
        let thread = std::thread::Builder::new()
            .name("fragments".to_owned())
            .spawn(run)
            .context("starting the thread for fragments that come early")?;
        Ok(Self { end, thread: Some(thread) })
    }
}

impl Drop for EarlyFragments {
    fn drop(&mut self) {
        self.end.is_near.store(true, Ordering::Release);
        let _already_awake = self.end.wake.write(1);
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so on stderr.
            let _panicked = thread.join();
        }
    }
}

struct Worker {
    early: Early,
    socket: FrameSocket,
    parking: Parking,
    end: Arc<End>,
}

impl Worker {
    fn follow(&mut self) -> nix::Result<()> {
        while !self.end.is_near.load(Ordering::Acquire) {
            while let Some((datagram, frame)) = self.early.take() {
                if !self.parking.park(Instant::now(), datagram, frame) {
                    debug!("too many fragments wait for the first of their datagram: one more does not");
                }
            }
            while let Some(datagram) = self.parking.due(Instant::now()) {
                self.look(&datagram);
            }
            self.wait()?;
        }
        Ok(())
    }

    /// Looks whether the first has come.
    fn look(&mut self, datagram: &Datagram) {
        match self.early.first(datagram) {
            Came::NotYet => self.parking.postpone(Instant::now(), datagram),
            Came::Lost => drop(self.parking.release(datagram)),
            Came::Served(server) => {
                for frame in self.parking.release(datagram) {
                    self.forward(&frame, server);
                }
            }
        }
    }

    fn forward(&self, frame: &Frame, server: u16) {
        let outcome = self.early.run(frame, server).and_then(|outgoing| match outgoing {
            Some(outgoing) => Ok(self.socket.send(outgoing.ifindex, &outgoing.bytes)?),
            None => Ok(()),
        });
        if let Err(error) = outcome {
            debug!("a fragment that came early is lost: {error:#}");
        }
    }

    fn wait(&self) -> nix::Result<()> {
        let timeout = self
            .parking
            .next_deadline()
            .map(|at| TimeSpec::from_duration(at.saturating_duration_since(Instant::now())));
        let mut sources =
            [self.early.as_fd(), self.end.wake.as_fd()].map(|source| PollFd::new(source, PollFlags::POLLIN));
        match ppoll(&mut sources, timeout, None) {
            Ok(_) | Err(nix::Error::EINTR) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
