//! What a checker of a real server says: what is asked, of whom, and when. Reads no text.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::vrrp::Command;
use crate::config::source::Span;

/// A check of a real server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checker {
    /// What is done.
    pub probe: Probe,
    /// When it is done.
    pub timing: CheckTiming,
    /// Where it stands in the file.
    pub span: Span,
    /// Where the blocks in it stand, one for each page or mail server.
    pub parts: Vec<Span>,
}

/// When a check is made, with everything it inherits filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckTiming {
    /// How long one step of an attempt may take.
    pub connect_timeout: Duration,
    /// How many attempts follow a failed one before the server is out.
    pub retry: u32,
    /// Time between a failed attempt and the next.
    pub delay_before_retry: Duration,
    /// Time between two checks.
    pub delay_loop: Duration,
    /// The first check comes after a random time up to this.
    pub warmup: Duration,
    /// The server is down until the check has passed.
    pub alpha: bool,
    /// Every failed attempt is logged while the server is up.
    pub log_all_failures: bool,
}

/// What one check does, by its kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    /// `TCP_CHECK`: a connection must come about.
    Tcp(Endpoint),
    /// `HTTP_GET` and `SSL_GET`: pages must be as they should be.
    Http(HttpProbe),
    /// `SMTP_CHECK`: mail servers must greet.
    Smtp(SmtpProbe),
    /// `DNS_CHECK`: a question must be answered.
    Dns(DnsProbe),
    /// `UDP_CHECK`: a port must not be unreachable, or must answer.
    Udp(UdpProbe),
    /// `PING_CHECK`: an echo request must be answered. The ports of the endpoint mean nothing.
    Ping(Endpoint),
    /// `MISC_CHECK`: a command must succeed.
    Misc(MiscProbe),
    /// `FILE_CHECK`: the number in a file decides.
    File(FileProbe),
    /// `BFD_CHECK`, which this version does not run; it counts as passed.
    Bfd,
    /// `vip_check`: the real server must take what goes to virtual addresses.
    Vip(VipProbe),
}

impl Probe {
    /// What stands for it in the file.
    pub const fn keyword(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "TCP_CHECK",
            Self::Http(HttpProbe { tls: None, .. }) => "HTTP_GET",
            Self::Http(HttpProbe { tls: Some(_), .. }) => "SSL_GET",
            Self::Smtp(_) => "SMTP_CHECK",
            Self::Dns(_) => "DNS_CHECK",
            Self::Udp(_) => "UDP_CHECK",
            Self::Ping(_) => "PING_CHECK",
            Self::Misc(_) => "MISC_CHECK",
            Self::File(_) => "FILE_CHECK",
            Self::Bfd => "BFD_CHECK",
            Self::Vip(_) => "vip_check",
        }
    }

    /// Whether this version can do it.
    pub const fn is_available(&self) -> bool {
        !matches!(self, Self::Bfd)
    }
}

/// Where a check connects to, and from where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The address to connect to.
    pub connect_ip: IpAddr,
    /// The port to connect to.
    pub connect_port: u16,
    /// The address to connect from, if not the system's choice.
    pub bindto: Option<IpAddr>,
    /// The interface to connect through, if not the system's choice.
    pub bind_if: Option<String>,
    /// The port to connect from, if not the system's choice.
    pub bind_port: Option<u16>,
    /// The firewall mark of what is sent; 0 for none.
    pub fwmark: u32,
}

/// `HTTP_GET`, and `SSL_GET` where there is TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpProbe {
    /// The server.
    pub endpoint: Endpoint,
    /// TLS, if it is spoken.
    pub tls: Option<Tls>,
    /// The version of HTTP.
    pub protocol: HttpProtocol,
    /// No rest between two pages while the server is not up.
    pub fast_recovery: bool,
    /// The pages, which are asked for one after the other; at least one.
    pub urls: Vec<Url>,
}

/// How TLS is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tls {
    /// The virtual host is told in the handshake.
    pub sni: bool,
    /// The server must say that it closes the connection.
    pub compliant: bool,
}

/// A version of HTTP, and whether the connection is said to be closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HttpProtocol {
    /// 1.0 without a word about the connection.
    #[default]
    V10,
    /// 1.0 that closes the connection.
    V10Close,
    /// 1.1 that closes the connection.
    V11,
    /// 1.1 that says it keeps the connection.
    V11Keep,
}

impl HttpProtocol {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::V10, Self::V10Close, Self::V11, Self::V11Keep];

    /// What stands for it in the file.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::V10 => "1.0",
            Self::V10Close => "1.0C",
            Self::V11 => "1.1",
            Self::V11Keep => "1.1K",
        }
    }
}

/// A page, and how it should be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    /// What is asked for; begins with `/`.
    pub path: String,
    /// The host that is asked for, if not the address.
    pub virtualhost: Option<String>,
    /// The status codes that pass; 200 to 299 if there are none.
    pub status: Vec<RangeInclusive<u16>>,
    /// The MD5 sum of the body.
    pub digest: Option<[u8; 16]>,
    /// What must be in the body, or must not.
    pub regex: Option<PagePattern>,
}

