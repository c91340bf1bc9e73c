//! `xlvs status`.

use std::time::Duration;

use clap::Args;

use super::asked;
use crate::io::socket;

/// A daemon that is well answers within milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
const HINT: &str = ", or the machine has no time for it; see `ps -C xlvs -o pid,stat,wchan`";

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
    let state_dir = &arguments.state.state_dir;
    let status = asked(state_dir, socket::ask_status(state_dir), PATIENCE, HINT)?;
    let text = if arguments.json { serde_json::to_string_pretty(&status)? + "\n" } else { status.to_text() };
    super::write_out(&text)
}
