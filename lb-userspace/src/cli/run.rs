//! `xlvs run`: checks what can be checked before anything is touched, then hands over to the loop.

use std::{
    fs::{File, TryLockError},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::Args;
use tracing::error;

use super::{
    check,
    keepalived::{self, Called, PidFiles},
    log,
};
use crate::{
    config::{self, Config},
    io::{
        background::{self, Process, Start, Stderr},
        daemon::{self, Options},
        datapath::Mode,
        source::{self, Reading, Source},
    },
};

/// Where the configuration is if nobody says so.
pub(super) const USUAL_FILE: &str = "/etc/keepalived/keepalived.conf";

/// What `xlvs run` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration, in keepalived's language. With `--iface` the usual one need not be there: then services are made by
    /// `xlvs adm` alone.
    #[arg(short = 'f', long = "use-file", value_name = "FILE", default_value = USUAL_FILE)]
    file: PathBuf,
    #[command(flatten)]
    node: super::ConfigId,
    /// Forward through this interface; may be repeated. By default the interfaces of the `vrrp_instance` blocks.
    #[arg(long = "iface", value_name = "IF")]
    interfaces: Vec<String>,
    /// How the program is attached.
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,
    #[command(flatten)]
    state: super::StateDir,
    /// Directory on a BPF file system for the pinned maps, one for each daemon.
    #[arg(long, value_name = "DIR", env = "XLVS_PIN_DIR", default_value = "/sys/fs/bpf/xlvs")]
    pin_dir: PathBuf,
    /// Flows the table holds at most, rounded up to a power of two; 32 bytes each.
    #[arg(long, value_name = "N", default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(1024..=1 << 28))]
    flow_slots: u32,
    /// Let monitoring read `http://ADDR:PORT/metrics` (OpenMetrics); PORT alone is that of 127.0.0.1. Who reaches it may read it.
    #[arg(long, value_name = "[ADDR:]PORT", env = "XLVS_METRICS", value_parser = listener)]
    metrics: Option<SocketAddr>,
    /// What is logged: error, warn, info, debug, or a filter such as `xlvs::io=debug`. Info, if it is not given.
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// The XDP program logs every new connection (slow).
    #[arg(long)]
    debug_bpf: bool,
    #[command(flatten)]
    pub(super) keepalived: keepalived::Options,
}

pub(super) fn run(mut arguments: Arguments, called: Called) -> anyhow::Result<ExitCode> {
    let keepalived = &arguments.keepalived;
    if keepalived.version {
        super::write_out(&format!("xlvs {}\n", env!("CARGO_PKG_VERSION")))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(what) = &keepalived.signum {
        super::write_out(&format!("{}\n", keepalived::Options::signal_number(what)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    if keepalived.tests(&arguments.file)? {
        return check::run(&check::Arguments::of(arguments.file, arguments.node, keepalived.all_config));
    }
    let usual = if keepalived.log_detail { "debug" } else { "info" };
    log::start(arguments.log.as_deref().unwrap_or(usual), &keepalived.destinations(called))?;
    keepalived.prepare()?;
    let is_background = keepalived.goes_to_background(called);
    if is_background {
        // Relative paths are those of the directory in which it was called.
        for path in [&mut arguments.file, &mut arguments.state.state_dir, &mut arguments.pin_dir] {
            *path = std::path::absolute(&*path)?;
        }
    }
    let pids = keepalived.pid_files(called)?;
    let reading = Reading { id: arguments.node.get(), all_files: keepalived.all_config };
    if keepalived.dump_conf
        && let Some(text) = config::explain(&source::read(&arguments.file, &reading)?)
    {
        eprint!("{text}");
    }
    let mut source = Source::new(arguments.file.clone(), reading, keepalived.part());
    if arguments.file == Path::new(USUAL_FILE) && !arguments.interfaces.is_empty() {
        source = source.which_may_be_missing();
    }
    let config = source.load()?.config;
    if !nix::unistd::geteuid().is_root() {
        bail!("this needs root, to load the XDP program and to open netlink sockets: run it with sudo");
    }
    let start = if is_background {
        let is_kept = keepalived.logs_to_stderr(called);
        match background::detach(if is_kept { Stderr::Kept } else { Stderr::Closed })? {
            Process::Director(start) => start,
            Process::Caller(code) => return Ok(code),
        }
    } else {
        Start::default()
    };
    let ended = direct(arguments, source, config, &pids, start);
    if let (true, Err(error)) = (is_background, &ended) {
        // Nobody reads what is printed in the background.
        error!("{error:#}");
    }
    ended.map(|()| ExitCode::SUCCESS)
}

fn direct(
    arguments: Arguments,
    source: Source,
    config: Config,
    pids: &[PathBuf],
    start: Start,
) -> anyhow::Result<()> {
    let state_dir = arguments.state.state_dir;
    let _lock = lock(&state_dir)?;
    let _pids = PidFiles::write(pids)?;
    let options = Options {
        source,
        config,
        interfaces: arguments.interfaces,
        mode: arguments.mode,
        state_dir,
        pin_dir: arguments.pin_dir,
        flow_slots: arguments.flow_slots,
        metrics: arguments.metrics,
        debug_bpf: arguments.debug_bpf,
        start,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(daemon::run(options));
    // A name that is being looked up must not keep the process.
    runtime.shutdown_background();
    ended
}

/// A port of 127.0.0.1, or an address with a port.
fn listener(word: &str) -> anyhow::Result<SocketAddr> {
    if let Ok(port) = word.parse() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    word.parse().with_context(|| {
        format!("{word} is no port and no address with one: 9742, 192.0.2.1:9742, [::]:9742")
    })
}

/// Keeps a second daemon out of the state directory for as long as the file is open.
fn lock(state_dir: &Path) -> anyhow::Result<File> {
    let what = || format!("{}: the state directory cannot be used", state_dir.display());
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(state_dir).with_context(what)?;
    let path = state_dir.join("lock");
    let file = File::options().create(true).write(true).truncate(false).open(&path).with_context(what)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "{}: another xlvs runs with this state directory; stop it, or give this one its own --state-dir and --pin-dir",
            state_dir.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_stay_on_this_host_unless_an_address_is_named() {
        for (word, address) in
            [("9742", "127.0.0.1:9742"), ("0.0.0.0:1", "0.0.0.0:1"), ("[::1]:9742", "[::1]:9742")]
        {
            assert_eq!(listener(word).unwrap(), address.parse().unwrap());
        }
        for wrong in ["", ":9742", "65536", "localhost:9742", "::1:9742x"] {
            assert!(listener(wrong).is_err(), "{wrong}");
        }
    }
}
