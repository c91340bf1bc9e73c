use super::{sample::status, *};

#[test]
fn the_screen_names_what_an_operator_asks_for() {
    let status = status();
    let text = status.to_text();
    for part in [
        "native XDP on eth1",
        "k.conf is in force for 60 s",
        "VI_1 BACKUP for 9 s: priority 99, VRID 51 on eth1, 10.0.0.100; master is 10.0.0.3",
        "changes together with the sync group both",
        "adverts refused: 2, its checksum is wrong",
        "TCP 10.0.0.100:80 rr, not master of VI_1: 17 active, 41 inactive, 3 connections, 12 packets, 900 bytes; \
         1 connections/s, 4 packets/s, 300 bytes/s",
        "58 of 1024 places in the table of IPv4",
        "down",
        "17 active       41 inactive",
        "at most 100 connections, again below 75  (connection refused)",
        "12 forwarded_tx",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("answer_ttl"), "what never happened is not shown");
    let json = serde_json::to_string(&status).expect("serialises");
    assert_eq!(serde_json::from_str::<Status>(&json).expect("parses"), status);
}

#[test]
fn virtual_routers_that_do_not_answer_are_not_silently_none() {
    let silent = Status { vrrp_answers: false, instances: Vec::new(), ..status() };
    let text = silent.to_text();
    assert!(text.contains("\nthe virtual routers do not answer: whether one is master"), "{text}");
    assert!(!status().to_text().contains("do not answer"));
    let none = Status { instances: Vec::new(), ..status() }.to_text();
    assert!(!none.contains("do not answer"), "there are none: {none}");
    let mut json = serde_json::to_value(silent).expect("serialises");
    assert_eq!(json["vrrp_answers"], false);
    json.as_object_mut().expect("a document").remove("vrrp_answers");
    let older: Status = serde_json::from_value(json).expect("that of a daemon that does not tell it");
    assert!(older.vrrp_answers);
}

#[test]
fn a_service_is_shown_as_ipvsadm_shows_it() {
    let persistence =
        |granularity| Some(Persistence { timeout_seconds: 300, granularity, expire_quiescent: false });
    let plain = status().services.remove(0);
    let v6 =
        Service { address: IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 9]), instance: None, ..plain.clone() };
    let mark = |address: IpAddr| Service {
        address,
        port: 0,
        protocol: "FWM".into(),
        fwmark: Some(3),
        instance: None,
        ..plain.clone()
    };
    for (service, shown) in [
        (
            Service { persistence: persistence(24), ..plain.clone() },
            "TCP 10.0.0.100:80 rr persistent 300 mask 255.255.255.0, not",
        ),
        (
            Service { port: 0, persistence: persistence(32), ..plain.clone() },
            "TCP 10.0.0.100:0 rr persistent 300, not",
        ),
        (Service { persistence: persistence(0), ..plain.clone() }, "rr persistent 300 mask 0.0.0.0, not"),
        (
            Service { persistence: persistence(64), ..v6.clone() },
            "TCP [fd00::9]:80 rr persistent 300 mask 64: 17 active",
        ),
        (Service { persistence: persistence(128), sloppy: true, ..v6 }, "rr persistent 300 sloppy: 17"),
        (Service { one_packet: true, ..mark([0; 4].into()) }, "\nFWM 3 rr ops: 17 active"),
        (mark([0u8; 16].into()), "\nFWM 3 IPv6 rr: 17 active"),
        (
            Service {
                persistence: persistence(32).map(|p| Persistence { expire_quiescent: true, ..p }),
                ..plain.clone()
            },
            "rr persistent 300 expire-quiescent, not",
        ),
    ] {
        let text = Status { services: vec![service], ..status() }.to_text();
        assert!(text.contains(shown), "{shown} in {text}");
    }
}

#[test]
fn a_lost_quorum_and_the_sorry_server_are_shown() {
    let text = |quorum_lost, sorry| {
        let mut service = Service { quorum: 2, quorum_lost, instance: None, ..status().services.remove(0) };
        service.servers[0].sorry = sorry;
        Status { services: vec![service], ..status() }.to_text()
    };
    let (lost, held) = (text(true, true), text(false, false));
    assert!(lost.contains("TCP 10.0.0.100:80 rr, without its quorum of 2: 17 active"), "{lost}");
    assert!(lost.contains("on eth1  sorry server  at most 100"), "{lost}");
    assert!(!held.contains("quorum") && !held.contains("sorry"), "{held}");
}

#[test]
fn what_is_by_hand_is_shown() {
    let mut status = status();
    assert!(!status.to_text().contains("by hand"));
    status.services[0].by_hand = true;
    status.services[0].servers[0].by_hand = true;
    let text = status.to_text();
    assert!(text.contains(", by hand: ") && text.matches("  by hand").count() == 1, "{text}");
}

#[test]
fn what_a_daemon_of_an_earlier_version_tells_is_shown() {
    let mut json = serde_json::to_value(status()).expect("serialises");
    let service = json["services"][0].as_object_mut().expect("a service");
    for name in [
        "fwmark",
        "scheduler_flags",
        "persistence",
        "one_packet",
        "sloppy",
        "quorum",
        "quorum_lost",
        "by_hand",
    ] {
        assert!(service.remove(name).is_some(), "{name}");
    }
    let server = service["servers"][0].as_object_mut().expect("a server");
    for name in ["upper_threshold", "lower_threshold", "sorry", "by_hand", "checks"] {
        assert!(server.remove(name).is_some(), "{name}");
    }
    assert!(serde_json::from_value::<Status>(json).is_ok());
}

#[test]
fn each_check_is_shown_where_one_of_several_fails() {
    let check =
        |kind: &str, failure: Option<&str>| Check { kind: kind.into(), failure: failure.map(Into::into) };
    let text = |checks: &[Check]| {
        let mut status = status();
        status.services[0].servers[0].checks = checks.to_vec();
        status.to_text()
    };
    let failing = check("HTTP_GET", Some("HTTP status 503, wanted 200-299"));
    let both = text(&[check("TCP_CHECK", None), failing.clone()]);
    assert!(
        both.contains("\n     TCP_CHECK passes\n     HTTP_GET fails: HTTP status 503, wanted 200-299\n"),
        "{both}"
    );
    assert!(!text(&[failing]).contains("HTTP_GET"), "the server's reason says it");
    assert!(!text(&[check("TCP_CHECK", None), check("PING_CHECK", None)]).contains("passes"));
}

#[test]
fn colours_are_only_where_they_are_asked_for() {
    let status = status();
    assert!(!status.to_text().contains('\x1b'));
    let styled = status.to_styled();
    assert!(styled.contains("\x1b[1m\x1b[31mdown      \x1b[0m"), "{styled}");
}
