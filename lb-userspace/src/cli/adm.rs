//! `xlvs adm`, and the binary under the name `ipvsadm`.

use std::{env, path::PathBuf, process::ExitCode};

use clap::Args;

use super::{status, write_out};
use crate::{
    adm::{self, Command, Table, View},
    io::names::SystemNames,
};

/// Where the control socket is; ipvsadm's command line has no place for it.
const STATE_DIR: &str = "/run/xlvs";
/// What ipvsadm ends with that has no kernel to speak with, and a command that is denied.
const UNREACHED: u8 = 2;
const DENIED: u8 = 255;

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

fn answer(program: &str, words: &[String]) -> anyhow::Result<ExitCode> {
    let names = SystemNames;
    let mut table = Table::default();
    if let Ok(command) = adm::parse(program, words, &names) {
        if !adm::answers(&command) {
            eprintln!("{}", refusal(program, &command));
            return Ok(ExitCode::from(DENIED));
        }
        if matches!(command, Command::List(_) | Command::Save { .. }) {
            let state_dir = env::var_os("XLVS_STATE_DIR").map_or_else(|| STATE_DIR.into(), PathBuf::from);
            match status::ask(&state_dir) {
                Ok(status) => table = Table::of(&status),
                Err(error) => {
                    eprintln!("{program}: {error:#}");
                    return Ok(ExitCode::from(UNREACHED));
                }
            }
        }
    }
    let outcome = adm::run(program, words, "", &mut table, &names);
    eprint!("{}", outcome.stderr);
    write_out(&outcome.stdout)?;
    Ok(ExitCode::from(outcome.status))
}

fn refusal(program: &str, command: &Command) -> String {
    let reason = match command {
        Command::List(adm::Listing { view: View::Timeouts, .. }) => {
            "timeouts are not told: see lvs_timeouts in the file"
        }
        Command::List(_) => "xlvs does not tell this yet: `xlvs status --json` has all that it does",
        _ => "the services are those of the configuration: change the file, then run `xlvs reload`",
    };
    format!("{program}: {reason}")
}
