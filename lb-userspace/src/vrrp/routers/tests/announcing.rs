//! How neighbours are told where addresses are.

use super::*;

fn announced(outputs: &[Output]) -> Vec<String> {
    let announced = |output: &Output| match output {
        Output::Announce { router, address } => Some(format!("{} {address}", router.0)),
        _ => None,
    };
    outputs.iter().filter_map(announced).collect()
}

#[test]
fn a_master_announces_at_once_again_after_the_delay_and_refreshes() {
    let mut config = single();
    config.instances[0].announcing.repeat = 2;
    config.instances[0].announcing.delay = 5 * SECOND;
    config.instances[0].announcing.refresh = 60 * SECOND;
    config.instances[0].announcing.refresh_repeat = 3;
    config.instances[0].excluded_addresses = vec![owned("203.0.113.9")];
    let mut node = Node::up(config);
    let round = ["0 203.0.113.1", "0 203.0.113.9"];
    assert_eq!(announced(&node.run(4 * SECOND)), [round; 2].concat());
    assert_eq!(announced(&node.run(5 * SECOND)), [round; 2].concat());
    assert_eq!(announced(&node.run(50 * SECOND)), [""; 0]);
    assert_eq!(announced(&node.run(5 * SECOND)), [round; 3].concat());
}

#[test]
fn hearing_a_lower_priority_is_answered_with_announcements_at_once_and_after_a_delay() {
    let mut config = single();
    config.instances[0].announcing.lower_prio_delay = 2 * SECOND;
    config.instances[0].announcing.lower_prio_repeat = 2;
    let mut node = Node::master(config);
    assert_eq!(announced(&node.hear(FIRST, 50)), ["0 203.0.113.1"; 2]);
    assert_eq!(announced(&node.hear(FIRST, 50)), [""; 0], "it is said again soon");
    assert_eq!(announced(&node.run(3 * SECOND)), ["0 203.0.113.1"; 2]);
    assert_eq!(announced(&node.hear(FIRST, 50)), ["0 203.0.113.1"; 2]);
}

#[test]
fn routers_on_one_interface_keep_its_spacing_and_take_turns() {
    let mut config = Vrrp { instances: vec![instance(1), instance(2), instance(3)], ..Vrrp::default() };
    for instance in &mut config.instances {
        instance.announcing.repeat = 2;
        instance.announcing.garp_interval = 100 * MS;
    }
    config.instances[1].virtual_addresses[0].dev = Some("eth1".to_owned());
    let mut node = Node::up(config);
    let outputs = node.run(SECOND * 361 / 100);
    assert_eq!(announced(&outputs), ["0 203.0.113.1", "2 203.0.113.3"], "eth1 and eth3");
    assert_eq!(announced(&node.run(100 * MS)), ["1 203.0.113.2", "2 203.0.113.3"]);
    assert_eq!(announced(&node.run(100 * MS)), ["0 203.0.113.1"]);
    assert_eq!(announced(&node.run(100 * MS)), ["1 203.0.113.2"]);
    assert_eq!(announced(&node.run(SECOND)), [""; 0]);
}

#[test]
fn one_that_is_no_longer_master_falls_silent() {
    let mut config = single();
    config.instances[0].announcing.repeat = 50;
    config.instances[0].announcing.garp_interval = 100 * MS;
    for end in [Input::Stop, Input::Interface { name: "eth1".to_owned(), up: false }] {
        let mut node = Node::master(config.clone());
        assert_eq!(announced(&node.tell(end)), [""; 0]);
        assert_eq!(announced(&node.run(10 * SECOND)), [""; 0]);
    }
    let mut node = Node::master(config);
    assert_eq!(announced(&node.hear(FIRST, 200)), [""; 0]);
    assert_eq!(announced(&node.run(SECOND)), [""; 0]);
}

#[test]
fn many_announcements_delay_no_advert_and_no_lease() {
    let mut config = pair();
    config.sync_groups.clear();
    for instance in &mut config.instances {
        instance.announcing.repeat = 100;
    }
    let mut node = Node::up(config);
    let at = node.routers.next_deadline().unwrap();
    node.now = at;
    node.routers.handle_timeout(at);
    let outputs = node.drain();
    let first = outputs.iter().position(|output| matches!(output, Output::Announce { .. })).unwrap();
    let leases = outputs[..first].iter().filter(|output| matches!(output, Output::Lease { .. })).count();
    assert_eq!((leases, outputs.len() - first), (2, 64));
    assert_eq!(node.routers.next_deadline(), Some(at), "the rest after a look at the clock");
    assert_eq!(announced(&node.run(Duration::ZERO)).len(), 200 - 64);
}
