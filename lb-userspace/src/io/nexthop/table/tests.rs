//! Every fact that decides a resolution, when the kernel is asked, and random events with invariants.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::io::netlink::RouteChange;
use crate::io::nexthop::Wanted;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
const RESOLVED: Resolution = Resolution::Resolved { mac: MAC, ifindex: 3 };

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn server() -> IpAddr {
    ip("10.0.0.9")
}

fn link(carrier: Carrier) -> Link {
    Link { name: "eth0".into(), index: 3, mac: Some([2, 0, 0, 0, 0, 1]), mtu: 1500, carrier, kind: None }
}

fn entry(address: IpAddr, state: NeighbourState) -> Neighbour {
    Neighbour { ifindex: 3, address, state, link_address: MAC.to_vec() }
}

fn onlink(address: IpAddr) -> Route {
    Route::Via { ifindex: 3, neighbour: address }
}

/// Addresses of interest that come once.
fn interest(addresses: impl IntoIterator<Item = IpAddr>) -> BTreeMap<IpAddr, u64> {
    addresses.into_iter().map(|address| (address, 0)).collect()
}

/// A table that has looked up `address`, with eth0 up and these neighbours.
fn table(address: IpAddr, route: Route, neighbours: Vec<Neighbour>) -> Table {
    let mut table = Table::default();
    table.set(&interest([address]));
    table.replace(Snapshot { links: vec![link(Carrier::Up)], neighbours });
    assert_eq!(outputs(&mut table), [Output::LookUp(address)]);
    table.routed(address, route);
    table
}

fn outputs(table: &mut Table) -> Vec<Output> {
    std::iter::from_fn(|| table.poll_output()).collect()
}

fn news(table: &mut Table) -> Vec<Resolution> {
    std::iter::from_fn(|| table.take_change()).map(|(_, resolution)| resolution).collect()
}

fn reason(text: &str) -> Resolution {
    Resolution::Unresolved { reason: text.into() }
}

fn solicited(table: &mut Table, now: Instant) -> bool {
    table.handle_timeout(now);
    outputs(table).iter().any(|output| matches!(output, Output::Solicit { .. }))
}

#[test]
fn facts_to_resolution() {
    use NeighbourState::{Silent, Stale, Unknown, Usable};
    let gateway = ip("10.0.0.1");
    let six = ip("2001:db8::9");
    let short = Neighbour { link_address: vec![10, 0, 0, 9], ..entry(server(), Usable) };
    let rows = [
        (server(), Route::Local, vec![], Resolution::Local),
        (
            server(),
            Route::None("the routing table has none"),
            vec![],
            reason("no route to 10.0.0.9: the routing table has none"),
        ),
        (server(), onlink(server()), vec![entry(server(), Usable)], RESOLVED),
        (server(), onlink(server()), vec![entry(server(), Stale)], RESOLVED),
        (
            server(),
            onlink(server()),
            vec![entry(server(), Silent)],
            reason("10.0.0.9 does not answer ARP on eth0"),
        ),
        (
            server(),
            onlink(server()),
            vec![entry(server(), Unknown)],
            reason("the MAC address of 10.0.0.9 on eth0 is being asked for"),
        ),
        (
            server(),
            onlink(server()),
            vec![],
            reason("the MAC address of 10.0.0.9 on eth0 is being asked for"),
        ),
        (
            server(),
            onlink(server()),
            vec![short],
            reason("the neighbour entry of 10.0.0.9 on eth0 has no Ethernet address"),
        ),
        (server(), onlink(gateway), vec![entry(gateway, Usable)], RESOLVED),
        (
            server(),
            onlink(gateway),
            vec![entry(gateway, Silent)],
            reason("10.0.0.1, the gateway to 10.0.0.9, does not answer ARP on eth0"),
        ),
        (
            server(),
            Route::Via { ifindex: 4, neighbour: server() },
            vec![],
            reason("the interface to 10.0.0.9 is gone"),
        ),
        (
            six,
            onlink(six),
            vec![entry(six, Silent)],
            reason("2001:db8::9 does not answer neighbour discovery on eth0"),
        ),
        (six, onlink(six), vec![entry(six, Usable)], RESOLVED),
    ];
    for (address, route, neighbours, expected) in rows {
        let mut table = table(address, route, neighbours);
        assert_eq!(news(&mut table), [expected]);
    }
}

#[test]
fn the_link_decides_before_the_neighbour() {
    let rows = [
        (link(Carrier::NoCarrier), "eth0, the interface to 10.0.0.9, has no carrier"),
        (link(Carrier::AdminDown), "eth0, the interface to 10.0.0.9, is down"),
        (
            Link { mac: None, ..link(Carrier::Up) },
            "eth0, the interface to 10.0.0.9, is not an Ethernet interface",
        ),
    ];
    for (link, expected) in rows {
        let now = Instant::now();
        let usable = entry(server(), NeighbourState::Usable);
        let mut table = table(server(), onlink(server()), vec![usable]);
        assert_eq!(news(&mut table), [RESOLVED]);
        table.handle(now, Event::Link(link));
        assert_eq!(news(&mut table), [reason(expected)]);
        table.handle(now, Event::NeighbourGone { ifindex: 3, address: server() });
        assert!(!solicited(&mut table, now), "nobody is asked through a link that carries nothing");
        table.handle(now, Event::LinkGone { index: 3 });
        assert_eq!(news(&mut table), [reason("the interface to 10.0.0.9 is gone")]);
    }
}

