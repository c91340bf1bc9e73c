//! Packets of flows that exist: `cargo xtask bench` for one scheduler and several numbers of flows, and
//! `cargo xtask bench schedulers` for all schedulers.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use lb_common::sched::Scheduler;
use lb_tests::config::Protocol;

use super::pool::Pool;
use super::report::{Report, Table, Traffic};
use super::rig::{MAX_FLOWS, Rig, Setting};
use super::subject::Subject;
use crate::workspace;

/// Slots of xlvs's flow table for each flow, so that few buckets overflow.
const SLOTS_PER_FLOW: u32 = 4;

/// Arguments of `cargo xtask bench`.
#[derive(Args)]
#[group(id = "established")]
pub(super) struct Arguments {
    /// Rounds; the median of them is shown
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Numbers of flows
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [1, 10_000, 900_000],
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_FLOWS)))]
    flows: Vec<u32>,
    /// Frames in each measurement
    #[arg(long, value_name = "N", default_value_t = 3_000_000, value_parser = clap::value_parser!(u32).range(100_000..))]
    frames: u32,
    /// Also write all figures and what the machine is
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures round robin and prints a table for each number of flows.
pub(super) fn main(arguments: &Arguments) -> Result<()> {
    let &Arguments { rounds, frames, .. } = arguments;
    let most = arguments.flows.iter().copied().max().unwrap_or(1);
    let (mut rig, subjects) = rig(&[Scheduler::Rr], 1, most)?;
    announce(rounds);
    let mut report = Report::new("established_udp");
    for &flows in &arguments.flows {
        report.add(measure(&mut rig, &subjects, flows, rounds, frames)?);
    }
    arguments.json.as_ref().map_or(Ok(()), |file| report.write(file))
}

/// Arguments of `cargo xtask bench schedulers`.
#[derive(Args)]
pub(super) struct Schedulers {
    /// Rounds; the median of them is shown
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Number of flows
    #[arg(long, value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_FLOWS)))]
    flows: u32,
    /// Real servers in each pool
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1024))]
    servers: u16,
    /// Frames in each measurement
    #[arg(long, value_name = "N", default_value_t = 2_000_000, value_parser = clap::value_parser!(u32).range(100_000..))]
    frames: u32,
    /// Also write all figures and what the machine is
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures every scheduler and prints one table.
pub(super) fn schedulers(arguments: &Schedulers) -> Result<()> {
    let &Schedulers { rounds, flows, servers, frames, .. } = arguments;
    let (mut rig, subjects) = rig(&Scheduler::ALL, usize::from(servers), flows)?;
    announce(rounds);
    let mut report = Report::new("established_udp_by_scheduler");
    report.add(measure(&mut rig, &subjects, flows, rounds, frames)?);
    arguments.json.as_ref().map_or(Ok(()), |file| report.write(file))
}

/// A rig for so many flows of every scheduler.
fn rig(schedulers: &[Scheduler], servers: usize, flows: u32) -> Result<(Rig, Vec<Subject>)> {
    let slots = (SLOTS_PER_FLOW * flows * schedulers.len() as u32).next_power_of_two();
    let setting = Setting {
        schedulers,
        pool: Pool::of(servers),
        transport: |_| Protocol::Udp,
        flow_slots: slots.max(1 << 20),
    };
    let rig = Rig::new(&workspace::bench_object(), &workspace::binary(), &setting)?;
    Ok((rig, Subject::with(schedulers)))
}

fn announce(rounds: u32) {
    println!(
        "\nmedians of {rounds} rounds; ratios are taken within a round; lost: did not come back; new: opened a flow"
    );
}

/// All rounds with one number of flows.
fn measure(rig: &mut Rig, subjects: &[Subject], flows: u32, rounds: u32, frames: u32) -> Result<Table> {
    for &subject in subjects {
        rig.warm_up(subject, flows, frames)?;
    }
    let mut table = Table::new(Traffic::Established(flows), subjects);
    for round in 0..rounds as usize {
        for turn in 0..subjects.len() {
            let subject = subjects[(round + turn) % subjects.len()];
            table.add(subject, rig.measure(subject, flows, frames)?);
        }
    }
    Ok(table)
}
