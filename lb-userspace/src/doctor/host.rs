//! What the kernel, its file systems and the rights of this process are to be.

use std::path::Path;

use super::facts::{Facts, Host};
use super::{Check, Mend, Said, Severity};

pub(super) const CHECKS: &[Check<Host>] = &[
    ("root", root),
    ("capabilities", capabilities),
    ("kernel", kernel),
    ("btf", btf),
    ("jit", jit),
    ("bpffs", bpffs),
];

/// The oldest kernel that takes the program.
const OLDEST: (u32, u32) = (6, 1);
/// Where a BPF file system is usually.
const USUAL_BPFFS: &str = "/sys/fs/bpf";

fn root(host: &Host, _: &Facts) -> Said {
    let text = "this is not root: neighbours cannot be asked, programs cannot be loaded";
    (!host.is_root).then(|| (Severity::Fault, text.to_owned(), Some(Mend::here("sudo xlvs doctor"))))
}

fn capabilities(host: &Host, _: &Facts) -> Said {
    let names = host.missing.join(", ");
    let text = format!("root lacks {names} here, as in a container without privileges: give it these");
    (host.is_root && !host.missing.is_empty()).then_some((Severity::Fault, text, None))
}

fn kernel(host: &Host, _: &Facts) -> Said {
    let text = format!("Linux {} is older than {}.{}: boot a newer one", host.release, OLDEST.0, OLDEST.1);
    (host.kernel()? < OLDEST).then_some((Severity::Fault, text, None))
}

fn btf(host: &Host, _: &Facts) -> Said {
    let text = "there is no /sys/kernel/btf/vmlinux: boot a kernel with CONFIG_DEBUG_INFO_BTF";
    (!host.has_btf).then(|| (Severity::Fault, text.to_owned(), None))
}

fn jit(host: &Host, _: &Facts) -> Said {
    let text = "the BPF JIT is off: every packet is interpreted, many times as slow";
    let mend = || Some(Mend::here("sysctl -w net.core.bpf_jit_enable=1"));
    (host.jit == Some(0)).then(|| (Severity::Warning, text.to_owned(), mend()))
}

fn bpffs(host: &Host, _: &Facts) -> Said {
    if host.is_bpffs {
        return None;
    }
    let pins = &host.pins;
    let command = if Path::new(pins).starts_with(USUAL_BPFFS) {
        format!("mount -t bpf bpf {USUAL_BPFFS}")
    } else {
        format!("mkdir -p {pins} && mount -t bpf bpf {pins}")
    };
    let text = format!("{pins} is not on a BPF file system: maps cannot be pinned");
    Some((Severity::Fault, text, Some(Mend::here(command))))
}
