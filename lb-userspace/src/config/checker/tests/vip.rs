//! `vip_check`: where it may stand, what it takes, and of what it asks.

use crate::config::model::check::{CheckTiming, Checker, Probe, VipTarget};
use crate::config::testing::{checkers, config, said, says, server, service};
use crate::config::{explain, parse};

/// The `vip_check`s that come of a text.
#[track_caller]
fn vips(text: &str) -> Vec<Checker> {
    checkers(text).into_iter().filter(|checker| matches!(checker.probe, Probe::Vip(_))).collect()
}

/// What the only one asks for.
#[track_caller]
fn targets(text: &str) -> Vec<(String, Option<u16>)> {
    let vips = vips(text);
    let [Checker { probe: Probe::Vip(vip), .. }] = vips.as_slice() else { panic!("{vips:?}") };
    vip.targets.iter().map(|VipTarget { address, port }| (address.to_string(), *port)).collect()
}

#[track_caller]
fn timing(text: &str) -> CheckTiming {
    vips(text).remove(0).timing
}

fn in_seconds(timing: CheckTiming) -> (f64, u32, f64, f64, f64, bool) {
    let CheckTiming { connect_timeout, retry, delay_before_retry, delay_loop, warmup, alpha, .. } = timing;
    let [timeout, before, every, warmup] =
        [connect_timeout, delay_before_retry, delay_loop, warmup].map(|time| time.as_secs_f64());
    (timeout, retry, before, every, warmup, alpha)
}

#[test]
fn its_defaults_are_those_of_a_tcp_check() {
    let text = server("vip_check");
    assert_eq!(in_seconds(timing(&text)), (5.0, 1, 1.0, 60.0, 60.0, false));
    assert_eq!(said(&text), Vec::<String>::new());
    let text = server("TCP_CHECK {\n }\n vip_check on");
    let kinds: Vec<_> = checkers(&text).iter().map(|checker| checker.probe.keyword()).collect();
    assert_eq!(kinds, ["TCP_CHECK", "vip_check"], "what every server answers comes first");
    let [tcp, vip] = [0, 1].map(|place| checkers(&text)[place].timing);
    assert_eq!(tcp, vip);
}

#[test]
fn what_it_does_not_say_comes_from_the_blocks_around() {
    let text = service(
        "delay_loop 7\n retry 4\n vip_check retry 9\n real_server 10.0.0.2 80 {\n connect_timeout 2\n warmup 0\n alpha\n }\n",
    );
    assert_eq!(in_seconds(timing(&text)), (2.0, 9, 1.0, 7.0, 0.0, true));
    let [on, off] = ["vip_check log_all_failures on", "vip_check log_all_failures no"];
    assert_eq!([on, off].map(|text| timing(&server(text)).log_all_failures), [true, false]);
    let all = "vip_check connect_timeout 0.5 retry 0 delay_before_retry 0.25 delay_loop 3 warmup 1 alpha on";
    assert_eq!(in_seconds(timing(&server(all))), (0.5, 0, 0.25, 3.0, 1.0, true));
}

#[test]
fn a_real_server_may_have_another_one_or_none() {
    let text = service(
        "vip_check retry 2 connect_timeout 3\n real_server 10.0.0.2 80 {\n }\n real_server 10.0.0.3 80 {\n vip_check retry 5\n }\n \
         real_server 10.0.0.4 80 {\n vip_check off\n }\n",
    );
    let of = |checker: &Checker| match &checker.probe {
        Probe::Vip(vip) => {
            (vip.server.to_string(), checker.timing.retry, checker.timing.connect_timeout.as_secs())
        }
        other => panic!("{other:?}"),
    };
    let found: Vec<_> = vips(&text).iter().map(of).collect();
    assert_eq!(found, [("10.0.0.2".to_owned(), 2, 3), ("10.0.0.3".to_owned(), 5, 5)]);
    assert_eq!(said(&text), Vec::<String>::new());
    let off =
        service("vip_check no\n real_server 10.0.0.2 80 {\n }\n real_server 10.0.0.3 80 {\n vip_check\n }\n");
    assert_eq!(vips(&off).len(), 1);
}

#[test]
fn connections_are_asked_of_tcp_ports_and_echoes_of_all_else() {
    let web = server("vip_check");
    assert_eq!(targets(&web), [("10.0.0.1".to_owned(), Some(80))]);
    for text in [
        web.replace("protocol TCP", "protocol UDP"),
        web.replace("protocol TCP", "protocol SCTP"),
        web.replace("10.0.0.1 80", "10.0.0.1 0").replace("lb_algo rr", "lb_algo rr\n persistence_timeout 9"),
    ] {
        assert_eq!(targets(&text), [("10.0.0.1".to_owned(), None)], "{text}");
    }
    let six = web.replace("10.0.0.1", "fd00::1").replace("10.0.0.2", "fd00::2");
    assert_eq!(targets(&six), [("fd00::1".to_owned(), Some(80))]);
}

