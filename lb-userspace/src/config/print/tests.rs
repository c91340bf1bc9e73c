//! What is printed is read as the same model, whatever the model is.

use proptest::prelude::*;
use proptest::sample::select;

use crate::config::keywords::{self, BlockKind, Body, Effect, Form, Keyword};
use crate::config::testing::{config, instance, said, service};
use crate::config::{Config, explain, parse, print};

/// What is wrong with the way back, if the text loads and something is.
fn round_trip(text: &str) -> Option<Result<(), TestCaseError>> {
    let parsed = parse("t", text);
    let explained = explain(&parsed)?;
    let model = parsed.config?.without_places();
    Some(same(&model, &print(&model)).and_then(|()| same(&model, &explained)))
}

fn same(model: &Config, printed: &str) -> Result<(), TestCaseError> {
    let parsed = parse("printed", printed);
    prop_assert!(parsed.config.is_some(), "{printed}\n{:#?}", parsed.diagnostics);
    let again = parsed.config.map(Config::without_places);
    prop_assert_eq!(again.as_ref(), Some(model), "{}", printed);
    Ok(())
}

#[track_caller]
fn survives(text: &str) {
    round_trip(text).unwrap_or_else(|| panic!("it does not load: {:#?}", said(text))).unwrap();
}

#[test]
fn words_are_quoted_where_they_need_it() {
    for word in ["\"a b\"", "'a'", "\\\\", "a\"b c\"d", "\"a#b!c\"", "\"{\"", "\"\"", "é", "'$x'"] {
        survives(&format!("global_defs {{\n router_id {word}\n}}\n"));
    }
    for command in [
        "/n",
        "\"/n 'a b' c\"",
        "\"/n ''\"",
        "\"/n \\\"it's\\\"\" root",
        "'/n \\\\\\\\ \\\\\\\"'",
        "/n MASTER",
    ] {
        survives(&instance(&format!("notify {command}")));
    }
    for password in
        ["12345678", "123456789", "\"a b\"", "\"\"", "aééééé", "1234567日", "123456😀", "1234567à"]
    {
        survives(&instance(&format!("authentication {{\n auth_type AH\n auth_pass {password}\n }}")));
    }
}

#[test]
fn what_is_left_of_variables_is_none_when_it_is_read_again() {
    for word in
        ["$${A}", "$${B}", "\"$${A} $${B} ${DOLLAR} $DOLLAR $x\"", "\"${x$${A}}\"", "$$${A}", "${DOLLAR}"]
    {
        let text = format!("$A={{_PWD}}\n$B=_PWD\nglobal_defs {{\n router_id {word}\n}}\n");
        survives(&text);
    }
    survives(&format!("$A={{_PWD}}\n{}", instance("notify /n$${A}")));
    survives(&format!("$B=_X\n{}", instance("track_interface {\n $$B\n }")));
    let said = said("global_defs {\n router_id ${a\"b}\n}\n");
    assert!(said.iter().any(|line| line.contains("this \" is not closed")), "{said:#?}");
}

#[test]
fn what_is_read_through_a_variable_is_in_the_first_file_too() {
    let text = "$N=5\n".to_owned() + &instance("priority ${N}");
    let explained = explain(&parse("t", &text)).expect("it loads");
    let line = explained.lines().find(|line| line.trim().starts_with("priority")).expect("it is printed");
    assert!(line.ends_with("# line 5"), "{line}");
}

#[test]
fn what_follows_from_several_settings_stays() {
    for text in [
        // No interface, because it does not run.
        instance("unicast_fault_no_peer\n unicast_src_ip 10.0.0.3"),
        instance("unicast_peer {\n 10.0.0.3\n }").replace(" interface eth0\n", ""),
        // The mode that alone takes `vmac_xmit_base` from unicast.
        instance("strict_mode\n use_vmac\n vmac_xmit_base\n unicast_peer {\n 10.0.0.3\n }"),
        instance("strict_mode\n priority 255\n authentication {\n auth_type PASS\n auth_pass 1\n }"),
        // Both would have the same name.
        instance("use_vmac")
            + &instance("use_vmac")
                .replace("VI_1", "B")
                .replace("eth0", "eth1")
                .replace("10.0.0.1", "10.0.0.2"),
        // More than an advert holds, one of them twice.
        instance(&format!(
            "virtual_ipaddress {{\n {} 10.1.0.9\n }}",
            (0..300).map(|n| format!("10.1.{}.{}\n", n / 250, n % 250)).collect::<Vec<_>>().concat()
        )),
        // More than the line of a tracker may say.
        "track_file f {\n file /f\n weight 1000 reverse\n}\n".to_owned()
            + &instance("track_file {\n f noreverse\n }"),
        service("nat_mask 255.255.0.0\n real_server 10.0.0.2 80 {\n }\n"),
        service(
            "vip_check retry 2\n real_server 10.0.0.2 80 {\n }\n real_server 10.0.0.3 80 {\n vip_check off\n }\n",
        ),
        "virtual_server_group G {\n 10.0.0.5-7 80\n fwmark 3\n}\n".to_owned()
            + &service("vip_check delay_loop 0.5 alpha\n real_server 10.0.0.2 80 {\n TCP_CHECK {\n }\n }\n")
                .replace("10.0.0.1 80", "group G")
                .replace("alpha", "alpha yes"),
        service("sh-port\n flag-1\n real_server 10.0.0.2 81 {\n TCP_CHECK {\n }\n }\n"),
    ] {
        survives(&text);
    }
}

