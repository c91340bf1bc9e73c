//! `cargo xtask bench latency`: how long one datagram and its echo take, one at a time: to a real server directly, to a
//! virtual address through xlvs, to another one through a host that forwards by the kernel, and to one through a program in a
//! driver that does no more than send it there, which is what a veth pair takes for that; on one switch in one run.
//!
//! ```text
//!   client ---- switch ---- director:  xlvs       --\
//!      |                    forwarder: ip_forward ---> real server: echo
//!      ^                    relay:     XDP_TX     --/
//!      \_______________________ the answer, straight back ______/
//! ```

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::echo::UdpEcho;
use lb_tests::polling::Polling;
use lb_tests::process::come_first;
use lb_tests::{Lab, Plan, wait, with_lab};
use serde_json::{Value, json};

use super::document::{Better, Document, Measurement};
use super::spread::Spread;
use super::traffic::Traffic;

const PORT: u16 = 7777;
/// The virtual address whose packets the forwarder forwards.
const FORWARDED: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 101);
/// The one whose packets the relay sends on.
const RELAYED: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 102);
/// How long an answer may take.
const BOUND: Duration = Duration::from_secs(1);
const WAYS: usize = 4;
const NAMES: [&str; WAYS] = ["no director", "kernel forwarding", "XDP_TX to one server", "xlvs rr"];
/// The row that others are compared with.
const FORWARDING: usize = 1;

/// Arguments of `cargo xtask bench latency`.
#[derive(Args)]
pub(super) struct Arguments {
    /// Rounds; the median of them is shown
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Requests of each way in a round, in turns
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..))]
    requests: u32,
}

/// Measures and prints a table for each percentile.
pub(super) fn main(arguments: &Arguments, document: &mut Document) -> Result<()> {
    let mut times: [Vec<Vec<f64>>; WAYS] = Default::default();
    with_lab(&Plan::servers(3), |lab| {
        let server = lab.servers[0].address;
        forward(lab)?;
        let _relay = relay(lab)?;
        let service = VirtualServer::new(lab.vip(), PORT, Protocol::Udp, "rr").unchecked(server, 1);
        lab.balance(&service, 1)?;
        let ways = [server, FORWARDED, RELAYED, lab.vip()].map(|address| SocketAddrV4::new(address, PORT));
        let echo = |&way: &SocketAddrV4| UdpEcho::mirror(lab.servers[0].netns(), way);
        let _echoes: Vec<UdpEcho> = ways.iter().map(echo).collect::<Result<_>>()?;
        let before = lab.director.status()?.service()?.packets;
        for _ in 0..arguments.rounds {
            let round = lab.client().netns().enter(|| ask(&ways, arguments.requests))?;
            times.iter_mut().zip(round).for_each(|(times, round)| times.push(round));
        }
        let forwarded = lab.director.status()?.service()?.packets - before;
        // Besides those that are measured, each round has one to begin with.
        let due = u64::from(arguments.rounds) * (u64::from(arguments.requests) + 1);
        ensure!(forwarded == due, "{forwarded} packets went through xlvs, and {due} were sent");
        Ok(())
    })?;
    for (percent, title) in [(50, "half of the echoes come within"), (99, "99 % of the echoes come within")] {
        let setup = json!({ "rounds": arguments.rounds, "requests": arguments.requests });
        document.add(table(title, arguments.rounds, &times, percent).with(setup));
    }
    Ok(())
}

/// Makes the second server of the lab a host that forwards to the first one.
fn forward(lab: &Lab) -> Result<()> {
    let (server, forwarder) = (&lab.servers[0], &lab.servers[1]);
    server.netns().ip(&format!("addr add {FORWARDED}/32 dev lo"))?;
    for scope in ["all", "net0"] {
        forwarder.netns().sysctl(&format!("ipv4/conf/{scope}/send_redirects"), "0")?;
    }
    forwarder.netns().sysctl("ipv4/ip_forward", "1")?;
    // Frames come in by NAPI at both ends of its cable, as on a network card, and as on the director's, which has XDP.
    for (netns, interface) in [(forwarder.netns(), "net0"), (lab.switch().netns(), "rs2")] {
        netns.run("ethtool", &["-K", interface, "gro", "on"])?;
    }
    forwarder.netns().ip(&format!("route add {FORWARDED}/32 via {} dev net0", server.address))?;
    lab.client().netns().ip(&format!("route add {FORWARDED}/32 via {} dev net0", forwarder.address)).map(drop)
}

