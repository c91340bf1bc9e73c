//! Every kind of checker: what it says, what it takes from around, and what is wrong with it.

mod vip;

use std::time::Duration;

use crate::config::model::check::{
    DnsRecord, HexByte, HttpProbe, HttpProtocol, PatternOption, Probe, SmtpProbe, Tls, UdpProbe,
};
use crate::config::model::vrrp::User;
use crate::config::testing::{checkers, said, says, server, service, timings};

fn one(text: &str) -> Probe {
    checkers(&server(text)).remove(0).probe
}

fn http(text: &str) -> HttpProbe {
    match one(text) {
        Probe::Http(http) => http,
        other => panic!("{other:?}"),
    }
}

fn udp(text: &str) -> UdpProbe {
    match one(&format!("UDP_CHECK {{\n {text}\n }}")) {
        Probe::Udp(udp) => udp,
        other => panic!("{other:?}"),
    }
}

/// An `HTTP_GET` of one page; the text begins in line 9.
fn page(text: &str) -> String {
    format!("HTTP_GET {{\n url {{\n path /\n {text}\n }}\n }}")
}

#[test]
fn an_endpoint_is_that_of_the_server_or_another() {
    let text = "TCP_CHECK {\n connect_ip 10.0.0.9\n connect_port 81\n bindto 10.0.0.8\n bind_if eth1\n bind_port 99\n fwmark 7\n }";
    let Probe::Tcp(endpoint) = one(text) else { panic!("not TCP") };
    assert_eq!((endpoint.connect_ip.to_string().as_str(), endpoint.connect_port), ("10.0.0.9", 81));
    assert_eq!(endpoint.bindto, Some("10.0.0.8".parse().unwrap()));
    assert_eq!(
        (endpoint.bind_if.as_deref(), endpoint.bind_port, endpoint.fwmark),
        (Some("eth1"), Some(99), 7)
    );
    let Probe::Ping(endpoint) = one("PING_CHECK {\n }") else { panic!("not a ping") };
    assert_eq!(endpoint.connect_ip.to_string(), "10.0.0.2");
    says(
        &server("TCP_CHECK {\n connect_ip fe80::1\n }"),
        "t:6:2: warning: the check cannot use fe80::1 without an interface",
    );
    assert_eq!(said(&server("TCP_CHECK {\n connect_ip fe80::1\n bind_if eth0\n }")), Vec::<String>::new());
}

#[test]
fn each_kind_has_its_defaults() {
    let of = |text: &str| {
        let timing = timings(&server(text))[0];
        (timing.retry, timing.delay_before_retry.as_secs(), timing.warmup.as_secs())
    };
    assert_eq!(of("PING_CHECK {\n delay_loop 7\n }"), (1, 1, 7));
    assert_eq!(of(&page("")), (1, 3, 60));
    assert_eq!(of("DNS_CHECK {\n delay_loop 7\n }"), (3, 7, 7));
    assert_eq!(of("MISC_CHECK {\n misc_path /m\n }"), (0, 1, 60));
    let text = service("alpha\n retry 4\n real_server 10.0.0.2 80 {\n alpha no\n PING_CHECK {\n }\n }\n");
    assert_eq!((timings(&text)[0].alpha, timings(&text)[0].retry), (false, 4));
}

#[test]
fn pages_are_as_they_are_written() {
    let text = "SSL_GET {\n enable_sni\n tls_compliant\n http_protocol 1.1k\n fast_recovery\n url {\n path /a?b\n \
                status_code 200-299 302\n digest 9B3a0c85a887a256d6939da88aabd8cd\n }\n url {\n path b\n regex ok\n \
                regex_options caseless dotall\n regex_no_match\n regex_stack 1 2\n regex_min_offset 3\n regex_max_offset 4\n }\n }";
    let read = http(text);
    assert_eq!(read.tls, Some(Tls { sni: true, compliant: true }));
    assert_eq!((read.protocol, read.fast_recovery), (HttpProtocol::V11Keep, true));
    let [first, second] = read.urls.as_slice() else { panic!("{read:?}") };
    assert_eq!((first.path.as_str(), first.status.as_slice()), ("/a?b", &[200..=299, 302..=302][..]));
    assert_eq!(first.digest.map(u128::from_be_bytes), Some(0x9b3a_0c85_a887_a256_d693_9da8_8aab_d8cd));
    assert_eq!((second.path.as_str(), second.digest), ("/b", None));
    let regex = second.regex.as_ref().unwrap();
    assert_eq!((regex.pattern.as_str(), regex.no_match, regex.stack), ("ok", true, Some((1, 2))));
    assert_eq!(regex.options, [PatternOption::Caseless, PatternOption::Dotall]);
    assert_eq!((regex.min_offset, regex.max_offset), (3, Some(4)));
    let plain = http(&page("").replace("HTTP_GET {", "HTTP_GET {\n enable_sni"));
    assert_eq!((plain.tls, plain.protocol), (None, HttpProtocol::V10));
}

