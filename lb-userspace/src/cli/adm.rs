//! `xlvs adm`, and the binary under the name `ipvsadm`.

use std::{
    env,
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::bail;
use clap::Args;
use tokio::time::timeout;

use super::write_out;
use crate::{
    adm::{self, Columns, Command, Listing, Outcome, Table, View},
    io::{names::SystemNames, socket},
};

/// Where the control socket is; ipvsadm's command line has no place for it.
const STATE_DIR: &str = "/run/xlvs";
/// What ipvsadm ends with that has no kernel to speak with, and a command that is denied.
const UNREACHED: u8 = 2;
const DENIED: u8 = 255;
/// A change that needs another program waits for the kernel's verifier, and for new real servers' MAC addresses.
const PATIENCE: Duration = Duration::from_mins(1);

/// What `xlvs adm` takes.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(super) struct Arguments {
    /// ipvsadm's own arguments; `-h` tells of them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Under its own name.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    answer("xlvs adm", &arguments.words)
}

/// Under ipvsadm's name, by which it was called as `program`.
pub(super) fn run_as_ipvsadm(program: &str) -> anyhow::Result<ExitCode> {
    let words: Vec<String> = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    answer(program, &words)
}

/// The commands are followed here, on a copy of the director's table, and what they changed is then asked of the director.
fn answer(program: &str, words: &[String]) -> anyhow::Result<ExitCode> {
    let names = SystemNames;
    let state_dir = env::var_os("XLVS_STATE_DIR").map_or_else(|| STATE_DIR.into(), PathBuf::from);
    let (mut table, mut input) = (Table::default(), String::new());
    let command = adm::parse(program, words, &names);
    if let Ok(command) = &command {
        if !is_told(command) {
            eprintln!("{program}: xlvs does not tell this yet: `xlvs status --json` has all that it does");
            return Ok(ExitCode::from(DENIED));
        }
        if *command == Command::Restore {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes)?;
            input = String::from_utf8_lossy(&bytes).into_owned();
        }
        if !matches!(command, Command::Help | Command::Version) {
            match ask(&state_dir, socket::ask_table(&state_dir)) {
                Ok(answer) => table = answer,
                Err(error) => {
                    eprintln!("{program}: {error:#}");
                    return Ok(ExitCode::from(UNREACHED));
                }
            }
        }
    }
    let Outcome { stdout, stderr, mut status, changes } =
        adm::run_for(program, words, &input, &mut table, &names, adm::possible);
    eprint!("{stderr}");
    if !changes.is_empty() {
        match ask(&state_dir, socket::ask_change(&state_dir, &changes)) {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => {
                eprintln!("{program}: {reason}");
                status = DENIED;
            }
            Err(error) => {
                eprintln!("{program}: `{program} -ln` tells whether anything was changed: {error:#}");
                status = UNREACHED;
            }
        }
    }
    write_out(&stdout)?;
    Ok(ExitCode::from(status))
}

/// Whether a director tells what a command wants to know.
const fn is_told(command: &Command) -> bool {
    match command {
        Command::List(Listing { view, .. }) => match view {
            View::Services { columns, .. } => !matches!(columns, Columns::PersistentConnections),
            View::Daemons | View::Timeouts => true,
            View::Connections { .. } => false,
        },
        _ => true,
    }
}

fn ask<T>(state_dir: &Path, question: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { timeout(PATIENCE, question).await }).unwrap_or_else(|_| {
        bail!(
            "{}: no answer for {} s: the daemon is stopped or hangs",
            socket::path(state_dir).display(),
            PATIENCE.as_secs()
        )
    })
}
