//! keepalived's own command line: the options that `xlvs run` takes too, and what is otherwise when the binary is called
//! `keepalived`, so that whatever starts the one can start the other.

use std::{
    fs,
    fs::File,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::{Args, Parser};
use nix::{
    sched::{CloneFlags, setns},
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        stat::{Mode, umask},
    },
    unistd,
};
use syslog_tracing::Facility;
use tracing::warn;

use super::{log, run};
use crate::config::Part;

/// Whose command line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Called {
    /// `xlvs run`, which stays in the foreground.
    Xlvs,
    /// `keepalived`, which goes to the background.
    Keepalived,
}

/// LVS and keepalived on XDP, under keepalived's name: it goes to the background.
#[derive(Debug, Parser)]
#[command(name = "keepalived", disable_version_flag = true, args_override_self = true)]
pub(super) struct CommandLine {
    #[command(flatten)]
    pub(super) arguments: run::Arguments,
}

/// Where keepalived has the file with its process's number.
const PID: &str = "/run/keepalived.pid";

/// The options.
#[derive(Debug, Args)]
#[command(next_help_heading = "As keepalived has them")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Options {
    /// Test the configuration and end, as `xlvs check` does; what is found goes to FILE where one is given.
    #[arg(short = 't', long, value_name = "FILE", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "the option may have a value")]
    config_test: Option<Option<PathBuf>>,
    /// Stay in the foreground, as always but where the binary is called `keepalived`.
    #[arg(short = 'n', long)]
    dont_fork: bool,
    /// Log to stderr, as always but in the background.
    #[arg(short = 'l', long)]
    log_console: bool,
    /// Log what is decided, too: the level `debug` where `--log` does not name one.
    #[arg(short = 'D', long)]
    pub(super) log_detail: bool,
    /// Log to syslog with this facility: 0 to 7, `local0` to `local7`, `user`, or `daemon`, as is usual in the background.
    #[arg(short = 'S', long, value_name = "FACILITY", value_parser = log::facility)]
    log_facility: Option<Facility>,
    /// Do not log to syslog, as always but in the background.
    #[arg(short = 'G', long)]
    no_syslog: bool,
    /// Log to this file as well.
    #[arg(short = 'g', long, value_name = "FILE", num_args = 0..=1, default_missing_value = "/tmp/keepalived.log")]
    log_file: Option<PathBuf>,
    /// Print the configuration in force at the start, as `xlvs check --explain` does, to stderr.
    #[arg(short = 'd', long)]
    pub(super) dump_conf: bool,
    /// Run the virtual routers only: no `virtual_server`.
    #[arg(short = 'P', long, conflicts_with = "check")]
    vrrp: bool,
    /// Run the virtual servers only: no `vrrp_instance`. It takes `--iface`.
    #[arg(short = 'C', long)]
    check: bool,
    /// A file to be included that is not there, or cannot be read, is an error.
    #[arg(short = 'e', long)]
    pub(super) all_config: bool,
    /// Write the process's number to this file for as long as it runs. (Under keepalived's name: /run/keepalived.pid.)
    #[arg(short = 'p', long = "pid", value_name = "FILE")]
    pid: Option<PathBuf>,
    /// The same, for what keepalived has a process of its own for.
    #[arg(short = 'r', long = "vrrp_pid", value_name = "FILE")]
    vrrp_pid: Option<PathBuf>,
    /// The same.
    #[arg(short = 'c', long = "checkers_pid", value_name = "FILE")]
    checkers_pid: Option<PathBuf>,
    /// The same.
    #[arg(short = 'b', long = "bfd_pid", value_name = "FILE")]
    bfd_pid: Option<PathBuf>,
    /// Run in this network namespace, which `ip netns` has made. Several directors need a `--state-dir` and a `--pin-dir` each.
    #[arg(short = 's', long, value_name = "NAME")]
    namespace: Option<PathBuf>,
    /// The mode of files that are made: a number in C's notation.
    #[arg(short = 'u', long, value_name = "MASK", value_parser = mask)]
    umask: Option<Mode>,
    /// Leave a core dump after a crash.
    #[arg(short = 'm', long)]
    core_dump: bool,
    /// Print the number of the signal that does this and end: STOP or RELOAD, or one that points to `xlvs status`.
    #[arg(long, value_name = "WHAT")]
    pub(super) signum: Option<String>,
    /// Print the version and end.
    #[arg(short = 'v', long)]
    pub(super) version: bool,
    #[command(flatten)]
    idle: Idle,
}

