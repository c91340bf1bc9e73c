//! A running director gets another configuration: in place, or by another program in the place of the running one.

use lb_common::{
    layout::{Lease, NO_VMAC},
    sched::Scheduler,
    tcp::flag,
};
use xlvs::{
    io::{
        datapath::{Prepared, Settings},
        links::Link,
    },
    plan::{Row, Wanted},
};

use crate::{
    bench::{self, attach_services, row, service},
    leases::far,
    running::{Running, SERVERS, http, limited, pinned_names, pins, tcp, udp},
};

#[test]
fn in_place_who_stays_keeps_everything_and_who_comes_begins_with_nothing() {
    let mut running = Running::start(&[http(Scheduler::Rr, &[1, 2])], &[]);
    assert_eq!([1, 2, 3].map(|client| running.to(&tcp(client, flag::SYN))), [Some(2), Some(1), Some(2)]);
    running.change(&[http(Scheduler::Rr, &[1, 2, 3])]);
    assert_eq!(running.to(&tcp(4, flag::SYN)), Some(1), "the order goes on behind who was picked last");
    assert_eq!([5, 6].map(|client| running.to(&tcp(client, flag::SYN))), [Some(3), Some(2)]);
    assert_eq!([1, 2, 3].map(|last| running.load(last)), [(2, 0), (3, 0), (1, 0)]);

    let old = row(&running.director, 80, 6, 2).expect("a row");
    running.change(&[http(Scheduler::Rr, &[1, 3])]);
    assert_eq!([1, 2, 3].map(|client| running.to(&tcp(client, flag::ACK))), [None, Some(1), None]);
    assert_eq!(running.to(&tcp(5, flag::ACK)), Some(3));
    running.change(&[http(Scheduler::Rr, &[1, 3, 4])]);
    assert_eq!(row(&running.director, 80, 6, 4).expect("a row"), old, "the row is free by now");
    assert_eq!((running.load(4), running.connections(4)), ((0, 0), 0));
    assert_eq!((running.load(1), running.connections(1)), ((2, 0), 2));
    // The flow of client 6 is not that server's, though the row is.
    assert_eq!(running.to(&tcp(6, flag::ACK)), None);
    assert_eq!(
        running.lacks(&[http(Scheduler::Mh, &[1, 3])]),
        None,
        "a service by hash needs no other program"
    );
    running.stop();
}

#[test]
fn in_place_a_service_gets_another_scheduler_and_limits() {
    let mut running = Running::start(&[http(Scheduler::Sh, &[1, 2])], &[]);
    let first = running.to(&tcp(1, flag::SYN)).expect("sent");
    assert_eq!(running.to(&tcp(2, flag::SYN)), Some(first), "one client, one server");
    running.change(&[http(Scheduler::Rr, &[1, 2])]);
    assert_eq!([3, 4, 5].map(|client| running.to(&tcp(client, flag::SYN))), [Some(2), Some(1), Some(2)]);
    running.change(&[http(Scheduler::Sh, &[1, 2])]);
    assert_eq!(running.to(&tcp(6, flag::SYN)), Some(first));
    assert_eq!(running.to(&tcp(1, flag::ACK)), Some(first), "a connection of before");

    let mut limited = http(Scheduler::Sh, &[1, 2]);
    limited.servers_mut()[0].thresholds = [1, 0];
    let settings = running.datapath.settings().clone();
    let why = running.lacks(std::slice::from_ref(&limited));
    assert_eq!(why, Some("a part is needed that was left out of it"));
    running.replace(settings, std::slice::from_ref(&limited)).expect("it is replaced");
    limited.method = Scheduler::Rr.into();
    running.change(&[limited]);
    assert_eq!(
        [7, 8].map(|client| running.to(&tcp(client, flag::SYN))),
        [Some(2), Some(2)],
        "1 has more than one"
    );
    running.stop();
}

#[test]
fn another_program_goes_on_with_flows_loads_counts_cursors_and_leases() {
    let routers = [Lease::none(51, NO_VMAC), Lease::none(52, NO_VMAC)];
    let owned = |lease, service| Wanted { lease, ..service };
    let mut running = Running::start(&[owned(1, http(Scheduler::Rr, &[1, 2]))], &routers[..1]);
    let leases = running.datapath.leases();
    assert_eq!(running.to(&tcp(1, flag::SYN)), None, "not master");
    leases.set(1, far());
    assert_eq!([1, 2, 3].map(|client| running.to(&tcp(client, flag::SYN))), [Some(2), Some(1), Some(2)]);

    let next = [
        owned(1, http(Scheduler::Rr, &[1, 2, 3])),
        owned(2, limited(service(17, 53, Scheduler::Rr, &[(1, 1)]))),
    ];
    let settings = Settings { leases: routers.to_vec(), ..running.datapath.settings().clone() };
    running.replace(settings, &next).expect("it is replaced");
    assert_eq!(
        [1, 2].map(|last| (running.load(last), running.connections(last))),
        [((1, 0), 1), ((2, 0), 2)]
    );
    let flows = running.datapath.flows().expect("maps");
    let [collected, _] = flows.collect(0..flows.rows(), bench::tick().expect("a clock"));
    assert_eq!((collected.counted, collected.forgotten), (0, 0), "nothing needed counting");
    assert_eq!([1, 2, 3].map(|client| running.to(&tcp(client, flag::ACK))), [Some(2), Some(1), Some(2)]);
    assert_eq!(
        [4, 5].map(|client| running.to(&tcp(client, flag::SYN))),
        [Some(1), Some(3)],
        "the order goes on"
    );
    assert_eq!(running.to(&udp(1)), None, "its router is not master");
    leases.set(2, far());
    assert_eq!(running.to(&udp(1)), Some(1), "by the handle of before");
    leases.set(1, 0);
    assert_eq!(running.to(&tcp(1, flag::ACK)), None);
    running.stop();
}

