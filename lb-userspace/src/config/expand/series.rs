//! Owns `~SEQ` and `~LST`: lines that are repeated, each time with other values of variables.

use std::vec;

use super::line::Line;
use super::variables::{Value, is_name};
use super::{Reader, Stop};
use crate::config::diagnostics::Diagnostic;
use crate::config::source::Span;

const FORMS: &str = "write ~SEQ(VAR, START, STEP, END), ~SEQ(VAR, START, END) or ~SEQ(VAR, END), ~SEQx for hexadecimal numbers, ~LST(VAR, VALUE, ...) or ~LST({VAR, VAR}, {VALUE, VALUE}, ...), and the line behind it";

/// A line that is repeated.
#[derive(Debug)]
pub(super) struct Series {
    names: Vec<String>,
    values: Values,
    rest: Line,
    place: Span,
}

/// What the variables become, one after the other.
#[derive(Debug)]
enum Values {
    Numbers { next: Option<i64>, step: i64, end: i64, hexadecimal: bool },
    Lists(vec::IntoIter<Vec<String>>),
}

impl Series {
    /// The next values, and the line.
    pub(super) fn step(&mut self) -> Option<(Vec<(String, Value)>, Line)> {
        let values = match &mut self.values {
            Values::Numbers { next, step, end, hexadecimal } => {
                let value = (*next)?;
                let following = value.checked_add(*step);
                *next =
                    following.filter(|following| if *step > 0 { following <= end } else { following >= end });
                let (sign, size) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
                vec![if *hexadecimal { format!("{sign}{size:x}") } else { value.to_string() }]
            }
            Values::Lists(lists) => lists.next()?,
        };
        let values = values.into_iter().chain(std::iter::repeat(String::new()));
        let set = self.names.iter().cloned().zip(values);
        Some((set.map(|(name, value)| (name, Value::made(&value, self.place))).collect(), self.rest.clone()))
    }

    /// How often the line is repeated from now on.
    fn length(&self) -> u64 {
        match &self.values {
            Values::Numbers { next: Some(next), step, end, .. } => {
                next.abs_diff(*end) / step.unsigned_abs() + 1
            }
            Values::Numbers { next: None, .. } => 0,
            Values::Lists(lists) => u64::try_from(lists.len()).unwrap_or(u64::MAX),
        }
    }
}

/// Whether a line with this text is repeated.
pub(super) fn begins(text: &str) -> bool {
    Kind::of(text).is_some()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Decimal,
    Hexadecimal,
    List,
}

impl Kind {
    /// The kind, and what stands in the parentheses and behind them, as offsets.
    fn of(text: &str) -> Option<(Self, usize)> {
        let kinds = [("~SEQx", Self::Hexadecimal), ("~SEQ", Self::Decimal), ("~LST", Self::List)];
        let (keyword, kind) = kinds.into_iter().find(|(keyword, _)| text.starts_with(keyword))?;
        let behind = &text[keyword.len()..];
        let open = behind.trim_start();
        let at = text.len() - open.len() + 1;
        open.starts_with('(').then_some((kind, at))
    }
}

impl Reader<'_> {
    /// The series that `line` begins with; without one, `problems` says why.
    pub(super) fn series(&mut self, line: &Line) -> Result<Option<Series>, Stop> {
        let text = line.text();
        let Some((kind, open)) = Kind::of(text) else { return Ok(None) };
        let Some(close) = text[open..].find(')').map(|length| open + length) else {
            self.wrong_series(line.span(0..text.len()), "this list is not closed with `)`");
            return Ok(None);
        };
        let place = line.span(0..close + 1);
        let arguments = self.substitute(&line.cut(open..close))?;
        if !arguments.further.is_empty() {
            self.wrong_series(place, "a variable of several lines does not stand in a list");
            return Ok(None);
        }
        let read = match kind {
            Kind::List => lists(arguments.line.text()),
            Kind::Decimal | Kind::Hexadecimal => {
                numbers(arguments.line.text(), kind == Kind::Hexadecimal).map_err(str::to_owned)
            }
        };
        let (names, values) = match read {
            Ok(read) => read,
            Err(message) => {
                self.wrong_series(place, &message);
                return Ok(None);
            }
        };
        let series = Series { names, values, rest: line.cut(close + 1..text.len()), place };
        if !self.budget.has(series.length()) {
            return self
                .stop(place, format!("this repeats its line {} times, which is too much", series.length()));
        }
        Ok(Some(series))
    }

    fn wrong_series(&mut self, place: Span, message: &str) {
        self.problems.push(Diagnostic::error(place, message).hint(FORMS));
    }
}

