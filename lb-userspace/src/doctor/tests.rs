//! Each check finds its fault and names what mends it, and a healthy director has none.

mod drivers;

use std::net::IpAddr;

use super::facts::{Answer, Below, Host, Interface, Program, Queues, Server, VirtualAddress, Way};
use super::*;
use crate::carrier::Carrier;

const VIP: [u8; 4] = [192, 0, 2, 100];
const RIP: [u8; 4] = [192, 0, 2, 11];
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 11];

fn interface(name: &str) -> Interface {
    Interface {
        name: name.to_owned(),
        index: 2,
        carrier: Carrier::Up,
        mac: Some([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        kind: None,
        driver: Some("ixgbe".to_owned()),
        below: None,
        ports: Vec::new(),
        vlans: Vec::new(),
        program: Some(program("xlvs", &[3], Some(false))),
        xdp: Some(0x7f),
        offloads: std::iter::once("rx-vlan-hw-parse".to_owned()).collect(),
        fixed: std::collections::BTreeSet::new(),
        queues: Some(Queues { now: 8, most: 16, kind: "combined" }),
        bond: None,
        settings: std::collections::BTreeMap::new(),
        addresses: vec![(IpAddr::from([192, 0, 2, 2]), 24), (IpAddr::from(VIP), 32)],
    }
}

fn program(name: &str, links: &[u32], is_generic: Option<bool>) -> Program {
    Program { id: 9, name: Some(name.to_owned()), links: links.to_vec(), is_generic }
}

fn healthy() -> Facts {
    let host = Host {
        release: "6.1.0-28-amd64".to_owned(),
        has_btf: true,
        jit: Some(1),
        pins: "/sys/fs/bpf/xlvs".to_owned(),
        is_bpffs: true,
        is_root: true,
        missing: Vec::new(),
        cpus: 8,
        possible: 8,
        forwards: false,
    };
    let address = VirtualAddress {
        address: IpAddr::from(VIP),
        instance: Some("VI_1".to_owned()),
        held: Some("eth0".to_owned()),
        is_asked: true,
        answers: Vec::new(),
    };
    let way = Way::Neighbour { interface: "eth0".to_owned(), mac: MAC };
    Facts {
        host,
        named: vec!["eth0".to_owned()],
        interfaces: vec![interface("eth0")],
        addresses: vec![address],
        servers: vec![Server { address: IpAddr::from(RIP), way }],
        is_generic: false,
        unseen: Vec::new(),
    }
}

/// What is found once `ail` was done to a healthy director: checks with what mends them.
fn found(ail: impl FnOnce(&mut Facts)) -> Vec<(&'static str, String)> {
    let mut facts = healthy();
    ail(&mut facts);
    let mend = |mend: Option<Mend>| {
        mend.map_or_else(String::new, |Mend { on, command }| {
            on.map_or_else(|| command.clone(), |on| format!("{on}: {command}"))
        })
    };
    examine(&facts).into_iter().map(|finding| (finding.check, mend(finding.mend))).collect()
}

/// A fault, its check, and what mends it.
type Row = (fn(&mut Facts), &'static str, &'static str);

#[test]
fn a_healthy_director_has_nothing() {
    assert_eq!(found(|_| {}), []);
    let text = to_text(&[], &healthy());
    assert_eq!(text, "0 faults and 0 warnings; looked at: eth0, 1 virtual address and 1 real server\n");
}

#[test]
fn each_fault_is_found_alone() {
    let rows: &[Row] = &[
        (|facts| facts.host.is_root = false, "root", "sudo xlvs doctor"),
        (|facts| facts.host.missing.push("CAP_BPF".to_owned()), "capabilities", ""),
        (|facts| facts.host.release = "5.15.0".to_owned(), "kernel", ""),
        (|facts| facts.host.has_btf = false, "btf", ""),
        (|facts| facts.host.jit = Some(0), "jit", "sysctl -w net.core.bpf_jit_enable=1"),
        (|facts| facts.host.is_bpffs = false, "bpffs", "mount -t bpf bpf /sys/fs/bpf"),
        (
            |facts| (facts.host.is_bpffs, facts.host.pins) = (false, "/run/pins".to_owned()),
            "bpffs",
            "mkdir -p /run/pins && mount -t bpf bpf /run/pins",
        ),
        (|facts| facts.host.forwards = true, "ip-forward", ""),
        (|facts| facts.named.push("eth9".to_owned()), "no-interface", ""),
        (|facts| one(facts).carrier = Carrier::AdminDown, "link-down", "ip link set dev eth0 up"),
        (|facts| one(facts).carrier = Carrier::NoCarrier, "no-carrier", ""),
        (|facts| one(facts).mac = None, "not-ethernet", ""),
        (
            |facts| (one(facts).xdp, one(facts).program) = (Some(0), None),
            "native-xdp",
            "xlvs run --iface eth0 --mode generic",
        ),
        (
            |facts| (one(facts).xdp, one(facts).mtu) = (Some(0x07), 9000),
            "jumbo",
            "ip link set dev eth0 mtu 1500",
        ),
        (|facts| one(facts).vlans.push("eth0.7".to_owned()), "vlan-stripping", "ethtool -K eth0 rxvlan off"),
        (
            |facts| one(facts).program = Some(program("drop", &[], Some(false))),
            "other-program",
            "ip link set dev eth0 xdp off",
        ),
        (
            |facts| one(facts).program = Some(program("drop", &[], Some(true))),
            "other-program",
            "ip link set dev eth0 xdpgeneric off",
        ),
        (|facts| one(facts).program = Some(program("drop", &[], None)), "other-program", ""),
        (
            |facts| one(facts).program = Some(program("drop", &[4], Some(true))),
            "other-program",
            "bpftool link detach id 4",
        ),
        (|facts| one(facts).program = Some(program("drop", &[4, 5], Some(false))), "other-program", ""),
    ];
    for (ail, check, mend) in rows {
        assert_eq!(found(ail), [(*check, (*mend).to_owned())]);
    }
}

#[test]
fn what_is_not_known_or_does_no_harm_is_no_finding() {
    let rows: &[fn(&mut Facts)] = &[
        |facts| one(facts).program = Some(Program { name: None, ..program("", &[4], Some(false)) }),
        |facts| one(facts).xdp = Some(0),
        |facts| (facts.host.forwards, facts.addresses[0].instance) = (true, None),
    ];
    for ail in rows {
        assert_eq!(found(ail), []);
    }
}

#[test]
fn generic_mode_needs_nothing_of_the_driver() {
    let rows: &[fn(&mut Interface)] = &[
        |interface| (interface.xdp, interface.program) = (Some(0), None),
        |interface| (interface.xdp, interface.mtu) = (Some(0x07), 9000),
        |interface| {
            interface.program = None;
            interface.offloads.extend(["rx-lro".to_owned()]);
        },
        |interface| (interface.kind, interface.xdp) = (Some("veth".to_owned()), Some(0x23)),
        |interface| (interface.kind, interface.program) = (Some("bridge".to_owned()), None),
    ];
    for ail in rows {
        let in_mode = |is_generic| {
            found(|facts| {
                facts.is_generic = is_generic;
                ail(one(facts));
            })
        };
        assert_eq!(in_mode(false).len(), 1);
        assert_eq!(in_mode(true), []);
    }
}

fn one(facts: &mut Facts) -> &mut Interface {
    &mut facts.interfaces[0]
}

#[test]
fn the_other_end_of_a_veth_needs_a_program() {
    let with = |peer: Below, xdp| {
        found(|facts| {
            let interface = one(facts);
            (interface.kind, interface.xdp, interface.below) =
                (Some("veth".to_owned()), Some(xdp), Some(peer));
        })
    };
    let named =
        |has_program| Below { name: Some("p0".to_owned()), is_here: false, has_program: Some(has_program) };
    let mend = "the namespace of its other end: xlvs run -f /dev/null --iface p0 --state-dir /run/xlvs-p0 \
                --pin-dir /sys/fs/bpf/xlvs-p0";
    assert_eq!(with(named(true), 0x7f), []);
    assert_eq!(with(named(false), 0x7f), [("veth-peer", mend.to_owned())], "GRO alone is not enough");
    assert_eq!(with(Below::default(), 0x7f), [], "what cannot be asked is believed");
    assert_eq!(with(Below::default(), 0x23), [("veth-peer", String::new())], "but not against the kernel");
}

#[test]
fn two_interfaces_are_compared() {
    let two = |ail: fn(&mut Interface)| {
        found(|facts| {
            let mut other = interface("eth1.5");
            ail(&mut other);
            facts.interfaces.push(other);
            facts.named.push("eth1.5".to_owned());
        })
    };
    assert_eq!(two(|_| {}), []);
    assert_eq!(two(|other| other.mtu = 1400), [("mtu", String::new())]);
    let strict = two(|other| other.settings.extend([("rp_filter".to_owned(), 1)]));
    assert_eq!(strict, [("rp-filter", "sysctl -w net.ipv4.conf.eth1/5.rp_filter=2".to_owned())]);
    let alone = found(|facts| one(facts).settings.extend([("rp_filter".to_owned(), 1)]));
    assert_eq!(alone, []);
}

#[test]
fn the_ways_to_real_servers_are_told() {
    let with = |way: Way| found(|facts| facts.servers[0].way = way);
    let silent = || Way::Silent { interface: "eth0".to_owned(), reason: "it does not answer".to_owned() };
    let none = || Way::None { reason: "there is no route to it".to_owned() };
    assert_eq!(with(Way::Local), []);
    assert_eq!(with(Way::Gateway { interface: "eth0".to_owned() }), []);
    assert_eq!(with(silent()), [("silent", String::new())]);
    assert_eq!(with(none()), [("no-route", "ip route add 192.0.2.11/32 dev eth0".to_owned())]);
    let elsewhere = with(Way::Neighbour { interface: "eth9".to_owned(), mac: MAC });
    assert_eq!(elsewhere, [("other-interface", "xlvs run --iface eth0 --iface eth9".to_owned())]);
    let over_vlan = found(|facts| {
        let below = Some(Below { name: Some("eth0".to_owned()), is_here: true, has_program: Some(true) });
        let vlan = Interface { kind: Some("vlan".to_owned()), below, ..interface("eth0.7") };
        facts.interfaces.push(vlan);
        facts.servers[0].way = Way::Neighbour { interface: "eth0.7".to_owned(), mac: MAC };
    });
    assert_eq!(over_vlan, [("other-interface", String::new())], "no program there in native mode");
    let of_two = found(|facts| {
        facts.interfaces.push(interface("eth1"));
        facts.named.push("eth1".to_owned());
        facts.servers[0].way = none();
    });
    assert_eq!(of_two, [("no-route", String::new())], "nobody knows by which");
    let down = |way: Way| {
        found(|facts| {
            one(facts).carrier = Carrier::AdminDown;
            facts.servers[0].way = way;
        })
    };
    for way in [silent(), none()] {
        assert_eq!(
            down(way),
            [("link-down", "ip link set dev eth0 up".to_owned())],
            "the reason is told alone"
        );
    }
}

#[test]
fn who_answers_for_a_virtual_address_is_judged() {
    const HIDE: &str = "sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2";
    const MOVE: &str = "net.ipv4.conf.all.promote_secondaries=1; ip -4 address flush to 192.0.2.100/32; \
                        ip -4 address add 192.0.2.100/32 dev lo";
    let answer = |mac| Answer { interface: "eth0".to_owned(), mac };
    let stranger = [2, 0, 0, 0, 0, 99];
    let with = |instance: bool, held: Option<&str>, macs: &[[u8; 6]]| {
        found(|facts| {
            let address = &mut facts.addresses[0];
            address.held = held.map(str::to_owned);
            address.instance = address.instance.take().filter(|_| instance);
            address.answers = macs.iter().map(|mac| answer(*mac)).collect();
        })
    };
    let hide = || ("real-server-arp", format!("192.0.2.11: {HIDE} {MOVE}"));
    for instance in [true, false] {
        assert_eq!(with(instance, Some("eth0"), &[MAC]), [hide()]);
        assert_eq!(with(instance, None, &[MAC, stranger]), [hide()], "beside the master");
        assert_eq!(with(instance, Some("eth0"), &[stranger]), [("duplicate", String::new())]);
        assert_eq!(with(instance, None, &[stranger]), [], "another node is master");
    }
    assert_eq!(with(false, None, &[MAC]), [hide()]);
    assert_eq!(with(true, None, &[MAC]), [], "the master may be a real server");
    assert_eq!(with(true, None, &[]), []);
    let claim = "ip address add 192.0.2.100/32 dev eth0".to_owned();
    assert_eq!(with(false, None, &[]), [("unclaimed", claim)]);
    let mine = interface("eth0").mac.expect("one of this host");
    assert_eq!(with(true, Some("eth0"), &[mine]), [], "two interfaces on one segment");
    assert_eq!(with(true, Some("lo"), &[]), [("own-arp", HIDE.to_owned())]);
    assert_eq!(with(false, Some("lo"), &[]), [], "alone, and reached so");
}

#[test]
fn a_real_server_that_answers_in_ipv6_has_the_address_on_its_link() {
    let found = found(|facts| {
        let (vip, rip) = ("2001:db8::100", "2001:db8::11".parse().expect("an address"));
        facts.addresses[0].address = vip.parse().expect("an address");
        facts.servers[0].address = rip;
        facts.addresses[0].answers = vec![Answer { interface: "eth0".to_owned(), mac: MAC }];
    });
    let mend = "2001:db8::11: ip -6 address flush to 2001:db8::100/128; \
                ip -6 address add 2001:db8::100/128 dev lo nodad";
    assert_eq!(found, [("real-server-arp", mend.to_owned())]);
}

#[test]
fn faults_are_told_first_with_what_mends_them() {
    let mut facts = healthy();
    facts.host.jit = Some(0);
    facts.interfaces[0].carrier = Carrier::AdminDown;
    facts.unseen.push("who has it".to_owned());
    let text = to_text(&examine(&facts), &facts);
    let expected = "\
fault    eth0: it is switched off [link-down]
         mend it: ip link set dev eth0 up
warning  host: the BPF JIT is off: every packet is interpreted, many times as slow [jit]
         mend it: sysctl -w net.core.bpf_jit_enable=1
1 fault and 1 warning; looked at: eth0, 1 virtual address and 1 real server
not looked at: who has it
";
    assert_eq!(text, expected);
}
