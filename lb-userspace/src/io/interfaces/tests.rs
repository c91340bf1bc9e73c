use super::*;

const INDEX: u32 = 3;

fn address(text: &str, prefix: u8) -> HostAddress {
    HostAddress {
        index: INDEX,
        address: text.parse().unwrap(),
        prefix,
        scope: 0,
        label: None,
        broadcast: None,
        secondary: false,
        doubtful: false,
    }
}

fn watched(addresses: Vec<HostAddress>) -> Watched {
    let virtual_addresses = ["10.0.0.100", "fe80::100"].map(|text| text.parse().unwrap()).into();
    Watched { addresses, virtual_addresses, ..Watched::default() }
}

#[test]
fn sources() {
    let secondary = HostAddress { secondary: true, ..address("10.0.0.3", 24) };
    let doubtful = HostAddress { doubtful: true, ..address("fe80::3", 64) };
    let link_scope = HostAddress { scope: 253, ..address("169.254.0.3", 16) };
    let elsewhere = HostAddress { index: INDEX + 1, ..address("10.0.0.4", 24) };
    let rows = [
        ("nothing", vec![elsewhere], None, None),
        ("the first", vec![address("10.0.0.1", 24), address("10.1.0.1", 24)], Some("10.0.0.1"), None),
        ("no secondary", vec![secondary.clone(), address("10.0.0.1", 24)], Some("10.0.0.1"), None),
        ("rather than virtual", vec![address("10.0.0.100", 24), secondary], Some("10.0.0.3"), None),
        ("no virtual one", vec![address("10.0.0.100", 24), address("10.0.0.1", 24)], Some("10.0.0.1"), None),
        ("but if it is all", vec![address("10.0.0.100", 24)], Some("10.0.0.100"), None),
        ("with a network", vec![address("10.0.0.5", 32), address("10.0.0.1", 24)], Some("10.0.0.1"), None),
        ("global", vec![link_scope, address("10.0.0.1", 24)], Some("10.0.0.1"), None),
        ("link-local", vec![address("fd00::1", 64), address("fe80::1", 64)], None, Some("fe80::1")),
        ("not doubtful", vec![doubtful], None, None),
        ("not virtual", vec![address("fe80::100", 64), address("fe80::1", 64)], None, Some("fe80::1")),
    ];
    for (what, addresses, v4, v6) in rows {
        let watched = watched(addresses);
        for (family, expected) in [(Family::V4, v4), (Family::V6, v6)] {
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(watched.source(INDEX, family, None), expected, "{what}");
        }
    }
}

#[test]
fn what_went_and_came_back_the_same_is_told_again() {
    let link = Link {
        name: "eth0".to_owned(),
        index: INDEX,
        mac: None,
        mtu: 1500,
        carrier: Carrier::Up,
        kind: None,
    };
    let mut watched = watched(vec![address("fe80::1", 64)]);
    watched.told.insert(link.name.clone(), [const { None }; 3]);
    watched.handle(Event::Link(link.clone()));
    assert_eq!(std::iter::from_fn(|| watched.tell()).count(), 3);
    watched.handle(Event::Link(link.clone()));
    watched.handle(Event::AddressGone(address("fe80::2", 64)));
    assert_eq!(watched.tell(), None, "nothing changed");

    watched.handle(Event::AddressGone(address("fe80::1", 64)));
    watched.handle(Event::Address(address("fe80::1", 64)));
    assert!(matches!(watched.tell(), Some(Fact::Source { family: Family::V6, address: Some(_), .. })));
    assert_eq!(watched.tell(), None);

    watched.handle(Event::LinkGone { index: INDEX });
    watched.handle(Event::Link(link));
    assert!(matches!(watched.tell(), Some(Fact::Interface { index: Some(INDEX), up: true, .. })));
    assert!(matches!(watched.tell(), Some(Fact::Source { family: Family::V6, address: None, .. })));
    assert_eq!(watched.tell(), None);
}

#[test]
fn a_source_stays_while_it_is_as_good_as_another() {
    let watched = watched(vec![address("fe80::2", 64), address("fe80::1", 64), address("fe80::100", 64)]);
    let rows = [("fe80::1", "fe80::1"), ("fe80::9", "fe80::2"), ("fe80::100", "fe80::2")];
    for (before, expected) in rows {
        let now = watched.source(INDEX, Family::V6, before.parse().ok());
        assert_eq!(now, expected.parse().ok(), "before: {before}");
    }
}

#[test]
fn what_stays_is_not_told_again_and_what_is_new_is() {
    let wanted = |names: &[&str], hosts: &[&str]| Wanted {
        names: names.iter().map(|&name| name.to_owned()).collect(),
        virtual_addresses: BTreeSet::new(),
        hosts: hosts.iter().map(|text| text.parse().unwrap()).collect(),
    };
    let mut watched = Watched::default();
    watched.want(wanted(&["eth0", "eth1"], &["10.0.0.1"]));
    assert_eq!(std::iter::from_fn(|| watched.tell()).count(), 7);
    watched.want(wanted(&["eth1", "eth2"], &["10.0.0.1", "10.0.0.2"]));
    let told: Vec<_> = std::iter::from_fn(|| watched.tell()).collect();
    let is_new = |fact: &Fact| match fact {
        Fact::Interface { name, .. } | Fact::Source { interface: name, .. } => name == "eth2",
        Fact::Host { address, .. } => address.to_string() == "10.0.0.2",
    };
    assert!(told.len() == 4 && told.iter().all(is_new), "{told:?}");
    watched.want(wanted(&["eth0"], &[]));
    assert_eq!(std::iter::from_fn(|| watched.tell()).count(), 3, "it was forgotten");
}

#[test]
fn an_address_that_is_virtual_no_more_is_no_source_before_it_is_gone() {
    let mut watched = watched(vec![address("10.0.0.100", 24), address("10.0.0.2", 24)]);
    watched.want(Wanted::default());
    let source = |watched: &Watched| watched.source(INDEX, Family::V4, None).unwrap().to_string();
    assert_eq!(source(&watched), "10.0.0.2");
    watched.handle(Event::AddressGone(address("10.0.0.100", 24)));
    watched.addresses.insert(0, address("10.0.0.100", 24));
    assert_eq!(source(&watched), "10.0.0.100", "somebody else put it there");
}
