//! The table of servers that mean harm: what each does, and what its check must say of it and when.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lb_common::checksum;
use lb_tests::rude::{Speech, Then};

use super::timing::{self, Timing};

/// Of every check, where it does not say otherwise.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Parts that a page may take, each as long as the timeout.
const PIECES: u32 = 8;
const LARGEST_DATAGRAM: usize = 65_507;
const AT_ONCE: Duration = Duration::ZERO;
/// Between the bytes of what trickles.
const DROP: Duration = Duration::from_millis(100);
/// How many datagrams make a flood.
const FLOOD: usize = 500;
const PAGE: &str = "url {\n path /\n status_code 200\n }";
const PAGE_WITH_DIGEST: &str = "url {\n path /\n digest 900150983cd24fb0d6963f7d28e17f72\n }";
const PAGE_WITH_PATTERN: &str = "url {\n path /\n regex no\n }";
const BABBLE: &[u8] = b"\0\xff banana\r\n";

/// What a server does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Manner {
    /// It is not there.
    Absent,
    /// It says this to each client.
    Speaks(fn() -> Speech),
    /// It makes these of each datagram.
    Answers(fn(&[u8]) -> Vec<Vec<u8>>),
    /// It makes these messages of ICMP of each packet, which begins with its IPv4 header.
    Echoes(fn(&[u8]) -> Vec<Vec<u8>>),
    /// It is this script.
    Runs(&'static str),
}

/// One server with the check of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attack {
    pub(super) name: &'static str,
    keyword: &'static str,
    /// By which attacks are told apart.
    pub(super) port: u16,
    /// What its block says beside the port and times.
    block: &'static str,
    timeout: Duration,
    pub(super) manner: Manner,
    /// Why it is down, if it is to be.
    pub(super) reason: Option<&'static str>,
    /// How long a probe takes.
    pub(super) takes: Duration,
}

impl Attack {
    const fn new(keyword: &'static str, port: u16, name: &'static str, manner: Manner) -> Self {
        Self { name, keyword, port, block: "", timeout: TIMEOUT, manner, reason: None, takes: AT_ONCE }
    }

    const fn smtp(port: u16, name: &'static str, manner: Manner) -> Self {
        Self::new("SMTP_CHECK", port, name, manner)
    }

    const fn http(port: u16, name: &'static str, speech: fn() -> Speech) -> Self {
        Self::new("HTTP_GET", port, name, Manner::Speaks(speech)).block(PAGE)
    }

    const fn tls(port: u16, name: &'static str, speech: fn() -> Speech) -> Self {
        Self::new("SSL_GET", port, name, Manner::Speaks(speech)).block(PAGE)
    }

    const fn dns(port: u16, name: &'static str, answers: fn(&[u8]) -> Vec<Vec<u8>>) -> Self {
        Self::new("DNS_CHECK", port, name, Manner::Answers(answers)).block("type A\n name www.example.test")
    }

    const fn udp(port: u16, name: &'static str, answers: fn(&[u8]) -> Vec<Vec<u8>>) -> Self {
        Self::new("UDP_CHECK", port, name, Manner::Answers(answers))
    }

    const fn ping(port: u16, name: &'static str, echoes: fn(&[u8]) -> Vec<Vec<u8>>) -> Self {
        Self::new("PING_CHECK", port, name, Manner::Echoes(echoes))
    }

    /// A script has a whole second.
    const fn misc(port: u16, name: &'static str, script: &'static str) -> Self {
        Self::new("MISC_CHECK", port, name, Manner::Runs(script)).within(Duration::from_secs(1))
    }

    const fn block(self, block: &'static str) -> Self {
        Self { block, ..self }
    }