#[test]
fn of_a_group_every_address_is_asked_for() {
    let group = |lines: &str| format!("virtual_server_group G {{\n {lines}\n}}\n");
    let whole = server("vip_check").replace("10.0.0.1 80", "group G");
    let text = group("10.0.0.5-6 80\n 10.0.0.9 443") + &whole;
    let wanted = [("10.0.0.5", 80), ("10.0.0.6", 80), ("10.0.0.9", 443)];
    assert_eq!(targets(&text), wanted.map(|(address, port)| (address.to_owned(), Some(port))));
    let mixed = group("fwmark 3\n 10.0.0.9 443") + &whole;
    assert_eq!(targets(&mixed), [("10.0.0.9".to_owned(), Some(443))]);
    assert!(!said(&mixed).iter().any(|line| line.contains("vip_check")), "{:#?}", said(&mixed));
}

#[test]
fn a_mark_alone_has_nothing_to_ask_for() {
    let text = server("vip_check").replace("10.0.0.1 80", "fwmark 3").replace(" protocol TCP\n", "");
    assert_eq!(vips(&text).len(), 0);
    let said = said(&text);
    let said: Vec<_> = said.iter().filter(|line| line.contains("vip_check")).collect();
    assert!(
        matches!(said.as_slice(), [line] if line.starts_with("t:5:2: warning: `vip_check` does nothing here")),
        "{said:#?}"
    );
}

#[test]
fn what_it_does_not_understand_is_an_error() {
    let wrong = |words: &str, start: &str| says(&server(&format!("vip_check {words}")), start);
    wrong("foo 3", "t:6:12: error: `foo` is no setting of `vip_check`; write one of connect_timeout, retry");
    wrong("retri 3", "t:6:12: error: `retri` is no setting of `vip_check`; the nearest one is `retry`");
    wrong("retry", "t:6:12: error: `retry` has no value");
    wrong("connect_timeout 2 retry", "t:6:30: error: `retry` has no value");
    wrong("retry x", "t:6:18: error: `x` is not a number of retries");
    wrong("retry -1", "t:6:18: error: `-1` is not a number of retries");
    wrong("connect_timeout 0", "t:6:28: error: `0` is out of range for a time in seconds");
    wrong("delay_loop 0", "t:6:23: error: `0` is out of range");
    wrong("delay_before_retry soon", "t:6:31: error: `soon` is not a time");
    wrong("alpha maybe", "t:6:18: error: `maybe` is neither yes nor no");
    wrong("off retry 3", "t:6:16: error: nothing stands behind `vip_check off`");
    wrong("retry 1 retry 2", "t:6:20: error: `retry` stands here twice");
    says(&server("vip_check {\n retry 1\n }"), "t:6:12: error: `vip_check` takes no block");
    says(
        &server("vip_check retry 1\n vip_check off"),
        "t:7:2: warning: `vip_check` was given in line 6 already",
    );
    // Once, however many servers take it.
    let servers = "real_server 10.0.0.2 80 {\n }\n real_server 10.0.0.3 80 {\n }\n";
    says(&service(&format!("vip_check foo 1\n {servers}")), "t:5:12: error: `foo` is no setting");
}

#[test]
fn a_server_that_is_left_out_is_not_asked() {
    let text = service(
        "vip_check\n real_server 10.0.0.2 80 {\n }\n real_server 10.0.0.3 81 {\n lvs_method TUN\n }\n",
    );
    let service = &config(&text).virtual_servers[0];
    let asked: Vec<_> =
        service.pool().map(|server| (server.address.to_string(), server.checkers.len())).collect();
    assert_eq!(asked, [("10.0.0.2".to_owned(), 1)]);
}

#[test]
fn it_is_explained_whole() {
    let text = service(
        "vip_check retry 2\n real_server 10.0.0.2 80 {\n }\n real_server 10.0.0.3 80 {\n vip_check off\n }\n",
    );
    let explained = explain(&parse("t", &text)).expect("it loads");
    let lines: Vec<_> = explained.lines().map(str::trim).filter(|line| line.contains("vip_check")).collect();
    assert_eq!(
        lines,
        [
            "vip_check connect_timeout 5 retry 2 delay_before_retry 1 delay_loop 60 warmup 60 alpha no log_all_failures no # inherited from \
             virtual_server, line 5, written as vip_check retry 2",
            "# vip_check                         # line 9, without effect",
        ]
    );
}
