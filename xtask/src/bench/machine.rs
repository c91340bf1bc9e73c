//! What figures depend on besides the programs.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{command, workspace};

const CACHES: &str = "/sys/devices/system/cpu/cpu0/cache";
const VULNERABILITIES: &str = "/sys/devices/system/cpu/vulnerabilities";

/// The machine now, and the commit that is checked out, if that is what was built.
pub(super) fn machine(is_built: bool) -> Result<Value> {
    let read = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let cpu = read("/proc/cpuinfo").context("/proc/cpuinfo")?;
    let of_cpu = |name: &str| {
        let mut facts = cpu.lines().filter_map(|line| line.split_once(':'));
        facts.find_map(|(fact, text)| (fact.trim() == name).then(|| text.trim().to_owned()))
    };
    let model: Option<Vec<_>> = ["cpu family", "model", "stepping"].into_iter().map(of_cpu).collect();
    let memory = read("/proc/meminfo").unwrap_or_default();
    let is_virtual = of_cpu("flags").map(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor"));
    Ok(json!({
        "date": command::quiet_output(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"])).map(trimmed),
        "commit": is_built.then(commit).flatten(),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "cpu": of_cpu("model name"),
        "family_model_stepping": model.map(|numbers| numbers.join("/")),
        "caches": caches(),
        "cpus": std::thread::available_parallelism()?.get(),
        "virtual": is_virtual,
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory_kilobytes": kilobytes(&memory, "MemTotal"),
        "huge_pages": read("/sys/kernel/mm/transparent_hugepage/enabled").and_then(|text| chosen(&text)),
        "jit": read("/proc/sys/net/core/bpf_jit_enable").map(|enabled| enabled != "0"),
        "mitigations": mitigations(),
        "driver": "veth",
        "frame_bytes": super::traffic::FRAME,
    }))
}

/// The commit's hash, and whether something is not committed.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        command::quiet_output(Command::new("git").current_dir(workspace::root()).args(arguments)).map(trimmed)
    };
    let hash = git(&["rev-parse", "--short=12", "HEAD"])?;
    let is_changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
    Some(if is_changed { format!("{hash} with changes") } else { hash })
}

/// How large the caches are that the first processor has or shares, by level and kind.
fn caches() -> BTreeMap<String, String> {
    let read = |index: u32, fact: &str| {
        fs::read_to_string(format!("{CACHES}/index{index}/{fact}")).ok().map(|text| text.trim().to_owned())
    };
    let cache =
        |index| Some((format!("L{} {}", read(index, "level")?, read(index, "type")?), read(index, "size")?));
    (0..).map_while(cache).collect()
}

/// What the kernel does against each vulnerability of the processor.
fn mitigations() -> BTreeMap<String, String> {
    let Ok(files) = fs::read_dir(VULNERABILITIES) else { return BTreeMap::new() };
    let files = files.filter_map(|file| {
        let file = file.ok()?;
        Some((file.file_name().into_string().ok()?, trimmed(fs::read_to_string(file.path()).ok()?)))
    });
    files.collect()
}

#[expect(clippy::needless_pass_by_value, reason = "it is mapped over what was read")]
fn trimmed(text: String) -> String {
    text.trim().to_owned()
}

/// The number of a line such as `MemTotal:       24567 kB`.
pub(super) fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Of `always [madvise] never` what is in brackets.
fn chosen(text: &str) -> Option<String> {
    Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        assert_eq!(kilobytes("MemFree: 1 kB\nMemTotal:       24 kB\n", "MemTotal"), Some(24));
        assert_eq!(kilobytes("VmRSSx: 1 kB\n", "VmRSS"), None);
        assert_eq!(chosen("always [madvise] never").as_deref(), Some("madvise"));
        assert_eq!(chosen("none"), None);
    }
}
