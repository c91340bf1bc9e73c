//! `cargo xtask bench config`: how long a change takes until the XDP program sees it, and processor time of a reload by
//! the number of real servers: the same file again, the same configuration in a file that is another, another weight, a
//! virtual server that comes and goes, and another rule for firewall marks, for which another program takes the place of
//! the running one.

mod visible;

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use clap::Args;
use lb_tests::director::Director;
use lb_tests::{Lab, Plan, with_lab};
use serde_json::json;

use super::document::{Better, Document, Measurement};
use super::spread::Spread;
use super::threads::{turns, worked};
use super::{milliseconds, virtual_address};

/// Real servers of one virtual server.
const POOL: usize = 5;
/// The addresses of all real servers are those of one host, from this last octet on.
const FIRST_HOST: usize = 20;
/// So many.
const HOSTS: usize = 20;

/// Arguments of `cargo xtask bench config`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Reloads of each kind
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Real servers, at most 16 000
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "100,1000,10000")]
    servers: Vec<usize>,
}

/// Measures and prints the table.
pub(crate) fn main(arguments: &Arguments, document: &mut Document) -> Result<()> {
    document.add(visible::measure(arguments.rounds)?);
    println!(
        "\nmilliseconds of processor time for one reload, mean of {}; * by another program",
        arguments.rounds
    );
    println!(
        "{:>12} {:>10} {:>12} {:>12} {:>12} {:>12} {:>12}",
        "real servers", "file", "same file", "a comment", "a weight", "a service", "a mark"
    );
    for &servers in &arguments.servers {
        with_lab(&Plan::servers(1), |lab| {
            let services = servers.div_ceil(POOL);
            let text = |comment: u32, weight: u32, more: usize| file(services + more, comment, weight);
            add_hosts(lab)?;
            lab.director.start(&text(0, 1, 0))?;
            let kinds: [(&str, &dyn Fn(u32) -> String); 5] = [
                ("same file", &|_| text(0, 1, 0)),
                ("a comment", &|round| text(round + 1, 1, 0)),
                ("a weight", &|round| text(0, 2 + round % 2, 0)),
                ("a service", &|round| text(0, 1, (round as usize + 1) % 2)),
                ("a mark", &|round| text(0, 1, 0) + &mark(round + 1)),
            ];
            let title = format!("processor time of a reload, {servers} real servers");
            let mut measurement = Measurement::new("config", title, "ms", Better::Less)
                .with(json!({ "rounds": arguments.rounds }));
            print!("{servers:>12} {:>7} KB", text(0, 1, 0).len() / 1024);
            for (name, kind) in kinds {
                let Cost { mean, is_replaced } = cost(&lab.director, arguments.rounds, kind)?;
                print!(" {:>12}", format!("{mean:.1}{}", if is_replaced { "*" } else { "" }));
                let details = json!({ "by_another_program": is_replaced });
                measurement = measurement.row(name, Spread::one(mean), None, details);
            }
            println!();
            document.add(measurement);
            lab.director.term()?;
            Ok(())
        })?;
    }
    Ok(())
}

/// Gives the one host the addresses of all real servers.
fn add_hosts(lab: &Lab) -> Result<()> {
    let netns = lab.servers[0].netns();
    (FIRST_HOST..FIRST_HOST + HOSTS)
        .try_for_each(|host| netns.ip(&format!("address add 10.77.0.{host}/24 dev net0")).map(drop))
}

/// What a reload costs.
struct Cost {
    /// Milliseconds of the daemon's processor time.
    mean: f64,
    /// Whether another program was needed each time.
    is_replaced: bool,
}

fn cost(director: &Director, rounds: u32, text: &dyn Fn(u32) -> String) -> Result<Cost> {
    let before = worked(&turns(director)?);
    let mut replaced = 0;
    for round in 0..rounds {
        let output = director.reload(&text(round))?;
        ensure!(output.status.success(), "a reload failed: {output:?}");
        replaced += u32::from(String::from_utf8_lossy(&output.stdout).contains("was replaced"));
    }
    ensure!(replaced == 0 || replaced == rounds, "{replaced} of {rounds} reloads were by another program");
    // A thread that has ended since takes its time along.
    let spent = worked(&turns(director)?).saturating_sub(before);
    let mean = milliseconds(spent) / f64::from(rounds);
    Ok(Cost { mean, is_replaced: replaced > 0 })
}

/// A rule for a firewall mark that no virtual server is for.
fn mark(mark: u32) -> String {
    format!("fwmark_rules {{\n    mark {mark} {{\n        destination 10.8.0.1\n    }}\n}}\n")
}

/// A configuration with so many virtual servers, whose first real server has the weight.
fn file(services: usize, comment: u32, weight: u32) -> String {
    let mut text = format!("! {comment}\n");
    for service in 0..services {
        let address = virtual_address(service);
        let _infallible = writeln!(
            text,
            "virtual_server {address} 80 {{\n    delay_loop 600\n    lb_algo wrr\n    lb_kind DR\n    protocol TCP"
        );
        for server in 0..POOL {
            let host = FIRST_HOST + (service * POOL + server) % HOSTS;
            let weight = if service == 0 && server == 0 { weight } else { 1 };
            let _infallible = writeln!(
                text,
                "    real_server 10.77.0.{host} 80 {{\n        weight {weight}\n        TCP_CHECK {{\n            \
                 connect_timeout 3\n            warmup 600\n        }}\n    }}"
            );
        }
        text.push_str("}\n");
    }
    text
}
