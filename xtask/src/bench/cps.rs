//! `cargo xtask bench cps`: new connections per second of every scheduler with pools of several sizes.
//!
//! Every frame comes from an address of its own and opens a connection: a SYN, but a datagram to `ovf`, which would refuse
//! when all its servers have as many active connections as their weight says. What comes back must be shared among
//! the real servers as the scheduler promises, nothing may go to a server of weight 0, and the daemon must have counted
//! as much.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use lb_common::flow::{State, Timeouts};
use lb_common::layout::MAX_POOL;
use lb_common::sched::Scheduler;
use lb_tests::config::Protocol;
use serde_json::json;

use super::document::Document;
use super::fill::wait_forgotten;
use super::peer::Memory;
use super::pool::Pool;
use super::rig::{Rig, Setting};
use super::subject::{Beside, Peers, Program, Schedulers, Subject};
use super::table::{ALONE, Table, Traffic};
use super::traffic::Figure;

/// The fewest frames in a measurement.
const FEW: u32 = 10_000;
/// Enough of them to see how fast a fast program is.
const MANY: u32 = 1_000_000;
/// How long a measurement takes at most, unless that is too few frames.
const MEASUREMENT: Duration = Duration::from_millis(350);
/// Room of the bare program's table.
const LRU_FLOWS: u32 = 1 << 21;

/// Arguments of `cargo xtask bench cps`.
#[derive(Args)]
pub(super) struct Arguments {
    /// Rounds; the median of them is shown
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Real servers in each pool, beside one of weight 0 (except under sh and dh, which refuse what hashes to it)
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [3, 64, 1024],
          value_parser = clap::value_parser!(u16).range(1..=MAX_POOL as i64))]
    servers: Vec<u16>,
    /// Most frames of each CPU in each measurement; fewer where that would take longer than a third of a second
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(100_000..))]
    frames: u32,
    /// Schedulers, or `all`
    #[arg(long, value_name = "NAME,...", default_value = "all")]
    schedulers: Schedulers,
    #[command(flatten)]
    beside: Beside,
    #[command(flatten)]
    pub(super) peers: Peers,
    /// Whether new connections find room in the flow table
    #[arg(long, value_enum, default_value_t)]
    table: Room,
    /// Datagrams that are each scheduled by themselves, so that no flow is recorded
    #[arg(long, conflicts_with_all = ["table", "peer"])]
    ops: bool,
    /// CPUs that send at once; the cable has as many queues
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    cpus: u16,
}

/// The flow table during the measurements.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Room {
    /// Most of its slots are free
    #[default]
    Free,
    /// None is
    Full,
}

impl Room {
    const fn title(self) -> &'static str {
        match self {
            Self::Free => "",
            Self::Full => ", full table",
        }
    }

    /// Where flows are to find room, two for each that the bare program's table has room for.
    const fn slots(self) -> u32 {
        match self {
            Self::Free => 2 * LRU_FLOWS,
            Self::Full => 1 << 22,
        }
    }
}

/// Measures and prints a table for each size of pools.
pub(super) fn main(arguments: &Arguments, document: &mut Document) -> Result<()> {
    println!(
        "\nmedians of {} rounds; ratios are taken within a round; lost: did not come back",
        arguments.rounds
    );
    for &servers in &arguments.servers {
        let table = measure(arguments, usize::from(servers))?;
        print!("{table}");
        let setup = json!({
            "rounds": arguments.rounds,
            "frames": arguments.frames,
            "one_packet": arguments.ops,
            "cpus": arguments.cpus,
        });
        document.add(table.measurement("cps", setup));
    }
    Ok(())
}

