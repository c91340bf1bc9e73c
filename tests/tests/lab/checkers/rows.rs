//! The table of checkers: how each is configured and what it must find in each situation.

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use lb_tests::Family;

use super::timing::{Manner, Takes, Timing};

/// The digest of `abc`.
const ABC: &str = "900150983cd24fb0d6963f7d28e17f72";

/// One checker with its timing, which watches the servers of one service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Of the service and of its servers.
    pub(super) family: Family,
    /// The port of its service, by which rows of a family are told apart.
    pub(super) port: u16,
    /// What the log calls its probes, with `{address}` and `{host}`; the keyword is the first word.
    subject: &'static str,
    /// What its block says beside times, with the same.
    block: &'static str,
    timing: Timing,
    /// How often a packet goes there and back before a probe has passed.
    trips: u32,
    /// What it finds where nobody listens.
    pub(super) refused: Outcome,
    /// Where all packets are lost.
    pub(super) lost: Outcome,
    /// Where they come back later than the timeout.
    pub(super) late: Outcome,
    /// Where the answers are others, and others again.
    pub(super) wrong: [Outcome; 2],
}

/// What a checker must find.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// Why the server is out, if it is.
    pub(super) reason: Option<&'static str>,
    /// A probe takes until its timeout.
    is_slow: bool,
}

/// It passes as ever.
pub(super) const STAYS: Outcome = Outcome { reason: None, is_slow: false };
/// Without an answer, which is as good as any.
const STAYS_UNHEARD: Outcome = Outcome { reason: None, is_slow: true };

const fn leaves(reason: &'static str) -> Outcome {
    Outcome { reason: Some(reason), is_slow: false }
}

const fn times_out(reason: &'static str) -> Outcome {
    Outcome { reason: Some(reason), is_slow: true }
}

/// Those in IPv4, and in IPv6 those that differ there: in the socket, in the name for people, in the kind of error.
pub(super) static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let in_v6 = IN_V4.iter().filter(|row| IN_BOTH.contains(&row.port));
    IN_V4.into_iter().chain(in_v6.map(|row| Row { family: Family::V6, ..*row })).collect()
});

/// The services that are in IPv6 too.
const IN_BOTH: [u16; 5] = [1001, 1002, 1006, 1007, 1010];

const IN_V4: [Row; 12] = [
    Row {
        family: Family::V4,
        port: 1001,
        subject: "TCP_CHECK {address}:80",
        block: "connect_port 80",
        timing: Timing::of(1000, 2, 500, 500),
        trips: 1,
        refused: leaves("connection refused"),
        lost: times_out("timed out after 0.5 s"),
        late: times_out("timed out after 0.5 s"),
        wrong: [STAYS; 2],
    },
    Row {
        family: Family::V4,
        port: 1002,
        subject: "HTTP_GET {address}:81",
        block: "connect_port 81\n url {\n path /uploads/status\n status_code 200\n }",
        timing: Timing::of(1000, 1, 1000, 500),
        trips: 2,
        refused: leaves("connection refused"),
        lost: times_out("timed out after 0.5 s"),
        late: times_out("timed out after 0.5 s"),
        wrong: [leaves("HTTP status 404, wanted 200"), leaves("HTTP status 301, wanted 200")],
    },
    Row {
        family: Family::V4,
        port: 1003,
        subject: "HTTP_GET {address}:82",
        block: "connect_port 82\n url {\n path /uploads/digest\n digest 900150983cd24fb0d6963f7d28e17f72\n }",
        timing: Timing::of(1000, 2, 500, 400),
        trips: 2,
        refused: leaves("connection refused"),
        lost: times_out("timed out after 0.4 s"),
        late: times_out("timed out after 0.4 s"),
        wrong: [leaves(ABC), leaves("the digest d41d8cd98f00b204e9800998ecf8427e differs")],
    },
    Row {
        family: Family::V4,
        port: 1004,
        subject: "HTTP_GET {address}:83",
        block: "connect_port 83\n url {\n path /uploads/regex\n regex \"^state: (up|fine)$\"\n }",
        timing: Timing::of(800, 3, 400, 400),
        trips: 2,
        refused: leaves("connection refused"),
        lost: times_out("timed out after 0.4 s"),
        late: times_out("timed out after 0.4 s"),
        wrong: [leaves("the pattern `^state: (up|fine)$` is not in the page"); 2],
    },
    Row {
        family: Family::V4,
        port: 1005,
        subject: "SSL_GET {address}:443",
        block: "connect_port 443\n url {\n path /uploads/digest\n digest 900150983cd24fb0d6963f7d28e17f72\n }",
        timing: Timing::of(1000, 2, 600, 600),
        // Of them two for TLS 1.2, of which nginx of Debian 12 speaks no more.
        trips: 4,
        refused: leaves("connection refused"),
        lost: times_out("timed out after 0.6 s"),
        late: times_out("timed out after 0.6 s"),
        wrong: [leaves(ABC); 2],
    },
    Row {
        family: Family::V4,
        port: 1006,
        subject: "SMTP_CHECK {address}:25",
        block: "connect_port 25\n helo_name balancer.test",
        timing: Timing::of(1000, 2, 500, 500),
        trips: 4,
        refused: leaves("connection refused"),
        lost: times_out("timed out after 0.5 s"),
        late: times_out("timed out after 0.5 s"),
        wrong: [
            leaves("SMTP reply 554 to greeting, wanted 220"),
            leaves("SMTP reply 421 to greeting, wanted 220"),
        ],
    },
    Row {
        family: Family::V4,
        port: 1007,
        subject: "DNS_CHECK {address}:53",
        block: "connect_port 53\n type A\n name www.example.test",
        timing: Timing::of(1200, 3, 400, 500),
        trips: 1,
        refused: leaves("port unreachable"),
        lost: times_out("no answer within 0.5 s"),
        late: times_out("no answer within 0.5 s"),
        wrong: [leaves("DNS error 3"), leaves("DNS error 2")],
    },
    Row {
        family: Family::V4,
        port: 1008,
        subject: "UDP_CHECK {address}:7",
        block: "connect_port 7\n payload 6162\n require_reply 61x2",
        timing: Timing::of(1000, 2, 500, 400),
        trips: 1,
        refused: leaves("port unreachable"),
        lost: times_out("no answer within 0.4 s"),
        late: times_out("no answer within 0.4 s"),
        wrong: [
            leaves("the answer differs from what is wanted in byte 2"),
            leaves("the answer differs from what is wanted in byte 1"),
        ],
    },
    Row {
        family: Family::V4,
        port: 1009,
        subject: "UDP_CHECK {address}:8",
        block: "connect_port 8",
        timing: Timing::of(1000, 1, 800, 300),
        trips: 1,
        refused: leaves("port unreachable"),
        lost: STAYS_UNHEARD,
        late: STAYS_UNHEARD,
        wrong: [STAYS; 2],
    },
    Row {
        family: Family::V4,
        port: 1010,
        subject: "PING_CHECK {address}",
        block: "",
        timing: Timing::of(1000, 2, 500, 500),
        trips: 1,
        refused: STAYS,
        lost: times_out("no echo within 0.5 s"),
        late: times_out("no echo within 0.5 s"),
        wrong: [STAYS; 2],
    },
    Row {
        family: Family::V4,
        port: 1011,
        subject: "MISC_CHECK {dir}/ask {address} {dir}/{host}.code",
        block: "misc_path \"{dir}/ask {address} {dir}/{host}.code\"\n misc_timeout 1",
        timing: Timing::of(1000, 2, 500, 1000),
        trips: 2,
        refused: leaves("its program ended with exit status: 7"),
        lost: times_out("its program ran longer than 1 s"),
        late: times_out("its program ran longer than 1 s"),
        wrong: [
            leaves("its program ended with exit status: 1"),
            leaves("its program ended with signal: 9 (SIGKILL)"),
        ],
    },
    Row {
        family: Family::V4,
        port: 1012,
        subject: "FILE_CHECK {host}",
        block: "track_file {host}\n weight 0",
        timing: Timing::of(1000, 0, 1000, 0),
        trips: 0,
        refused: STAYS,
        lost: STAYS,
        late: STAYS,
        wrong: [leaves("{host}.number says 1"), leaves("{host}.number says -1")],
    },
];

