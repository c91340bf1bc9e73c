//! `cargo xtask bench metrics`: what it costs a daemon with many virtual servers that its metrics are read all the time.
//!
//! The same daemon is left alone for a while, and then read for as long, compressed as Prometheus asks; the difference is
//! told by threads.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use lb_common::layout::MAX_SERVICES;
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::{Lab, Plan, with_lab};
use serde_json::json;

use super::document::{Better, Document, Measurement};
use super::spread::Spread;
use super::threads::{self, Turns, turns, worked};
use super::virtual_address;

/// Real servers of one virtual server.
const POOL: usize = 2;
/// From one scrape to the next.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long the daemon gives out the same page.
const FRESH: Duration = Duration::from_secs(2);
const URL: &str = "http://127.0.0.1:9100/metrics";

/// Arguments of `cargo xtask bench metrics`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Virtual servers, each with two real servers
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=MAX_SERVICES as i64))]
    services: u32,
    /// For how long it is read
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

/// Measures and prints.
pub(crate) fn main(arguments: &Arguments, document: &mut Document) -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        lab.director.set_options(&["--metrics", "9100"]);
        lab.director.start(&file(arguments.services as usize, lab.servers[0].address))?;
        let page = lab.director.netns().run("curl", &["-sSf", URL])?;
        let samples = page.lines().filter(|line| !line.starts_with('#')).count();
        println!(
            "{} virtual servers with {POOL} real servers each: {samples} samples, {} KB; read every {INTERVAL:?}",
            arguments.services,
            page.len() / 1024
        );
        let span = Duration::from_secs(arguments.seconds.into());
        let alone = during(lab, span, |_| Ok(()))?;
        let read = during(lab, span, |lab| {
            lab.director.netns().run("curl", &["-sSf", "--compressed", "-o", "/dev/null", URL]).map(drop)
        })?;
        for (name, turns) in &read {
            let before = alone.get(name).copied().unwrap_or_default().worked;
            let percent = |time: Duration| 100.0 * time.as_secs_f64() / span.as_secs_f64();
            println!(
                "  {name:<15} {:>6.2} % of a processor, alone {:.2} %",
                percent(turns.worked),
                percent(before)
            );
        }
        let more = worked(&read).saturating_sub(worked(&alone));
        let scrapes = span.as_secs_f64() / INTERVAL.as_secs_f64();
        println!(
            "  all together {:.2} % of a processor more, {:.0} us for each scrape, of which only one in {} s is read anew",
            100.0 * more.as_secs_f64() / span.as_secs_f64(),
            1e6 * more.as_secs_f64() / scrapes,
            FRESH.as_secs()
        );
        let title = format!("processor time of a scrape, {} virtual servers", arguments.services);
        let each = Spread::one(1e6 * more.as_secs_f64() / scrapes);
        let measurement = Measurement::new("metrics", title, "us", Better::Less)
            .with(json!({ "seconds": arguments.seconds }));
        document.add(measurement.row("xlvs", each, None, json!({ "samples": samples, "bytes": page.len() })));
        Ok(())
    })
}

/// What the daemon's threads do while something is done at every interval.
fn during(lab: &Lab, span: Duration, each: impl Fn(&Lab) -> Result<()>) -> Result<BTreeMap<String, Turns>> {
    let before = turns(&lab.director)?;
    let start = Instant::now();
    for turn in 1.. {
        each(lab)?;
        let next = INTERVAL * turn;
        sleep(next.saturating_sub(start.elapsed()));
        if next >= span {
            break;
        }
    }
    ensure!(
        start.elapsed() < span + span / 10,
        "the machine is too busy: {span:?} took {:?}",
        start.elapsed()
    );
    Ok(threads::between(&before, turns(&lab.director).context("the daemon ended")?))
}

/// A configuration with so many virtual servers, all of whose real servers are beside one that is there.
fn file(services: usize, host: Ipv4Addr) -> String {
    let service = |number: usize| {
        let service = VirtualServer::new(virtual_address(number), 80, Protocol::Tcp, "wrr");
        let servers = (0..POOL as u32).fold(service, |service, server| {
            service.unchecked(Ipv4Addr::from_bits(host.to_bits() + server), 1)
        });
        servers.to_string()
    };
    (0..services).map(service).collect()
}
