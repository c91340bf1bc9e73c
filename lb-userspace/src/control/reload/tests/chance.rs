//! Random reloads and events, beside a director that starts anew.

use super::*;

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
            prop_assert_eq!(&running.director.index, &Director::new(&now, &running.allocation).index);
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

fn checks(wanted: &[Wanted]) -> BTreeSet<u32> {
    wanted
        .iter()
        .flat_map(|service| service.servers.iter())
        .flat_map(|server| server.checks.clone())
        .collect()
}

fn limits(running: &Running) -> BTreeMap<u16, [u32; 2]> {
    let services = running.director.services.values();
    let servers = services.flat_map(|service| service.servers.iter().zip(service.wanted.servers.iter()));
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
