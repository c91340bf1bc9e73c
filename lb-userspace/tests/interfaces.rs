//! Interfaces as VRRP sees them, against a real kernel: two network namespaces with a veth pair between them. Needs
//! root.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may panic; clippy only knows the test functions themselves"
)]

#[expect(dead_code, reason = "each test needs a part of it")]
mod netns;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use netns::{Pair, ip_in};
use tokio::sync::mpsc::Receiver;
use xlvs::config::model::vrrp::Family;
use xlvs::io::interfaces::{self, Fact, Wanted};

/// Beyond the second or two that duplicate address detection takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was told last.
struct Known {
    facts: Receiver<Fact>,
    up: BTreeMap<String, bool>,
    index: BTreeMap<String, Option<u32>>,
    sources: BTreeMap<(String, Family), Option<IpAddr>>,
    hosts: BTreeMap<IpAddr, bool>,
}

impl Known {
    fn new(facts: Receiver<Fact>) -> Self {
        Self {
            facts,
            up: BTreeMap::new(),
            index: BTreeMap::new(),
            sources: BTreeMap::new(),
            hosts: BTreeMap::new(),
        }
    }

    async fn until(&mut self, what: &str, satisfied: impl Fn(&Self) -> bool) {
        let wait = async {
            while !satisfied(self) {
                match self.facts.recv().await.expect("nobody tells any more") {
                    Fact::Interface { name, up, index, mac } => {
                        let ethernet = name != "lo";
                        assert_eq!(mac.is_some(), index.is_some() && ethernet, "a veth has a MAC address");
                        self.up.insert(name.clone(), up);
                        self.index.insert(name, index);
                    }
                    Fact::Source { interface, family, address } => {
                        let key = (interface, family);
                        let before = self.sources.insert(key, address);
                        assert_ne!(before, Some(address), "told twice");
                    }
                    Fact::Host { address, present } => {
                        assert_ne!(self.hosts.insert(address, present), Some(present), "told twice");
                    }
                }
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "{what}: {:?} {:?} {:?}", self.up, self.index, self.sources);
    }

    async fn until_up(&mut self, name: &str, up: bool) {
        self.until(&format!("{name} up {up}"), |known| known.up.get(name) == Some(&up)).await;
    }

    async fn until_source(&mut self, name: &str, family: Family, address: Option<&str>) {
        let key = (name.to_owned(), family);
        let address = address.map(|text| text.parse().unwrap());
        self.until(&format!("{key:?} {address:?}"), |known| known.sources.get(&key) == Some(&address)).await;
    }
}

#[test]
fn interfaces_and_sources_are_followed() {
    let pair = Pair::new();
    let (director, server) = (pair.director.clone(), pair.server.clone());
    netns::run(&pair.director, async move {
        let hosts: [IpAddr; 2] = ["10.0.0.2", "10.0.0.77"].map(|text| text.parse().unwrap());
        let wanted = Wanted {
            names: ["eth0", "late0"].map(str::to_owned).into(),
            virtual_addresses: ["10.0.0.100", "fe80::100"].map(|text| text.parse().unwrap()).into(),
            hosts: hosts.into(),
        };
        let (watching, facts) = interfaces::watch(wanted).unwrap();
        let mut known = Known::new(facts);

        // What there is.
        known.until("all six", |known| known.up.len() == 2 && known.sources.len() == 4).await;
        assert_eq!(known.up, [("eth0".to_owned(), true), ("late0".to_owned(), false)].into());
        assert_eq!(known.index["late0"], None);
        known.until_source("eth0", Family::V4, Some("10.0.0.1")).await;
        known
            .until("a link-local address", |known| {
                let source = known.sources.get(&("eth0".to_owned(), Family::V6));
                matches!(source, Some(Some(IpAddr::V6(v6))) if v6.is_unicast_link_local())
            })
            .await;

        // The cable, and the administrator.
        ip_in(&server, "link set eth0 down");
        known.until_up("eth0", false).await;
        ip_in(&server, "link set eth0 up");
        known.until_up("eth0", true).await;
        ip_in(&director, "link set eth0 down");
        known.until_up("eth0", false).await;
        known.until_source("eth0", Family::V6, None).await;
        ip_in(&director, "link set eth0 up");
        known.until_up("eth0", true).await;

        // The address, with a virtual one besides.
        ip_in(&director, "addr add 10.0.0.100/32 dev eth0");
        ip_in(&director, "addr del 10.0.0.1/24 dev eth0");
        known.until_source("eth0", Family::V4, Some("10.0.0.100")).await;
        ip_in(&director, "addr add 10.0.0.2/24 dev eth0");
        known.until_source("eth0", Family::V4, Some("10.0.0.2")).await;
        known
            .until("10.0.0.2 is there", |known| {
                known.hosts == BTreeMap::from([(hosts[0], true), (hosts[1], false)])
            })
            .await;
        ip_in(&director, "addr flush dev eth0 scope global");
        known.until_source("eth0", Family::V4, None).await;
        known.until("10.0.0.2 is gone", |known| !known.hosts[&hosts[0]]).await;

        // One that is made later, and again.
        let mut before = None;
        for _ in 0..2 {
            ip_in(&director, "link add late0 type veth peer late1");
            ip_in(&director, "addr add 10.9.0.1/24 dev late0");
            known.until_source("late0", Family::V4, Some("10.9.0.1")).await;
            ip_in(&director, "link set late0 up");
            ip_in(&director, "link set late1 up");
            known.until_up("late0", true).await;
            assert_ne!(known.index["late0"], before);
            before = known.index["late0"];
            ip_in(&director, "link del late0");
            known.until_source("late0", Family::V4, None).await;
            known.until("late0 is gone", |known| known.index["late0"].is_none()).await;
            assert!(!known.up["late0"]);
        }

        // What is wanted becomes another: of eth0 nothing is told twice.
        let names = ["eth0", "lo"].map(str::to_owned).into();
        watching.change(Wanted { names, ..Wanted::default() });
        known.until("lo", |known| known.sources.contains_key(&("lo".to_owned(), Family::V6))).await;
        ip_in(&director, "addr add 10.0.0.3/24 dev eth0");
        known.until_source("eth0", Family::V4, Some("10.0.0.3")).await;
    });
}