/// The server that a row is asked about.
#[derive(Debug, Clone)]
pub(super) struct Whose {
    pub(super) host: String,
    /// Its addresses, in the order of [`Family::BOTH`].
    pub(super) addresses: [IpAddr; 2],
    /// The virtual addresses that it serves, in the same order.
    pub(super) vips: [IpAddr; 2],
    /// Where its files are.
    pub(super) dir: String,
}

impl Whose {
    /// Its address in a family.
    pub(super) fn address(&self, family: Family) -> IpAddr {
        self.addresses[usize::from(family == Family::V6)]
    }

    /// The virtual address in a family.
    pub(super) fn vip(&self, family: Family) -> IpAddr {
        self.vips[usize::from(family == Family::V6)]
    }

    /// Puts it in, with its address in this family.
    pub(super) fn fill(&self, family: Family, text: &str) -> String {
        let address = self.address(family);
        let before_port = match family {
            Family::V4 => format!("{address}:"),
            Family::V6 => format!("[{address}]:"),
        };
        let text = text.replace("{address}:", &before_port).replace("{address}", &address.to_string());
        text.replace("{host}", &self.host).replace("{dir}", &self.dir)
    }
}

impl Row {
    /// What the log calls its probes of a server.
    pub(super) fn subject(&self, whose: &Whose) -> String {
        whose.fill(self.family, self.subject)
    }

    /// What the journal calls a server of its service.
    pub(super) fn name(&self, whose: &Whose) -> String {
        let service = SocketAddr::new(whose.vip(self.family), self.port);
        format!("{} service=TCP {service}", whose.address(self.family))
    }

    pub(super) fn timing(&self) -> Timing {
        Timing { manner: Manner::of(self.subject), ..self.timing }
    }

    /// Its block for a server. A file is looked at every second, whatever is said.
    pub(super) fn check(&self, whose: &Whose) -> String {
        let keyword = self.subject.split(' ').next().unwrap_or_default();
        let Timing { delay_loop, retry, delay_before_retry, timeout, .. } = &self.timing;
        let [delay_loop, delay_before_retry, timeout] =
            [delay_loop, delay_before_retry, timeout].map(Duration::as_secs_f64);
        let retries =
            format!("delay_loop {delay_loop}\n retry {retry}\n delay_before_retry {delay_before_retry}");
        let times = match keyword {
            "FILE_CHECK" => String::new(),
            "MISC_CHECK" => retries,
            _ => format!("{retries}\n connect_timeout {timeout}"),
        };
        format!("{keyword} {{\n {}\n {times}\n }}", whose.fill(self.family, self.block))
    }

    /// How long its probes take: those that pass with this time there and back, and those that find `outcome`.
    pub(super) fn takes(&self, outcome: Outcome, trip: Duration) -> Takes {
        let slow = if outcome.is_slow { self.timing.timeout } else { Duration::ZERO };
        match outcome.reason {
            Some(_) => Takes { passing: trip * self.trips, failing: slow },
            None => Takes { passing: slow.max(trip * self.trips), failing: Duration::ZERO },
        }
    }
}
