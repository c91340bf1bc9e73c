//! The repository's own commands: one file per subcommand, each of which installs what it needs by itself.
//!
//! Nothing here knows how packets are balanced: that is the business of the other packages.

mod bench;
mod build;
mod ci;
mod command;
mod docs;
mod fuzz;
mod guest;
mod lint;
mod run;
mod setup;
mod test;
mod workspace;

use std::process::ExitCode;

use anyhow::Error;
use clap::Parser;

/// The repository's own commands.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
enum Task {
    /// Find or install what building and testing need; says what it installs
    Setup(setup::Arguments),
    /// Build the XDP program and the binary target/release/xlvs that embeds it
    Build,
    /// Run the demonstration on an embedded lab, or run on a real interface with --iface
    Run(run::Arguments),
    /// Run the whole test suite (needs root)
    Test(test::Arguments),
    /// How fast it is, beside bare XDP programs, the kernel's ways, proxies and keepalived (needs root)
    Bench(bench::Arguments),
    /// Run a command on Debian's own kernel, in an emulated machine that has this one's files
    Guest(guest::Arguments),
    /// Feed arbitrary bytes to the parsers
    Fuzz(fuzz::Arguments),
    /// Write the pages under docs/ that come from the code: keywords, manual pages, schemas
    Docs,
    /// Check formatting, lints, documentation and dependencies
    Lint,
    /// setup, lint and test, stopping at the first failure
    Ci,
}

fn main() -> ExitCode {
    let outcome = match Task::parse() {
        Task::Setup(arguments) => setup::main(&arguments),
        Task::Build => build::main(),
        Task::Run(arguments) => run::main(&arguments),
        Task::Test(arguments) => test::main(&arguments),
        Task::Bench(arguments) => bench::main(&arguments),
        Task::Guest(arguments) => return guest::main(&arguments).unwrap_or_else(|error| failure(&error)),
        Task::Fuzz(arguments) => fuzz::main(&arguments),
        Task::Docs => docs::main(),
        Task::Lint => lint::main(),
        Task::Ci => ci::main(),
    };
    outcome.map_or_else(|error| failure(&error), |()| ExitCode::SUCCESS)
}

fn failure(error: &Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Task::command().debug_assert();
    }
}
