//! What a master holds, against a real kernel: two network namespaces with a veth pair between them. Needs root.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may panic; clippy only knows the test functions themselves"
)]

#[expect(dead_code, reason = "each test needs a part of it")]
mod netns;

use std::time::{Duration, Instant};

use netns::{Pair, output};
use xlvs::config::Span;
use xlvs::config::model::vrrp::{
    Broadcast, Family, RouteKind, Scope, VirtualAddress, VirtualRoute, VirtualRule,
};
use xlvs::io::holdings::{Held, HeldAddress, Holdings};

/// Far beyond the ten seconds after which what was refused is tried again.
const PATIENCE: Duration = Duration::from_mins(1);

fn address(text: &str) -> HeldAddress {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse().unwrap())),
        None => (text, None),
    };
    HeldAddress::new(
        "eth0".to_owned(),
        &VirtualAddress {
            address: address.parse().unwrap(),
            prefix,
            dev: None,
            label: None,
            scope: None,
            broadcast: None,
        },
    )
}

fn addresses(texts: &[&str]) -> Held {
    Held { addresses: texts.iter().map(|text| address(text)).collect(), ..Held::default() }
}

fn route(destination: &str) -> VirtualRoute {
    let (address, prefix) = destination.split_once('/').unwrap();
    VirtualRoute {
        kind: RouteKind::Unicast,
        destination: (address.parse().unwrap(), prefix.parse().unwrap()),
        via: None,
        dev: None,
        source: None,
        table: None,
        metric: None,
        scope: None,
        onlink: false,
        span: Span::default(),
    }
}

fn rule(table: u32) -> VirtualRule {
    VirtualRule {
        family: Family::V4,
        from: None,
        to: None,
        iif: None,
        oif: None,
        fwmark: None,
        preference: None,
        table,
        span: Span::default(),
    }
}

/// A host that holds, in the director's namespace.
struct Host {
    pair: Pair,
    holdings: Holdings,
}

impl Host {
    fn new() -> Self {
        let pair = Pair::new();
        let holdings = netns::enter(&pair.director, || Holdings::start().unwrap());
        Self { pair, holdings }
    }

    fn ip(&self, arguments: &str) {
        self.pair.director(arguments);
    }

    fn show(&self, arguments: &str) -> String {
        let mut all = vec!["-n", &self.pair.director];
        all.extend(arguments.split(' '));
        output("ip", &all)
    }