#[test]
fn what_is_not_set_is_no_statement() {
    let text = instance("");
    assert!(!print(&config(&text)).contains("mcast_src_ip"), "{}", print(&config(&text)));
    let explained = explain(&parse("t", &text)).expect("it loads");
    assert!(explained.contains("    # mcast_src_ip  "), "{explained}");
}

/// The comment behind the line of `text` explained that begins with `start`.
#[track_caller]
fn comment(text: &str, start: &str) -> String {
    let explained = explain(&parse("t", text)).expect("it loads");
    let line = explained.lines().find(|line| line.trim().starts_with(start));
    let line = line.unwrap_or_else(|| panic!("{start} is not in\n{explained}"));
    line.rsplit_once(" # ").map(|(_, comment)| comment.to_owned()).unwrap_or_default()
}

#[test]
fn what_was_written_otherwise_is_said() {
    assert_eq!(comment(&instance("advert_int 1.5"), "advert_int 2"), "line 4, written as advert_int 1.5");
    assert_eq!(comment(&instance("advert_int 1.0"), "advert_int 1"), "line 4");
    let text = instance("state MASTER\n priority 9\n nopreempt");
    assert_eq!(comment(&text, "preempt"), "line 6, written as nopreempt");
    assert_eq!(comment(&instance("state MASTER"), "priority 255"), "follows from the rest");
    let text = instance("authentication {\n auth_type PASS\n auth_pass 123456789\n }");
    assert_eq!(comment(&text, "auth_pass"), "line 6, written longer");
    let text = "vrrp_track_process p {\n process p x\n}\n".to_owned() + &instance("track_process {\n p\n }");
    assert_eq!(comment(&text, "full_command"), "follows from the rest");
    assert_eq!(comment(&instance(""), "accept"), "default");
    assert_eq!(comment(&instance("strict_mode"), "no_accept"), "follows from the rest");
    let text = service("nat_mask 24\n real_server 10.0.0.2 81 {\n }\n");
    assert_eq!(comment(&text, "# persistence_granularity"), "line 5, without effect");
    assert_eq!(comment(&text, "real_server"), "line 6, written as real_server 10.0.0.2 81");
    let text = text.replace("lb_kind DR", "lb_kind NAT");
    assert_eq!(comment(&text, "virtual_server"), "line 1, left out");
}

#[test]
fn a_weight_is_that_of_the_line_or_of_the_definition() {
    let script = "vrrp_script s {\n script /s\n weight 5\n}\n".to_owned();
    let tracked = |line: &str| script.clone() + &instance(&format!("track_script {{\n {line}\n }}"));
    assert_eq!(comment(&tracked("s"), "s weight 5"), "line 9, weight inherited from vrrp_script, line 3");
    assert_eq!(comment(&tracked("s weight 7"), "s weight 7"), "line 9");
    assert_eq!(comment(&tracked("s").replace(" weight 5\n", ""), "s weight 0"), "line 8");
}

#[test]
fn a_comment_stays_a_comment() {
    let text = "global_defs {\n router_id a\n vrrp_version 2 \u{1b}[2J\n}\n".to_owned() + &instance("");
    assert_eq!(
        comment(&text, "version 2"),
        "inherited from global_defs, line 3, written as vrrp_version 2 \\u{1b}[2J"
    );
}

proptest! {
    #[test]
    fn any_configuration_that_loads_is_printed_and_read_as_the_same(text in file()) {
        for diagnostic in parse("t", &text).diagnostics {
            prop_assert!(diagnostic.hint.is_some(), "{}", diagnostic.message);
        }
        let result = round_trip(&text);
        prop_assume!(result.is_some());
        result.unwrap_or(Ok(()))?;
    }
}