    /// It is down for this, which is found at once.
    const fn is_down(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// It is down for this, which takes until the timeout.
    const fn times_out(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), takes: self.timeout, ..self }
    }

    /// It is down after a page has taken all the time that it may.
    const fn takes_a_page(self, reason: &'static str) -> Self {
        let takes = Duration::from_millis(self.timeout.as_millis() as u64 * PIECES as u64);
        Self { reason: Some(reason), takes, ..self }
    }

    const fn within(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// What the log calls its probes.
    pub(super) fn subject(&self, address: IpAddr, dir: &Path) -> String {
        match self.manner {
            Manner::Runs(_) => format!("{} {}", self.keyword, self.program(dir).display()),
            Manner::Echoes(_) => format!("{} {}", self.keyword, self.own_address()),
            _ => format!("{} {address}:{}", self.keyword, self.port),
        }
    }

    /// Where one is that has no port: an address of the lab's network that no other has.
    pub(super) fn own_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, (self.port % 100) as u8 + 200)
    }

    /// Where its script is.
    pub(super) fn program(&self, dir: &Path) -> PathBuf {
        dir.join(format!("attack{}", self.port))
    }

    /// Loops of different lengths, so that they do not all come together.
    pub(super) fn timing(&self) -> Timing {
        let delay_loop = Duration::from_millis(1000 + u64::from(self.port % 8) * 30);
        let manner = timing::Manner::of(self.keyword);
        Timing { manner, delay_loop, retry: 0, delay_before_retry: AT_ONCE, timeout: self.timeout }
    }

    /// Its block.
    pub(super) fn check(&self, dir: &Path) -> String {
        let Self { keyword, port, block, .. } = self;
        let [timeout, delay_loop] = [self.timeout, self.timing().delay_loop].map(|time| time.as_secs_f64());
        let what = match self.manner {
            Manner::Runs(_) => {
                format!("misc_path \"{}\"\n misc_timeout {timeout}", self.program(dir).display())
            }
            Manner::Echoes(_) => format!("connect_ip {}\n connect_timeout {timeout}", self.own_address()),
            _ => format!("connect_port {port}\n connect_timeout {timeout}"),
        };
        format!(
            "{keyword} {{\n {what}\n retry 0\n delay_before_retry 0\n delay_loop {delay_loop}\n {block}\n }}"
        )
    }
}

/// Says this to whoever asks, and then does that.
fn web(first: &str, then: Then) -> Speech {
    Speech { listens: true, first: first.into(), then }
}

/// The same before anybody has asked.
fn greeting(first: &[u8], then: Then) -> Speech {
    Speech { listens: false, first: first.to_vec(), then }
}

/// An answer that has the number of the question, and then these bytes.
fn numbered(question: &[u8], rest: &[u8]) -> Vec<u8> {
    [&question[..question.len().min(2)], rest].concat()
}

/// An answer that has another number.
fn misnumbered(question: &[u8]) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[0] ^= 0x55;
    answer[2] |= 0x80;
    answer
}

const ECHO_REQUEST: u8 = 8;

/// Many answers to an echo request, each changed so: RFC 792 page 14.
fn echo(packet: &[u8], change: fn(&mut Vec<u8>)) -> Vec<Vec<u8>> {
    let mut message = packet[usize::from(packet[0] & 0xf) * 4..].to_vec();
    if message[0] != ECHO_REQUEST {
        return Vec::new();
    }
    message[0] = 0;
    change(&mut message);
    vec![summed(message); FLOOD]
}

/// That a packet has come to nobody: RFC 792 page 4.
fn unreachable(packet: &[u8]) -> Vec<u8> {
    summed([&[3, 3, 0, 0, 0, 0, 0, 0], packet].concat())
}

