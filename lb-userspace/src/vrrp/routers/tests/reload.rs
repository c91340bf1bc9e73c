//! A configuration in place of another while the routers run.

use super::*;
use crate::config::model::vrrp::{Command, VrrpScript};
use crate::vrrp::wire::Refusal;

mod groups;
mod random;

const THIRD: RouterId = RouterId(2);

fn advert_of(router: RouterId, priority: u8) -> Output {
    Output::Advert { router, priority, checksum: Checksum::WithPseudoHeader }
}

fn adverts(outputs: &[Output]) -> Vec<(usize, u8)> {
    let advert = |output: &Output| match output {
        Output::Advert { router, priority, .. } => Some((router.0, *priority)),
        _ => None,
    };
    outputs.iter().filter_map(advert).collect()
}

/// Two routers that have nothing to do with each other.
fn strangers() -> Vrrp {
    Vrrp { instances: vec![instance(1), instance(2)], ..Vrrp::default() }
}

fn script(name: &str, init_fail: bool) -> VrrpScript {
    VrrpScript {
        name: name.to_owned(),
        weight: 0,
        reverse: false,
        command: Command { words: vec!["/bin/true".to_owned()], user: None },
        interval: SECOND,
        timeout: SECOND,
        rise: 1,
        fall: 1,
        init_fail,
        span: Span::default(),
    }
}

#[test]
fn a_priority_is_changed_in_place() {
    let mut node = Node::master(single());
    let before = node.routers.report();
    let outputs = node.change(|config| config.instances[0].priority = 50);
    assert_eq!(outputs, [Output::Priority { router: FIRST, priority: 50 }]);
    let expected = RouterReport { priority: 50, ..before[0].clone() };
    assert_eq!(node.routers.report(), [expected]);
    assert_eq!(adverts(&node.run(SECOND)), [(0, 50)]);

    let mut node = Node::up(single());
    node.hear(FIRST, 100);
    node.run(SECOND / 2);
    let outputs = node.change(|config| config.instances[0].priority = 150);
    assert_eq!(outputs, [Output::Priority { router: FIRST, priority: 150 }]);
    node.hear(FIRST, 100);
    assert_eq!(changes(&node.run(3 * SECOND)), ["0 MASTER"], "it preempts now");
}

#[test]
fn one_that_becomes_the_owner_or_is_it_no_more_goes_on() {
    let mut node = Node::master(single());
    let outputs = node.change(|config| config.instances[0].priority = 255);
    assert_eq!(outputs, [Output::Priority { router: FIRST, priority: 255 }]);
    let outputs = node.change(|config| config.instances[0].priority = 90);
    assert_eq!(outputs, [Output::Priority { router: FIRST, priority: 90 }]);
    assert_eq!(adverts(&node.run(SECOND)), [(0, 90)]);
}

#[test]
fn a_master_holds_and_announces_what_is_new_and_goes_on() {
    let mut node = Node::master(single());
    node.run(SECOND / 2);
    let outputs = node.change(|config| {
        config.instances[0].virtual_addresses.push(owned("203.0.113.200"));
        config.instances[0].excluded_addresses.push(owned("203.0.113.201"));
    });
    let announce = |address| Output::Announce { router: FIRST, address: ip(address) };
    let hold = Output::Hold { router: FIRST, hold: true };
    assert_eq!(outputs, [hold.clone(), announce("203.0.113.200"), announce("203.0.113.201")]);
    assert_eq!(adverts(&node.run(SECOND)), [(0, 100)], "the next one is due when it was");

    let outputs = node.change(|config| drop(config.instances[0].virtual_addresses.remove(0)));
    assert_eq!(outputs, std::slice::from_ref(&hold));
    let outputs = node.change(|config| {
        let address = config.instances[0].virtual_addresses.pop().unwrap();
        config.instances[0].virtual_addresses.push(VirtualAddress { prefix: Some(24), ..address });
    });
    assert_eq!(outputs, [hold], "the same address with another prefix is not told to anybody");
}

