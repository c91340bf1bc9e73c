//! The keywords of `virtual_server` and what stands in it.

use super::{BlockKind, Body, Keyword, any, block, flag, maybe, named, one, some};

/// What a virtual server, a real server and a checker all take; each inherits it from the one around it.
#[rustfmt::skip]
pub(super) const TIMING: &[Keyword] = &[
    one("connect_timeout").now().seconds("0.000001", "4294.967295").is("5").around().means("How long one attempt may take."),
    one("delay_before_retry").now().seconds("0", "4294967295").is("1").around().means("Time between a failed attempt and the next."),
    one("delay_loop").now().seconds("0.000001", "4294967295").is("60").around().means("Time between two checks."),
    one("retry").now().number(0, 4_294_967_295).is("1").around().means("How many attempts follow a failed one before the server is out."),
    one("warmup").now().seconds("0", "4294967295").around().beside("delay_loop").means("The first check comes after a random time up to this."),
    maybe("alpha").later().switch().means("A server is down until its first check."),
];

/// `fwmark_rules`, which keepalived does not know.
#[rustfmt::skip]
pub(super) const FWMARK_RULES: &[Keyword] = &[
    named("mark", BlockKind::Mark).now().number(1, 4_294_967_295).means("The mark of packets that fit every line; the first block that fits decides, and of combinations there are up to 256.").differs("not known to keepalived"),
];

/// `mark`.
#[rustfmt::skip]
pub(super) const MARK: &[Keyword] = &[
    some("source").now().takes("PREFIX ...").or("any").means("Where the packets come from."),
    some("destination").now().takes("PREFIX ...").or("any").means("Where they go to."),
    some("protocol").now().takes("TCP, UDP or SCTP ...").or("any").means("Their transport protocol."),
    some("port").now().takes("PORT[-PORT] ...").or("any").means("Their destination port."),
];

/// `virtual_server`; keepalived does not know `sloppy_tcp` and `expire_quiescent_template`.
#[rustfmt::skip]
pub(super) const VIRTUAL_SERVER: &[Keyword] = &[
    Keyword::new("real_server", 1, 2, Body::Block(BlockKind::RealServer)).now().takes("ADDRESS [PORT] { ... }").means("A server behind it, of its own family."),
    one("lb_algo").now().takes("rr, wrr, lc, wlc, lblc, lblcr, dh, sh, mh, sed, nq, fo, ovf or twos").is("wlc").means("How a real server is picked for a new connection."),
    one("lvs_sched").now().takes("as `lb_algo`").alias("lb_algo").means("Another word for `lb_algo`."),
    one("protocol").now().takes("TCP, UDP or SCTP").is("UDP").means("The transport protocol.").differs("its absence is warned of, because TCP is mostly meant"),
    one("persistence_granularity").now().takes("NETMASK or LENGTH").or("each address is a client").means("Clients with the same prefix are one client; it implies persistence."),
    one("nat_mask").now().takes("NETMASK or LENGTH").alias("persistence_granularity").means("As `persistence_granularity` where there is persistence.").differs("unknown to keepalived; warned of"),
    some("lb_kind").now().takes("DR, NAT or TUN").is("NAT").means("How a packet is handed to a real server.").differs("NAT and TUN are not yet in effect: the service is left out"),
    some("lvs_method").now().takes("as `lb_kind`").alias("lb_kind").means("Another word for `lb_kind`."),
    maybe("persistence_timeout").now().number(0, 2_678_400).or("none").means("A client stays with its real server until so many seconds (360 where no number is) after its last new connection; a service on every port has it always."),
    one("weight").now().number(1, 2_147_483_647).is("1").means("That of real servers that have none."),
    maybe("inhibit_on_failure").now().switch().means("A failed check sets the weight to 0 in place of taking the server out."),
    flag("flag-1").now().alias("sh-fallback").means("Another word for `sh-fallback`."),
    flag("flag-2").now().alias("sh-port").means("Another word for `sh-port`."),
    flag("flag-3").now().means("Means nothing to any scheduler, which is said."),
    flag("sh-port").now().means("sh: the client's port counts too."),
    flag("sh-fallback").now().means("sh: where a client's real server takes no connection, another one does."),
    flag("mh-port").now().alias("sh-port").means("mh: the client's port counts too."),
    flag("mh-fallback").now().alias("sh-fallback").means("mh: where a client's real server takes no connection, another one does."),
    flag("ops").now().means("UDP packets are each given a real server, and no connection is remembered."),
    maybe("sloppy_tcp").now().switch().means("Connections may begin in their middle.").differs("unknown to keepalived: of a service, where IPVS has a sysctl"),
    maybe("expire_quiescent_template").now().switch().means("A client leaves a real server of weight 0.").differs("unknown to keepalived: of a service, where IPVS has a sysctl"),
    one("persistence_engine").later().takes("NAME").means("What tells clients apart, such as sip."),
    one("quorum").later().takes("N").is("1").means("The weight that must be up."),
    one("hysteresis").later().takes("N").is("0").means("How far beyond the quorum a change must go."),
    some("quorum_up").command().first().later().takes("COMMAND [USER [GROUP]]").means("Run when the quorum is gained."),
    some("quorum_down").command().first().later().takes("COMMAND [USER [GROUP]]").means("Run when the quorum is lost."),
    some("sorry_server").later().takes("ADDRESS [PORT]").means("The server when the quorum is lost."),
    some("sorry_server_lvs_method").later().takes("DR, NAT or TUN").means("How a packet is handed to it."),
    flag("sorry_server_inhibit").later().means("It has weight 0 in place of being taken out."),
    maybe("ha_suspend").later().switch().means("Checks rest while the virtual address is not here."),
    maybe("omega").later().switch().means("Down scripts run at the end."),
    maybe("smtp_alert").later().takes("[yes|no]").means("Mail when real servers change."),
    one("virtualhost").takes("NAME").means("The host that HTTP checks ask for."),
    one("snmp_name").takes("NAME").means("Its name in SNMP."),
    one("ip_family").now().takes("inet or inet6").or("that of the address, or of the first real server").means("The family of a service by firewall mark."),
];

