//! cargo-fuzz, which builds and runs the fuzz targets.

use std::env;

use anyhow::{Context as _, Result};

use super::announce;
use crate::command;

const VERSION: &str = "0.13.2";

/// Installs cargo-fuzz if it is missing.
pub(crate) fn ensure() -> Result<()> {
    if is_there() {
        return Ok(());
    }
    announce(&format!("installing cargo-fuzz {VERSION} with cargo install (about a minute)"));
    let mut cargo = cargo();
    cargo.args(["install", "cargo-fuzz", "--version", VERSION, "--locked"]);
    command::output(&mut cargo)
        .with_context(|| format!("cargo-fuzz is not installed; by hand: `{}`", command::line(&cargo)))
        .map(drop)
}

/// Cargo finds its subcommands on PATH and where it installs them.
fn is_there() -> bool {
    command::quiet_output(cargo().args(["fuzz", "--version"])).is_some()
}

fn cargo() -> std::process::Command {
    command::clean(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
