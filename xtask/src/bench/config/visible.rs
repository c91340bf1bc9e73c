//! How long a change takes until the XDP program can see it, with as many real servers as there may be: from the start
//! of the command to the change of the word that names a service's list, in the map that the program looks services up in.

use std::sync::atomic::Ordering;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lb_common::layout::MAX_SERVERS;
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::director::Director;
use lb_tests::process::output;
use lb_tests::{Plan, with_lab};
use serde_json::json;

use super::{FIRST_HOST, HOSTS, add_hosts};
use crate::bench::document::{Better, Measurement};
use crate::bench::mapped::Mapped;
use crate::bench::spread::Spread;
use crate::bench::threads::{turns, worked};
use crate::bench::{milliseconds, virtual_address};

/// Real servers of one virtual server.
const POOL: usize = 16;
/// From one look at the map to the next.
const LOOK: Duration = Duration::from_micros(100);
/// How long a change may take at most.
const BOUND: Duration = Duration::from_secs(10);
/// What is promised.
const PROMISED_MS: f64 = 20.0;
const VIRTUAL: &str = "10.9.0.1:80";
const KINDS: [&str; 4] = [
    "xlvs adm -e (a weight)",
    "xlvs adm -d (a server less)",
    "xlvs adm -a (a server more)",
    "xlvs reload (a weight)",
];

/// Measures and prints the table.
pub(super) fn measure(rounds: u32) -> Result<Measurement> {
    let mut rows = Vec::new();
    with_lab(&Plan::servers(1), |lab| {
        add_hosts(lab)?;
        lab.director.start(&file(1))?;
        let services = Mapped::new(&lab.director.pin_dir().join("services"))?;
        let last = format!("10.77.0.{}", FIRST_HOST + POOL - 1);
        let first = format!("10.77.0.{FIRST_HOST}");
        let adm = |arguments: &[&str]| output(&mut lab.director.adm(arguments)).map(drop);
        let mut kinds = KINDS.map(|_| Vec::new());
        let mut take = |kind: usize, change: &dyn Fn() -> Result<()>| {
            let before = worked(&turns(&lab.director)?);
            let time = after(&services, change)?;
            let spent = worked(&turns(&lab.director)?).saturating_sub(before);
            kinds[kind].push((milliseconds(time), milliseconds(spent)));
            anyhow::Ok(())
        };
        for round in 0..rounds {
            let weight = (2 + round % 2).to_string();
            take(0, &|| adm(&["-e", "-t", VIRTUAL, "-r", &first, "-g", "-w", &weight]))?;
            take(1, &|| adm(&["-d", "-t", VIRTUAL, "-r", &last]))?;
            take(2, &|| adm(&["-a", "-t", VIRTUAL, "-r", &last, "-g", "-w", "1"]))?;
        }
        adm(&["-e", "-t", VIRTUAL, "-r", &first, "-g", "-w", "1"])?;
        for round in 0..rounds {
            let text = file(2 + round % 2);
            take(3, &|| reload(&lab.director, &text))?;
        }
        rows.extend(kinds);
        lab.director.term().map(drop)
    })?;
    let title = format!("until the program sees a change, {MAX_SERVERS} real servers");
    println!("\n{title}, ms from the start of the command, {rounds} of each\n");
    println!("{:<30}  [{:>7} {:>7} {:>7}]  daemon's processor time", "", "least", "median", "most");
    let mut measurement =
        Measurement::new("config", title, "ms", Better::Less).with(json!({ "rounds": rounds }));
    for (name, figures) in KINDS.into_iter().zip(rows) {
        let spread = Spread::of(figures.iter().map(|(time, _)| *time));
        let daemon = Spread::of(figures.iter().map(|(_, worked)| *worked)).median;
        let Spread { least, median, most } = spread;
        let verdict = if median < PROMISED_MS { "under" } else { "NOT under" };
        println!(
            "  {name:<28}  [{least:>7.1} {median:>7.1} {most:>7.1}]  {daemon:>23.1}  {verdict} {PROMISED_MS} ms"
        );
        measurement = measurement.row(name, spread, None, json!({ "daemon_ms": daemon }));
    }
    Ok(measurement)
}

fn reload(director: &Director, text: &str) -> Result<()> {
    let output = director.reload(text)?;
    ensure!(output.status.success(), "a reload failed: {output:?}");
    Ok(())
}

/// How long after the beginning of `change` the map is another; `change` is waited for.
fn after(map: &Mapped, change: &dyn Fn() -> Result<()>) -> Result<Duration> {
    let words = || map.words().iter().map(|word| word.load(Ordering::Relaxed));
    let before: Vec<u64> = words().collect();
    let start = Instant::now();
    scope(|scope| {
        let seen = scope.spawn(|| {
            while start.elapsed() < BOUND {
                if words().ne(before.iter().copied()) {
                    return Some(start.elapsed());
                }
                sleep(LOOK);
            }
            None
        });
        change()?;
        match seen.join() {
            Ok(seen) => seen.context("the map has not changed"),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// As many real servers as there may be, without checks; the first one has the weight.
fn file(weight: u32) -> String {
    let service = |number: usize| {
        let service = VirtualServer::new(virtual_address(number), 80, Protocol::Tcp, "wrr");
        let servers = (0..POOL).fold(service, |service, server| {
            let host = FIRST_HOST + (number + server) % HOSTS;
            let weight = if number == 0 && server == 0 { weight } else { 1 };
            service.unchecked([10, 77, 0, host as u8], weight)
        });
        servers.to_string()
    };
    (0..MAX_SERVERS / POOL).map(service).collect()
}
