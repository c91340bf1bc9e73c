//! `cargo xtask bench flows`: packets of flows that exist, for several numbers of flows.

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use lb_common::layout::MAX_POOL;
use lb_common::sched::Scheduler;
use lb_tests::config::Protocol;
use serde_json::json;

use super::document::Document;
use super::pool::Pool;
use super::rig::{Rig, Setting};
use super::subject::{Beside, Peers, Program, Schedulers, Subject};
use super::table::{ALONE, Table, Traffic};

/// Slots of xlvs's flow table for each flow, so that few buckets overflow.
const SLOTS_PER_FLOW: u32 = 4;
/// The fewest slots that a flow table is given.
const FEWEST_SLOTS: u32 = 1 << 20;
/// The most flows that the table of the bare program has room for.
const LRU_FLOWS: u32 = 1_000_000;

/// Arguments of `cargo xtask bench flows`.
#[derive(Args)]
pub(super) struct Arguments {
    /// Rounds; the median of them is shown
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Numbers of flows; above a million the bare LRU table has no room and is left out
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [1, 10_000, 900_000],
          value_parser = clap::value_parser!(u32).range(1..=16_000_000))]
    flows: Vec<u32>,
    /// Schedulers, or `all`
    #[arg(long, value_name = "NAME,...", default_value = "rr,mh", visible_alias = "scheduler")]
    schedulers: Schedulers,
    /// Real servers in each pool
    #[arg(long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u16).range(1..=MAX_POOL as i64))]
    servers: u16,
    /// Slots of xlvs's flow table [default: four for each flow of each scheduler]
    #[arg(long, value_name = "N")]
    flow_slots: Option<u32>,
    /// Datagrams, the same each scheduled by itself, or segments of connections that were opened by SYN before; `ovf` is sent
    /// datagrams
    #[arg(long, value_enum, default_value_t)]
    protocol: Kind,
    #[command(flatten)]
    beside: Beside,
    #[command(flatten)]
    pub(super) peers: Peers,
    /// Frames of each CPU in each measurement, at least one of each flow
    #[arg(long, value_name = "N", default_value_t = 3_000_000, value_parser = clap::value_parser!(u32).range(10_000..))]
    frames: u32,
    /// CPUs that send at once, each flows of its own; the cable has as many queues
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    cpus: u16,
}

/// What the flows are of.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Kind {
    #[default]
    Udp,
    Ops,
    Tcp,
}

impl Kind {
    /// What the service of a scheduler, or another program, is sent.
    const fn transport(self) -> fn(Option<Scheduler>) -> Protocol {
        match self {
            Self::Udp | Self::Ops => |_| Protocol::Udp,
            Self::Tcp => |scheduler| match scheduler {
                Some(Scheduler::Ovf) => Protocol::Udp,
                _ => Protocol::Tcp,
            },
        }
    }
}

/// Measures and prints a table for each number of flows.
pub(super) fn main(arguments: &Arguments, document: &mut Document) -> Result<()> {
    let schedulers: &[Scheduler] = &arguments.schedulers.0;
    let mut programs = Program::all(&arguments.beside, &arguments.peers.peer)?;
    let most = arguments.flows.iter().copied().max().unwrap_or(1);
    if most > LRU_FLOWS {
        programs.retain(|program| *program != Program::Lru);
    }
    let flow_slots = match arguments.flow_slots {
        Some(slots) => slots,
        None => slots(most, SLOTS_PER_FLOW, schedulers.len())
            .context("too many flows and schedulers for one flow table")?
            .max(FEWEST_SLOTS),
    };
    let pool = Pool::of(usize::from(arguments.servers));
    let transport = arguments.protocol.transport();
    for peer in &arguments.peers.peer {
        peer.check_segments(transport(None))?;
    }
    let one_packet = arguments.protocol == Kind::Ops;
    ensure!(
        !one_packet || arguments.peers.peer.is_empty(),
        "--protocol ops: the peers would remember connections; leave out --peer"
    );
    let cpus = usize::from(arguments.cpus);
    for &flows in &arguments.flows {
        ensure!(
            flows as usize >= cpus,
            "--flows {flows}: fewer than the {cpus} CPUs that have each their own"
        );
    }
    let setting = Setting { transport, one_packet, cpus, ..Setting::usual(schedulers, pool, flow_slots) };
    let mut rig = Rig::alike(&programs, setting)?;
    for peer in &arguments.peers.peer {
        peer.check_room(most, "--flows")?;
    }
    let subjects = Subject::of(&programs, schedulers);
    println!(
        "\nmedians of {} rounds; ratios are taken within a round; lost: did not come back; new: {}",
        arguments.rounds,
        if one_packet { "scheduled" } else { "opened a flow" }
    );
    for &flows in &arguments.flows {
        let what = Traffic::Established(transport(None), flows, if one_packet { ALONE } else { "" });
        let table = measure(&mut rig, &subjects, what, flows, arguments.rounds, arguments.frames)?;
        print!("{table}");
        let setup = json!({
            "servers": arguments.servers,
            "one_packet": one_packet,
            "flow_slots": flow_slots,
            "rounds": arguments.rounds,
            "frames": arguments.frames.max(flows),
            "cpus": cpus,
        });
        document.add(table.measurement("flows", setup));
    }
    Ok(())
}

/// Slots for so many flows of each scheduler.
pub(super) fn slots(flows: u32, slots_per_flow: u32, schedulers: usize) -> Option<u32> {
    let slots = slots_per_flow.checked_mul(flows)?.checked_mul(u32::try_from(schedulers).ok()?)?;
    slots.checked_next_power_of_two()
}

/// All rounds with one number of flows.
pub(super) fn measure(
    rig: &mut Rig,
    subjects: &[Subject],
    what: Traffic,
    flows: u32,
    rounds: u32,
    frames: u32,
) -> Result<Table> {
    for subject in subjects {
        rig.warm_up(subject, flows, frames)?;
    }
    let mut table = Table::new(what, rig.cpus(), subjects.to_vec());
    for round in 0..rounds as usize {
        for turn in 0..subjects.len() {
            let row = (round + turn) % subjects.len();
            table.add(row, rig.measure(&subjects[row], flows, frames)?);
        }
    }
    Ok(table)
}
