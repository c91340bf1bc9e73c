//! `ipvsadm -L -c` of a running director with many connections: streamed, in memory that does not grow with them, while the
//! director answers and forwards.

use std::collections::HashSet;
use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lb_common::flow::State;
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::family::Family;
use lb_tests::sender::Sender;
use lb_tests::{Lab, Plan, forge, with_lab};

use crate::loads::set_timeouts;

/// Where the connections are that are made up.
const PORT: u16 = 7;
/// How many the suite makes; `XLVS_LISTED` asks for more.
const ALL: u64 = 60_000;
/// By so many kilobytes both processes may grow while all are listed, of which the text alone has ten thousands.
const GROWTH_KB: u64 = 4096;
const BOUND: Duration = Duration::from_mins(5);
/// Lines after which the memory is looked at again.
const OFTEN: u64 = 5000;
/// Questions and requests while a reader rests, and while one reads.
const ASKED: usize = 10;

/// The client of a number; all are different.
fn client(number: u64) -> SocketAddrV4 {
    let [.., a, b, c] = (number >> 2).to_be_bytes();
    SocketAddrV4::new(Ipv4Addr::new(100, a, b, c), 1024 + (number & 3) as u16)
}

/// Sends the SYNs of the clients from `first` to `last`, and waits until the director has their connections.
fn open(lab: &Lab, first: u64, last: u64) -> Result<()> {
    let service = SocketAddrV4::new(lab.vip(), PORT);
    let (to, from) = (lab.director.netns().mac("lan0")?, lab.client().netns().mac("net0")?);
    let made = Arc::new(AtomicU64::new(first));
    let count = Arc::clone(&made);
    let sender = Sender::start(lab.client().netns(), "net0", Duration::from_millis(1), move |_| {
        let begin = count.load(Ordering::Relaxed);
        let end = last.min(begin + 128);
        let frames = (begin..end).map(|number| forge::syn(to, from, client(number), service)).collect();
        count.store(end, Ordering::Relaxed);
        frames
    })?;
    lab.director.wait_status("the connections", BOUND, |status| {
        made.load(Ordering::Relaxed) == last
            && status.services.iter().any(|service| u64::from(service.active_connections) == last)
    })?;
    sender.finish().map(drop)
}

/// The most kilobytes that a process ever had in memory; 0 of one that has ended.
fn most(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or(Ok(0), |line| Ok(line.trim().trim_end_matches(" kB").parse()?))
}

/// What was seen of one listing.
#[derive(Debug, Default)]
struct Listed {
    /// The made-up clients.
    clients: HashSet<String>,
    /// The most kilobytes that the command had in memory.
    most: u64,
    took: Duration,
    /// The longest answer to a question, and the longest request, meanwhile.
    slowest: [Duration; 2],
}

/// Lists the connections as a reader that first rests and then reads.
fn list(lab: &Lab) -> Result<Listed> {
    let mut child = lab.director.adm(&["-L", "-n", "-c"]).stdout(Stdio::piped()).spawn()?;
    let mut reader = BufReader::new(child.stdout.take().context("an output")?);
    let (mut listed, mut line) = (Listed::default(), String::new());
    for _ in 0..2 {
        line.clear();
        reader.read_line(&mut line)?;
    }
    ensure!(
        line.starts_with("pro expire state       source             virtual            destination"),
        "{line}"
    );
    // The pipe is full by now, and the director waits for who reads.
    listed.slowest = asked(lab)?;
    let start = Instant::now();
    let asking = std::thread::scope(|scope| {
        let asking = scope.spawn(|| asked(lab));
        let mut lines = 0;
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                break;
            }
            lines += 1;
            // What was opened by `asked` is there or not.
            if line.contains(" SYN_RECV ") && line.contains(&format!(":{PORT} ")) {
                let client = line.split_whitespace().nth(3).context("a source")?.to_owned();
                ensure!(listed.clients.insert(client), "listed twice: {line}");
            }
            if lines % OFTEN == 0 {
                listed.most = listed.most.max(most(child.id())?);
            }
        }
        listed.took = start.elapsed();
        asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    listed.slowest = [0, 1].map(|which| listed.slowest[which].max(asking[which]));
    let mut rest = String::new();
    reader.read_to_string(&mut rest)?;
    ensure!(child.wait()?.success() && rest.is_empty(), "it ends well: {rest}");
    Ok(listed)
}

