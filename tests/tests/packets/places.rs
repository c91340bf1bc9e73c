//! Services come and go in the tables of the program that runs.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
};

use aya::{
    maps::{Array, Map, MapData},
    programs::Xdp,
};
use aya_obj::programs::XdpAttachType;
use lb_common::{
    layout::{Address, PRESENCE, Policy, SERVICE_SLOTS, Service, ServiceBucket},
    sched::Scheduler,
    tcp::flag,
};
use xlvs::plan::Wanted;

use crate::{
    bench::{self, action, attach_services, attached_program, mac, row, service, service_of, service6},
    running::{Running, SERVERS, http, limited, tcp, udp, udp_to},
};

/// UDP on a port with these servers.
fn on(port: u16, servers: &[u8]) -> Wanted {
    let servers: Vec<_> = servers.iter().map(|&last| (last, 1)).collect();
    service(17, port, Scheduler::Rr, &servers)
}

/// What stands in `services`, by bucket and slot.
fn entries(running: &mut Running) -> BTreeMap<(usize, usize), Service> {
    let Some(Map::Array(data)) = running.datapath.ebpf_mut().map("services") else {
        panic!("no map services")
    };
    let info = data.info().expect("its number");
    let map = Map::Array(MapData::from_id(info.id()).expect("the map"));
    let rows = Array::<_, [u8; size_of::<ServiceBucket>()]>::try_from(map).expect("an array");
    let bucket = |row| bytemuck::pod_read_unaligned::<ServiceBucket>(&rows.get(&row, 0).expect("a row"));
    let slots = (0..info.max_entries()).flat_map(|row| {
        bucket(row).slots.into_iter().enumerate().map(move |(slot, entry)| ((row as usize, slot), entry))
    });
    slots.filter(|(_, entry)| entry.info.protocol != 0).collect()
}

/// The ports of UDP services whose place is one bucket where nothing else is, `count` of them.
fn of_one_bucket(running: &mut Running, base: &[Wanted], count: usize) -> Vec<u16> {
    let mut ports: BTreeMap<usize, Vec<u16>> = BTreeMap::new();
    for batch in 0.. {
        let first = 1000 + batch * 50;
        let more = (first..first + 50).map(|port| on(port, &[]));
        let next: Vec<Wanted> = base.iter().cloned().chain(more).collect();
        running.change(&next);
        for ((bucket, _), entry) in entries(running) {
            if entry.info.protocol == 17 && entry.info.port >= 1000 {
                ports.entry(bucket).or_default().push(entry.info.port);
            }
        }
        running.change(base);
        let taken = entries(running);
        let is_empty = |bucket: usize| (0..SERVICE_SLOTS).all(|slot| !taken.contains_key(&(bucket, slot)));
        if let Some((_, found)) =
            ports.iter().find(|(bucket, found)| found.len() >= count && is_empty(**bucket))
        {
            return found[..count].to_vec();
        }
    }
    Vec::new()
}

#[test]
fn a_service_comes_and_goes_and_the_program_stays() {
    let base = [http(Scheduler::Rr, &[1, 2])];
    let mut running = Running::start(&base, &[]);
    let program = running.program_id();
    assert_eq!([1, 2].map(|client| running.to(&tcp(client, flag::SYN))), [Some(2), Some(1)]);
    assert_eq!(running.to(&udp(1)), None);
    let both = [base[0].clone(), on(53, &[3, 4])];
    running.change(&both);
    assert_eq!([1, 2, 1].map(|client| running.to(&udp(client))), [Some(4), Some(3), Some(4)]);
    let stats = |running: &Running, last| {
        let row = row(&running.director, 53, 17, last).expect("a row");
        let load = running.datapath.load(row);
        (running.datapath.stats(row).expect("a row").connections, load.inactive)
    };
    assert_eq!(stats(&running, 4), (1, 1));
    running.change(&base);
    assert_eq!([1, 2].map(|client| running.to(&udp(client))), [None, None], "it is gone");
    assert_eq!([1, 2].map(|client| running.to(&tcp(client, flag::ACK))), [Some(2), Some(1)]);

    // The same service again, by other servers, in the rows of those before.
    running.change(&[base[0].clone(), on(53, &[5, 6])]);
    assert_eq!([5, 6].map(|last| stats(&running, last)), [(0, 0); 2]);
    assert_eq!(
        [1, 2].map(|client| running.to(&udp(client))),
        [Some(6), Some(5)],
        "and its order begins anew"
    );
    assert_eq!((running.connections(2), running.load(2)), (1, (1, 0)));
    // The same servers under another key.
    running.change(&[base[0].clone(), on(54, &[5, 6])]);
    assert_eq!((running.to(&udp(1)), running.to(&udp_to(54, 1))), (None, Some(6)));
    running.change(&[]);
    assert_eq!((running.to(&tcp(1, flag::ACK)), running.to(&udp_to(54, 1))), (None, None));
    assert_eq!(entries(&mut running).len(), 0);
    running.change(&base);
    assert_eq!([1, 2].map(|client| running.to(&tcp(client, flag::ACK))), [None, None]);
    assert_eq!(running.to(&tcp(1, flag::SYN)), Some(2));
    assert_eq!(running.program_id(), program);
    running.stop();
}

