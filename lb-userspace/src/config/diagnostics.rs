//! Owns what can be said about a configuration and how it is shown. Decides nothing about what is right.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt::{self, Write as _};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::keywords;
use super::source::{Sources, Span};

/// More problems than this are counted, not shown.
const SHOWN: usize = 100;
/// A word is shown up to this many characters.
const WORD: usize = 40;

/// How much a [`Diagnostic`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// The file loads, but something in it is not done as written.
    Warning,
    /// The file does not load.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One thing to be said about one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// The place.
    pub span: Span,
    /// What is the matter, in one line.
    pub message: String,
    /// What to do about it, in one line.
    pub hint: Option<String>,
    /// How what stands at the place came to be there, each in one line.
    pub notes: Vec<String>,
    /// Whether keepalived's own test of the file says nothing of it: a limit of xlvs, or advice.
    pub is_ours: bool,
    /// Another place that the message speaks of by its line.
    pub(super) other: Option<Box<Span>>,
}

/// What a [`Diagnostic`] is made by, where it depends whether keepalived speaks of it too.
pub(super) type Say = fn(Span, String) -> Diagnostic;

impl Diagnostic {
    /// Of a file that does not load.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, span, message.into())
    }

    /// Of what keepalived corrects too, and says so.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, span, message.into())
    }

    /// Of what keepalived says nothing about.
    pub fn ours(span: Span, message: impl Into<String>) -> Self {
        Self { is_ours: true, ..Self::new(Severity::Warning, span, message.into()) }
    }

    /// Of what is right.
    pub fn note(span: Span, message: impl Into<String>) -> Self {
        Self { is_ours: true, ..Self::new(Severity::Note, span, message.into()) }
    }

    const fn new(severity: Severity, span: Span, message: String) -> Self {
        Self { severity, span, message, hint: None, notes: Vec::new(), is_ours: false, other: None }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Has the file named if the line of `other`, which the message speaks of, is in another one.
    pub(super) fn beside(self, other: Span) -> Self {
        Self { other: Some(Box::new(other)), ..self }
    }

    /// The diagnostic on one line, as a log wants it: `name:line:column: severity: message; hint`.
    pub fn one_line(&self, sources: &Sources) -> String {
        let mut line = format!("{}: {}: {}", sources.locate(self.span), self.severity, self.message);
        if let Some(hint) = &self.hint {
            let _ = write!(line, "; {hint}");
        }
        if !self.notes.is_empty() {
            let _ = write!(line, " ({})", self.notes.join("; "));
        }
        line
    }

    fn render(&self, sources: &Sources, renderer: &Renderer) -> String {
        let level = match self.severity {
            Severity::Note => Level::NOTE,
            Severity::Warning => Level::WARNING,
            Severity::Error => Level::ERROR,
        };
        let (Some(source), Some((line, offset))) = (sources.get(self.span.source), sources.line(self.span))
        else {
            return self.one_line(sources);
        };
        let start = (self.span.start - offset).min(line.len());
        let end = self.span.end.saturating_sub(offset).clamp(start, line.len());
        let mut group = level.primary_title(self.message.as_str()).element(
            Snippet::source(without_secret(line))
                .line_start(usize::try_from(self.span.line).unwrap_or(usize::MAX))
                .path(source.name.as_str())
                .annotation(AnnotationKind::Primary.span(start..end)),
        );
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        for note in &self.notes {
            group = group.element(Level::NOTE.message(note.as_str()));
        }
        renderer.render(&[group])
    }
}

/// Every diagnostic with the line it speaks of, for a person; empty when there is none. Of too many to show, the
/// gravest are shown.
pub(super) fn render(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    let renderer = Renderer::plain();
    let mut text = String::new();
    let mut order: Vec<_> = diagnostics.iter().collect();
    if order.len() > SHOWN {
        order.sort_by_key(|diagnostic| Reverse(diagnostic.severity));
    }
    for diagnostic in order.into_iter().take(SHOWN) {
        text.push_str(diagnostic.render(sources, &renderer).trim_end());
        text.push_str("\n\n");
    }
    if diagnostics.len() > SHOWN {
        let _ = writeln!(text, "and {} more", diagnostics.len() - SHOWN);
    }
    text
}