#[test]
fn nothing_is_said_before_the_first_lookup_nor_twice() {
    let now = Instant::now();
    let mut table = Table::default();
    table.set(&interest([server()]));
    table.replace(Snapshot { links: vec![link(Carrier::Up)], neighbours: vec![] });
    assert!(!table.has_change());
    table.routed(server(), onlink(server()));
    assert_eq!(news(&mut table).len(), 1);
    table.handle(now, Event::Neighbour(entry(server(), NeighbourState::Unknown)));
    table.routed(server(), onlink(server()));
    assert!(!table.has_change(), "the same again is no news");
    // There and back between two looks is no news either.
    table.handle(now, Event::Neighbour(entry(server(), NeighbourState::Usable)));
    table.handle(now, Event::NeighbourGone { ifindex: 3, address: server() });
    assert!(!table.has_change());
}

#[test]
fn a_new_mac_is_news() {
    let mut table = table(server(), onlink(server()), vec![entry(server(), NeighbourState::Usable)]);
    assert_eq!(news(&mut table), [RESOLVED]);
    let other = [2, 0, 0, 0, 0, 0xa];
    let entry = Neighbour { link_address: other.to_vec(), ..entry(server(), NeighbourState::Stale) };
    table.handle(Instant::now(), Event::Neighbour(entry));
    assert_eq!(news(&mut table), [Resolution::Resolved { mac: other, ifindex: 3 }]);
}

#[test]
fn an_unresolved_neighbour_is_asked_for_every_second() {
    let start = Instant::now();
    let mut table = table(server(), onlink(server()), vec![]);
    assert!(solicited(&mut table, start), "at once");
    assert_eq!(table.next_deadline(), Some(start + ASK_AGAIN));
    assert!(!solicited(&mut table, start + ASK_AGAIN / 2));
    table.handle(start, Event::Neighbour(entry(server(), NeighbourState::Silent)));
    assert!(!solicited(&mut table, start + ASK_AGAIN / 2), "never known is not lost");
    assert!(solicited(&mut table, start + ASK_AGAIN));
}

#[test]
fn silence_is_said_once_until_there_is_an_answer() {
    let now = Instant::now();
    let mut table = table(server(), onlink(server()), vec![]);
    assert_eq!(news(&mut table), [reason("the MAC address of 10.0.0.9 on eth0 is being asked for")]);
    table.handle(now, Event::Neighbour(entry(server(), NeighbourState::Silent)));
    assert_eq!(news(&mut table), [reason("10.0.0.9 does not answer ARP on eth0")]);
    // The kernel forgets, and it is asked again.
    table.handle(now, Event::NeighbourGone { ifindex: 3, address: server() });
    table.handle(now, Event::Neighbour(entry(server(), NeighbourState::Unknown)));
    assert!(!table.has_change());
    table.handle(now, Event::Neighbour(entry(server(), NeighbourState::Usable)));
    assert_eq!(news(&mut table), [RESOLVED]);
}

#[test]
fn a_stale_neighbour_is_confirmed_every_ten_seconds_and_a_lost_one_at_once() {
    let start = Instant::now();
    let mut table = table(server(), onlink(server()), vec![entry(server(), NeighbourState::Stale)]);
    assert!(solicited(&mut table, start));
    assert!(!solicited(&mut table, start + CONFIRM_AGAIN / 2));
    assert!(solicited(&mut table, start + CONFIRM_AGAIN));
    let later = start + CONFIRM_AGAIN;
    table.handle(later, Event::Neighbour(entry(server(), NeighbourState::Usable)));
    assert_eq!(table.next_deadline(), None, "a usable one is left alone");
    table.handle(later, Event::NeighbourGone { ifindex: 3, address: server() });
    assert!(solicited(&mut table, later));
}

#[test]
fn one_gateway_of_many_is_asked_once() {
    let gateway = ip("10.0.0.1");
    let servers = [ip("10.1.0.1"), ip("10.1.0.2")];
    let mut table = Table::default();
    table.set(&interest(servers));
    table.replace(Snapshot { links: vec![link(Carrier::Up)], neighbours: vec![] });
    outputs(&mut table);
    for server in &servers {
        table.routed(*server, onlink(gateway));
    }
    table.handle_timeout(Instant::now());
    assert_eq!(outputs(&mut table), [Output::Solicit { ifindex: 3, neighbour: gateway }]);
    news(&mut table);
    table.handle(Instant::now(), Event::Neighbour(entry(gateway, NeighbourState::Usable)));
    assert_eq!(news(&mut table), [RESOLVED, RESOLVED]);
}

