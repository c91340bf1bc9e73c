//! `xlvs status`.

use std::io::Write as _;

use clap::Args;

use crate::io::socket;

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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = runtime.block_on(socket::ask_status(&arguments.state.state_dir))?;
    let text = if arguments.json { serde_json::to_string_pretty(&status)? + "\n" } else { status.to_text() };
    match std::io::stdout().write_all(text.as_bytes()) {
        // A reader that had enough, as in `xlvs status | head`.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