/// A message of ICMP with its checksum.
fn summed(mut message: Vec<u8>) -> Vec<u8> {
    message[2..4].fill(0);
    let sum = checksum::internet(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// Response, no error, one question and one answer, as RFC 1035 section 4.1.1 has them, and a name that is where it points.
const LOOP: &[u8] = b"\x81\x80\0\x01\0\x01\0\0\0\0\xc0\x0c\0\x01\0\x01\xc0\x0c";

pub(super) const ATTACKS: [Attack; 48] = [
    Attack::new("TCP_CHECK", 2001, "takes connections and says nothing", Manner::Speaks(Speech::default)),
    Attack::new(
        "TCP_CHECK",
        2002,
        "talks without being asked",
        Manner::Speaks(|| greeting(b"", Then::Repeats(BABBLE.repeat(5000)))),
    ),
    Attack::smtp(2501, "hangs", Manner::Speaks(Speech::default))
        .times_out("the greeting timed out after 0.5 s"),
    Attack::smtp(2502, "refuses", Manner::Absent).is_down("connection refused"),
    Attack::smtp(2503, "babbles", Manner::Speaks(|| greeting(&BABBLE.repeat(500), Then::Hangs)))
        .is_down("the reply to greeting is not SMTP"),
    Attack::smtp(
        2504,
        "has a line without end",
        Manner::Speaks(|| greeting(b"220 ", Then::Repeats(vec![b'x'; 65536]))),
    )
    .is_down("the reply to greeting has a line without end"),
    Attack::smtp(
        2505,
        "has lines without end",
        Manner::Speaks(|| greeting(b"", Then::Repeats(b"220-more\r\n".repeat(100)))),
    )
    .is_down("the reply to greeting has more than 64 lines"),
    Attack::smtp(2506, "trickles", Manner::Speaks(|| greeting(b"", Then::Trickles(b'2', DROP))))
        .times_out("the greeting timed out after 0.5 s"),
    Attack::smtp(2507, "hangs after its greeting", Manner::Speaks(|| greeting(b"220 here\r\n", Then::Hangs)))
        .times_out("the answer to HELO timed out after 0.5 s"),
    Attack::smtp(2508, "hangs up", Manner::Speaks(|| greeting(b"220-", Then::Closes)))
        .is_down("the connection was closed before the reply to greeting"),
    Attack::http(8001, "has headers without end", || {
        web("HTTP/1.1 200 OK\r\n", Then::Repeats(b"X-More: yes\r\n".repeat(1000)))
    })
    .is_down("the headers are longer than 65536 bytes"),
    Attack::http(8002, "has a header without end", || {
        web("HTTP/1.1 200 OK\r\nX: ", Then::Repeats(vec![b'x'; 65536]))
    })
    .is_down("the headers are longer than 65536 bytes"),
    Attack::http(8003, "has headers that trickle", || {
        web("HTTP/1.1 200 OK\r\nX: ", Then::Trickles(b'x', DROP))
    })
    .times_out("the answer timed out after 0.5 s"),
    Attack::http(8004, "hangs", || web("", Then::Hangs)).times_out("the answer timed out after 0.5 s"),
    Attack::http(8005, "babbles", || web("", Then::Repeats(BABBLE.repeat(100))))
        .is_down("the answer is not HTTP"),
    Attack::http(8006, "promises for ever", || {
        web(
            "",
            Then::Repeats(
                format!("HTTP/1.1 100 Continue\r\nX: {}\r\n\r\n", "x".repeat(1000)).repeat(50).into_bytes(),
            ),
        )
    })
    .is_down("the answer is longer than 16777216 bytes"),
    Attack::http(8007, "has 10 GB that nobody looks at", || web(TEN_GB, Then::Repeats(vec![0; 65536]))),
    Attack::http(8008, "has 10 GB to be summed up", || web(TEN_GB, Then::Repeats(vec![0; 65536])))
        .block(PAGE_WITH_DIGEST)
        .is_down("the answer is longer than 16777216 bytes"),
    Attack::http(8009, "has 10 GB to be searched", || web(TEN_GB, Then::Repeats(vec![0; 65536])))
        .block(PAGE_WITH_PATTERN)
        .is_down("the pattern `no` is not in the page"),
    Attack::http(8010, "has a page that trickles", || web(TEN_GB, Then::Trickles(b'x', DROP)))
        .within(Duration::from_millis(400))
        .takes_a_page("the page timed out after 3.2 s"),
    Attack::http(8011, "hangs within its page", || web(&format!("{TEN_GB}begin"), Then::Hangs))
        .times_out("more of the page timed out after 0.5 s"),
    Attack::http(8012, "hangs up within its page", || web(&format!("{TEN_GB}begin"), Then::Closes))
        .is_down("the connection was closed in the middle of the answer"),
    Attack::http(8013, "has chunks that are none", || web(&format!("{CHUNKS}banana\r\n"), Then::Hangs))
        .is_down("chunk"),
    Attack::http(8014, "has a chunk of too many bytes", || {
        web(&format!("{CHUNKS}fffffffffffffffff\r\n"), Then::Hangs)
    })
    .is_down("chunk"),
    Attack::http(8015, "has a chunk with extensions without end", || {
        web(&format!("{CHUNKS}5;"), Then::Repeats(vec![b'x'; 65536]))
    })
    .is_down("chunk"),
    Attack::http(8016, "has trailers without end", || {
        web(&format!("{CHUNKS}0\r\n"), Then::Repeats(b"X-More: yes\r\n".repeat(1000)))
    })
    .is_down("chunk"),
    Attack::http(8017, "has chunks of one byte without end", || {
        web(CHUNKS, Then::Repeats(b"1\r\nx\r\n".repeat(10_000)))
    }),
    Attack::tls(4431, "babbles", || web("", Then::Repeats(BABBLE.repeat(100)))).is_down("TLS handshake: "),
    Attack::tls(4432, "hangs", || web("", Then::Hangs)).times_out("the TLS handshake timed out after 0.5 s"),
    Attack::tls(4433, "has a record that trickles", || {
        web("\u{16}\u{3}\u{3}\u{40}\0", Then::Trickles(2, DROP))
    })
    .times_out("the TLS handshake timed out after 0.5 s"),
    Attack::tls(4434, "hangs up", || web("\u{16}\u{3}\u{3}", Then::Closes)).is_down("TLS handshake: "),
    Attack::dns(5301, "has half a header", |question| vec![numbered(question, b"\x81\x80\0")])
        .is_down("the answer is malformed"),
    Attack::dns(5302, "has a byte", |_| vec![vec![0]]).times_out("no answer within 0.5 s"),
    Attack::dns(5303, "answers others", |question| vec![misnumbered(question); FLOOD])
        .times_out("no answer within 0.5 s"),
    Attack::dns(5304, "asks back", |question| vec![question.to_vec()]).times_out("no answer within 0.5 s"),
    Attack::dns(5305, "sends bytes of any kind", |question| vec![numbered(question, &[0xff; 60])])
        .is_down("DNS error 15"),
    // Whether the server answers is asked, not what.
    Attack::dns(5306, "points in circles", |question| vec![numbered(question, LOOP)]),
    Attack::dns(5307, "has an answer of 64 kB", |question| vec![numbered(question, &LOOP.repeat(3600))]),
    Attack::udp(7001, "has an answer of 64 kB", |_| vec![vec![b'a'; LARGEST_DATAGRAM]])
        .block("require_reply 61")
        .is_down("the answer has more than 255 bytes"),
    Attack::udp(7002, "has an answer of 64 kB where any will do", |_| vec![vec![b'a'; LARGEST_DATAGRAM]; 20]),
    Attack::ping(6001, "echoes for another", |packet| echo(packet, |message| message[5] ^= 1))
        .times_out("no echo within 0.5 s"),
    Attack::ping(6002, "echoes out of order", |packet| echo(packet, |message| message[7] ^= 1))
        .times_out("no echo within 0.5 s"),
    Attack::ping(6003, "echoes something else", |packet| echo(packet, |message| message[23] ^= 1))
        .times_out("no echo within 0.5 s"),
    Attack::ping(6004, "asks back", |packet| echo(packet, |message| message[0] = ECHO_REQUEST))
        .times_out("no echo within 0.5 s"),
    Attack::ping(6005, "says that it is not there", |packet| vec![unreachable(packet)])
        .is_down("connection refused"),
    Attack::misc(3001, "never ends", "#!/bin/sh\nsleep 1000\n").times_out("its program ran longer than 1 s"),
    Attack::misc(3002, "does not want to end", "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1000; done\n")
        .times_out("its program ran longer than 1 s"),
    Attack::misc(3003, "leaves a child", "#!/bin/sh\nsleep 3 &\n"),
];

const TEN_GB: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n";
const CHUNKS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
