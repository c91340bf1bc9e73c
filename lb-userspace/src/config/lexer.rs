//! Owns the step from text to words, braces and line ends. Knows no keyword.
//!
//! A word ends at white space, at a brace, or at a comment (`#` or `!` to the end of the line). `"` and `'` take all
//! of that into the word until they come again on the same line, and may stand in the middle of a word. `${name}` is
//! part of a word.

use super::diagnostics::Diagnostic;
use super::source::{SourceId, Span};

/// What a [`Token`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Word,
    Open,
    Close,
    EndOfLine,
}

/// A word (its text without the quotes), a brace or the end of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) text: String,
    pub(super) span: Span,
}

/// The tokens of `text` in order, and what is wrong with it as text.
pub(super) fn tokens(source: SourceId, text: &str) -> (Vec<Token>, Vec<Diagnostic>) {
    let mut lexer =
        Lexer { source, text, at: 0, line: 1, column: 1, tokens: Vec::new(), problems: Vec::new() };
    lexer.run();
    (lexer.tokens, lexer.problems)
}

struct Lexer<'a> {
    source: SourceId,
    text: &'a str,
    at: usize,
    line: u32,
    column: u32,
    tokens: Vec<Token>,
    problems: Vec<Diagnostic>,
}

impl Lexer<'_> {
    fn run(&mut self) {
        if let Some(at) = self.text.find('\0') {
            self.nul(at);
            return;
        }
        if self.text.starts_with('\u{feff}') {
            self.at = '\u{feff}'.len_utf8();
        }
        while let Some(character) = self.peek() {
            match character {
                '\n' => {
                    self.single(TokenKind::EndOfLine);
                    self.line = self.line.saturating_add(1);
                    self.column = 1;
                }
                '{' => self.single(TokenKind::Open),
                '}' => self.single(TokenKind::Close),
                '#' | '!' => self.comment(),
                character if character.is_whitespace() => {
                    self.bump();
                }
                _ => self.word(),
            }
        }
        self.tokens.push(Token {
            kind: TokenKind::EndOfLine,
            text: String::new(),
            span: self.span_from(self.mark()),
        });
    }

    fn nul(&mut self, at: usize) {
        while self.at < at {
            if self.bump() == Some('\n') {
                self.line = self.line.saturating_add(1);
                self.column = 1;
            }
        }
        let start = self.mark();
        self.bump();
        self.problems.push(
            Diagnostic::error(self.span_from(start), "a NUL byte: this is not a configuration text")
                .hint("give a keepalived.conf"),
        );
    }

    fn single(&mut self, kind: TokenKind) {
        let start = self.mark();
        self.bump();
        self.tokens.push(Token { kind, text: String::new(), span: self.span_from(start) });
    }

    fn comment(&mut self) {
        while self.peek().is_some_and(|character| character != '\n') {
            self.bump();
        }
    }

    fn word(&mut self) {
        let start = self.mark();
        let mut text = String::new();
        while let Some(character) = self.peek() {
            match character {
                '{' | '}' | '#' | '!' => break,
                '"' | '\'' => self.quotation(character, &mut text),
                '$' => self.variable(&mut text),
                character if character.is_whitespace() => break,
                character => {
                    text.push(character);
                    self.bump();
                }
            }
        }
        self.tokens.push(Token { kind: TokenKind::Word, text, span: self.span_from(start) });
    }

    fn quotation(&mut self, quote: char, text: &mut String) {
        let start = self.mark();
        self.bump();
        while let Some(character) = self.peek() {
            if character == '\n' {
                break;
            }
            self.bump();
            if character == quote {
                return;
            }
            match (character, self.peek()) {
                ('\\', Some(escaped)) if escaped == quote || escaped == '\\' => {
                    text.push(escaped);
                    self.bump();
                }
                _ => text.push(character),
            }
        }
        let message = format!("this {quote} is not closed on its line");
        self.problems.push(
            Diagnostic::error(self.span_from(start), message).hint(format!("end the string with {quote}")),
        );
    }

    fn variable(&mut self, text: &mut String) {
        let rest = &self.text[self.at..];
        let braced = rest.starts_with("${").then(|| rest.find(['}', '\n', ' ', '\t'])).flatten();
        let length = match braced {
            Some(end) if rest[end..].starts_with('}') => end + 1,
            _ => 1,
        };
        let end = self.at + length;
        while self.at < end {
            text.extend(self.bump());
        }
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        self.column = self.column.saturating_add(1);
        Some(character)
    }

    fn mark(&self) -> Span {
        Span { source: self.source, start: self.at, end: self.at, line: self.line, column: self.column }
    }

    fn span_from(&self, start: Span) -> Span {
        Span { end: self.at, ..start }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::Sources;

    /// The tokens written out: words as they are, `{`, `}`, and `;` for the end of a line.
    fn lex(text: &str) -> (Vec<String>, Vec<String>) {
        let mut sources = Sources::default();
        let source = sources.add("t", text);
        let (tokens, problems) = tokens(source, text);
        let words = tokens.into_iter().map(|token| match token.kind {
            TokenKind::Word => token.text,
            TokenKind::Open => "{".to_owned(),
            TokenKind::Close => "}".to_owned(),
            TokenKind::EndOfLine => ";".to_owned(),
        });
        (words.collect(), problems.iter().map(|problem| problem.one_line(&sources)).collect())
    }

    #[track_caller]
    fn gives(text: &str, words: &[&str]) {
        assert_eq!(lex(text), (words.iter().map(ToString::to_string).collect(), vec![]), "{text:?}");
    }

    #[test]
    fn words_braces_and_lines() {
        gives("a b {\n c\n}", &["a", "b", "{", ";", "c", ";", "}", ";"]);
        gives("a{b}c", &["a", "{", "b", "}", "c", ";"]);
    }

    #[test]
    fn comments_start_anywhere() {
        gives("! x\n# y\nlb_kind DR!no\na#b", &[";", ";", "lb_kind", "DR", ";", "a", ";"]);
    }

    #[test]
    fn quotes_join_and_protect() {
        gives(r#"abcd" efg h jkl "mnop"#, &["abcd efg h jkl mnop", ";"]);
        gives(r#"a "x # { } !" 'it"s'"#, &["a", "x # { } !", "it\"s", ";"]);
        gives(r#"a "x\"y\\z\d""#, &["a", r#"x"y\z\d"#, ";"]);
    }

    #[test]
    fn braced_variables_are_words() {
        gives("a ${NAME}x $Y {", &["a", "${NAME}x", "$Y", "{", ";"]);
        gives("a ${NAME x", &["a", "$", "{", "NAME", "x", ";"]);
    }

    #[test]
    fn carriage_returns_and_a_byte_order_mark_do_not_matter() {
        gives("\u{feff}a b\r\nc\r\n", &["a", "b", ";", "c", ";", ";"]);
    }

    #[test]
    fn an_open_quote_and_a_nul_are_errors() {
        let (_, problems) = lex("a\n b \"c d\n");
        assert_eq!(problems, ["t:2:4: error: this \" is not closed on its line; end the string with \""]);
        let (_, problems) = lex("a\nb\0c");
        assert!(problems[0].starts_with("t:2:2: error: a NUL byte"), "{problems:?}");
    }

    #[test]
    fn columns_count_characters() {
        let source = Sources::default().add("t", "");
        let (tokens, _) = tokens(source, "é \"ü\" x");
        let places: Vec<_> = tokens.iter().map(|token| (token.span.line, token.span.column)).collect();
        assert_eq!(places, [(1, 1), (1, 3), (1, 7), (1, 8)]);
    }
}
