//! Reloads by hand, and random ones beside a director that starts anew.

use std::collections::BTreeMap;

use lb_common::{
    layout::{Address, NextHop, ServerState},
    sched::Scheduler,
};
use proptest::prelude::*;

use super::*;
use crate::{
    control::Event,
    health::{Share, Verdict},
    plan::{ServiceKey, WantedServer, unmapped},
};

fn key(port: u16) -> ServiceKey {
    ServiceKey { vip: Address::v4([10, 0, 0, 100]), protocol: 6, port }
}

fn rip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

/// The check of a server, another one for each service.
fn check(port: u16, last: u8) -> u32 {
    u32::from(port) << 8 | u32::from(last)
}

fn server(port: u16, last: u8, weight: u16) -> WantedServer {
    let checks = vec![check(port, last)];
    WantedServer { checks, ..WantedServer::new(rip(last), weight) }
}

fn service(port: u16, servers: &[(u8, u16)]) -> Wanted {
    let servers = servers.iter().map(|&(last, weight)| server(port, last, weight)).collect();
    Wanted::new(key(port), Scheduler::Wrr.into(), servers)
}

fn way(last: u8) -> Event {
    Event::Way(rip(last), Way::Through(NextHop { mac: [2, 0, 0, 0, 0, last], port: 0 }))
}

fn down(port: u16, last: u8) -> Event {
    Event::Check(check(port, last), Verdict::Down { reason: "connection refused".to_owned() })
}

/// A director with its rows, as the daemon has both.
struct Running {
    director: Director,
    allocation: Allocation,
    ways: BTreeMap<IpAddr, Way>,
}

impl Running {
    fn start(wanted: &[Wanted]) -> Self {
        let allocation = Allocation::default().assign(wanted).expect("small");
        Self { director: Director::new(wanted, &allocation), allocation, ways: BTreeMap::new() }
    }

    /// Nothing is known of an address that no server has.
    fn handle(&mut self, event: &Event) -> Vec<Action> {
        if let Event::Way(rip, way) = event
            && self.allocation.servers.keys().any(|(_, address)| unmapped(*address) == *rip)
        {
            self.ways.insert(*rip, way.clone());
        }
        self.director.handle(event)
    }

    fn reload(&mut self, wanted: &[Wanted]) -> Vec<Action> {
        self.allocation = self.allocation.assign_beside(wanted).expect("small");
        self.ways.retain(|rip, _| has(wanted, *rip));
        self.director.reload(wanted, &self.allocation, &self.ways)
    }
}

/// The kinds of actions and the rows they are for.
fn kinds(actions: &[Action]) -> Vec<(&'static str, u16)> {
    let kind = |action: &Action| match action {
        Action::Server { row, .. } => ("server", *row),
        Action::Pool(key, _) => ("pool", key.port),
        Action::Occupy { row, .. } => ("occupy", *row),
        Action::Limits { row, .. } => ("limits", *row),
        Action::Service { key, .. } => ("service", key.port),
        Action::Withdraw(key) => ("withdraw", key.port),
        Action::Vacate { row, .. } => ("vacate", *row),
    };
    actions.iter().map(kind).collect()
}

fn pool(actions: &[Action]) -> Option<&[(u16, u16)]> {
    actions.iter().find_map(|action| match action {
        Action::Pool(_, list) => Some(list.as_slice()),
        _ => None,
    })
}

fn two_ready() -> Running {
    let mut running = Running::start(&[service(80, &[(1, 1), (2, 2)]), service(81, &[(1, 1)])]);
    for last in 1..=2 {
        running.handle(&way(last));
    }
    running
}

#[test]
fn no_check_gives_a_drained_server_a_weight() {
    let mut running = two_ready();
    let weighs = |share| Event::Check(check(80, 2), Verdict::UpWith(share));
    assert_eq!(pool(&running.handle(&weighs(Share::To(9)))), Some(&[(1, 9), (0, 1)][..]));
    let mut drained = [service(80, &[(1, 1), (2, 0)]), service(81, &[(1, 1)])];
    drained[0].servers[1].drained = Some(2);
    assert_eq!(pool(&running.reload(&drained)), Some(&[(1, 0), (0, 1)][..]));
    assert_eq!(running.handle(&weighs(Share::To(7))), []);
    drained[0].servers[1] = server(80, 2, 2);
    assert_eq!(pool(&running.reload(&drained)), Some(&[(1, 7), (0, 1)][..]), "what its check wants by now");
}

