//! `cargo xtask bench latency`: how long one datagram and its echo take, one at a time: to a real server directly, to a
//! virtual address through xlvs, to another one through a host that forwards by the kernel, and to one through a program in a
//! driver that does no more than send it there, which is what a veth pair takes for that; on one switch in one run.
//!
//! The client and the real server each poll on a CPU of their own, so that nobody has to be woken: that takes several times what a
//! director does, and never the same.
//!
//! Then the same on a switch that hands frames on as network cards do: what a host is given is no packet of a stack yet, and a stack
//! has to make one of it.
//!
//! ```text
//!   client ---- switch ---- director:  xlvs       --\
//!      |                    forwarder: ip_forward ---> real server: echo
//!      ^                    relay:     XDP_TX     --/
//!      \_______________________ the answer, straight back ______/
//! ```

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, available_parallelism};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::netns::Netns;
use lb_tests::{Lab, Plan, wait, with_lab};
use serde_json::{Value, json};

use super::document::{Better, Document, Measurement};
use super::spread::Spread;
use super::traffic::{Cpu, Traffic, take_a_cpu};

const PORT: u16 = 7777;
/// The virtual address whose packets the forwarder forwards.
const FORWARDED: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 101);
/// The one whose packets the relay sends on.
const RELAYED: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 102);
/// How long an answer may take.
const BOUND: Duration = Duration::from_secs(1);
const WAYS: usize = 4;
const NAMES: [&str; WAYS] = ["no director", "kernel forwarding", "XDP_TX to one server", "xlvs rr"];
/// How often the four requests of a turn and their answers pass the switch.
const PASSES: u64 = 2 + 3 + 3 + 3;
/// The port of the switch that the relay hangs on.
const RELAY_PORT: &str = "rs3";
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

/// What the hosts are given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Switching {
    /// Packets of the stack that the switch is.
    Packets,
    /// Frames.
    Frames,
}

impl Switching {
    const fn title(self) -> &'static str {
        match self {
            Self::Packets => "through a bridge",
            Self::Frames => "as cards hand frames on",
        }
    }
}

/// Measures and prints a table for each kind of switch and each percentile.
pub(super) fn main(arguments: &Arguments, document: &mut Document) -> Result<()> {
    ensure!(available_parallelism()?.get() > 1, "client and real server need a CPU each");
    for switching in [Switching::Packets, Switching::Frames] {
        let times = measure(switching, arguments)?;
        for (percent, part) in [(50, "half"), (99, "99 %")] {
            let setup = json!({ "rounds": arguments.rounds, "requests": arguments.requests });
            let title = format!("{part} of the echoes {}", switching.title());
            document.add(table(&title, arguments.rounds, &times, percent).with(setup));
        }
    }
    Ok(())
}

/// Sorted times of each way, by rounds.
fn measure(switching: Switching, arguments: &Arguments) -> Result<[Vec<Vec<f64>>; WAYS]> {
    let mut times: [Vec<Vec<f64>>; WAYS] = Default::default();
    with_lab(&Plan::servers(3), |lab| {
        let server = lab.servers[0].address;
        let mut traffic = Traffic::new(1)?;
        match switching {
            Switching::Packets => lab.switch_mut().poll(RELAY_PORT)?,
            Switching::Frames => hand_on(lab, &mut traffic)?,
        }
        forward(lab)?;
        relay(lab, &mut traffic)?;
        let service = VirtualServer::new(lab.vip(), PORT, Protocol::Udp, "rr").unchecked(server, 1);
        lab.balance(&service, 1)?;
        let ways = [server, FORWARDED, RELAYED, lab.vip()].map(|address| SocketAddrV4::new(address, PORT));
        let _echo = Echo::start(lab.servers[0].netns(), ways)?;
        let before = lab.director.status()?.service()?.packets;
        for _ in 0..arguments.rounds {
            let round = lab.client().netns().enter(|| ask(&ways, arguments.requests))?;
            times.iter_mut().zip(round).for_each(|(times, round)| times.push(round));
        }
        let forwarded = lab.director.status()?.service()?.packets - before;
        // Besides those that are measured, each round has one to begin with.
        let due = u64::from(arguments.rounds) * (u64::from(arguments.requests) + 1);
        ensure!(forwarded == due, "{forwarded} packets went through xlvs, and {due} were sent");
        let (handed, passes) = (traffic.handed()?, due * PASSES);
        ensure!(
            switching == Switching::Packets || handed >= passes,
            "the switch handed {handed} frames on, and requests and answers were {passes}"
        );
        Ok(())
    })?;
    Ok(times)
}

