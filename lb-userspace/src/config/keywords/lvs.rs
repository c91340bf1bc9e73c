//! The keywords of `virtual_server` and what stands in it.

use super::{BlockKind, Body, Keyword, any, block, flag, maybe, named, one, some};

/// What a virtual server and a real server take for the checkers in them; each inherits it from the one around it.
#[rustfmt::skip]
pub(super) const TIMING: &[Keyword] = &[
    one("connect_timeout").now().seconds("0.000001", "4294.967295").is("5").around().means("How long one step of an attempt may take."),
    one("delay_before_retry").now().seconds("0", "4294967295").or("that of the kind of check").around().means("Time between a failed attempt and the next."),
    one("retry").now().number(0, 4_294_967_295).or("that of the kind of check").around().means("How many attempts follow a failed one before the server is out."),
];

/// What a virtual server, a real server and most checkers take.
#[rustfmt::skip]
pub(super) const PACE: &[Keyword] = &[
    one("delay_loop").now().seconds("0.000001", "4294967295").is("60").around().means("Time between two checks."),
    one("warmup").now().seconds("0", "4294967295").around().beside("delay_loop").means("The first check comes after a random time up to this."),
    maybe("alpha").now().switch().around().means("A server is down until its first check has passed."),
];

const CONNECT_TIMEOUT: Keyword = one("connect_timeout")
    .now()
    .seconds("0.000001", "4294.967295")
    .is("5")
    .around()
    .means("How long one step of an attempt may take.");
const DELAY_BEFORE_RETRY: Keyword = one("delay_before_retry")
    .now()
    .seconds("0", "4294967295")
    .around()
    .means("Time between a failed attempt and the next.");
const RETRY: Keyword = one("retry")
    .now()
    .number(0, 4_294_967_295)
    .around()
    .means("How many attempts follow a failed one before the server is out.");

const LOG_ALL_FAILURES: Keyword = maybe("log_all_failures")
    .now()
    .switch()
    .or("what `checker_log_all_failures` says")
    .means("Every failed attempt is logged while the server is up.");

/// How most checkers are repeated.
pub(super) const TCP_RETRY: &[Keyword] = &[CONNECT_TIMEOUT, DELAY_BEFORE_RETRY.is("1"), RETRY.is("1")];

/// How `HTTP_GET` and `SSL_GET` are repeated.
pub(super) const HTTP_RETRY: &[Keyword] = &[CONNECT_TIMEOUT, DELAY_BEFORE_RETRY.is("3"), RETRY.is("1")];

/// How `DNS_CHECK` is repeated.
pub(super) const DNS_RETRY: &[Keyword] =
    &[CONNECT_TIMEOUT, DELAY_BEFORE_RETRY.beside("delay_loop"), RETRY.is("3")];

/// How `MISC_CHECK` is repeated.
pub(super) const MISC_RETRY: &[Keyword] = &[DELAY_BEFORE_RETRY.is("1"), RETRY.is("0")];

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
    one("quorum").now().number(1, 4_294_967_295).is("1").means("The sum of weights that must be up; no more than that of all real servers."),
    one("hysteresis").now().number(0, 4_294_967_295).is("0").means("How far beyond the quorum a change must go; less than the quorum."),
    some("quorum_up").command().first().now().takes("COMMAND [USER [GROUP]]").means("Run when the quorum is gained."),
    some("quorum_down").command().first().now().takes("COMMAND [USER [GROUP]]").means("Run when the quorum is lost."),
    Keyword::new("sorry_server", 1, 2, Body::None).now().takes("ADDRESS [PORT]").means("The server when the quorum is lost."),
    some("sorry_server_lvs_method").now().takes("DR, NAT or TUN").or("that of the virtual server").means("How a packet is handed to it.").differs("NAT and TUN are not yet in effect: the sorry server is left out"),
    flag("sorry_server_inhibit").now().means("While there is a quorum it has weight 0, in place of being taken out."),
    maybe("ha_suspend").now().switch().means("Checks rest while the virtual address is not here."),
    maybe("omega").now().switch().means("At the end the scripts run and the mail goes that tell of real servers and a quorum that go down."),
    maybe("smtp_alert").now().switch().or("what `smtp_alert_checker` or `smtp_alert` say, or no").means("Mail when the quorum is gained or lost."),
    one("virtualhost").now().takes("NAME").around().means("The host that HTTP checks ask for."),
    one("snmp_name").takes("NAME").means("Its name in SNMP."),
    any("vip_check").now().takes("[off] or [SETTING VALUE ...]").or("off").means("The `vip_check` of real servers that have none.").differs("not known to keepalived, which passes over the line"),
    one("ip_family").now().takes("inet or inet6").or("that of the address, or of the first real server").means("The family of a service by firewall mark."),
];

