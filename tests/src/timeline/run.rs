//! One daemon on all scenarios at the same time, its log read line by line with the moment of each.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, PipeReader};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sys::signal::Signal;
use tokio::sync::oneshot;

use super::Moment;
use super::logs;
use super::scenario::Scenario;
use super::stage::{CLOCK_SERVICE, Cue, Stage};
use crate::director::Director;
use crate::host;
use crate::node::Node;
use crate::process::Running;
use crate::site::{Site, with_site};

/// From the first probe to the end.
const LENGTH: Duration = Duration::from_secs(44);
const BOUND: Duration = Duration::from_secs(30);
/// Every address of the servers, all of them of one host.
const SERVERS: &str = "10.64.0.0/17";
/// Its IPv6 addresses, which a host has to have one by one.
const SERVERS_V6: [&str; 6] =
    ["fd64::1/64", "fd64::2/64", "fd64::3/64", "fd64::4/64", "fd64::5/64", "fd64::6/64"];
const GLOBALS: &str = "global_defs {\n script_user root\n}\n";

/// Who decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// `xlvs`.
    Xlvs,
    /// keepalived, which needs a kernel with IPVS.
    Keepalived,
}

/// What was seen of a daemon.
#[derive(Debug)]
pub struct Observed {
    /// Its decisions, in order.
    pub moments: Vec<Moment>,
    /// Its log, with the seconds since the first probe before each line.
    pub log: String,
}

/// A line of a log and when it came.
type Line = (Instant, String);

/// Plays all scenarios to `subject` at the same time.
///
/// # Errors
/// When the site cannot be built, or the daemon ends.
pub fn run(scenarios: &[Scenario], subject: Subject) -> Result<Observed> {
    let mut observed = Observed { moments: Vec::new(), log: String::new() };
    with_site(|site| {
        let (zero, lines) = play(site, scenarios, subject)?;
        for (at, line) in lines {
            let millis = millis(zero, at);
            writeln!(observed.log, "{:.3} {line}", millis as f64 / 1000.0)?;
            let decided = match subject {
                Subject::Xlvs => logs::of_xlvs(&line),
                Subject::Keepalived => logs::of_keepalived(&line),
            };
            observed.moments.extend(decided.map(|(service, decision)| Moment { millis, service, decision }));
        }
        Ok(())
    })?;
    Ok(observed)
}

fn millis(zero: Instant, at: Instant) -> i64 {
    let after = at.saturating_duration_since(zero).as_millis() as i64;
    after - zero.saturating_duration_since(at).as_millis() as i64
}

/// When the first probe came, and the log.
fn play(site: &mut Site, scenarios: &[Scenario], subject: Subject) -> Result<(Instant, Vec<Line>)> {
    let mut of_servers = vec!["10.64.255.253/16"];
    of_servers.extend(SERVERS_V6);
    let servers = site.host("servers", "net0", &of_servers)?;
    servers.netns().ip(&format!("route add local {SERVERS} dev lo"))?;
    let address = ["10.64.255.254/16", "fd64::ff/64"];
    let director = match subject {
        Subject::Xlvs => site.director("director", "net0", &address)?,
        Subject::Keepalived => site.host("director", "net0", &address)?,
    };
    let directory = director.dir().to_owned();
    let services: String = scenarios.iter().map(|scenario| scenario.configuration(&directory)).collect();
    let config = format!("{GLOBALS}{CLOCK_SERVICE}{services}");
    let stage = Stage { servers, directory };
    let (cues, cue) = channel();
    let (stop, stopped) = oneshot::channel();
    thread::scope(|scope| {
        let player = scope.spawn(move || stage.play(scenarios, cues, stopped));
        let seen = observe(&director, &config, subject, &cue);
        drop(stop);
        match player.join() {
            Ok(played) => played.and(seen),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn observe(
    director: &Node,
    config: &str,
    subject: Subject,
    cue: &Receiver<Cue>,
) -> Result<(Instant, Vec<Line>)> {
    let Cue::Ready = cue.recv()? else { bail!("a probe came before anything was there") };
    let netns = Arc::clone(director.netns());
    let pins = director.pin_dir().to_owned();
    // It takes its pins away when this goes.
    let place = Director::new(netns, host::binary(), Vec::new(), director.dir(), pins);
    let path = place.write_config(config)?;
    let mut command = match subject {
        Subject::Xlvs => place.command(&path, &[director.interface().to_owned()])?,
        Subject::Keepalived => keepalived(director)?,
    };
    let (reader, writer) = std::io::pipe()?;
    command.stdin(std::process::Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut running = Running::start("the daemon", &mut command)?;
    // Its ends of the pipe are the only ones left.
    drop(command);
    let lines = Mutex::new(Vec::new());
    thread::scope(|scope| {
        scope.spawn(|| read(reader, &lines));
        let Ok(Cue::Zero(zero)) = cue.recv_timeout(BOUND) else { bail!("no probe came: {lines:#?}") };
        thread::sleep((zero + LENGTH).saturating_duration_since(Instant::now()));
        running.stop(Signal::SIGTERM, BOUND)?;
        Ok(zero)
    })
    .map(|zero| (zero, lines.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

fn read(reader: PipeReader, lines: &Mutex<Vec<Line>>) {
    for line in BufReader::new(reader).lines().map_while(Result::ok) {
        lines.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), line));
    }
}

/// Its health checker and its virtual routers, with a log of every decision.
fn keepalived(director: &Node) -> Result<Command> {
    let mut command = director.netns().command("keepalived")?;
    command.args(["-n", "-l", "-D", "-f"]).arg(director.dir().join("keepalived.conf"));
    for (option, file) in [("-p", "parent.pid"), ("-c", "checkers.pid"), ("-r", "vrrp.pid")] {
        command.arg(option).arg(director.dir().join(file));
    }
    Ok(command)
}