    /// Waits until what `ip` shows contains each of `wanted` and none of `unwanted`.
    fn until(&self, arguments: &str, wanted: &[&str], unwanted: &[&str]) {
        let start = Instant::now();
        loop {
            let shown = self.show(arguments);
            let there = wanted.iter().all(|text| shown.contains(text));
            if there && !unwanted.iter().any(|text| shown.contains(text)) {
                return;
            }
            let patient = start.elapsed() < PATIENCE;
            assert!(patient, "ip {arguments}: wanted {wanted:?} and not {unwanted:?}, but it is\n{shown}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until all that was said is done.
    fn finish(self) -> Pair {
        self.holdings.finish().unwrap();
        self.pair
    }
}

const ADDRESSES: &str = "-o address show";

#[test]
fn addresses_come_and_go() {
    let host = Host::new();
    let mut held = addresses(&["10.0.0.100", "10.7.0.1/24", "fd00::100", "fd00:7::1/64"]);
    held.addresses.push(HeldAddress {
        label: Some("eth0:vip".to_owned()),
        scope: Some(Scope(253)),
        broadcast: Some(Broadcast::Computed),
        ..address("10.8.0.1/24")
    });
    host.holdings.hold("A", held.clone());
    let each = [
        "inet 10.0.0.100/32 scope global eth0",
        "inet 10.7.0.1/24 scope global eth0",
        "inet 10.8.0.1/24 brd 10.8.0.255 scope link eth0:vip",
        "inet6 fd00::100/128 scope global nodad deprecated",
        "inet6 fd00:7::1/64 scope global nodad",
    ];
    host.until(ADDRESSES, &each, &["tentative"]);

    // Another owner may hold the same, and an owner may hold something else from now on.
    host.holdings.hold("B", addresses(&["10.0.0.100", "10.0.0.101"]));
    host.until(ADDRESSES, &["10.0.0.101/32"], &[]);
    host.holdings.hold("A", addresses(&["10.0.0.102"]));
    host.until(
        ADDRESSES,
        &["10.0.0.100/32", "10.0.0.101/32", "10.0.0.102/32", "10.0.0.1/24"],
        &["10.7.0.1", "10.8.0.1", "fd00:"],
    );
    host.holdings.release("B", addresses(&["10.0.0.100", "10.0.0.101"]));
    host.holdings.release("A", held);
    let pair = host.finish();
    let left = output("ip", &["-n", &pair.director, "-o", "address", "show", "dev", "eth0"]);
    assert!(left.contains("10.0.0.1/24") && !left.contains("10.0.0.10"), "{left}");
}

#[test]
fn what_something_else_removes_is_put_back() {
    let host = Host::new();
    host.holdings.hold("A", addresses(&["10.0.0.100", "10.0.0.101/24", "fd00::100", "fd00::101/64"]));
    let each = ["10.0.0.100/32", "10.0.0.101/24", "fd00::100/128", "fd00::101/64"];
    host.until(ADDRESSES, &each, &[]);
    for gone in each {
        host.ip(&format!("address del {gone} dev eth0"));
        host.until(ADDRESSES, &each, &[]);
    }
    // With the interface's own address the kernel removes the others of its network, and on a link that is switched
    // off all addresses of IPv6.
    host.ip("address del 10.0.0.1/24 dev eth0");
    host.until(ADDRESSES, &each, &["10.0.0.1/24"]);
    host.ip("link set eth0 down");
    host.until(ADDRESSES, &each, &[]);
    host.ip("link set eth0 up");
    host.until(ADDRESSES, &each, &["tentative", "dadfailed"]);
    // It is not only shown but in use again.
    host.pair.server("address add fd00::9/64 dev eth0 nodad");
    host.until("-6 route show table local", &["local fd00::100 ", "local fd00::101 "], &[]);
    netns::enter(&host.pair.server, || output("ping", &["-6", "-c1", "-W5", "fd00::101"]));
    drop(host.finish());
}

#[test]
fn removal_spares_the_addresses_of_others() {
    let host = Host::new();
    let setting = "/proc/sys/net/ipv4/conf/eth0/promote_secondaries";
    netns::enter(&host.pair.director, || std::fs::write(setting, "0").unwrap());
    let held = addresses(&["10.7.0.100/24"]);
    host.holdings.hold("A", held.clone());
    host.until(ADDRESSES, &["10.7.0.100/24"], &[]);
    host.ip("address add 10.7.0.1/24 dev eth0");
    host.until(ADDRESSES, &["10.7.0.1/24 scope global secondary"], &[]);
    host.holdings.release("A", held);
    host.until(ADDRESSES, &["10.7.0.1/24 scope global eth0"], &["10.7.0.100"]);
    let pair = host.finish();
    assert_eq!(netns::enter(&pair.director, || std::fs::read_to_string(setting).unwrap()), "0\n");
}

#[test]
fn thousands_are_held() {
    let host = Host::new();
    let all: Vec<String> = (0..2000).map(|n| format!("10.60.{}.{}", n / 250, n % 250 + 1)).collect();
    let held = addresses(&all.iter().map(String::as_str).collect::<Vec<_>>());
    host.holdings.hold("A", held.clone());
    host.until(ADDRESSES, &["10.60.0.1/32", "10.60.7.250/32"], &[]);
    // More events at once than the kernel keeps for the thread.
    let deletions: Vec<String> = all.iter().map(|one| format!("address del {one}/32 dev eth0\n")).collect();
    netns::ip_batch(&host.pair.director, &deletions.concat());
    let lines: Vec<String> = all.iter().map(|one| format!("{one}/32 ")).collect();
    host.until(ADDRESSES, &lines.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    host.holdings.release("A", held);
    let pair = host.finish();
    let left = output("ip", &["-n", &pair.director, "-o", "-4", "address", "show", "dev", "eth0"]);
    assert_eq!(left.lines().count(), 1, "the host's own\n{left}");
}

#[test]
fn an_interface_that_is_made_late_and_again() {
    let host = Host::new();
    let mut held = addresses(&["10.0.0.100"]);
    held.addresses.push(HeldAddress { interface: "late0".to_owned(), ..address("10.9.0.1/24") });
    held.addresses.push(HeldAddress { interface: "late0".to_owned(), ..address("fd00:9::1") });
    host.holdings.hold("A", held.clone());
    host.until(ADDRESSES, &["10.0.0.100/32"], &[]);
    for _ in 0..2 {
        host.ip("link add late0 type veth peer late1");
        host.ip("link set late0 up");
        host.ip("link set late1 up");
        host.until(ADDRESSES, &["10.9.0.1/24", "fd00:9::1/128"], &[]);
        host.ip("link del late0");
    }
    host.holdings.release("A", held);
    drop(host.finish());
}

#[test]
fn what_an_earlier_daemon_left_is_removed() {
    let host = Host::new();
    host.ip("address add 10.0.0.100/32 dev eth0 label eth0:old");
    host.ip("address add fd00::100/64 dev eth0");
    host.ip("route add 10.20.0.0/16 via 10.0.0.9 proto 18");
    host.ip("rule add from 10.20.0.0/16 table 77 protocol 18");
    // These are the operator's.
    host.ip("route add 10.21.0.0/16 via 10.0.0.9");
    host.ip("rule add from 10.21.0.0/16 table 77");
    let mut held = addresses(&["10.0.0.100", "fd00::100", "10.0.0.101"]);
    for destination in ["10.20.0.0/16", "10.21.0.0/16"] {
        let (address, _) = destination.split_once('/').unwrap();
        let prefix = Some((address.parse().unwrap(), 16));
        held.routes.push(VirtualRoute { via: "10.0.0.9".parse().ok(), ..route(destination) });
        held.rules.push(VirtualRule { from: prefix, ..rule(77) });
    }
    host.holdings.release("A", held);
    host.until(ADDRESSES, &["10.0.0.1/24"], &["10.0.0.100", "fd00::100"]);
    host.until("route show", &["10.21.0.0/16"], &["10.20.0.0/16"]);
    host.until("rule show", &["10.21.0.0/16"], &["10.20.0.0/16"]);
    drop(host.finish());
}

#[test]
fn an_address_that_is_not_known_to_be_unique_is_taken_over() {
    let host = Host::new();
    // With detection on a link where it takes a minute.
    netns::enter(&host.pair.director, || {
        std::fs::write("/proc/sys/net/ipv6/conf/eth0/dad_transmits", "60").unwrap();
    });
    host.ip("address add fd00::100/128 dev eth0");
    host.until(ADDRESSES, &["fd00::100/128 scope global tentative"], &[]);
    host.holdings.hold("A", addresses(&["fd00::100"]));
    host.until(ADDRESSES, &["fd00::100/128 scope global nodad deprecated"], &[]);
    drop(host.finish());
}

#[test]
fn routes_are_held() {
    let host = Host::new();
    host.ip("address add fd00::1/64 dev eth0 nodad");
    let via = |destination: &str, gateway: &str| VirtualRoute {
        via: Some(gateway.parse().unwrap()),
        ..route(destination)
    };
    let on_eth0 = |route: VirtualRoute| VirtualRoute { dev: Some("eth0".to_owned()), ..route };
    let mut held = addresses(&["10.0.0.100", "fd00::100"]);
    held.routes = vec![
        VirtualRoute { source: "fd00::100".parse().ok(), ..via("fd00:32::/64", "fd00::9") },
        VirtualRoute { source: "10.0.0.100".parse().ok(), ..via("0.0.0.0/0", "10.0.0.9") },
        VirtualRoute { metric: Some(7), ..on_eth0(route("10.30.0.0/16")) },
        VirtualRoute { kind: RouteKind::Blackhole, ..route("10.31.0.0/16") },
        VirtualRoute { table: Some(1000), onlink: true, ..on_eth0(via("10.32.0.0/16", "192.0.2.1")) },
        via("fd00:30::/64", "fd00::9"),
        VirtualRoute { kind: RouteKind::Unreachable, ..route("fd00:31::/64") },
    ];
    host.holdings.hold("A", held.clone());
    let main = [
        "default via 10.0.0.9 dev eth0 proto keepalived src 10.0.0.100",
        "10.30.0.0/16 dev eth0 proto keepalived scope link metric 7",
        "blackhole 10.31.0.0/16 proto keepalived",
    ];
    let table = ["10.32.0.0/16 via 192.0.2.1 dev eth0 proto keepalived onlink"];
    let six = [
        "fd00:30::/64 via fd00::9 dev eth0 proto keepalived",
        "unreachable fd00:31::/64 dev lo proto keepalived",
        "fd00:32::/64 via fd00::9 dev eth0 proto keepalived src fd00::100",
    ];
    let all_there = || {
        host.until("route show", &main, &[]);
        host.until("route show table 1000", &table, &[]);
        host.until("-6 route show", &six, &[]);
    };
    all_there();
    host.ip("route del default");
    host.ip("-6 route del fd00:30::/64");
    all_there();
    host.ip("route replace default via 10.0.0.9 proto static");
    all_there();
    // The kernel removes routes with their source address or their interface's link without a word.
    host.ip("address del 10.0.0.100/32 dev eth0");
    all_there();
    host.ip("address del fd00::100/128 dev eth0");
    all_there();
    host.ip("link set eth0 down");
    host.ip("link set eth0 up");
    host.ip("address add fd00::1/64 dev eth0 nodad");
    all_there();
    host.holdings.release("A", held);
    host.until("route show", &["10.0.0.0/24"], &["keepalived"]);
    host.until("-6 route show", &["fd00::/64"], &["keepalived"]);
    host.until("route show table 1000", &[], &["10.32"]);
    drop(host.finish());
}

#[test]
fn rules_are_held() {
    let host = Host::new();
    let held = Held {
        rules: vec![
            VirtualRule {
                from: Some(("10.40.0.0".parse().unwrap(), 16)),
                preference: Some(1234),
                ..rule(77)
            },
            VirtualRule {
                to: Some(("10.41.0.1".parse().unwrap(), 32)),
                iif: Some("eth0".to_owned()),
                ..rule(1000)
            },
            VirtualRule { fwmark: Some((0x10, 0xff)), family: Family::V6, ..rule(78) },
        ],
        ..Held::default()
    };
    host.holdings.hold("A", held.clone());
    let four = ["1234:\tfrom 10.40.0.0/16 lookup 77", "from all to 10.41.0.1 iif eth0 lookup 1000"];
    let six = ["from all fwmark 0x10/0xff lookup 78"];
    let all_there = || {
        host.until("rule show", &four, &[]);
        host.until("-6 rule show", &six, &[]);
    };
    all_there();
    host.ip("rule del from 10.40.0.0/16 table 77");
    host.ip("-6 rule del fwmark 0x10/0xff table 78");
    all_there();
    host.holdings.release("A", held);
    host.until("rule show", &["lookup main"], &["10.40.0.0", "10.41.0.1"]);
    host.until("-6 rule show", &["lookup main"], &["0x10"]);
    drop(host.finish());
}

#[test]
fn one_that_is_refused_stops_no_other() {
    let host = Host::new();
    let mut held = addresses(&["10.0.0.100"]);
    held.addresses.insert(0, HeldAddress { label: Some("wrong".repeat(9)), ..address("10.0.0.99") });
    held.routes = vec![
        VirtualRoute { via: "192.0.2.1".parse().ok(), ..route("10.50.0.0/16") },
        VirtualRoute { via: "10.0.0.9".parse().ok(), ..route("10.51.0.0/16") },
    ];
    host.holdings.hold("A", held);
    host.until(ADDRESSES, &["10.0.0.100/32"], &["10.0.0.99/32"]);
    host.until("route show", &["10.51.0.0/16"], &["10.50.0.0/16"]);
    // Once it is possible, it is done.
    host.ip("address add 192.0.2.2/24 dev eth0");
    host.until("route show", &["10.50.0.0/16", "10.51.0.0/16"], &[]);
    drop(host.finish());
}
