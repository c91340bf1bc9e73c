//! The demonstration: three real servers share requests, one dies, the others go on, it comes back.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::client::tally;
use crate::lab::{Lab, Legs, Plan, with_lab};
use crate::server::RealServer;
use crate::status::Status;
use crate::wait;

const BOUND: Duration = Duration::from_secs(15);
const REQUESTS: usize = 30;
/// Each costs its full time bound, so a broken path is not asked thirty times.
const FAILURES: usize = 3;

/// Builds the lab, runs `binary` on it, and prints who served what as it goes.
///
/// # Errors
/// When the lab cannot be built, an expectation fails, or the operator interrupts; the lab is removed in any case.
pub fn run(binary: &Path) -> Result<()> {
    wait::interrupt_on_signals()?;
    let plan = Plan { servers: 3, legs: Legs::One, binary: binary.to_owned() };
    println!("building the lab: a client, a director and three nginx real servers in network namespaces");
    with_lab(&plan, show)
}

fn show(lab: &mut Lab) -> Result<()> {
    let service = lab.service();
    println!(
        "client 10.77.0.9, director {}, virtual service {service} (rr, direct routing)",
        crate::lab::DIRECTOR
    );
    let config = lab.http_on_all("rr");
    let status = lab.balance(&config, 3)?;
    for server in &status.service()?.servers {
        println!("  real server {} at {}", server.address, server.mac.as_deref().unwrap_or("-"));
    }
    show_attachment(lab, &status)?;

    println!("\n{:<24}{:>9}{}{:>8}", "", "requests", header(lab), "failed");
    round(lab, "three real servers", &[10, 10, 10])?;

    lab.servers[1].stop()?;
    let stopped = lab.servers[1].address;
    let status = lab.director.wait_status("the stopped real server to be down", BOUND, |status| {
        status.server(stopped).is_ok_and(|server| server.state == "down" && !server.eligible)
    })?;
    let reason = status.server(stopped)?.reason.clone().unwrap_or_default();
    println!("  nginx of rs2 stopped, taken out: {reason}");
    round(lab, "rs2 is down", &[15, 0, 15])?;

    lab.servers[1].start()?;
    lab.wait_eligible(3)?;
    println!("  nginx of rs2 started, taken in again");
    round(lab, "rs2 is back", &[10, 10, 10])?;

    println!("\ncounters");
    for (name, value) in lab.director.status()?.counters.iter().filter(|(_, value)| **value > 0) {
        println!("  {name:<32}{value:>12}");
    }
    let exit = lab.director.term()?;
    ensure!(exit.success(), "xlvs ended with {exit}");
    let traces = lab.director.traces()?;
    ensure!(traces.is_empty(), "xlvs left behind: {}", traces.join(", "));
    println!("\nxlvs stopped, nothing left attached or pinned");
    Ok(())
}

fn show_attachment(lab: &Lab, status: &Status) -> Result<()> {
    let net = lab.director.bpftool_net()?;
    let line = net.lines().find(|line| line.starts_with("lan0(")).unwrap_or_default();
    println!("xlvs {} is ready, mode {}; bpftool net: {line}", status.version, status.mode);
    ensure!(line.contains("driver"), "the program is not attached in driver mode:\n{net}");
    Ok(())
}

fn columns(cells: impl IntoIterator<Item: Display>) -> String {
    cells.into_iter().fold(String::new(), |line, cell| format!("{line}{cell:>6}"))
}

fn header(lab: &Lab) -> String {
    columns(lab.servers.iter().map(RealServer::name))
}

fn round(lab: &Lab, title: &str, expected: &[usize]) -> Result<()> {
    let (mut names, mut failures) = (Vec::new(), Vec::new());
    while names.len() + failures.len() < REQUESTS && failures.len() < FAILURES {
        wait::check_interrupt()?;
        match lab.client().who(lab.service()) {
            Ok(name) => names.push(name),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    let counts = tally(&names);
    let served: Vec<usize> =
        lab.servers.iter().map(|server| counts.get(server.name()).copied().unwrap_or(0)).collect();
    println!("{title:<24}{:>9}{}{:>8}", names.len() + failures.len(), columns(&served), failures.len());
    ensure!(failures.is_empty(), "{} requests failed, the first: {}", failures.len(), failures[0]);
    ensure!(served == expected, "expected {expected:?} requests on the real servers, saw {served:?}");
    Ok(())
}
