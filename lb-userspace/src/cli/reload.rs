//! `xlvs reload`.

use std::{io::Write as _, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Args;

use super::{asked, check::UNUSABLE};
use crate::{io::socket, status::Reload};

/// A reload that needs another program waits for the kernel's verifier, and for new real servers' MAC addresses.
const PATIENCE: Duration = Duration::from_mins(1);

/// What `xlvs reload` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    state: super::StateDir,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let reload = match ask(arguments) {
        Ok(reload) => reload,
        Err(error) => {
            eprintln!("xlvs: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    eprint!("{}", reload.diagnostics);
    for warning in &reload.warnings {
        eprintln!("xlvs: {warning}");
    }
    // Nobody may want to read it.
    let _closed = std::io::stdout().write_all(reload.to_text().as_bytes());
    match reload.failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            eprintln!("xlvs: nothing was changed: {}", failure.reason);
            if failure.is_in_file { ExitCode::from(UNUSABLE) } else { ExitCode::FAILURE }
        }
    }
}

fn ask(arguments: &Arguments) -> anyhow::Result<Reload> {
    let state_dir = &arguments.state.state_dir;
    let hint = "; what came of it, `xlvs status` says";
    asked(state_dir, socket::ask_reload(state_dir), PATIENCE, hint).context("asking the daemon to reload")
}
