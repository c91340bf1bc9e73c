//! What of a configuration is wanted of the maps.

use super::*;
use crate::config::{
    Span,
    model::vrrp::{VirtualAddress, Vmac},
    parse,
};

const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 100));

fn owner(vrid: u8, address: IpAddr) -> VrrpInstance {
    let address =
        VirtualAddress { address, prefix: None, dev: None, label: None, scope: None, broadcast: None };
    VrrpInstance {
        interface: Some("eth0".to_owned()),
        virtual_router_id: vrid,
        virtual_addresses: vec![address],
        ..VrrpInstance::new(format!("VI_{vrid}"), Span::default())
    }
}

fn lease(selector: Selector, config: &Config) -> u16 {
    super::lease(selector, config, &numbers(config))
}

fn numbers(config: &Config) -> Numbers {
    Numbers::default().assign(&config.vrrp)
}

fn config(instances: &[VrrpInstance]) -> Config {
    let mut config = Config::default();
    config.vrrp.instances = instances.to_vec();
    config
}

#[test]
fn a_service_has_the_lease_of_the_first_instance_that_owns_its_address() {
    let lease_of = |instances: &[VrrpInstance]| {
        lease(Selector::Address { address: VIP, port: 80, protocol: Protocol::Tcp }, &config(instances))
    };
    let other = owner(50, IpAddr::from([10, 0, 0, 101]));
    assert_eq!(lease_of(&[]), 0);
    assert_eq!(lease_of(std::slice::from_ref(&other)), 0);
    assert_eq!(lease_of(&[other.clone(), owner(51, VIP), owner(52, VIP)]), 2);
    let excluded = VrrpInstance { excluded_addresses: owner(53, VIP).virtual_addresses, ..other.clone() };
    assert_eq!(lease_of(&[excluded]), 1);
    let idle = VrrpInstance { interface: None, ..owner(51, VIP) };
    assert_eq!(lease_of(&[idle, other]), 0, "one that does not run owns nothing");
}

#[test]
fn a_mark_has_the_lease_of_the_instance_whose_addresses_its_rules_are_for() {
    let others = owner(50, IpAddr::from([10, 0, 0, 101]));
    let mut both = config(&[others, owner(51, VIP)]);
    let rules = |text: &str| {
        parse("t", &format!("fwmark_rules {{\n mark 3 {{\n {text}\n }}\n}}\n"))
            .config
            .expect("it loads")
            .mark_rules
    };
    let mark = |family| Selector::Mark { mark: 3, family };
    assert_eq!(lease(mark(Family::V4), &both), 0, "no rule");
    for (text, expected) in [
        ("destination 10.0.0.100", 2),
        ("destination 10.0.0.100/31", 0),
        ("destination 10.0.0.101 192.0.2.9", 1),
        ("destination 192.0.2.0/24", 0),
        ("source 192.0.2.0/24", 0),
        ("source fd00::/8", 0),
    ] {
        both.mark_rules = rules(text);
        assert_eq!(lease(mark(Family::V4), &both), expected, "{text}");
        assert_eq!(lease(mark(Family::V6), &both), 0, "{text}");
    }
    both.mark_rules = rules("port 80");
    both.vrrp.instances.remove(0);
    assert_eq!(lease(mark(Family::V4), &both), 1, "the only one there is");
    let text = "vrrp_sync_group G {\n group {\n A\n B\n }\n}\n".to_owned()
        + &["A", "B"].map(|name| {
            let id = name.as_bytes()[0];
            format!("vrrp_instance {name} {{\n interface eth0\n virtual_router_id {id}\n virtual_ipaddress {{\n 10.0.0.{id}\n }}\n}}\n")
        }).concat();
    let mut together = parse("t", &text).config.expect("it loads");
    together.mark_rules = rules("port 80");
    assert_eq!(lease(mark(Family::V4), &together), 1, "they change together");
}

