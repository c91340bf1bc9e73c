//! What drivers do, and what takes a program in native mode.

use super::*;
use crate::doctor::facts::Bond;

fn generic(name: &str) -> String {
    format!("xlvs run --iface {name} --mode generic")
}

#[test]
fn merging_is_found_where_no_program_is_in_the_driver() {
    let with = |driver: &str, feature: &str, is_fixed: bool, has_program: bool| {
        found(|facts| {
            let interface = one(facts);
            interface.driver = Some(driver.to_owned());
            interface.offloads.insert(feature.to_owned());
            interface.fixed.extend(is_fixed.then(|| feature.to_owned()));
            interface.program = interface.program.take().filter(|_| has_program);
        })
    };
    for (feature, option, check) in [("rx-lro", "lro", "lro"), ("rx-gro-hw", "rx-gro-hw", "gro-hw")] {
        assert_eq!(with("ixgbe", feature, false, false), [(check, format!("ethtool -K eth0 {option} off"))]);
        assert_eq!(with("ixgbe", feature, true, false), [(check, String::new())], "nobody can switch it off");
        assert_eq!(with("virtio_net", feature, true, false), [(check, generic("eth0"))], "it will refuse");
        assert_eq!(with("ixgbe", feature, false, true), [], "the driver does it no more");
    }
}

#[test]
fn in_generic_mode_merging_is_found_of_what_is_below() {
    let with = |kind: &str, is_generic: bool, ail: fn(&mut Interface)| {
        found(|facts| {
            facts.is_generic = is_generic;
            let mut port = interface("eth6");
            port.program = None;
            port.offloads.extend(["rx-gro", "rx-lro"].map(str::to_owned));
            ail(&mut port);
            facts.interfaces.push(port);
            let below = Below { name: Some("eth6".to_owned()), is_here: true, has_program: Some(false) };
            let it = one(facts);
            (it.kind, it.below, it.ports) = (Some(kind.to_owned()), Some(below), vec!["eth6".to_owned()]);
            it.offloads.insert("rx-gro".to_owned());
        })
    };
    let off = |what: &str| [("gro", format!("ethtool -K eth6 {what}"))];
    for kind in ["bond", "bridge", "vlan", "macvlan"] {
        assert_eq!(with(kind, true, |_| {}), off("gro off"), "{kind}");
    }
    let in_hardware = |port: &mut Interface| _ = port.offloads.insert("rx-gro-hw".to_owned());
    assert_eq!(with("bond", true, in_hardware), off("gro off rx-gro-hw off"));
    let fixed = |port: &mut Interface| {
        (port.offloads, port.fixed) = (["rx-gro-hw".to_owned()].into(), ["rx-gro-hw".to_owned()].into());
    };
    assert_eq!(with("bond", true, fixed), [("gro", String::new())]);
    assert_eq!(with("bond", true, |port| port.offloads.clear()), []);
    assert_eq!(with("bond", true, |port| port.kind = Some("tun".to_owned())), [], "it merges nothing");
    assert_eq!(with("veth", true, |_| {}), [], "its other end is not below it");
    assert_eq!(with("bond", false, |port| _ = port.offloads.remove("rx-lro")), [], "software is past XDP");
    let both = found(|facts| {
        facts.is_generic = true;
        one(facts).offloads.insert("rx-gro".to_owned());
        let below = Below { name: Some("eth0".to_owned()), is_here: true, has_program: Some(true) };
        let vlan = Interface { kind: Some("vlan".to_owned()), below: Some(below), ..interface("eth0.7") };
        facts.named.push("eth0.7".to_owned());
        facts.interfaces.push(vlan);
    });
    assert_eq!(both, [], "it has the program itself");
}

#[test]
fn stripping_that_cannot_be_switched_off_has_no_command() {
    let found = found(|facts| {
        one(facts).vlans.push("eth0.7".to_owned());
        one(facts).fixed.insert("rx-vlan-hw-parse".to_owned());
    });
    assert_eq!(found, [("vlan-stripping", String::new())]);
}

/// A driver, its queues and the most there can be, and what is found.
type Counted = (&'static str, u32, u32, Vec<(&'static str, String)>);

