//! `cargo xtask bench scale`: whether an established packet costs the same however many services and real servers there
//! are.
//!
//! Each size is a daemon of its own, all in one run; what is compared with is one service with one real server. Flows have
//! the services by turns: where all of 4096 are used, their rows and those of their real servers have to be in the cache
//! too, beside those of the flows.

use anyhow::Result;
use clap::Args;
use lb_common::layout::{MAX_POOL, MAX_SERVICES};
use lb_common::sched::Scheduler;
use lb_tests::config::Protocol;
use serde_json::json;

use super::document::Document;
use super::flows;
use super::pool::Pool;
use super::rig::{Rig, Setting};
use super::subject::{Program, Subject};
use super::table::Traffic;

/// What a daemon has.
#[derive(Clone, Copy)]
struct Size {
    services: u16,
    /// So many of them are sent to.
    used: u16,
    /// Of each service.
    servers: usize,
}

/// The first is what the others are compared with.
const SIZES: [Size; 6] = [
    Size { services: 1, used: 1, servers: 1 },
    Size { services: 64, used: 64, servers: 1 },
    Size { services: MAX_SERVICES as u16, used: 1, servers: 1 },
    Size { services: MAX_SERVICES as u16, used: MAX_SERVICES as u16, servers: 1 },
    Size { services: 1, used: 1, servers: 64 },
    Size { services: 1, used: 1, servers: MAX_POOL },
];
/// By how much a size may be slower and still be called as fast.
const FLAT: f64 = 0.05;
const SCHEDULER: [Scheduler; 1] = [Scheduler::Rr];
const SLOTS: u32 = 1 << 20;

/// Arguments of `cargo xtask bench scale`.
#[derive(Args)]
pub(super) struct Arguments {
    /// Rounds; the median of them is shown
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Number of flows
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(4096..=131_072))]
    flows: u32,
    /// Frames in each measurement, at least one of each flow
    #[arg(long, value_name = "N", default_value_t = 3_000_000, value_parser = clap::value_parser!(u32).range(10_000..))]
    frames: u32,
}

/// Measures and prints the table, and which sizes are as fast as the smallest.
pub(super) fn main(arguments: &Arguments, document: &mut Document) -> Result<()> {
    let mut programs = vec![Program::Swap];
    programs.extend(SIZES.map(|size| Program::xlvs(&size.name())));
    let sizes = SIZES[..1].iter().chain(&SIZES);
    let settings = sizes.map(|&Size { services, used, servers }| Setting {
        services,
        used,
        ..Setting::usual(&SCHEDULER, Pool::of(servers), SLOTS)
    });
    let mut rig = Rig::new(programs.iter().zip(settings))?;
    let subjects = Subject::of(&programs, &SCHEDULER);
    let table = flows::measure(
        &mut rig,
        &subjects,
        Traffic::Established(Protocol::Udp, arguments.flows, ""),
        arguments.flows,
        arguments.rounds,
        arguments.frames,
    )?;
    print!("{table}");
    for (row, size) in SIZES.into_iter().enumerate().skip(1) {
        // Behind the floor.
        let ratio = table.between(row + 1, 1).median;
        let verdict = if ratio >= 1.0 - FLAT { "as fast" } else { "NOT as fast" };
        println!("  {}: {ratio:.3} of the rate of the smallest, {verdict}", size.name());
    }
    let setup = json!({
        "flows": arguments.flows,
        "rounds": arguments.rounds,
        "frames": arguments.frames.max(arguments.flows),
    });
    document.add(table.measurement("scale", setup));
    Ok(())
}

impl Size {
    fn name(self) -> String {
        let Self { services, used, servers } = self;
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let idle = if used == services { String::new() } else { format!(", {used} used") };
        format!("{services} service{}{idle}, {servers} server{}", plural(services.into()), plural(servers))
    }
}