/// Definitions of all that can be tracked, then instances, groups, marks and services.
fn file() -> impl Strategy<Value = String> {
    let script = |name| block(format!("vrrp_script {name}"), BlockKind::VrrpScript, "script /s".to_owned());
    let definitions = (
        block("SSL".to_owned(), BlockKind::Ssl, String::new()),
        block("global_defs".to_owned(), BlockKind::GlobalDefs, String::new()),
        script("s0"),
        script("s1"),
        block("track_file f0".to_owned(), BlockKind::TrackFile, "file /f".to_owned()),
        block("vrrp_track_process p0".to_owned(), BlockKind::TrackProcess, "process p".to_owned()),
    );
    let definitions = definitions.prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f].concat());
    let group =
        block("vrrp_sync_group G".to_owned(), BlockKind::VrrpSyncGroup, "group {\nVI_0\nVI_2\n}".to_owned());
    let rules = block("mark 7".to_owned(), BlockKind::Mark, String::new());
    let rules = rules.prop_map(|rule| format!("fwmark_rules {{\n{rule}}}\n"));
    (definitions, instances(), prop_oneof![Just(String::new()), group], rules, services())
        .prop_map(|(a, b, c, d, e)| [a, b, c, d, e].concat())
}

fn instances() -> impl Strategy<Value = String> {
    let instance = |number: usize| {
        let addresses = select(vec![
            format!(
                "virtual_ipaddress {{\n10.0.{number}.1/24 dev eth1 label eth1:1 brd +\n10.0.{number}.2 scope link\n}}"
            ),
            format!(
                "virtual_ipaddress {{\nfe80::{number}\nfd00::{number}/64\n}}\nvirtual_ipaddress_excluded {{\n10.9.0.1\n}}"
            ),
            format!("virtual_ipaddress {{\n10.0.{number}.1\n}}\nno_accept"),
        ]);
        let rest = block(format!("vrrp_instance VI_{number}"), BlockKind::VrrpInstance, "@@".to_owned());
        (addresses, rest).prop_map(move |(addresses, rest)| {
            let own = format!("interface eth0\nvirtual_router_id {}\n{addresses}", number + 1);
            rest.replace("@@", &own)
        })
    };
    (0..4_usize)
        .prop_flat_map(move |count| (0..count).map(instance).collect::<Vec<_>>())
        .prop_map(|all| all.concat())
}

fn services() -> impl Strategy<Value = String> {
    let check = select(CHECKS.to_vec()).prop_flat_map(|(kind, inner)| check(kind, inner));
    let check = prop_oneof![1 => Just("BFD_CHECK {\nname b\n}\n".to_owned()), 9 => check];
    let server = (select(vec!["10.0.0.5 80", "10.0.0.6", "10.0.0.7 8080"]), check)
        .prop_flat_map(|(name, check)| block(format!("real_server {name}"), BlockKind::RealServer, check));
    let names = ["10.0.0.1 80", "10.0.0.2", "fwmark 7", "10.0.0.1 443", "group A", "group B"];
    let groups = "virtual_server_group A {\n10.0.2.1-3 80\nfd00::1-f\nfwmark 9 inet\n10.0.2.9\n}\n\
                  virtual_server_group B {\nfwmark 8\nfwmark 7\n10.0.3.0/31 443\n}\n";
    let service =
        (select(names.to_vec()), prop::collection::vec(server, 0..4)).prop_flat_map(|(name, servers)| {
            block(format!("virtual_server {name}"), BlockKind::VirtualServer, servers.concat())
        });
    prop::collection::vec(service, 0..3).prop_map(|all| groups.to_owned() + &all.concat())
}

/// What each kind of checker needs.
const CHECKS: [(BlockKind, &str); 9] = [
    (BlockKind::TcpCheck, ""),
    (BlockKind::HttpGet, "@url"),
    (BlockKind::SslGet, "@url"),
    (BlockKind::SmtpCheck, "@host"),
    (BlockKind::DnsCheck, ""),
    (BlockKind::UdpCheck, ""),
    (BlockKind::PingCheck, ""),
    (BlockKind::MiscCheck, "misc_path /m"),
    (BlockKind::FileCheck, "track_file f0"),
];

fn check(kind: BlockKind, inner: &'static str) -> impl Strategy<Value = String> {
    let many = |name: &str, kind, inner: &str, least| {
        prop::collection::vec(block(name.to_owned(), kind, inner.to_owned()), least..3)
            .prop_map(|all| all.concat())
            .boxed()
    };
    let inner = match inner {
        "@url" => many("url", BlockKind::Url, "path /", 1),
        "@host" => many("host", BlockKind::SmtpHost, "", 0),
        other => Just(other.to_owned()).boxed(),
    };
    inner.prop_flat_map(move |inner| block(kind.to_string(), kind, inner))
}

