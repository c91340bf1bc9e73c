//! Virtual MAC addresses against a real kernel: two network namespaces with a veth pair between them. Needs root.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may panic; clippy only knows the test functions themselves"
)]

#[expect(dead_code, reason = "each test needs a part of it")]
mod netns;

use netns::{Pair, ip_in, output};
use xlvs::config::model::vrrp::Family;
use xlvs::io::links::{self, Carrier};
use xlvs::io::vmac::{Error, Vmacs, virtual_mac};

const MAC: [u8; 6] = virtual_mac(Family::V4, 51);

fn setting(family: &str, interface: &str, name: &str) -> String {
    let path = format!("/proc/sys/net/{family}/conf/{interface}/{name}");
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

#[test]
fn it_is_made_kept_and_removed() {
    let pair = Pair::new();
    let (director, server) = (pair.director.clone(), pair.server.clone());
    netns::run(&pair.director, async move {
        let mut vmacs = Vmacs::default();
        let made = vmacs.ensure("eth0", "vrrp.51", MAC).await.unwrap();
        assert_eq!(made.mac, Some(MAC));
        let shown = output("ip", &["-n", &director, "-d", "link", "show", "vrrp.51"]);
        assert!(shown.contains("vrrp.51@eth0") && shown.contains("macvlan mode private"), "{shown}");
        assert_eq!(links::find("vrrp.51").await.unwrap().carrier, Carrier::Up);
        let rows = [
            ("vrrp.51", "arp_ignore", "1"),
            ("vrrp.51", "accept_local", "1"),
            ("vrrp.51", "rp_filter", "0"),
            ("eth0", "arp_ignore", "1"),
            ("eth0", "arp_announce", "2"),
        ];
        for (interface, name, value) in rows {
            assert_eq!(setting("ipv4", interface, name), value, "{name} of {interface}");
        }
        let addresses = output("ip", &["-n", &director, "address", "show", "dev", "vrrp.51"]);
        assert!(!addresses.contains("inet"), "{addresses}");

        // An address on it is answered for with its MAC address, and the parent's with the parent's.
        ip_in(&director, "address add 10.0.0.100/32 dev vrrp.51");
        let found = netns::enter(&server, || {
            output("ping", &["-c1", "-W5", "10.0.0.100"]);
            output("ping", &["-c1", "-W5", "10.0.0.1"]);
            output("ip", &["neigh", "show"])
        });
        assert!(found.contains("10.0.0.100 dev eth0 lladdr 00:00:5e:00:01:33"), "{found}");
        assert!(!found.contains("10.0.0.1 dev eth0 lladdr 00:00:5e"), "{found}");

        // One that is there is kept, also by another process.
        let kept = Vmacs::default().ensure("eth0", "vrrp.51", MAC).await.unwrap();
        assert_eq!(kept.index, made.index);
        // Another MAC address is another interface.
        let other = vmacs.ensure("eth0", "vrrp.51", virtual_mac(Family::V4, 52)).await.unwrap();
        assert_ne!(other.index, made.index);

        // The last one gives the parent its setting back.
        vmacs.ensure("eth0", "vrrp6.51", virtual_mac(Family::V6, 51)).await.unwrap();
        vmacs.remove("vrrp.51").await.unwrap();
        assert!(matches!(links::find("vrrp.51").await, Err(links::Error::NotFound { .. })));
        assert_eq!(setting("ipv4", "eth0", "arp_ignore"), "1");
        vmacs.remove_all().await;
        assert!(matches!(links::find("vrrp6.51").await, Err(links::Error::NotFound { .. })));
        assert_eq!(setting("ipv4", "eth0", "arp_ignore"), "0");
        assert_eq!(setting("ipv4", "eth0", "arp_announce"), "0");
        vmacs.remove("vrrp.51").await.unwrap();
    });
}

#[test]
fn what_others_set_and_made_stays() {
    let pair = Pair::new();
    let director = pair.director.clone();
    netns::run(&pair.director, async move {
        std::fs::write("/proc/sys/net/ipv4/conf/eth0/arp_ignore", "2").unwrap();
        std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "1").unwrap();
        ip_in(&director, "link add mine link eth0 type macvlan mode private");
        let mut vmacs = Vmacs::default();
        for name in ["mine", "eth0"] {
            assert!(matches!(vmacs.ensure("eth0", name, MAC).await, Err(Error::Taken { .. })));
            assert!(matches!(vmacs.remove(name).await, Err(Error::Taken { .. })));
        }
        assert!(matches!(vmacs.ensure("eth9", "vrrp.51", MAC).await, Err(Error::NoParent { .. })));
        links::find("mine").await.unwrap();

        vmacs.ensure("eth0", "vrrp.51", MAC).await.unwrap();
        assert_eq!(setting("ipv4", "vrrp.51", "rp_filter"), "2", "loose, since all are strict");
        vmacs.remove_all().await;
        assert_eq!(setting("ipv4", "eth0", "arp_ignore"), "2");
    });
}
