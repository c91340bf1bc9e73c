//! The options of keepalived that `xlvs run` takes too, so that whatever starts the one can start the other.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::Args;
use tracing::warn;

use crate::config::Part;

/// The options.
#[derive(Debug, Args)]
#[command(next_help_heading = "As keepalived has them")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Options {
    /// Test the configuration and end, as `xlvs check` does.
    #[arg(short = 't', long)]
    pub(super) config_test: bool,
    /// Stay in the foreground, as always.
    #[arg(short = 'n', long)]
    dont_fork: bool,
    /// Log to stderr, as always.
    #[arg(short = 'l', long)]
    log_console: bool,
    /// Log what is decided, too: the level `debug` where `--log` does not name one.
    #[arg(short = 'D', long)]
    pub(super) log_detail: bool,
    /// Print the configuration in force at the start, as `xlvs check --explain` does, to stderr.
    #[arg(short = 'd', long)]
    pub(super) dump_conf: bool,
    /// Run the virtual routers only: no `virtual_server`.
    #[arg(short = 'P', long, conflicts_with = "check")]
    vrrp: bool,
    /// Run the virtual servers only: no `vrrp_instance`. It takes `--iface`.
    #[arg(short = 'C', long)]
    check: bool,
    /// Write the process's number to this file for as long as it runs.
    #[arg(short = 'p', long = "pid", value_name = "FILE")]
    pid: Option<PathBuf>,
    /// The same, for what keepalived has a process of its own for.
    #[arg(short = 'r', long = "vrrp_pid", value_name = "FILE")]
    vrrp_pid: Option<PathBuf>,
    /// The same.
    #[arg(short = 'c', long = "checkers_pid", value_name = "FILE")]
    checkers_pid: Option<PathBuf>,
    /// Print the number of the signal that does this and end: STOP or RELOAD.
    #[arg(long, value_name = "WHAT")]
    pub(super) signum: Option<String>,
    /// Do not start again what has crashed: as always, for there is one process.
    #[arg(short = 'R', long, hide = true)]
    dont_respawn: bool,
    /// No logging to syslog, as always.
    #[arg(short = 'G', long, hide = true)]
    no_syslog: bool,
    /// Not in effect.
    #[arg(short = 'S', long, value_name = "N", hide = true)]
    log_facility: Option<String>,
    /// Not in effect.
    #[arg(short = 'm', long, hide = true)]
    core_dump: bool,
    /// Not in effect.
    #[arg(short = 'x', long, hide = true)]
    snmp: bool,
}

impl Options {
    /// The number of the signal that was asked for.
    ///
    /// # Errors
    /// Where there is none.
    pub(super) fn signal_number(what: &str) -> anyhow::Result<i32> {
        match what {
            "STOP" => Ok(libc::SIGTERM),
            "RELOAD" => Ok(libc::SIGHUP),
            other => bail!(
                "--signum {other}: xlvs has signals for STOP and RELOAD; what it does tells `xlvs status`"
            ),
        }
    }

    /// What is to be run.
    pub(super) const fn part(&self) -> Part {
        match (self.vrrp, self.check) {
            (true, _) => Part::Routers,
            (_, true) => Part::Servers,
            _ => Part::All,
        }
    }

    /// Says which of the options do nothing.
    pub(super) fn say_what_has_no_effect(&self) {
        let unused = [
            (self.log_facility.is_some(), "--log-facility"),
            (self.core_dump, "--core-dump"),
            (self.snmp, "--snmp"),
        ];
        for (_, option) in unused.iter().filter(|(is_given, _)| *is_given) {
            warn!("{option} has no effect");
        }
    }

    /// Writes the files with the process's number, which go with the value.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn write_pids(&self) -> anyhow::Result<PidFiles> {
        let mut files = PidFiles(Vec::new());
        for path in [&self.pid, &self.vrrp_pid, &self.checkers_pid].into_iter().flatten() {
            fs::write(path, format!("{}\n", std::process::id())).with_context(|| {
                format!("{}: the process's number cannot be written there", path.display())
            })?;
            files.0.push(path.clone());
        }
        Ok(files)
    }
}

/// Files with the process's number.
#[derive(Debug)]
pub(super) struct PidFiles(Vec<PathBuf>);

impl Drop for PidFiles {
    fn drop(&mut self) {
        self.0.iter().for_each(|path| remove(path));
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        warn!("{}: {error}", path.display());
    }
}