/// The options that have no effect.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct Idle {
    #[arg(short = 'B', long = "no_bfd", hide = true)]
    no_bfd: bool,
    #[arg(long, hide = true)]
    all: bool,
    #[arg(short = 'X', long, hide = true)]
    release_vips: bool,
    #[arg(short = 'V', long, hide = true)]
    dont_release_vrrp: bool,
    #[arg(short = 'I', long, hide = true)]
    dont_release_ipvs: bool,
    #[arg(short = 'R', long, hide = true)]
    dont_respawn: bool,
    #[arg(short = 'a', long, hide = true)]
    address_monitoring: bool,
    #[arg(short = 'x', long, hide = true)]
    snmp: bool,
    #[arg(short = 'A', long, value_name = "FILE", hide = true)]
    snmp_agent_socket: Option<String>,
    #[arg(short = 'M', long, value_name = "PATTERN", num_args = 0..=1, default_missing_value = "core", hide = true)]
    core_dump_pattern: Option<String>,
    #[arg(short = 'T', long, hide = true)]
    genhash: bool,
}

impl Idle {
    /// What is given, and why nothing comes of it. What xlvs does anyway is not said.
    fn said(&self) -> Vec<(&'static str, &'static str)> {
        let options = [
            (self.all, "--all", "there is one process"),
            (self.release_vips, "--release-vips", "a stop always releases the addresses"),
            (self.dont_release_vrrp, "--dont-release-vrrp", "a stop always releases the addresses"),
            (self.dont_release_ipvs, "--dont-release-ipvs", "a stop always takes the program off"),
            (self.address_monitoring, "--address-monitoring", "changes of addresses are not logged"),
            (self.snmp, "--snmp", "there is no SNMP; see `xlvs status --json`"),
            (self.snmp_agent_socket.is_some(), "--snmp-agent-socket", "there is no SNMP"),
            (
                self.core_dump_pattern.is_some(),
                "--core-dump-pattern",
                "what counts for the whole machine is left as it is",
            ),
        ];
        options.into_iter().filter(|(is_given, ..)| *is_given).map(|(_, option, why)| (option, why)).collect()
    }
}

impl Options {
    /// Whether the configuration is to be tested only; what is found then goes to stderr, or to the file that is named.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn tests(&self, tested: &Path) -> anyhow::Result<bool> {
        if let Some(Some(path)) = &self.config_test {
            let is_tested =
                path.canonicalize().is_ok_and(|path| tested.canonicalize().is_ok_and(|t| t == path));
            if is_tested {
                bail!("{}: this is the configuration to be tested; write `-t -f FILE`", path.display());
            }
            let file = File::options().create(true).append(true).custom_flags(libc::O_NOFOLLOW).open(path);
            let file = file.with_context(|| format!("{}: it cannot be written", path.display()))?;
            unistd::dup2_stderr(file)?;
        }
        Ok(self.config_test.is_some())
    }

    /// The number of the signal that was asked for.
    ///
    /// # Errors
    /// Where there is none.
    pub(super) fn signal_number(what: &str) -> anyhow::Result<i32> {
        match what {
            "STOP" => Ok(libc::SIGTERM),
            "RELOAD" => Ok(libc::SIGHUP),
            "DATA" => Ok(libc::SIGUSR1),
            "STATS" => Ok(libc::SIGUSR2),
            "JSON" => Ok(libc::SIGRTMIN() + 2),
            "STATS_CLEAR" => Ok(libc::SIGRTMAX() - 1),
            other => bail!("--signum {other}: write STOP, RELOAD, DATA, STATS, STATS_CLEAR or JSON"),
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

    /// Whether it goes to the background.
    pub(super) fn goes_to_background(&self, called: Called) -> bool {
        called == Called::Keepalived && !self.dont_fork
    }

    /// Whether the log goes to stderr.
    pub(super) fn logs_to_stderr(&self, called: Called) -> bool {
        self.log_console || !self.goes_to_background(called)
    }

    /// Where the log goes.
    pub(super) fn destinations(&self, called: Called) -> log::Destinations {
        let usual = self.goes_to_background(called).then_some(Facility::Daemon);
        log::Destinations {
            stderr: self.logs_to_stderr(called),
            syslog: self.log_facility.or(usual).filter(|_| !self.no_syslog),
            file: self.log_file.clone(),
        }
    }

    /// Does what is about the process itself, and says which options do nothing.
    ///
    /// # Errors
    /// What the system refuses.
    pub(super) fn prepare(&self) -> anyhow::Result<()> {
        if self.idle.genhash {
            bail!("--genhash: xlvs computes no digests of pages; use keepalived's genhash");
        }
        for (option, why) in self.idle.said() {
            warn!("{option} has no effect: {why}");
        }
        if let Some(mask) = self.umask {
            umask(mask);
        }
        if self.core_dump {
            let (_, most) = getrlimit(Resource::RLIMIT_CORE)?;
            setrlimit(Resource::RLIMIT_CORE, most, most).context("--core-dump")?;
        }
        if let Some(name) = &self.namespace {
            let path = Path::new("/run/netns").join(name);
            let failed = || format!("{}: the network namespace cannot be entered", path.display());
            let namespace = File::open(&path).with_context(failed)?;
            setns(namespace, CloneFlags::CLONE_NEWNET).with_context(failed)?;
        }
        Ok(())
    }

    /// Where the process's number is to be written, from the directory in which it was called.
    ///
    /// # Errors
    /// When the directory is gone.
    pub(super) fn pid_files(&self, called: Called) -> anyhow::Result<Vec<PathBuf>> {
        let usual = (called == Called::Keepalived).then(|| PathBuf::from(PID));
        let pid = self.pid.clone().or(usual);
        let others = [&self.vrrp_pid, &self.checkers_pid, &self.bfd_pid].into_iter().flatten().cloned();
        pid.into_iter().chain(others).map(|path| Ok(std::path::absolute(path)?)).collect()
    }
}

/// As strtoul(3) reads it.
fn mask(word: &str) -> anyhow::Result<Mode> {
    let (digits, radix) = match (word.strip_prefix("0x"), word.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (word, 10),
    };
    let bits = u32::from_str_radix(digits, radix).ok().and_then(Mode::from_bits);
    bits.with_context(|| format!("{word} is not a mask: write one such as 022"))
}

/// Files with the process's number.
#[derive(Debug, Default)]
pub(super) struct PidFiles(Vec<PathBuf>);

impl PidFiles {
    /// Writes them; they go with the value.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn write(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut files = Self::default();
        for path in paths {
            fs::write(path, format!("{}\n", std::process::id())).with_context(|| {
                format!("{}: the process's number cannot be written there", path.display())
            })?;
            files.0.push(path.clone());
        }
        Ok(files)
    }
}