#[test]
fn the_host_is_that_of_the_innermost_block_that_names_one() {
    let at = |levels: [&str; 4]| {
        let name = |level: usize| match levels[level] {
            "" => String::new(),
            host => format!("virtualhost {host}"),
        };
        let [outer, of_server, of_check, of_page] = [0, 1, 2, 3].map(name);
        let text = service(&format!(
            "{outer}\n real_server 10.0.0.2 80 {{\n {of_server}\n HTTP_GET {{\n {of_check}\n url {{\n path /\n {of_page}\n }}\n }}\n }}\n"
        ));
        let Probe::Http(http) = checkers(&text).remove(0).probe else { panic!("{text}") };
        http.urls[0].virtualhost.clone().unwrap_or_default()
    };
    assert_eq!(at(["a", "b", "c", "d"]), "d");
    assert_eq!(at(["a", "b", "c", ""]), "c");
    assert_eq!(at(["a", "b", "", ""]), "b");
    assert_eq!(at(["a", "", "", ""]), "a");
    assert_eq!(at(["", "", "", ""]), "");
}

#[test]
fn wrong_pages_are_errors() {
    says(&server("HTTP_GET {\n }"), "t:6:2: error: `HTTP_GET` has no page to ask for");
    says(&server("HTTP_GET {\n url {\n }\n }"), "t:7:2: error: `url` has no `path`");
    says(&server(&page("status_code 99")), "t:9:14: error: `99` is out of range for a status code");
    says(&server(&page("status_code 200 300-200")), "t:9:18: error: `300-200` begins above its end");
    says(&server(&page("digest 640205")), "t:9:9: error: `640205` is not an MD5 sum");
    says(&server(&page("digest zz0205b7b0fc66c1ea91c463fac6334d")), "t:9:9: error: ");
    says(&server(&page("virtualhost \"a b\"")), "t:9:14: error: `a b` is not the name of a host");
    says(&server(&page("regex (a")), "t:9:8: error: this pattern cannot be used");
    says(
        &server(&page("regex a\n regex_stack 3 2")),
        "t:10:2: error: the stack begins with at least one byte",
    );
    says(&server(&page("regex a\n regex_stack 3")), "t:10:2: error: `regex_stack` takes two values");
    says(
        &server(&page("regex a\n regex_options caseless firstline")),
        "t:10:25: warning: the option `firstline` is not yet in effect",
    );
    says(&server(&page("regex_min_offset 3")), "t:9:2: warning: this says how to look for a pattern");
    says(
        &server(&page("regex a\n regex_min_offset 3\n regex_max_offset 2")),
        "t:9:8: warning: `regex_max_offset` 2 is before `regex_min_offset` 3; it is ignored",
    );
    let text = page("").replace("url {", "http_protocol 2\n url {");
    says(&server(&text), "t:7:16: error: `2` is not a version of HTTP");
    let text = page("").replace("path /", "path \"/a b\"");
    says(&server(&text), "t:8:7: error: `/a b` is not a path that can be asked for");
    let text = page("").replace("path /", "path a");
    says(&server(&text), "t:8:7: warning: `a` does not begin with a slash; one is put before it");
    let text = page("").replace("url {", "nb_get_retry 7\n url {");
    says(&server(&text), "t:7:2: note: `nb_get_retry` is an older word for `retry`");
    assert_eq!(timings(&server(&text))[0].retry, 7);
}

#[test]
fn a_mail_check_asks_the_server_and_all_hosts() {
    let Probe::Smtp(smtp) = one("SMTP_CHECK {\n connect_port 25\n helo_name lvs.example.com\n }") else {
        panic!("not SMTP")
    };
    assert_eq!((smtp.helo_name.as_str(), smtp.endpoint.connect_port), ("lvs.example.com", 25));
    let hosts = server(
        "SMTP_CHECK {\n connect_port 25\n bindto 10.0.0.8\n retry 3\n host {\n connect_ip 10.0.0.3\n retry 4\n }\n host {\n \
         connect_port 26\n }\n }",
    );
    let read: Vec<_> = checkers(&hosts)
        .iter()
        .map(|checker| {
            let Probe::Smtp(SmtpProbe { endpoint, .. }) = &checker.probe else { panic!("not SMTP") };
            assert!(endpoint.bindto.is_some(), "it is that of the check");
            (endpoint.connect_ip.to_string(), endpoint.connect_port, checker.timing.retry)
        })
        .collect();
    let expected = [("10.0.0.2", 25, 3), ("10.0.0.3", 25, 4), ("10.0.0.2", 26, 3)];
    assert_eq!(read, expected.map(|(address, port, retry)| (address.to_owned(), port, retry)));
    says(&server("SMTP_CHECK {\n helo_name \"a b\"\n }"), "t:7:12: error: `a b` is not the name of a host");
}

