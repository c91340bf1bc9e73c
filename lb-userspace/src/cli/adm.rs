//! `xlvs adm`, and the binary under the name `ipvsadm`.

use std::{
    env,
    io::{BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    slice,
    time::Duration,
};

use clap::Args;

use super::{STATE_DIR, STATE_DIR_VARIABLE, asked, runtime, write_out, written};
use crate::{
    adm::{self, Columns, Command, Listing, Outcome, Scope, Table, View, state::Connection},
    io::{connections::ask_connections, names::SystemNames, socket},
};

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
    // ipvsadm's command line has no place for it.
    let state_dir = env::var_os(STATE_DIR_VARIABLE).map_or_else(|| STATE_DIR.into(), PathBuf::from);
    let (mut table, mut input) = (Table::default(), String::new());
    let command = adm::parse(program, words, &names);
    if let Ok(Command::List(Listing { view: View::Connections { engines }, numeric, .. })) = command {
        return list_connections(program, &state_dir, engines, numeric);
    }
    if let Ok(command) = &command {
        if *command == Command::Restore {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes)?;
            input = String::from_utf8_lossy(&bytes).into_owned();
        }
        if !matches!(command, Command::Help | Command::Version) {
            let ask = async {
                if counts_clients(command) {
                    socket::ask_table(&state_dir, true).await
                } else {
                    socket::ask_scope(&state_dir, &Scope::of(slice::from_ref(command))).await
                }
            };
            match asked(&state_dir, ask, PATIENCE, "") {
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
        match asked(&state_dir, socket::ask_change(&state_dir, &changes), PATIENCE, "") {
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

/// Whether a command wants to know how many clients stay with each real server, for which all flows are looked at.
const fn counts_clients(command: &Command) -> bool {
    let Command::List(Listing { view: View::Services { columns, .. }, .. }) = command else { return false };
    matches!(columns, Columns::PersistentConnections)
}

/// Prints connections as they come, of which there may be millions.
fn list_connections(
    program: &str,
    state_dir: &Path,
    engines: bool,
    numeric: bool,
) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut head = Some(adm::connections_head(engines));
    let told = runtime()?.block_on(async {
        let line = |connection: &Connection| {
            let line = adm::connection_line(connection, engines, numeric, &SystemNames);
            written(out.write_all((head.take().unwrap_or_default() + &line).as_bytes()))
        };
        ask_connections(state_dir, PATIENCE, line).await
    });
    if let Err(error) = told {
        let _gone = out.flush();
        eprintln!("{program}: {error:#}");
        return Ok(ExitCode::from(UNREACHED));
    }
    // Nobody may have had a connection.
    written(out.write_all(head.unwrap_or_default().as_bytes()).and_then(|()| out.flush()))?;
    Ok(ExitCode::SUCCESS)
}