/// A pattern in the language of PCRE2.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PagePattern {
    /// The pattern.
    pub pattern: String,
    /// It must not be found.
    pub no_match: bool,
    /// How it is meant.
    pub options: Vec<PatternOption>,
    /// The most memory that the machine of the pattern may have for its stack, in bytes.
    pub stack: Option<(usize, usize)>,
    /// It is looked for from this byte on.
    pub min_offset: usize,
    /// It begins at this byte at the latest.
    pub max_offset: Option<usize>,
}

/// An option of PCRE2, of those that this version knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are those of pcre2api(3), which explains them")]
pub enum PatternOption {
    Caseless,
    Dotall,
    Dupnames,
    Extended,
    Multiline,
    NoAutoCapture,
    NoAutoPossess,
    NoDotstarAnchor,
    NoStartOptimize,
    Ucp,
    Ungreedy,
    Utf,
}

impl PatternOption {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Caseless,
        Self::Dotall,
        Self::Dupnames,
        Self::Extended,
        Self::Multiline,
        Self::NoAutoCapture,
        Self::NoAutoPossess,
        Self::NoDotstarAnchor,
        Self::NoStartOptimize,
        Self::Ucp,
        Self::Ungreedy,
        Self::Utf,
    ];

    /// What stands for it in the file.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Caseless => "caseless",
            Self::Dotall => "dotall",
            Self::Dupnames => "dupnames",
            Self::Extended => "extended",
            Self::Multiline => "multiline",
            Self::NoAutoCapture => "no_auto_capture",
            Self::NoAutoPossess => "no_auto_possess",
            Self::NoDotstarAnchor => "no_dotstar_anchor",
            Self::NoStartOptimize => "no_start_optimize",
            Self::Ucp => "ucp",
            Self::Ungreedy => "ungreedy",
            Self::Utf => "utf",
        }
    }
}

/// `SMTP_CHECK`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SmtpProbe {
    /// The name that is said behind HELO.
    pub helo_name: String,
    /// The mail server.
    pub endpoint: Endpoint,
}

/// `DNS_CHECK`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsProbe {
    /// The server.
    pub endpoint: Endpoint,
    /// The type that is asked for.
    pub record: DnsRecord,
    /// The name that is asked for.
    pub name: String,
}

/// A type of DNS record that may be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the registry of DNS")]
pub enum DnsRecord {
    A,
    Ns,
    Cname,
    #[default]
    Soa,
    Mx,
    Txt,
    Aaaa,
    Rrsig,
    Dnskey,
}

impl DnsRecord {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::A,
        Self::Ns,
        Self::Cname,
        Self::Soa,
        Self::Mx,
        Self::Txt,
        Self::Aaaa,
        Self::Rrsig,
        Self::Dnskey,
    ];

    /// What stands for it in the file.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Ns => "NS",
            Self::Cname => "CNAME",
            Self::Soa => "SOA",
            Self::Mx => "MX",
            Self::Txt => "TXT",
            Self::Aaaa => "AAAA",
            Self::Rrsig => "RRSIG",
            Self::Dnskey => "DNSKEY",
        }
    }
}

/// `UDP_CHECK`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UdpProbe {
    /// The server.
    pub endpoint: Endpoint,
    /// What is sent; random bytes if it says nothing.
    pub payload: Option<Vec<u8>>,
    /// What an answer begins with, as far as both are long; without it none is needed.
    pub require_reply: Option<Vec<HexByte>>,
    /// The fewest bytes of an answer that must come.
    pub min_reply_length: u16,
    /// The most bytes of it.
    pub max_reply_length: u16,
}

/// A byte of which some bits may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HexByte {
    /// The bits that are wanted, and 0 where they may be anything.
    pub value: u8,
    /// The bits that count.
    pub mask: u8,
}

/// `MISC_CHECK`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MiscProbe {
    /// The command, and who runs it.
    pub command: Command,
    /// How long it may run.
    pub timeout: Duration,
    /// Exit codes from 2 on are weights, two too large.
    pub is_dynamic: bool,
}

/// `vip_check`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VipProbe {
    /// The real server, which is reached by its MAC address.
    pub server: IpAddr,
    /// What is asked of it, one after the other; at least one.
    pub targets: Vec<VipTarget>,
}

/// A virtual address as a real server has to take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VipTarget {
    /// The address.
    pub address: IpAddr,
    /// The port on which connections must be taken; without one an echo request must be answered.
    pub port: Option<u16>,
}

/// `FILE_CHECK`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileProbe {
    /// The name of its `track_file`.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// What its number is multiplied by; with 0 any other number than 0 means down.
    pub weight: i32,
    /// The sign of the product is changed; with a weight of 0 the number 0 means down.
    pub reverse: bool,
}
