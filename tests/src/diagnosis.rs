//! Everything a reader needs after a failure, printed to standard error.

use std::process::Command;

use crate::lab::Lab;
use crate::server::RealServer;
use crate::trunk::Trunk;

/// Without the flows: a dump of the whole table is of several hundred megabytes.
const MAPS: [&str; 9] =
    ["services", "leases", "servers", "members", "cursors", "server_stats", "counters", "ports", "layout"];
const LINES: usize = 120;

impl Lab {
    /// Prints logs, status, maps, interfaces and neighbours.
    pub fn diagnose(&self) {
        let director = &self.director;
        section("log of xlvs", &director.log());
        run("xlvs status", &mut director.ask(&[]));
        run("xlvs status --json", &mut director.ask(&["--json"]));
        section("pinned", &director.pins().join(" "));
        for map in MAPS {
            let path = director.pin_dir().join(map);
            if path.exists() {
                run(map, Command::new("bpftool").args(["map", "dump", "pinned"]).arg(path));
            }
        }
        run_in(director.netns(), "bpftool", &["net"]);
        let servers = self.servers.iter().map(RealServer::netns);
        let between = self.edge().into_iter().chain(self.trunk().map(Trunk::netns));
        for netns in [director.netns(), self.client().netns(), self.switch().netns()]
            .into_iter()
            .chain(servers)
            .chain(between)
        {
            run_in(netns, "ip", &["-s", "addr"]);
            run_in(netns, "ip", &["neigh"]);
        }
        run_in(self.switch().netns(), "bridge", &["fdb", "show"]);
        for server in &self.servers {
            let title = format!("nginx of {}: {} requests", server.name(), server.nginx().served());
            section(&title, &server.nginx().log());
        }
    }
}

pub(crate) fn run_in(netns: &crate::netns::Netns, program: &str, arguments: &[&str]) {
    let title = format!("{}: {program} {}", netns.name(), arguments.join(" "));
    match netns.command(program) {
        Ok(mut command) => run(&title, command.args(arguments)),
        Err(error) => section(&title, &format!("{error:#}")),
    }
}

fn run(title: &str, command: &mut Command) {
    match command.output() {
        Ok(output) => {
            section(
                title,
                &[output.stdout, output.stderr]
                    .map(|text| String::from_utf8_lossy(&text).into_owned())
                    .concat(),
            );
        }
        Err(error) => section(title, &error.to_string()),
    }
}

pub(crate) fn section(title: &str, text: &str) {
    eprintln!("----- {title}");
    let lines: Vec<_> = text.trim_end().lines().collect();
    let hidden = lines.len().saturating_sub(LINES);
    if hidden > 0 {
        eprintln!("({hidden} lines above are not shown)");
    }
    for line in &lines[hidden..] {
        eprintln!("{line}");
    }
}
