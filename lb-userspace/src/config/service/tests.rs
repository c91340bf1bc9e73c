use std::time::Duration;

use super::settings::DEFAULT_PERSISTENCE;
use super::*;
use crate::config::model::Granularity;
use crate::config::testing::{config, said, says};

const SERVER: &str = "real_server 10.0.0.2 80 {\n }\n";

/// A service that can run; `settings` begin in line 5.
fn ready(settings: &str) -> String {
    service(&format!("lb_algo rr\nlb_kind DR\nprotocol TCP\n{settings}"))
}

fn service(settings: &str) -> String {
    format!("virtual_server 10.0.0.1 80 {{\n{settings}\n{SERVER}}}\n")
}

#[test]
fn a_virtual_server_has_its_values() {
    let text = service("lb_algo wrr\nlb_kind DR\nprotocol udp\ndelay_loop 1.5");
    assert_eq!(said(&text), Vec::<String>::new());
    let config = config(&text);
    let service = config.served().next().unwrap();
    assert_eq!(service.to_string(), "10.0.0.1 80 UDP");
    assert_eq!((service.scheduler, service.forwarding), (Scheduler::Wrr, Forwarding::Dr));
    assert_eq!(service.delay_loop, Duration::from_millis(1500));
}

#[test]
fn the_other_names_of_two_keywords_are_known() {
    let text = service("lvs_sched rr\nlvs_method DR\nprotocol TCP");
    assert_eq!(said(&text), Vec::<String>::new());
    assert_eq!(config(&text).served().count(), 1);
}

#[test]
fn every_scheduler_is_served_and_sh_and_mh_have_flags() {
    for scheduler in Scheduler::ALL {
        let text = service(&format!("lb_algo {}\nlb_kind DR\nprotocol TCP", scheduler.keyword()));
        assert_eq!(said(&text), Vec::<String>::new());
        assert_eq!(config(&text).served().next().unwrap().scheduler, scheduler);
    }
    for (scheduler, flags, expected) in [
        ("sh", "sh-port", (true, false)),
        ("sh", "sh-port\nsh-fallback", (true, true)),
        ("mh", "mh-fallback", (false, true)),
        ("mh", "mh-port", (true, false)),
        ("sh", "flag-1", (false, true)),
        ("mh", "flag-2", (true, false)),
    ] {
        let text = service(&format!("lb_algo {scheduler}\nlb_kind DR\nprotocol TCP\n{flags}"));
        assert_eq!(said(&text), Vec::<String>::new());
        let service = &config(&text).virtual_servers[0];
        assert_eq!((service.hash_port, service.hash_fallback), expected, "{scheduler} {flags}");
    }
    let text = service("lb_algo rr\nlb_kind DR\nprotocol TCP\nsh-port");
    says(&text, "t:5:1: warning: this flag means nothing to the scheduler rr");
    let text = service("lb_algo mh\nlb_kind DR\nprotocol TCP\nflag-3");
    says(&text, "t:5:1: warning: this flag means nothing to the scheduler mh");
}

#[test]
fn what_is_unset_is_said_with_what_it_means() {
    let text = service("");
    let said = said(&text);
    assert!(said[0].contains("no `protocol`, which means UDP"), "{said:#?}");
    assert!(said[1].contains("no `lb_algo`, which means wlc"), "{said:#?}");
    assert!(said[2].contains("no `lb_kind`, which means NAT"), "{said:#?}");
    let config = config(&text);
    assert_eq!((config.virtual_servers.len(), config.served().count()), (1, 0));
}

#[test]
fn what_is_not_available_leaves_the_service_out() {
    let ready = "lb_algo rr\nlb_kind DR\nprotocol TCP";
    for (settings, place, why) in [
        (ready.replace("DR", "TUN type gre"), "t:3:1", "TUN is not yet in effect"),
        (ready.replace("DR", "NAT"), "t:3:1", "NAT is not yet in effect"),
    ] {
        let text = service(&settings);
        let start = format!("{place}: warning: the virtual server 10.0.0.1 80 ");
        says(&text, &start);
        assert!(said(&text)[0].contains(why), "{:?}", said(&text));
        assert_eq!(config(&text).served().count(), 0);
    }
    let text = service("lb_algo rr\nprotocol TCP")
        .replace(SERVER, "real_server 10.0.0.2 80 {\n lvs_method DR\n}\nreal_server 10.0.0.3 80 {\n}\n");
    says(&text, "t:7:1: warning: the real server is left out: NAT is not yet in effect");
    assert_eq!(config(&text).served().next().unwrap().pool().count(), 1);
    let text = service(ready).replace(SERVER, "");
    says(&text, "t:1:1: warning: the virtual server 10.0.0.1 80 TCP is left out: it has no real server");
}