/// The line as it may stand in a log: of as many letters and bytes, but what is behind a keyword with a secret is not shown.
pub(super) fn without_secret(line: &str) -> Cow<'_, str> {
    let ends = |letter: char| letter.is_whitespace() || "{}".contains(letter);
    let mut behind = 0;
    let is_keyword = |word: &&str| {
        behind += word.len();
        keywords::hides(word.trim_end_matches(ends))
    };
    if line.split_inclusive(ends).find(is_keyword).is_none() {
        return line.into();
    }
    let (shown, hidden) = line.split_at(behind);
    let star = |letter: char| match letter.len_utf8() {
        _ if letter.is_whitespace() => letter,
        1 => '*',
        2 => '×',
        3 => '∗',
        _ => '🞯',
    };
    (shown.to_owned() + &hidden.chars().map(star).collect::<String>()).into()
}

/// A word of the file as it stands in a message: in backquotes, printable, not too long.
pub(super) fn quoted(word: &str) -> String {
    let mut text: String = word.chars().take(WORD).flat_map(char::escape_debug).collect();
    if word.chars().nth(WORD).is_some() {
        text.push('…');
    }
    format!("`{}`", text.replace("\\\"", "\"").replace("\\'", "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_message_and_hint_are_all_shown() {
        let mut sources = Sources::default();
        let (source, _) = sources.add("x.conf", "first\n  weight abc\n");
        let span = Span { source, start: 15, end: 18, line: 2, column: 10 };
        let diagnostic = Diagnostic::error(span, "bad weight").hint("give a number");
        assert_eq!(diagnostic.one_line(&sources), "x.conf:2:10: error: bad weight; give a number");
        let text = render(&[diagnostic], &sources);
        assert!(text.starts_with("error: bad weight\n"), "{text}");
        assert!(text.contains("x.conf:2:10"), "{text}");
        assert!(text.contains("^^^"), "{text}");
        assert!(text.contains("give a number"), "{text}");
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(without_secret(" auth_type PASS # é"), " auth_type PASS # é");
        assert_eq!(without_secret("\tauth_pass  s3cret é"), "\tauth_pass  ****** ×");
        assert_eq!(without_secret("authentication {auth_pas s3cret}"), "authentication {auth_pas *******");
        for block in [
            "auth_type PASS\n auth_pass s3cret-that-is-long",
            "auth_type PASS\n auth_pass a s3cret",
            "auth_type PASS\n auth_pass \"s3cret",
            "auth_type PASS\n auth_pass s3{cret",
            "auth_type PASS auth_pass s3cret",
            "auth_type PASS\n auth_pas s3cret",
        ] {
            let text = crate::config::testing::instance(&format!("authentication {{\n {block}\n }}"));
            let parsed = crate::config::parse("t", &text);
            let said: String =
                parsed.diagnostics.iter().map(|problem| problem.one_line(&parsed.sources)).collect();
            let said = said + &render(&parsed.diagnostics, &parsed.sources);
            assert!(!said.is_empty() && !said.contains("s3") && !said.contains("cret"), "{said}");
        }
    }

    #[test]
    fn a_flood_is_counted_and_hides_no_error() {
        let mut sources = Sources::default();
        let (source, _) = sources.add("x.conf", "word");
        let span = Span { source, start: 0, end: 4, line: 1, column: 1 };
        let mut many = vec![Diagnostic::warning(span, "no"); SHOWN + 6];
        many.push(Diagnostic::error(span, "grave"));
        let text = render(&many, &sources);
        assert!(text.starts_with("error: grave") && text.ends_with("and 7 more\n"), "{text}");
    }

    #[test]
    fn words_are_made_printable_and_short() {
        assert_eq!(quoted("a\u{1b}[1m"), "`a\\u{1b}[1m`");
        assert_eq!(quoted(&"x".repeat(50)), format!("`{}…`", "x".repeat(WORD)));
        assert_eq!(quoted("\"a\""), "`\"a\"`");
    }
}
