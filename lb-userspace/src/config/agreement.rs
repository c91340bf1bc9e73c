//! The readers agree with the keyword table: on ranges, on defaults, and on what a block inherits.

use super::keywords::{self, Absent, BlockKind, Effect, Form, Heritage, Keyword};
use super::testing::within;
use super::{Severity, explain, parse};

/// Every keyword in effect with its kind of block, of which there is one for the tests.
fn in_effect() -> impl Iterator<Item = (BlockKind, &'static Keyword)> {
    let kinds = keywords::kinds().into_iter().filter(|kind| within(*kind, "").is_some());
    let all = kinds.flat_map(|kind| keywords::of(kind).map(move |keyword| (kind, keyword)));
    all.filter(|(_, keyword)| keyword.effect == Effect::Now)
}

/// The errors at the value of `keyword` in a block of this kind.
fn errors(kind: BlockKind, keyword: &str, value: &str) -> Vec<String> {
    let text = within(kind, &format!("{keyword} {value}")).expect("there is such a block");
    let at = text.find(&format!("{keyword} {value}")).expect("it was put there") + keyword.len() + 1;
    let problems = parse("t", &text).diagnostics;
    let those = problems.into_iter().filter(|problem| problem.severity == Severity::Error);
    those.filter(|problem| problem.span.start == at).map(|problem| problem.message).collect()
}

/// The last line of `text` explained that begins with `keyword`: its values, and what is said of them.
fn explained(text: &str, keyword: &str) -> (String, String) {
    let parsed = parse("t", text);
    let explained = explain(&parsed).unwrap_or_else(|| panic!("{text}\n{:#?}", parsed.diagnostics));
    let is_it = |line: &&str| line.split_whitespace().next() == Some(keyword);
    let line = explained.lines().rfind(is_it).unwrap_or_else(|| panic!("{keyword} is not in\n{explained}"));
    let (values, origin) = line.split_once(" # ").expect("every line is explained");
    let values = values.trim().strip_prefix(keyword).expect("it begins so").trim().to_owned();
    (values, origin.to_owned())
}

/// A value that is allowed and not the default, and another one.
fn samples(keyword: &Keyword) -> [&'static str; 2] {
    match (keyword.name, keyword.form) {
        (_, Form::Number(..) | Form::Seconds(..)) => ["7", "9"],
        (_, Form::Switch) => ["yes", "no"],
        ("version", _) => ["3", "2"],
        ("mcast_dst_ip", _) => ["224.0.0.33", "224.0.0.34"],
        ("lvs_method", _) => ["DR", "TUN"],
        ("vip_check", _) => [
            "connect_timeout 2 retry 7 delay_before_retry 3 delay_loop 6 warmup 0 alpha yes log_all_failures no",
            "connect_timeout 2 retry 9 delay_before_retry 3 delay_loop 6 warmup 0 alpha no log_all_failures yes",
        ],
        (name, form) => panic!("no sample for {name} {form:?}"),
    }
}

#[test]
fn every_keyword_has_a_meaning_and_says_what_it_takes() {
    for kind in keywords::kinds() {
        for keyword in keywords::of(kind) {
            let name = keyword.name;
            assert!(keyword.meaning.ends_with('.'), "{kind} {name}");
            let has_form = keyword.form != Form::Nothing;
            assert!(
                has_form || keyword.arguments.0 == 0,
                "{kind} {name} takes a value and does not say which"
            );
            assert!(!has_form || keyword.arguments.1 > 0 || name_of_block(keyword), "{kind} {name}");
            for other in [keyword.alias, keyword.beside].into_iter().flatten() {
                assert!(keywords::lookup(kind, other).is_some(), "{kind} {name}: {other}");
            }
            if let Heritage::Global(global) = keyword.heritage {
                assert!(keywords::lookup(BlockKind::GlobalDefs, global).is_some(), "{kind} {name}: {global}");
            }
        }
    }
}

fn name_of_block(keyword: &Keyword) -> bool {
    matches!(keyword.body, keywords::Body::Lines | keywords::Body::MaybeLines)
}

#[test]
fn numbers_have_the_range_of_the_table() {
    let mut count = 0;
    for (kind, keyword) in in_effect() {
        let Form::Number(least, most) = keyword.form else { continue };
        let errors = |value: i64| errors(kind, keyword.name, &value.to_string());
        for inside in [least, most] {
            assert_eq!(errors(inside), Vec::<String>::new(), "{kind} {} {inside}", keyword.name);
        }
        for outside in [least - 1, most + 1] {
            assert_eq!(errors(outside).len(), 1, "{kind} {} {outside}", keyword.name);
        }
        count += 1;
    }
    assert!(count > 25, "{count}");
}

