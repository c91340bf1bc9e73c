//! `xlvs status`.

use std::{
    io::{IsTerminal as _, Write as _},
    thread::sleep,
    time::Duration,
};

use clap::Args;

use super::{asked, written};
use crate::{io::socket, status::Status};

/// A daemon that is well answers within milliseconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
const HINT: &str = ", or the machine has no time for it; see `ps -C xlvs -o pid,stat,wchan`";
/// Makes a terminal empty.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// What `xlvs status` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print the whole status as JSON, as docs/status.schema.json describes it.
    #[arg(long)]
    json: bool,
    /// Show it again after so many seconds, 2 if no number is given, until it is interrupted or the director does not answer; with `--json` on one line each.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u32).range(1..))]
    watch: Option<u32>,
    #[command(flatten)]
    state: super::StateDir,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let state_dir = &arguments.state.state_dir;
    loop {
        let status = asked(state_dir, socket::ask_status(state_dir), PATIENCE, HINT)?;
        let is_read = written(print(&status, arguments))?;
        match arguments.watch {
            Some(seconds) if is_read => sleep(Duration::from_secs(seconds.into())),
            _ => return Ok(()),
        }
    }
}

fn print(status: &Status, arguments: &Arguments) -> std::io::Result<()> {
    let mut stdout = std::io::stdout();
    if arguments.json {
        let text = if arguments.watch.is_some() {
            serde_json::to_string(status)?
        } else {
            serde_json::to_string_pretty(status)?
        };
        return writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    }
    if arguments.watch.is_some() && stdout.is_terminal() {
        stdout.write_all(CLEAR.as_bytes())?;
    }
    // It leaves the colours out where they are not wanted: no terminal, NO_COLOR, TERM=dumb.
    let mut stdout = anstream::stdout();
    stdout.write_all(status.to_styled().as_bytes())?;
    stdout.flush()
}
