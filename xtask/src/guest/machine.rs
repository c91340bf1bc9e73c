//! The emulated machine: qemu's command line and the kernel's, and waiting for the end.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use lb_tests::process::Running;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

use super::nic::Nic;
use crate::command;
use crate::setup::guest::Parts;

/// How many lines of the console are shown when the guest does not end as it should.
const LAST_LINES: usize = 40;

/// What is emulated.
pub(crate) struct Machine {
    /// MiB.
    pub(crate) memory: u32,
    pub(crate) cpus: u8,
    /// Whether a nanosecond is an instruction.
    pub(crate) count_instructions: bool,
    pub(crate) nics: Vec<Nic>,
}

impl Machine {
    /// Runs the machine to its end; hands back the status that it left.
    pub(super) fn run(
        &self,
        parts: &Parts,
        initramfs: &Path,
        out: &Path,
        work: &Path,
        timeout: Duration,
    ) -> Result<u8> {
        let (status, console) = (work.join("status"), work.join("console"));
        let mut qemu = self.qemu(parts, initramfs);
        qemu.args(port("terminal", "stdio,signal=off"));
        qemu.args(port("status", &format!("file,path={}", escaped(&status))));
        qemu.arg("-serial").arg(format!("file:{}", console.display()));
        qemu.args(files("host", Path::new("/"), ",readonly=on,multidevs=remap"));
        qemu.args(files("out", out, ""));
        // What the cards end in is to be in no network of the host's.
        let apart = if self.nics.is_empty() { CloneFlags::empty() } else { CloneFlags::CLONE_NEWNET };
        // SAFETY: two system calls, and nothing else, between fork and exec.
        unsafe { qemu.pre_exec(move || Ok(set_pdeathsig(Signal::SIGKILL).and_then(|()| unshare(apart))?)) };
        // An input that never ends: at its end qemu would close the port, and the guest could not write.
        qemu.stdin(Stdio::piped());
        let ended = Running::start("the guest", &mut qemu)?.ended("by itself (--timeout)", timeout);
        let status = fs::read_to_string(status).ok().and_then(|text| text.trim().parse().ok());
        ended
            .and_then(|ended| status.with_context(|| format!("the guest left no status; qemu: {ended}")))
            .map_err(|error| anyhow!("{error:#}; {}", last_lines(&console)))
    }

    fn qemu(&self, parts: &Parts, initramfs: &Path) -> Command {
        let mut qemu = command::clean("qemu-system-x86_64");
        qemu.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-net", "none"]);
        // Emulation makes a loop of `rep movsb`, byte by byte: without these the kernel copies words.
        qemu.args(["-machine", "pc,accel=tcg,hpet=off", "-cpu", "max,-erms,-fsrm"]);
        qemu.args(["-smp", &self.cpus.to_string(), "-m", &self.memory.to_string()]);
        if self.count_instructions {
            qemu.args(["-icount", "shift=0,sleep=off"]);
        }
        qemu.args(["-device", "virtio-serial-pci"]);
        for (number, nic) in self.nics.iter().enumerate() {
            qemu.args(nic.arguments(number));
        }
        qemu.arg("-kernel").arg(&parts.image);
        qemu.arg("-initrd").arg(initramfs).args(["-append", &self.parameters()]);
        qemu
    }

    /// The kernel's command line.
    fn parameters(&self) -> String {
        let mut parameters = vec!["console=ttyS0", "quiet", "loglevel=4", "panic=-1"];
        parameters.extend([
            "nokaslr",
            "mitigations=off",
            "transparent_hugepage=never",
            "random.trust_cpu=on",
        ]);
        parameters.push("tsc=reliable");
        if self.count_instructions {
            // The counter goes on with each instruction as well: what it is measured against would be a little off.
            parameters.push("tsc_early_khz=1000000");
        }
        parameters.join(" ")
    }
}

/// A port that leads to a file or the like of the host.
fn port(name: &str, leads_to: &str) -> [String; 4] {
    let (chardev, device) =
        (format!("{leads_to},id={name}"), format!("virtserialport,chardev={name},name={name}"));
    ["-chardev".into(), chardev, "-device".into(), device]
}

/// A directory of the host, by a name that the guest mounts.
fn files(name: &str, directory: &Path, options: &str) -> [String; 4] {
    let share = format!("local,id={name},path={},security_model=none{options}", escaped(directory));
    ["-fsdev".into(), share, "-device".into(), format!("virtio-9p-pci,fsdev={name},mount_tag={name}")]
}

/// A path among options, which a comma would end.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

fn last_lines(console: &Path) -> String {
    let text = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    match &lines[lines.len().saturating_sub(LAST_LINES)..] {
        [] => "its kernel said nothing".to_owned(),
        last => format!("its kernel said last:\n{}\n", last.join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(count_instructions: bool) -> String {
        Machine { memory: 512, cpus: 1, count_instructions, nics: Vec::new() }.parameters()
    }

    #[test]
    fn the_clock_is_told_its_rate_where_it_counts_instructions() {
        assert_eq!(parameters(true), parameters(false) + " tsc_early_khz=1000000");
    }

    #[test]
    fn a_comma_in_a_path_is_none_between_options() {
        let [_, share, ..] = files("out", Path::new("/a,b"), "");
        assert_eq!(share, "local,id=out,path=/a,,b,security_model=none");
    }
}
