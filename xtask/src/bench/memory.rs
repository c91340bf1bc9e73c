//! `cargo xtask bench memory`: bytes for each IPv4 flow in a table that is filled as documented: of the table, and of
//! all maps, as the kernel accounts for them. What is resident of the daemon hardly depends on flows, and is told by
//! itself.

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
/// Of so many flows one may find no room at first: with two slots for each it is one of ten thousand.
const CROWDED: u32 = 1000;

/// Arguments of `cargo xtask bench memory`.
#[derive(Args)]
pub(super) struct Arguments {
    /// Number of flows
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..=16_000_000))]
    flows: u32,
    /// Slots of the flow table for each flow; of all together the next power of two is taken
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=16))]
    slots_per_flow: u32,
}

/// Bytes by what they are for.
struct Parts {
    table: u64,
    other_maps: u64,
    daemon: u64,
}

/// Fills the table and prints what there is then.
pub(super) fn main(arguments: &Arguments, document: &mut Document) -> Result<()> {
    let (flows, schedulers) = (arguments.flows, [Scheduler::Rr]);
    let flow_slots =
        slots(flows, arguments.slots_per_flow, 1).context("too many flows for one flow table")?;
    let programs = [Program::xlvs("xlvs")];
    let mut rig = Rig::alike(&programs, Setting::usual(&schedulers, Pool::of(SERVERS), flow_slots))?;
    let subject = &Subject::of(&programs, &schedulers)[0];
    rig.warm_up(subject, flows, flows)?;
    let known = rig.connections(subject.host, Scheduler::Rr)?;
    // A frame of the first turn may be lost, and its flow opens in the second; so does one that had to make room.
    let most = u64::from(flows + flows.div_ceil(CROWDED));
    ensure!(
        (flows.into()..=most).contains(&known),
        "{known} connections were opened, and there are {flows} flows"
    );
    let Parts { table, other_maps, daemon } = parts(rig.directors().next().context("no daemon")?)?;
    let setup = json!({ "slots_per_flow": arguments.slots_per_flow });
    let filled = f64::from(flows) / f64::from(flow_slots);
    let title = format!("{flows} IPv4 flows in {flow_slots} slots");
    println!("\n{:<44} {:>12}  bytes/flow", format!("{title} ({:.0} % full)", 100.0 * filled), "bytes");
    let mut measurement = Measurement::new("memory", &*title, "bytes/flow", Better::Less).with(setup.clone());
    for (name, bytes) in
        [("the flow table", table), ("the other maps", other_maps), ("all maps", table + other_maps)]
    {
        let each = bytes as f64 / f64::from(flows);
        println!("  {name:<42} {bytes:>12}  {each:>10.1}");
        measurement = measurement.row(name, Spread::one(each), None, json!({ "bytes": bytes }));
    }
    document.add(measurement);
    let name = "the daemon, resident, without maps";
    println!("  {name:<42} {daemon:>12}");
    let details = json!({ "bytes": daemon });
    let resident =
        Measurement::new("memory", format!("{title}, the process"), "MB", Better::Less).with(setup);
    document.add(resident.row(name, Spread::one(daemon as f64 / 1e6), None, details));
    Ok(())
}

fn parts(director: &Director) -> Result<Parts> {
    let (mut table, mut other_maps) = (0, 0);
    for pin in director.pins() {
        let Some(bytes) = accounted(&director.pin_dir().join(&pin))? else { continue };
        *(if pin == FLOWS { &mut table } else { &mut other_maps }) += bytes;
    }
    ensure!(table > 0, "there is no map {FLOWS}");
    let pid = director.pid().context("no daemon")?;
    let path = format!("/proc/{pid}/smaps");
    let daemon = resident(&fs::read_to_string(&path).context(path)?);
    Ok(Parts { table, other_maps, daemon })
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
