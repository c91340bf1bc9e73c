//! `cargo xtask build`: the XDP program, then the binary that embeds it.

use std::env::consts::ARCH;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::setup::{self, Level, Tools};
use crate::{command, workspace};

/// Sets up and builds.
pub(crate) fn main() -> Result<()> {
    all(&setup::ensure(Level::Build)?)?;
    println!("built {}", workspace::binary().display());
    Ok(())
}

/// Builds the XDP program and the binary.
pub(crate) fn all(tools: &Tools) -> Result<()> {
    program(tools)?;
    command::run(workspace::cargo("build").args(["--release", "--package", "lb-userspace"]))
}

/// Builds the XDP program's object.
pub(crate) fn program(tools: &Tools) -> Result<()> {
    command::run(bpf_cargo(tools, "build").arg("--bins"))?;
    let object = workspace::object();
    ensure!(object.exists(), "lb-ebpf was built, but there is no {}", object.display());
    Ok(())
}

/// The feature by which the XDP program counts its lookups.
pub(crate) const COUNTING: &str = "count-lookups";

/// Builds the XDP program that counts its lookups.
pub(crate) fn counting_program(tools: &Tools) -> Result<()> {
    let mut cargo = bpf_cargo_under(workspace::COUNTING_PROFILE, tools, "build");
    command::run(cargo.args(["--bin", "xlvs-bpf", "--features", COUNTING]))?;
    let object = workspace::counting_object();
    ensure!(object.exists(), "lb-ebpf was built, but there is no {}", object.display());
    Ok(())
}

/// A cargo subcommand on the XDP program, for its target and with its flags.
pub(crate) fn bpf_cargo(tools: &Tools, subcommand: &str) -> Command {
    bpf_cargo_under("release", tools, subcommand)
}

fn bpf_cargo_under(profile: &str, tools: &Tools, subcommand: &str) -> Command {
    let mut cargo = tools.compiler.cargo();
    cargo.current_dir(workspace::root()).arg(subcommand);
    cargo.args([
        "--profile",
        profile,
        "--package",
        "lb-ebpf",
        "--target",
        workspace::BPF_TARGET,
        "-Zbuild-std=core",
    ]);
    cargo.arg("--target-dir").arg(workspace::bpf_target_directory());
    cargo.env("CARGO_ENCODED_RUSTFLAGS", rustflags(&tools.linker)).env_remove("RUSTFLAGS");
    // Whatever the user's configuration says: split into incremental units the code would be one that nobody has
    // shown to the verifier.
    cargo.env("CARGO_INCREMENTAL", "0");
    cargo
}

/// Headers lie at any address in a frame: read them in one load instead of byte by byte.
const FEATURES: &str = "-Ctarget-feature=+allows-misaligned-mem-access";

/// The flags as cargo wants them in one variable, separated by the unit separator.
fn rustflags(linker: &Path) -> String {
    let linker = format!("-Clinker={}", linker.display());
    // aya-ebpf chooses the layout of kernel structures such as pt_regs by this.
    let kernel = format!("--cfg=bpf_target_arch=\"{ARCH}\"");
    [&*kernel, "-Cdebuginfo=2", &linker, "-Ctarget-cpu=v3", FEATURES, "-Clink-arg=--btf"].join("\x1f")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_separated_so_that_a_path_may_have_spaces() {
        let flags = rustflags(Path::new("/home/a user/bin/bpf-linker"));
        assert_eq!(flags.split('\x1f').count(), 6);
        assert!(flags.split('\x1f').any(|flag| flag == "-Clinker=/home/a user/bin/bpf-linker"));
    }
}
