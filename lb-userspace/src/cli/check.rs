//! `xlvs check FILE`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use crate::{
    config::{self, Severity},
    io::source,
};

/// keepalived's exit code for a file that cannot be run.
pub(super) const UNUSABLE: u8 = 6;

/// What `xlvs check` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file.
    file: PathBuf,
    #[command(flatten)]
    node: super::ConfigId,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match source::read(&arguments.file, &arguments.node.get()) {
        Ok(parsed) => {
            eprint!("{}", config::render(&parsed));
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