#[test]
fn queues_are_set_so_that_those_to_send_by_are_left() {
    let with = |driver: &str, now, most, has_program: bool| {
        found(|facts| {
            let interface = one(facts);
            interface.driver = Some(driver.to_owned());
            let kind = if driver == "gve" { "rx" } else { "combined" };
            interface.queues = Some(Queues { now, most, kind });
            interface.program = interface.program.take().filter(|_| has_program);
        })
    };
    let set = |check, number: u32| vec![(check, format!("ethtool -L eth0 combined {number}"))];
    let set_both = |check, number: u32| vec![(check, format!("ethtool -L eth0 rx {number} tx {number}"))];
    let untold = |check| vec![(check, String::new())];
    let rows: &[Counted] = &[
        ("ixgbe", 2, 6, set("queues", 6)),
        ("ixgbe", 8, 8, vec![]),
        ("virtio_net", 8, 16, vec![]),
        ("virtio_net", 2, 16, set("queues", 8)),
        ("virtio_net", 2, 12, set("queues", 4)),
        ("virtio_net", 4, 12, vec![]),
        ("virtio_net", 12, 16, set("xdp-queues", 8)),
        ("virtio_net", 8, 8, untold("xdp-queues")),
        ("virtio_net", 8, 15, untold("xdp-queues")),
        ("ena", 8, 8, set("xdp-queues", 4)),
        ("ena", 4, 8, vec![]),
        ("ena", 2, 8, set("queues", 4)),
        ("ena", 1, 1, vec![("xdp-queues", generic("eth0"))]),
        ("gve", 8, 8, set_both("xdp-queues", 4)),
        ("gve", 4, 8, vec![]),
        ("gve", 2, 8, set_both("queues", 4)),
    ];
    for (driver, now, most, expected) in rows {
        assert_eq!(&with(driver, *now, *most, false), expected, "{driver}, {now} of {most}");
    }
    for now in [2, 12] {
        assert_eq!(with("virtio_net", now, 16, true), [], "it counts other queues among them now");
    }
    let in_generic = found(|facts| {
        (facts.is_generic, one(facts).driver) = (true, Some("virtio_net".to_owned()));
        one(facts).queues = Some(Queues { now: 8, most: 8, kind: "combined" });
    });
    assert_eq!(in_generic, []);
}

#[test]
fn a_driver_without_native_xdp_is_told_apart_from_one_with_too_many_queues() {
    let alone = |driver: &str| {
        found(|facts| {
            let interface = one(facts);
            (interface.driver, interface.xdp, interface.program) = (Some(driver.to_owned()), Some(0), None);
            interface.queues = Some(Queues { now: 8, most: 8, kind: "combined" });
        })
    };
    assert_eq!(alone("ena"), [("xdp-queues", "ethtool -L eth0 combined 4".to_owned())]);
    assert_eq!(alone("gve"), [("native-xdp", generic("eth0"))]);
    let port = bond("active-backup", "layer2", |port| {
        (port.driver, port.xdp) = (Some("ena".to_owned()), Some(0));
        port.queues = Some(Queues { now: 8, most: 8, kind: "combined" });
    });
    assert_eq!(port, [("xdp-queues", "ethtool -L eth6 combined 4".to_owned())]);
}

#[test]
fn where_the_kernel_tells_nothing_the_driver_is_known() {
    let with = |release: &str, driver: Option<&str>, mtu| {
        found(|facts| {
            facts.host.release = release.to_owned();
            let interface = one(facts);
            (interface.xdp, interface.program, interface.mtu) = (None, None, mtu);
            interface.driver = driver.map(str::to_owned);
        })
    };
    assert_eq!(with("6.1.0-56-amd64", Some("e1000e"), 1500), [("native-xdp", generic("eth0"))]);
    assert_eq!(with("6.1.0-56-amd64", Some("ixgbe"), 1500), []);
    for driver in ["atlantic", "bnxt_en"] {
        assert_eq!(with("6.1.0-56-amd64", Some(driver), 9000), []);
    }
    let smaller = "ip link set dev eth0 mtu 1500".to_owned();
    assert_eq!(with("6.1.0-56-amd64", Some("ixgbe"), 9000), [("jumbo", smaller)]);
    assert_eq!(with("6.1.0-56-amd64", None, 1500), [], "nobody knows");
    assert_eq!(with("6.2.0", Some("e1000e"), 1500), [], "what is known is of another kernel");
}

#[test]
fn what_stands_on_another_interface_is_for_generic_mode() {
    let below =
        |name: &str| Some(Below { name: Some(name.to_owned()), is_here: true, has_program: Some(false) });
    for kind in ["vlan", "macvlan", "bridge"] {
        let found = found(|facts| {
            let interface = one(facts);
            (interface.kind, interface.xdp) = (Some(kind.to_owned()), Some(0));
            (interface.below, interface.ports) = (below("eth5"), vec!["eth6".to_owned()]);
        });
        assert_eq!(found, [("stacked", generic("eth0"))]);
    }
}

/// A bond of two ports, after `ail` was done to one of them.
fn bond(mode: &str, policy: &str, ail: fn(&mut Interface)) -> Vec<(&'static str, String)> {
    found(|facts| {
        let mut port = interface("eth6");
        port.program = None;
        ail(&mut port);
        facts.interfaces.extend([port, interface("eth7")]);
        let bond = one(facts);
        (bond.kind, bond.driver, bond.xdp) = (Some("bond".to_owned()), Some("bonding".to_owned()), None);
        (bond.ports, bond.program) = (vec!["eth6".to_owned(), "eth7".to_owned()], None);
        bond.bond = Some(Bond { mode: mode.to_owned(), policy: policy.to_owned() });
    })
}

