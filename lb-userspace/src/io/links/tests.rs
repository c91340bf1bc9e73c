//! What is reported of watched links, and errors; the kernel side is in `tests/nexthop.rs`.

use super::*;

fn link(index: u32, name: &str) -> Link {
    Link {
        name: name.into(),
        index,
        mac: Some([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        carrier: Carrier::Up,
        kind: None,
    }
}

fn changes(watched: &mut Watched) -> Vec<(String, Option<u32>)> {
    std::iter::from_fn(|| watched.take_change()).map(|c| (c.name, c.link.map(|link| link.index))).collect()
}

#[test]
fn a_missing_interface_is_named_with_those_there_are() {
    let error = pick(vec![link(1, "lo"), link(2, "eth0")], "ens33").unwrap_err();
    assert_eq!(error.to_string(), "interface ens33 does not exist; there are: lo, eth0");
    assert_eq!(pick(vec![link(2, "eth0")], "eth0").unwrap().index, 2);
}

#[test]
fn watched_links_are_reported_once_per_change() {
    let mut watched = Watched::new(["a".to_owned(), "b".to_owned()]);
    watched.replace(vec![link(1, "a"), link(9, "other")]);
    assert_eq!(changes(&mut watched), [("a".into(), Some(1)), ("b".into(), None)]);
    assert_eq!(changes(&mut watched), []);

    watched.put(link(1, "a"));
    watched.put(link(9, "other"));
    assert!(!watched.has_change(), "nothing of interest changed");

    watched.put(Link { mac: Some([2, 0, 0, 0, 0, 2]), ..link(1, "a") });
    assert_eq!(changes(&mut watched), [("a".into(), Some(1))]);
    watched.remove(1);
    watched.put(link(2, "b"));
    assert_eq!(changes(&mut watched), [("a".into(), None), ("b".into(), Some(2))]);
    // Renaming is leaving one name and taking another.
    watched.put(link(2, "a"));
    assert_eq!(changes(&mut watched), [("a".into(), Some(2)), ("b".into(), None)]);
    // Gone and back between two reports, under another index: one change.
    watched.remove(2);
    watched.put(link(3, "a"));
    assert_eq!(changes(&mut watched), [("a".into(), Some(3))]);
}
