//! `cargo xtask bench proxies`: whole HTTP connections per second and the rate of a download through xlvs, beside proxies
//! in user space and no director at all, on one switch with the same clients and servers.
//!
//! What answers are three nginx, all on this machine, as is `wrk` that asks: on few processors they take most of the time
//! in every row, and ratios are nearer to 1 than those of the directors alone are. A proxy that is not installed has no
//! row. Each has one process with its default number of threads.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use lb_tests::process::Running;
use lb_tests::server::RealServer;
use lb_tests::{Lab, Plan, wait, with_lab};
use serde_json::json;

use super::document::{Better, Document, Measurement};
use super::spread::Spread;
use crate::command;

/// Real servers; one host more of the lab has the proxies.
const SERVERS: usize = 3;
/// By what part a server may have more or less than its share.
const TOLERANCE: f64 = 0.1;
const HTTP: u16 = 80;
const HAPROXY: u16 = 8081;
const STREAM: u16 = 8082;
const MEGABYTES: usize = 100;
const BOUND: Duration = Duration::from_secs(10);

/// Arguments of `cargo xtask bench proxies`.
#[derive(Args)]
pub(super) struct Arguments {
    /// Rounds; the median of them is shown
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long the clients ask in each measurement
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Clients that ask at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1000))]
    clients: u32,
    /// The stream module of nginx
    #[arg(long, value_name = "FILE", default_value = "/usr/lib/nginx/modules/ngx_stream_module.so")]
    stream_module: PathBuf,
}

/// A way to the servers.
struct Way {
    name: &'static str,
    address: SocketAddrV4,
    /// Whether all servers must have the same share.
    is_balanced: bool,
    connections: Vec<f64>,
    megabytes: Vec<f64>,
    /// The proxy, while there is one.
    _running: Option<Running>,
}

/// Measures and prints both tables.
pub(super) fn main(arguments: &Arguments, document: &mut Document) -> Result<()> {
    with_lab(&Plan::servers(SERVERS + 1), |lab| {
        lab.make_file(MEGABYTES)?;
        let servers = &lab.servers[..SERVERS];
        let service =
            servers.iter().fold(lab.http("rr"), |service, server| service.unchecked(server.address, 1));
        lab.balance(&service, SERVERS)?;
        let mut ways = ways(lab, &arguments.stream_module)?;
        for round in 0..arguments.rounds as usize {
            for turn in 0..ways.len() {
                wait::check_interrupt()?;
                let way = (round + turn) % ways.len();
                measure(lab, &mut ways[way], arguments).context(ways[way].name)?;
            }
        }
        let Arguments { rounds, seconds, clients, .. } = arguments;
        let setup = json!({ "rounds": rounds, "seconds": seconds, "clients": clients });
        println!("\nmedians of {rounds} rounds; ratios are taken within a round");
        for (title, unit, figures) in [
            ("HTTP requests, each on a connection of its own", "1/s", connections as fn(&Way) -> &[f64]),
            ("a download", "MB/s", megabytes),
        ] {
            document.add(table(title, unit, &ways, figures).with(setup.clone()));
        }
        Ok(())
    })
}

fn connections(way: &Way) -> &[f64] {
    &way.connections
}

fn megabytes(way: &Way) -> &[f64] {
    &way.megabytes
}

/// All ways that there are on this machine.
fn ways(lab: &Lab, module: &Path) -> Result<Vec<Way>> {
    let way = |name, address: Ipv4Addr, port, running| Way {
        name,
        address: SocketAddrV4::new(address, port),
        is_balanced: port != HTTP || address == lab.vip(),
        connections: Vec::new(),
        megabytes: Vec::new(),
        _running: running,
    };
    let mut ways = vec![
        way("no director, one server", lab.servers[0].address, HTTP, None),
        way("xlvs rr, direct routing", lab.vip(), HTTP, None),
    ];
    let host = lab.servers[SERVERS].address;
    if command::find("haproxy").is_some() {
        let file = write(lab, "haproxy.cfg", &haproxy(lab))?;
        let running = start(lab, "haproxy", &["-db", "-f", &file], HAPROXY)?;
        ways.push(way("HAProxy, mode tcp, roundrobin", host, HAPROXY, Some(running)));
    } else {
        println!("HAProxy is not installed: no row");
    }
    if module.exists() {
        let file = write(lab, "stream.conf", &stream(lab, module))?;
        let running = start(lab, "nginx", &["-p", &lab.dir().display().to_string(), "-c", &file], STREAM)?;
        ways.push(way("nginx stream, round robin", host, STREAM, Some(running)));
    } else {
        println!("nginx's stream module is not installed ({}): no row", module.display());
    }
    Ok(ways)
}

fn write(lab: &Lab, name: &str, text: &str) -> Result<String> {
    let path = lab.dir().join(name);
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    Ok(path.display().to_string())
}

/// Starts a proxy on the host of the proxies, and waits until it listens.
fn start(lab: &Lab, program: &str, arguments: &[&str], port: u16) -> Result<Running> {
    let host = &lab.servers[SERVERS];
    let mut command = host.netns().command(program)?;
    let path = lab.dir().join(format!("{program}.log"));
    let log = std::fs::File::create(&path)?;
    command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut running = Running::start(program, &mut command)?;
    let address = SocketAddr::from((host.address, port));
    let connect = || host.netns().enter(|| Ok(TcpStream::connect_timeout(&address, BOUND)?));
    running.ready(BOUND, connect).with_context(|| std::fs::read_to_string(path).unwrap_or_default())?;
    Ok(running)
}

