//! bpf-linker, built for the LLVM that the compiler of the XDP program reports.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::announce;
use super::apt::Apt;
use crate::command;

const VERSION: &str = "0.13.0";

/// The linker for that LLVM, installed if it is missing.
pub(super) fn ensure(apt: &mut Apt, llvm: u32) -> Result<PathBuf> {
    if let Some(linker) = find(llvm) {
        return Ok(linker);
    }
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    if !prefix.join("bin/llvm-config").exists() {
        apt.install(&[&format!("llvm-{llvm}-dev")], "building bpf-linker")?;
    }
    announce(&format!("installing bpf-linker {VERSION} for LLVM {llvm} with cargo install (about a minute)"));
    install(&prefix, llvm)?;
    find(llvm).with_context(|| {
        format!("bpf-linker {VERSION} was installed, but it is neither on PATH nor in cargo's bin directory for LLVM {llvm}")
    })
}

fn install(prefix: &Path, llvm: u32) -> Result<()> {
    let feature = format!("llvm-{llvm}");
    let mut cargo = command::clean(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.env("LLVM_PREFIX", prefix).env("PATH", path_with(&prefix.join("bin"))?);
    cargo.args(["install", "bpf-linker", "--version", VERSION, "--locked", "--force"]);
    cargo.args(["--no-default-features", "--features", &feature]);
    command::output(&mut cargo)
        .with_context(|| {
            let prefix = prefix.display();
            format!(
                "bpf-linker is not installed; by hand: `LLVM_PREFIX={prefix} PATH={prefix}/bin:$PATH \
                 cargo install bpf-linker --version {VERSION} --no-default-features --features {feature}`"
            )
        })
        .map(drop)
}

fn path_with(first: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::join_paths([first.to_path_buf()].into_iter().chain(env::split_paths(&path)))
        .context("PATH cannot be extended")
}

/// The first linker, on PATH or where cargo installs, that is of our version and that LLVM.
fn find(llvm: u32) -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let installed = home.map(|home| home.join("bin/bpf-linker"));
    [command::find("bpf-linker"), installed].into_iter().flatten().find(|linker| fits(linker, llvm).is_ok())
}

fn fits(linker: &Path, llvm: u32) -> Result<()> {
    let version = command::quiet_output(command::clean(linker).arg("--version")).context("does not run")?;
    ensure!(is_our_version(&version), "is another version");
    let libraries = command::quiet_output(command::clean("ldd").arg(linker)).unwrap_or_default();
    // One that is linked statically does not tell its LLVM: whoever put it there knows.
    ensure!(linked_llvm(&libraries).is_none_or(|linked| linked == llvm), "is of another LLVM");
    Ok(())
}

/// Whether `bpf-linker --version` tells a release that is compatible with ours.
fn is_our_version(text: &str) -> bool {
    let series = |version: &str| version.rsplit_once('.').map(|(series, _)| series.to_owned());
    let version = text.trim().strip_prefix("bpf-linker ").unwrap_or_default();
    series(version).is_some_and(|found| Some(found) == series(VERSION))
}

/// The major version of the LLVM library in the output of ldd: `libLLVM.so.22.1` or `libLLVM-22.so.1`.
fn linked_llvm(libraries: &str) -> Option<u32> {
    let (_, rest) = libraries.split_once("libLLVM")?;
    let digits = rest.strip_prefix(".so.").or_else(|| rest.strip_prefix('-'))?;
    digits.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_of_a_linker_is_read_from_ldd() {
        let shared = "\tlibLLVM.so.22.1 => /usr/lib/llvm-22/lib/libLLVM.so.22.1 (0x00007f1d75600000)\n";
        assert_eq!(linked_llvm(shared), Some(22));
        assert_eq!(linked_llvm("\tlibLLVM-19.so.1 => /usr/lib/libLLVM-19.so.1 (0x1)\n"), Some(19));
        assert_eq!(linked_llvm("\tlibc.so.6 => /lib/libc.so.6 (0x1)\n"), None);
    }

    #[test]
    fn another_patch_release_fits_and_another_series_does_not() {
        assert!(is_our_version("bpf-linker 0.13.0\n"));
        assert!(is_our_version("bpf-linker 0.13.7\n"));
        assert!(!is_our_version("bpf-linker 0.12.0\n"));
        assert!(!is_our_version("bpf-linker 0.130.0\n"));
        assert!(!is_our_version(""));
    }
}
