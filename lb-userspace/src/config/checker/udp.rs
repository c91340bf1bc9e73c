//! `UDP_CHECK`.

use super::{Around, endpoint};
use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::model::check::{HexByte, UdpProbe};
use crate::config::tree::{Statement, Word};
use crate::config::values;

/// What fits into a datagram over IPv4.
const MOST_BYTES: usize = 65_507;
const DEFAULT_LONGEST: u16 = 255;

/// The check that `statement` describes; without one, `problems` says why.
pub(super) fn read(
    statement: &Statement,
    around: &Around<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Option<UdpProbe> {
    let endpoint = endpoint::with_port(statement, around, problems);
    let (mut payload, mut pattern) = (None, None);
    let (mut min_length, mut max_length) = (0, DEFAULT_LONGEST);
    for setting in statement.body() {
        let words = setting.arguments.as_slice();
        let length = |word| values::number(word, "a number of bytes", 0..=u16::MAX);
        let result = match (setting.name(), words.first()) {
            ("payload", Some(_)) => sent(words).map(|read| payload = Some(read)),
            ("require_reply", _) => hex(words, true).map(|read| pattern = Some(read)),
            ("min_reply_length", Some(word)) => length(word).map(|read| min_length = read),
            ("max_reply_length", Some(word)) => length(word).map(|read| max_length = read),
            _ => Ok(()),
        };
        problems.extend(result.err());
    }
    if min_length > max_length {
        let message = format!("no answer has at least {min_length} and at most {max_length} bytes");
        let hint = "make `max_reply_length` at least `min_reply_length`";
        problems.push(Diagnostic::warning(statement.header(), message).hint(hint));
    }
    Some(UdpProbe {
        endpoint: endpoint?,
        payload,
        require_reply: pattern,
        min_reply_length: min_length,
        max_reply_length: max_length,
    })
}

fn sent(words: &[Word]) -> Result<Vec<u8>, Diagnostic> {
    Ok(hex(words, false)?.into_iter().map(|byte| byte.value).collect())
}

/// Bytes as hexadecimal digits. White space ends a byte, so a digit alone is one too; `x` is any digit where that
/// `may_vary`.
fn hex(words: &[Word], may_vary: bool) -> Result<Vec<HexByte>, Diagnostic> {
    let mut bytes = Vec::new();
    for word in words {
        for part in word.text.split_whitespace() {
            let digits: Option<Vec<_>> = part.chars().map(|digit| nibble(digit, may_vary)).collect();
            let digits = digits.ok_or_else(|| {
                let also = if may_vary { ", or x for any" } else { "" };
                Diagnostic::error(word.span, format!("{} is not hexadecimal", quoted(&word.text)))
                    .hint(format!("write digits from 0 to 9 and from a to f{also}"))
            })?;
            bytes.extend(digits.chunks(2).map(|pair| match pair {
                [high, low] => {
                    HexByte { value: high.value << 4 | low.value, mask: high.mask << 4 | low.mask }
                }
                // The upper half of a digit alone is 0.
                alone => HexByte { mask: alone[0].mask | 0xf0, ..alone[0] },
            }));
        }
    }
    match words.last() {
        Some(word) if bytes.len() > MOST_BYTES => Err(Diagnostic::error(
            word.span,
            format!("this is longer than the {MOST_BYTES} bytes of a datagram"),
        )
        .hint("write less")),
        _ => Ok(bytes),
    }
}

/// A digit in the lower half of a byte.
fn nibble(digit: char, may_vary: bool) -> Option<HexByte> {
    match digit {
        'x' | 'X' if may_vary => Some(HexByte { value: 0, mask: 0 }),
        _ => Some(HexByte { value: digit.to_digit(16)? as u8, mask: 0x0f }),
    }
}
