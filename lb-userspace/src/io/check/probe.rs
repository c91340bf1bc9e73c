//! One probe of any kind, and what its errors say about the server.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use pcre2::bytes::Regex;
use tokio::time::timeout;
use tracing::warn;

use super::credentials::Credentials;
use super::misc::Turn;
use super::vip::Direct;
use super::{dns, file, http, misc, ping, smtp, tcp, udp, vip};
use crate::config::model::check::Probe;
use crate::health::Input;
use crate::io::command::Programs;

/// Why a probe did not pass.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server is not as it should be: why, for people.
    Server(String),
    /// This host cannot probe, which says nothing about the server.
    Host(String),
}

impl Failure {
    /// What an error says of a connection to the server.
    pub(super) fn of(error: &io::Error) -> Self {
        if is_ours(error) { Self::Host(text(error)) } else { Self::Server(text(error)) }
    }
}

impl From<&str> for Failure {
    fn from(reason: &str) -> Self {
        Self::Server(reason.to_owned())
    }
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::Server(reason)
    }
}

/// What is made once for all probes of a check.
#[derive(Debug, Default)]
pub(super) struct Tools {
    /// What looks for the pattern of each page.
    patterns: Vec<Option<Regex>>,
    /// Of its program.
    turn: Turn,
}

impl Tools {
    pub(super) fn of(probe: &Probe) -> Self {
        let compile = |url: &crate::config::model::check::Url| url.regex.as_ref()?.compile().ok();
        match probe {
            Probe::Http(http) => {
                Self { patterns: http.urls.iter().map(compile).collect(), ..Self::default() }
            }
            _ => Self::default(),
        }
    }

    /// What looks for the pattern of the page with this number.
    pub(super) fn pattern(&self, page: usize) -> Option<&Regex> {
        self.patterns.get(page)?.as_ref()
    }
}

/// What probes are made with.
pub(super) struct Means {
    pub(super) programs: Programs,
    pub(super) direct: Arc<Direct>,
    pub(super) credentials: Credentials,
}

/// Makes one step of a check. No part of it takes longer than `timeout`, and it has a few parts.
pub(super) async fn run(probe: &Probe, step: u32, timeout: Duration, tools: &Tools, means: &Means) -> Input {
    let Means { programs, direct, credentials } = means;
    let step = step as usize;
    let result = match probe {
        Probe::Tcp(endpoint) => tcp::probe(endpoint, timeout).await.map(|()| Input::Passed),
        // Those that take much room have it apart: of the others there may be thousands.
        Probe::Http(http) => {
            let probe = Box::pin(http::probe(http, step, timeout, tools, credentials));
            probe.await.map(|()| Input::Passed)
        }
        Probe::Smtp(smtp) => Box::pin(smtp::probe(smtp, timeout)).await.map(|()| Input::Passed),
        Probe::Dns(dns) => Box::pin(dns::probe(dns, timeout)).await.map(|()| Input::Passed),
        Probe::Udp(udp) => udp::probe(udp, timeout).await.map(|()| Input::Passed),
        Probe::Ping(endpoint) => ping::probe(endpoint, timeout).await.map(|()| Input::Passed),
        Probe::Misc(misc) => Box::pin(misc::probe(misc, programs, &tools.turn)).await,
        Probe::File(file) => file::probe(file),
        Probe::Bfd => Ok(Input::Passed),
        Probe::Vip(vip) => Box::pin(vip::probe(vip, step, timeout, direct)).await,
    };
    input(probe, result)
}

/// What the result of a probe says.
pub(super) fn input(probe: &Probe, result: Result<Input, Failure>) -> Input {
    result.unwrap_or_else(|failure| match failure {
        Failure::Server(reason) => Input::Failed { reason },
        Failure::Host(error) => {
            warn!(probe = %name(probe), %error, "this host cannot probe; the server keeps its state");
            Input::Inconclusive
        }
    })
}

/// What it is, for the log.
pub(super) fn name(probe: &Probe) -> String {
    let keyword = probe.keyword();
    let of = |endpoint: &crate::config::model::check::Endpoint| {
        format!("{keyword} {}", std::net::SocketAddr::new(endpoint.connect_ip, endpoint.connect_port))
    };
    match probe {
        Probe::Tcp(endpoint) => of(endpoint),
        Probe::Ping(endpoint) => format!("{keyword} {}", endpoint.connect_ip),
        Probe::Http(http) => of(&http.endpoint),
        Probe::Smtp(smtp) => of(&smtp.endpoint),
        Probe::Dns(dns) => of(&dns.endpoint),
        Probe::Udp(udp) => of(&udp.endpoint),
        Probe::Misc(misc) => format!("{keyword} {}", misc.command.words.join(" ")),
        Probe::File(file) => format!("{keyword} {}", file.name),
        Probe::Bfd => keyword.to_owned(),
        Probe::Vip(vip) => format!("{keyword} {}", vip.server),
    }
}

/// The end of `work`, if it comes in time.
pub(super) async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(late(limit, what)),
    }
}

/// There was no answer within `limit`; to `what`, if to something special.
pub(super) fn late(limit: Duration, what: &str) -> Failure {
    let gap = if what.is_empty() { "" } else { " " };
    format!("{what}{gap}timed out after {}", Seconds(limit)).into()
}

/// Out of descriptors, memory or local ports: all servers would go down for a fault of this host.
pub(super) fn is_ours(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EADDRNOTAVAIL | libc::EAGAIN)
    )
}

pub(super) fn text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::ConnectionReset => "connection reset".into(),
        io::ErrorKind::HostUnreachable => "no route to host".into(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".into(),
        io::ErrorKind::TimedOut => "timed out".into(),
        io::ErrorKind::AddrNotAvailable => "no interface has this address".into(),
        _ => error.to_string(),
    }
}

/// Seconds with as many decimals as there are: `3 s`, `0.25 s`.
pub(super) struct Seconds(pub(super) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_read_naturally() {
        assert_eq!(format!("{}", Seconds(Duration::from_secs(3))), "3 s");
        assert_eq!(format!("{}", Seconds(Duration::from_millis(250))), "0.25 s");
    }

    #[test]
    fn a_shortage_of_this_host_says_nothing_about_the_server() {
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EADDRNOTAVAIL] {
            assert!(matches!(Failure::of(&io::Error::from_raw_os_error(errno)), Failure::Host(_)), "{errno}");
        }
        let error = io::Error::from_raw_os_error(libc::EHOSTUNREACH);
        assert_eq!(Failure::of(&error), "no route to host".into());
    }
}