/// A block with some of the settings that are in effect in it, and `inner` behind them.
fn block(head: String, kind: BlockKind, inner: String) -> impl Strategy<Value = String> {
    let known: Vec<_> = keywords::of(kind).filter(|keyword| can_be_made(kind, keyword)).collect();
    let settings =
        prop::collection::vec(select(known).prop_flat_map(move |keyword| setting(kind, keyword)), 0..7);
    settings.prop_map(move |settings| format!("{head} {{\n{}\n{inner}\n}}\n", settings.join("\n")))
}

fn can_be_made(kind: BlockKind, keyword: &Keyword) -> bool {
    let is_name = ["interface", "virtual_router_id", "group"].contains(&keyword.name);
    let is_block = matches!(keyword.body, Body::Block(_)) && keyword.name != "authentication";
    let has_samples = matches!(keyword.form, Form::Text(_)) || keyword.name == "authentication";
    let can_be_made = !has_samples || !samples(kind, keyword.name).is_empty();
    keyword.effect == Effect::Now && !is_name && !is_block && can_be_made
}

fn setting(kind: BlockKind, keyword: &'static Keyword) -> BoxedStrategy<String> {
    let name = keyword.name;
    let value = match keyword.form {
        Form::Number(least, most) => prop_oneof![Just(least), Just(most), least..=most.min(least + 20)]
            .prop_map(|n| n.to_string())
            .boxed(),
        Form::Seconds(least, most) => prop_oneof![
            select(vec![least, most]).prop_map(str::to_owned),
            (1..20_u32, 0..1_000_000_u32).prop_map(|(whole, micros)| format!("{whole}.{micros:06}")),
            (1..20_u32).prop_map(|whole| whole.to_string()),
        ]
        .boxed(),
        Form::Switch => select(vec!["", "yes", "off"]).prop_map(str::to_owned).boxed(),
        Form::Text(_) => select(samples(kind, name).to_vec()).prop_map(str::to_owned).boxed(),
        Form::Nothing if name == "authentication" => {
            select(samples(kind, name).to_vec()).prop_map(str::to_owned).boxed()
        }
        Form::Nothing => Just(String::new()).boxed(),
    };
    value.prop_map(move |value| format!("{name} {value}")).boxed()
}

