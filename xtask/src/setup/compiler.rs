//! The compiler of the XDP program: one that has its own core sources and an LLVM that bpf-linker knows.
//!
//! A rustup nightly is preferred; then another rustup toolchain; then Debian's rustc-web, cargo-web and rust-web-src.

mod version;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail};

use super::announce;
use super::apt::Apt;
use crate::command;
pub(crate) use version::Version;

/// The nightly that is installed where there is none: dated, because the newest may have an LLVM without packages.
const NIGHTLY: &str = "nightly-2026-05-20";

const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

/// A compiler that can build the XDP program.
pub(crate) struct Compiler {
    origin: Origin,
    /// What it says of itself.
    pub(crate) version: Version,
    sysroot: PathBuf,
}

#[derive(Clone)]
enum Origin {
    Rustup { toolchain: String },
    Debian,
}

impl Compiler {
    /// The cargo of this compiler, with unstable features allowed and the outer cargo's choices cleared.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = self.origin.program("cargo");
        if !self.version.nightly {
            cargo.env("RUSTC_BOOTSTRAP", "1");
        }
        if let Origin::Debian = self.origin {
            cargo.env("RUSTC", DEBIAN_RUSTC);
        }
        cargo
    }

    /// Whether `cargo clippy` works with it.
    pub(crate) fn has_clippy(&self) -> bool {
        self.sysroot.join("bin/cargo-clippy").exists()
    }

    fn has_core_sources(&self) -> bool {
        self.sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml").exists()
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Version { release, llvm, .. } = &self.version;
        match &self.origin {
            Origin::Rustup { toolchain } => write!(f, "rustup {toolchain}: rustc {release}, LLVM {llvm}"),
            Origin::Debian => write!(f, "{DEBIAN_RUSTC}: rustc {release}, LLVM {llvm}"),
        }
    }
}

impl Origin {
    fn program(&self, name: &str) -> Command {
        match self {
            Self::Rustup { toolchain } => {
                let mut rustup = command::without_toolchain("rustup");
                rustup.args(["run", toolchain, name]);
                rustup
            }
            Self::Debian => command::without_toolchain(Path::new(DEBIAN_RUSTC).with_file_name(name)),
        }
    }

    /// The compiler of this origin, unless it is absent or unfit; it may still lack its core sources.
    fn inspect(self) -> Option<Compiler> {
        let version = Version::parse(&command::quiet_output(self.program("rustc").arg("-vV"))?)?;
        if !version.is_fit() {
            return None;
        }
        let sysroot = command::quiet_output(self.program("rustc").args(["--print", "sysroot"]))?;
        Some(Compiler { origin: self, version, sysroot: PathBuf::from(sysroot.trim_end()) })
    }
}

/// The compiler, completed or installed if there is none.
pub(super) fn ensure(apt: &mut Apt) -> Result<Compiler> {
    let toolchains = rustup_toolchains();
    let rustup: Vec<Compiler> = toolchains
        .iter()
        .filter_map(|toolchain| Origin::Rustup { toolchain: toolchain.clone() }.inspect())
        .collect();
    let nightly =
        rustup.iter().find(|compiler| compiler.version.nightly).map(|compiler| compiler.origin.clone());
    if let Some(compiler) = rustup.into_iter().chain(debian()).find(Compiler::has_core_sources) {
        return Ok(compiler);
    }
    install_with_rustup(nightly).or_else(|error| {
        announce(&format!("no compiler from rustup: {error:#}"));
        install_with_apt(apt)
    })
}

fn debian() -> Option<Compiler> {
    (Path::new(DEBIAN_RUSTC).exists() && Path::new(DEBIAN_CARGO).exists())
        .then(|| Origin::Debian.inspect())?
}

/// The toolchains of rustup, the ones that we would rather use first.
fn rustup_toolchains() -> Vec<String> {
    let listed = command::quiet_output(command::without_toolchain("rustup").args(["toolchain", "list"]));
    by_preference(&listed.unwrap_or_default())
}

fn by_preference(listed: &str) -> Vec<String> {
    let mut toolchains: Vec<String> =
        listed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    toolchains.sort_by_key(|name| match name {
        name if name.starts_with(NIGHTLY) => 0,
        name if name.starts_with("nightly-") && !name.starts_with("nightly-2") => 1,
        name if name.starts_with("nightly") => 2,
        _ => 3,
    });
    toolchains
}

/// Completes the nightly that is there, or installs one.
fn install_with_rustup(nightly: Option<Origin>) -> Result<Compiler> {
    if command::find("rustup").is_none() {
        bail!("rustup is not installed");
    }
    let mut rustup = command::without_toolchain("rustup");
    let toolchain = if let Some(Origin::Rustup { toolchain }) = nightly {
        rustup.args(["component", "add", "rust-src", "--toolchain", &toolchain]);
        toolchain
    } else {
        rustup.args(["toolchain", "install", NIGHTLY, "--component", "rust-src", "--profile", "minimal"]);
        NIGHTLY.to_owned()
    };
    announce(&format!("installing a compiler with core sources: {}", command::line(&rustup)));
    command::output(rustup.env_remove("RUST_BACKTRACE"))?;
    let compiler =
        Origin::Rustup { toolchain: toolchain.clone() }.inspect().filter(Compiler::has_core_sources);
    compiler
        .with_context(|| format!("the toolchain {toolchain} was completed, but cannot build the XDP program"))
}

/// Installs Debian's compiler, which comes with its sources in a package of its own.
fn install_with_apt(apt: &mut Apt) -> Result<Compiler> {
    apt.install(&DEBIAN_PACKAGES, "compiling the XDP program").map_err(|error| {
        anyhow!("{error:#}, or `rustup toolchain install {NIGHTLY} --component rust-src --profile minimal`")
    })?;
    debian().filter(Compiler::has_core_sources).with_context(|| {
        format!(
            "{} were installed, but {DEBIAN_RUSTC} cannot build the XDP program",
            DEBIAN_PACKAGES.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::by_preference;

    #[test]
    fn the_tested_nightly_comes_first_and_stable_last() {
        let listed = "stable-x86_64-unknown-linux-gnu (active, default)\n\
                      nightly-2025-01-01-x86_64-unknown-linux-gnu\n\
                      nightly-x86_64-unknown-linux-gnu\n\
                      nightly-2026-05-20-x86_64-unknown-linux-gnu\n";
        let expected = [
            "nightly-2026-05-20-x86_64-unknown-linux-gnu",
            "nightly-x86_64-unknown-linux-gnu",
            "nightly-2025-01-01-x86_64-unknown-linux-gnu",
            "stable-x86_64-unknown-linux-gnu",
        ];
        assert_eq!(by_preference(listed), expected);
        assert!(by_preference("").is_empty());
    }
}