fn haproxy(lab: &Lab) -> String {
    let server = |server: &RealServer| format!("    server {} {}:{HTTP}\n", server.name(), server.address);
    let servers = lab.servers[..SERVERS].iter().map(server).collect::<Vec<_>>().concat();
    format!(
        "global\n    maxconn 8000\ndefaults\n    mode tcp\n    timeout connect 5s\n    timeout client 30s\n    \
         timeout server 30s\nlisten bench\n    bind {}:{HAPROXY}\n    balance roundrobin\n{servers}",
        lab.servers[SERVERS].address
    )
}

fn stream(lab: &Lab, module: &Path) -> String {
    let server = |server: &RealServer| format!("server {}:{HTTP}; ", server.address);
    let servers = lab.servers[..SERVERS].iter().map(server).collect::<Vec<_>>().concat();
    let (dir, address) = (lab.dir().display(), lab.servers[SERVERS].address);
    format!(
        "load_module {};\ndaemon off;\nmaster_process off;\npid {dir}/stream.pid;\nworker_rlimit_nofile 16384;\n\
         error_log {dir}/stream.log;\nevents {{ worker_connections 8192; }}\nstream {{\n    upstream bench {{ {servers}}}\n    \
         server {{ listen {address}:{STREAM} backlog=4096; proxy_pass bench; }}\n}}\n",
        module.display()
    )
}

fn measure(lab: &Lab, way: &mut Way, arguments: &Arguments) -> Result<()> {
    let served = || lab.servers[..SERVERS].iter().map(|server| server.nginx().served()).collect::<Vec<_>>();
    let before = served();
    let (address, clients, seconds) =
        (way.address, arguments.clients.to_string(), format!("{}s", arguments.seconds));
    let url = format!("http://{address}/");
    let text = lab.client().netns().run("wrk", &["-t", "1", "-c", &clients, "-d", &seconds, &url])?;
    way.connections.push(requests_per_second(&text)?);
    if way.is_balanced {
        let of_each: Vec<usize> = served().iter().zip(before).map(|(after, before)| after - before).collect();
        let due = of_each.iter().sum::<usize>() as f64 / SERVERS as f64;
        let is_due = |&served: &usize| (served as f64 - due).abs() <= due * TOLERANCE;
        ensure!(of_each.iter().all(is_due), "the servers answered {of_each:?}");
    }
    let url = format!("http://{address}/big");
    let mut curl: Command = lab.client().netns().command("curl")?;
    curl.args(["-sSf", "-o", "/dev/null", "-w", "%{size_download} %{speed_download}", &url]);
    let text = lb_tests::process::output(&mut curl)?;
    let (size, speed) = text.trim().split_once(' ').with_context(|| format!("curl says {text:?}"))?;
    ensure!(size == (MEGABYTES << 20).to_string(), "the download has {size} bytes");
    way.megabytes.push(speed.parse::<f64>().with_context(|| format!("curl says {text:?}"))? / 1e6);
    Ok(())
}

/// What wrk has measured, unless something went wrong.
fn requests_per_second(text: &str) -> Result<f64> {
    let of = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    for problem in ["Socket errors:", "Non-2xx or 3xx responses:"] {
        if let Some(what) = of(problem) {
            anyhow::bail!("{problem} {what}");
        }
    }
    let rate = of("Requests/sec:").and_then(|rate| rate.parse().ok());
    rate.filter(|rate| *rate > 0.0).with_context(|| format!("wrk says: {text}"))
}

/// Prints a table; ratios are to the first way.
fn table(title: &str, unit: &str, ways: &[Way], figures: fn(&Way) -> &[f64]) -> Measurement {
    println!("\n{:<46} [{:>8} {:>8} {:>8}]  ratio", format!("{title}, {unit}"), "least", "median", "most");
    let mut measurement = Measurement::new("proxies", title, unit, Better::More);
    for way in ways {
        let own = figures(way);
        let spread = Spread::of(own.iter().copied());
        let ratio = Spread::of(own.iter().zip(figures(&ways[0])).map(|(own, other)| own / other)).median;
        let Spread { least, median, most } = spread;
        println!("  {:<44} [{least:>8.0} {median:>8.0} {most:>8.0}]  {ratio:>5.2}", way.name);
        measurement = measurement.row(way.name, spread, Some(ratio), json!({ "rounds": own }));
    }
    measurement
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_with_errors_is_none() {
        let text =
            "  1000 requests in 1.00s, 1.00MB read\nRequests/sec:   1234.56\nTransfer/sec:    1.00MB\n";
        assert!(requests_per_second(text).is_ok_and(|rate| (rate - 1234.56).abs() < 1e-9));
        let errors = format!("{text}  Socket errors: connect 0, read 3, write 0, timeout 0\n");
        assert!(requests_per_second(&errors).is_err());
        assert!(requests_per_second("Requests/sec:      0.00\n").is_err());
    }
}
