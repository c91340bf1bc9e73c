//! `cargo xtask guest`: a command on the distribution's own kernel, in a machine that qemu emulates.
//!
//! The guest's files are those of the host, and what it changes of them is gone when it ends. There is no network, and
//! network cards that nobody is behind if they are asked for. What a test or a measurement wants from another kernel than the
//! running one: IPVS, pktgen, a clock that counts instructions.

mod initramfs;
mod machine;
mod nic;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use lb_tests::wait;

use crate::{command, setup};
pub(crate) use machine::Machine;
pub(crate) use nic::Nic;

/// Arguments of `cargo xtask guest`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Memory in MiB
    #[arg(long, value_name = "MB", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(256..))]
    memory: u32,
    /// Processors; emulated ones wait for each other, so that several are slower than one
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "count_instructions",
          value_parser = clap::value_parser!(u8).range(1..=64))]
    cpus: u8,
    /// One processor, whose clock goes on by a nanosecond with each instruction and stands still between them
    #[arg(long)]
    count_instructions: bool,
    /// A network card with nobody behind it, by qemu's name and options (`e1000e`); `queues=N` gives it several queues
    /// (may be repeated; needs root)
    #[arg(long, value_name = "MODEL[,OPTION...]")]
    nic: Vec<Nic>,
    /// Seconds after which the guest is ended
    #[arg(long, value_name = "S", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Where files that the command writes to $OUT are to be found
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What to run as root in the workspace's directory, without standard input; its exit status is ours
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Sets up, boots and ends with the command's status.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    wait::interrupt_on_signals()?;
    if !arguments.nic.is_empty() {
        command::require_root("cargo xtask guest --nic")?;
    }
    let guest = Guest {
        machine: Machine {
            memory: arguments.memory,
            cpus: if arguments.count_instructions { 1 } else { arguments.cpus },
            count_instructions: arguments.count_instructions,
            nics: arguments.nic.clone(),
        },
        timeout: Duration::from_secs(arguments.timeout),
        out: arguments.out.clone(),
    };
    guest.run(&arguments.command).map(ExitCode::from)
}

/// A guest that is to be.
pub(crate) struct Guest {
    pub(crate) machine: Machine,
    /// When it is ended.
    pub(crate) timeout: Duration,
    /// What it sees as `$OUT`, if anybody looks there.
    pub(crate) out: Option<PathBuf>,
}

impl Guest {
    /// Boots, runs the command to its end on our standard output, and hands back its status.
    pub(crate) fn run(&self, command: &[OsString]) -> Result<u8> {
        let parts = setup::guest::ensure()?;
        let work = tempfile::tempdir().context("a directory for the guest")?;
        let out = self.out.clone().unwrap_or_else(|| work.path().join("out"));
        std::fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
        let initramfs = initramfs::make(&parts, command, work.path())?;
        self.machine.run(&parts, &initramfs, &out, work.path(), self.timeout)
    }
}
