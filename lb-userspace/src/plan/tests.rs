//! Who gets which row.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    testing::{difference, key, service},
    *,
};

fn row(allocation: &Allocation, port: u16, last: u8) -> Row {
    allocation.server_row(&key(port), IpAddr::from([10, 0, 0, last]))
}

/// The allocation of each of several configurations, one beside the other.
fn beside<const N: usize>(configurations: [&[Wanted]; N]) -> [Allocation; N] {
    let (mut before, mut allocation) = (&[][..], Allocation::default());
    configurations.map(|after| {
        allocation = allocation.assign_beside(&difference(before, after)).expect("small");
        before = after;
        allocation.clone()
    })
}

#[test]
fn what_stays_keeps_its_row_and_what_comes_gets_a_new_generation() {
    let first = Allocation::default().assign(&[service(80, &[1, 2, 3])]).expect("small");
    assert_eq!((row(&first, 80, 1).row, row(&first, 80, 3).row, first.server_rows()), (0, 2, 3));
    let second = first.assign(&[service(443, &[9]), service(80, &[3, 4])]).expect("small");
    assert_eq!(row(&second, 80, 3), row(&first, 80, 3));
    assert_eq!(second.service_row(&key(80)), 0);
    for (port, last) in [(443, 9), (80, 4)] {
        let new = row(&second, port, last);
        assert!(new.row < 2, "a free row is used first");
        assert!(first.servers().all(|(_, old)| old.generation != new.generation));
    }
}

#[test]
fn beside_a_running_program_no_row_is_handed_on_at_once() {
    let [first, second, third, last] = beside([
        &[service(80, &[1, 2, 3])],
        &[service(80, &[3, 4])],
        &[service(80, &[3, 4, 5])],
        &[service(80, &[5, 4, 3])],
    ]);
    assert_eq!((row(&second, 80, 3), row(&second, 80, 4).row), (row(&first, 80, 3), 3));
    let generations = |of: &Allocation| of.servers().map(|(_, row)| row.generation).collect::<Vec<_>>();
    assert!(!generations(&first).contains(&second.vacant) && !generations(&second).contains(&second.vacant));
    assert_eq!(row(&third, 80, 5).row, 0);
    assert_ne!(row(&third, 80, 5).generation, second.vacant);
    assert_eq!(third, last, "nothing is new");
}

#[test]
fn a_full_director_hands_rows_on() {
    let full = |first: u32| {
        let wanted = (0..MAX_SERVERS / MAX_POOL).map(|port| {
            let mut wanted = service(port as u16, &[1]);
            let rips = (first..).take(MAX_POOL).map(|n| IpAddr::from(n.to_be_bytes()));
            *wanted.servers_mut() = rips.map(|rip| WantedServer::new(rip, 1)).collect();
            wanted
        });
        wanted.collect::<Vec<_>>()
    };
    let first = Allocation::default().assign(&full(1)).expect("just full");
    let difference = difference(&full(1), &full(2));
    let second = first.assign_beside(&difference).expect("just full");
    assert_eq!(second.server_rows(), MAX_SERVERS);
    assert!(second.hands_on(&first, &difference));
}

#[test]
fn too_much_is_refused() {
    let many: Vec<u8> = (0..=255).collect();
    let mut big = service(80, &many);
    let rips = (0..=MAX_POOL as u32).map(|n| IpAddr::from(n.to_be_bytes()));
    *big.servers_mut() = rips.map(|rip| WantedServer::new(rip, 1)).collect();
    let error = Allocation::default().assign(&[big]).expect_err("over the limit").to_string();
    assert!(error.contains("1025") && error.contains("10.0.0.100"), "{error}");
    let pool = || (0..MAX_POOL as u32).map(|n| IpAddr::from(n.to_be_bytes()));
    let many = (0..65).map(|port| {
        let mut one = service(port, &[]);
        *one.servers_mut() = pool().map(|rip| WantedServer::new(rip, 1)).collect();
        one
    });
    // More than there are row numbers.
    let error = Allocation::default().assign(&many.collect::<Vec<_>>());
    assert_eq!(error, Err(PlanError::Servers(65 * MAX_POOL)));
}