#[test]
fn the_same_again_changes_nothing() {
    let mut running = two_ready();
    running.handle(&down(80, 1));
    let wanted = [service(81, &[(1, 1)]), service(80, &[(2, 2), (1, 1)])];
    assert_eq!(running.reload(&wanted), []);
    let server = &running.director.services[&key(80)].servers[1];
    assert_eq!((server.rip, server.is_failed()), (rip(1), true));
}

#[test]
fn a_server_that_comes_enters_at_the_head_and_one_that_goes_leaves_first() {
    let mut running = two_ready();
    let actions = running.reload(&[service(80, &[(3, 5), (2, 2)]), service(81, &[(1, 1)])]);
    assert_eq!(kinds(&actions), [("occupy", 3), ("server", 3), ("pool", 80), ("vacate", 0)]);
    assert_eq!(pool(&actions), Some([(3, 0), (1, 2)].as_slice()), "its MAC address is not known yet");
    let actions = running.handle(&way(3));
    assert_eq!(pool(&actions), Some([(3, 5), (1, 2)].as_slice()));
}

#[test]
fn a_way_that_is_known_is_known_to_every_service() {
    let mut running = two_ready();
    let actions = running.reload(&[service(80, &[(1, 1), (2, 2)]), service(81, &[(1, 1), (2, 9)])]);
    assert_eq!(kinds(&actions), [("occupy", 3), ("server", 3), ("pool", 81)]);
    assert_eq!(pool(&actions), Some([(3, 9), (2, 1)].as_slice()));
}

#[test]
fn another_weight_keeps_the_place() {
    let mut running = two_ready();
    let actions = running.reload(&[service(80, &[(1, 7), (2, 2)]), service(81, &[(1, 1)])]);
    assert_eq!(kinds(&actions), [("server", 0), ("pool", 80)]);
    assert_eq!(pool(&actions), Some([(1, 2), (0, 7)].as_slice()));
}

#[test]
fn a_failed_server_stays_failed_and_out_of_the_list() {
    let mut running = two_ready();
    running.handle(&down(80, 2));
    let actions = running.reload(&[service(80, &[(1, 1), (2, 9)]), service(81, &[(1, 1)])]);
    assert_eq!(kinds(&actions), [("server", 1)], "its weight alone, in its row");
    let Action::Server { info, .. } = &actions[0] else { panic!("{actions:?}") };
    assert_eq!((info.state, info.weight, info.quiescent), (ServerState::Down as u8, 9, 1));
    let actions = running.handle(&Event::Check(check(80, 2), Verdict::Up));
    assert_eq!(pool(&actions), Some([(1, 9), (0, 1)].as_slice()));
}

#[test]
fn a_server_without_the_check_that_failed_is_up_and_one_inhibited_is_back_in_the_list() {
    let mut running = two_ready();
    running.handle(&down(80, 2));
    let mut wanted = [service(80, &[(1, 1), (2, 2)]), service(81, &[(1, 1)])];
    wanted[0].servers[1].inhibit_on_failure = true;
    let actions = running.reload(&wanted);
    assert_eq!(
        (kinds(&actions), pool(&actions)),
        (vec![("pool", 80), ("server", 1)], Some([(1, 0), (0, 1)].as_slice()))
    );
    wanted[0].servers[1].checks.clear();
    assert_eq!(pool(&running.reload(&wanted)), Some([(1, 2), (0, 1)].as_slice()));
}

#[test]
fn a_service_is_changed_before_its_list() {
    let mut running = two_ready();
    let mut wanted = [service(80, &[(1, 1), (2, 3)]), service(81, &[(1, 1)])];
    wanted[0].method = Scheduler::Sh.into();
    wanted[0].servers[0].thresholds = [100, 0];
    let actions = running.reload(&wanted);
    assert_eq!(kinds(&actions), [("limits", 0), ("server", 1), ("service", 80), ("pool", 80)]);
}

#[test]
fn a_service_is_found_when_all_is_there_and_not_found_before_its_rows_go() {
    let mut running = two_ready();
    let actions = running.reload(&[service(80, &[(1, 1), (2, 2)]), service(82, &[(1, 1)])]);
    let expected =
        [("occupy", 3), ("server", 3), ("pool", 82), ("service", 82), ("withdraw", 81), ("vacate", 2)];
    assert_eq!(kinds(&actions), expected);
}

