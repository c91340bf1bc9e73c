//! What trackers and missing addresses do to running routers.

use super::*;
use crate::config::model::vrrp::{Command, VrrpScript};

fn priorities(outputs: &[Output]) -> Vec<u8> {
    let priority = |output: &Output| match output {
        Output::Priority { priority, .. } => Some(*priority),
        _ => None,
    };
    outputs.iter().filter_map(priority).collect()
}

fn script(name: &str, up: bool) -> Input {
    Input::Script { name: name.to_owned(), up }
}

#[test]
fn an_interface_that_goes_down_is_a_fault_until_it_comes_up() {
    let mut node = Node::master(single());
    let outputs = node.interface("eth1", false);
    let first = [
        Output::Advert { router: FIRST, priority: 0, checksum: Checksum::default() },
        Output::Lease { router: FIRST, until: None },
        Output::Hold { router: FIRST, hold: false },
    ];
    assert_eq!(outputs[..3], first);
    assert_eq!(changes(&outputs), ["0 FAULT"]);
    assert_eq!(reasons(&outputs), ["interface eth1 is down"]);
    assert_eq!(node.run(10 * SECOND), []);
    assert_eq!(changes(&node.interface("eth1", true)), ["0 BACKUP"]);
    assert_eq!(changes(&node.run(4 * SECOND)), ["0 MASTER"]);
}

#[test]
fn an_address_that_goes_is_a_fault_until_there_is_one() {
    let mut node = Node::master(single());
    let gone = |address| Input::Source { router: FIRST, address };
    let outputs = node.tell(gone(None));
    assert_eq!(changes(&outputs), ["0 FAULT"]);
    assert!(!outputs.iter().any(|output| matches!(output, Output::Advert { .. })), "from which address?");
    assert_eq!(node.routers.report()[0].faults, ["interface eth1 has no IPv4 address"]);
    assert_eq!(changes(&node.tell(gone(Some(ip("192.0.2.99"))))), ["0 BACKUP"]);
}

#[test]
fn a_configured_source_matters_only_where_it_is_tracked() {
    let mut config = Vrrp { instances: vec![instance(1), instance(2)], ..Vrrp::default() };
    for instance in &mut config.instances {
        instance.source = Some(ip("192.0.2.77"));
    }
    config.instances[1].track_source = true;
    let mut node = Node::new(config);
    node.interface("eth1", true);
    let outputs = node.interface("eth2", true);
    assert_eq!(changes(&outputs), [""; 0]);
    assert_eq!(node.states(), [State::Backup, State::Initialize]);
    node.tell(Input::Source { router: OTHER, address: Some(ip("192.0.2.77")) });
    assert_eq!(node.states(), [State::Backup, State::Backup]);
    assert_eq!(node.tell(Input::Source { router: FIRST, address: None }), []);
    let outputs = node.tell(Input::Source { router: OTHER, address: None });
    assert_eq!(changes(&outputs), ["1 FAULT"]);
    assert_eq!(node.routers.report()[1].faults, ["source address 192.0.2.77 is not on this host"]);
}

#[test]
fn a_weight_changes_the_priority_and_nothing_else() {
    let mut config = single();
    config.instances[0].tracks.scripts = vec![track("chk", -20)];
    let mut node = Node::new(config);
    assert_eq!(node.tell(script("chk", false)), [], "nothing is told before the start");
    node.bring_up();
    assert_eq!(node.routers.report()[0].priority, 80);
    let outputs = node.tell(script("chk", true));
    assert_eq!(outputs, [Output::Priority { router: FIRST, priority: 100 }]);
    assert_eq!(node.tell(script("chk", true)), []);
    node.run(4 * SECOND);
    assert_eq!(priorities(&node.tell(script("chk", false))), [80]);
    let outputs = node.run(SECOND);
    assert!(outputs.contains(&Output::Advert { router: FIRST, priority: 80, checksum: Checksum::default() }));
}

#[test]
fn a_change_of_state_names_the_priority_that_came_with_it() {
    let mut config = single();
    config.instances[0].tracks.scripts = vec![track("chk", 0)];
    config.instances[0].tracks.interfaces = vec![track("eth1", 50)];
    let mut node = Node::up(config);
    let outputs = node.interface("eth1", false);
    assert_eq!(priorities(&outputs), [0_u8; 0]);
    assert!(matches!(outputs[..], [Output::Changed { priority: 100, to: State::Fault, .. }]), "{outputs:?}");
    let outputs = node.interface("eth1", true);
    assert!(matches!(outputs[..], [Output::Changed { priority: 150, to: State::Backup, .. }]), "{outputs:?}");
    assert_eq!(changes(&node.tell(script("chk", false))), ["0 FAULT"]);
    assert_eq!(changes(&node.interface("eth1", false)), [""; 0], "one more fault changes nothing");
    assert_eq!(changes(&node.tell(script("chk", true))), [""; 0], "nor does one less");
    assert_eq!(changes(&node.interface("eth1", true)), ["0 BACKUP"]);
}

#[test]
fn an_owner_stays_one_whatever_it_tracks() {
    let mut config = single();
    config.instances[0].priority = 255;
    config.instances[0].tracks.files = vec![track("drain", 1)];
    let mut node = Node::up(config);
    assert_eq!(node.tell(Input::File { name: "drain".to_owned(), value: -50 }), []);
    assert_eq!(node.routers.report()[0].priority, 255);
}

#[test]
fn files_and_processes_count_too() {
    let mut config = single();
    config.instances[0].tracks.files = vec![track("drain", 1)];
    config.instances[0].tracks.processes = vec![track("nginx", -30)];
    let mut node = Node::up(config);
    assert_eq!(priorities(&node.tell(Input::File { name: "drain".to_owned(), value: -50 })), [50]);
    assert_eq!(priorities(&node.tell(Input::Process { name: "nginx".to_owned(), up: false })), [20]);
    assert_eq!(changes(&node.tell(Input::File { name: "drain".to_owned(), value: -254 })), ["0 FAULT"]);
}

#[test]
fn a_group_does_not_start_before_its_scripts_have_said_something() {
    let mut config = pair();
    config.instances[1].tracks.scripts = vec![track("chk", 0)];
    config.scripts = vec![VrrpScript {
        weight: 0,
        reverse: false,
        name: "chk".to_owned(),
        command: Command { words: vec!["/bin/true".to_owned()], user: None },
        interval: SECOND,
        timeout: SECOND,
        rise: 1,
        fall: 1,
        init_fail: false,
        span: Span::default(),
    }];
    let mut node = Node::new(config.clone());
    assert_eq!(changes(&node.bring_up()), [""; 0]);
    assert_eq!(changes(&node.tell(script("chk", true))), ["0 BACKUP", "1 BACKUP", "VG BACKUP"]);

    let mut node = Node::up(config);
    let outputs = node.run(SECOND);
    assert_eq!(changes(&outputs), ["0 FAULT", "1 FAULT", "VG FAULT"]);
    assert_eq!(reasons(&outputs)[1], "script chk has given no result yet");
    assert_eq!(changes(&node.tell(script("chk", true))), ["0 BACKUP", "1 BACKUP", "VG BACKUP"]);
}
