//! What is tested between whole blocks: groups, conflicts, and what one block changes in another.

use proptest::prelude::*;

use super::super::testing::{config, said, says};

/// Instances `A`, `B` and so on, each with a line of its own.
fn instances(inner: &[&str]) -> String {
    let blocks = ('A'..).zip(1..).zip(inner).map(|((name, id), inner)| {
        format!(
            "vrrp_instance {name} {{ interface eth0\n virtual_router_id {id}\n {inner}\n \
             virtual_ipaddress {{ 10.0.0.{id}\n }}\n}}\n"
        )
    });
    blocks.collect()
}

fn group(inner: &str) -> String {
    format!("vrrp_sync_group G {{\n {inner}\n}}\n")
}

#[test]
fn a_group_has_its_values() {
    let inner = "group {\n A\n B\n }\n notify_master /m\n track_interface {\n eth9 weight 5\n }";
    let text = group(inner) + &instances(&["", ""]);
    assert_eq!(said(&text), Vec::<String>::new());
    let group = &config(&text).vrrp.sync_groups[0];
    assert_eq!((group.name.as_str(), group.members.join(" ")), ("G", "A B".to_owned()));
    assert_eq!(group.notify.master.as_ref().unwrap().words, ["/m"]);
    assert_eq!((group.tracks.interfaces[0].name.as_str(), group.tracks.interfaces[0].weight), ("eth9", 5));
}

#[test]
fn a_member_exists_and_is_in_one_group() {
    let text = group("group {\n A\n B\n VI\n A\n }") + &instances(&["", ""]);
    let two = said(&text);
    assert_eq!(two.len(), 2, "{two:#?}");
    assert!(two[0].starts_with("t:5:2: warning: there is no vrrp_instance `VI`; it is ignored"), "{two:#?}");
    assert!(
        two[1].starts_with("t:6:2: warning: the vrrp_instance `A` is in the vrrp_sync_group `G` already")
    );
    assert_eq!(config(&text).vrrp.sync_groups[0].members, ["A", "B"]);
    says(
        &(group("group {\n A\n }") + &instances(&["", ""])),
        "t:1:1: warning: the vrrp_sync_group G has one member only",
    );
    let text = group("group {\n }") + &instances(&[""]);
    says(&text, "t:1:1: warning: the vrrp_sync_group G has no members; it is ignored");
    assert!(config(&text).vrrp.sync_groups.is_empty());
}

/// An instance with something of each kind to track, and what it tracks; the interface `eth8` has no weight.
fn weighed(settings: &str) -> String {
    let trackers = "vrrp_script s {\n script /s\n}\ntrack_file f {\n file /f\n}\n";
    let tracks =
        "track_interface { eth8\n eth9 weight 5\n }\n track_script { s weight 3\n }\n track_file { f\n }";
    instances(&[&format!("{settings}\n {tracks}"), ""]) + trackers
}

/// The trackers of the first instance with their weights.
fn weights(text: &str) -> String {
    let tracks = config(text).vrrp.instances.remove(0).tracks;
    let all = tracks.interfaces.iter().chain(&tracks.scripts).chain(&tracks.files);
    all.map(|track| format!("{} {}", track.name, track.weight)).collect::<Vec<_>>().join(", ")
}

#[test]
fn members_of_a_group_have_no_weights_of_their_own() {
    let text = group("group { A B }") + &weighed("");
    let said = said(&text);
    let of_a = "t:4:1: warning: the vrrp_instance A is in the vrrp_sync_group G: ";
    for (track, what) in [("s", "is not tracked"), ("f", "is tracked with"), ("eth9", "is tracked with")] {
        let start = format!("{of_a}`{track}` {what}");
        assert!(said.iter().any(|line| line.starts_with(&start)), "{start}: {said:#?}");
    }
    assert_eq!(weights(&text), "eth8 0, eth9 0, f 0");
    let text = group("group { A B }\n sync_group_tracking_weight") + &weighed("");
    assert_eq!(weights(&text), "eth8 0, eth9 5, s 3, f 1");
    let text = group("group { A B }\n global_tracking") + &instances(&["", ""]);
    says(&text, "t:3:2: warning: `global_tracking` has no effect");
}

#[test]
fn no_tracker_moves_the_priority_of_the_owner() {
    let text = weighed("priority 255");
    let start = "t:1:1: warning: the vrrp_instance A has priority 255: `eth9` is not tracked";
    assert!(said(&text).iter().any(|line| line.starts_with(start)), "{:#?}", said(&text));
    assert_eq!(weights(&text), "eth8 0, f 0");
}

#[test]
fn an_instance_counts_once() {
    let text = instances(&[""]).repeat(2);
    says(&text, "t:7:1: warning: the vrrp_instance `A` is there already in line 1; this one is ignored");
    assert_eq!(config(&text).vrrp.instances.len(), 1);
}

