//! What commands make of a configuration, and what is left of that when the file changes.

use super::*;
use crate::adm::{Nameless, Table, parse};

/// A file with a service on port 80, whose lines and real servers are these.
fn file(lines: &str, servers: &[(u8, u16)]) -> Config {
    let servers = servers.iter().map(|(last, weight)| {
        format!("real_server 10.0.0.{last} 80 {{\n weight {weight}\n TCP_CHECK {{\n }}\n}}\n")
    });
    let servers: String = servers.collect();
    let text =
        format!("virtual_server 10.0.0.100 80 {{\n lb_kind DR\n protocol TCP\n {lines}\n {servers}}}\n");
    let parsed = crate::config::parse("k.conf", &text);
    parsed.config.unwrap_or_else(|| panic!("{:#?}", parsed.diagnostics))
}

fn command(line: &str) -> Command {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    parse("ipvsadm", &words, &Nameless).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn after(mut config: Config, lines: &[&str]) -> Config {
    for line in lines {
        change(&mut config, &command(line)).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    config
}

type Shown = (String, &'static str, Vec<(u8, u16)>);

/// Every service by its scheduler and its real servers by the ends of their addresses and their weights.
fn shown(config: &Config) -> Vec<Shown> {
    let last = |address| match address {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(v6) => v6.octets()[15],
    };
    let servers = |service: &VirtualServer| {
        service.real_servers.iter().map(|server| (last(server.address), server.weight.0)).collect()
    };
    let service = |service: &VirtualServer| {
        (service.selector.to_string(), service.scheduler.keyword(), servers(service))
    };
    config.virtual_servers.iter().map(service).collect()
}

const EIGHTY: &str = "10.0.0.100 80 TCP";

#[test]
fn commands_add_edit_and_delete() {
    let made = after(
        Config::default(),
        &[
            "-A -t 10.0.0.100:80 -s rr",
            "-a -t 10.0.0.100:80 -r 10.0.0.1",
            "-a -t 10.0.0.100:80 -r 10.0.0.2:80 -w 3 -x 100 -y 50",
            "-A -f 7 -6 -s sh -b sh-port -p 60 -M 64",
        ],
    );
    assert_eq!(
        shown(&made),
        [(EIGHTY.to_owned(), "rr", vec![(1, 1), (2, 3)]), ("fwmark 7 of IPv6".to_owned(), "sh", Vec::new())]
    );
    let limits = &made.virtual_servers[0].real_servers[1];
    assert_eq!((limits.upper_threshold, limits.lower_threshold), (100, 50));
    let marked = &made.virtual_servers[1];
    assert!(marked.hash_port && !marked.hash_fallback && marked.is_available());
    assert_eq!(
        (marked.persistence, marked.granularity),
        (Some(Duration::from_mins(1)), Some(Granularity(64)))
    );

    let made = after(
        made,
        &[
            "-E -t 10.0.0.100:80 -s wlc",
            "-e -t 10.0.0.100:80 -r 10.0.0.1:80 -w 0",
            "-d -t 10.0.0.100:80 -r 10.0.0.2:80",
            "-D -f 7 -6",
        ],
    );
    assert_eq!(shown(&made), [(EIGHTY.to_owned(), "wlc", vec![(1, 0)])]);
    assert_eq!(shown(&after(made, &["-C"])), []);
}

#[test]
fn a_service_of_the_file_keeps_its_checks_when_it_is_edited() {
    let file = file("lb_algo rr", &[(1, 1), (2, 1)]);
    let now = after(file.clone(), &["-e -t 10.0.0.100:80 -r 10.0.0.1:80 -w 9", "-E -t 10.0.0.100:80 -s wrr"]);
    assert_eq!(shown(&now), [(EIGHTY.to_owned(), "wrr", vec![(1, 9), (2, 1)])]);
    let checkers: Vec<usize> =
        now.virtual_servers[0].real_servers.iter().map(|server| server.checkers.len()).collect();
    assert_eq!(checkers, [1, 1]);
    let selector = now.virtual_servers[0].selector;
    let first = Some(IpAddr::from([10, 0, 0, 1]));
    assert_eq!(made_by_hand(&file, &now), [(selector, None), (selector, first)]);
    assert_eq!(made_by_hand(&file, &file), []);
}

#[test]
fn what_xlvs_does_not_do_is_refused_and_changes_nothing() {
    let before = file("lb_algo rr", &[(1, 1)]);
    for (line, why) in [
        ("-a -t 10.0.0.100:80 -r 10.0.0.9:80 -m", Impossible::Forwarding),
        ("-a -t 10.0.0.100:80 -r 10.0.0.9:80 -i", Impossible::Forwarding),
        ("-A -t 10.0.0.101:80 -s none", Impossible::Scheduler),
        ("-A -u 10.0.0.101:80 --pe sip -p", Impossible::Engine),
        ("-A -t 10.0.0.101:80 -p -M 255.0.255.0", Impossible::Netmask),
    ] {
        let mut config = before.clone();
        assert_eq!(change(&mut config, &command(line)), Err(why), "{line}");
        assert_eq!(config, before, "{line}");
    }
}

#[test]
fn the_services_of_a_group_are_the_files() {
    let text = "virtual_server_group G {\n 10.0.0.100-101 80\n}\nvirtual_server group G {\n lb_kind DR\n lb_algo rr\n \
                protocol TCP\n real_server 10.0.0.1 80 {\n }\n}\n";
    let mut config = crate::config::parse("k.conf", text).config.expect("it loads");
    let denied = change(&mut config, &command("-d -t 10.0.0.101:80 -r 10.0.0.1:80"));
    assert_eq!(denied, Err(Impossible::Group("G".to_owned())));
}

#[test]
fn what_the_file_does_not_touch_stays_as_it_was_made_by_hand() {
    let before = file("lb_algo rr", &[(1, 1), (2, 1), (3, 1)]);
    let now = after(
        before.clone(),
        &[
            "-e -t 10.0.0.100:80 -r 10.0.0.1:80 -w 9",
            "-d -t 10.0.0.100:80 -r 10.0.0.3:80",
            "-a -t 10.0.0.100:80 -r 10.0.0.4:80 -w 4",
            "-A -u 10.0.0.100:53 -s rr",
            "--set 100 0 0",
        ],
    );
    let by_hand = ("10.0.0.100 53 UDP".to_owned(), "rr", Vec::new());
    // The same file, with a comment in front, and one that changed something else.
    let same = file("! more\n lb_algo rr", &[(1, 1), (2, 1), (3, 1)]);
    let other = file("lb_algo wrr", &[(1, 1), (2, 5), (3, 1), (5, 1)]);
    let kept = merge(&before, &now, same);
    assert_eq!(shown(&kept), [(EIGHTY.to_owned(), "rr", vec![(1, 9), (2, 1), (4, 4)]), by_hand.clone()]);
    assert_eq!(kept.timeouts.tcp, Some(100));
    let merged = merge(&before, &now, other);
    assert_eq!(shown(&merged), [(EIGHTY.to_owned(), "wrr", vec![(1, 9), (2, 5), (5, 1), (4, 4)]), by_hand]);
}

#[test]
fn what_the_file_changes_is_as_it_says() {
    let before = file("lb_algo rr", &[(1, 1), (2, 1), (3, 1)]);
    let now = after(
        before.clone(),
        &[
            "-E -t 10.0.0.100:80 -s wlc",
            "-e -t 10.0.0.100:80 -r 10.0.0.1:80 -w 9",
            "-d -t 10.0.0.100:80 -r 10.0.0.3:80",
            "-a -t 10.0.0.100:80 -r 10.0.0.4:80 -w 4",
        ],
    );
    let changed = file("lb_algo sh", &[(1, 2), (3, 3), (4, 7)]);
    let merged = merge(&before, &now, changed);
    assert_eq!(shown(&merged), [(EIGHTY.to_owned(), "sh", vec![(1, 2), (3, 3), (4, 7)])]);
    assert!(!merged.virtual_servers[0].by_hand);
    assert_eq!(made_by_hand(&merged, &merged), []);
}

#[test]
fn a_service_taken_away_by_hand_comes_back_when_the_file_changes_it() {
    let before = file("lb_algo rr", &[(1, 1)]);
    let now = after(before.clone(), &["-C"]);
    assert_eq!(shown(&merge(&before, &now, before.clone())), []);
    let changed = file("lb_algo rr", &[(1, 2)]);
    assert_eq!(shown(&merge(&before, &now, changed)), [(EIGHTY.to_owned(), "rr", vec![(1, 2)])]);
    let gone = merge(&before, &before, Config::default());
    assert_eq!(shown(&gone), [], "what the file no longer has is gone");
}

#[test]
fn the_table_denies_before_the_configuration_is_asked() {
    let mut table = Table::default();
    let line = "-a -t 10.0.0.100:80 -r 10.0.0.1:80";
    assert_eq!(
        table.apply(&command(line)).map_err(|denial| denial.to_string()),
        Err("Service not defined".into())
    );
}