#[test]
fn seconds_have_the_range_of_the_table() {
    let micros = |text: &str| {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        format!("{whole}{fraction:0<6}").parse::<i64>().expect("the table has numbers")
    };
    let mut count = 0;
    for (kind, keyword) in in_effect() {
        let Form::Seconds(least, most) = keyword.form else { continue };
        let errors = |value: &str| errors(kind, keyword.name, value);
        for inside in [least, most] {
            assert_eq!(errors(inside), Vec::<String>::new(), "{kind} {} {inside}", keyword.name);
        }
        for outside in [micros(least) - 1, micros(most) + 1] {
            let sign = if outside < 0 { "-" } else { "" };
            let value = format!("{sign}{}.{:06}", outside.abs() / 1_000_000, outside.abs() % 1_000_000);
            assert_eq!(errors(&value).len(), 1, "{kind} {} {value}", keyword.name);
        }
        count += 1;
    }
    assert!(count > 20, "{count}");
}

#[test]
fn switches_are_switches() {
    for (kind, keyword) in in_effect().filter(|(_, keyword)| keyword.form == Form::Switch) {
        for (value, wrong) in [("on", 0), ("false", 0), ("maybe", 1)] {
            assert_eq!(errors(kind, keyword.name, value).len(), wrong, "{kind} {} {value}", keyword.name);
        }
    }
}

/// What an instance, a real server or a check has in place of a keyword that counts for it.
const ELSEWHERE: [(BlockKind, &str); 28] = [
    (BlockKind::GlobalDefs, "checker_log_all_failures"),
    (BlockKind::VirtualServer, "weight"),
    (BlockKind::GlobalDefs, "vrrp_mcast_group6"),
    (BlockKind::GlobalDefs, "vmac_prefix"),
    (BlockKind::GlobalDefs, "vrrp_min_garp"),
    (BlockKind::VrrpInstance, "unicast_ttl"),
    (BlockKind::VrrpInstance, "vmac_xmit_base"),
    (BlockKind::VrrpInstance, "check_unicast_src"),
    (BlockKind::VrrpInstance, "unicast_fault_no_peer"),
    (BlockKind::VirtualServer, "inhibit_on_failure"),
    (BlockKind::VirtualServer, "connect_timeout"),
    (BlockKind::VirtualServer, "delay_before_retry"),
    (BlockKind::VirtualServer, "retry"),
    (BlockKind::RealServer, "connect_timeout"),
    (BlockKind::RealServer, "delay_before_retry"),
    (BlockKind::RealServer, "delay_loop"),
    (BlockKind::RealServer, "retry"),
    (BlockKind::VirtualServer, "alpha"),
    (BlockKind::RealServer, "alpha"),
    // Those of this block are written, because without them it would not be served.
    (BlockKind::VirtualServer, "lb_algo"),
    (BlockKind::VirtualServer, "lb_kind"),
    (BlockKind::VirtualServer, "protocol"),
    (BlockKind::RealServer, "lvs_method"),
    (BlockKind::GlobalDefs, "vrrp_garp_lower_prio_delay"),
    (BlockKind::GlobalDefs, "vrrp_garp_lower_prio_repeat"),
    (BlockKind::GlobalDefs, "vrrp_mcast_group4"),
    (BlockKind::GlobalDefs, "vrrp_version"),
    (BlockKind::GlobalDefs, "vrrp_down_timer_adverts"),
];

#[test]
fn what_nobody_writes_has_the_default_of_the_table() {
    let heirs: Vec<_> = in_effect()
        .filter_map(|(_, keyword)| match keyword.heritage {
            Heritage::Global(global) => Some(global),
            Heritage::Around | Heritage::None => None,
        })
        .collect();
    let mut count = 0;
    for (kind, keyword) in in_effect() {
        let Absent::Is(default) = keyword.default else { continue };
        let is_elsewhere = ELSEWHERE.contains(&(kind, keyword.name));
        if is_elsewhere || (kind == BlockKind::GlobalDefs && heirs.contains(&keyword.name)) {
            continue;
        }
        let text = within(kind, "").expect("there is such a block");
        assert_eq!(
            explained(&text, keyword.name),
            (default.to_owned(), "default".to_owned()),
            "{kind} {}",
            keyword.name
        );
        count += 1;
    }
    assert!(count > 40, "{count}");
}

#[test]
fn an_unwritten_service_has_the_defaults_of_the_table() {
    let text = "virtual_server 10.0.0.1 80 {\n real_server 10.0.0.2 80 {\n }\n}\n";
    for name in ["lb_algo", "lb_kind", "protocol"] {
        let keyword = keywords::lookup(BlockKind::VirtualServer, name).expect("it is known");
        let (value, origin) = explained(text, name);
        assert_eq!((keyword.default, origin.as_str()), (Absent::Is(value.leak()), "default"), "{name}");
    }
    assert_eq!(explained(text, "lvs_method"), ("NAT".to_owned(), "default".to_owned()));
}

