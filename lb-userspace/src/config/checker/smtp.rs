//! `SMTP_CHECK`.

use super::{Around, endpoint};
use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::model::check::{Endpoint, SmtpProbe};
use crate::config::tree::{Statement, Word};

/// What keepalived says behind HELO.
pub(super) const HELO_NAME: &str = "smtpchecker.keepalived.org";
/// RFC 5321 section 4.5.3.1.2.
const LONGEST_NAME: usize = 255;

/// The check that `statement` describes, and behind it one for each `host` block in it; of one that is missing `problems` says why.
pub(super) fn read<'a>(
    statement: &'a Statement,
    around: &Around<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Vec<(&'a Statement, SmtpProbe)> {
    let outer = endpoint::read(statement, around, problems);
    let mut helo_name = HELO_NAME.to_owned();
    for setting in statement.body() {
        if let ("helo_name", Some(word)) = (setting.name(), setting.arguments.first()) {
            match name(word) {
                Ok(read) => helo_name = read,
                Err(problem) => problems.push(problem),
            }
        }
    }
    let mut probes = Vec::new();
    let mut take = |block: &'a Statement, endpoint: Endpoint, problems: &mut Vec<Diagnostic>| {
        if endpoint.connect_port == 0 {
            endpoint::say_no_port(block.header(), problems);
        } else {
            probes.push((block, SmtpProbe { helo_name: helo_name.clone(), endpoint }));
        }
    };
    take(statement, outer.clone(), problems);
    for block in statement.body().iter().filter(|setting| setting.name() == "host") {
        take(block, endpoint::within(outer.clone(), block, problems), problems);
    }
    probes
}

fn name(word: &Word) -> Result<String, Diagnostic> {
    let text = &word.text;
    if (1..=LONGEST_NAME).contains(&text.len()) && text.chars().all(|letter| letter.is_ascii_graphic()) {
        return Ok(text.clone());
    }
    Err(Diagnostic::error(word.span, format!("{} is not the name of a host", quoted(text)))
        .hint("write the name of this host, such as lvs1.example.com"))
}
