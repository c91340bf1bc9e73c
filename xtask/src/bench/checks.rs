//! `cargo xtask bench checks`: what thousands of checks cost the daemon, how late they begin, and when a server that dies
//! is taken out.
//!
//! Every real server has an address of its own and a `TCP_CHECK`; all addresses are those of one host, whose nginx takes
//! the connections. Then some of the addresses swallow what is sent to them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use lb_tests::director::Director;
use lb_tests::status::{Delay, Status};
use lb_tests::{Lab, Plan, with_lab};
use serde_json::{Value, json};

use super::document::{Better, Document, Measurement};
use super::machine::kilobytes;
use super::spread::Spread;
use super::threads::{self, Turns, turns, worked};
use super::virtual_address;

/// Real servers of one virtual server.
const POOL: usize = 50;
/// Real servers in a network of 256 addresses, which die together.
const DYING: usize = 250;
/// From the end of a check to the next.
const DELAY_LOOP: Duration = Duration::from_secs(2);
/// How long a connection may take, and how long a check waits before it tries once more.
const SECOND: Duration = Duration::from_secs(1);
/// Nearly all checks must begin within so many milliseconds of their time.
const LATE: u32 = 50;
/// How much later than the configuration says the last of those that died may leave.
const SLACK: Duration = Duration::from_millis(100);
/// How often the log is looked into for those that left.
const LOOK: Duration = Duration::from_millis(10);
/// How long all may take to be checked for the first time.
const BEGIN: Duration = Duration::from_mins(1);

/// Arguments of `cargo xtask bench checks`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Real servers, at most 16 000
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(250..=16_000))]
    servers: u32,
    /// For how long the cost is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

/// Measures and prints; fails when checks are late or the dead stay.
pub(crate) fn main(arguments: &Arguments, document: &mut Document) -> Result<()> {
    let servers = arguments.servers as usize;
    let mut figures = None;
    with_lab(&Plan::servers(1), |lab| {
        let (host, gateway) = (lab.servers[0].netns(), lab.servers[0].address);
        host.ip("route add local 10.128.0.0/16 dev lo")?;
        lab.director.netns().ip(&format!("route add 10.128.0.0/16 via {gateway}"))?;
        let began = Instant::now();
        lab.director.start(&file(servers))?;
        lab.director.wait_status("a first check of each server", BEGIN, |status| {
            began.elapsed() > DELAY_LOOP && probes(&status.checks.lateness) >= servers as u64
        })?;
        figures = Some(measure(lab, servers, Duration::from_secs(arguments.seconds.into()))?);
        Ok(())
    })?;
    let figures = figures.context("nothing was measured")?;
    figures.print();
    figures.measurements().into_iter().for_each(|measurement| document.add(measurement));
    figures.judge()
}

/// What was measured.
struct Figures {
    servers: usize,
    span: Duration,
    /// What the daemon's threads did in that span, by their names.
    threads: BTreeMap<String, Turns>,
    /// Kilobytes.
    memory: u64,
    lateness: Vec<Delay>,
    effect: Vec<Delay>,
    /// When those left that died, after they did.
    left: Vec<Duration>,
}

fn measure(lab: &Lab, servers: usize, span: Duration) -> Result<Figures> {
    let director = &lab.director;
    let (before, status) = (turns(director)?, director.status()?);
    let start = Instant::now();
    sleep(span);
    let (after, span) = (turns(director)?, start.elapsed());
    let lateness = since(&status.checks.lateness, &director.status()?.checks.lateness);
    let memory = resident(director)?;
    let status: Status = director.status()?;
    let left = die(lab)?;
    let effect = since(&status.checks.effect, &director.status()?.checks.effect);
    Ok(Figures { servers, span, threads: threads::between(&before, after), memory, lateness, effect, left })
}

/// Has some addresses swallow what comes; says when each was taken out.
fn die(lab: &Lab) -> Result<Vec<Duration>> {
    let mut told = lab.director.log().len() as u64;
    let start = Instant::now();
    lab.servers[0].netns().ip("route add blackhole 10.128.0.0/24 table local")?;
    let mut left = Vec::new();
    while left.len() < DYING && start.elapsed() < latest() + SECOND * 5 {
        sleep(LOOK);
        let gone = lab.director.log_from(&mut told)?.matches("real server is down").count();
        left.extend(std::iter::repeat_n(start.elapsed(), gone));
    }
    Ok(left)
}

/// A check that has just begun passes yet; the next and the one after it fail.
fn earliest() -> Duration {
    SECOND * 3
}

fn latest() -> Duration {
    earliest() + DELAY_LOOP
}

impl Figures {
    fn rate(&self) -> f64 {
        probes(&self.lateness) as f64 / self.span.as_secs_f64()
    }

