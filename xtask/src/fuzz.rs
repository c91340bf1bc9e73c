//! `cargo xtask fuzz`: arbitrary bytes for the parsers, until the time is over or one of them fails.

use std::fs;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::setup::{self, Level, fuzzer};
use crate::{build, command, workspace};

/// Arguments of `cargo xtask fuzz`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// How long it runs, without the time to build it
    #[arg(long, value_name = "N", default_value_t = 600)]
    seconds: u32,
}

/// The only fuzz target.
const TARGET: &str = "advert";

/// Sets up, builds and runs; what is found interesting stays in target/fuzz for the next time.
pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    let tools = setup::ensure(Level::Build)?;
    fuzzer::ensure()?;
    // The controller embeds the object, so that not even its parsers can be built without one.
    build::program(&tools)?;
    let target = workspace::root().join("target/fuzz");
    let corpus = target.join("corpus").join(TARGET);
    fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
    let mut cargo = tools.compiler.cargo();
    cargo.current_dir(workspace::root()).env(workspace::OBJECT_VARIABLE, workspace::object());
    // Safe code has nothing that a sanitizer would find, and not every compiler brings one.
    cargo.args(["fuzz", "run", "--sanitizer", "none", "--target-dir"]).arg(&target);
    cargo.arg(TARGET).arg(&corpus).arg(workspace::root().join("fuzz/seeds").join(TARGET));
    cargo.args(["--", "-max_len=1200", "-print_final_stats=1"]);
    cargo.arg(format!("-max_total_time={}", arguments.seconds));
    command::run(&mut cargo)
}
