//! Reloads made by hand; `chance` has random ones beside a director that starts anew.

mod chance;

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
    plan::{ServiceKey, WantedServer},
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

fn has(wanted: &[Wanted], rip: IpAddr) -> bool {
    wanted.iter().flat_map(|service| service.servers.iter()).any(|server| server.rip == rip)
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
            && self.director.names(*rip)
        {
            self.ways.insert(*rip, way.clone());
        }
        self.director.handle(event)
    }

    fn reload(&mut self, wanted: &[Wanted]) -> Vec<Action> {
        let difference = Difference::between(&self.director.services, wanted.to_vec());
        self.allocation = self.allocation.assign_beside(&difference).expect("small");
        self.ways.retain(|rip, _| has(wanted, *rip));
        let next = self.director.reload(&difference, &self.allocation, &self.ways);
        self.director.adopt(&difference, next)
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
    drained[0].servers_mut()[1].drained = Some(2);
    assert_eq!(pool(&running.reload(&drained)), Some(&[(1, 0), (0, 1)][..]));
    assert_eq!(running.handle(&weighs(Share::To(7))), []);
    drained[0].servers_mut()[1] = server(80, 2, 2);
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
    wanted[0].servers_mut()[1].inhibit_on_failure = true;
    let actions = running.reload(&wanted);
    assert_eq!(
        (kinds(&actions), pool(&actions)),
        (vec![("pool", 80), ("server", 1)], Some([(1, 0), (0, 1)].as_slice()))
    );
    wanted[0].servers_mut()[1].checks.clear();
    assert_eq!(pool(&running.reload(&wanted)), Some([(1, 2), (0, 1)].as_slice()));
}

#[test]
fn a_service_is_changed_before_its_list() {
    let mut running = two_ready();
    let mut wanted = [service(80, &[(1, 1), (2, 3)]), service(81, &[(1, 1)])];
    wanted[0].method = Scheduler::Sh.into();
    wanted[0].servers_mut()[0].thresholds = [100, 0];
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
            service.servers_mut().push(WantedServer {
                thresholds,
                inhibit_on_failure,
                ..server(port, last, weight)
            });
        }
        let turn = turn % service.servers.len();
        service.servers_mut().rotate_left(turn);
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
