//! Members that come into groups and leave them, and groups that are new.

use super::*;

#[test]
fn one_that_comes_into_a_group_of_masters_is_backup_first() {
    let mut config = pair();
    config.instances.push(instance(3));
    config.instances.push(instance(4));
    config.sync_groups[0].members.push("VI_4".to_owned());
    let mut node = Node::up(config);
    for _ in 0..4 {
        node.hear(THIRD, 200);
        node.run(SECOND);
    }
    let master = [State::Master, State::Master, State::Backup, State::Master];
    assert_eq!(node.states(), master);
    let outputs = node.change(|config| config.sync_groups[0].members.push("VI_3".to_owned()));
    assert_eq!(outputs, []);
    assert_eq!(changes(&node.clone().run(4 * SECOND)), ["2 MASTER"], "its own master is silent");

    let outputs = node.hear(THIRD, 200);
    let expected = ["0 BACKUP", "1 BACKUP", "3 BACKUP", "VG BACKUP"];
    assert_eq!(changes(&outputs), expected, "another node is master of it, and so of all");
}

#[test]
fn a_new_member_that_cannot_run_is_a_fault_of_all_only_when_that_is_certain() {
    let mut node = Node::master(pair());
    node.run(10 * SECOND);
    let outputs = node.change(|config| {
        config.instances.push(instance(3));
        config.sync_groups[0].members.push("VI_3".to_owned());
    });
    assert_eq!(outputs, []);
    assert_eq!(changes(&node.run(999 * MS)), [""; 0]);
    assert_eq!(changes(&node.run(MS)), ["0 FAULT", "1 FAULT", "2 FAULT", "VG FAULT"]);
    let outputs = node.change(|config| drop(config.sync_groups[0].members.pop()));
    assert_eq!(changes(&outputs), ["0 BACKUP", "1 BACKUP", "VG BACKUP"]);
}

#[test]
fn one_that_leaves_its_group_waits_for_it_no_more() {
    let mut node = Node::up(pair());
    for _ in 0..5 {
        node.hear(FIRST, 200);
        node.run(SECOND);
    }
    assert_eq!(node.states(), [State::Backup; 2], "the second waits for the first");
    let outputs = node.change(|config| config.sync_groups.clear());
    assert_eq!(outputs, []);
    let mut changed = Vec::new();
    for _ in 0..4 {
        node.hear(FIRST, 200);
        changed.extend(changes(&node.run(SECOND)));
    }
    assert_eq!(changed, ["1 MASTER"], "its timer began anew");
}

#[test]
fn a_group_that_is_new_says_what_it_is() {
    let mut node = Node::master(strangers());
    let outputs = node.change(|config| config.sync_groups = vec![group()]);
    assert_eq!(outputs, [Output::GroupChanged { group: GroupId(0), to: State::Master }]);
    let outputs = node.change(|config| config.sync_groups[0].name = "other".to_owned());
    assert_eq!(outputs, [Output::GroupChanged { group: GroupId(1), to: State::Master }]);
}