#[test]
fn a_start_without_services_leaves_room_for_many() {
    let mut running = Running::start(&[], &[]);
    let program = running.program_id();
    let mut services = Vec::new();
    for port in 1000..1064 {
        services.push(on(port, &[]));
        running.change(&services);
        // Its servers come one by one, and its list outgrows its place.
        for &last in &SERVERS[..if port == 1000 { 9 } else { 4 }] {
            let only = on(port, &SERVERS[..usize::from(last)]);
            *services.last_mut().expect("one came") = only;
            running.change(&services);
        }
    }
    for port in 1000..1064 {
        let first = if port == 1000 { 9 } else { 4 };
        assert_eq!([1, 2].map(|client| running.to(&udp_to(port, client))), [Some(first), Some(first - 1)]);
    }
    assert_eq!(running.program_id(), program);
    running.stop();
}

#[test]
fn a_list_moves_where_there_is_room_for_it() {
    let mut running = Running::start(&[http(Scheduler::Rr, &[1, 2])], &[]);
    let program = running.program_id();
    assert_eq!([1, 2, 3].map(|client| running.to(&tcp(client, flag::SYN))), [Some(2), Some(1), Some(2)]);
    running.change(&[http(Scheduler::Rr, &SERVERS)]);
    assert_eq!(running.to(&tcp(4, flag::SYN)), Some(1), "the order goes on behind who was picked last");
    running.change(&[http(Scheduler::Mh, &SERVERS)]);
    let first = running.to(&tcp(5, flag::SYN)).expect("sent");
    assert_eq!(running.to(&tcp(6, flag::SYN)), Some(first), "one client, one server");
    assert_eq!(
        [1, 2, 3, 4].map(|client| running.to(&tcp(client, flag::ACK))),
        [Some(2), Some(1), Some(2), Some(1)]
    );
    running.change(&[http(Scheduler::Rr, &[7, 8])]);
    assert_eq!(
        [7, 8].map(|client| running.to(&tcp(client, flag::SYN)).is_some_and(|last| last >= 7)),
        [true; 2]
    );
    assert_eq!(running.program_id(), program);
    running.stop();
}

#[test]
fn a_full_bucket_needs_another_program_and_that_has_room_again() {
    let base = [http(Scheduler::Rr, &[1, 2])];
    let mut running = Running::start(&base, &[]);
    let ports = of_one_bucket(&mut running, &base, SERVICE_SLOTS + 1);
    let with = |ports: &[u16]| -> Vec<Wanted> {
        base.iter().cloned().chain(ports.iter().map(|&port| on(port, &[3]))).collect()
    };
    assert_eq!(running.to(&tcp(1, flag::SYN)), Some(2));
    running.change(&with(&ports[..SERVICE_SLOTS]));
    let program = running.program_id();
    assert_eq!(running.lacks(&with(&ports)), Some("its table of virtual servers is full where one belongs"));
    let settings = running.datapath.settings().clone();
    running.replace(settings, &with(&ports)).expect("it is replaced");
    assert_ne!(running.program_id(), program);
    let program = running.program_id();
    let answers: Vec<_> = ports.iter().map(|&port| running.to(&udp_to(port, 1))).collect();
    assert_eq!(answers, [Some(3); SERVICE_SLOTS + 1]);
    running.change(&base);
    running.change(&with(&[53]));
    assert_eq!((running.to(&udp(1)), running.to(&udp_to(ports[0], 1))), (Some(3), None));
    assert_eq!((running.to(&tcp(1, flag::ACK)), running.program_id()), (Some(2), program));
    running.stop();
}