#[test]
fn what_new_connections_depend_on_is_handed_on() {
    let text = "virtual_server fd00::9 {\n lb_kind DR\n lb_algo rr\n protocol SCTP\n persistence_timeout 300\n \
                persistence_granularity 64\n sloppy_tcp\n expire_quiescent_template yes\n \
                real_server fd00::1 {\n uthreshold 100\n lthreshold 75\n }\n}\n\
                virtual_server fwmark 3 {\n lb_kind DR\n lb_algo rr\n ops\n persistence_granularity 255.255.255.0\n \
                real_server 10.0.0.1 {\n }\n}\n\
                virtual_server 10.0.0.9 80 {\n lb_kind DR\n lb_algo rr\n protocol TCP\n real_server 10.0.0.1 80 {\n }\n}\n";
    let (services, _) =
        effective(&parse("t", text).config.expect("it loads"), &Numbers::default(), &Effective::default());
    let [every, mark, plain] = services.as_slice() else { panic!("{services:#?}") };
    assert_eq!(every.key.to_string(), "SCTP [fd00::9]:0");
    let flags = Policy::SLOPPY | Policy::EXPIRE_QUIESCENT;
    assert_eq!(
        every.policy,
        Policy { flags, persistence: 300, mask: Address::mask(64), ..Policy::default() }
    );
    assert_eq!(every.servers[0].thresholds, [100, 75]);
    assert_eq!(mark.key, ServiceKey::of_mark(false, 3));
    let mask = Address::mask(96 + 24);
    let policy = Policy { flags: Policy::ONE_PACKET, persistence: 360, mask, ..Policy::default() };
    assert_eq!(mark.policy, policy);
    assert_eq!(plain.policy, Policy { mask: Address::mask(128), ..Policy::default() });
    assert_eq!(plain.servers[0].thresholds, [0; 2]);
}

#[test]
fn a_rule_without_addresses_fits_everything() {
    let text = "fwmark_rules {\n mark 1 {\n source 10.9.9.9/8\n destination 192.0.2.1\n protocol UDP\n port 53\n }\n \
                mark 2 {\n destination 2001:db8::1/32\n port 80-90\n }\n mark 3 {\n }\n}\n";
    let rows = marks(&parse("t", text).config.expect("it loads"));
    let first = MarkRule {
        source_mask: Address::mask(104),
        source: Address::v4([10, 0, 0, 0]),
        destination_mask: Address::mask(128),
        destination: Address::v4([192, 0, 2, 1]),
        ports: [53, 53],
        protocol: 17,
        mark: 1,
        ..MarkRule::default()
    };
    let second = MarkRule {
        destination_mask: Address::mask(32),
        destination: mapped("2001:db8::".parse().expect("an address")),
        ports: [80, 90],
        mark: 2,
        ..MarkRule::default()
    };
    assert_eq!(rows, [first, second, MarkRule { ports: [0, u16::MAX], mark: 3, ..MarkRule::default() }]);
}

#[test]
fn timeouts_that_are_not_named_stay() {
    let text = "global_defs {\n lvs_timeouts tcp 1200 udp 0\n}\n";
    let now = Timeouts::default();
    let set = timeouts(&parse("t", text).config.expect("it loads"), now);
    assert_eq!((set.of(State::Established), set.of(State::Udp), set.of(State::FinWait)), (1200, 300, 120));
    assert_eq!(timeouts(&Config::default(), now), now);
    let text = "global_defs {\n lvs_timeouts tcpfin 9 udp 8\n}\n";
    let set = timeouts(&parse("t", text).config.expect("it loads"), now);
    assert_eq!((set.of(State::FinWait), set.of(State::UdpFirst)), (9, 8));
}

#[test]
fn a_row_has_the_virtual_mac_address_of_its_family() {
    let vmac = Some(Vmac { name: "vrrp.51".to_owned(), xmit_base: false });
    let mut config = Config::default();
    config.vrrp.instances = vec![
        owner(51, VIP),
        VrrpInstance { vmac: vmac.clone(), ..owner(52, VIP) },
        VrrpInstance { vmac, family: Family::V6, ..owner(53, VIP) },
    ];
    let rows = [Lease::none(51, NO_VMAC), Lease::none(52, [1, 52]), Lease::none(53, [2, 53])];
    let first = numbers(&config);
    assert_eq!(leases(&config, &first), rows);
    config.vrrp.instances.remove(1);
    let left = leases(&config, &first.assign(&config.vrrp));
    assert_eq!(left, [rows[0], Lease::none(0, NO_VMAC), rows[2]], "a row keeps its place");
}