#[test]
fn new_addresses_are_announced_again_after_the_delay() {
    let mut config = single();
    config.instances[0].announcing.delay = 5 * SECOND;
    let mut node = Node::master(config);
    node.run(10 * SECOND);
    node.change(|config| config.instances[0].virtual_addresses.push(owned("203.0.113.200")));
    let announced = |outputs: &[Output]| {
        outputs.iter().filter(|output| matches!(output, Output::Announce { .. })).count()
    };
    assert_eq!(announced(&node.run(4999 * MS)), 0);
    assert_eq!(announced(&node.run(MS)), 2);
    assert_eq!(announced(&node.run(60 * SECOND)), 0);
}

#[test]
fn announcements_that_wait_are_not_made_of_what_is_gone() {
    let mut config = single();
    config.instances[0].announcing.repeat = 5;
    config.instances[0].announcing.garp_interval = SECOND;
    config.instances[0].virtual_addresses.push(owned("203.0.113.200"));
    let mut node = Node::up(config);
    while node.state(FIRST) != State::Master {
        node.run(100 * MS);
    }
    node.change(|config| drop(config.instances[0].virtual_addresses.remove(0)));
    let outputs = node.run(20 * SECOND);
    let announced: Vec<_> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Announce { address, .. } => Some(*address),
            _ => None,
        })
        .collect();
    assert_eq!(announced, [ip("203.0.113.200"); 5][..announced.len()]);
    assert!(announced.len() >= 4, "{announced:?}");
}

#[test]
fn a_backup_gives_back_what_is_new_and_hears_the_old_and_the_new_adverts() {
    let mut node = Node::up(single());
    let old = advert(&node.config.instances[0], 200);
    let outputs = node.change(|config| config.instances[0].virtual_addresses.push(owned("203.0.113.200")));
    assert_eq!(outputs, [Output::Hold { router: FIRST, hold: false }]);
    let hear = |node: &mut Node, advert: &Advert| {
        node.tell(Input::Heard { router: FIRST, source: ip(PEER), advert: advert.clone() })
    };
    for _ in 0..10 {
        assert_eq!(hear(&mut node, &old), []);
        assert_eq!(node.run(SECOND), [], "the master has not been reloaded");
    }
    let new = advert(&node.config.instances[0], 200);
    assert_eq!(hear(&mut node, &new), []);
    let refused = Output::Refused { router: FIRST, source: ip(PEER), reason: Refusal::AddressCount };
    assert_eq!(hear(&mut node, &old), [refused], "now it has");
}

#[test]
fn a_backup_that_is_reloaded_more_than_once_before_its_master_hears_it_all_the_time() {
    let mut node = Node::up(single());
    let hear = |node: &mut Node, advert: &Advert| {
        node.tell(Input::Heard { router: FIRST, source: ip(PEER), advert: advert.clone() })
    };
    let first = advert(&node.config.instances[0], 200);
    node.change(|config| config.instances[0].virtual_addresses.push(owned("203.0.113.200")));
    let second = advert(&node.config.instances[0], 200);
    node.change(|config| config.instances[0].virtual_addresses.push(owned("203.0.113.201")));
    for said in [&first, &second, &first] {
        assert_eq!(hear(&mut node, said), []);
        assert_eq!(node.run(3 * SECOND), [], "the master has not been reloaded, or once");
    }
    let third = advert(&node.config.instances[0], 200);
    assert_eq!(hear(&mut node, &third), []);
    let refused = Output::Refused { router: FIRST, source: ip(PEER), reason: Refusal::AddressCount };
    for old in [first, second] {
        assert_eq!(hear(&mut node, &old), std::slice::from_ref(&refused), "now it has");
    }
}

#[test]
fn an_interval_counts_for_a_master_at_once_if_it_is_shorter() {
    let mut node = Node::master(single());
    node.run(SECOND / 10);
    node.change(|config| config.instances[0].advert_interval = SECOND / 10);
    assert_eq!(adverts(&node.run(SECOND)).len(), 10);
    node.change(|config| config.instances[0].advert_interval = 10 * SECOND);
    assert_eq!(adverts(&node.run(SECOND / 10)).len(), 1, "who waits for the next one hears of it in time");
    assert_eq!(adverts(&node.run(9 * SECOND)).len(), 0);
    assert_eq!(node.routers.report()[0].lease, Some(node.now + 21 * SECOND));
}

