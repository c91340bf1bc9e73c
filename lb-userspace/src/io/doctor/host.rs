//! What the machine is.

use std::{fs, path::Path};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use crate::{doctor::facts::Host, io::sysctl};

/// The rights that the director needs, with their numbers in `linux/capability.h`.
const RIGHTS: [(u32, &str); 5] =
    [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW"), (21, "CAP_SYS_ADMIN"), (38, "CAP_PERFMON"), (39, "CAP_BPF")];

/// Looks at it; `pins` is the directory of pinned maps, which need not be there.
pub(super) fn host(pins: &Path) -> Host {
    let there = pins.ancestors().find(|path| path.exists()).unwrap_or_else(|| Path::new("/"));
    let uname = nix::sys::utsname::uname();
    Host {
        release: uname.map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default(),
        has_btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        jit: sysctl::of_net("core/bpf_jit_enable"),
        pins: pins.display().to_string(),
        is_bpffs: statfs(there).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC),
        is_root: nix::unistd::geteuid().is_root(),
        missing: missing(),
        cpus: online(),
        possible: aya::util::nr_cpus().ok().and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
        forwards: sysctl::of_net("ipv4/ip_forward").is_some_and(|value| value != 0),
    }
}

/// Those of [`RIGHTS`] that this process has not.
fn missing() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let Some(held) = line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()) else {
        return Vec::new();
    };
    let lacking = RIGHTS.iter().filter(|(number, _)| held & (1 << number) == 0);
    lacking.map(|(_, name)| (*name).to_owned()).collect()
}

/// The processors that are online.
fn online() -> u32 {
    let count = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1)
}
