//! Owns the texts a configuration is read from, the places in them, and how a word came to stand where it is read.
//! Refuses to open files.

use std::fmt;
use std::sync::Arc;

/// Which text of a [`Sources`] a place is in, and through which variables it is read there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId {
    text: u32,
    /// 0 for what is read as it is written.
    origin: u32,
}

/// A range of one text: byte offsets, and the line and column (both from 1, columns in characters) it starts at.
/// The default is no place at all, for what was not read from a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The text.
    pub source: SourceId,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Line of the first byte, from 1.
    pub line: u32,
    /// Column of the first byte, in characters from 1.
    pub column: u32,
}

impl Span {
    /// Whether all of `inner` lies in this range.
    pub fn contains(self, inner: Self) -> bool {
        self.is_beside(inner) && self.start <= inner.start && inner.end <= self.end
    }

    /// The range from the start of `self` to the end of `last`; only `self` if that lies in another text.
    #[must_use]
    pub fn to(self, last: Self) -> Self {
        if self.is_beside(last) { Self { end: last.end.max(self.end), ..self } } else { self }
    }

    /// Whether the two are in one text.
    pub fn is_beside(self, other: Self) -> bool {
        self.source.text == other.source.text
    }

    /// The same place, read through `origin`.
    #[must_use]
    pub(super) const fn through(self, origin: OriginId) -> Self {
        Self { source: SourceId { origin: origin.0, ..self.source }, ..self }
    }

    pub(super) const fn origin(self) -> OriginId {
        OriginId(self.source.origin)
    }

    /// The text, and the first byte and the end in it.
    pub(super) const fn place(self) -> (u32, usize, usize) {
        (self.source.text, self.start, self.end)
    }
}

/// Which [`Origin`] a word has; the default is that it is read as it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OriginId(u32);

/// Why a word is not read as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// What was so already where the variable was used, or of what stands before it in the word.
    pub(super) outer: OriginId,
    /// How many variables it is the value of, one in the other.
    pub(super) depth: u16,
    /// As it is written, such as `${NAME}`.
    pub(super) name: Arc<str>,
    pub(super) what: Made,
}

/// What was made of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// Text in its place, and where it was defined.
    Text(Arc<str>, Option<Span>),
    /// Lines, which are pointed to where they are written; it was used here.
    Lines(Span),
}

/// One text and the name it is called by in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What messages call it; usually the path as it was given.
    pub name: String,
    /// The whole text.
    pub text: Arc<str>,
}

/// Every text of one configuration, in reading order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    texts: Vec<Source>,
    origins: Vec<Origin>,
}

impl Sources {
    /// Takes a text, and gives it back to be read.
    pub(super) fn add(&mut self, name: &str, text: &str) -> (SourceId, Arc<str>) {
        let id = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let text: Arc<str> = text.into();
        self.texts.push(Source { name: name.to_owned(), text: Arc::clone(&text) });
        (SourceId { text: id, origin: 0 }, text)
    }

    pub(super) fn add_origin(&mut self, origin: Origin) -> OriginId {
        self.origins.push(origin);
        OriginId(u32::try_from(self.origins.len()).unwrap_or(u32::MAX))
    }

    pub(super) fn origin(&self, id: OriginId) -> Option<&Origin> {
        self.origins.get(usize::try_from(id.0).ok()?.checked_sub(1)?)
    }

    pub(super) fn depth(&self, id: OriginId) -> u16 {
        self.origin(id).map_or(0, |origin| origin.depth)
    }

    /// The text with this id, if it is one of these.
    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.texts.get(usize::try_from(id.text).ok()?)
    }

    /// The place as `name:line:column`.
    pub fn locate(&self, span: Span) -> Location<'_> {
        Location { name: self.get(span.source).map_or("?", |source| &source.name), span }
    }

    /// The line and column behind the last character of `span`, both from 1.
    pub fn end(&self, span: Span) -> (u32, u32) {
        let source = self.get(span.source);
        let text = source.and_then(|source| source.text.get(span.start..span.end)).unwrap_or_default();
        let count = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        let lines = u32::try_from(text.matches('\n').count()).unwrap_or(u32::MAX);
        match text.rsplit_once('\n') {
            None => (span.line, span.column.saturating_add(count(text))),
            Some((_, last)) => (span.line.saturating_add(lines), count(last).saturating_add(1)),
        }
    }

    /// The whole line that `span` starts on, without its end, and the offset of its first byte.
    pub(super) fn line(&self, span: Span) -> Option<(&str, usize)> {
        let text = &self.get(span.source)?.text;
        let start = text.get(..span.start)?.rfind('\n').map_or(0, |newline| newline + 1);
        let rest = &text[start..];
        let line = rest.split('\n').next().unwrap_or(rest);
        Some((line.strip_suffix('\r').unwrap_or(line), start))
    }
}

/// A place, written `name:line:column`.
#[derive(Clone, Copy, Debug)]
pub struct Location<'a> {
    name: &'a str,
    span: Span,
}

impl fmt::Display for Location<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.name, self.span.line, self.span.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_out_without_its_end() {
        let mut sources = Sources::default();
        let (source, _) = sources.add("a.conf", "one\r\ntwo\nthree");
        let at = |start, line| Span { source, start, end: start + 1, line, column: 1 };
        assert_eq!(sources.line(at(0, 1)), Some(("one", 0)));
        assert_eq!(sources.line(at(6, 2)), Some(("two", 5)));
        assert_eq!(sources.line(at(11, 3)), Some(("three", 9)));
        assert_eq!(sources.locate(at(6, 2)).to_string(), "a.conf:2:1");
    }

    #[test]
    fn the_end_of_a_place_is_behind_its_last_character() {
        let mut sources = Sources::default();
        let (source, _) = sources.add("a.conf", "é one\ntwo");
        let span = |end| Span { source, start: 3, end, line: 1, column: 3 };
        assert_eq!([span(6), span(10)].map(|span| sources.end(span)), [(1, 6), (2, 4)]);
    }
}
