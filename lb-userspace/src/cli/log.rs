//! Where the log goes.

use std::ffi::CString;
use std::fs::File;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use syslog_tracing::{Facility, Options, Syslog};
use tracing_subscriber::{
    EnvFilter, Layer as _, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// Where to; all of them at once.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    pub(super) stderr: bool,
    pub(super) syslog: Option<Facility>,
    pub(super) file: Option<PathBuf>,
}

/// Begins to log what `filter` lets through.
///
/// # Errors
/// A filter that is none, or a file that cannot be written.
pub(super) fn start(filter: &str, to: &Destinations) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).with_context(|| format!("--log {filter}"))?;
    let stderr = to.stderr.then(|| {
        fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).boxed()
    });
    let syslog = to.syslog.and_then(|facility| {
        let name = CString::new("xlvs").unwrap_or_default();
        // The time and the level are syslog's own.
        let writer = Syslog::new(name, Options::LOG_PID, facility)?;
        Some(fmt::layer().with_writer(writer).with_ansi(false).without_time().with_level(false).boxed())
    });
    let file = to.file.as_ref().map(|path| {
        let file = File::options().create(true).append(true).open(path);
        file.with_context(|| format!("{}: the log cannot be written there", path.display()))
    });
    let file =
        file.transpose()?.map(|file| fmt::layer().with_writer(Arc::new(file)).with_ansi(false).boxed());
    tracing_subscriber::registry().with(filter).with(stderr).with(syslog).with(file).init();
    Ok(())
}

/// `0` to `7`, `local0` to `local7`, `user` or `daemon`, as keepalived has them.
///
/// # Errors
/// Another word.
pub(super) fn facility(word: &str) -> anyhow::Result<Facility> {
    Ok(match word.strip_prefix("local").unwrap_or(word) {
        "0" => Facility::Local0,
        "1" => Facility::Local1,
        "2" => Facility::Local2,
        "3" => Facility::Local3,
        "4" => Facility::Local4,
        "5" => Facility::Local5,
        "6" => Facility::Local6,
        "7" => Facility::Local7,
        "user" => Facility::User,
        "daemon" => Facility::Daemon,
        _ => bail!("{word} is not a facility: write 0 to 7, local0 to local7, user or daemon"),
    })
}
