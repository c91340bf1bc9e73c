//! A cable that holds every frame for a while, or loses every packet.
//!
//! ```text
//!   host -- port of the switch --- thread --- in-PORT -- by-PORT, plugged into the bridge
//! ```
//! The kernels of labs may have no queueing discipline that delays, so a thread carries the frames. What it loses are IP
//! packets alone: neighbours are found as before, so that a host is silent and not gone. Hosts that send frames larger
//! than a cable carries, or without their checksum, need a lab without offload.

use std::collections::VecDeque;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};

use crate::packet_socket::PacketSocket;
use crate::socket;
use crate::switch::Switch;

const TURN: Duration = Duration::from_millis(50);
const ROOM: usize = 65536;
const TYPE: usize = 12;
const PACKETS: [[u8; 2]; 2] = [[0x08, 0x00], [0x86, 0xdd]];

/// A cable between a host and its switch; when the value goes out of scope it carries nothing any more.
#[derive(Debug)]
pub struct BadCable {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    loses: AtomicBool,
    hold_micros: AtomicU64,
}

/// What goes one way: frames that wait, each with the moment at which it is to leave.
#[derive(Default)]
struct Way(VecDeque<(SystemTime, Vec<u8>)>);

impl BadCable {
    /// Puts it between `port` and `bridge`; it is as good as any other until it is told otherwise.
    ///
    /// # Errors
    /// When `ip` or the kernel refuses.
    pub fn insert(switch: &Switch, bridge: &str, port: &str) -> Result<Self> {
        let (inner, outer) = (format!("in-{port}"), format!("by-{port}"));
        let netns = switch.netns();
        netns.ip(&format!("link set {port} nomaster"))?;
        netns.ip(&format!("link add {inner} type veth peer name {outer}"))?;
        for end in [&inner, &outer] {
            netns.run("ethtool", &["-K", end, "tx", "off", "tso", "off", "gso", "off", "gro", "off"])?;
            netns.ip(&format!("link set {end} up"))?;
        }
        netns.ip(&format!("link set {outer} master {bridge}"))?;
        let ends = netns.enter(|| Ok([PacketSocket::receiver(port)?, PacketSocket::receiver(&inner)?]))?;
        let shared = Arc::<Shared>::default();
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || carry(&ends, &shared)
        });
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Frames need so long for each way from now on.
    pub fn hold(&self, one_way: Duration) {
        self.shared.hold_micros.store(one_way.as_micros() as u64, Relaxed);
    }

    /// Packets are lost from now on, or no longer.
    pub fn lose(&self, loses: bool) {
        self.shared.loses.store(loses, Relaxed);
    }
}

impl Drop for BadCable {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => eprintln!("cable: {error:#}"),
            Some(Err(_)) => eprintln!("cable: its thread panicked"),
            Some(Ok(Ok(()))) | None => {}
        }
    }
}

fn carry(ends: &[PacketSocket; 2], shared: &Shared) -> Result<()> {
    let mut buffer = vec![0; ROOM];
    let mut ways = [Way::default(), Way::default()];
    while !shared.stop.load(Relaxed) {
        let now = SystemTime::now();
        let next = ways.iter().filter_map(|way| way.0.front()).map(|(at, _)| *at).min();
        let rest = next.map_or(TURN, |at| at.duration_since(now).unwrap_or_default().min(TURN));
        socket::wait(&[ends[0].as_fd(), ends[1].as_fd()], rest)?;
        let hold = Duration::from_micros(shared.hold_micros.load(Relaxed));
        let loses = shared.loses.load(Relaxed);
        for (from, to, way) in [(0, 1, 0), (1, 0, 1)] {
            let way = &mut ways[way];
            while let Some(frame) = ends[from].receive(&mut buffer)? {
                if !(loses && is_packet(frame.bytes)) {
                    way.0.push_back((frame.at + hold, frame.bytes.to_vec()));
                }
            }
            way.leave(SystemTime::now(), &ends[to])?;
        }
    }
    Ok(())
}

impl Way {
    fn leave(&mut self, now: SystemTime, by: &PacketSocket) -> Result<()> {
        while self.0.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, frame)) = self.0.pop_front() else { break };
            by.send(&frame).context("a frame that no cable carries")?;
        }
        Ok(())
    }
}

fn is_packet(frame: &[u8]) -> bool {
    frame.get(TYPE..TYPE + 2).is_some_and(|kind| PACKETS.iter().any(|packet| kind == packet))
}