#[test]
fn what_was_left_out_of_the_program_needs_another_one() {
    let base = [http(Scheduler::Rr, &[1, 2])];
    let mut running = Running::start(&base, &[]);
    let left_out = Some("a part is needed that was left out of it");
    let mut persistent = on(53, &[1]);
    persistent.policy.persistence = 60;
    let mut alone = service(17, 53, Scheduler::Mh, &[(1, 1)]);
    alone.policy.flags = Policy::ONE_PACKET;
    for more in [
        persistent.clone(),
        service(6, 0, Scheduler::Rr, &[]),
        service(6, 21, Scheduler::Rr, &[]),
        limited(on(53, &[1])),
        alone,
    ] {
        assert_eq!(running.lacks(&[base[0].clone(), more]), left_out);
    }
    let v6 = [base[0].clone(), service6(6, 80, Scheduler::Rr, &[(1, 1)])];
    assert_eq!(running.lacks(&v6), Some("it has no flow table of an address family"));
    let settings = running.datapath.settings().clone();
    running.replace(settings, &[base[0].clone(), persistent.clone()]).expect("it is replaced");
    let program = running.program_id();
    persistent.key.port = 54;
    running.change(&[base[0].clone(), persistent]);
    assert_eq!(running.to(&udp_to(54, 1)), Some(1), "this one has the part");
    assert_eq!(running.program_id(), program);
    running.stop();
}

#[test]
fn an_address_is_there_for_as_long_as_it_has_services() {
    let base = [http(Scheduler::Rr, &[1])];
    let mut running = Running::start(&base, &[]);
    let other = [10, 0, 0, 101];
    let at = |port, lease| Wanted {
        lease,
        ..service_of(other.into(), (17, port), Scheduler::Rr.into(), &[(1, 1)])
    };
    let leases = |running: &mut Running| -> Vec<u16> {
        let is_it = |entry: &Service| entry.info.protocol == PRESENCE && entry.vip == Address::v4(other);
        entries(running).into_values().filter(is_it).map(|entry| entry.info.lease).collect()
    };
    running.change(&[base[0].clone(), at(53, 3), at(54, 3)]);
    assert_eq!(leases(&mut running), [3]);
    running.change(&[base[0].clone(), at(54, 4)]);
    assert_eq!(leases(&mut running), [4]);
    running.change(&base);
    assert!(leases(&mut running).is_empty());
    assert_eq!(entries(&mut running).len(), 2);
    running.stop();
}

/// A daemon that let services come and go in place is killed: who takes over knows which there are.
#[test]
fn services_that_came_in_place_are_taken_over() {
    let mut running = Running::start(&[http(Scheduler::Rr, &[1]), on(52, &[1])], &[]);
    running.change(&[http(Scheduler::Rr, &[1]), on(53, &[2])]);
    assert_eq!((running.to(&udp(1)), running.to(&tcp(1, flag::SYN))), (Some(2), Some(1)));
    let (pins, killed) = (running.datapath.settings().pins.clone(), running.datapath.allocation().clone());
    drop(running);
    let services = [http(Scheduler::Rr, &[1]), on(53, &[2, 3])];
    let (datapath, director) = attach_services(&pins, &services).expect("it takes over");
    let mut running = Running { datapath, director };
    let own = running.datapath.allocation();
    assert!(own.services().eq(killed.services()));
    assert!(killed.servers().all(|((service, rip), row)| own.server(&service, rip) == Some(row)));
    assert_eq!((running.to(&udp(1)), running.to(&tcp(1, flag::ACK))), (Some(2), Some(1)));
    running.stop();
}

