//! `xlvs status`.

use std::{path::Path, time::Duration};

use anyhow::bail;
use clap::Args;
use tokio::time::timeout;

use crate::{io::socket, status::Status};

/// A daemon that is well answers within milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// What `xlvs status` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print the whole status as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    state: super::StateDir,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let status = ask(&arguments.state.state_dir)?;
    let text = if arguments.json { serde_json::to_string_pretty(&status)? + "\n" } else { status.to_text() };
    super::write_out(&text)
}

/// The status of the daemon of `state_dir`.
fn ask(state_dir: &Path) -> anyhow::Result<Status> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(async { timeout(PATIENCE, socket::ask_status(state_dir)).await });
    asked.unwrap_or_else(|_| {
        bail!(
            "{}: no answer for {} s: the daemon is stopped or hangs, or the machine has no time for it; see `ps -C xlvs -o pid,stat,wchan`",
            socket::path(state_dir).display(),
            PATIENCE.as_secs()
        )
    })
}
