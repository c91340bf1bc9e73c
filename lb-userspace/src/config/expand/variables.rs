//! Owns the variables: what a definition is, where a use is, and what stands there instead. A value is looked at when
//! it is used, so that what it names may change until then.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use super::line::{Line, Walker};
use super::{Reader, Stop, builtins};
use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::expand::budget::{MAX_DEPTH, MAX_LINE};
use crate::config::source::{Made, Origin, OriginId, Span};

/// What stands between braces has at most so many bytes.
const MAX_NAME: usize = 1024;
/// A value is shown up to this many characters.
const SHOWN: usize = 60;

/// What stands behind `$NAME=`.
#[derive(Debug)]
pub(super) struct Value {
    /// At least one.
    pub(super) lines: Vec<Line>,
    pub(super) defined: Span,
}

impl Value {
    /// A value of one line that no text has as such.
    pub(super) fn made(text: &str, span: Span) -> Self {
        Self { lines: vec![Line::made(text, span)], defined: span }
    }

    fn bytes(&self) -> usize {
        self.lines.iter().map(|line| line.text().len()).sum()
    }
}

/// Every variable that is defined at this point of the text.
#[derive(Debug, Default)]
pub(super) struct Variables(BTreeMap<String, Rc<Value>>);

impl Variables {
    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), Rc::new(value));
    }

    pub(super) fn get(&self, name: &str) -> Option<Rc<Value>> {
        self.0.get(name).cloned()
    }
}

/// The name that `text` defines, and where the value begins.
pub(super) fn definition(text: &str) -> Option<(&str, usize)> {
    let (name, _) = text.strip_prefix('$')?.split_once('=')?;
    is_name(name).then_some((name, name.len() + 2))
}

pub(super) fn is_name(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !text.is_empty() && text.bytes().all(letter) && !text.as_bytes()[0].is_ascii_digit()
}

/// A place in a text where a variable is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Use<'a> {
    /// What stands between the braces, or the name.
    pub(super) inner: &'a str,
    pub(super) braced: bool,
    /// One past its last byte.
    pub(super) end: usize,
}

/// The use that the `$` at `at` begins.
pub(super) fn use_at(text: &str, at: usize) -> Option<Use<'_>> {
    let behind = text.get(at..)?.strip_prefix('$')?;
    if let Some(inner) = behind.strip_prefix('{') {
        let mut depth = 0_usize;
        for (index, byte) in inner.bytes().enumerate().take(MAX_NAME) {
            match byte {
                b'{' => depth += 1,
                b'}' if depth == 0 => {
                    return Some(Use { inner: &inner[..index], braced: true, end: at + index + 3 });
                }
                b'}' => depth -= 1,
                _ => {}
            }
        }
        return None;
    }
    let length = behind.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    let inner = &behind[..length];
    is_name(inner).then_some(Use { inner, braced: false, end: at + 1 + length })
}

/// What stands behind a piece of a line.
#[derive(Clone, Copy, Debug)]
pub(super) enum Behind {
    Nothing,
    /// It begins with this, and is not blank.
    Text(char),
    /// Only white space.
    Blank,
}

impl Behind {
    fn of(rest: &str, outer: Self) -> Self {
        match (rest.chars().next(), outer) {
            (None, outer) => outer,
            (Some(first), Self::Text(_)) => Self::Text(first),
            (Some(first), _) if !rest.trim_start().is_empty() => Self::Text(first),
            (Some(_), _) => Self::Blank,
        }
    }

    /// Whether a name without braces ends here.
    fn ends_name(self) -> bool {
        match self {
            Self::Nothing | Self::Blank => true,
            Self::Text(first) => first.is_whitespace() || ",)".contains(first),
        }
    }
}

/// A line with its variables put in, and the lines that come after it, which are still to be looked at.
#[derive(Debug, Default)]
pub(super) struct Substituted {
    pub(super) line: Line,
    pub(super) further: Vec<Line>,
}

