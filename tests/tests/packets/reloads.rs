//! A running director gets another configuration: in place, or by another program in the place of the running one.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use lb_common::{
    layout::{Lease, NO_VMAC, NextHop},
    sched::Scheduler,
    tcp::flag,
};
use lb_tests::netns;
use xlvs::{
    control::{Action, Director, Way},
    io::{
        datapath::{Datapath, Prepared, Settings},
        links::Link,
    },
    plan::{Allocation, Wanted},
};

use crate::{
    bench::{
        self, DIRECTOR, action, attach_routers, attach_services, attached_program, mac, rip, row, service,
    },
    frame::{Frame, Packet},
    leases::far,
};

const VIP: [u8; 4] = [10, 0, 0, 100];
const CLIENT: [u8; 4] = [192, 0, 2, 7];
/// Every server that any of the configurations has.
const SERVERS: [u8; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];

fn bytes(packet: &Packet) -> Vec<u8> {
    let from = [2, 0, 0, 0, 9, 9];
    Frame { to: DIRECTOR, from, tags: Vec::new(), ethertype: 0x0800, payload: packet.bytes() }.bytes()
}

fn tcp(client: u16, flags: u8) -> Vec<u8> {
    bytes(&Packet::tcp((CLIENT, client), (VIP, 80), flags))
}

fn udp(client: u16) -> Vec<u8> {
    bytes(&Packet::udp((CLIENT, client), (VIP, 53)))
}

/// TCP on port 80 with these servers of weight 1.
fn http(scheduler: Scheduler, servers: &[u8]) -> Wanted {
    let servers: Vec<_> = servers.iter().map(|&last| (last, 1)).collect();
    service(6, 80, scheduler, &servers)
}

/// A director in a network namespace of the thread's own.
struct Running {
    datapath: Datapath,
    director: Director,
}

impl Running {
    fn start(services: &[Wanted], routers: &[Lease]) -> Self {
        bench::namespace().expect("a namespace");
        let up = Command::new("ip").args("link set lo up".split(' ')).status().expect("ip");
        assert!(up.success());
        let (datapath, director) = attach_routers(&pins(), services, routers).expect("it attaches");
        Self { datapath, director }
    }

    /// What `services` need beside what runs.
    fn plan(&self, services: &[Wanted]) -> (Director, Allocation, Vec<Action>) {
        let way = |last| (rip(last), Way::Through(NextHop { mac: mac(last), port: 0 }));
        let ways: BTreeMap<_, _> = SERVERS.map(way).into();
        let allocation = self.datapath.allocation().assign_beside(services).expect("small");
        let mut director = self.director.clone();
        let actions = director.reload(services, &allocation, &ways);
        (director, allocation, actions)
    }

    fn change(&mut self, services: &[Wanted]) {
        let settings = self.datapath.settings().clone();
        let (director, allocation, actions) = self.plan(services);
        assert_eq!(self.datapath.fits(&settings, services, &allocation), Ok(()));
        self.datapath.change(settings, allocation, &actions).expect("in place");
        self.director = director;
    }

    fn replace(&mut self, settings: Settings, services: &[Wanted]) -> anyhow::Result<()> {
        let (director, allocation, _) = self.plan(services);
        assert!(self.datapath.fits(&settings, services, &allocation).is_err(), "it must be worth it");
        let mut prepared = Prepared::beside(&self.datapath, settings, services, allocation)?;
        director.everything().iter().for_each(|action| prepared.apply(action));
        prepared.attach_over(&mut self.datapath)?;
        self.director = director;
        Ok(())
    }

    /// The server that gets a frame.
    fn to(&mut self, frame: &[u8]) -> Option<u8> {
        let program = attached_program(&mut self.datapath).expect("loaded");
        match bench::run(program, frame).expect("the program runs") {
            (action::TX, out) => Some(out[5]),
            (action::PASS, _) => None,
            other => panic!("{other:?}"),
        }
    }

    fn stop(mut self) {
        self.datapath.stop();
    }

    fn load(&self, last: u8) -> (u32, u32) {
        let load = self.datapath.load(row(&self.director, 80, 6, last).expect("a row"));
        (load.active, load.inactive)
    }

    fn connections(&self, last: u8) -> u64 {
        let row = row(&self.director, 80, 6, last).expect("a row");
        self.datapath.stats(row).expect("a row").connections
    }
}

fn pinned_names(running: &Running) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(&running.datapath.settings().pins).expect("pins");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    names
}

fn pins() -> PathBuf {
    Path::new("/sys/fs/bpf").join(netns::unique_name())
}

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
    limited.servers[0].thresholds = [1, 0];
    let (_, allocation, _) = running.plan(std::slice::from_ref(&limited));
    let settings = running.datapath.settings().clone();
    let why = running.datapath.fits(&settings, std::slice::from_ref(&limited), &allocation);
    assert_eq!(why, Err("a part is needed that was left out of it"));
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

    let next =
        [owned(1, http(Scheduler::Rr, &[1, 2, 3])), owned(2, service(17, 53, Scheduler::Rr, &[(1, 1)]))];
    let settings = Settings { leases: routers.to_vec(), ..running.datapath.settings().clone() };
    running.replace(settings, &next).expect("it is replaced");
    assert_eq!(
        [1, 2].map(|last| (running.load(last), running.connections(last))),
        [((1, 0), 1), ((2, 0), 2)]
    );
    let flows = running.datapath.flows().expect("maps");
    let collected = flows.collect(0..flows.rows(), bench::tick().expect("a clock"));
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

/// Servers beyond the spare rows: the loads are counted anew, and so are right after the collector's first pass.
#[test]
fn another_program_with_larger_maps_counts_the_same_connections() {
    let mut running = Running::start(&[http(Scheduler::Rr, &[1, 2])], &[]);
    assert_eq!([1, 2, 3].map(|client| running.to(&tcp(client, flag::SYN))), [Some(2), Some(1), Some(2)]);
    let mut next = vec![http(Scheduler::Rr, &[1, 2])];
    next.extend((0..10).map(|port| {
        let servers: Vec<_> = SERVERS.map(|last| (last, 1)).into();
        service(17, 1000 + port, Scheduler::Rr, &servers)
    }));
    running.replace(running.datapath.settings().clone(), &next).expect("it is replaced");
    assert_eq!(running.connections(2), 2, "counts are copied");
    let flows = running.datapath.flows().expect("maps");
    let collected = flows.collect(0..flows.rows(), bench::tick().expect("a clock"));
    assert_eq!((collected.counted, running.load(1), running.load(2)), (3, (1, 0), (2, 0)));
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
    let (_, allocation, _) = running.plan(&next);
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
    assert_eq!(own.servers.values().filter(|row| killed.servers.values().any(|old| old == *row)).count(), 1);
    let new = own.servers.values().find(|row| !killed.servers.values().any(|old| old == *row));
    assert_eq!(new.expect("server 3").generation, killed.next_generation);
    running.stop();
}
