//! Sync groups on one node.

use super::*;

const BACKUP: [State; 2] = [State::Backup; 2];
const MASTER: [State; 2] = [State::Master; 2];
const FAULT: [State; 2] = [State::Fault; 2];

#[test]
fn all_become_master_together_and_the_group_says_it_once() {
    let mut config = pair();
    config.instances[1].priority = 50;
    let mut node = Node::new(config);
    assert_eq!(changes(&node.bring_up()), ["0 BACKUP", "1 BACKUP", "VG BACKUP"]);
    node.run(SECOND * 37 / 10);
    assert_eq!(node.states(), BACKUP, "the first waits for the second");
    let outputs = node.run(SECOND);
    assert_eq!(changes(&outputs), ["0 MASTER", "1 MASTER", "VG MASTER"]);
    assert_eq!(reasons(&outputs), ["its sync group is master", "no master was heard"]);
    let holds = outputs.iter().filter(|output| matches!(output, Output::Hold { hold: true, .. })).count();
    let leases =
        outputs.iter().filter(|output| matches!(output, Output::Lease { until: Some(_), .. })).count();
    assert_eq!((holds, leases), (2, 2));
}

#[test]
fn one_member_without_a_master_does_not_take_over_while_the_other_has_one() {
    let mut node = Node::up(pair());
    for _ in 0..10 {
        node.hear(FIRST, 200);
        assert_eq!(node.run(SECOND), []);
    }
    assert_eq!(changes(&node.run(4 * SECOND)), ["0 MASTER", "1 MASTER", "VG MASTER"]);
}

#[test]
fn a_member_that_waited_and_then_hears_a_master_waits_no_more() {
    let mut node = Node::up(pair());
    for _ in 0..5 {
        node.hear(FIRST, 200);
        node.run(SECOND);
    }
    for _ in 0..4 {
        node.hear(OTHER, 200);
        assert_eq!(node.run(SECOND), [], "when the first times out, the second listens again");
    }
    assert_eq!(changes(&node.run(3 * SECOND)), ["0 MASTER", "1 MASTER", "VG MASTER"]);
}

#[test]
fn a_lower_priority_is_preempted_when_every_member_may() {
    let mut config = pair();
    config.instances[0].preempt_delay = 10 * SECOND;
    let mut node = Node::up(config);
    let mut until_master = 0;
    while node.states() != MASTER {
        assert_eq!(node.states(), BACKUP);
        node.hear(FIRST, 50);
        node.hear(OTHER, 50);
        node.run(SECOND);
        until_master += 1;
        assert!(until_master < 30);
    }
    assert!((12..=14).contains(&until_master), "{until_master} s");
}

#[test]
fn what_one_hears_of_a_higher_priority_makes_all_backup() {
    let mut node = Node::master(pair());
    let outputs = node.hear(OTHER, 200);
    assert_eq!(changes(&outputs), ["0 BACKUP", "1 BACKUP", "VG BACKUP"]);
    for router in [FIRST, OTHER] {
        assert!(outputs.contains(&Output::Lease { router, until: None }));
        assert!(outputs.contains(&Output::Hold { router, hold: false }));
    }
    assert_eq!(node.states(), BACKUP);
}

#[test]
fn one_whose_adverts_do_not_leave_takes_all_back() {
    let mut node = Node::master(pair());
    let mut changed = Vec::new();
    let mut given_away = Vec::new();
    let end = node.now + 4 * SECOND;
    while let Some(at) = node.routers.next_deadline().filter(|at| *at < end) {
        node.now = at;
        node.routers.handle_timeout(at);
        while let Some(output) = node.routers.poll_output() {
            if output == (Output::Advert { router: OTHER, priority: 100, checksum: Checksum::default() }) {
                node.routers.handle(at, Input::Sent(OTHER));
            }
            if let Output::Advert { router, priority: 0, .. } = output {
                given_away.push(router);
            }
            changed.extend(changes(&[output]));
        }
    }
    assert_eq!(changed, ["0 BACKUP", "1 BACKUP", "VG BACKUP"]);
    assert_eq!(given_away, [OTHER], "its heir waits for no more of them");
}

#[test]
fn a_master_that_gives_one_away_has_to_be_heard_of_the_others_soon() {
    let skew = SECOND * 156 / 256;
    let mut node = Node::up(pair());
    node.hear(FIRST, 200);
    node.hear(OTHER, 200);
    node.hear(OTHER, 0);
    assert_eq!(node.run(skew + 999 * MS), [], "a master of the first would be heard by now");
    assert_eq!(changes(&node.run(MS)), ["0 MASTER", "1 MASTER", "VG MASTER"]);

    let mut node = Node::up(pair());
    node.hear(OTHER, 0);
    for _ in 0..10 {
        node.run(SECOND);
        node.hear(FIRST, 200);
        assert_eq!(node.states(), BACKUP, "it was heard");
    }
    let mut refused = advert(&node.config.instances[1], 0);
    refused.addresses.clear();
    node.tell(Input::Heard { router: OTHER, source: ip(PEER), advert: refused });
    assert_eq!(changes(&node.run(3 * SECOND)), [""; 0], "what was refused says nothing");
}

