//! The BPF file system, in which the running program pins its maps.

use std::fs;

use anyhow::{Context as _, Result, bail};

use super::announce;
use crate::command;

/// Where the BPF file system belongs.
pub(super) const DIRECTORY: &str = "/sys/fs/bpf";

/// Mounts the BPF file system unless it is mounted.
pub(crate) fn mount() -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
    if is_mounted(&mounts) {
        return Ok(());
    }
    let mut mount = command::clean("mount");
    mount.args(["-t", "bpf", "bpf", DIRECTORY]);
    if !command::is_root() {
        bail!("no BPF file system is mounted at {DIRECTORY}: run `sudo {}`", command::line(&mount));
    }
    announce(&format!("mounting the BPF file system at {DIRECTORY}"));
    command::output(&mut mount).context("xlvs pins its maps there; the kernel needs CONFIG_BPF_SYSCALL")?;
    Ok(())
}

fn is_mounted(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(DIRECTORY) && fields.next() == Some("bpf")
    })
}

#[cfg(test)]
mod tests {
    use super::is_mounted;

    #[test]
    fn only_a_bpf_mount_at_the_place_counts() {
        assert!(is_mounted("proc /proc proc rw 0 0\nbpf /sys/fs/bpf bpf rw,mode=700 0 0\n"));
        assert!(!is_mounted("bpf /mnt/bpf bpf rw 0 0\n"));
        assert!(!is_mounted("tmpfs /sys/fs/bpf tmpfs rw 0 0\n"));
        assert!(!is_mounted(""));
    }
}