#[test]
fn one_before_another_gets_a_number_of_its_own() {
    let mut node = Node::master(single());
    let before = node.routers.report();
    let outputs = node.change(|config| config.instances.insert(0, instance(2)));
    assert_eq!(outputs, []);
    assert_eq!(node.routers.report()[0], before[0]);
    assert_eq!(node.interface("eth2", true), []);
    let outputs = node.tell(Input::Source { router: OTHER, address: Some(ip(OWN)) });
    assert_eq!(changes(&outputs), ["1 BACKUP"], "as at the start of the daemon");
    let outputs = node.run(5 * SECOND);
    assert_eq!(changes(&outputs), ["1 MASTER"]);
    assert_eq!(node.states(), [State::Master; 2]);
}

#[test]
fn a_new_one_whose_interface_is_down_is_in_fault_after_a_second() {
    let mut node = Node::master(single());
    node.run(10 * SECOND);
    node.change(|config| config.instances.push(instance(2)));
    assert_eq!(changes(&node.run(999 * MS)), [""; 0]);
    assert_eq!(changes(&node.run(MS)), ["1 FAULT"]);
}

#[test]
fn one_that_is_removed_gives_its_mastership_away_and_the_other_notices_nothing() {
    let mut node = Node::master(strangers());
    node.run(SECOND / 2);
    let outputs = node.change(|config| drop(config.instances.remove(0)));
    assert_eq!(outputs[0], advert_of(FIRST, 0));
    let is_of_the_first = |output: &Output| matches!(output, Output::Lease { router: FIRST, until: Some(_) });
    assert!(outputs.len() == 2 && is_of_the_first(&outputs[1]), "{outputs:?}");
    let outputs = node.run(2 * SECOND);
    let of_the_first: Vec<_> = outputs
        .iter()
        .filter(|output| {
            !matches!(output, Output::Advert { router: OTHER, .. } | Output::Lease { router: OTHER, .. })
        })
        .collect();
    let expected = [
        Output::Lease { router: FIRST, until: None },
        Output::Hold { router: FIRST, hold: false },
        Output::Changed {
            router: FIRST,
            from: State::Master,
            to: State::Initialize,
            priority: 100,
            reason: "stopped".to_owned(),
        },
        Output::Ended(FIRST),
    ];
    assert_eq!(of_the_first, expected.iter().collect::<Vec<_>>());
    assert_eq!((node.states(), adverts(&outputs)), (vec![State::Master], vec![(1, 100), (1, 100)]));
}

#[test]
fn one_that_is_removed_as_backup_or_before_it_began_ends_at_once() {
    let mut node = Node::up(strangers());
    let outputs = node.change(|config| drop(config.instances.remove(0)));
    assert_eq!(changes(&outputs), ["0 STOP"]);
    assert_eq!(outputs.last(), Some(&Output::Ended(FIRST)));
    let mut node = Node::new(strangers());
    assert_eq!(node.change(|config| config.instances.clear()), [FIRST, OTHER].map(Output::Ended));
    assert_eq!(node.tell(Input::Stop), [Output::Stopped]);
}

#[test]
fn one_with_another_vrid_is_another_which_begins_when_the_first_has_ended() {
    let mut node = Node::master(single());
    let outputs = node.change(|config| config.instances[0].virtual_router_id = 9);
    assert_eq!((adverts(&outputs), changes(&outputs)), (vec![(0, 0)], vec![]));
    assert!(node.routers.ends(FIRST));
    assert_eq!(node.reload(node.config.clone()), [], "it does not end any sooner");
    let outputs = node.run(SECOND);
    assert_eq!(changes(&outputs), ["0 STOP", "0 BACKUP"]);
    assert!(outputs.contains(&Output::Ended(FIRST)) && !node.routers.ends(FIRST));
    assert!(!node.routers.report()[0].transitions.contains_key(&State::Master));
    assert_eq!(changes(&node.run(4 * SECOND)), ["0 MASTER"]);
}

