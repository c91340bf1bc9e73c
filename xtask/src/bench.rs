//! `cargo xtask bench`: packets per second of the established path, beside bare XDP programs in the same run; and
//! `cargo xtask bench failover`, which has a module of its own.
//!
//! A generator in the kernel sends UDP frames of many flows into a veth pair; the program under test sends them back;
//! a sink counts what arrives as it should. Every round measures every program, in turns, so that a slow minute of
//! the machine is shared by all; what is compared is the ratio to the floor within a round.

mod failover;
mod report;
mod rig;
mod spread;
mod traffic;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use lb_tests::wait;

use self::report::{Report, Table};
use self::rig::{MAX_FLOWS, Rig, Subject};
use crate::setup::{self, Level};
use crate::{build, command, workspace};

/// Arguments of `cargo xtask bench`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    instead: Option<Instead>,
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

/// What else can be measured.
#[derive(Subcommand)]
enum Instead {
    /// For how long a virtual address is not answered when its master dies or stops, beside keepalived (needs root)
    Failover(failover::Arguments),
}

/// Sets up, builds, measures and prints the tables.
pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    if let Some(Instead::Failover(arguments)) = &arguments.instead {
        return failover::main(arguments);
    }
    command::require_root("cargo xtask bench")?;
    build::all(&setup::ensure(Level::Lab)?)?;
    wait::interrupt_on_signals()?;
    let mut rig = Rig::new(&workspace::bench_object(), &workspace::binary())?;
    println!(
        "\nmedians of {} rounds; the floor's ratio is taken within a round; lost: did not come back; new: opened a flow",
        arguments.rounds
    );
    let mut report = Report::default();
    for &flows in &arguments.flows {
        let table = measure(&mut rig, flows, arguments.rounds as usize, arguments.frames)?;
        print!("{table}");
        report.tables.push(table);
    }
    arguments.json.as_ref().map_or(Ok(()), |file| report.write(file))
}

/// All rounds with one number of flows.
fn measure(rig: &mut Rig, flows: u32, rounds: usize, frames: u32) -> Result<Table> {
    for subject in Subject::ALL {
        rig.warm_up(subject, flows, frames)?;
    }
    let mut table = Table::new(flows);
    for round in 0..rounds {
        for turn in 0..Subject::ALL.len() {
            let subject = Subject::ALL[(round + turn) % Subject::ALL.len()];
            table.add(subject, rig.measure(subject, flows, frames)?);
        }
    }
    Ok(table)
}
