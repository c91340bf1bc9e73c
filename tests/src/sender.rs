//! Sends frames of any contents in a steady beat, from an interface of the lab.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::netns::Netns;
use crate::packet_socket::PacketSocket;

/// A running sender.
#[derive(Debug)]
pub struct Sender {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Sent>>>,
}

/// What a sender did.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// Frames that left.
    pub frames: u64,
    /// In this time.
    pub time: Duration,
}

impl Sent {
    /// Frames in a second.
    pub fn rate(&self) -> f64 {
        self.frames as f64 / self.time.as_secs_f64()
    }
}

impl Sender {
    /// Sends what `next` makes, every `period`, by `interface` of `netns`; `next` gets the number of the beat.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn start<F>(netns: &Netns, interface: &str, period: Duration, next: F) -> Result<Self>
    where
        F: FnMut(u64) -> Vec<Vec<u8>> + Send + 'static,
    {
        let socket = netns.enter(|| PacketSocket::sender(interface))?;
        let stop = Arc::<AtomicBool>::default();
        let flag = Arc::clone(&stop);
        let thread = std::thread::spawn(move || send(&socket, period, next, &flag));
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Stops, and says what was sent.
    ///
    /// # Errors
    /// When the interface refused a frame.
    pub fn finish(mut self) -> Result<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("a sender ends once")?;
        thread.join().map_err(|_| anyhow!("the sender panicked"))?
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn send(
    socket: &PacketSocket,
    period: Duration,
    mut next: impl FnMut(u64) -> Vec<Vec<u8>>,
    stop: &AtomicBool,
) -> Result<Sent> {
    let start = Instant::now();
    let mut frames = 0;
    for beat in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        for frame in next(beat) {
            socket.send(&frame).context("send a frame")?;
            frames += 1;
        }
        // A beat that is late does not put off the ones behind it.
        let due = start + period * u32::try_from(beat + 1)?;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    ensure!(frames > 0, "nothing was sent");
    Ok(Sent { frames, time: start.elapsed() })
}
