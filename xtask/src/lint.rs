//! `cargo xtask lint`: formatting, clippy, documentation and dependencies; a warning is a failure.

use anyhow::Result;

use crate::setup::{self, Level, Tools};
use crate::{build, command, workspace};

/// Sets up and runs every check, stopping at the first that fails.
pub(crate) fn main() -> Result<()> {
    let tools = setup::ensure(Level::Build)?;
    command::run(workspace::cargo("fmt").args(["--all", "--check"]))?;
    // The controller embeds the object, so it cannot even be checked without one.
    build::program(&tools)?;
    command::run(
        workspace::cargo("clippy")
            .args(["--workspace", "--exclude", "lb-ebpf", "--all-targets"])
            .args(DENY_WARNINGS),
    )?;
    program(&tools)?;
    command::run(
        workspace::cargo("doc")
            .args(["--no-deps", "--workspace", "--exclude", "lb-ebpf"])
            .env("RUSTDOCFLAGS", "-Dwarnings"),
    )?;
    dependencies()
}

const DENY_WARNINGS: [&str; 3] = ["--", "-D", "warnings"];

fn program(tools: &Tools) -> Result<()> {
    if !tools.compiler.has_clippy() {
        println!(
            "lint: left out: clippy on lb-ebpf, because its compiler ({}) has no clippy",
            tools.compiler
        );
        return Ok(());
    }
    // lb-common is held to the host's clippy, whose lints do not change from night to night.
    let clippy = |features: &[&str]| {
        let mut cargo = build::bpf_cargo(tools, "clippy");
        command::run(cargo.args(["--bins", "--no-deps"]).args(features).args(DENY_WARNINGS))
    };
    clippy(&[])?;
    clippy(&["--features", build::COUNTING])
}

fn dependencies() -> Result<()> {
    if command::find("cargo-deny").is_none() {
        println!(
            "lint: left out: cargo deny, because it is not installed (`cargo install cargo-deny --locked`)"
        );
        return Ok(());
    }
    command::run(workspace::cargo("deny").arg("check"))
}
