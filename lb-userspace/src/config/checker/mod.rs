//! Owns the step from the block of a checker to a [`Checker`]: one file for each kind, and one for what they share.

mod dns;
mod endpoint;
mod file;
mod http;
mod misc;
mod smtp;
#[cfg(test)]
mod tests;
mod udp;
mod url;
pub(super) mod vip;

use std::net::IpAddr;

use super::diagnostics::Diagnostic;
use super::keywords::BlockKind;
use super::model::check::{Checker, Endpoint, Probe, Tls};
use super::model::vrrp::TrackFile;
use super::source::Span;
use super::timing::Timing;
use super::tree::Statement;

/// What a checker takes from around it.
#[derive(Clone, Debug)]
pub(super) struct Around<'a> {
    /// Of the real server.
    pub(super) address: IpAddr,
    /// Of the real server; 0 where it has none.
    pub(super) port: u16,
    /// Of the real server or else the virtual server.
    pub(super) virtualhost: Option<String>,
    pub(super) timing: Timing,
    /// Every `track_file` there is.
    pub(super) files: &'a [TrackFile],
}

/// The checkers that `statement` describes, a block of this kind; of one that is missing `problems` says why.
pub(super) fn read(
    kind: BlockKind,
    statement: &Statement,
    around: &Around<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Vec<Checker> {
    if kind == BlockKind::SmtpCheck {
        mail(statement, around, problems)
    } else {
        one(kind, statement, around, problems).into_iter().collect()
    }
}

/// The check of the mail server itself, and one for each host named in it.
fn mail(statement: &Statement, around: &Around<'_>, problems: &mut Vec<Diagnostic>) -> Vec<Checker> {
    let outer = around.timing.inside(BlockKind::SmtpCheck, statement.body(), problems);
    let mut checkers = Vec::new();
    for (block, probe) in smtp::read(statement, around, problems) {
        let timing = match block.name() {
            "host" => outer.inside(BlockKind::SmtpHost, block.body(), problems),
            _ => outer,
        };
        let (timing, span) = (timing.of(BlockKind::SmtpCheck), block.header());
        checkers.push(Checker { timing, probe: Probe::Smtp(probe), span, parts: Vec::new() });
    }
    checkers
}

fn one(
    kind: BlockKind,
    statement: &Statement,
    around: &Around<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Checker> {
    let timing = around.timing.inside(kind, statement.body(), problems);
    let probe = match kind {
        BlockKind::TcpCheck => Probe::Tcp(tcp(statement, around, problems)?),
        BlockKind::HttpGet => Probe::Http(http::read(statement, None, around, problems)?),
        BlockKind::SslGet => {
            let tls = Tls { sni: false, compliant: false };
            Probe::Http(http::read(statement, Some(tls), around, problems)?)
        }
        BlockKind::DnsCheck => Probe::Dns(dns::read(statement, around, problems)?),
        BlockKind::UdpCheck => Probe::Udp(udp::read(statement, around, problems)?),
        BlockKind::PingCheck => Probe::Ping(endpoint::read(statement, around, problems)),
        BlockKind::MiscCheck => Probe::Misc(misc::read(statement, timing.delay_loop(), problems)),
        BlockKind::FileCheck => Probe::File(file::read(statement, around.files, problems)?),
        BlockKind::BfdCheck => {
            let message = "`BFD_CHECK` is not yet in effect; it counts as passed";
            let hint = "use another check to have a dead server taken out";
            problems.push(Diagnostic::ours(statement.header(), message).hint(hint));
            Probe::Bfd
        }
        _ => return None,
    };
    let parts = match &probe {
        Probe::Http(_) => blocks(statement, "url"),
        _ => Vec::new(),
    };
    Some(Checker { timing: timing.of(kind), probe, span: statement.header(), parts })
}

/// The host that a block around checkers names for their HTTP.
pub(super) fn virtualhost(block: &Statement, problems: &mut Vec<Diagnostic>) -> Option<String> {
    let setting = block.body().iter().rfind(|setting| setting.name() == "virtualhost")?;
    url::host(setting.arguments.first()?).map_err(|problem| problems.push(problem)).ok()
}

fn blocks(statement: &Statement, name: &str) -> Vec<Span> {
    statement.body().iter().filter(|inner| inner.name() == name).map(Statement::header).collect()
}

fn tcp(statement: &Statement, around: &Around<'_>, problems: &mut Vec<Diagnostic>) -> Option<Endpoint> {
    for setting in statement.body().iter().filter(|setting| setting.name() == "nb_get_retry") {
        let message = "`nb_get_retry` belongs in HTTP_GET; here it is read as `retry`";
        let note = Diagnostic::note(setting.header(), message).hint("write `retry`");
        problems.push(Diagnostic { is_ours: false, ..note });
    }
    endpoint::with_port(statement, around, problems)
}
