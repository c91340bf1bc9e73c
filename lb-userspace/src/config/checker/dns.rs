//! `DNS_CHECK`.

use std::str::FromStr as _;

use hickory_proto::rr::Name;

use super::{Around, endpoint};
use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::model::check::{DnsProbe, DnsRecord};
use crate::config::tree::{Statement, Word};

/// The check that `statement` describes; without one, `problems` says why.
pub(super) fn read(
    statement: &Statement,
    around: &Around<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Option<DnsProbe> {
    let endpoint = endpoint::with_port(statement, around, problems);
    let (mut record_type, mut question) = (DnsRecord::default(), ".".to_owned());
    for setting in statement.body() {
        let result = match (setting.name(), setting.arguments.first()) {
            ("type", Some(word)) => record(word).map(|read| record_type = read),
            ("name", Some(word)) => name(word).map(|read| question = read),
            _ => Ok(()),
        };
        problems.extend(result.err());
    }
    Some(DnsProbe { endpoint: endpoint?, record: record_type, name: question })
}

fn record(word: &Word) -> Result<DnsRecord, Diagnostic> {
    let mut known = DnsRecord::ALL.into_iter();
    known.find(|record| record.keyword().eq_ignore_ascii_case(&word.text)).ok_or_else(|| {
        let words = DnsRecord::ALL.map(DnsRecord::keyword).join(", ");
        Diagnostic::error(word.span, format!("{} is not a type of record", quoted(&word.text)))
            .hint(format!("write one of {words}"))
    })
}

fn name(word: &Word) -> Result<String, Diagnostic> {
    let is_plain = word.text.chars().all(|letter| letter.is_ascii_graphic() && letter != '\\');
    if !word.text.is_empty() && is_plain && Name::from_str(&word.text).is_ok() {
        return Ok(word.text.clone());
    }
    Err(Diagnostic::error(word.span, format!("{} is not a name of DNS", quoted(&word.text)))
        .hint("write a name such as www.example.com, of labels of up to 63 letters, or a dot for the root"))
}
