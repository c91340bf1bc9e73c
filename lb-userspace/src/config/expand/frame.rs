//! Owns where the next line comes from: a text, the lines of a variable, or a line that is repeated.

use std::path::PathBuf;
use std::sync::Arc;
use std::vec;

use super::include::Demands;
use super::line::Line;
use super::series::Series;
use crate::config::lexer;
use crate::config::source::{SourceId, Span};

pub(super) enum Frame {
    Text(TextFrame),
    Lines(vec::IntoIter<Item>),
    Series(Series),
}

impl Frame {
    pub(super) const fn as_text_mut(&mut self) -> Option<&mut TextFrame> {
        match self {
            Self::Text(frame) => Some(frame),
            Self::Lines(_) | Self::Series(_) => None,
        }
    }

    pub(super) const fn as_text(&self) -> Option<&TextFrame> {
        match self {
            Self::Text(frame) => Some(frame),
            Self::Lines(_) | Self::Series(_) => None,
        }
    }
}

pub(super) struct TextFrame {
    source: SourceId,
    text: Arc<str>,
    /// Of the file, absolute and without links.
    pub(super) path: PathBuf,
    pub(super) demands: Demands,
    at: usize,
    line: u32,
}

impl TextFrame {
    pub(super) fn new(source: SourceId, text: Arc<str>, path: PathBuf, demands: Demands) -> Self {
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { source, text, path, demands, at, line: 0 }
    }

    /// The next line of the text as it is written, and where it begins.
    pub(super) fn next_line(&mut self) -> Option<(&str, Span)> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let line = rest.split('\n').next().unwrap_or(rest);
        let start = self.next_place();
        self.line = start.line;
        self.at += line.len() + 1;
        Some((line.strip_suffix('\r').unwrap_or(line), start))
    }

    /// The lines that are still to come.
    pub(super) fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Where the next line begins.
    pub(super) fn next_place(&self) -> Span {
        let line = self.line.saturating_add(1);
        Span { source: self.source, start: self.at, end: self.at, line, column: 1 }
    }

    /// The lines from the one that begins at `begin` to the last, if that is in this text, and where they are.
    pub(super) fn since(&self, begin: Span) -> Option<(&str, Span)> {
        let place = Span { end: self.at.saturating_sub(1), ..begin };
        let lines = self.text.get(place.start..place.end).filter(|_| begin.source == self.source)?;
        Some((lines, place))
    }

    /// Passes over the next lines, which are these, and tells where they are.
    pub(super) fn pass(&mut self, lines: &str) -> Span {
        let place = self.next_place();
        let count = u32::try_from(lines.split('\n').count()).unwrap_or(u32::MAX);
        self.line = self.line.saturating_add(count);
        self.at += lines.len() + 1;
        Span { end: place.start + lines.len(), ..place }
    }
}

/// A line whose turn it is.
pub(super) struct Item {
    pub(super) line: Line,
    /// It ends with `\` in its text, so that a definition goes on in the next line.
    pub(super) continued: bool,
}

impl Item {
    /// The line of a text, without its comment.
    pub(super) fn written(text: &str, start: Span) -> Self {
        let continued = text.trim_end().ends_with('\\');
        Self { line: Line::written(lexer::without_comment(text), start), continued }
    }
}
