//! `cargo xtask bench`: how fast everything is, each kind of figure in a module of its own.
//!
//! Packets per second: a generator in the kernel sends frames of many flows into a veth pair; the program under test
//! sends them back; a sink counts what arrives as it should. Every round measures every program, in turns, so that a slow
//! minute of the machine is shared by all; what is compared is the ratio to the floor within a round. The time in which
//! another program has the generator's CPU is not counted.

mod all;
mod alone;
mod checks;
mod compare;
mod config;
mod cps;
mod document;
mod failover;
mod fill;
mod flows;
mod ipvs_vm;
mod latency;
mod load;
mod machine;
mod mapped;
mod memory;
mod metrics;
mod path;
mod peer;
mod pool;
mod proxies;
mod rig;
mod scale;
mod spread;
mod subject;
mod table;
mod threads;
mod traffic;
mod turns;

use std::env;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use clap::{Args, Subcommand};
use lb_tests::{host, wait};

use self::document::{Document, File};
use self::peer::Peer;
use crate::setup::{self, Level};
use crate::{build, command, workspace};

/// Arguments of `cargo xtask bench`.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
    /// Also write all figures and what the machine is
    #[arg(long, value_name = "FILE", global = true)]
    json: Option<PathBuf>,
    /// Neither set up nor build: everything is there
    #[arg(long, global = true, hide = true)]
    prepared: bool,
}

/// What is done.
#[derive(Subcommand)]
enum What {
    #[command(flatten)]
    Measure(Measure),
    /// What became of each figure from one file of `--json` to another
    Compare(compare::Arguments),
}

/// What is measured.
#[derive(Subcommand)]
enum Measure {
    /// Packets per second of flows that exist (needs root)
    ///
    /// The schedulers are services of one daemon, with a flow table in proportion: four slots of 32 bytes for each flow
    /// of each scheduler, which is 2 GB for 900 000 flows of all schedulers.
    Flows(flows::Arguments),
    /// New connections per second under every scheduler with pools of several sizes (needs root)
    ///
    /// No flow comes twice, so a run makes tens of millions of them. By default they are forgotten after a second, and
    /// the flow table of 16 M slots (512 MB) always has room. With `--table full` it has 4 M slots, is filled at first,
    /// and every new connection takes the place of one that never went on, as in a flood. The bare LRU table (2 M) is
    /// always full.
    Cps(cps::Arguments),
    /// Nanoseconds of the program alone for a frame of a warm flow, without driver and veth (needs root)
    Path(path::Arguments),
    /// Packets per second with up to 4096 services and 1024 real servers, beside one with one (needs root)
    Scale(scale::Arguments),
    /// Bytes for each flow in a table that is filled as documented: the table, all maps, and the daemon (needs root)
    Memory(memory::Arguments),
    /// How long a datagram and its echo take through xlvs, beside the kernel's forwarding (needs root)
    Latency(latency::Arguments),
    /// HTTP connections per second and downloads, beside proxies where they are installed (needs root)
    Proxies(proxies::Arguments),
    /// What 10 000 checks every 2 s cost the daemon, how late they begin, and when dead servers are out (needs root)
    Checks(checks::Arguments),
    /// Until when the program sees a change, and what a reload costs the daemon (needs root)
    Config(config::Arguments),
    /// For how long a virtual address is not answered when its master dies or stops, beside keepalived (needs root)
    Failover(failover::Arguments),
    /// Instructions for each packet on the distribution's kernel, which has IPVS, in an emulated machine (needs root)
    ///
    /// A nanosecond of its clock is an instruction, so that figures are the same within a percent from run to run, however
    /// busy the host is. They are instruction paths: an emulated machine has no caches, so that a miss costs nothing.
    IpvsVm(ipvs_vm::Arguments),
    /// What ten scrapes a second cost a daemon with 1000 virtual servers (needs root)
    Metrics(metrics::Arguments),
    /// Everything in turn (needs root)
    All(all::Arguments),
}

/// Sets up, builds, measures and prints the tables. What was measured is written even when something fails later.
pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    let what = match &arguments.what {
        What::Measure(what) => what,
        What::Compare(compared) => {
            ensure!(arguments.json.is_none(), "--json: comparing measures nothing");
            return compare::main(compared);
        }
    };
    command::require_root("cargo xtask bench")?;
    ensure_one_binary()?;
    let file = arguments.json.as_deref().map(|path| File::open(path, !arguments.prepared)).transpose()?;
    if !arguments.prepared {
        build::all(&setup::ensure(Level::Lab)?)?;
        if what.is_beside_nft() {
            setup::provide_nft()?;
        }
    }
    wait::interrupt_on_signals()?;
    let mut document = Document::default();
    let outcome = what.measure(&mut document);
    let written = file.map_or(Ok(()), |file| file.write(&document));
    match (outcome, written) {
        (Err(error), Err(other)) => Err(anyhow!("{error:#}; and {other:#}")),
        (outcome, written) => outcome.and(written),
    }
}

/// The address of a virtual server by its number.
fn virtual_address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, (number / 250) as u8, (number % 250 + 1) as u8)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The lab and the rig must start the same binary, the one that was built.
fn ensure_one_binary() -> Result<()> {
    let variables = [workspace::BINARY_VARIABLE, "CARGO_TARGET_DIR"];
    let Some(variable) = variables.into_iter().find(|name| env::var_os(name).is_some()) else {
        return Ok(());
    };
    let (lab, rig) = (host::binary(), workspace::binary());
    ensure!(
        is_same_file(&lab, &rig),
        "{variable} names {}, and what is built and measured is {}: unset {variable}",
        lab.display(),
        rig.display()
    );
    Ok(())
}

/// Whether two paths lead to one file, or are the same where there is none yet.
fn is_same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

impl Measure {
    fn measure(&self, document: &mut Document) -> Result<()> {
        match self {
            Self::Flows(arguments) => flows::main(arguments, document),
            Self::Cps(arguments) => cps::main(arguments, document),
            Self::Path(arguments) => path::main(arguments, document),
            Self::Scale(arguments) => scale::main(arguments, document),
            Self::Memory(arguments) => memory::main(arguments, document),
            Self::Latency(arguments) => latency::main(arguments, document),
            Self::Proxies(arguments) => proxies::main(arguments, document),
            Self::Checks(arguments) => checks::main(arguments, document),
            Self::Config(arguments) => config::main(arguments, document),
            Self::Failover(arguments) => failover::main(arguments, document),
            Self::Metrics(arguments) => metrics::main(arguments, document),
            Self::IpvsVm(arguments) => ipvs_vm::main(arguments, document),
            Self::All(arguments) => all::main(arguments, document),
        }
    }

    /// Whether nftables are measured too.
    fn is_beside_nft(&self) -> bool {
        match self {
            Self::Flows(arguments) => arguments.peers.has(Peer::Nft),
            Self::Cps(arguments) => arguments.peers.has(Peer::Nft),
            Self::IpvsVm(_) | Self::All(_) => true,
            _ => false,
        }
    }
}