fn numbers(text: &str, hexadecimal: bool) -> Result<(Vec<String>, Values), &'static str> {
    let parts: Vec<_> = text.split(',').map(str::trim).collect();
    let [name, parts @ ..] = parts.as_slice() else { return Err("this list has no variable") };
    if !is_name(name) {
        return Err("this list does not begin with the name of a variable");
    }
    let numbers: Option<Vec<_>> = parts.iter().map(|part| number(part)).collect();
    let numbers = numbers.ok_or("this list has something that is no whole number")?;
    let towards = |start: i64, end: i64| if end < start { -1 } else { 1 };
    let (start, step, end) = match *numbers.as_slice() {
        [end] => (if end < 0 { -1 } else { 1 }, towards(if end < 0 { -1 } else { 1 }, end), end),
        [start, end] => (start, towards(start, end), end),
        [start, step, end] => (start, step, end),
        _ => return Err("this list has too few or too many numbers"),
    };
    if step == 0 || (start < end && step < 0) || (start > end && step > 0) {
        return Err("the steps of this list never come to its end");
    }
    Ok((vec![(*name).to_owned()], Values::Numbers { next: Some(start), step, end, hexadecimal }))
}

/// As C reads it: `0x` before hexadecimal digits, `0` before octal ones.
fn number(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.bytes().next()?.is_ascii_digit() {
        return None;
    }
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (digits, radix) = match (hexadecimal, digits.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(octal)) if !octal.is_empty() => (octal, 8),
        (None, _) => (digits, 10),
    };
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok().filter(|_| !digits.starts_with(['+', '-']))
}

fn lists(text: &str) -> Result<(Vec<String>, Values), String> {
    let parts = elements(text)?;
    let Some((names, values)) = parts.split_first() else {
        return Err("this list has no variable".to_owned());
    };
    if names.is_empty() || !names.iter().all(|name| is_name(name)) {
        return Err("this list does not begin with the name of a variable".to_owned());
    }
    if values.is_empty() {
        return Err("this list has no values".to_owned());
    }
    if let Some(many) = values.iter().find(|values| values.len() > names.len()) {
        return Err(format!("this list gives {} values to {} of variables", many.len(), names.len()));
    }
    let names = names.clone();
    let mut values = parts.into_iter();
    values.next();
    Ok((names, Values::Lists(values)))
}

/// What stands between commas, each one value or several in braces.
fn elements(text: &str) -> Result<Vec<Vec<String>>, String> {
    let mut elements = Vec::new();
    let mut rest = text.trim();
    loop {
        let (element, behind) = match rest.strip_prefix('{') {
            Some(inner) => inner.split_once('}').ok_or("a `{` in this list is not closed")?,
            None => rest.split_at(rest.find(',').unwrap_or(rest.len())),
        };
        let values: Vec<_> = element.split(',').map(|value| value.trim().to_owned()).collect();
        if values
            .iter()
            .any(|value| value.contains(|letter: char| letter.is_whitespace() || "{}".contains(letter)))
        {
            return Err("a value in this list has white space or a brace in it".to_owned());
        }
        elements.push(values);
        let behind = behind.trim_start();
        match (behind.strip_prefix(','), behind.is_empty()) {
            (Some(next), _) => rest = next.trim_start(),
            (None, true) => return Ok(elements),
            (None, false) => return Err("a comma is missing in this list".to_owned()),
        }
    }
}
