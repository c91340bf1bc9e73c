//! Where things are in this workspace, and the cargo that builds its host side.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;

/// The environment variable that names the XDP program's object for lb-userspace and the tests.
pub(crate) const OBJECT_VARIABLE: &str = "XLVS_BPF_OBJECT";

/// The environment variable that names the binary under test.
pub(crate) const BINARY_VARIABLE: &str = "XLVS_BIN";

/// The environment variable that names the object that counts its lookups for the tests.
pub(crate) const COUNTING_VARIABLE: &str = "XLVS_COUNTING_OBJECT";

/// The target that the XDP program is built for.
pub(crate) const BPF_TARGET: &str = "bpfel-unknown-none";

/// The directory of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The target directory of the XDP program, apart from the host's so that neither waits for the other's lock.
pub(crate) fn bpf_target_directory() -> PathBuf {
    root().join("target/bpf")
}

/// The XDP program's object.
pub(crate) fn object() -> PathBuf {
    bpf_target_directory().join(BPF_TARGET).join("release/xlvs-bpf")
}

/// The one that counts its lookups.
pub(crate) fn counting_object() -> PathBuf {
    bpf_target_directory().join(BPF_TARGET).join(COUNTING_PROFILE).join("xlvs-bpf")
}

/// The profile it is built under, so that it does not take the place of the other.
pub(crate) const COUNTING_PROFILE: &str = "counting";

/// The object with the benchmark's programs.
pub(crate) fn bench_object() -> PathBuf {
    object().with_file_name("bench-bpf")
}

/// The binary that embeds the object.
pub(crate) fn binary() -> PathBuf {
    root().join("target/release/xlvs")
}

/// Where the guest's kernel is kept.
pub(crate) fn guest_directory() -> PathBuf {
    root().join("target/guest")
}

/// The cargo that runs us, for a subcommand on the host's side of the workspace.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let mut cargo = command::clean(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).env(OBJECT_VARIABLE, object()).env("CARGO_TARGET_DIR", root().join("target"));
    cargo.arg(subcommand);
    cargo
}
