//! docs/pktgen.sh on a lab: what pktgen sent, what the director forwarded of it and what the real servers received.
//!
//! Run it as root where the kernel has pktgen.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use lb_tests::family::Family;
use lb_tests::netns::Netns;
use lb_tests::wait;
use lb_tests::{Lab, Plan, with_lab};

const SERVERS: usize = 2;
const PORT: u16 = 5300;
const CLIENT_INTERFACE: &str = "net0";
/// Packets, and so few in a second that the cables lose none.
const GENTLY: [&str; 4] = ["--count", "20000", "--rate", "4000"];
/// Packets that come by themselves, such as questions for addresses.
const OTHERS: u64 = 100;

fn main() -> Result<()> {
    wait::interrupt_on_signals()?;
    with_lab(&Plan::servers(SERVERS), |lab| {
        let config = lab.udp_in(Family::V4, PORT, "rr").to_string();
        lab.balance(&config, SERVERS)?;
        let before = received(lab)?;
        let told = pktgen(lab)?;
        print!("{told}");
        let status = lab.director.status()?;
        let service = status.services.first().context("the service is gone")?;
        println!("director: {} connections, {} packets", service.connections, service.packets);
        let mut all = 0;
        for ((server, before), after) in lab.servers.iter().zip(before).zip(received(lab)?) {
            println!("{}: {} packets received", server.name(), after - before);
            all += after - before;
        }
        let sent = sent(&told).context("docs/pktgen.sh told no sum")?;
        ensure!(service.packets == sent, "the director forwarded {} of {sent} packets", service.packets);
        ensure!((sent..sent + OTHERS).contains(&all), "the real servers received {all} of {sent} packets");
        Ok(())
    })
}

/// How many packets all CPUs sent.
fn sent(told: &str) -> Option<u64> {
    told.lines().find_map(|line| line.trim().strip_prefix("all "))?.split_whitespace().next()?.parse().ok()
}

fn pktgen(lab: &Lab) -> Result<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pktgen.sh");
    let interface = &lab.director.interfaces()[0];
    let mac = lab.director.netns().mac(interface)?.map(|byte| format!("{byte:02x}")).join(":");
    let (vip, port) = (lab.vip().to_string(), PORT.to_string());
    let script = script.to_str().context("the workspace's path")?;
    let where_to = ["--interface", CLIENT_INTERFACE, "--mac", &mac, "--destination", &vip, "--port", &port];
    lab.client().netns().run(script, &[&where_to[..], &GENTLY].concat())
}

/// Packets that each real server has received in all.
fn received(lab: &Lab) -> Result<Vec<u64>> {
    lab.servers.iter().map(|server| count(server.netns())).collect()
}

fn count(netns: &Netns) -> Result<u64> {
    let links: serde_json::Value = serde_json::from_str(&netns.ip("-j -s link show")?)?;
    let links = links.as_array().context("`ip -j link` printed no list")?;
    let is_a_cable = |link: &&serde_json::Value| link["link_type"] == "ether";
    let packets = |link: &serde_json::Value| link["stats64"]["rx"]["packets"].as_u64();
    links.iter().filter(is_a_cable).map(packets).sum::<Option<u64>>().context("a link without a count")
}
