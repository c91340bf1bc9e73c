//! Start, adverts, refusals, end and report.

use super::*;
use crate::vrrp::wire::Refusal;

#[test]
fn a_router_starts_when_its_host_is_known_and_not_in_fault_before() {
    let mut node = Node::new(single());
    assert_eq!(node.run(SECOND / 2), []);
    assert_eq!(changes(&node.bring_up()), ["0 BACKUP"]);
}

#[test]
fn one_that_cannot_run_starts_in_fault_after_a_second() {
    let mut node = Node::new(single());
    let outputs = node.run(SECOND);
    assert_eq!(changes(&outputs), ["0 FAULT"]);
    assert_eq!(reasons(&outputs), ["interface eth1 is down"]);
}

#[test]
fn nothing_is_sent_or_heard_before_the_startup_delay_is_over() {
    let mut config = single();
    config.globals.startup_delay = 10 * SECOND;
    let mut node = Node::new(config);
    assert_eq!(node.bring_up(), []);
    assert_eq!(node.hear(FIRST, 200), []);
    assert_eq!(node.run(SECOND * 19 / 2), []);
    assert_eq!(node.routers.report()[0].heard, 0);
    assert_eq!(changes(&node.run(SECOND / 2)), ["0 BACKUP"]);
}

#[test]
fn nothing_is_sent_or_heard_before_the_host_runs_long_enough() {
    let begins_after = |startup: u32, boot: u32| {
        let mut config = single();
        config.globals.startup_delay = startup * SECOND;
        config.globals.delay_after_boot = boot * SECOND;
        let mut node = Node::new(config);
        node.bring_up();
        (0..20).find(|_| !changes(&node.run(SECOND)).is_empty())
    };
    assert_eq!(begins_after(0, 36), begins_after(6, 0), "it runs for 30 seconds");
    assert_eq!(begins_after(6, 33), begins_after(6, 0), "the later of both");
    assert_eq!(begins_after(0, 30), begins_after(0, 0));
    assert_ne!(begins_after(0, 36), begins_after(0, 0));
}

#[test]
fn an_owner_is_master_at_once() {
    let mut config = single();
    config.instances[0].priority = 255;
    let mut node = Node::new(config);
    assert_eq!(changes(&node.bring_up()), ["0 MASTER"]);
}

#[test]
fn becoming_master_is_done_in_order() {
    let mut node = Node::up(single());
    let skew = SECOND * 156 / 256;
    let lease = node.now + 3 * SECOND + skew + 3 * SECOND;
    let outputs = node.run(3 * SECOND + skew);
    let expected = [
        Output::Advert { router: FIRST, priority: 100, checksum: Checksum::WithPseudoHeader },
        Output::Lease { router: FIRST, until: Some(lease) },
        Output::Hold { router: FIRST, hold: true },
        Output::Changed {
            router: FIRST,
            from: State::Backup,
            to: State::Master,
            priority: 100,
            reason: "no master was heard".to_owned(),
        },
        Output::Announce { router: FIRST, address: ip("203.0.113.1") },
    ];
    assert_eq!(outputs, expected);
}

#[test]
fn an_instance_without_an_interface_is_left_out_and_keeps_its_number() {
    let mut config = Vrrp { instances: vec![instance(1), instance(2)], ..Vrrp::default() };
    config.instances[0].interface = None;
    let mut node = Node::new(config);
    assert_eq!(changes(&node.bring_up()), ["1 BACKUP"]);
    assert_eq!(node.tell(Input::Sent(FIRST)), []);
    assert_eq!(node.tell(Input::Source { router: RouterId(7), address: None }), []);
    assert_eq!(node.routers.report().iter().map(|report| report.router).collect::<Vec<_>>(), [OTHER]);
}

#[test]
fn a_refusal_is_counted_and_told_where_the_sender_is_known() {
    let mut node = Node::up(single());
    let refused = |source| Input::Refused { router: FIRST, source, reason: Refusal::TimeToLive };
    let told = Output::Refused { router: FIRST, source: ip(PEER), reason: Refusal::TimeToLive };
    assert_eq!(node.tell(refused(Some(ip(PEER)))), [told]);
    assert_eq!(node.tell(refused(None)), []);
    let mut wrong = advert(&node.config.instances[0], 100);
    wrong.addresses.clear();
    let told = Output::Refused { router: FIRST, source: ip(PEER), reason: Refusal::AddressCount };
    assert_eq!(node.tell(Input::Heard { router: FIRST, source: ip(PEER), advert: wrong }), [told]);
    let counts = [(Refusal::TimeToLive, 2), (Refusal::AddressCount, 1)];
    assert_eq!(node.routers.report()[0].refused, counts.into());
}

