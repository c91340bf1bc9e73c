//! Owns the texts a configuration is read from and the places in them. Refuses to open files.

use std::fmt;

/// Which text of a [`Sources`] a place is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u32);

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
        self.source == inner.source && self.start <= inner.start && inner.end <= self.end
    }

    /// The range from the start of `self` to the end of `last`, which lies behind it in the same text.
    #[must_use]
    pub fn to(self, last: Self) -> Self {
        Self { end: last.end.max(self.end), ..self }
    }
}

/// One text and the name it is called by in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What messages call it; usually the path as it was given.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// Every text of one configuration, in reading order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Vec<Source>);

impl Sources {
    pub(super) fn add(&mut self, name: &str, text: &str) -> SourceId {
        let id = SourceId(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        self.0.push(Source { name: name.to_owned(), text: text.to_owned() });
        id
    }

    /// The text with this id, if it is one of these.
    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.0.get(usize::try_from(id.0).ok()?)
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
        let source = sources.add("a.conf", "one\r\ntwo\nthree");
        let at = |start, line| Span { source, start, end: start + 1, line, column: 1 };
        assert_eq!(sources.line(at(0, 1)), Some(("one", 0)));
        assert_eq!(sources.line(at(6, 2)), Some(("two", 5)));
        assert_eq!(sources.line(at(11, 3)), Some(("three", 9)));
        assert_eq!(sources.locate(at(6, 2)).to_string(), "a.conf:2:1");
    }

    #[test]
    fn the_end_of_a_place_is_behind_its_last_character() {
        let mut sources = Sources::default();
        let source = sources.add("a.conf", "é one\ntwo");
        let span = |end| Span { source, start: 3, end, line: 1, column: 3 };
        assert_eq!([span(6), span(10)].map(|span| sources.end(span)), [(1, 6), (2, 4)]);
    }
}
