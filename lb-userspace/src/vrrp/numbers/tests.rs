use super::*;
use crate::config::Span;
use crate::config::model::vrrp::{Notify, SyncGroup, Tracks, VrrpInstance};

fn config(names: &[&str]) -> Vrrp {
    let instance = |name: &&str| VrrpInstance::new((*name).to_owned(), Span::default());
    let group = |name: &&str| SyncGroup {
        name: format!("G{name}"),
        members: Vec::new(),
        tracks: Tracks::default(),
        notify: Notify::default(),
        smtp_alert: None,
        span: Span::default(),
    };
    Vrrp {
        instances: names.iter().map(instance).collect(),
        sync_groups: names.iter().map(group).collect(),
        ..Vrrp::default()
    }
}

/// The number of each name, and of its group.
fn of(numbers: &Numbers, names: &[&str]) -> Vec<Option<usize>> {
    names
        .iter()
        .map(|name| {
            let router = numbers.of(name).map(|id| id.0);
            assert_eq!(router, numbers.of_group(&format!("G{name}")).map(|id| id.0), "{name}");
            router
        })
        .collect()
}

#[test]
fn the_first_are_numbered_in_the_order_of_the_file() {
    let numbers = Numbers::default().assign(&config(&["b", "a", "c"]));
    assert_eq!(of(&numbers, &["a", "b", "c", "d"]), [Some(1), Some(0), Some(2), None]);
    assert_eq!((numbers.lease_rows(), Numbers::default().lease_rows()), (4, 1));
    assert_eq!([0, 1, 2, 4].map(|row| numbers.owner_of_row(row)), [None, Some("b"), Some("a"), None]);
}

#[test]
fn what_stays_keeps_its_number_wherever_it_stands() {
    let numbers = Numbers::default().assign(&config(&["a", "b"])).assign(&config(&["new", "b", "a"]));
    assert_eq!(of(&numbers, &["a", "b", "new"]), [Some(0), Some(1), Some(2)]);
    assert_eq!(numbers.assign(&config(&["new", "b", "a"])), numbers);
}

#[test]
fn a_number_is_given_to_another_not_at_once_but_then() {
    let numbers = Numbers::default().assign(&config(&["a", "b"])).assign(&config(&["c", "b"]));
    assert_eq!(of(&numbers, &["a", "b", "c"]), [None, Some(1), Some(2)], "a's lease may still last");
    let numbers = numbers.assign(&config(&["d", "c", "b"]));
    assert_eq!(of(&numbers, &["b", "c", "d"]), [Some(1), Some(2), Some(0)]);
}
