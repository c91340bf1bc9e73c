//! What the machine must have before a lab can be built on it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use crate::{netns, process};

/// Where the BPF file system is.
pub(crate) const BPFFS: &str = "/sys/fs/bpf";

/// The `xlvs` of `XLVS_BIN`, or the release build.
pub fn binary() -> PathBuf {
    std::env::var_os("XLVS_BIN").map_or_else(
        || {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            std::env::var_os("CARGO_TARGET_DIR")
                .map_or(root.join("target"), PathBuf::from)
                .join("release/xlvs")
        },
        PathBuf::from,
    )
}

/// Makes sure that a lab with `xlvs` at `binary` can be built, and removes what labs that died have left.
pub(crate) fn check(binary: &Path) -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "the lab makes network namespaces: run it as root");
    ensure!(
        binary.is_file(),
        "no xlvs at {}: build it with `cargo xtask build`, or name it in XLVS_BIN",
        binary.display()
    );
    for tool in ["ip", "ethtool", "nginx", "bpftool", "ping"] {
        let found = process::output(Command::new("sh").args(["-c", &format!("command -v {tool}")]));
        ensure!(found.is_ok(), "the lab needs `{tool}`, which is not installed: run `cargo xtask setup`");
    }
    if statfs(BPFFS).with_context(|| BPFFS)?.filesystem_type() != BPF_FS_MAGIC {
        mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("mount a BPF file system on {BPFFS}"))?;
    }
    netns::remove_leftovers(Path::new(BPFFS), &std::env::temp_dir())
}