/// All rounds with one size of pools.
fn measure(arguments: &Arguments, servers: usize) -> Result<Table> {
    let (pool, flow_slots) = (Pool::with_idle(servers), arguments.table.slots());
    let schedulers = &arguments.schedulers.0;
    let programs = Program::all(&arguments.beside, &arguments.peers.peer)?;
    let (one_packet, transport) = (arguments.ops, transport(arguments.ops));
    let (memory, cpus) = (Memory::Short, usize::from(arguments.cpus));
    let setting =
        Setting { transport, one_packet, memory, cpus, ..Setting::usual(schedulers, pool, flow_slots) };
    let rig = Rig::alike(&programs, setting)?;
    for peer in &arguments.peers.peer {
        peer.check_room(arguments.frames, "--frames")?;
    }
    let subjects = Subject::of(&programs, schedulers);
    let received = vec![vec![0; pool.len()]; subjects.len()];
    let mut run = Run { rig, pool, subjects, received };
    run.prepare(arguments.table)?;
    let mut frames = Vec::new();
    for place in 0..run.subjects.len() {
        let mpps = run.open(place, first(&run.subjects[place], servers).min(arguments.frames))?.mpps;
        let packet = Duration::from_secs_f64(1e-6 / mpps);
        let as_many = MEASUREMENT.as_nanos() / packet.as_nanos().max(1);
        frames.push((as_many as u32).clamp(FEW, arguments.frames));
    }
    let title = if one_packet { ALONE } else { arguments.table.title() };
    let mut table = Table::new(Traffic::New(servers, title), run.rig.cpus(), run.subjects.clone());
    for round in 0..arguments.rounds as usize {
        for turn in 0..frames.len() {
            let place = (round + turn) % frames.len();
            if arguments.table == Room::Free
                && let Some(director) = run.rig.director(&run.subjects[place])
            {
                wait_forgotten(director)?;
            }
            table.add(place, run.open(place, frames[place])?);
        }
    }
    run.check_all()?;
    Ok(table)
}

/// What opens a connection under a scheduler, or in a bare program.
fn transport(one_packet: bool) -> fn(Option<Scheduler>) -> Protocol {
    if one_packet {
        return |_| Protocol::Udp;
    }
    |scheduler| if scheduler == Some(Scheduler::Ovf) { Protocol::Udp } else { Protocol::Tcp }
}

/// Frames that show how fast a program is: some look at every server of the pool.
fn first(subject: &Subject, servers: usize) -> u32 {
    use Scheduler::{Dh, Mh, Rr, Sh, Wrr};
    match subject.scheduler {
        None => MANY,
        Some(Rr | Wrr | Sh | Dh | Mh) => MANY / 2,
        Some(_) => (20 * MANY / servers as u32).clamp(FEW, MANY / 2),
    }
}

/// A rig, and for each program what every real server was sent in all.
struct Run {
    rig: Rig,
    pool: Pool,
    subjects: Vec<Subject>,
    received: Vec<Vec<u64>>,
}

impl Run {
    fn open(&mut self, place: usize, frames: u32) -> Result<Figure> {
        let figure = self.rig.open(&self.subjects[place], frames)?;
        self.received[place].iter_mut().zip(&figure.received).for_each(|(sum, more)| *sum += more);
        Ok(figure)
    }

    /// Fills the tables that are to be full, and lets flows be forgotten soon where none is.
    fn prepare(&mut self, room: Room) -> Result<()> {
        for place in 0..self.subjects.len() {
            let Subject { host, program, .. } = &self.subjects[place];
            // All services of a daemon have one table.
            let is_first = place == 0 || self.subjects[place - 1].host != *host;
            match (program, room) {
                (Program::Lru, _) => self.open(place, 2 * LRU_FLOWS)?,
                (Program::Xlvs { .. }, Room::Full) if is_first => self.open(place, 2 * room.slots())?,
                _ => continue,
            };
        }
        if room == Room::Free {
            let mut timeouts = Timeouts::default();
            timeouts.set(State::SynRecv, 1);
            timeouts.set(State::UdpFirst, 1);
            for director in self.rig.directors() {
                director.write_row("timeouts", 0, bytemuck::bytes_of(&timeouts))?;
            }
        }
        Ok(())
    }

    /// All together must be shared as each measurement was, and the daemon must have counted as much.
    fn check_all(&self) -> Result<()> {
        for (subject, received) in self.subjects.iter().zip(&self.received) {
            let Some(scheduler) = subject.scheduler else { continue };
            self.pool.check(scheduler, received).with_context(|| format!("{subject}, all rounds"))?;
            let returned: u64 = received.iter().sum();
            let counted = self.rig.connections(subject.host, scheduler)?;
            ensure!(
                counted.abs_diff(returned) * 100 <= returned,
                "{subject}: {returned} new connections were forwarded and {counted} counted"
            );
        }
        Ok(())
    }
}