#[test]
fn many_route_changes_are_one_lookup() {
    let start = Instant::now();
    let mut table = table(server(), Route::Local, vec![]);
    for step in 0..50 {
        table.handle(start + SETTLE * step / 100, Event::Routes(RouteChange::Other));
    }
    assert_eq!(table.next_deadline(), Some(start + SETTLE));
    table.handle_timeout(start + SETTLE);
    assert_eq!(outputs(&mut table), [Output::LookUp(server())]);
    assert_eq!(table.next_deadline(), None);
}

#[test]
fn addresses_come_and_go() {
    let other = ip("10.0.0.8");
    let mut table = table(server(), Route::Local, vec![]);
    table.set(&interest([other]));
    assert!(!table.has_change(), "nothing about an address that is gone");
    assert_eq!(outputs(&mut table), [Output::LookUp(other)]);
    table.routed(server(), Route::Local);
    table.routed(other, Route::Local);
    assert_eq!(table.take_change(), Some((other, Resolution::Local)));
    table.set(&interest([other, server()]));
    assert_eq!(outputs(&mut table), [Output::LookUp(server())]);
    table.routed(server(), Route::Local);
    assert_eq!(table.take_change(), Some((server(), Resolution::Local)));
}

#[test]
fn one_that_went_and_comes_again_unseen_is_reported_again() {
    let (it, nobody) = (BTreeSet::from([server()]), BTreeSet::new());
    let (mut wanted, mut table) = (Wanted::default(), Table::default());
    let mut said = |wanted: &Wanted| {
        table.set(&wanted.addresses);
        for output in outputs(&mut table) {
            assert_eq!(output, Output::LookUp(server()));
            table.routed(server(), Route::Local);
        }
        table.take_change()
    };
    wanted.change(&it, &nobody);
    assert_eq!(said(&wanted), Some((server(), Resolution::Local)));
    wanted.change(&it, &nobody);
    assert_eq!(said(&wanted), None, "it is there");
    wanted.change(&nobody, &it);
    wanted.change(&it, &nobody);
    assert_eq!(said(&wanted), Some((server(), Resolution::Local)));
}

fn addresses() -> [IpAddr; 3] {
    [ip("10.0.0.9"), ip("10.0.0.8"), ip("10.0.0.1")]
}

fn event() -> impl Strategy<Value = Event> {
    let address = prop::sample::select(addresses().to_vec());
    let state = prop::sample::select(vec![
        NeighbourState::Usable,
        NeighbourState::Stale,
        NeighbourState::Unknown,
        NeighbourState::Silent,
    ]);
    let carrier = prop::sample::select(vec![Carrier::Up, Carrier::NoCarrier, Carrier::AdminDown]);
    prop_oneof![
        (address.clone(), state).prop_map(|(address, state)| Event::Neighbour(entry(address, state))),
        address.prop_map(|address| Event::NeighbourGone { ifindex: 3, address }),
        carrier.prop_map(|carrier| Event::Link(link(carrier))),
        Just(Event::LinkGone { index: 3 }),
        Just(Event::Routes(RouteChange::Other)),
    ]
}

proptest! {
    #[test]
    fn random_events(
        steps in prop::collection::vec((event(), 0u64..3000, prop::sample::subsequence(addresses().to_vec(), 0..=3)), 1..100)
    ) {
        let mut now = Instant::now();
        let mut table = Table::default();
        let mut said: BTreeMap<IpAddr, Resolution> = BTreeMap::new();
        for (event, millis, wanted) in steps {
            now += Duration::from_millis(millis);
            let wanted = BTreeSet::from_iter(wanted);
            said.retain(|address, _| wanted.contains(address));
            table.set(&interest(wanted.iter().copied()));
            table.handle(now, event);
            table.handle_timeout(now);
            while let Some(output) = table.poll_output() {
                match output {
                    Output::LookUp(address) => {
                        prop_assert!(wanted.contains(&address));
                        let neighbour = if address == addresses()[1] { addresses()[2] } else { address };
                        table.routed(address, onlink(neighbour));
                    }
                    Output::Solicit { ifindex, .. } => {
                        let carrier = table.links.get(&ifindex).map(|link| link.carrier);
                        prop_assert_eq!(carrier, Some(Carrier::Up));
                    }
                }
            }
            table.handle_timeout(now);
            while let Some(output) = table.poll_output() {
                prop_assert!(matches!(output, Output::Solicit { .. }), "lookups do not cause lookups");
            }
            prop_assert!(table.next_deadline().is_none_or(|at| at > now), "no busy loop");
            while let Some((address, resolution)) = table.take_change() {
                prop_assert!(wanted.contains(&address));
                prop_assert_ne!(said.insert(address, resolution.clone()), Some(resolution), "only changes");
            }
            for address in &wanted {
                let truth = table.resolve(*address, table.targets[address].route.as_ref().unwrap());
                prop_assert_eq!(said.get(address), Some(&truth), "what was said is what is");
            }
        }
    }
}
