//! `cargo xtask run`: the demonstration on the embedded lab, or the binary on a real interface.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};

use crate::setup::{self, Level};
use crate::{build, command, workspace};

/// Arguments of `cargo xtask run`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// A real interface to run on; may be given several times. Without one the embedded lab is run
    #[arg(long, value_name = "IF")]
    iface: Vec<String>,
    /// The configuration for the real interface
    #[arg(long, value_name = "FILE", requires = "iface", default_value = "/etc/keepalived/keepalived.conf")]
    config: PathBuf,
    /// How to attach to the real interface [default: the binary's own]
    #[arg(long, value_enum, requires = "iface")]
    mode: Option<Mode>,
}

/// How the XDP program is attached.
#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Native,
    Generic,
}

/// Sets up, builds and runs.
pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    command::require_root("cargo xtask run")?;
    if arguments.iface.is_empty() {
        build::all(&setup::ensure(Level::Lab)?)?;
        return lb_tests::demo::run();
    }
    build::all(&setup::ensure(Level::Build)?)?;
    setup::mount_bpffs()?;
    on_interfaces(arguments)
}

/// Becomes the binary, so that signals reach it and its exit code is ours.
fn on_interfaces(arguments: &Arguments) -> Result<()> {
    let mut xlvs = command::clean(workspace::binary());
    xlvs.arg("run").arg("-f").arg(&arguments.config);
    for interface in &arguments.iface {
        xlvs.args(["--iface", interface]);
    }
    match arguments.mode {
        Some(Mode::Native) => xlvs.args(["--mode", "native"]),
        Some(Mode::Generic) => xlvs.args(["--mode", "generic"]),
        None => &mut xlvs,
    };
    let error = xlvs.exec();
    Err(error).with_context(|| format!("cannot start {}", workspace::binary().display()))
}