/// Makes the switch of the lab hand frames on.
fn hand_on(lab: &mut Lab, traffic: &mut Traffic) -> Result<()> {
    lab.switch_mut().give_way();
    let ports = ["client", "dir-lan0", "rs1", RELAY_PORT, "rs2"];
    let [server, forwarder, relay] = &lab.servers[..] else { bail!("the lab has three servers") };
    let hosts = [
        (lab.client().netns(), "net0"),
        (lab.director.netns(), "lan0"),
        (server.netns(), "net0"),
        (relay.netns(), "net0"),
        (forwarder.netns(), "net0"),
    ];
    for (port, (netns, interface)) in ports.into_iter().zip(hosts) {
        // Frames come in by NAPI, and leave with their checksums: who hands them on would lose the note that these are to be filled in.
        netns.run("ethtool", &["-K", interface, "gro", "on", "tx", "off"])?;
        let mac = netns.mac(interface)?;
        lab.switch().netns().enter(|| traffic.hand_on(port, mac))?;
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

/// Makes the third server of the lab send on what is for an address of the first one, as long as there are the programs.
fn relay(lab: &Lab, traffic: &mut Traffic) -> Result<()> {
    let (server, relay) = (&lab.servers[0], &lab.servers[2]);
    server.netns().ip(&format!("addr add {RELAYED}/32 dev lo"))?;
    // What the program leaves to the stack gets no answer.
    relay.netns().sysctl("ipv4/ip_forward", "0")?;
    traffic.relay(RELAYED, server.netns().mac("net0")?)?;
    relay.netns().enter(|| traffic.attach("relay", "net0"))?;
    lab.client().netns().ip(&format!("route add {RELAYED}/32 via {} dev net0", relay.address)).map(drop)
}

/// A thread that sends every datagram back to where it came from; it ends with the value.
struct Echo {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Echo {
    fn start(netns: &Netns, addresses: [SocketAddrV4; WAYS]) -> Result<Self> {
        let bind = |address: &SocketAddrV4| {
            let socket = UdpSocket::bind(address).with_context(|| format!("bind {address}/udp"))?;
            socket.set_nonblocking(true)?;
            anyhow::Ok(socket)
        };
        let sockets: Vec<_> = netns.enter(|| addresses.iter().map(bind).collect::<Result<_>>())?;
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            take_a_cpu(Cpu::First)?;
            let mut request = [0; 4];
            while !flag.load(Ordering::Relaxed) {
                for socket in &sockets {
                    if let Some((length, client)) = polled(socket.recv_from(&mut request))? {
                        socket.send_to(&request[..length], client)?;
                    }
                }
            }
            Ok(())
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("the real server's echo ended: {error:#}");
        }
    }
}

/// What a socket had, if it had something.
fn polled<T>(received: io::Result<T>) -> io::Result<Option<T>> {
    match received {
        Ok(received) => Ok(Some(received)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
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
        socket.set_nonblocking(true)?;
        Ok(Self { socket, name })
    }

    /// Microseconds until the answer to a request has come.
    fn ask(&self, number: u32) -> Result<f64> {
        let mut answer = [0; 4];
        let start = Instant::now();
        self.socket.send(&number.to_ne_bytes())?;
        while polled(self.socket.recv(&mut answer)).context(self.name)?.is_none() {
            ensure!(start.elapsed() < BOUND, "{}: no answer to request {number}", self.name);
        }
        let time = start.elapsed();
        let is_own = answer == number.to_ne_bytes();
        ensure!(is_own, "{}: the answer to request {number} is that to another", self.name);
        Ok(time.as_secs_f64() * 1e6)
    }
}

/// Microseconds that each answer took, sorted, of each way. The ways are asked in turns, one request each, so that whatever else
/// the machine does meets all of them alike.
fn ask(ways: &[SocketAddrV4; WAYS], requests: u32) -> Result<[Vec<f64>; WAYS]> {
    take_a_cpu(Cpu::Last)?;
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
        "\n{title:<44} us [{:>6} {:>6} {:>6}]  to forwarding; medians of {rounds} rounds",
        "least", "median", "most"
    );
    let figures = |row: usize| times[row].iter().map(|sorted| percentile(sorted, percent));
    let mut measurement = Measurement::new("latency", title, "us", Better::Less);
    for (row, name) in NAMES.into_iter().enumerate() {
        let spread = Spread::of(figures(row));
        let ratio = Spread::of(figures(row).zip(figures(FORWARDING)).map(|(own, other)| own / other)).median;
        let Spread { least, median, most } = spread;
        println!("  {name:<42}    [{least:>6.1} {median:>6.1} {most:>6.1}]  {ratio:>13.3}");
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
