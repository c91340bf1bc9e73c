//! Who gets which row.

use super::{
    testing::{key, service},
    *,
};

fn row(allocation: &Allocation, port: u16, last: u8) -> Row {
    allocation.servers[&(key(port), Address::v4([10, 0, 0, last]))]
}

#[test]
fn what_stays_keeps_its_row_and_what_comes_gets_a_new_generation() {
    let first = Allocation::default().assign(&[service(80, &[1, 2, 3])]).expect("small");
    assert_eq!((row(&first, 80, 1).row, row(&first, 80, 3).row, first.server_rows()), (0, 2, 3));
    let second = first.assign(&[service(443, &[9]), service(80, &[3, 4])]).expect("small");
    assert_eq!(row(&second, 80, 3), row(&first, 80, 3));
    assert_eq!(second.services[&key(80)], 0);
    for (port, last) in [(443, 9), (80, 4)] {
        let new = row(&second, port, last);
        assert!(new.row < 2, "a free row is used first");
        assert!(first.servers.values().all(|old| old.generation != new.generation));
    }
}

#[test]
fn beside_a_running_program_no_row_is_handed_on_at_once() {
    let first = Allocation::default().assign(&[service(80, &[1, 2, 3])]).expect("small");
    let second = first.assign_beside(&[service(80, &[3, 4])]).expect("small");
    assert_eq!((row(&second, 80, 3), row(&second, 80, 4).row), (row(&first, 80, 3), 3));
    let generations = |of: &Allocation| of.servers.values().map(|row| row.generation).collect::<Vec<_>>();
    assert!(!generations(&first).contains(&second.vacant) && !generations(&second).contains(&second.vacant));
    let third = second.assign_beside(&[service(80, &[3, 4, 5])]).expect("small");
    assert_eq!(row(&third, 80, 5).row, 0);
    assert_ne!(row(&third, 80, 5).generation, second.vacant);
    assert_eq!(third.assign_beside(&[service(80, &[5, 4, 3])]), Ok(third), "nothing is new");
}

#[test]
fn a_full_director_hands_rows_on() {
    let full = |first: u32| {
        let wanted = (0..MAX_SERVERS / MAX_POOL).map(|port| {
            let mut wanted = service(port as u16, &[1]);
            let rips = (first..).take(MAX_POOL).map(|n| IpAddr::from(n.to_be_bytes()));
            wanted.servers = rips.map(|rip| WantedServer { rip, ..wanted.servers[0].clone() }).collect();
            wanted
        });
        wanted.collect::<Vec<_>>()
    };
    let first = Allocation::default().assign(&full(1)).expect("just full");
    assert_eq!(first.assign_beside(&full(2)).expect("just full").server_rows(), MAX_SERVERS);
}

#[test]
fn too_much_is_refused() {
    let many: Vec<u8> = (0..=255).collect();
    let mut big = service(80, &many);
    big.servers = (0..=MAX_POOL as u32)
        .map(|n| WantedServer { rip: IpAddr::from(n.to_be_bytes()), ..big.servers[0].clone() })
        .collect();
    let error = Allocation::default().assign(&[big]).expect_err("over the limit").to_string();
    assert!(error.contains("1025") && error.contains("10.0.0.100"), "{error}");
    let pool = || (0..MAX_POOL as u32).map(|n| IpAddr::from(n.to_be_bytes()));
    let many = (0..65).map(|port| {
        let one = service(port, &[1]);
        let servers = pool().map(|rip| WantedServer { rip, ..one.servers[0].clone() }).collect();
        Wanted { servers, ..one }
    });
    // More than there are row numbers.
    let error = Allocation::default().assign(&many.collect::<Vec<_>>());
    assert_eq!(error, Err(PlanError::Servers(65 * MAX_POOL)));
}

#[test]
fn beside_a_running_program_no_service_gets_the_row_of_one_that_goes() {
    let first = Allocation::default().assign(&[service(80, &[1]), service(81, &[1])]).expect("small");
    let second = first.assign_beside(&[service(82, &[1]), service(81, &[1])]).expect("small");
    assert_eq!([81, 82].map(|port| second.services[&key(port)]), [1, 2]);
    let third = second.assign_beside(&[service(83, &[1]), service(81, &[1])]).expect("small");
    assert_eq!([81, 83].map(|port| third.services[&key(port)]), [1, 0]);
}

#[test]
fn a_service_is_written_as_ipvsadm_writes_it() {
    let v6 = ServiceKey { vip: Address { octets: [0xfd; 16] }, protocol: 132, port: 0 };
    let written = [key(80), v6, ServiceKey::of_mark(false, 3), ServiceKey::of_mark(true, u32::MAX)];
    let texts = written.map(|key| key.to_string());
    let v6 = "SCTP [fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd]:0";
    assert_eq!(texts, ["TCP 10.0.0.100:80", v6, "FWM 3", "FWM 4294967295 IPv6"]);
}
