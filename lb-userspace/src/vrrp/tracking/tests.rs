use super::*;
use crate::config::Span;

fn track(name: &str, weight: i32) -> Track {
    Track { name: name.to_owned(), weight, reverse: false }
}

fn reversed(name: &str, weight: i32) -> Track {
    Track { reverse: true, ..track(name, weight) }
}

fn instance(priority: u8) -> VrrpInstance {
    VrrpInstance { priority, ..VrrpInstance::new("VI_1".to_owned(), span()) }
}

fn span() -> Span {
    Span::default()
}

fn observed() -> Observed {
    let mut observed = Observed::default();
    observed.interface("eth0".to_owned(), true);
    observed
}

const SOURCE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 56, 11)));

fn assess(instance: &VrrpInstance, observed: &Observed) -> Standing {
    Tracker::new(instance, "eth0", None).assess(observed, SOURCE)
}

fn is(priority: u8) -> Standing {
    Standing { priority, faults: Vec::new() }
}

fn fault(priority: u8, faults: &[&str]) -> Standing {
    Standing { priority, faults: faults.iter().map(|&fault| fault.to_owned()).collect() }
}

#[test]
fn a_script_with_a_weight_moves_the_priority_and_moves_it_back() {
    let mut router = instance(99);
    router.tracks.scripts = vec![track("chk", -15)];
    let mut observed = observed();
    assert_eq!(assess(&router, &observed), is(99));
    observed.script("chk".to_owned(), false);
    assert_eq!(assess(&router, &observed), is(84));
    observed.script("chk".to_owned(), true);
    assert_eq!(assess(&router, &observed), is(99));
}

#[test]
fn weights_act_by_sign_state_and_reverse() {
    let rows = [
        (track("x", 10), true, is(110)),
        (track("x", 10), false, is(100)),
        (track("x", -10), true, is(100)),
        (track("x", -10), false, is(90)),
        (reversed("x", 10), true, is(90)),
        (reversed("x", 10), false, is(100)),
        (reversed("x", -10), true, is(100)),
        (reversed("x", -10), false, is(110)),
        (track("x", 0), true, is(100)),
        (track("x", 0), false, fault(100, &["process x is down"])),
        (reversed("x", 0), true, fault(100, &["process x is up"])),
        (reversed("x", 0), false, is(100)),
    ];
    for (track, up, expected) in rows {
        let mut router = instance(100);
        router.tracks.processes = vec![track.clone()];
        let mut observed = observed();
        observed.process("x".to_owned(), up);
        assert_eq!(assess(&router, &observed), expected, "{track:?} up: {up}");
    }
}

#[test]
fn the_sum_is_kept_within_1_and_254_and_an_owner_stays_one() {
    for (base, weight, expected) in [(200, 253, 254), (100, -253, 1), (255, -100, 255), (255, 100, 255)] {
        let mut router = instance(base);
        router.tracks.interfaces = vec![track(if weight > 0 { "eth0" } else { "eth1" }, weight)];
        assert_eq!(assess(&router, &observed()), is(expected), "{base} {weight}");
    }
}

#[test]
fn contributions_add_up() {
    let mut router = instance(100);
    router.tracks.interfaces = vec![track("eth1", -20), track("eth2", 5)];
    router.tracks.scripts = vec![track("chk", 7)];
    router.tracks.files = vec![track("drain", 2)];
    let mut observed = observed();
    observed.interface("eth2".to_owned(), true);
    observed.file("drain".to_owned(), -11);
    assert_eq!(assess(&router, &observed), is(70));
}

#[test]
fn a_file_counts_times_its_weight_until_it_means_fault() {
    let rows = [
        (track("f", 1), 10, is(110)),
        (track("f", 2), -10, is(80)),
        (track("f", 1), -253, is(1)),
        (track("f", 1), -254, fault(100, &["file f says -254"])),
        (track("f", 1), 1000, is(254)),
        (track("f", -253), i32::MAX, fault(100, &["file f says 2147483647"])),
        (track("f", -253), i32::MIN, is(254)),
        (track("f", 0), 0, is(100)),
        (track("f", 0), 3, fault(100, &["file f says 3"])),
        (reversed("f", 0), 0, fault(100, &["file f says 0"])),
        (reversed("f", 0), 3, is(100)),
        (reversed("f", 1), 10, is(90)),
    ];
    for (track, value, expected) in rows {
        let mut router = instance(100);
        router.tracks.files = vec![track.clone()];
        let mut observed = observed();
        observed.file("f".to_owned(), value);
        assert_eq!(assess(&router, &observed), expected, "{track:?} says {value}");
    }
}