#[test]
fn an_instance_inherits_from_global_defs_what_the_table_says() {
    let mut count = 0;
    for (kind, keyword) in in_effect() {
        let Heritage::Global(global) = keyword.heritage else { continue };
        if keyword.name == "interface" {
            // Every block of the tests has one, because not every instance may be without.
            continue;
        }
        let unicast = "unicast_peer {\n 10.0.0.9\n }\n";
        let around = if keyword.name == "check_unicast_src" { unicast } else { "" };
        let [value, other] = samples(keyword);
        let globals = format!("global_defs {{\n {global} {value}\n}}\n");
        let text = |own: &str| {
            let inner = format!("{around}{own}");
            globals.clone() + &within(kind, &inner).expect("there is such a block")
        };
        let inherited = ("inherited from global_defs, line 2").to_owned();
        assert_eq!(
            explained(&text(""), keyword.name),
            (value.to_owned(), inherited),
            "{kind} {}",
            keyword.name
        );
        let own = format!("{} {other}", keyword.name);
        let (read, origin) = explained(&text(&own), keyword.name);
        assert_eq!(read, other, "{kind} {}", keyword.name);
        assert!(origin.starts_with("line "), "{origin}");
        count += 1;
    }
    assert!(count > 14, "{count}");
}

#[test]
fn a_check_and_a_real_server_inherit_from_the_blocks_around_what_the_table_says() {
    let mut count = 0;
    for (kind, keyword) in in_effect().filter(|(kind, keyword)| {
        let is_innermost = match kind {
            BlockKind::TcpCheck => true,
            BlockKind::RealServer => keywords::lookup(BlockKind::TcpCheck, keyword.name).is_none(),
            // The readers of other checks are the same.
            _ => false,
        };
        // It counts in the pages of HTTP checks only.
        keyword.heritage == Heritage::Around && is_innermost && keyword.name != "virtualhost"
    }) {
        let [value, other] = samples(keyword);
        let name = keyword.name;
        let text = |outer: &str, inner: &str, own: &str| {
            let check = if kind == BlockKind::TcpCheck { own } else { "" };
            let server = if kind == BlockKind::TcpCheck { inner } else { own };
            let settings = format!(
                "{outer}\n real_server 10.0.0.2 80 {{\n {server}\n TCP_CHECK {{\n {check}\n }}\n }}\n"
            );
            crate::config::testing::service(&settings)
        };
        let (said, differently) = (format!("{name} {value}"), format!("{name} {other}"));
        let inherited = (value.to_owned(), "inherited from virtual_server, line 5".to_owned());
        assert_eq!(explained(&text(&said, "", ""), name), inherited, "{name}");
        assert_eq!(explained(&text(&said, "", &differently), name).0, other, "{name}");
        if kind == BlockKind::TcpCheck {
            let inherited = (other.to_owned(), "inherited from real_server, line 7".to_owned());
            assert_eq!(explained(&text(&said, &differently, ""), name), inherited, "{name}");
        }
        count += 1;
    }
    assert_eq!(count, 10);
}

#[test]
fn what_counts_beside_a_keyword_is_what_the_table_says() {
    let text = within(BlockKind::TcpCheck, "delay_loop 7").expect("there is such a block");
    assert_eq!(explained(&text, "warmup"), ("7".to_owned(), "as delay_loop".to_owned()));
    let text = within(BlockKind::VrrpScript, "interval 7").expect("there is such a block");
    assert_eq!(explained(&text, "timeout"), ("7".to_owned(), "as interval".to_owned()));
    for (global, own) in [
        ("vrrp_garp_master_delay", "garp_lower_prio_delay"),
        ("vrrp_garp_master_repeat", "garp_lower_prio_repeat"),
    ] {
        let text = within(BlockKind::GlobalDefs, &format!("{global} 7")).expect("there is such a block");
        assert_eq!(
            explained(&text, own),
            ("7".to_owned(), "inherited from global_defs, line 2".to_owned()),
            "{own}"
        );
    }
}

#[test]
fn an_instance_that_may_have_no_interface_inherits_it() {
    let text =
        within(BlockKind::VrrpInstance, "unicast_peer {\n 10.0.0.9\n }").expect("there is such a block");
    let text = text.replace(" interface eth0\n", "") + "global_defs {\n default_interface eth7\n}\n";
    assert_eq!(
        explained(&text, "interface"),
        ("eth7".to_owned(), "inherited from global_defs, line 11".to_owned())
    );
}

#[test]
fn the_group_is_that_of_the_family() {
    let six = |globals: &str| {
        let text = within(BlockKind::VrrpInstance, "").expect("there is such a block");
        text.replace("10.0.0.1", "fe80::1") + globals
    };
    let default = ("ff02::12".to_owned(), "default".to_owned());
    assert_eq!(explained(&six(""), "mcast_dst_ip"), default);
    assert_eq!(explained(&six("global_defs {\n vrrp_mcast_group4 224.0.0.33\n}\n"), "mcast_dst_ip"), default);
    let inherited = "inherited from global_defs, line 10".to_owned();
    assert_eq!(
        explained(&six("global_defs {\n vrrp_mcast_group6 ff02::33\n}\n"), "mcast_dst_ip"),
        ("ff02::33".to_owned(), inherited)
    );
}