/// `real_server`.
#[rustfmt::skip]
pub(super) const REAL_SERVER: &[Keyword] = &[
    one("weight").now().number(0, 2_147_483_647).is("1").around().means("Its share of new connections; 0 for none.").differs("above 65535 all weights of the service are divided, which is said"),
    maybe("inhibit_on_failure").now().switch().around().means("A failed check sets the weight to 0 in place of taking it out."),
    some("lvs_method").now().takes("DR, NAT or TUN").is("NAT").around().means("How a packet is handed to it.").differs("NAT and TUN are not yet in effect: the server is left out"),
    some("notify_up").command().first().later().takes("COMMAND [USER [GROUP]]").means("Run when it comes up."),
    some("notify_down").command().first().later().takes("COMMAND [USER [GROUP]]").means("Run when it goes down."),
    one("uthreshold").now().number(0, 4_294_967_295).is("0").means("With so many connections it gets no new ones; 0 for no limit."),
    one("lthreshold").now().number(0, 4_294_967_295).is("0").means("With fewer it gets new ones again; 0 for three quarters of the upper."),
    maybe("smtp_alert").later().takes("[yes|no]").means("Mail when it changes."),
    one("virtualhost").takes("NAME").means("The host that HTTP checks ask for."),
    one("snmp_name").takes("NAME").means("Its name in SNMP."),
    block("TCP_CHECK", BlockKind::TcpCheck).now().means("It is up while a connection comes about."),
    block("HTTP_GET", BlockKind::HttpGet).told().means("It is up while pages are as they should be.").differs("counts as passed, which is said"),
    block("SSL_GET", BlockKind::SslGet).told().means("The same over TLS.").differs("counts as passed, which is said"),
    block("SMTP_CHECK", BlockKind::SmtpCheck).told().means("It is up while it greets as a mail server.").differs("counts as passed, which is said"),
    block("DNS_CHECK", BlockKind::DnsCheck).told().means("It is up while it answers a question of DNS.").differs("counts as passed, which is said"),
    block("MISC_CHECK", BlockKind::MiscCheck).told().means("It is up while a command succeeds.").differs("counts as passed, which is said"),
    block("UDP_CHECK", BlockKind::UdpCheck).told().means("It is up while its port is not unreachable.").differs("counts as passed, which is said"),
    block("PING_CHECK", BlockKind::PingCheck).told().means("It is up while it answers an echo request.").differs("counts as passed, which is said"),
    block("FILE_CHECK", BlockKind::FileCheck).told().means("A tracked file decides.").differs("counts as passed, which is said"),
    block("BFD_CHECK", BlockKind::BfdCheck).told().means("A BFD session decides.").differs("counts as passed, which is said"),
];