#[test]
fn a_file_cannot_add_more_than_253() {
    let mut router = instance(1);
    router.tracks.files = vec![track("f", 1)];
    router.tracks.interfaces = vec![track("eth1", -253)];
    let mut observed = observed();
    observed.file("f".to_owned(), 1000);
    assert_eq!(assess(&router, &observed), is(1));
}

#[test]
fn its_own_interface_down_is_a_fault_unless_it_does_not_matter() {
    let mut router = instance(100);
    let nothing = Observed::default();
    assert_eq!(assess(&router, &nothing), fault(100, &["interface eth0 is down"]));
    router.tracks.interfaces = vec![track("eth0", 0)];
    assert_eq!(assess(&router, &nothing), fault(100, &["interface eth0 is down"]), "said once");
    router.tracks.interfaces.clear();
    router.dont_track_primary = true;
    assert_eq!(assess(&router, &nothing), is(100));
}

#[test]
fn without_an_address_to_send_from_it_is_in_fault() {
    let configured = "192.168.56.99".parse().unwrap();
    let mut router = instance(100);
    let assess = |router: &VrrpInstance| Tracker::new(router, "eth0", None).assess(&observed(), None);
    assert_eq!(assess(&router), fault(100, &["interface eth0 has no IPv4 address"]));
    router.family = Family::V6;
    assert_eq!(assess(&router), fault(100, &["interface eth0 has no IPv6 address"]));
    router.source = Some(configured);
    assert_eq!(assess(&router), is(100));
    router.track_source = true;
    assert_eq!(assess(&router), fault(100, &["source address 192.168.56.99 is not on this host"]));
}

#[test]
fn a_script_without_a_result_is_waited_for_or_has_failed_and_has_no_weight() {
    let script = |name: &str, init_fail| crate::config::model::vrrp::VrrpScript {
        weight: 0,
        reverse: false,
        name: name.to_owned(),
        command: crate::config::model::vrrp::Command { words: vec!["/bin/true".to_owned()], user: None },
        interval: std::time::Duration::from_secs(1),
        timeout: std::time::Duration::from_secs(1),
        rise: 1,
        fall: 1,
        init_fail,
        span: span(),
    };
    let config = Vrrp { scripts: vec![script("good", false), script("bad", true)], ..Vrrp::default() };
    let mut router = instance(100);
    router.tracks.scripts = vec![track("good", 0), track("bad", 0)];
    let mut observed = Observed::new(&config);
    observed.interface("eth0".to_owned(), true);
    let faults = ["script bad fails", "script good has given no result yet"];
    assert_eq!(assess(&router, &observed), fault(100, &faults));
    observed.script("good".to_owned(), true);
    assert_eq!(assess(&router, &observed), fault(100, &faults[..1]));

    let observed = Observed { scripts: Observed::new(&config).scripts, ..observed };
    for (weight, priority) in [(10, 100), (-10, 90)] {
        router.tracks.scripts = vec![track("good", weight), track("bad", weight)];
        assert_eq!(assess(&router, &observed), is(priority), "only the failed one counts");
    }
}

#[test]
fn a_groups_trackers_count_for_a_member_that_has_not_got_its_own() {
    let group = SyncGroup {
        tracking_weight: false,
        name: "VG".to_owned(),
        members: vec!["VI_1".to_owned()],
        tracks: Tracks { interfaces: vec![track("eth1", -30), track("eth2", -7)], ..Tracks::default() },
        notify: crate::config::model::vrrp::Notify::default(),
        smtp_alert: None,
        span: span(),
    };
    let mut router = instance(100);
    router.tracks.interfaces = vec![track("eth1", -20)];
    let standing = Tracker::new(&router, "eth0", Some(&group)).assess(&observed(), SOURCE);
    assert_eq!(standing, is(73));
}
