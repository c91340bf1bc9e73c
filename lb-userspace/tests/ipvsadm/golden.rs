//! Recorded outputs of ipvsadm: the commands are run on a table of their own, and must print the same and end the same.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use xlvs::adm::state::{Connection, Counts, ListedServer, ListedService, Protocol};
use xlvs::adm::{Columns, Command, Listing, Nameless, Names, Outcome, Table, View, parse, run};

/// The names of the recording's machine.
struct Recorded;

impl Names for Recorded {
    fn address_of(&self, _: &str) -> Option<std::net::Ipv4Addr> {
        None
    }

    fn port_of(&self, service: &str, _: Protocol) -> Option<u16> {
        [80, 443].into_iter().find(|port| self.service_at(*port, Protocol::Tcp).as_deref() == Some(service))
    }

    fn host_at(&self, _: IpAddr) -> Option<String> {
        None
    }

    fn service_at(&self, port: u16, _: Protocol) -> Option<String> {
        match port {
            80 => Some("http".to_owned()),
            443 => Some("https".to_owned()),
            _ => None,
        }
    }
}

#[test]
fn what_was_recorded_is_printed() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ipvsadm");
    let mut replayed = 0;
    for entry in fs::read_dir(place).expect("the recordings are there") {
        let path = entry.expect("the directory can be read").path();
        if path.extension().is_some_and(|end| end == "txt") {
            let text = fs::read_to_string(&path).expect("the recording can be read");
            replayed += replay(&text, &path.display().to_string());
        }
    }
    assert!(replayed > 100, "only {replayed} commands were replayed");
}

/// Runs every command of a recording; says how many there are.
fn replay(text: &str, name: &str) -> usize {
    let (mut table, mut saved, mut replayed) = (Table::default(), String::new(), 0);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(line) = line.strip_prefix("$ ").or_else(|| line.strip_prefix("% ")) else { continue };
        let mut command = line.to_owned();
        while command.starts_with("echo ") && !command.ends_with("-R") {
            command += "\n";
            command += lines.next().expect("the words of echo end");
        }
        let is_output = |line: &&str| !["$ ", "% ", "! ", "# "].iter().any(|mark| line.starts_with(mark));
        let mut expected = String::new();
        while let Some(line) = lines.next_if(is_output) {
            expected += line;
            expected += "\n";
        }
        let printed = shell(&command, &expected, &mut table, &mut saved);
        assert_eq!(printed, expected, "{name}: {command}");
        replayed += 1;
    }
    replayed
}

/// What a shell prints of commands with semicolons between them.
fn shell(command: &str, expected: &str, table: &mut Table, saved: &mut String) -> String {
    if let Some(echo) = command.strip_prefix("echo \"") {
        let input = echo.strip_suffix("\" | ipvsadm -R").expect("echo feeds ipvsadm");
        let input = format!("{input}\n");
        return show(&run("ipvsadm", &["-R".to_owned()], &input, table, &Recorded));
    }
    let mut printed = String::new();
    for command in command.split("; ") {
        let command = command
            .strip_prefix("ipvsadm-save")
            .map_or(command.to_owned(), |rest| format!("ipvsadm -S{rest}"));
        let mut words = command.split(' ').map(str::to_owned);
        assert_eq!(words.next().as_deref(), Some("ipvsadm"), "not a command of ipvsadm: {command}");
        let (files, words): (Vec<_>, Vec<_>) = words.partition(|word| word.starts_with(['<', '>']));
        let input = if files == ["</tmp/save"] { saved.clone() } else { String::new() };
        feed(&words, expected, table);
        let outcome = run("ipvsadm", &words, &input, table, &Recorded);
        if files == [">/tmp/save"] {
            *saved = outcome.stdout;
        } else {
            printed.push_str(&show(&outcome));
        }
    }
    printed
}

fn show(outcome: &Outcome) -> String {
    let status = if outcome.status == 0 { String::new() } else { format!("[exit {}]\n", outcome.status) };
    format!("{}{}{status}", outcome.stdout, outcome.stderr)
}