#[test]
fn a_question_of_dns_has_a_type_and_a_name() {
    let read = |text: &str| match one(&format!("DNS_CHECK {{\n {text}\n }}")) {
        Probe::Dns(dns) => (dns.record, dns.name),
        other => panic!("{other:?}"),
    };
    assert_eq!(read(""), (DnsRecord::Soa, ".".to_owned()));
    assert_eq!(read("type aaaa\n name www.example.com"), (DnsRecord::Aaaa, "www.example.com".to_owned()));
    says(&server("DNS_CHECK {\n type B\n }"), "t:7:7: error: `B` is not a type of record");
    for name in ["a..b", &"a".repeat(64), "\"a b\"", "\"\""] {
        let text = server(&format!("DNS_CHECK {{\n name {name}\n }}"));
        assert!(said(&text)[0].contains("is not a name of DNS"), "{name}: {:?}", said(&text));
    }
}

#[test]
fn bytes_are_hexadecimal_and_a_digit_alone_is_one() {
    let sent = udp("payload Ab12f 3 456 546443123").payload.unwrap();
    assert_eq!(sent, [0xab, 0x12, 0x0f, 0x03, 0x45, 0x06, 0x54, 0x64, 0x43, 0x12, 0x03]);
    let read = udp("require_reply \"x1 2X x\"\n min_reply_length 3\n max_reply_length 70");
    let byte = |value, mask| HexByte { value, mask };
    assert_eq!(read.require_reply.unwrap(), [byte(1, 0x0f), byte(0x20, 0xf0), byte(0, 0xf0)]);
    assert_eq!((read.min_reply_length, read.max_reply_length), (3, 70));
    let read = udp("require_reply");
    assert_eq!((read.require_reply, read.payload, read.max_reply_length), (Some(vec![]), None, 255));
    assert_eq!(udp("").require_reply, None);
    says(&server("UDP_CHECK {\n payload 0x\n }"), "t:7:10: error: `0x` is not hexadecimal");
    says(&server("UDP_CHECK {\n require_reply g\n }"), "t:7:16: error: `g` is not hexadecimal");
    says(
        &server("UDP_CHECK {\n min_reply_length 256\n }"),
        "t:6:2: warning: no answer has at least 256 and at most 255 bytes",
    );
}

#[test]
fn a_program_has_a_time_and_a_user() {
    let read = |text: &str| match one(&format!("MISC_CHECK {{\n misc_path \"/m 'a b'\"\n {text}\n }}")) {
        Probe::Misc(misc) => misc,
        other => panic!("{other:?}"),
    };
    let plain = read("");
    assert_eq!(plain.command.words, ["/m", "a b"]);
    assert_eq!((plain.timeout.as_secs(), plain.is_dynamic, plain.command.user), (60, false, None));
    assert_eq!(read("misc_timeout 0\n delay_loop 0.5").timeout, Duration::from_millis(500));
    let whole = read("misc_timeout 3\n misc_dynamic\n user u g");
    assert_eq!((whole.timeout.as_secs(), whole.is_dynamic), (3, true));
    assert_eq!(whole.command.user, Some(User { name: "u".to_owned(), group: Some("g".to_owned()) }));
    says(&server("MISC_CHECK {\n }"), "t:6:2: error: `MISC_CHECK` has no `misc_path`");
    says(
        &server("MISC_CHECK {\n misc_path /m\n connect_timeout 3\n }"),
        "t:8:2: warning: the keyword `connect_timeout` does not belong in MISC_CHECK",
    );
}

#[test]
fn a_file_has_its_own_weight_or_that_of_the_check() {
    let files = "track_file f {\n file /f\n weight 3 reverse\n}\n";
    let read = |text: &str| {
        let text = files.to_owned() + &server(&format!("FILE_CHECK {{\n track_file f\n {text}\n }}"));
        let Probe::File(file) = checkers(&text).remove(0).probe else { panic!("{text}") };
        (file.path.to_string_lossy().into_owned(), file.weight, file.reverse)
    };
    assert_eq!(read(""), ("/f".to_owned(), 3, true));
    assert_eq!(read("weight -5"), ("/f".to_owned(), -5, false));
    let text = server("FILE_CHECK {\n track_file g\n }");
    says(&text, "t:7:13: warning: there is no track_file `g`; the check counts as passed");
    assert_eq!(checkers(&text), []);
    says(&server("FILE_CHECK {\n }"), "t:6:2: warning: `FILE_CHECK` names no file");
}

#[test]
fn what_is_not_run_is_said() {
    let text = server("BFD_CHECK {\n name b\n }");
    says(&text, "t:6:2: warning: `BFD_CHECK` is not yet in effect; it counts as passed");
    assert_eq!(one("BFD_CHECK {\n name b\n }"), Probe::Bfd);
}