/// Values of the keywords that take words; none where the block is made without them.
fn samples(kind: BlockKind, name: &str) -> &'static [&'static str] {
    match (kind, name) {
        (_, "notification_email") => &["{\na@example.com b\nc@localhost\n}", "{\n}"],
        (_, "notification_email_from") => &["lvs@example.com"],
        (_, "smtp_server") => &["192.0.2.25", "mx.example.com 2525", "fd00::25"],
        (_, "smtp_helo_name") => &["lvs1"],
        (_, "vip_check") => &["", "off", "on retry 3", "delay_loop 0.5 alpha yes connect_timeout 2"],
        (_, "sorry_server") => &["10.0.0.77", "10.0.0.78 80"],
        (_, "sorry_server_lvs_method") => &["DR", "NAT"],
        (_, "quorum_up" | "quorum_down") => &["/q", "\"/q 'a b'\" root"],
        (BlockKind::Ssl, _) => &["/f", "\"/a b\""],
        (_, "router_id") => &["LVS_1", "\"a b\"", "'\"'"],
        (_, "vrrp_mcast_group4") => &["224.0.0.33"],
        (_, "vrrp_mcast_group6") => &["ff02::33"],
        (_, "mcast_dst_ip") => &["224.0.0.34", "ff02::34"],
        (_, "default_interface") => &["eth7"],
        (_, "vrrp_version" | "version") => &["2", "3"],
        (_, "vmac_prefix") => &["v", "macv"],
        (_, "lvs_timeouts") => &["tcp 5", "udp 3 tcp 4", "tcpfin 0"],
        (_, "script_user" | "user") => &["root", "nobody nogroup", "u :g"],
        (_, "notify_fifo") => &["/run/a", "/run/b u g"],
        (_, "lvs_notify_fifo") => &["/run/l"],
        (_, "vrrp_notify_fifo") => &["/run/a", "/run/c u"],
        (BlockKind::FileCheck, "track_file") => &["f0"],
        (BlockKind::TrackFile | BlockKind::FileCheck, "weight") => &["3", "-1000", "2147483647 reverse"],
        (_, "weight") => &["-253", "5 reverse", "0"],
        (_, "init_file") => &["", "5", "-3 overwrite"],
        (_, "process") => &["q", "/usr/bin/q -f x", "q \"a b\" ''"],
        (_, "param_match") => &["", "initial", "partial"],
        (_, "script") => &["/s", "\"/s a\" b", "{\n/s a\nb\n}"],
        (_, "authentication") => &[
            "{\nauth_type PASS\nauth_pass 1111\n}",
            "{\nauth_type AH\nauth_pass aééééé\n}",
            "{\nauth_type AH\n}",
        ],
        (_, "track_interface") => &["{\neth1 weight -5\neth2 reverse\n}", "{\neth0\n}"],
        (_, "track_script") => &["{\ns0\n}", "{\ns1 weight 9 reverse\ns0 reverse\n}"],
        (_, "track_file") => &["{\nf0\n}", "{\nf0 reverse\n}", "{\nf0 noreverse\n}", "{\nf0 weight 2\n}"],
        (_, "track_process") => &["{\np0\n}", "{\np0 weight 254\n}"],
        (_, name) if name.contains("notify") && name != "notify_priority_changes" => {
            &["/n", "\"/n master\"", "\"/n 'a b' \\\\ ''\" root", "/n MASTER", "'/n \"it\\'s\"' u g"]
        }
        (_, "virtual_ipaddress_excluded") => &["{\n10.0.9.1 dev eth2\nfd00::9\n10.0.9.1 dev eth2\n}"],
        (_, "unicast_peer") => &["{\n10.0.0.8\n10.0.0.9\n}", "{\nfd00::8\n}", "{\n}"],
        (_, "unicast_src_ip" | "mcast_src_ip") => &["10.0.0.3", "fd00::3", "10.0.0.8"],
        (_, "virtual_routes") => &[
            "{\n10.0.0.0/8 via 10.0.0.254 dev eth0 metric 5\nblackhole 10.0.0.0/8 table 7\n}",
            "{\ndefault via fd00::9 src fd00::3 onlink\n192.0.2.1 dev eth0 scope link table main\n}",
        ],
        (_, "virtual_rules") => &[
            "{\nfrom 10.0.0.0/8 to 10.1.0.0/16 iif eth0 oif eth1 table 5 preference 3\n}",
            "{\ninet6 fwmark 7 table main\ninet fwmark 0x10/0xff lookup 9 prio 1\nfrom all table 9\n}",
        ],
        (_, "state") => &["MASTER", "BACKUP"],
        (_, "use_vmac") => &["", "vm.7"],
        (_, "old_unicast_checksum") => &["", "never"],
        (_, "source" | "destination") => &["10.0.0.0/8 10.1.0.1", "10.0.0.1"],
        (BlockKind::Mark, "protocol") => &["tcp UDP", "SCTP"],
        (_, "protocol") => &["TCP", "udp", "SCTP"],
        (_, "port") => &["80 8000-8100", "1-65535"],
        (_, "lb_algo" | "lvs_sched") => &["rr", "sh", "mh", "wlc", "dh"],
        (_, "persistence_granularity" | "nat_mask") => &["255.255.0.0", "24", "0.0.0.0", "32"],
        (_, "lb_kind" | "lvs_method") => &["DR", "NAT", "TUN"],
        (_, "ip_family") => &["inet"],
        (_, "connect_ip" | "bindto") => &["10.0.0.99"],
        (_, "bind_if") => &["eth0"],
        (_, "virtualhost") => &["www.example.com", "a:81"],
        (_, "http_protocol") => &["1.0", "1.0c", "1.1", "1.1K"],
        (_, "path") => &["/a?b=c", "index.html"],
        (_, "status_code") => &["200", "100-599 302", "404 200-299"],
        (_, "digest") => &["9B3A0c85a887a256d6939da88aabd8cd"],
        (_, "regex") => &["a+", "\"^a b$\"", "'\"'"],
        (_, "regex_options") => &["caseless", "dotall ungreedy caseless", "utf"],
        (_, "regex_stack") => &["1 2", "32768 65536"],
        (_, "helo_name") => &["lvs.example.com"],
        (_, "type") => &["A", "aaaa", "DNSKEY"],
        (_, "name") => &["www.example.com", ".", "a.b."],
        (_, "misc_path") => &["/m", "\"/m 'a b'\"", "/m a b"],
        (_, "payload") => &["Ab12f 3 456", "\"00 1\""],
        (_, "require_reply") => &["", "x1 2x 3", "\"aX\""],
        _ => &[],
    }
}
