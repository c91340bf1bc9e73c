//! Next hops and links against a real kernel: two network namespaces with a veth pair between them. Needs root.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may panic; clippy only knows the test functions themselves"
)]

mod netns;

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use netns::{Pair, ip_in};
use tokio::sync::mpsc::Receiver;
use xlvs::io::links::{self, Carrier, Link, LinkChange};
use xlvs::io::nexthop::{NextHops, Resolution};

/// Beyond the slowest that the kernel does here: three unanswered ARP requests of a second each.
const PATIENCE: Duration = Duration::from_secs(30);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn resolved(mac: &str, ifindex: u32) -> Resolution {
    let bytes: Vec<u8> = mac.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    Resolution::Resolved { mac: bytes.try_into().unwrap(), ifindex }
}

fn unresolved(reason: &str) -> Resolution {
    Resolution::Unresolved { reason: reason.into() }
}

/// The last resolution of each address, as reported.
struct Seen {
    reports: Receiver<(IpAddr, Resolution)>,
    last: BTreeMap<IpAddr, Resolution>,
}

impl Seen {
    fn new(reports: Receiver<(IpAddr, Resolution)>) -> Self {
        Self { reports, last: BTreeMap::new() }
    }

    /// Waits until `address` is reported as `wanted`, checking that nothing is reported twice.
    async fn until(&mut self, address: &str, wanted: &Resolution) {
        let address = ip(address);
        let wait = async {
            while self.last.get(&address) != Some(wanted) {
                let (about, resolution) = self.reports.recv().await.expect("the resolver ended");
                let before = self.last.insert(about, resolution.clone());
                assert_ne!(before.as_ref(), Some(&resolution), "{about} was reported twice");
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        let last = self.last.get(&address);
        assert!(waited.is_ok(), "{address} did not become {wanted:?}; last: {last:?}");
    }
}

/// Makes the kernel of this thread's namespace send something to `address`, whoever listens.
fn send_to(address: &str) {
    UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"x", (ip(address), 9)).unwrap();
}

async fn index() -> u32 {
    links::find("eth0").await.unwrap().index
}

#[test]
fn local_neighbours_gateways_and_none() {
    let pair = Pair::new();
    pair.director("addr add fd00::1/64 dev eth0 nodad");
    pair.server("addr add fd00::9/64 dev eth0 nodad");
    pair.director("route add 10.1.0.0/16 via 10.0.0.9");
    pair.director("route add 10.2.0.0/16 via 10.0.0.98");
    pair.director("route add prohibit 10.3.0.0/16");
    pair.director("route add blackhole 10.4.0.0/16");
    pair.director("route add unreachable 10.5.0.0/16");
    let mac = pair.server_mac();
    let director = pair.director.clone();
    netns::run(&pair.director, async move {
        let there = resolved(&mac, index().await);
        let rows = [
            ("10.0.0.1", Resolution::Local),
            ("127.0.0.1", Resolution::Local),
            ("fd00::1", Resolution::Local),
            ("10.0.0.9", there.clone()),
            ("fd00::9", there.clone()),
            ("10.1.2.3", there.clone()),
            ("10.0.0.99", unresolved("10.0.0.99 does not answer ARP on eth0")),
            ("fd00::99", unresolved("fd00::99 does not answer neighbour discovery on eth0")),
            ("10.2.0.1", unresolved("10.0.0.98, the gateway to 10.2.0.1, does not answer ARP on eth0")),
            ("192.0.2.1", unresolved("no route to 192.0.2.1: the routing table has none")),
            ("2001:db8::1", unresolved("no route to 2001:db8::1: the routing table has none")),
            ("10.3.0.1", unresolved("no route to 10.3.0.1: it is prohibited by a route")),
            ("10.4.0.1", unresolved("no route to 10.4.0.1: it is in a blackhole route")),
            ("10.5.0.1", unresolved("no route to 10.5.0.1: the routing table says unreachable")),
            ("10.0.0.255", unresolved("no route to 10.0.0.255: it is a broadcast address here")),
        ];
        let (next_hops, reports) = NextHops::start(rows.iter().map(|(address, _)| ip(address))).unwrap();
        let mut seen = Seen::new(reports);
        for (address, wanted) in &rows {
            seen.until(address, wanted).await;
        }
        // Routes and addresses are followed.
        ip_in(&director, "route add 192.0.2.0/24 via 10.0.0.9");
        seen.until("192.0.2.1", &there).await;
        ip_in(&director, "addr add 10.0.0.99/32 dev lo");
        seen.until("10.0.0.99", &Resolution::Local).await;
        ip_in(&director, "route del 192.0.2.0/24");
        seen.until("192.0.2.1", &unresolved("no route to 192.0.2.1: the routing table has none")).await;
        // So is the set: only the new address is news.
        let others = rows.iter().map(|(address, _)| ip(address)).filter(|other| *other != ip("10.0.0.9"));
        next_hops.change(&[ip("10.1.0.1")].into(), &others.collect());
        assert_eq!(seen.reports.recv().await, Some((ip("10.1.0.1"), there)));
        drop(next_hops);
        assert_eq!(seen.reports.recv().await, None);
    });
}

#[test]
fn a_server_that_goes_and_returns() {
    let pair = Pair::new();
    pair.quick_neighbours();
    let mac = pair.server_mac();
    let (director, server) = (pair.director.clone(), pair.server.clone());
    netns::run(&pair.director, async move {
        let there = resolved(&mac, index().await);
        let (_next_hops, reports) = NextHops::start([ip("10.0.0.9")]).unwrap();
        let mut seen = Seen::new(reports);
        seen.until("10.0.0.9", &there).await;

        // The host stays on the wire but does not answer any more.
        ip_in(&server, "addr del 10.0.0.9/24 dev eth0");
        ip_in(&director, "neigh change 10.0.0.9 dev eth0 nud stale");
        send_to("10.0.0.9");
        seen.until("10.0.0.9", &unresolved("10.0.0.9 does not answer ARP on eth0")).await;
        ip_in(&server, "addr add 10.0.0.9/24 dev eth0");
        seen.until("10.0.0.9", &there).await;

        // The cable.
        ip_in(&server, "link set eth0 down");
        seen.until("10.0.0.9", &unresolved("eth0, the interface to 10.0.0.9, has no carrier")).await;
        ip_in(&server, "link set eth0 up");
        seen.until("10.0.0.9", &there).await;

        // The administrator.
        ip_in(&director, "link set eth0 down");
        seen.until("10.0.0.9", &unresolved("no route to 10.0.0.9: the routing table has none")).await;
        ip_in(&director, "link set eth0 up");
        seen.until("10.0.0.9", &there).await;

        // The entry is taken away. Were the server there, asking again would be over before anybody notices.
        ip_in(&server, "addr del 10.0.0.9/24 dev eth0");
        ip_in(&director, "neigh flush dev eth0");
        seen.until("10.0.0.9", &unresolved("10.0.0.9 does not answer ARP on eth0")).await;
        ip_in(&server, "addr add 10.0.0.9/24 dev eth0");
        seen.until("10.0.0.9", &there).await;

        // The interface itself.
        ip_in(&director, "link del eth0");
        seen.until("10.0.0.9", &unresolved("no route to 10.0.0.9: the routing table has none")).await;
    });
}

#[test]
fn a_new_mac_is_followed() {
    let pair = Pair::new();
    pair.quick_neighbours();
    let mac = pair.server_mac();
    let (director, server) = (pair.director.clone(), pair.server.clone());
    netns::run(&pair.director, async move {
        let ifindex = index().await;
        let (_next_hops, reports) = NextHops::start([ip("10.0.0.9")]).unwrap();
        let mut seen = Seen::new(reports);
        seen.until("10.0.0.9", &resolved(&mac, ifindex)).await;

        // Announced: the server has to ask for the director and thereby shows its new address.
        ip_in(&server, "link set eth0 address 02:00:00:00:aa:01");
        netns::enter(&server, || send_to("10.0.0.1"));
        seen.until("10.0.0.9", &resolved("02:00:00:00:aa:01", ifindex)).await;

        // Not announced: the old one stops to answer when it is confirmed, then everybody is asked.
        ip_in(&server, "link set eth0 address 02:00:00:00:aa:02");
        ip_in(&director, "neigh change 10.0.0.9 dev eth0 nud stale");
        send_to("10.0.0.9");
        seen.until("10.0.0.9", &resolved("02:00:00:00:aa:02", ifindex)).await;

        // By hand.
        ip_in(&director, "neigh replace 10.0.0.9 dev eth0 lladdr 02:00:00:00:aa:03 nud permanent");
        seen.until("10.0.0.9", &resolved("02:00:00:00:aa:03", ifindex)).await;
    });
}

#[test]
fn lost_events_are_made_up_for() {
    let pair = Pair::new();
    let mac = pair.server_mac();
    let director = pair.director.clone();
    netns::run(&pair.director, async move {
        let ifindex = index().await;
        let (_next_hops, reports) = NextHops::start([ip("10.0.0.9")]).unwrap();
        let mut seen = Seen::new(reports);
        seen.until("10.0.0.9", &resolved(&mac, ifindex)).await;
        // This blocks the only thread, so nobody reads events: far more than the socket holds, and the one that
        // matters last.
        let route = |n| format!("route add 172.16.{}.{}/32 dev eth0\n", n / 200, n % 200);
        netns::ip_batch(&director, &(0..20_000).map(route).collect::<String>());
        ip_in(&director, "neigh replace 10.0.0.9 dev eth0 lladdr 02:00:00:00:aa:04 nud permanent");
        seen.until("10.0.0.9", &resolved("02:00:00:00:aa:04", ifindex)).await;
    });
}

async fn change(changes: &mut Receiver<LinkChange>, wanted: impl Fn(Option<&Link>) -> bool) -> LinkChange {
    let wait = async {
        loop {
            let change = changes.recv().await.expect("the watch ended");
            assert_eq!(change.name, "eth0");
            if wanted(change.link.as_ref()) {
                return change;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the change was not reported")
}

#[test]
fn links_by_name_and_their_changes() {
    let pair = Pair::new();
    let director = pair.director.clone();
    netns::run(&pair.director, async move {
        let error = links::find("ens33").await.unwrap_err();
        assert_eq!(error.to_string(), "interface ens33 does not exist; there are: lo, eth0");
        let eth0 = links::find("eth0").await.unwrap();
        assert_eq!((eth0.mtu, eth0.carrier, eth0.kind.as_deref()), (1500, Carrier::Up, Some("veth")));
        assert_eq!(links::driver("eth0").as_deref(), Some("veth"));
        assert_eq!(links::find("lo").await.unwrap().mac, None);

        let mut changes = links::watch(["eth0".to_owned()]).unwrap();
        let first = changes.recv().await.unwrap();
        assert_eq!(first, LinkChange { name: "eth0".into(), link: Some(eth0.clone()) });
        ip_in(&director, "link set eth0 address 02:00:00:00:bb:01");
        let mac = Some([2, 0, 0, 0, 0xbb, 1]);
        change(&mut changes, |link| link.is_some_and(|link| link.mac == mac)).await;
        ip_in(&director, "link set eth0 mtu 1400");
        change(&mut changes, |link| link.is_some_and(|link| link.mtu == 1400)).await;
        ip_in(&director, "link del eth0");
        change(&mut changes, |link| link.is_none()).await;
        ip_in(&director, "link add eth0 address 02:00:00:00:bb:02 type veth peer name other");
        let again = change(&mut changes, |link| link.is_some()).await.link.unwrap();
        assert_ne!(again.index, eth0.index);
        assert_eq!(again.mac, Some([2, 0, 0, 0, 0xbb, 2]));
    });
}