#[test]
fn one_with_another_name_waits_for_the_end_of_what_others_take_for_the_same() {
    let mut node = Node::master(single());
    node.change(|config| config.instances[0].name = "VI_new".to_owned());
    node.tell(Input::Source { router: OTHER, address: Some(ip(OWN)) });
    assert!(node.routers.next_deadline() > Some(node.now), "it waits without being asked again and again");
    assert_eq!(changes(&node.run(SECOND / 2)), [""; 0]);
    assert_eq!(changes(&node.run(SECOND)), ["0 STOP", "1 BACKUP"]);
}

#[test]
fn one_whose_number_is_given_away_ends_at_once() {
    let mut node = Node::master(single());
    node.change(|config| config.instances[0] = instance(2));
    assert!(node.routers.report()[0].lease.is_some());
    let outputs = node.change(|config| config.instances[0] = instance(3));
    assert_eq!(node.numbers.of("VI_3"), Some(FIRST));
    assert_eq!(outputs[0], Output::Lease { router: FIRST, until: None });
    assert_eq!(changes(&outputs), ["0 STOP"]);
    assert!(outputs.contains(&Output::Ended(FIRST)), "{outputs:?}");
}

#[test]
fn what_stops_ends_with_the_rest_and_is_not_reloaded() {
    let mut node = Node::master(strangers());
    node.change(|config| config.instances[0].virtual_router_id = 9);
    node.tell(Input::Stop);
    let before = format!("{:?}", node.routers);
    assert_eq!(node.change(|config| config.instances.truncate(1)), []);
    assert_eq!(format!("{:?}", node.routers), before);
    let outputs = node.run(5 * SECOND);
    assert_eq!(changes(&outputs), ["0 STOP", "1 STOP"]);
    assert_eq!(outputs.last(), Some(&Output::Stopped));
}

#[test]
fn what_is_tracked_anew_changes_nothing_before_it_is_known() {
    let tracks = Tracks {
        interfaces: vec![track("eth9", 0)],
        scripts: vec![track("chk", 0)],
        files: vec![Track { reverse: true, ..track("f", 0) }],
        processes: vec![Track { reverse: true, ..track("p", 0) }],
    };
    let mut node = Node::master(single());
    let outputs = node.change(|config| {
        config.scripts = vec![script("chk", false)];
        config.instances[0].tracks = tracks;
    });
    assert_eq!(outputs, []);
    assert_eq!(node.reload(node.config.clone()), []);
    assert_eq!(changes(&node.run(60 * SECOND)), [""; 0]);
    for (input, why) in [
        (Input::Interface { name: "eth9".to_owned(), up: false }, "interface eth9 is down"),
        (Input::Script { name: "chk".to_owned(), up: false }, "script chk fails"),
        (Input::File { name: "f".to_owned(), value: 0 }, "file f says 0"),
        (Input::Process { name: "p".to_owned(), up: true }, "process p is up"),
    ] {
        assert_eq!(reasons(&node.clone().tell(input)), [why]);
    }
}

#[test]
fn a_new_script_that_has_failed_until_it_succeeds_has_failed() {
    let mut node = Node::master(single());
    let outputs = node.change(|config| {
        config.scripts = vec![script("chk", true)];
        config.instances[0].tracks.scripts = vec![track("chk", 0)];
    });
    assert_eq!(reasons(&outputs), ["script chk fails"]);
    let outputs = node.change(|config| config.scripts[0].interval = 2 * SECOND);
    assert_eq!(outputs, []);
    assert_eq!(changes(&node.tell(Input::Script { name: "chk".to_owned(), up: true })), ["0 BACKUP"]);
    let outputs = node.change(|config| config.scripts[0].rise = 2);
    assert_eq!(outputs, [], "its result holds until there is another");
}