#[test]
fn bonds_take_a_program_in_some_modes() {
    for mode in ["balance-rr", "active-backup", "balance-xor", "802.3ad"] {
        assert_eq!(bond(mode, "layer2", |_| {}), []);
    }
    for mode in ["balance-xor", "802.3ad"] {
        let mend = "ip link set dev eth0 type bond xmit_hash_policy layer2+3".to_owned();
        assert_eq!(bond(mode, "vlan+srcmac", |_| {}), [("bond-mode", mend)]);
    }
    assert_eq!(bond("active-backup", "vlan+srcmac", |_| {}), [], "it spreads nothing");
    let mend = "ip link set dev eth0 down && ip link set dev eth6 nomaster && ip link set dev eth7 nomaster && \
                ip link set dev eth0 type bond mode active-backup && ip link set dev eth6 master eth0 && \
                ip link set dev eth7 master eth0 && ip link set dev eth0 up";
    for mode in ["broadcast", "balance-tlb", "balance-alb"] {
        assert_eq!(bond(mode, "layer2", |_| {}), [("bond-mode", mend.to_owned())]);
    }
}

#[test]
fn a_bond_that_would_lose_addresses_is_left_to_its_owner() {
    let with = |address: &str, is_of_vlan: bool| {
        found(|facts| {
            facts.interfaces.extend([interface("eth6"), interface("eth0.7")]);
            let address = (address.parse().expect("an address"), 64);
            facts.interfaces[if is_of_vlan { 2 } else { 0 }].addresses.push(address);
            let bond = one(facts);
            (bond.kind, bond.ports) = (Some("bond".to_owned()), vec!["eth6".to_owned()]);
            bond.vlans = vec!["eth0.7".to_owned()];
            bond.bond = Some(Bond { mode: "broadcast".to_owned(), policy: "layer2".to_owned() });
            facts.interfaces[1].offloads.clear();
        })
    };
    for is_of_vlan in [false, true] {
        assert_eq!(with("2001:db8::2", is_of_vlan), [("bond-mode", String::new())]);
        assert_ne!(with("fe80::2", is_of_vlan), [("bond-mode", String::new())], "it comes back by itself");
    }
}

/// What is done to a port, its check, and what mends it.
type AilingPort = (fn(&mut Interface), &'static str, String);

#[test]
fn the_ports_of_a_bond_carry_the_program() {
    let rows: &[AilingPort] = &[
        (|port| port.xdp = Some(0), "bond-port", generic("eth0")),
        (|port| (port.xdp, port.driver) = (None, Some("e1000e".to_owned())), "bond-port", generic("eth0")),
        (|port| (port.xdp, port.driver) = (None, Some("ixgbevf".to_owned())), "bond-port", generic("eth0")),
        (|port| (port.xdp, port.driver) = (Some(0x3), Some("nfp".to_owned())), "bond-port", generic("eth0")),
        (
            |port| {
                port.driver = Some("ena".to_owned());
                port.queues = Some(Queues { now: 1, most: 1, kind: "combined" });
            },
            "xdp-queues",
            generic("eth0"),
        ),
        (|port| _ = port.offloads.insert("rx-lro".to_owned()), "lro", "ethtool -K eth6 lro off".to_owned()),
        (
            |port| port.queues = Some(Queues { now: 1, most: 4, kind: "rx" }),
            "queues",
            "ethtool -L eth6 rx 4".to_owned(),
        ),
    ];
    for (ail, check, mend) in rows {
        assert_eq!(bond("active-backup", "layer2", *ail), [(*check, mend.clone())]);
    }
    assert_eq!(
        bond("active-backup", "layer2", |port| port.xdp = Some(0x3)),
        [],
        "it does once it has a program"
    );
    let running = found(|facts| {
        let mut port = interface("eth6");
        (port.program, port.queues) = (None, Some(Queues { now: 4, most: 4, kind: "combined" }));
        port.driver = Some("virtio_net".to_owned());
        port.offloads.insert("rx-gro-hw".to_owned());
        facts.interfaces.push(port);
        (one(facts).kind, one(facts).ports) = (Some("bond".to_owned()), vec!["eth6".to_owned()]);
    });
    assert_eq!(running, [], "the program of the bond is in the driver of its port");
    let tagged = found(|facts| {
        facts.interfaces.push(interface("eth6"));
        let bond = one(facts);
        (bond.kind, bond.ports, bond.vlans) =
            (Some("bond".to_owned()), vec!["eth6".to_owned()], vec!["eth0.7".to_owned()]);
    });
    assert_eq!(tagged, [("vlan-stripping", "ethtool -K eth6 rxvlan off".to_owned())], "by the port");
}