#[test]
fn a_group_asks_a_server_for_all_its_addresses_in_one_check() {
    let text = "virtual_server_group G {\n 10.0.0.100-101 80\n fwmark 3\n}\nvirtual_server group G {\n lb_kind DR\n \
                protocol TCP\n vip_check\n real_server 10.0.0.2 80 {\n }\n}\n";
    let config = parse("t", text).config.expect("it loads");
    let (wanted, Effective { checklist, .. }) = effective(&config, &numbers(&config), &Effective::default());
    let specs = checklist.specs_while(&BTreeSet::new());
    assert_eq!((wanted.len(), specs.len()), (3, 3), "one for each selection");
    // What is equal is made once.
    assert!(specs.iter().all(|spec| (&spec.probe, spec.settings) == (&specs[0].probe, specs[0].settings)));
    assert_eq!((specs[0].settings.steps, specs[0].settings.pace), (2, Pace::AtOnce));
}

/// The configuration of a text, which shares with `before` what is the same.
fn loaded(text: &str, before: &Config) -> Config {
    parse("t", text).config.expect("it loads").sharing(before)
}

/// A service for each port, whose first has a check at this port and whose others have this weight, owned by instance 51.
fn services(ports: &[u16], check: u16, weight: u16) -> String {
    let service = |(place, port): (usize, &u16)| {
        let (weight, check) = if place == 0 { (1, check) } else { (weight, 80) };
        format!(
            "virtual_server 10.0.0.100 {port} {{\n lb_kind DR\n lb_algo rr\n protocol TCP\n real_server 10.0.0.1 {port} \
             {{\n weight {weight}\n TCP_CHECK {{\n connect_port {check}\n }}\n }}\n}}\n"
        )
    };
    ports.iter().enumerate().map(service).collect()
}

#[test]
fn what_is_made_from_the_same_is_shared_and_as_if_made_anew() {
    let instance = |vrid, address| {
        format!(
            "vrrp_instance VI_{vrid} {{\n interface eth0\n virtual_router_id {vrid}\n virtual_ipaddress {{\n {address}\n }}\n}}\n"
        )
    };
    let owner = instance(51, "10.0.0.100");
    // Behind them, so that services are the same while virtual routers are others.
    let three = |routers: &str| services(&[80, 82, 83], 90, 10_000) + routers;
    let texts = [
        services(&[80, 81, 82], 80, 1),
        services(&[80, 81, 82], 90, 1),
        services(&[80, 82], 90, 1),
        "\n".to_owned() + &services(&[80, 82], 90, 1),
        three(""),
        three(&owner),
        three(&(instance(50, "10.0.0.101") + &owner)),
        three(""),
        services(&[83, 82], 90, 10_000),
    ];
    let (mut file, mut sharing, mut plain) = (Config::default(), Effective::default(), Effective::default());
    let (mut shared, mut leases) = (Vec::new(), Vec::new());
    for text in texts {
        let anew = loaded(&text, &Config::default());
        file = loaded(&text, &file);
        assert_eq!(file.clone().without_places(), anew.clone().without_places());
        let numbers = numbers(&file);
        let (wanted, next) = effective(&file, &numbers, &sharing);
        // Nothing of what is compared is shared, so that all is made and compared in full.
        let forgetful = Effective { checklist: plain.checklist.clone(), ..Effective::default() };
        let (expected, other) = effective(&anew, &numbers, &forgetful);
        assert_eq!((&wanted, &next.checklist), (&expected, &other.checklist), "{text}");
        let probe =
            |of: &Effective, key| of.checklist.of((key, IpAddr::from([10, 0, 0, 1])))[0].probe.clone();
        let mut counts = [0; 3];
        for service in &wanted {
            let Some(old) = sharing.services.get(&service.key) else { continue };
            let is_shared = [
                Arc::ptr_eq(&old.from, &next.services[&service.key].from),
                Arc::ptr_eq(&old.wanted.servers, &service.servers),
                Arc::ptr_eq(&probe(&sharing, service.key), &probe(&next, service.key)),
            ];
            counts.iter_mut().zip(is_shared).for_each(|(count, is_shared)| *count += usize::from(is_shared));
        }
        shared.push(counts);
        leases.push(wanted[0].lease);
        (sharing, plain) = (next, other);
    }
    // Virtual servers; real servers; checks, which are made again unless the whole service stays.
    let expected =
        [[0; 3], [2, 3, 2], [2, 2, 2], [2, 2, 2], [1, 1, 1], [3, 3, 0], [3, 3, 0], [3, 3, 0], [1, 1, 1]];
    assert_eq!(shared, expected);
    assert_eq!(leases, [0, 0, 0, 0, 0, 1, 2, 0, 0]);
}