/// A configuration as random reloads have it: by port, servers with weight, inhibition and whether they are limited.
type Shape = BTreeMap<u16, BTreeMap<u8, (u16, bool, bool)>>;

fn shapes() -> impl Strategy<Value = Shape> {
    let server = (0..3u16, any::<bool>(), any::<bool>());
    let servers = prop::collection::btree_map(1..6u8, server, 1..5);
    prop::collection::btree_map(80..83u16, servers, 1..4)
}

fn wanted(shape: &Shape, turn: usize) -> Vec<Wanted> {
    let of = |(&port, servers): (&u16, &BTreeMap<u8, (u16, bool, bool)>)| {
        let mut service = service(port, &[]);
        for (&last, &(weight, inhibit_on_failure, is_limited)) in servers {
            let thresholds = [if is_limited { 10 } else { 0 }, 0];
            service.servers.push(WantedServer {
                thresholds,
                inhibit_on_failure,
                ..server(port, last, weight)
            });
        }
        let turn = turn % service.servers.len();
        service.servers.rotate_left(turn);
        service
    };
    shape.iter().map(of).collect()
}

#[test]
fn who_was_up_and_is_taken_away_is_told_of() {
    let mut running = two_ready();
    running.director.take_news();
    running.handle(&down(80, 2));
    running.director.take_news();
    let gone = |port, last| News::Removed { service: key(port), server: rip(last) };
    running.reload(&[service(80, &[(1, 1)]), service(81, &[(1, 1)])]);
    assert_eq!(running.director.take_news(), [], "of the second it was told when it failed");
    running.reload(&[service(80, &[(1, 1)])]);
    assert_eq!(running.director.take_news(), [gone(81, 1)]);
    running.reload(&[service(80, &[(1, 1), (3, 1)])]);
    assert_eq!(running.director.take_news(), [News::Added { service: key(80), server: rip(3) }]);
}

#[derive(Clone, Debug)]
enum Happening {
    Event(Event),
    Reload(Shape, usize),
}

fn happenings() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (1..6u8).prop_map(|last| Happening::Event(way(last))),
        (1..6u8).prop_map(|last| Happening::Event(Event::Way(rip(last), Way::None("silent".to_owned())))),
        (80..83u16, 1..6u8).prop_map(|(port, last)| Happening::Event(down(port, last))),
        (80..83u16, 1..6u8)
            .prop_map(|(port, last)| Happening::Event(Event::Check(check(port, last), Verdict::Up))),
        (shapes(), 0..5usize).prop_map(|(shape, turn)| Happening::Reload(shape, turn)),
    ]
}

/// What the maps hold, as the actions leave them.
#[derive(Default, Debug, PartialEq)]
struct Maps {
    servers: BTreeMap<u16, Action>,
    limits: BTreeMap<u16, [u32; 2]>,
    pools: BTreeMap<ServiceKey, Vec<(u16, u16)>>,
    /// The services that packets find.
    found: BTreeSet<ServiceKey>,
}

impl Maps {
    fn apply(&mut self, action: &Action) {
        match action {
            Action::Server { row, .. } => drop(self.servers.insert(*row, action.clone())),
            Action::Pool(key, list) => drop(self.pools.insert(*key, list.clone())),
            Action::Occupy { row, thresholds } => {
                assert!(!self.servers.contains_key(row), "row {row} has somebody");
                self.limits.insert(*row, *thresholds);
            }
            Action::Limits { row, thresholds } => drop(self.limits.insert(*row, *thresholds)),
            Action::Service { key, .. } => {
                assert!(self.pools.contains_key(key), "{key} has no list");
                self.found.insert(*key);
            }
            Action::Withdraw(key) => {
                assert!(self.found.remove(key), "{key} is not there");
                self.pools.remove(key);
            }
            Action::Vacate { row, .. } => {
                let is_listed = |list: &Vec<(u16, u16)>| list.iter().any(|(listed, _)| listed == row);
                assert!(!self.pools.values().any(is_listed), "row {row} is in a list");
                assert!(self.servers.remove(row).is_some(), "row {row} has nobody");
                self.limits.remove(row);
            }
        }
    }

    /// Every list names rows that are there.
    fn check(&self) {
        for (row, _) in self.pools.values().flatten() {
            assert!(self.servers.contains_key(row), "row {row}");
        }
    }

