//! `cargo xtask bench memory`: bytes for each IPv4 flow in a table that is filled as documented, with everything: all
//! maps as the kernel accounts for them, and what is resident of the daemon.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use lb_common::sched::Scheduler;
use lb_tests::director::Director;
use lb_tests::process;
use serde_json::{Value, json};

use super::document::{Better, Document, Measurement};
use super::flows::slots;
use super::pool::Pool;
use super::rig::{Rig, Setting};
use super::spread::Spread;
use super::subject::{Program, Subject};

/// The map with the flows.
const FLOWS: &str = "flows4";
/// How a process's mapping of a map is called.
const MAPPED: &str = "bpf-map";
const SERVERS: usize = 3;

/// Arguments of `cargo xtask bench memory`.
#[derive(Args)]
pub(super) struct Arguments {
    /// Number of flows; the table has four slots for each, rounded up to a power of two
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..=16_000_000))]
    flows: u32,
}

/// Fills the table and prints what there is then.
pub(super) fn main(arguments: &Arguments, document: &mut Document) -> Result<()> {
    let (flows, schedulers) = (arguments.flows, [Scheduler::Rr]);
    let flow_slots = slots(flows, 1).context("too many flows for one flow table")?;
    let programs = [Program::xlvs("xlvs")];
    let mut rig = Rig::alike(&programs, Setting::usual(&schedulers, Pool::of(SERVERS), flow_slots))?;
    let subject = &Subject::of(&programs, &schedulers)[0];
    rig.warm_up(subject, flows, flows)?;
    let known = rig.connections(subject.host, Scheduler::Rr)?;
    // A frame of the first turn may be lost, and its flow opens in the second.
    ensure!(known == u64::from(flows), "{known} connections were opened and not {flows}");
    let director = rig.directors().next().context("no daemon")?;
    let parts = parts(director)?;
    let all: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
    let title = format!("{flows} IPv4 flows in {flow_slots} slots");
    println!("\n{title:<44} {:>12}  bytes/flow", "bytes");
    let mut measurement = Measurement::new("memory", title, "bytes/flow", Better::Less);
    for (name, bytes) in parts.into_iter().chain([("all", all)]) {
        let each = bytes as f64 / f64::from(flows);
        println!("  {name:<42} {bytes:>12}  {each:>10.1}");
        measurement = measurement.row(name, Spread::one(each), None, json!({ "bytes": bytes }));
    }
    document.add(measurement);
    Ok(())
}

/// Bytes by what they are for.
fn parts(director: &Director) -> Result<[(&'static str, u64); 3]> {
    let (mut table, mut others) = (0, 0);
    for pin in director.pins() {
        let Some(bytes) = accounted(&director.pin_dir().join(&pin))? else { continue };
        *(if pin == FLOWS { &mut table } else { &mut others }) += bytes;
    }
    ensure!(table > 0, "there is no map {FLOWS}");
    let pid = director.pid().context("no daemon")?;
    let path = format!("/proc/{pid}/smaps");
    let daemon = resident(&fs::read_to_string(&path).context(path)?);
    Ok([
        ("the flow table", table),
        ("the other maps", others),
        ("the daemon, resident, without maps", daemon),
    ])
}

/// What the kernel accounts for a pinned map; nothing, if something else is pinned there.
fn accounted(pin: &Path) -> Result<Option<u64>> {
    let output = Command::new("bpftool").args(["-j", "map", "show", "pinned"]).arg(pin).output();
    let output = output.context("bpftool")?;
    if !output.status.success() {
        // A link: bpftool says that it is no map.
        process::output(Command::new("bpftool").args(["-j", "link", "show", "pinned"]).arg(pin))?;
        return Ok(None);
    }
    let map: Value = serde_json::from_slice(&output.stdout)?;
    let bytes = map["bytes_memlock"].as_u64();
    Ok(Some(bytes.with_context(|| format!("bpftool says of {}: {map}", pin.display()))?))
}

/// Resident bytes in /proc/PID/smaps but for those of maps, which the kernel accounts for already.
fn resident(smaps: &str) -> u64 {
    let (mut bytes, mut is_map) = (0, false);
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("Rss:"), Some(kilobytes)) if !is_map => bytes += kilobytes.parse().unwrap_or(0) * 1024,
            // A mapping's first line begins with its addresses.
            (Some(first), _) if !first.ends_with(':') => is_map = line.contains(MAPPED),
            _ => {}
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_maps_are_not_counted_twice() {
        let smaps = "7f0-7f1 rw-p 00000000 00:00 0\nSize: 8 kB\nRss: 4 kB\nPss: 4 kB\n\
                     7f2-7f3 r--s 00000000 00:0e 11 anon_inode:bpf-map\nRss: 1000 kB\n\
                     7f4-7f5 r-xp 00000000 fe:00 12 /usr/bin/xlvs\nRss: 16 kB\nVmFlags: rd ex\n";
        assert_eq!(resident(smaps), 20 * 1024);
    }
}