/// Servers beyond the spare rows: the loads go on, and the collector has none to bring in.
#[test]
fn another_program_with_larger_maps_counts_the_same_connections() {
    let mut running = Running::start(&[http(Scheduler::Rr, &[1, 2])], &[]);
    assert_eq!([1, 2, 3].map(|client| running.to(&tcp(client, flag::SYN))), [Some(2), Some(1), Some(2)]);
    let mut next = vec![http(Scheduler::Rr, &[1, 2])];
    next.extend((0..60).map(|port| {
        let servers: Vec<_> = SERVERS.map(|last| (last, 1)).into();
        service(17, 1000 + port, Scheduler::Rr, &servers)
    }));
    running.replace(running.datapath.settings().clone(), &next).expect("it is replaced");
    assert_eq!(running.connections(2), 2, "counts are copied");
    let flows = running.datapath.flows().expect("maps");
    let [collected, _] = flows.collect(0..flows.rows(), bench::tick().expect("a clock"));
    assert_eq!((collected.counted, running.load(1), running.load(2)), (0, (1, 0), (2, 0)));
    running.stop();
}

#[test]
fn where_an_interface_refuses_the_program_the_running_one_goes_on() {
    let mut running = Running::start(&[http(Scheduler::Rr, &[1, 2])], &[Lease::none(51, NO_VMAC)]);
    assert_eq!([1, 2].map(|client| running.to(&tcp(client, flag::SYN))), [Some(2), Some(1)]);
    let leases = running.datapath.leases();
    let until = far();
    leases.set(1, until);
    let settings = Settings { leases: vec![Lease::none(52, NO_VMAC)], ..running.datapath.settings().clone() };
    let index = nix::net::if_::if_nametoindex("xlvs-out").expect("it is there");
    let taken = Link { name: "xlvs-out".to_owned(), index, ..settings.interfaces[0].clone() };
    let mut other = bench::attach(&pins(), &taken, &[]).expect("another program is on it");
    let interfaces = vec![settings.interfaces[0].clone(), taken];
    let before = pinned_names(&running);
    let next = [http(Scheduler::Rr, &[1, 2, 3])];
    let allocation = running.plan(&next).allocation;
    let prepared =
        Prepared::beside(&running.datapath, Settings { interfaces, ..settings }, &next, allocation);
    let refused = prepared.expect("it loads").attach_over(&mut running.datapath).expect_err("it is taken");
    assert!(format!("{refused:#}").contains("xlvs-out"), "{refused:#}");
    assert_eq!(pinned_names(&running), before);
    assert_eq!(leases.get(1), until, "the row is that of its own router");
    assert_eq!([1, 2].map(|client| running.to(&tcp(client, flag::ACK))), [Some(2), Some(1)]);
    running.change(&next);
    assert_eq!([3, 4].map(|client| running.to(&tcp(client, flag::SYN))), [Some(3), Some(2)]);
    other.stop();
    running.stop();
}

#[test]
fn an_interface_comes_and_goes() {
    let services = [http(Scheduler::Rr, &[1, 2])];
    let mut running = Running::start(&services, &[]);
    assert_eq!(running.to(&tcp(1, flag::SYN)), Some(2));
    let alone = running.datapath.settings().clone();
    let index = nix::net::if_::if_nametoindex("xlvs-out").expect("it is there");
    let other = Link { name: "xlvs-out".to_owned(), index, ..alone.interfaces[0].clone() };
    let pin = format!("link_xlvs-out_{index}_generic");
    let both = Settings { interfaces: vec![alone.interfaces[0].clone(), other], ..alone.clone() };
    running.replace(both, &services).expect("it is replaced");
    assert!(pinned_names(&running).iter().any(|name| *name == *pin), "{:?}", pinned_names(&running));
    assert_eq!(running.to(&tcp(1, flag::ACK)), Some(2));
    running.replace(alone, &services).expect("it is replaced");
    assert!(!pinned_names(&running).iter().any(|name| *name == *pin), "{:?}", pinned_names(&running));
    assert_eq!(
        (running.to(&tcp(1, flag::ACK)), running.load(2), running.connections(2)),
        (Some(2), (1, 0), 1)
    );
    running.stop();
}

/// A daemon that changed in place is killed: who takes over knows what came, and gives nobody a generation that was used.
#[test]
fn what_came_in_place_is_taken_over() {
    let mut running = Running::start(&[http(Scheduler::Rr, &[1])], &[]);
    running.change(&[http(Scheduler::Rr, &[1, 2])]);
    running.change(&[http(Scheduler::Rr, &[2])]);
    assert_eq!(running.to(&tcp(1, flag::SYN)), Some(2));
    let (pins, killed) = (running.datapath.settings().pins.clone(), running.datapath.allocation().clone());
    // Its pinned program forwards on, its controller is gone.
    drop(running);
    let (datapath, director) =
        attach_services(&pins, &[http(Scheduler::Rr, &[2, 3])]).expect("it takes over");
    let mut running = Running { datapath, director };
    assert_eq!(running.to(&tcp(1, flag::ACK)), Some(2));
    let own = running.datapath.allocation();
    let killed_had = |row: Row| killed.servers().any(|(_, old)| old == row);
    assert_eq!(own.servers().filter(|(_, row)| killed_had(*row)).count(), 1);
    let (_, new) = own.servers().find(|(_, row)| !killed_had(*row)).expect("server 3");
    assert_eq!(new.generation, killed.next_generation);
    running.stop();
}
