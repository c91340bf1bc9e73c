//! Owns walking along the words of one line, such as an address with its options. Knows no option.

use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::source::Span;
use crate::config::tree::{Statement, Word};
use crate::config::values;

/// The words of a line that are still to be read.
pub(super) struct Words<'a> {
    line: &'a Statement,
    next: usize,
}

impl<'a> Words<'a> {
    /// All words of `line`.
    pub(super) fn new(line: &'a Statement) -> Self {
        Self { line, next: 0 }
    }

    /// The next word.
    pub(super) fn take(&mut self) -> Option<&'a Word> {
        let word = self.peek()?;
        self.next += 1;
        Some(word)
    }

    /// The word that [`Self::take`] takes next.
    pub(super) fn peek(&self) -> Option<&'a Word> {
        match self.next.checked_sub(1) {
            None => Some(&self.line.keyword),
            Some(index) => self.line.arguments.get(index),
        }
    }

    /// Takes the next word if it is one of `texts`.
    pub(super) fn take_if(&mut self, texts: &[&str]) -> Option<&'a Word> {
        self.peek().filter(|word| texts.contains(&word.text.as_str())).and_then(|_| self.take())
    }

    /// The value that must stand behind `option`.
    pub(super) fn value(&mut self, option: &Word) -> Result<&'a Word, Diagnostic> {
        self.take().ok_or_else(|| {
            Diagnostic::error(option.span, format!("{} has no value", quoted(&option.text)))
                .hint("write the value behind it")
        })
    }

    /// The name of an interface that must stand behind `option`.
    pub(super) fn interface(&mut self, option: &Word) -> Result<String, Diagnostic> {
        values::interface(self.value(option)?)
    }

    /// The whole line.
    pub(super) fn span(&self) -> Span {
        self.line.header()
    }
}

/// An option that is known and does nothing yet.
pub(super) fn later(option: &Word) -> Diagnostic {
    Diagnostic::ours(option.span, format!("{} is not yet in effect", quoted(&option.text)))
        .hint("it is read, and nothing is done with it")
}

/// An option that nobody knows.
pub(super) fn unknown(option: &Word, what: &str) -> Diagnostic {
    Diagnostic::error(option.span, format!("{} is not an option of {what}", quoted(&option.text)))
        .hint("remove it, or check its spelling; one of them stands on a line")
}