#[test]
fn addresses_of_servers_are_what_packets_have() {
    let text = ready("").replace("10.0.0.1 80", "10.0.0.1/24 80").replace("10.0.0.2 80", "10.0.0.2/32 80");
    let prefixes = said(&text);
    assert_eq!(prefixes.len(), 2, "{prefixes:#?}");
    assert!(
        prefixes.iter().all(|line| line.contains(": warning: the prefix behind 10.0.0.")),
        "{prefixes:#?}"
    );
    assert_eq!(config(&text).served().count(), 1);
    for (own, place) in [("10.0.0.1", "t:1:16"), ("10.0.0.2", "t:6:13")] {
        let text = ready("").replace(&format!("{own} 80"), &format!("::ffff:{own} 80"));
        let start =
            format!("{place}: error: `::ffff:{own}` is the IPv4 address {own}, written as one of IPv6");
        says(&text, &start);
    }
}

#[test]
fn a_persistence_of_no_time_is_none() {
    let text = ready("persistence_timeout 0");
    says(&text, "t:5:1: warning: a `persistence_timeout` of 0 is none");
    assert_eq!(config(&text).virtual_servers[0].persistence, None);
}

#[test]
fn persistence_is_for_a_client_or_a_prefix_of_them() {
    let text = ready("persistence_timeout\npersistence_granularity 24");
    assert_eq!(said(&text), Vec::<String>::new());
    let service_read = &config(&text).virtual_servers[0];
    assert_eq!(service_read.persistence, Some(DEFAULT_PERSISTENCE));
    assert_eq!(service_read.granularity, Some(Granularity(24)));
    let text = ready("persistence_granularity 255.255.0.0");
    says(&text, "t:5:1: warning: `persistence_granularity` without `persistence_timeout` means");
    let service_read = &config(&text).virtual_servers[0];
    assert_eq!(
        (service_read.persistence, service_read.granularity),
        (Some(DEFAULT_PERSISTENCE), Some(Granularity(16)))
    );
    let text = ready("nat_mask 255.255.0.0");
    says(&text, "t:5:1: warning: `nat_mask` has meant nothing since Linux 2.2");
    let service_read = &config(&text).virtual_servers[0];
    assert_eq!((service_read.persistence, service_read.granularity), (None, None));
    let text = ready("nat_mask 255.255.0.0\npersistence_timeout 5");
    assert_eq!(config(&text).virtual_servers[0].granularity, Some(Granularity(16)));
    let text = ready("persistence_timeout 50\npersistence_granularity 64").replace("10.0.0.", "fd00::");
    assert_eq!(said(&text), Vec::<String>::new());
    assert_eq!(config(&text).virtual_servers[0].granularity, Some(Granularity(64)));
    let text = ready("persistence_timeout 50").replace(" rr", " dh");
    says(&text, "t:5:1: warning: the scheduler dh chooses by a hash already");
    assert_eq!(config(&text).virtual_servers[0].persistence.unwrap().as_secs(), 50);
}

#[test]
fn a_service_on_every_port_has_persistence() {
    for place in ["1 {", "1 0 {"] {
        let text = ready("persistence_timeout 50").replace("1 80 {", place).replace("2 80 {", "2 {");
        assert_eq!(said(&text), Vec::<String>::new());
        let config = config(&text);
        let service = config.served().next().unwrap();
        assert_eq!((service.to_string().as_str(), service.real_servers[0].port), ("10.0.0.1 0 TCP", 0));
        assert_eq!(service.persistence.unwrap().as_secs(), 50);
    }
    let text = ready("").replace("1 80 {", "1 {").replace("2 80 {", "2 0 {");
    says(
        &text,
        "t:1:1: warning: a service on every port needs `persistence_timeout`; without it 360 seconds",
    );
    assert_eq!(config(&text).served().next().unwrap().persistence, Some(DEFAULT_PERSISTENCE));
}

#[test]
fn ipv6_and_sctp_are_served() {
    let text = ready("").replace("TCP", "SCTP").replace("10.0.0.", "fd00::");
    assert_eq!(said(&text), Vec::<String>::new());
    assert_eq!(config(&text).served().next().unwrap().to_string(), "fd00::1 80 SCTP");
    let text = ready("real_server fd00::2 80 {\n}");
    says(
        &text,
        "t:5:13: warning: the real server fd00::2 is left out: it is IPv6 and its virtual server IPv4",
    );
    assert_eq!(config(&text).served().next().unwrap().real_servers.len(), 1);
}