    fn print(&self) {
        println!(
            "{} real servers with a TCP_CHECK every 2 s, for {:.1} s",
            self.servers,
            self.span.as_secs_f64()
        );
        let total = worked(&self.threads);
        let percent = |time: Duration| 100.0 * time.as_secs_f64() / self.span.as_secs_f64();
        println!("  {:.0} checks/s, {:.1} % of a processor, {:.1} us each", self.rate(), percent(total), {
            1e6 * total.as_secs_f64() / probes(&self.lateness) as f64
        });
        for (name, Turns { worked, waited }) in
            self.threads.iter().filter(|(_, turns)| !turns.worked.is_zero())
        {
            println!(
                "    {name:<15} {:>5.1} %, and {:>4.1} % waiting for one",
                percent(*worked),
                percent(*waited)
            );
        }
        println!("  {:.1} MB resident", self.memory as f64 / 1024.0);
        println!("  begun late:       {}", classes(&self.lateness));
        println!("  verdict to maps:  {}", classes(&self.effect));
        if let Some(spread) = self.left() {
            println!(
                "  {} of {DYING} dead servers out, after {:.2} to {:.2} s, median {:.2}; configured {:.2} to {:.2} s",
                self.left.len(),
                spread.least,
                spread.most,
                spread.median,
                earliest().as_secs_f64(),
                latest().as_secs_f64()
            );
        }
    }

    fn left(&self) -> Option<Spread> {
        (!self.left.is_empty()).then(|| Spread::of(self.left.iter().map(Duration::as_secs_f64)))
    }

    fn judge(&self) -> Result<()> {
        let late = above(&self.lateness, LATE);
        ensure!(
            late * 100 <= probes(&self.lateness),
            "{late} checks began more than {LATE} ms late, over 1 %"
        );
        ensure!(self.left.len() == DYING, "only {} of {DYING} dead servers were taken out", self.left.len());
        let last = self.left.iter().max().copied().unwrap_or_default();
        ensure!(last <= latest() + SLACK, "the last of the dead servers left after {last:.2?}");
        Ok(())
    }

    fn measurements(&self) -> Vec<Measurement> {
        let delays = |delays: &[Delay]| -> Vec<Value> {
            delays.iter().map(|delay| json!({ "within_ms": delay.within, "count": delay.count })).collect()
        };
        let threads = self.threads.iter().map(|(name, Turns { worked, waited })| {
            (name.clone(), json!({ "worked": worked.as_secs_f64(), "waited": waited.as_secs_f64() }))
        });
        let details = json!({
            "seconds": self.span.as_secs_f64(),
            "checks_per_second": self.rate(),
            "threads": threads.collect::<serde_json::Map<_, _>>(),
            "resident_kilobytes": self.memory,
            "lateness": delays(&self.lateness),
            "effect": delays(&self.effect),
        });
        let new = |what: &str, unit| {
            Measurement::new("checks", format!("{what}, {} real servers", self.servers), unit, Better::Less)
                .with(json!({ "seconds": self.span.as_secs() }))
        };
        let each = Spread::one(1e6 * worked(&self.threads).as_secs_f64() / probes(&self.lateness) as f64);
        let cost = new("processor time of a check", "us").row("xlvs", each, None, details);
        let left = self.left().map(|spread| {
            new("dead servers are out", "s").row("xlvs", spread, None, json!({ "out": self.left.len() }))
        });
        [Some(cost), left].into_iter().flatten().collect()
    }
}

fn probes(delays: &[Delay]) -> u64 {
    delays.iter().map(|delay| delay.count).sum()
}

fn above(delays: &[Delay], bound: u32) -> u64 {
    probes(delays)
        - delays
            .iter()
            .filter(|delay| delay.within.is_some_and(|within| within <= bound))
            .map(|delay| delay.count)
            .sum::<u64>()
}

fn since(before: &[Delay], after: &[Delay]) -> Vec<Delay> {
    let counts = before.iter().zip(after);
    counts.map(|(before, after)| Delay { count: after.count - before.count, ..*after }).collect()
}

/// `98.7 % within 1 ms, 1.3 % within 2 ms`
fn classes(delays: &[Delay]) -> String {
    let total = probes(delays) as f64;
    let class = |delay: &Delay| {
        let bound = delay.within.map_or_else(|| "later".to_owned(), |bound| format!("within {bound} ms"));
        format!("{:.2} % {bound}", 100.0 * delay.count as f64 / total)
    };
    let classes: Vec<String> = delays.iter().filter(|delay| delay.count > 0).map(class).collect();
    classes.join(", ")
}

/// The daemon's resident memory, in kilobytes.
fn resident(director: &Director) -> Result<u64> {
    let pid = director.pid().context("no daemon")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    kilobytes(&status, "VmRSS").context("no VmRSS")
}

/// A configuration with so many real servers.
fn file(servers: usize) -> String {
    let mut text = String::new();
    for first in (0..servers).step_by(POOL) {
        let _infallible = writeln!(
            text,
            "virtual_server {} 80 {{\n    delay_loop 2\n    lb_algo rr\n    lb_kind DR\n    protocol TCP",
            virtual_address(first / POOL)
        );
        for server in first..servers.min(first + POOL) {
            let _infallible = writeln!(
                text,
                "    real_server 10.128.{}.{} 80 {{\n        TCP_CHECK {{\n            connect_timeout 1\n        }}\n    }}",
                server / DYING,
                server % DYING + 1
            );
        }
        text.push_str("}\n");
    }
    text
}