/// A piece of a line whose variables are put in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) line: &'a Line,
    /// For the value of a variable, where that is used.
    pub(super) used: Option<Span>,
    pub(super) behind: Behind,
    /// How many names of names it is in.
    pub(super) named: u16,
}

impl Reader<'_> {
    /// The line with all variables put in.
    pub(super) fn substitute(&mut self, line: &Line) -> Result<Substituted, Stop> {
        let mut out = Substituted::default();
        self.put(Piece { line, used: None, behind: Behind::Nothing, named: 0 }, &mut out)?;
        Ok(out)
    }

    fn put(&mut self, piece: Piece<'_>, out: &mut Substituted) -> Result<(), Stop> {
        let text = piece.line.text();
        let mut places = Walker::new(piece.line);
        let mut copied = 0;
        let mut at = 0;
        while let Some(offset) = text[at..].find('$') {
            let start = at + offset;
            let Some(found) = use_at(text, start) else {
                at = start + 1;
                continue;
            };
            let behind = Behind::of(&text[found.end..], piece.behind);
            copy(piece, &mut places, copied..start, out);
            copied = start;
            at = start + 1;
            let place = piece.used.unwrap_or_else(|| places.span(start..found.end));
            if self.replace(found, place, Piece { behind, ..piece }, out)? {
                (copied, at) = (found.end, found.end);
            }
        }
        copy(piece, &mut places, copied..text.len(), out);
        if out.line.text().len() > MAX_LINE {
            return self
                .stop(piece.line.span(0..0), format!("this line becomes longer than {MAX_LINE} bytes"));
        }
        Ok(())
    }

    /// Puts in what `found` stands for; `false` if it is to be left as it is. `piece` is what it stands in.
    fn replace(
        &mut self,
        found: Use<'_>,
        place: Span,
        piece: Piece<'_>,
        out: &mut Substituted,
    ) -> Result<bool, Stop> {
        let inner = if found.braced && found.inner.contains('$') {
            let name = Line::made(found.inner, place);
            let mut named = Substituted::default();
            self.deeper(place, piece.named)?;
            let piece =
                Piece { line: &name, used: Some(place), behind: Behind::Nothing, named: piece.named + 1 };
            self.put(piece, &mut named)?;
            named.line.text().to_owned()
        } else {
            found.inner.to_owned()
        };
        let shown = if found.braced { format!("${{{inner}}}") } else { format!("${inner}") };
        let name = inner.split_whitespace().next().unwrap_or_default();
        if !is_name(name) {
            return Ok(false);
        }
        let value = self.variables.get(name).filter(|_| name == inner);
        let builtin = value.is_none() && builtins::is_known(name);
        if !found.braced && !piece.behind.ends_name() {
            if value.is_some() || builtin {
                self.warn_unused(
                    place,
                    &shown,
                    "what follows it would be part of its name",
                    "put braces around the name, as in `${NAME}`",
                );
            }
            return Ok(false);
        }
        if builtin {
            let made = match self.builtin(&inner) {
                Ok(made) => made,
                Err(what) => {
                    let message = format!("{} {what}", quoted(&shown));
                    self.problems.push(Diagnostic::error(place, message).hint(builtins::FORMS));
                    return Ok(false);
                }
            };
            if builtins::STARTS_COMMENT.contains(&name) {
                self.spend(place, out.line.text().len())?;
                if out.line.text().matches('"').count().is_multiple_of(2) {
                    let message =
                        format!("{} outside of quotes starts a comment in keepalived 2.2", quoted(&shown));
                    let problem = Diagnostic::ours(place, message);
                    self.problems.push(problem.hint("put the word in quotes; both then read the same"));
                }
            }
            self.spend(place, made.len())?;
            let outer = out.line.last_made().map_or(place.origin(), Span::origin);
            let origin = self.origin(place, outer, &shown, Made::Text(made.as_str().into(), None));
            out.line.push_made(&made, place.through(origin));
            return Ok(true);
        }
        let Some(value) = value else {
            self.warn_unused(
                place,
                &shown,
                "it is not defined",
                "define it before this line, with `$NAME=value` on a line of its own",
            );
            return Ok(false);
        };
        self.deeper(place, piece.named)?;
        match value.lines.as_slice() {
            [] => {}
            [line] => {
                self.spend(place, line.text().len())?;
                let made = Made::Text(abridged(line.text()), Some(value.defined));
                let outer = out.line.last_made().map_or(place.origin(), Span::origin);
                let used = Some(place.through(self.origin(place, outer, &shown, made)));
                self.put(Piece { line, used, ..piece }, out)?;
            }
            [first, further @ ..] => {
                if matches!(piece.behind, Behind::Text(_)) {
                    self.warn_unused(
                        place,
                        &shown,
                        "it has several lines, and something stands behind it",
                        "put what stands behind it on the next line",
                    );
                    return Ok(false);
                }
                self.spend(place, value.bytes())?;
                let origin = self.origin(place, place.origin(), &shown, Made::Lines(place));
                let first = first.through(origin);
                let inner = Piece { line: &first, used: None, behind: Behind::Nothing, named: piece.named };
                self.put(inner, out)?;
                // What follows the first of its lines is before what follows a variable at its end.
                out.further.extend(further.iter().map(|line| line.through(origin)));
            }
        }
        Ok(true)
    }

    /// The lines that a value of several lines becomes where it is used at `place`.
    pub(super) fn lines_of(&mut self, value: &Value, shown: &str, place: Span) -> Result<Vec<Line>, Stop> {
        self.deeper(place, 0)?;
        self.spend(place, value.bytes())?;
        let origin = self.origin(place, place.origin(), shown, Made::Lines(place));
        Ok(value.lines.iter().map(|line| line.through(origin)).collect())
    }

    /// `line`, which begins with a use of a variable of one line, with that put in.
    pub(super) fn put_first(&mut self, line: &Line, end: usize, value: &Value) -> Result<Line, Stop> {
        let place = line.span(0..end);
        self.deeper(place, 0)?;
        self.spend(place, value.bytes() + line.text().len())?;
        let [first] = value.lines.as_slice() else { return Ok(line.clone()) };
        let made = Made::Text(abridged(first.text()), Some(value.defined));
        let origin = self.origin(place, place.origin(), &line.text()[..end], made);
        let mut out = Line::default();
        out.push_made(first.text(), place.through(origin));
        out.push(&mut Walker::new(line), end..line.text().len());
        if out.text().len() > MAX_LINE {
            return self.stop(place, format!("this line becomes longer than {MAX_LINE} bytes"));
        }
        Ok(out)
    }

    /// An error if a variable used at `place` is one too many inside others; `named` names of names are around it.
    fn deeper(&mut self, place: Span, named: u16) -> Result<(), Stop> {
        if self.sources.depth(place.origin()).saturating_add(named) < MAX_DEPTH {
            return Ok(());
        }
        let message = format!("variables stand in the values of variables more than {MAX_DEPTH} deep");
        self.stop(place, message)
    }

    /// What is made at `place`, of which the word has `outer` in it already.
    fn origin(&mut self, place: Span, outer: OriginId, name: &str, what: Made) -> OriginId {
        let depth = self.sources.depth(place.origin()) + 1;
        self.sources.add_origin(Origin { outer, depth, name: name.into(), what })
    }

    fn warn_unused(&mut self, place: Span, shown: &str, why: &str, hint: &str) {
        if !self.left.insert((shown.to_owned(), place.place())) {
            return;
        }
        let name = if self.secret { "a variable here".to_owned() } else { quoted(shown) };
        let message = format!("{name} stays as it is: {why}");
        self.problems.push(Diagnostic::warning(place, message).hint(hint));
    }
}

fn copy(piece: Piece<'_>, places: &mut Walker<'_>, range: Range<usize>, out: &mut Substituted) {
    match piece.used {
        Some(used) => out.line.push_made(&piece.line.text()[range], used),
        None => out.line.push(places, range),
    }
}

/// A value as it may stand in a note.
fn abridged(text: &str) -> Arc<str> {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}
