//! Owns one line on its way from a text to words, and where each part of it is written. Knows no construct.

use std::ops::Range;

use crate::config::source::{OriginId, Span};

/// A line, parts of which may have been made of variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::config) struct Line {
    text: String,
    /// In the order of `at`; the first one is at 0 unless the line is empty.
    marks: Vec<Mark>,
}

/// Where the part of a line that begins at `at` comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    at: usize,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It is written as it is, from here on.
    Written(Span),
    /// It was made of what is written here.
    Made(Span),
}

impl Line {
    /// A line that is written in a text, from `start` on.
    pub(in crate::config) fn written(text: &str, start: Span) -> Self {
        Self { text: text.to_owned(), marks: vec![Mark { at: 0, place: Place::Written(start) }] }
    }

    /// A line that was made of what is written at `span`.
    pub(super) fn made(text: &str, span: Span) -> Self {
        Self { text: text.to_owned(), marks: vec![Mark { at: 0, place: Place::Made(span) }] }
    }

    pub(in crate::config) fn text(&self) -> &str {
        &self.text
    }

    /// A part of the line.
    pub(super) fn cut(&self, range: Range<usize>) -> Self {
        let mut part = Self::default();
        part.push(&mut Walker::new(self), range);
        part
    }

    /// The line from this byte on.
    pub(super) fn behind(mut self, byte: usize) -> Self {
        let first = Walker::new(&self).seek(byte);
        match self.marks.as_mut_slice() {
            [only] if byte < self.text.len() => {
                only.place = only.place.at(first);
                self.text.drain(..byte);
                self
            }
            _ => self.cut(byte..self.text.len()),
        }
    }

    /// Appends a part of the line that `other` walks along.
    pub(super) fn push(&mut self, other: &mut Walker<'_>, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let behind = self.text.len();
        let first = other.seek(range.start);
        let marks = other.line.marks.iter().skip(other.mark);
        let marks = marks.take_while(|mark| mark.at < range.end);
        self.marks.extend(marks.map(|mark| match mark.at.checked_sub(range.start) {
            Some(at) => Mark { at: behind + at, ..*mark },
            None => Mark { at: behind, place: mark.place.at(first) },
        }));
        self.text.push_str(&other.line.text[range]);
    }

    /// Appends what was made of what is written at `span`.
    pub(super) fn push_made(&mut self, text: &str, span: Span) {
        if text.is_empty() {
            return;
        }
        self.marks.push(Mark { at: self.text.len(), place: Place::Made(span) });
        self.text.push_str(text);
    }

    /// The same line, read through `origin`.
    pub(super) fn through(&self, origin: OriginId) -> Self {
        let marks = self.marks.iter().map(|mark| {
            let place = match mark.place {
                Place::Written(span) => Place::Written(span.through(origin)),
                Place::Made(span) => Place::Made(span.through(origin)),
            };
            Mark { place, ..*mark }
        });
        Self { text: self.text.clone(), marks: marks.collect() }
    }

    /// What the word that is being written at the end was made of last.
    pub(super) fn last_made(&self) -> Option<Span> {
        let made = self.marks.iter().rev().find_map(|mark| match mark.place {
            Place::Made(span) => Some((mark.at, span)),
            Place::Written(_) => None,
        });
        made.filter(|(at, _)| !self.text[*at..].contains(char::is_whitespace)).map(|(_, span)| span)
    }

    /// Where a part of the line is written.
    pub(super) fn span(&self, range: Range<usize>) -> Span {
        Walker::new(self).span(range)
    }
}

/// Finds the places of the parts of a line in time linear in its length, if they are asked for from left to right.
#[derive(Debug)]
pub(in crate::config) struct Walker<'a> {
    line: &'a Line,
    mark: usize,
    /// The column of this byte, which lies behind the mark, is `column`.
    byte: usize,
    column: u32,
}

impl<'a> Walker<'a> {
    pub(in crate::config) fn new(line: &'a Line) -> Self {
        let mut walker = Self { line, mark: 0, byte: 0, column: 0 };
        walker.begin(0);
        walker
    }

    /// Where the part `range` is written; where that is not one place, the first of them, or all of one line.
    pub(in crate::config) fn span(&mut self, range: Range<usize>) -> Span {
        let first = self.seek(range.start);
        let last_byte = range.end.saturating_sub(1).max(range.start);
        let inside = &self.line.marks[self.mark.min(self.line.marks.len())..];
        let inside = &inside[..inside.partition_point(|mark| mark.at <= last_byte).max(1).min(inside.len())];
        let [mark, rest @ ..] = inside else { return first };
        let length = range.end - range.start;
        let end_of = |mark: &Mark| match mark.place {
            Place::Written(span) => Span { end: span.start + range.end - mark.at, ..span },
            Place::Made(span) => span,
        };
        let span = match (mark.place, rest.last()) {
            (Place::Written(_), None) => Span { end: first.start + length, ..first },
            (Place::Made(span), None) => span,
            (place, Some(last)) => {
                let start = match place {
                    Place::Written(_) => Span { end: first.start + rest[0].at - range.start, ..first },
                    Place::Made(span) => span,
                };
                let last = end_of(last);
                if last.line == start.line { start.to(last) } else { start }
            }
        };
        let made = inside.iter().rev().find_map(|mark| match mark.place {
            Place::Made(span) => Some(span.origin()),
            Place::Written(_) => None,
        });
        made.map_or(span, |origin| span.through(origin))
    }

    /// The place of one byte.
    fn seek(&mut self, byte: usize) -> Span {
        if byte < self.byte {
            self.begin(0);
        }
        let marks = &self.line.marks;
        while marks.get(self.mark + 1).is_some_and(|next| next.at <= byte) {
            self.begin(self.mark + 1);
        }
        let Some(mark) = marks.get(self.mark) else { return Span::default() };
        let Place::Written(span) = mark.place else { return mark.place.span() };
        let passed = self.line.text[self.byte..byte].chars().count();
        self.column = self.column.saturating_add(u32::try_from(passed).unwrap_or(u32::MAX));
        self.byte = byte;
        let start = span.start + byte - mark.at;
        Span { start, end: start, column: self.column, ..span }
    }

    fn begin(&mut self, mark: usize) {
        self.mark = mark;
        if let Some(mark) = self.line.marks.get(mark) {
            self.byte = mark.at;
            self.column = mark.place.span().column;
        }
    }
}

impl Place {
    /// The same from a later byte on, which is written at `first`.
    const fn at(self, first: Span) -> Self {
        match self {
            Self::Written(_) => Self::Written(first),
            Self::Made(_) => self,
        }
    }

    const fn span(self) -> Span {
        match self {
            Self::Written(span) | Self::Made(span) => span,
        }
    }
}