/// Makes the third server of the lab send on what is for an address of the first one, until the programs are dropped.
fn relay(lab: &Lab) -> Result<(Traffic, Polling)> {
    let (server, relay) = (&lab.servers[0], &lab.servers[2]);
    server.netns().ip(&format!("addr add {RELAYED}/32 dev lo"))?;
    // What the program leaves to the stack gets no answer.
    relay.netns().sysctl("ipv4/ip_forward", "0")?;
    let mut traffic = Traffic::new()?;
    traffic.relay(RELAYED, server.netns().mac("net0")?)?;
    let polling = Polling::start(lab.switch().netns(), "rs3")?;
    relay.netns().enter(|| traffic.attach("relay", "net0"))?;
    lab.client().netns().ip(&format!("route add {RELAYED}/32 via {} dev net0", relay.address))?;
    Ok((traffic, polling))
}

/// A socket by which one way is asked.
struct Way {
    socket: UdpSocket,
    name: &'static str,
}

impl Way {
    fn new(to: SocketAddrV4, name: &'static str) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(BOUND))?;
        Ok(Self { socket, name })
    }

    /// Microseconds until the answer to a request has come.
    fn ask(&self, number: u32) -> Result<f64> {
        let mut answer = [0; 4];
        let start = Instant::now();
        self.socket.send(&number.to_ne_bytes())?;
        let received = self.socket.recv(&mut answer);
        let time = start.elapsed();
        received.with_context(|| format!("{}: no answer to request {number}", self.name))?;
        let is_own = answer == number.to_ne_bytes();
        ensure!(is_own, "{}: the answer to request {number} is that to another", self.name);
        Ok(time.as_secs_f64() * 1e6)
    }
}

/// Microseconds that each answer took, sorted, of each way. The ways are asked in turns, one request each, so that whatever else
/// the machine does meets all of them alike.
fn ask(ways: &[SocketAddrV4; WAYS], requests: u32) -> Result<[Vec<f64>; WAYS]> {
    come_first()?;
    let ways = ways.iter().zip(NAMES).map(|(&to, name)| Way::new(to, name));
    let ways: Vec<Way> = ways.collect::<Result<_>>()?;
    let mut times: [Vec<f64>; WAYS] = Default::default();
    // Neighbours are asked for, and the flow is opened.
    for way in &ways {
        way.ask(0)?;
    }
    wait::check_interrupt()?;
    for number in 1..=requests {
        for turn in 0..ways.len() {
            let row = (number as usize + turn) % ways.len();
            times[row].push(ways[row].ask(number)?);
        }
    }
    for times in &mut times {
        times.sort_by(f64::total_cmp);
    }
    Ok(times)
}

/// Of sorted times the one that so many percent are not above.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

/// Prints what was measured; ratios are to the kernel's forwarding.
fn table(title: &str, rounds: u32, times: &[Vec<Vec<f64>>; WAYS], percent: usize) -> Measurement {
    println!(
        "\n{title:<32} us [{:>6} {:>6} {:>6}]  to forwarding; medians of {rounds} rounds",
        "least", "median", "most"
    );
    let figures = |row: usize| times[row].iter().map(|sorted| percentile(sorted, percent));
    let mut measurement = Measurement::new("latency", title, "us", Better::Less);
    for (row, name) in NAMES.into_iter().enumerate() {
        let spread = Spread::of(figures(row));
        let ratio = Spread::of(figures(row).zip(figures(FORWARDING)).map(|(own, other)| own / other)).median;
        let Spread { least, median, most } = spread;
        println!("  {name:<30}    [{least:>6.1} {median:>6.1} {most:>6.1}]  {ratio:>13.3}");
        measurement = measurement.row(name, spread, Some(ratio), Value::Null);
    }
    measurement
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times: Vec<f64> = (1..=200).map(f64::from).collect();
        assert!((percentile(&times, 50), percentile(&times, 99)) == (100.0, 198.0));
        assert!((percentile(&[7.0], 50), percentile(&[7.0], 99)) == (7.0, 7.0));
    }
}
