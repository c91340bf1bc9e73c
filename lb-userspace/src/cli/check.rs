//! `xlvs check FILE`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use crate::config::{self, Severity};

/// keepalived's exit code for a file that cannot be run.
const UNUSABLE: u8 = 6;

/// What `xlvs check` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print what is in effect and where each value comes from, in keepalived's language; passwords are shown.
    #[arg(long)]
    explain: bool,
    /// The configuration file.
    file: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match super::run::read(&arguments.file) {
        Ok(parsed) => {
            eprint!("{}", config::render(&parsed));
            if arguments.explain
                && let Some(text) = config::explain(&parsed)
            {
                print!("{text}");
            }
            if parsed.config.is_some() {
                return ExitCode::SUCCESS;
            }
            let errors = parsed.count(Severity::Error);
            let plural = if errors == 1 { "" } else { "s" };
            eprintln!("xlvs: {}: it cannot be run: {errors} error{plural}", arguments.file.display());
            ExitCode::from(UNUSABLE)
        }
        Err(error) => {
            eprintln!("xlvs: {error:#}");
            ExitCode::from(UNUSABLE)
        }
    }
}
