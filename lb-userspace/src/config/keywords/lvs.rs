//! The keywords of `virtual_server` and what stands in it.

use super::{BlockKind, Body, Keyword, any, block, flag, maybe, named, one, some};

/// What a virtual server, a real server and a checker all take; each inherits it from the one around it.
pub(super) const TIMING: &[Keyword] = &[
    one("connect_timeout").now(),
    one("delay_before_retry").now(),
    one("delay_loop").now(),
    one("retry").now(),
    one("warmup").now(),
    maybe("alpha").later(),
];

/// `fwmark_rules`, which keepalived does not know.
pub(super) const FWMARK_RULES: &[Keyword] = &[named("mark", BlockKind::Mark).now()];

/// `mark`.
pub(super) const MARK: &[Keyword] =
    &[some("source").now(), some("destination").now(), some("protocol").now(), some("port").now()];

/// `virtual_server`; keepalived does not know `sloppy_tcp` and `expire_quiescent_template`.
pub(super) const VIRTUAL_SERVER: &[Keyword] = &[
    Keyword::new("real_server", 1, 2, Body::Block(BlockKind::RealServer)).now(),
    one("lb_algo").now(),
    one("lvs_sched").now(),
    one("protocol").now(),
    one("persistence_granularity").now(),
    one("nat_mask").now(),
    some("lb_kind").now(),
    some("lvs_method").now(),
    maybe("persistence_timeout").now(),
    maybe("inhibit_on_failure").now(),
    flag("flag-1").now(),
    flag("flag-2").now(),
    flag("flag-3").now(),
    flag("sh-port").now(),
    flag("sh-fallback").now(),
    flag("mh-port").now(),
    flag("mh-fallback").now(),
    flag("ops").now(),
    maybe("sloppy_tcp").now(),
    maybe("expire_quiescent_template").now(),
    one("persistence_engine").later(),
    one("quorum").later(),
    one("hysteresis").later(),
    some("quorum_up").later(),
    some("quorum_down").later(),
    some("sorry_server").later(),
    some("sorry_server_lvs_method").later(),
    flag("sorry_server_inhibit").later(),
    maybe("ha_suspend").later(),
    maybe("omega").later(),
    maybe("smtp_alert").later(),
    one("virtualhost"),
    one("snmp_name"),
    one("ip_family").now(),
];

/// `real_server`.
pub(super) const REAL_SERVER: &[Keyword] = &[
    one("weight").now(),
    maybe("inhibit_on_failure").now(),
    some("lvs_method").now(),
    some("notify_up").later(),
    some("notify_down").later(),
    one("uthreshold").now(),
    one("lthreshold").now(),
    maybe("smtp_alert").later(),
    one("virtualhost"),
    one("snmp_name"),
    block("TCP_CHECK", BlockKind::TcpCheck).now(),
    block("HTTP_GET", BlockKind::HttpGet).now(),
    block("SSL_GET", BlockKind::SslGet).now(),
    block("SMTP_CHECK", BlockKind::SmtpCheck).now(),
    block("DNS_CHECK", BlockKind::DnsCheck).now(),
    block("MISC_CHECK", BlockKind::MiscCheck).now(),
    block("UDP_CHECK", BlockKind::UdpCheck).now(),
    block("PING_CHECK", BlockKind::PingCheck).now(),
    block("FILE_CHECK", BlockKind::FileCheck).now(),
    block("BFD_CHECK", BlockKind::BfdCheck).now(),
];

/// `TCP_CHECK`.
pub(super) const TCP_CHECK: &[Keyword] = &[
    one("connect_ip").now(),
    one("connect_port").now(),
    one("bindto").now(),
    one("nb_get_retry").now(),
    one("bind_if").later(),
    one("bind_port").later(),
    one("fwmark").later(),
    maybe("log_all_failures"),
];

/// Where to and from what address a checker connects; the checkers that take it do nothing yet.
pub(super) const CONNECT: &[Keyword] = &[
    one("connect_ip"),
    one("connect_port"),
    one("bindto"),
    one("bind_if"),
    one("bind_port"),
    one("fwmark"),
    maybe("log_all_failures"),
];

/// `HTTP_GET`.
pub(super) const HTTP_GET: &[Keyword] = &[
    block("url", BlockKind::Url),
    one("nb_get_retry"),
    one("virtualhost"),
    one("http_protocol"),
    maybe("fast_recovery"),
];

/// What `SSL_GET` has more.
pub(super) const SSL_GET: &[Keyword] = &[flag("enable_sni")];

/// `url`.
pub(super) const URL: &[Keyword] = &[
    one("path"),
    one("digest"),
    one("virtualhost"),
    one("regex"),
    one("regex_min_offset"),
    one("regex_max_offset"),
    some("status_code"),
    some("regex_options"),
    some("regex_stack"),
    any("regex_no_match"),
];

/// `SMTP_CHECK`.
pub(super) const SMTP_CHECK: &[Keyword] = &[one("helo_name"), block("host", BlockKind::SmtpHost)];

/// `DNS_CHECK`.
pub(super) const DNS_CHECK: &[Keyword] = &[one("type"), one("name")];

/// `MISC_CHECK`.
pub(super) const MISC_CHECK: &[Keyword] =
    &[some("misc_path"), some("user"), one("misc_timeout"), any("misc_dynamic")];

/// `UDP_CHECK`.
pub(super) const UDP_CHECK: &[Keyword] =
    &[one("payload"), one("min_reply_length"), one("max_reply_length"), maybe("require_reply")];

/// `FILE_CHECK`.
pub(super) const FILE_CHECK: &[Keyword] = &[one("track_file"), some("weight")];

/// `BFD_CHECK`.
pub(super) const BFD_CHECK: &[Keyword] = &[one("name")];