/// `TCP_CHECK`.
#[rustfmt::skip]
pub(super) const TCP_CHECK: &[Keyword] = &[
    one("connect_ip").now().takes("ADDRESS").or("that of the real server").means("The address to connect to."),
    one("connect_port").now().number(1, 65_535).or("that of the real server").means("The port to connect to."),
    one("bindto").now().takes("ADDRESS").or("the system's choice").means("The address to connect from."),
    one("nb_get_retry").now().number(0, 4_294_967_295).alias("retry").means("Another word for `retry`.").differs("unknown to keepalived here; it belongs in `HTTP_GET`"),
    one("bind_if").later().takes("INTERFACE").means("The interface to connect from."),
    one("bind_port").later().takes("PORT").means("The port to connect from."),
    one("fwmark").later().takes("N").means("The mark of what is sent."),
    maybe("log_all_failures").takes("[yes|no]").means("Every failed check is logged.").differs("`--log debug` does"),
];

/// Where to and from what address a checker connects; the checkers that take it do nothing yet.
#[rustfmt::skip]
pub(super) const CONNECT: &[Keyword] = &[
    one("connect_ip").takes("ADDRESS").means("The address to connect to."),
    one("connect_port").takes("PORT").means("The port to connect to."),
    one("bindto").takes("ADDRESS").means("The address to connect from."),
    one("bind_if").takes("INTERFACE").means("The interface to connect from."),
    one("bind_port").takes("PORT").means("The port to connect from."),
    one("fwmark").takes("N").means("The mark of what is sent."),
    maybe("log_all_failures").takes("[yes|no]").means("Every failed check is logged."),
];

/// `HTTP_GET`.
#[rustfmt::skip]
pub(super) const HTTP_GET: &[Keyword] = &[
    block("url", BlockKind::Url).means("A page to ask for; all of several must pass."),
    one("nb_get_retry").takes("N").alias("retry").means("Another word for `retry`."),
    one("virtualhost").takes("NAME").means("The host to ask for."),
    one("http_protocol").takes("1.0, 1.0c, 1.1 or 1.1c").means("The version of HTTP."),
    maybe("fast_recovery").means("One page that passes is enough to come up."),
];

/// What `SSL_GET` has more.
#[rustfmt::skip]
pub(super) const SSL_GET: &[Keyword] = &[flag("enable_sni").means("The host's name is told in the handshake.")];

/// `url`.
#[rustfmt::skip]
pub(super) const URL: &[Keyword] = &[
    one("path").takes("PATH").means("The page."),
    one("digest").takes("MD5").means("The MD5 sum of what it holds."),
    one("virtualhost").takes("NAME").means("The host to ask for."),
    one("regex").takes("PATTERN").means("What must be in it."),
    one("regex_min_offset").takes("N").means("How far from the start at least."),
    one("regex_max_offset").takes("N").means("How far from the start at most."),
    some("status_code").takes("N[-N] ...").or("200-299").means("The status codes that pass."),
    some("regex_options").takes("WORD ...").means("How the pattern is meant."),
    some("regex_stack").takes("N N").means("The stack of the pattern's machine."),
    any("regex_no_match").means("The pattern must not be in it."),
];

/// `SMTP_CHECK`.
#[rustfmt::skip]
pub(super) const SMTP_CHECK: &[Keyword] = &[
    one("helo_name").takes("NAME").means("The name by which it is greeted."),
    block("host", BlockKind::SmtpHost).means("A mail server to ask."),
];

/// `DNS_CHECK`.
#[rustfmt::skip]
pub(super) const DNS_CHECK: &[Keyword] = &[
    one("type").takes("TYPE").is("SOA").means("The type that is asked for."),
    one("name").takes("NAME").is(".").means("The name that is asked for."),
];

/// `MISC_CHECK`.
#[rustfmt::skip]
pub(super) const MISC_CHECK: &[Keyword] = &[
    some("misc_path").command().takes("COMMAND").means("The command."),
    some("user").takes("USER [GROUP]").or("`script_user`").means("Who runs it."),
    one("misc_timeout").takes("SECONDS").means("How long it may take."),
    any("misc_dynamic").means("Exit codes from 2 set the weight."),
];

/// `UDP_CHECK`.
#[rustfmt::skip]
pub(super) const UDP_CHECK: &[Keyword] = &[
    one("payload").takes("HEX").means("What is sent."),
    one("min_reply_length").takes("N").means("How long an answer is at least."),
    one("max_reply_length").takes("N").means("How long an answer is at most."),
    maybe("require_reply").takes("[HEX]").means("There must be an answer."),
];

/// `FILE_CHECK`.
#[rustfmt::skip]
pub(super) const FILE_CHECK: &[Keyword] = &[
    one("track_file").takes("NAME").means("The tracked file."),
    some("weight").takes("N [reverse]").means("What its number is multiplied by."),
];

/// `BFD_CHECK`.
#[rustfmt::skip]
pub(super) const BFD_CHECK: &[Keyword] = &[one("name").takes("NAME").means("The session.")];