/// Gives the table what only traffic does to it: the numbers that were recorded.
fn feed(words: &[String], expected: &str, table: &mut Table) {
    let Ok(Command::List(Listing { view, .. })) = parse("ipvsadm", words, &Nameless) else { return };
    match view {
        View::Services { columns, .. } => feed_numbers(columns, expected, table),
        View::Connections { .. } => table.connections = expected.lines().skip(2).map(connection).collect(),
        View::Timeouts | View::Daemons => {}
    }
}

fn feed_numbers(columns: Columns, expected: &str, table: &mut Table) {
    let mut service = Vec::new();
    for line in expected.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let numbers: Vec<u64> = words.iter().rev().map_while(|word| number(word)).collect();
        match words[..] {
            ["->", address, ..] if !service.is_empty() => {
                let asked = ["-d".to_owned()]
                    .into_iter()
                    .chain(service.clone())
                    .chain(["-r".to_owned(), address.to_owned()]);
                let asked = parse("ipvsadm", &asked.collect::<Vec<_>>(), &Recorded);
                let Ok(Command::DeleteServer(id, server)) = asked else { panic!("{line}: {asked:?}") };
                let listed = table.services.iter_mut().find(|listed| listed.service.id == id);
                let mut servers = listed.into_iter().flat_map(|listed| &mut listed.servers);
                if let Some(listed) = servers.find(|listed| listed.server.id == server) {
                    feed_server(columns, &numbers, listed);
                }
            }
            [protocol @ ("TCP" | "UDP" | "FWM"), address, ..] => {
                let option = match protocol {
                    "TCP" => "-t",
                    "UDP" => "-u",
                    _ => "-f",
                };
                service = vec![option.to_owned(), address.to_owned()];
                let asked = [vec!["-D".to_owned()], service.clone()].concat();
                let asked = parse("ipvsadm", &asked, &Recorded);
                let Ok(Command::DeleteService(id)) = asked else { panic!("{line}: {asked:?}") };
                if let Some(listed) = table.services.iter_mut().find(|listed| listed.service.id == id) {
                    feed_service(columns, &numbers, listed);
                }
            }
            _ => {}
        }
    }
}

/// A number, which may have been scaled.
fn number(word: &str) -> Option<u64> {
    match word.strip_suffix('K') {
        Some(thousands) => thousands.parse::<u64>().ok().map(|thousands| thousands * 1000),
        None => word.parse().ok(),
    }
}

fn counts(numbers: &[u64]) -> Counts {
    let [out_bytes, in_bytes, out_packets, in_packets, connections, ..] = *numbers else {
        panic!("five numbers: {numbers:?}")
    };
    Counts { connections, in_packets, out_packets, in_bytes, out_bytes }
}

fn feed_service(columns: Columns, numbers: &[u64], listed: &mut ListedService) {
    match columns {
        Columns::Stats => listed.counts = counts(numbers),
        Columns::Rate => listed.rates = counts(numbers),
        _ => {}
    }
}

fn feed_server(columns: Columns, numbers: &[u64], listed: &mut ListedServer) {
    match columns {
        Columns::Stats => listed.counts = counts(numbers),
        Columns::Rate => listed.rates = counts(numbers),
        _ => {
            let [inactive, active, third, ..] = *numbers else { panic!("three numbers: {numbers:?}") };
            (listed.connections.active, listed.connections.inactive) = (active as u32, inactive as u32);
            if columns == Columns::PersistentConnections {
                listed.connections.persistent = third as u32;
            }
        }
    }
}

fn connection(line: &str) -> Connection {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [protocol, expires, state, client, service, server] = words[..] else {
        panic!("not a connection: {line}")
    };
    let place = |text: &str| {
        let (address, port) = text.rsplit_once(':').expect("an address and a port");
        (address.parse().expect("an address"), port.parse().expect("a port"))
    };
    let (minutes, seconds) = expires.split_once(':').expect("minutes and seconds");
    let number = |text: &str| text.parse::<u32>().expect("a number");
    Connection {
        protocol: protocol.to_owned(),
        expires: number(minutes) * 60 + number(seconds),
        state: state.to_owned(),
        client: place(client),
        service: place(service),
        server: place(server),
        engine: None,
    }
}