    /// What the actions do not say of maps that were filled at a start.
    fn started(self, running: &Running) -> Self {
        Self { limits: limits(running), found: running.director.services.keys().copied().collect(), ..self }
    }
}

proptest! {
    /// The maps say at any time what the director would write into empty ones, and the director knows what one that was
    /// started with the last configuration, and saw everything that concerns it, knows.
    #[test]
    fn a_reload_leads_where_a_start_does(first in shapes(), happenings in prop::collection::vec(happenings(), 0..30)) {
        let mut now = wanted(&first, 0);
        let mut running = Running::start(&now);
        let mut maps = Maps::default();
        running.director.everything().iter().for_each(|action| maps.apply(action));
        maps = maps.started(&running);
        let mut failures: BTreeMap<u32, Event> = BTreeMap::new();
        for happening in happenings {
            match happening {
                Happening::Event(event) => {
                    match &event {
                        // What was said of a server that is nobody's is forgotten with it.
                        Event::Check(check, _) if checks(&now).contains(check) => drop(failures.insert(*check, event.clone())),
                        Event::Way(..) | Event::Check(..) => {}
                    }
                    running.handle(&event).iter().for_each(|action| maps.apply(action));
                }
                Happening::Reload(shape, turn) => {
                    now = wanted(&shape, turn);
                    let before = running.director.clone();
                    let actions = running.reload(&now);
                    for action in &actions {
                        maps.apply(action);
                    }
                    untouched(&before, &running.director, &actions);
                    failures.retain(|check, _| checks(&now).contains(check));
                    prop_assert_eq!(running.reload(&now), []);
                }
            }
            maps.check();
            let mut expected = Maps::default();
            running.director.everything().iter().for_each(|action| expected.apply(action));
            prop_assert_eq!(&maps, &expected.started(&running));
        }
        let mut fresh = Director::new(&now, &running.allocation);
        for (rip, way) in &running.ways {
            fresh.handle(&Event::Way(*rip, way.clone()));
        }
        for event in failures.values() {
            fresh.handle(event);
        }
        prop_assert_eq!(known(&running.director), known(&fresh));
    }
}

fn has(wanted: &[Wanted], rip: IpAddr) -> bool {
    wanted.iter().flat_map(|service| &service.servers).any(|server| server.rip == rip)
}

fn checks(wanted: &[Wanted]) -> BTreeSet<u32> {
    wanted.iter().flat_map(|service| &service.servers).flat_map(|server| server.checks.clone()).collect()
}

fn limits(running: &Running) -> BTreeMap<u16, [u32; 2]> {
    let services = running.director.services.values();
    let servers = services.flat_map(|service| service.servers.iter().zip(&service.wanted.servers));
    servers.map(|(server, wanted)| (server.row.row, wanted.thresholds)).collect()
}

/// What is known of every server, and who is in the lists, in no order.
fn known(director: &Director) -> Vec<(ServiceKey, Vec<Action>, BTreeSet<u16>)> {
    let of = |(key, service): (&ServiceKey, &VirtualService)| {
        let servers = service.servers.iter().map(|server| server_action(service.id, server)).collect();
        let listed = service.list.iter().map(|&place| service.servers[place].row.row).collect();
        (*key, servers, listed)
    };
    director.services.iter().map(of).collect()
}

/// What did not change has no action, and the servers that stay are in one order.
fn untouched(before: &Director, after: &Director, actions: &[Action]) {
    for (key, old) in &before.services {
        let Some(new) = after.services.get(key) else { continue };
        for server in &old.servers {
            let Some(now) = new.servers.iter().find(|now| now.rip == server.rip) else { continue };
            assert_eq!(now.row, server.row);
            if server_action(old.id, server) == server_action(new.id, now) {
                let writes =
                    |action: &Action| matches!(action, Action::Server { row, .. } if *row == now.row.row);
                assert!(!actions.iter().any(writes), "{key} {}", now.rip);
            }
        }
        if old.wanted == new.wanted {
            let touches = |action: &Action| matches!(action, Action::Pool(of, _) if of == key);
            assert!(!actions.iter().any(touches), "{key}");
        }
        let rows =
            |of: &VirtualService| of.list.iter().map(|&place| of.servers[place].row.row).collect::<Vec<_>>();
        let [mut was, mut is] = [rows(old), rows(new)];
        is.retain(|row| was.contains(row));
        was.retain(|row| is.contains(row));
        assert_eq!(was, is, "{key}");
    }
}