#[test]
fn two_instances_are_two_virtual_routers() {
    let same = |inner: &[&str]| instances(inner).replace("virtual_router_id 2", "virtual_router_id 1");
    says(&same(&["", ""]), "t:7:1: error: the vrrp_instances A and B are both the virtual router 1 on eth0");
    let peers = |last: u8| format!("unicast_peer {{ 10.0.9.{last}\n }}");
    let from = |last: u8| format!("unicast_src_ip 10.0.8.{last}\n {}", peers(last));
    let elsewhere = |text: &str| text.replacen("eth0", "eth1", 1);
    for mixed_up in [
        same(&[&peers(1), &peers(1)]),
        same(&[&peers(1), &peers(2)]),
        same(&[&from(1), &from(2).replace("8.2", "8.1")]),
        same(&[&from(1), &from(2).replace("9.2", "9.1")]),
        elsewhere(&same(&[&from(1), &from(2).replace("8.2", "8.1")])),
    ] {
        let said = said(&mixed_up);
        let place = if mixed_up.contains("eth1") { "at 10.0.8.1" } else { "on eth0" };
        assert!(said[0].contains(&format!("are both the virtual router 1 {place};")), "{said:#?}");
    }
    for apart in [
        same(&["", "mcast_dst_ip 224.0.0.19"]),
        same(&[&from(1), &from(2)]),
        same(&["", &peers(2)]),
        elsewhere(&same(&["", ""])),
        elsewhere(&same(&[&peers(1), &peers(2)])),
        same(&["", ""]).replace("10.0.0.2", "fe80::2"),
    ] {
        assert_eq!(said(&apart), Vec::<String>::new(), "{apart}");
    }
}

#[test]
fn two_instances_do_not_share_an_address_or_an_interface() {
    let text = instances(&["", ""]).replace("10.0.0.2", "10.0.0.1");
    says(&text, "t:7:1: warning: the vrrp_instances A and B both own the virtual address 10.0.0.1");
    let text = instances(&["use_vmac", "use_vmac"]).replace("virtual_router_id 2", "virtual_router_id 1");
    let text = text.replacen("eth0", "eth1", 1);
    let names = config(&text).vrrp.instances.into_iter().filter_map(|instance| instance.vmac);
    assert_eq!(names.map(|vmac| vmac.name).collect::<Vec<_>>(), ["vrrp.1", "vrrp1.1"]);
    let text = instances(&["use_vmac v0", "use_vmac v0"]);
    says(&text, "t:7:1: error: the vrrp_instances A and B would both make the interface v0");
    let text =
        instances(&["use_vmac eth1"]) + &instances(&[""]).replace(" A ", " C ").replace("eth0", "eth1");
    says(&text, "t:1:1: error: the vrrp_instance A would make the interface eth1, on which C runs");
}

/// Lines made of the words that the blocks of an instance know.
fn lines() -> impl Strategy<Value = String> {
    let words = "10.0.0.1 10.0.0.1/24 10.0.0.0/8 fd00::/64 fe80::1 default any dev eth0 scope link label brd + - via gw \
                 inet inet6 table main 0 7 -7 0x7/0xff 256 99999999999 src to from iif fwmark pref mtu lock nexthop \
                 weight reverse noreverse min_ttl max_ttl A s no_track not blackhole é /a";
    let words: Vec<_> = words.split_whitespace().chain(["\n", "\n", "\n"]).collect();
    prop::collection::vec(prop::sample::select(words), 0..12).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn random_lines_in_a_block_never_panic(
        block in prop::sample::select(vec![
            "virtual_ipaddress", "virtual_ipaddress_excluded", "virtual_routes", "virtual_rules", "unicast_peer",
            "track_interface", "track_script", "track_file", "track_process",
        ]),
        lines in lines(),
    ) {
        let text = format!("{}vrrp_script s {{\n script /s\n}}\n", instances(&[&format!("{block} {{\n {lines}\n }}")]));
        for line in said(&text) {
            prop_assert!(line.starts_with("t:"), "{line}");
        }
    }

    #[test]
    fn random_values_of_a_keyword_never_panic(
        keyword in prop::sample::select(vec![
            "use_vmac", "notify_master", "mcast_dst_ip", "mcast_src_ip", "advert_int", "priority", "preempt_delay",
            "garp_master_repeat", "garp_master_delay", "unicast_ttl", "down_timer_adverts", "strict_mode", "version",
        ]),
        value in "[ -~é]{0,20}",
    ) {
        said(&instances(&[&format!("{keyword} {}", value.replace(['{', '}'], ""))]));
    }
}