/// A service by firewall mark with these settings and these real servers.
fn mark(settings: &str, servers: &str) -> String {
    let rules = "fwmark_rules {\n mark 3 {\n }\n}\n";
    let servers = format!("real_server {} {{\n}}\n", servers.replace(' ', " {\n}\nreal_server "));
    format!("virtual_server fwmark 3 {{\nlb_algo rr\nlb_kind DR\n{settings}\n{servers}}}\n{rules}")
}

#[test]
fn a_firewall_mark_is_of_the_family_of_its_servers() {
    for (settings, servers, shown) in [
        ("", "10.0.0.2", "fwmark 3"),
        ("", "fd00::2", "fwmark 3 of IPv6"),
        ("ip_family inet6", "fd00::2", "fwmark 3 of IPv6"),
        ("persistence_timeout\npersistence_granularity 64", "fd00::2", "fwmark 3 of IPv6"),
    ] {
        let text = mark(settings, servers);
        assert_eq!(said(&text), Vec::<String>::new());
        let config = config(&text);
        let service = config.served().next().unwrap();
        assert_eq!((service.to_string().as_str(), service.real_servers[0].port), (shown, 0));
    }
    let text = mark("", "10.0.0.2 fd00::2");
    says(
        &text,
        "t:7:13: warning: the real server fd00::2 is left out: it is IPv6 and its virtual server IPv4",
    );
    says(&mark("ip_family inet5", "10.0.0.2"), "t:4:11: error: `inet5` is not an address family");
    says(
        &mark("protocol TCP", "10.0.0.2"),
        "t:4:1: note: `protocol` means nothing to a service by firewall mark",
    );
    let both = mark("", "10.0.0.2") + &mark("", "fd00::2");
    assert_eq!(config(&both).virtual_servers.len(), 2);
    says("virtual_server fwmark 0 {\n}\n", "t:1:23: error: `0` is out of range for a firewall mark");
    says("virtual_server fwmark {\n}\n", "t:1:16: error: `fwmark` has no number");
    says(&ready("ip_family inet6"), "t:5:1: warning: `ip_family` has no effect: the virtual address is IPv4");
}

#[test]
fn what_new_connections_depend_on_is_read_where_it_has_an_effect() {
    let read = |text: &str| {
        let opening = config(text).virtual_servers.remove(0).opening;
        (opening.one_packet, opening.sloppy, opening.expire_quiescent)
    };
    let text = mark("ops\nsloppy_tcp\nexpire_quiescent_template\npersistence_timeout 9", "10.0.0.2");
    assert_eq!((said(&text).len(), read(&text)), (0, (true, true, true)));
    let text = mark("sloppy_tcp no\nexpire_quiescent_template off", "10.0.0.2");
    assert_eq!((said(&text).len(), read(&text)), (0, (false, false, false)));
    let text = ready("ops").replace("TCP", "UDP");
    assert_eq!((said(&text).len(), read(&text)), (0, (true, false, false)));
    for (text, start) in [
        (ready("ops"), "t:5:1: warning: `ops` has no effect"),
        (ready("sloppy_tcp").replace("TCP", "UDP"), "t:5:1: warning: `sloppy_tcp` has no effect on UDP"),
        (
            ready("expire_quiescent_template"),
            "t:5:1: warning: `expire_quiescent_template` has no effect without",
        ),
    ] {
        says(&text, start);
        assert_eq!(read(&text), (false, false, false));
    }
}

#[test]
fn a_real_server_counts_once() {
    let text = service(&format!("lb_algo rr\nlb_kind DR\nprotocol TCP\n{SERVER}"));
    says(&text, "t:8:1: warning: the real server 10.0.0.2 80 is there already in line 5");
    assert_eq!(config(&text).virtual_servers[0].real_servers.len(), 1);
}

#[test]
fn wrong_values_are_errors() {
    let ready = "lb_algo rr\nlb_kind DR\nprotocol TCP";
    let with = |from: &str, to: &str| service(&ready.replace(from, to));
    says(&with("TCP", "foo"), "t:4:10: error: `foo` is not a protocol");
    says(&service(&format!("{ready}\ndelay_loop 0")), "t:5:12: error: `0` is out of range for a time");
}