impl Drop for PidFiles {
    fn drop(&mut self) {
        // Another director may have written its own there meanwhile.
        let own = std::process::id().to_string();
        let is_own = |path: &&PathBuf| fs::read_to_string(path).is_ok_and(|text| text.trim() == own);
        self.0.iter().filter(is_own).for_each(|path| remove(path));
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        warn!("{}: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Options {
        CommandLine::parse_from([&["keepalived"], words].concat()).arguments.keepalived
    }

    #[test]
    fn only_under_its_name_it_goes_to_the_background_and_logs_to_syslog() {
        for (called, words, background, stderr, syslog) in [
            (Called::Xlvs, &["-D"][..], false, true, false),
            (Called::Xlvs, &["-S", "7"], false, true, true),
            (Called::Keepalived, &["-D"], true, false, true),
            (Called::Keepalived, &["-l"], true, true, true),
            (Called::Keepalived, &["-G"], true, false, false),
            (Called::Keepalived, &["-n"], false, true, false),
        ] {
            let options = options(words);
            let to = options.destinations(called);
            assert_eq!(
                (options.goes_to_background(called), to.stderr, to.syslog.is_some()),
                (background, stderr, syslog),
                "{called:?} {words:?}"
            );
        }
        assert_eq!(options(&[]).pid_files(Called::Keepalived).unwrap(), [Path::new(PID)]);
        assert_eq!(options(&["-r", "/a"]).pid_files(Called::Xlvs).unwrap(), [Path::new("/a")]);
    }

    #[test]
    fn every_option_of_keepalived_is_known() {
        let all = "-f x -P -l -D -S local3 -G -u 022 -X -V -I -R -n -d -p /p -r /r -c /c -a -b /b -x -A /a -s n -m -M c -e \
                   -i id --all -B -g /l";
        let words: Vec<_> = all.split_whitespace().collect();
        assert_eq!(options(&words).idle.said().len(), 8);
        assert!(options(&["-t"]).config_test == Some(None) && options(&["-C"]).check);
        assert_eq!(options(&["-t/x", "-D"]).config_test, Some(Some("/x".into())));
    }

    #[test]
    fn a_mask_is_in_the_notation_of_c() {
        for (word, bits) in [("022", 0o22), ("18", 18), ("0x12", 0x12), ("0", 0)] {
            assert_eq!(mask(word).unwrap().bits(), bits, "{word}");
        }
        for wrong in ["", "x", "08", "-1", "99999999"] {
            assert!(mask(wrong).is_err(), "{wrong}");
        }
    }
}