/// `real_server`.
#[rustfmt::skip]
pub(super) const REAL_SERVER: &[Keyword] = &[
    one("weight").now().number(0, 2_147_483_647).is("1").around().means("Its share of new connections; 0 for none.").differs("above 65535 all weights of the service are divided, which is said"),
    maybe("inhibit_on_failure").now().switch().around().means("A failed check sets the weight to 0 in place of taking it out."),
    some("lvs_method").now().takes("DR, NAT or TUN").is("NAT").around().means("How a packet is handed to it.").differs("NAT and TUN are not yet in effect: the server is left out"),
    some("notify_up").command().first().now().takes("COMMAND [USER [GROUP]]").means("Run when it comes up."),
    some("notify_down").command().first().now().takes("COMMAND [USER [GROUP]]").means("Run when it goes down."),
    one("uthreshold").now().number(0, 4_294_967_295).is("0").means("With so many connections it gets no new ones; 0 for no limit."),
    one("lthreshold").now().number(0, 4_294_967_295).is("0").means("With fewer it gets new ones again; 0 for three quarters of the upper."),
    maybe("smtp_alert").now().switch().or("what `smtp_alert_checker` or `smtp_alert` say, or yes").means("Mail when it comes up or goes down."),
    one("virtualhost").now().takes("NAME").around().means("The host that HTTP checks ask for."),
    one("snmp_name").takes("NAME").means("Its name in SNMP."),
    any("vip_check").now().takes("[off] or [SETTING VALUE ...]").or("off").around().means("It is up while it takes what goes to the virtual addresses, sent to its MAC address: connections to a TCP port, else echo requests. Settings are `connect_timeout`, `retry`, `delay_before_retry`, `delay_loop`, `warmup`, `alpha` and `log_all_failures`, as in `TCP_CHECK`.").differs("not known to keepalived, which passes over the line"),
    block("TCP_CHECK", BlockKind::TcpCheck).now().means("It is up while a connection comes about."),
    block("HTTP_GET", BlockKind::HttpGet).now().means("It is up while pages are as they should be."),
    block("SSL_GET", BlockKind::SslGet).now().means("The same over TLS.").differs("TLS 1.2 and 1.3 only; the certificate is not looked at, as in keepalived"),
    block("SMTP_CHECK", BlockKind::SmtpCheck).now().means("It is up while it greets as a mail server."),
    block("DNS_CHECK", BlockKind::DnsCheck).now().means("It is up while it answers a question of DNS."),
    block("MISC_CHECK", BlockKind::MiscCheck).now().means("It is up while a command succeeds."),
    block("UDP_CHECK", BlockKind::UdpCheck).now().means("It is up while its port is not unreachable."),
    block("PING_CHECK", BlockKind::PingCheck).now().means("It is up while it answers an echo request."),
    block("FILE_CHECK", BlockKind::FileCheck).now().means("The number in a tracked file decides.").differs("the file is read every second"),
    block("BFD_CHECK", BlockKind::BfdCheck).told().means("A BFD session decides.").differs("counts as passed, which is said"),
];

/// What `TCP_CHECK` takes besides, which keepalived does not know.
#[rustfmt::skip]
pub(super) const TCP_CHECK: &[Keyword] = &[
    one("nb_get_retry").now().number(0, 4_294_967_295).alias("retry").means("Another word for `retry`.").differs("unknown to keepalived here; it belongs in `HTTP_GET`"),
];

/// Where to and from where a checker connects.
#[rustfmt::skip]
pub(super) const CONNECT: &[Keyword] = &[
    one("connect_ip").now().takes("ADDRESS").or("that of the real server").means("The address to connect to."),
    one("connect_port").now().number(1, 65_535).or("that of the real server").means("The port to connect to."),
    one("bindto").now().takes("ADDRESS").or("the system's choice").means("The address to connect from."),
    one("bind_if").now().takes("INTERFACE").or("the system's choice").means("The interface to connect through."),
    one("bind_port").now().number(1, 65_535).or("the system's choice").means("The port to connect from."),
    one("fwmark").now().number(0, 4_294_967_295).is("0").means("The firewall mark of what is sent; 0 for none."),
    LOG_ALL_FAILURES,
];

/// What a `host` has; it inherits it from the check around it.
#[rustfmt::skip]
pub(super) const SMTP_HOST: &[Keyword] = &[
    one("connect_ip").now().takes("ADDRESS").or("that of the real server").around().means("The address to connect to."),
    one("connect_port").now().number(1, 65_535).or("that of the real server").around().means("The port to connect to."),
    one("bindto").now().takes("ADDRESS").or("the system's choice").around().means("The address to connect from."),
    one("bind_if").now().takes("INTERFACE").or("the system's choice").around().means("The interface to connect through."),
    one("bind_port").now().number(1, 65_535).or("the system's choice").around().means("The port to connect from."),
    one("fwmark").now().number(0, 4_294_967_295).is("0").around().means("The firewall mark of what is sent; 0 for none."),
    LOG_ALL_FAILURES.around(),
];

