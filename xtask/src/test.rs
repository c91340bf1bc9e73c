//! `cargo xtask test`: the whole suite, with the binary and the XDP program that were just built.

mod nics;

use anyhow::Result;
use clap::Args;

use crate::setup::{self, Level};
use crate::{build, command, workspace};

/// Arguments of `cargo xtask test`.
#[derive(Args, Default)]
pub(crate) struct Arguments {
    /// Run the tests that want network cards of several makes, and no others, in an emulated machine that has them
    #[arg(long)]
    guest: bool,
    /// Arguments for `cargo test`, such as the name of a test; with --guest for the test program itself, as those that `cargo
    /// test` takes behind another `--`
    #[arg(last = true)]
    cargo: Vec<String>,
}

/// Sets up, builds and tests.
pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    command::require_root("cargo xtask test")?;
    let tools = setup::ensure(Level::Lab)?;
    build::all(&tools)?;
    if arguments.guest {
        return nics::run(&arguments.cargo);
    }
    build::counting_program(&tools)?;
    suite(&arguments.cargo)
}

fn suite(arguments: &[String]) -> Result<()> {
    let mut cargo = workspace::cargo("test");
    cargo.args(["--workspace", "--exclude", "lb-ebpf", "--release"]).args(arguments);
    cargo.env(workspace::BINARY_VARIABLE, workspace::binary());
    cargo.env(workspace::COUNTING_VARIABLE, workspace::counting_object());
    command::run(&mut cargo)
}