#[test]
fn beside_a_running_program_no_service_gets_the_row_of_one_that_goes() {
    let [_, second, third] = beside([
        &[service(80, &[1]), service(81, &[1])],
        &[service(82, &[1]), service(81, &[1])],
        &[service(83, &[1]), service(81, &[1])],
    ]);
    assert_eq!([81, 82].map(|port| second.service_row(&key(port))), [1, 2]);
    assert_eq!([81, 83].map(|port| third.service_row(&key(port))), [1, 0]);
}

/// Services by port with their real servers.
fn services() -> impl Strategy<Value = BTreeMap<u16, BTreeSet<u8>>> {
    prop::collection::btree_map(80..85u16, prop::collection::btree_set(1..6u8, 0..4), 0..5)
}

fn wanted(services: &BTreeMap<u16, BTreeSet<u8>>) -> Vec<Wanted> {
    services
        .iter()
        .map(|(port, servers)| service(*port, &servers.iter().copied().collect::<Vec<_>>()))
        .collect()
}

proptest! {
    /// Beside what runs everybody who is wanted has a row and nobody else; who stays keeps it, who comes has one that nobody
    /// had, with a generation that nobody had either, and the lowest rows are used first.
    #[test]
    fn rows_are_kept_and_none_is_anybody_elses(configurations in prop::collection::vec(services(), 1..8)) {
        let (mut before, mut allocation) = (Vec::new(), Allocation::default());
        let mut generations = BTreeSet::new();
        for services in configurations {
            let after = wanted(&services);
            let next = allocation.assign_beside(&difference(&before, &after)).expect("small");
            let of = |of: &Allocation| of.servers().collect::<BTreeMap<_, _>>();
            let (old, new) = (of(&allocation), of(&next));
            let keys: BTreeSet<_> = after
                .iter()
                .flat_map(|service| service.servers.iter().map(|server| (service.key, mapped(server.rip))))
                .collect();
            prop_assert_eq!(new.keys().copied().collect::<BTreeSet<_>>(), keys);
            let keys: Vec<_> = next.services().map(|(key, _)| key).collect();
            prop_assert_eq!(keys, after.iter().map(|service| service.key).collect::<Vec<_>>());
            let rows: BTreeSet<u16> = new.values().map(|row| row.row).collect();
            prop_assert_eq!(rows.len(), new.len());
            prop_assert_eq!(next.services().map(|(_, row)| row).collect::<BTreeSet<_>>().len(), after.len());
            let mut used: BTreeSet<u16> = old.values().map(|row| row.row).collect();
            let mut come: Vec<Row> = Vec::new();
            for (server, row) in &new {
                match old.get(server) {
                    Some(before) => prop_assert_eq!(before, row),
                    None => come.push(*row),
                }
            }
            come.sort_by_key(|row| row.generation);
            for Row { row, generation } in come {
                prop_assert_eq!(Some(row), (0..=u16::MAX).find(|row| !used.contains(row)));
                used.insert(row);
                prop_assert!(generations.insert(generation));
            }
            if old.keys().any(|server| !new.contains_key(server)) {
                prop_assert!(generations.insert(next.vacant));
            }
            for row in 0..40 {
                prop_assert_eq!(next.has_server_row(row), rows.contains(&row));
            }
            prop_assert_eq!(next.server_rows(), rows.last().map_or(1, |last| usize::from(*last) + 1));
            let service_rows = next.services().map(|(_, row)| usize::from(row) + 1).max();
            prop_assert_eq!(next.service_rows(), service_rows.unwrap_or(1));
            // The next daemon, should this one be killed, finds the same.
            prop_assert_eq!(&next.assign(&after).expect("small"), &next);
            (before, allocation) = (after, next);
        }
    }
}

#[test]
fn a_service_is_written_as_ipvsadm_writes_it() {
    let v6 = ServiceKey { vip: Address { octets: [0xfd; 16] }, protocol: 132, port: 0 };
    let written = [key(80), v6, ServiceKey::of_mark(false, 3), ServiceKey::of_mark(true, u32::MAX)];
    let texts = written.map(|key| key.to_string());
    let v6 = "SCTP [fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd]:0";
    assert_eq!(texts, ["TCP 10.0.0.100:80", v6, "FWM 3", "FWM 4294967295 IPv6"]);
}
