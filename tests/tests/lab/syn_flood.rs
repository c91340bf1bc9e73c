//! Two million SYNs from made-up addresses, while a thousand connections go on.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lb_common::flow::State;
use lb_tests::client::allow_open_files;
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::forge;
use lb_tests::sender::Sender;
use lb_tests::tcp_echo::TcpEcho;
use lb_tests::{Lab, Plan, wait, with_lab};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::loads::set_timeouts;

const PORT: u16 = 7;
const CONNECTIONS: usize = 1000;
const THREADS: usize = 4;
const FLOOD: u64 = 2_000_000;
/// So often each connection is used meanwhile.
const ROUNDS: u64 = 100;
/// In each beat, which is 128,000 a second where the machine is fast enough.
const FRAMES: usize = 128;
const BEAT: Duration = Duration::from_millis(1);
/// For all of it on a machine that is busy otherwise.
const BOUND: Duration = Duration::from_mins(10);
/// A segment that a full queue drops is sent again later and later.
const PATIENCE: Duration = Duration::from_mins(1);
/// The daemon's memory may grow by so much: its answers to questions, and no flow.
const GROWTH_KB: u64 = 4096;

/// Connections that each send numbers and want them back.
struct Talks(Vec<TcpStream>);

impl Talks {
    fn open(service: SocketAddrV4, count: usize) -> Result<Self> {
        let open = |_| {
            let stream = TcpStream::connect_timeout(&service.into(), PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        (0..count).map(open).collect::<Result<_>>().map(Self)
    }

    /// Sends a number on all of them, then reads all.
    fn round(&mut self, number: u64) -> Result<()> {
        for stream in &mut self.0 {
            stream.write_all(&number.to_be_bytes()).context("a connection broke")?;
        }
        for stream in &mut self.0 {
            let mut answer = [0; 8];
            stream.read_exact(&mut answer).context("a connection does not go on")?;
            ensure!(u64::from_be_bytes(answer) == number, "another number came back");
        }
        Ok(())
    }
}

/// Real servers have no way back to these addresses, so that they answer none of them.
fn anybody(random: &mut SmallRng) -> SocketAddrV4 {
    let rest: [u8; 3] = random.random();
    let address = Ipv4Addr::new(random.random_range(11..127), rest[0], rest[1], rest[2]);
    SocketAddrV4::new(address, random.random_range(1024..=u16::MAX))
}

/// Begins the flood; counts up what was made.
fn flood(lab: &Lab, service: SocketAddrV4) -> Result<(Sender, Arc<AtomicU64>)> {
    let (to, from) = (lab.director.netns().mac("lan0")?, lab.client().netns().mac("net0")?);
    let made = Arc::<AtomicU64>::default();
    let (count, mut random) = (Arc::clone(&made), SmallRng::seed_from_u64(4));
    let sender = Sender::start(lab.client().netns(), "net0", BEAT, move |_| {
        let left = FLOOD - count.load(Ordering::Relaxed);
        let frames =
            (0..left.min(FRAMES as u64)).map(|_| forge::syn(to, from, anybody(&mut random), service));
        let frames: Vec<_> = frames.collect();
        count.fetch_add(frames.len() as u64, Ordering::Relaxed);
        frames
    })?;
    Ok((sender, made))
}

/// Waits until so much of the flood was made.
fn reached(made: &AtomicU64, goal: u64, failed: &AtomicBool) -> Result<()> {
    wait::until("the flood to go on", BOUND, || {
        ensure!(!failed.load(Ordering::Relaxed), "the flood ended");
        Ok(match made.load(Ordering::Relaxed) {
            made if made >= goal => ControlFlow::Break(()),
            made => ControlFlow::Continue(format!("{made} were sent")),
        })
    })
}

/// Kilobytes of the daemon that are in memory, its maps among them.
fn memory(lab: &Lab) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", lab.director.pid().context("a daemon")?))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[test]
fn a_flood_of_syns_breaks_no_connection_and_takes_no_memory() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let service = SocketAddrV4::new(lab.vip(), PORT);
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT);
        allow_open_files(4 * CONNECTIONS as u64)?;
        let _echoes: Vec<_> =
            lab.servers.iter().map(|server| TcpEcho::start(server.netns(), any)).collect::<Result<_>>()?;
        let config = VirtualServer::new(lab.vip(), PORT, Protocol::Tcp, "rr");
        let config = lab.servers.iter().fold(config, |config, server| config.unchecked(server.address, 1));
        lab.balance(&config, 2)?;
        let mut talks = lab
            .client()
            .on_threads(vec![CONNECTIONS / THREADS; THREADS], |count| Talks::open(service, count))?;
        let active = |count: usize| {
            lab.director.wait_status("the connections to be active", PATIENCE, |status| {
                let service = status.service();
                service.is_ok_and(|service| {
                    (service.active_connections as usize, service.inactive_connections) == (count, 0)
                })
            })
        };
        active(CONNECTIONS)?;
        let (before, mut most) = (memory(lab)?, 0);

        let (sender, made) = flood(lab, service)?;
        let failed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let talking = scope.spawn(|| {
                lab.client().on_threads(talks.iter_mut().collect(), |talks: &mut Talks| {
                    (0..=ROUNDS).try_for_each(|round| {
                        reached(&made, round * FLOOD / ROUNDS, &failed)?;
                        talks.round(round)
                    })
                })
            });
            let flooded = wait::until("the end of the flood", BOUND, || {
                most = most.max(memory(lab)?);
                let is_over = talking.is_finished();
                let made = made.load(Ordering::Relaxed);
                ensure!(made == FLOOD || !is_over, "the connections did not go on");
                Ok(if made == FLOOD {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(format!("{made} were sent"))
                })
            });
            failed.store(flooded.is_err(), Ordering::Relaxed);
            let talked = talking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            talked.and(flooded)
        })?;
        let sent = sender.finish()?;

        let status = lab.director.status()?;
        let of_flood = status.service()?.connections - CONNECTIONS as u64;
        println!(
            "{} SYNs at {:.0} a second, {of_flood} of them scheduled, {} active at the end; \
             memory {before} kB, then {most} kB",
            sent.frames,
            sent.rate(),
            status.service()?.active_connections,
        );
        assert_eq!(sent.frames, FLOOD);
        assert!(of_flood > FLOOD / 2, "only {of_flood} came through");
        assert!(most <= before + GROWTH_KB, "{most} kB, before {before} kB");

        set_timeouts(lab, &[(State::SynRecv, 1)])?;
        active(CONNECTIONS)?;
        lab.client().on_threads(talks.iter_mut().collect(), |talks: &mut Talks| talks.round(u64::MAX))?;
        drop(talks);
        set_timeouts(lab, &[(State::FinWait, 1), (State::TimeWait, 1), (State::Close, 1)])?;
        active(0).map(drop)
    })
}
