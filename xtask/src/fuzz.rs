//! `cargo xtask fuzz`: arbitrary bytes for the parsers, until the time is over or one of them fails.

use std::fs;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::setup::{self, Level, Tools, fuzzer};
use crate::{build, command, workspace};

/// Arguments of `cargo xtask fuzz`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// How long each target runs, without the time to build it
    #[arg(long, value_name = "N", default_value_t = 600)]
    seconds: u32,
    /// Only this target; may be repeated
    #[arg(long = "target", value_name = "NAME", value_parser = TARGETS.map(|target| target.name))]
    targets: Vec<String>,
}

struct Target {
    name: &'static str,
    /// Where it begins from.
    seeds: &'static str,
    /// More bytes than this serve nothing.
    longest: u32,
}

const TARGETS: [Target; 4] = [
    Target { name: "advert", seeds: "fuzz/seeds/advert", longest: 1200 },
    Target { name: "answer", seeds: "fuzz/seeds/answer", longest: 256 },
    Target { name: "control", seeds: "fuzz/seeds/control", longest: 4096 },
    Target { name: "config", seeds: "lb-userspace/tests/fixtures/seeds", longest: 8192 },
];

/// Sets up, builds and runs; what is found interesting stays in target/fuzz for the next time.
pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    let tools = setup::ensure(Level::Build)?;
    fuzzer::ensure()?;
    // The controller embeds the object, so that not even its parsers can be built without one.
    build::program(&tools)?;
    let wanted = &arguments.targets;
    let is_wanted = |target: &&Target| wanted.is_empty() || wanted.iter().any(|name| name == target.name);
    TARGETS.iter().filter(is_wanted).try_for_each(|target| run(target, arguments.seconds, &tools))
}

fn run(target: &Target, seconds: u32, tools: &Tools) -> Result<()> {
    let directory = workspace::root().join("target/fuzz");
    let corpus = directory.join("corpus").join(target.name);
    fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
    let mut cargo = tools.compiler.cargo();
    cargo.current_dir(workspace::root()).env(workspace::OBJECT_VARIABLE, workspace::object());
    // Safe code has nothing that a sanitizer would find, and not every compiler brings one.
    cargo.args(["fuzz", "run", "--sanitizer", "none", "--target-dir"]).arg(&directory);
    cargo.arg(target.name).arg(&corpus).arg(workspace::root().join(target.seeds));
    cargo.args(["--", "-print_final_stats=1"]);
    cargo.arg(format!("-max_len={}", target.longest)).arg(format!("-max_total_time={seconds}"));
    command::run(&mut cargo)
}