#[test]
fn whoever_was_master_of_one_too_may_have_announced_the_others() {
    let mut node = Node::master(pair());
    let announced = |outputs: &[Output], router| {
        outputs
            .iter()
            .filter(|output| matches!(output, Output::Announce { router: of, .. } if *of == router))
            .count()
    };
    let outputs = node.hear(FIRST, 50);
    assert_eq!((announced(&outputs, FIRST), announced(&outputs, OTHER)), (5, 5));
    assert!(!outputs.contains(&Output::HeardLower(OTHER)));
}

#[test]
fn the_fault_of_one_is_the_fault_of_all_until_none_has_any() {
    let mut node = Node::master(pair());
    let outputs = node.interface("eth2", false);
    assert_eq!(changes(&outputs), ["0 FAULT", "1 FAULT", "VG FAULT"]);
    let told = ["VI_2 of its sync group is in fault: interface eth2 is down", "interface eth2 is down"];
    assert_eq!(reasons(&outputs), told);
    assert!(outputs.contains(&Output::Advert { router: FIRST, priority: 0, checksum: Checksum::default() }));
    assert_eq!(node.interface("eth1", false), []);
    assert_eq!(node.interface("eth2", true), [], "the first is still down");
    assert_eq!(node.states(), FAULT);
    assert_eq!(changes(&node.interface("eth1", true)), ["0 BACKUP", "1 BACKUP", "VG BACKUP"]);
    assert_eq!(changes(&node.run(4 * SECOND)), ["0 MASTER", "1 MASTER", "VG MASTER"]);
}

#[test]
fn one_that_cannot_start_lets_all_start_in_fault() {
    let mut node = Node::new(pair());
    node.interface("eth1", true);
    node.tell(Input::Source { router: FIRST, address: Some(ip(OWN)) });
    assert_eq!(node.states(), [State::Initialize; 2]);
    assert_eq!(changes(&node.run(SECOND)), ["0 FAULT", "1 FAULT", "VG FAULT"]);
}

#[test]
fn what_the_group_tracks_counts_for_every_member() {
    let mut config = pair();
    config.sync_groups[0].tracks.scripts = vec![track("weighs", -30), track("kills", 0)];
    let mut node = Node::up(config);
    let down = |name: &str| Input::Script { name: name.to_owned(), up: false };
    let told = |router| Output::Priority { router, priority: 70 };
    assert_eq!(node.tell(down("weighs")), [told(FIRST), told(OTHER)]);
    let outputs = node.tell(down("kills"));
    assert_eq!(changes(&outputs), ["0 FAULT", "1 FAULT", "VG FAULT"]);
    assert_eq!(reasons(&outputs), ["script kills fails"; 2]);
}

#[test]
fn an_owner_takes_its_group_with_it() {
    let mut config = pair();
    config.instances[0].priority = 255;
    let mut node = Node::new(config);
    let outputs = node.bring_up();
    assert_eq!(changes(&outputs), ["0 MASTER", "1 BACKUP", "1 MASTER", "VG MASTER"]);
}

#[test]
fn a_node_that_did_not_run_promotes_nobody_and_leaves_nobody_behind() {
    let mut node = Node::up(pair());
    node.run(SECOND * 3);
    assert_eq!(node.freeze(60 * SECOND), []);
    assert_eq!(node.states(), BACKUP);
    assert_eq!(node.run(3 * SECOND), [], "the timers began anew");

    let mut node = Node::master(pair());
    assert_eq!(changes(&node.freeze(60 * SECOND)), ["0 BACKUP", "1 BACKUP", "VG BACKUP"]);
}

#[test]
fn a_group_that_stops_says_so_when_the_last_has() {
    let mut node = Node::master(pair());
    assert_eq!(changes(&node.tell(Input::Stop)), [""; 0]);
    node.run(100 * MS);
    node.hear(FIRST, 90);
    assert_eq!(changes(&node.run(200 * MS)), ["0 STOP"]);
    let outputs = node.run(SECOND);
    assert_eq!(changes(&outputs), ["1 STOP", "VG STOP"]);
    assert_eq!(outputs.last(), Some(&Output::Stopped));
}