/// Two services take turns in one slot while another CPU sends new connections to both: nobody gets one of the other's.
#[test]
fn packets_on_another_cpu_never_see_one_service_as_another() {
    const ROUNDS: u32 = 60;
    let base = [http(Scheduler::Rr, &[1])];
    let mut running = Running::start(&base, &[]);
    let ports = of_one_bucket(&mut running, &base, 2);
    let turns = [[base[0].clone(), on(ports[0], &[2, 3])], [base[0].clone(), on(ports[1], &[4, 5, 6])]];
    let slot = |running: &mut Running, port| {
        let mut all = entries(running).into_iter();
        all.find(|(_, entry)| entry.info.port == port).map(|(place, _)| place)
    };
    let info = attached_program(&mut running.datapath).expect("loaded").info().expect("its number");
    let program =
        Xdp::from_program_info(info, Cow::Borrowed("xlvs"), XdpAttachType::Interface).expect("its number");
    let is_over = AtomicBool::new(false);
    let (served, ended) = ([const { AtomicU32::new(0) }; 2], AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            bench::pin_to(1).expect("two CPUs");
            for client in (1..=u16::MAX).cycle().take_while(|_| !is_over.load(Relaxed)) {
                for (which, port) in ports.iter().enumerate() {
                    let own: &[u8] = if which == 0 { &[2, 3] } else { &[4, 5, 6] };
                    let (said, out) = bench::run(&program, &udp_to(*port, client)).expect("the program runs");
                    let to: [u8; 6] = out[..6].try_into().expect("a MAC address");
                    if said == action::TX && own.iter().any(|&last| mac(last) == to) {
                        served[which].fetch_add(1, Relaxed);
                        continue;
                    }
                    let is_answer = said == action::TX && to == [2, 0, 0, 0, 9, 9];
                    let is_late = is_answer || said == action::DROP;
                    ended.fetch_add(u32::from(is_late), Relaxed);
                    assert!(said == action::PASS || is_late, "port {port}: {said}, to {to:02x?}");
                }
            }
        });
        bench::pin_to(0).expect("two CPUs");
        let mut slots = Vec::new();
        for _ in 0..ROUNDS {
            for (turn, port) in turns.iter().zip(&ports) {
                running.change(turn);
                slots.push(slot(&mut running, *port));
                running.change(&base);
            }
        }
        is_over.store(true, Relaxed);
        assert!(slots.iter().all(|slot| *slot == slots[0]), "one slot: {slots:?}");
    });
    // Nobody is found without its servers, but by the one packet that is under way when a service goes with their rows: it is
    // answered that there is none, or dropped.
    assert!(ended.load(Relaxed) <= 2 * ROUNDS, "{ended:?}");
    let served = served.map(|count| count.load(Relaxed));
    assert!(served.iter().all(|&count| count > ROUNDS), "{served:?}");
    running.stop();
}

/// A list of nine is published once more under the hash that comes with a list of two, and the region is large enough for that:
/// behind it lies a service that must not notice, whichever half of its region each of the two is in.
#[test]
fn a_list_that_shrinks_under_another_scheduler_stays_in_its_region() {
    for (turns, neighbours_turns) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let of = |scheduler, servers: &[u8], weight| {
            let servers: Vec<_> = servers.iter().map(|&last| (last, weight)).collect();
            service(6, 80, scheduler, &servers)
        };
        let neighbour = |weight| service(17, 54, Scheduler::Rr, &[(8, weight), (9, weight)]);
        let mut running = Running::start(&[of(Scheduler::Rr, &SERVERS, 1)], &[]);
        // The neighbour is placed behind a region for two servers and a ring, which is free again then.
        let before = service(17, 53, Scheduler::Sh, &[(1, 1), (2, 1)]);
        running.change(&[of(Scheduler::Rr, &SERVERS, 1), before, neighbour(1)]);
        running.change(&[of(Scheduler::Rr, &SERVERS, 1), neighbour(1)]);
        running.change(&[of(Scheduler::Rr, &SERVERS, 1 + turns), neighbour(1 + neighbours_turns)]);
        running.change(&[of(Scheduler::Sh, &[1, 2], 1 + turns), neighbour(1 + neighbours_turns)]);
        let mut to: Vec<_> = (1..=8).map(|client| running.to(&udp_to(54, client))).collect();
        to.sort_unstable();
        assert_eq!(to, [[Some(8); 4], [Some(9); 4]].concat(), "{turns}, {neighbours_turns}");
        running.stop();
    }
}