/// Asks the director and its service some times: the longest that each took.
fn asked(lab: &Lab) -> Result<[Duration; 2]> {
    let mut slowest = [Duration::ZERO; 2];
    for _ in 0..ASKED {
        let start = Instant::now();
        lab.director.status()?;
        slowest[0] = slowest[0].max(start.elapsed());
        let start = Instant::now();
        lab.client().who(lab.service())?;
        slowest[1] = slowest[1].max(start.elapsed());
    }
    Ok(slowest)
}

#[test]
fn connections_are_listed_in_memory_that_does_not_grow_with_them() -> Result<()> {
    let all = env::var("XLVS_LISTED").ok().map_or(Ok(ALL), |text| text.parse())?;
    with_lab(&Plan::servers(2), |lab| {
        let slots = (8 * all).next_power_of_two().to_string();
        lab.director.set_options(&["--flow-slots", &slots]);
        let many = VirtualServer::new(lab.vip(), PORT, Protocol::Tcp, "rr");
        let many = lab.servers.iter().fold(many, |config, server| config.unchecked(server.address, 1));
        lab.balance(&format!("{}{many}", lab.http_on_all("rr")), 4)?;
        set_timeouts(lab, &[(State::SynRecv, 3600)])?;
        let pid = lab.director.pid().context("a daemon")?;

        open(lab, 0, all / 100)?;
        let few = list(lab)?;
        assert_eq!(few.clients.len() as u64, all / 100);
        open(lab, all / 100, all)?;
        let before = most(pid)?;
        let many = list(lab)?;
        let after = most(pid)?;
        println!(
            "{all} connections listed in {:.1?}; the daemon had {before} kB at most before and {after} kB after, the command \
             {} kB; an answer took {:.1?} at most meanwhile, a request {:.1?}",
            many.took, many.most, many.slowest[0], many.slowest[1]
        );
        let expected: HashSet<String> = (0..all).map(|number| client(number).to_string()).collect();
        ensure!(before > 0 && many.most > 0, "both processes were looked at");
        ensure!(many.clients == expected, "{} of {all} are listed", many.clients.len());
        ensure!(after <= before + GROWTH_KB, "the daemon grew from {before} kB to {after} kB");
        let least = few.most.max(most_of_nothing(lab)?);
        ensure!(many.most <= least + GROWTH_KB, "the command grew from {least} kB to {} kB", many.most);
        Ok(())
    })
}

/// What the command has in memory as soon as it prints.
fn most_of_nothing(lab: &Lab) -> Result<u64> {
    let mut child = lab.director.adm(&["-L", "-n", "-c"]).stdout(Stdio::piped()).spawn()?;
    let mut reader = BufReader::new(child.stdout.take().context("an output")?);
    reader.read_line(&mut String::new())?;
    let most = most(child.id())?;
    // A reader that had enough is no failure.
    drop(reader);
    ensure!(child.wait()?.success(), "it ends well though nobody reads");
    Ok(most)
}

#[test]
fn clients_that_stay_with_their_server_are_counted() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        lab.director.start("")?;
        let (service, server) = (lab.service().to_string(), format!("{}:80", lab.servers[0].address));
        lab.director.ipvsadm(&["-A", "-t", &service, "-s", "rr", "-p", "300"])?;
        lab.director.ipvsadm(&["-a", "-t", &service, "-r", &server, "-g"])?;
        lab.wait_eligible(1)?;
        lab.client().sequence(lab.service(), 3)?;
        let listing = lab.director.ipvsadm(&["-L", "-n", "--persistent-conn"])?;
        let line = listing.lines().find(|line| line.contains(&server)).context("a server")?;
        // The weight, and one client.
        assert_eq!(line.split_whitespace().skip(2).take(2).collect::<Vec<_>>(), ["1", "1"], "{listing}");
        let connections = lab.director.ipvsadm(&["-L", "-n", "-c", "--persistent-conn"])?;
        let is_template = |line: &&str| {
            line.contains(" ASSURED ") && line.contains(&format!("{}:0 ", lab.client_in(Family::V4)))
        };
        assert_eq!(connections.lines().filter(is_template).count(), 1, "{connections}");
        ensure!(connections.lines().count() == 2 + 4, "three connections besides: {connections}");
        Ok(())
    })
}