#[test]
fn a_lower_priority_is_told_by_the_master_that_hears_it() {
    let mut node = Node::master(single());
    let outputs = node.hear(FIRST, 50);
    assert!(outputs.contains(&Output::HeardLower(FIRST)), "{outputs:?}");
    assert_eq!(changes(&outputs), [""; 0]);
}

#[test]
fn a_node_that_did_not_run_takes_everything_back_before_anything_else() {
    let mut node = Node::master(single());
    let outputs = node.freeze(60 * SECOND);
    let expected =
        [Output::Lease { router: FIRST, until: None }, Output::Hold { router: FIRST, hold: false }];
    assert_eq!(outputs[..2], expected);
    assert_eq!(changes(&outputs), ["0 BACKUP"]);
    assert_eq!(outputs.len(), 3, "{outputs:?}");

    let mut node = Node::master(single());
    node.now += 60 * SECOND;
    let outputs = node.interface("eth9", true);
    assert_eq!(outputs[..2], expected, "whatever comes in first");
}

#[test]
fn a_flood_does_not_keep_a_master_from_its_adverts() {
    let mut node = Node::master(single());
    let refused = Input::Refused { router: FIRST, source: None, reason: Refusal::Checksum };
    let mut adverts = 0;
    for _ in 0..3000 {
        node.now += MS;
        adverts += node
            .tell(refused.clone())
            .iter()
            .filter(|output| matches!(output, Output::Advert { .. }))
            .count();
    }
    assert_eq!(adverts, 3);
}

#[test]
fn a_backup_stops_at_once_and_a_master_when_its_heir_could_take_over() {
    let config = Vrrp { instances: vec![instance(1), instance(2)], ..Vrrp::default() };
    let mut node = Node::up(config);
    node.run(3 * SECOND);
    node.hear(OTHER, 200);
    node.run(SECOND);
    assert_eq!(node.states(), [State::Master, State::Backup]);
    let outputs = node.tell(Input::Stop);
    assert_eq!(changes(&outputs), ["1 STOP"]);
    assert!(outputs.contains(&Output::Advert { router: FIRST, priority: 0, checksum: Checksum::default() }));
    assert!(!outputs.contains(&Output::Stopped));
    let outputs = node.run(2 * SECOND);
    assert_eq!(changes(&outputs), ["0 STOP"]);
    assert!(outputs.contains(&Output::Lease { router: FIRST, until: None }));
    assert!(outputs.contains(&Output::Hold { router: FIRST, hold: false }));
    assert_eq!(outputs.last(), Some(&Output::Stopped));
    assert_eq!(node.routers.next_deadline(), None);
    assert_eq!(node.tell(Input::Stop), [], "said once");
    assert_eq!(node.bring_up(), []);
}

#[test]
fn without_routers_or_before_they_start_the_stop_is_immediate() {
    assert_eq!(Node::new(Vrrp::default()).tell(Input::Stop), [Output::Stopped]);
    let mut node = Node::new(single());
    assert_eq!(node.tell(Input::Stop), [Output::Stopped]);
    assert_eq!(node.run(10 * SECOND), []);
}

#[test]
fn the_report_says_how_a_router_stands() {
    let mut node = Node::up(pair());
    let began = node.now;
    node.hear(FIRST, 200);
    node.hear(OTHER, 200);
    node.run(SECOND);
    let backup = node.routers.report().swap_remove(0);
    let expected = RouterReport {
        router: FIRST,
        name: "VI_1".to_owned(),
        group: Some("VG".to_owned()),
        state: State::Backup,
        since: began,
        transitions: BTreeMap::from([(State::Backup, 1)]),
        priority: 100,
        source: Some(ip(OWN)),
        master: Some(ip(PEER)),
        lease: None,
        faults: Vec::new(),
        sent: 0,
        heard: 1,
        refused: BTreeMap::new(),
    };
    assert_eq!(backup, expected);
    node.run(3 * SECOND);
    let master = node.routers.report().swap_remove(0);
    assert_eq!((master.state, &master.transitions[&State::Master], master.master), (State::Master, &1, None));
    assert!(master.sent > 0 && master.lease > Some(node.now));
    node.interface("eth2", false);
    let reports = node.routers.report();
    assert_eq!(reports[1].faults, ["interface eth2 is down"]);
    assert_eq!(reports[0].faults, ["VI_2 of its sync group is in fault: interface eth2 is down"]);
}