/// `HTTP_GET`.
#[rustfmt::skip]
pub(super) const HTTP_GET: &[Keyword] = &[
    block("url", BlockKind::Url).now().means("A page to ask for; of several each is asked for in turn, `delay_loop` apart, and all must pass."),
    one("nb_get_retry").now().number(0, 4_294_967_295).alias("retry").means("An older word for `retry`."),
    one("virtualhost").now().takes("NAME").around().means("The host to ask for."),
    one("http_protocol").now().takes("1.0, 1.0C, 1.1 or 1.1K").is("1.0").means("The version of HTTP; 1.0C and 1.1 say that the connection closes, 1.1K says nothing."),
    maybe("fast_recovery").now().switch().means("No rest between two pages while the server is not up."),
];

/// What `SSL_GET` has more, and `HTTP_GET` takes without a use for it.
#[rustfmt::skip]
pub(super) const SSL_GET: &[Keyword] = &[
    flag("enable_sni").now().means("The virtual host is told in the handshake."),
    flag("tls_compliant").now().means("A connection that ends without a word of TLS has failed."),
];

/// `url`.
#[rustfmt::skip]
pub(super) const URL: &[Keyword] = &[
    one("path").now().takes("PATH").means("The page."),
    one("virtualhost").now().takes("NAME").or("the address").around().means("The host to ask for."),
    some("status_code").now().takes("N[-N] ...").or("200-299").means("The status codes that pass."),
    one("digest").now().takes("MD5").means("The MD5 sum of what it holds."),
    one("regex").now().takes("PATTERN").means("What must be in it, in the language of PCRE2; it is looked for in the first 256 KiB."),
    any("regex_no_match").now().means("The pattern must not be in it."),
    some("regex_options").now().takes("WORD ...").means("How the pattern is meant: caseless, dotall, dupnames, extended, multiline, no_auto_capture, no_auto_possess, no_dotstar_anchor, no_start_optimize, ucp, ungreedy, utf.").differs("keepalived knows more, which are warned of here"),
    some("regex_stack").now().takes("START MAX").means("The stack of the pattern's machine, in bytes."),
    one("regex_min_offset").now().number(0, 4_294_967_295).or("0").means("The pattern is looked for behind so many bytes; the 256 KiB begin there."),
    one("regex_max_offset").now().number(0, 4_294_967_295).means("It begins behind so many bytes at the latest."),
];

/// `SMTP_CHECK`.
#[rustfmt::skip]
pub(super) const SMTP_CHECK: &[Keyword] = &[
    one("helo_name").now().takes("NAME").is("smtpchecker.keepalived.org").means("The name that is said behind HELO."),
    block("host", BlockKind::SmtpHost).now().means("A mail server to ask; of several all are asked, one after the other."),
];

/// `DNS_CHECK`.
#[rustfmt::skip]
pub(super) const DNS_CHECK: &[Keyword] = &[
    one("type").now().takes("A, NS, CNAME, SOA, MX, TXT, AAAA, RRSIG or DNSKEY").is("SOA").means("The type that is asked for."),
    one("name").now().takes("NAME").is(".").means("The name that is asked for."),
];

/// `MISC_CHECK`.
#[rustfmt::skip]
pub(super) const MISC_CHECK: &[Keyword] = &[
    some("misc_path").command().now().takes("COMMAND").means("The command; its exit code 0 is success."),
    some("user").now().takes("USER [GROUP]").or("`script_user`").means("Who runs it."),
    one("misc_timeout").now().number(0, 4_294_967_295).beside("delay_loop").means("How many seconds it may take, after which its process group is ended; 0 for `delay_loop`."),
    LOG_ALL_FAILURES,
    any("misc_dynamic").now().means("Exit codes from 2 on are success too, and set the weight to two less."),
];

/// `UDP_CHECK`.
#[rustfmt::skip]
pub(super) const UDP_CHECK: &[Keyword] = &[
    some("payload").now().takes("HEX ...").or("random bytes").means("What is sent."),
    any("require_reply").now().takes("[HEX ...]").means("There must be an answer, which begins like this; x is any digit."),
    one("min_reply_length").now().number(0, 65_535).is("0").means("How many bytes an answer has at least."),
    one("max_reply_length").now().number(0, 65_535).is("255").means("How many bytes an answer has at most."),
];

/// `FILE_CHECK`.
#[rustfmt::skip]
pub(super) const FILE_CHECK: &[Keyword] = &[
    one("track_file").now().takes("NAME").means("The `track_file`."),
    some("weight").now().takes("N [reverse]").or("that of the `track_file`").means("The weight of the server grows by the number in the file times this; with 0 any number but 0 is a failure."),
];

/// `BFD_CHECK`.
#[rustfmt::skip]
pub(super) const BFD_CHECK: &[Keyword] = &[one("name").takes("NAME").means("The session.")];
