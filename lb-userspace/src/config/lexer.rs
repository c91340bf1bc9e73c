//! Owns the step from a line to words and braces, and what a comment and a quotation are. Knows of keywords only
//! which of them have a command behind them.
//!
//! A word ends at white space or at a brace. `"` takes all of that into the word until it comes again on the same
//! line, and may stand in the middle of a word; behind keywords with a command so does `'`, and `\\` begins an escape.
//! `${name}` is part of a word. A comment (`#` or `!`) goes to the end of the line.

use std::ops::Range;
use std::sync::Arc;

use super::diagnostics::Diagnostic;
use super::expand::{Line, Walker};
use super::model::VirtualServer;
use super::source::Span;
use super::{escape, keywords};

/// What a [`Token`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Word,
    Open,
    Close,
    EndOfLine,
    /// A whole block of the outermost level that is not read again.
    Known(Arc<VirtualServer>),
}

/// A word (its text without the quotes), a brace, the end of a line or what is known of some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) text: String,
    pub(super) span: Span,
}

/// How quotations and escapes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoting {
    /// `"` only, and no escapes.
    Plain,
    /// `"`, `'` and escapes.
    Command,
}

impl Quoting {
    /// That of a statement with this keyword.
    fn of(keyword: &str) -> Self {
        if keywords::takes_command(keyword) { Self::Command } else { Self::Plain }
    }

    /// That of a line which is still to be read.
    fn of_line(text: &str) -> Self {
        Self::of(text.split_whitespace().find(|word| !word.starts_with('@')).unwrap_or_default())
    }

    fn quotes(self, letter: char) -> bool {
        letter == '"' || (letter == '\'' && self == Self::Command)
    }
}

/// A line of a text without its comment.
pub(super) fn without_comment(text: &str) -> &str {
    if !text.contains(['#', '!']) {
        return text;
    }
    outside(text).find(|(_, letter)| "#!".contains(*letter)).map_or(text, |(at, _)| &text[..at])
}

/// Where the first `{` is that opens a block.
pub(super) fn first_brace(text: &str) -> Option<usize> {
    let first = text.find('{')?;
    if !text.contains(['"', '\'', '$', '\\']) {
        return Some(first);
    }
    outside(text).find(|(_, letter)| *letter == '{').map(|(at, _)| at)
}

/// The letters outside of quotations and `${...}`, with their offsets.
fn outside(text: &str) -> impl Iterator<Item = (usize, char)> {
    let quoting = Quoting::of_line(text);
    let mut letters = text.char_indices();
    let mut quote = None;
    let mut variable_ends = 0;
    std::iter::from_fn(move || {
        loop {
            let (at, letter) = letters.next()?;
            match quote {
                _ if at < variable_ends => {}
                _ if letter == '\\' && quoting == Quoting::Command => {
                    letters.next();
                }
                Some(end) if letter == end => quote = None,
                Some(_) => {}
                None if quoting.quotes(letter) => quote = Some(letter),
                None if letter == '$' => variable_ends = at + variable(&text[at..]),
                None => return Some((at, letter)),
            }
        }
    })
}

/// The length of the `$` or `${name}` that `text` begins with; builtin names have words behind them, and no name has a
/// quotation.
fn variable(text: &str) -> usize {
    let ends: &[char] = if text.starts_with("${_") { &['}', '"'] } else { &['}', '"', ' ', '\t'] };
    let end = text.starts_with("${").then(|| text.find(ends)).flatten();
    end.filter(|end| text[*end..].starts_with('}')).map_or(1, |end| end + 1)
}

/// Appends the tokens of a part of `line`, which has no comment, in order, and what is wrong with it.
pub(super) fn tokens(
    line: &Line,
    part: Range<usize>,
    tokens: &mut Vec<Token>,
    problems: &mut Vec<Diagnostic>,
) {
    let mut lexer = Lexer {
        text: &line.text()[..part.end],
        at: part.start,
        places: Walker::new(line),
        quoting: None,
        tokens,
        problems,
    };
    lexer.run();
}

struct Lexer<'a> {
    text: &'a str,
    /// Up to here it is read.
    at: usize,
    places: Walker<'a>,
    /// That of the statement; `None` before its keyword.
    quoting: Option<Quoting>,
    tokens: &'a mut Vec<Token>,
    problems: &'a mut Vec<Diagnostic>,
}

impl Lexer<'_> {
    fn run(&mut self) {
        while let Some(letter) = self.peek() {
            match letter {
                '{' => self.single(TokenKind::Open),
                '}' => self.single(TokenKind::Close),
                letter if letter.is_whitespace() => self.at += letter.len_utf8(),
                _ => self.word(),
            }
        }
        self.push(TokenKind::EndOfLine, String::new(), self.at);
    }

    fn single(&mut self, kind: TokenKind) {
        let start = self.at;
        self.at += 1;
        self.quoting = None;
        self.push(kind, String::new(), start);
    }

    fn word(&mut self) {
        let start = self.at;
        let quoting = self.quoting.unwrap_or(Quoting::Plain);
        let mut bytes = self.plain().to_vec();
        while let Some(letter) = self.peek() {
            match letter {
                '{' | '}' => break,
                '$' => {
                    let end = self.at + variable(&self.text[self.at..]);
                    bytes.extend_from_slice(&self.text.as_bytes()[self.at..end]);
                    self.at = end;
                }
                '\\' if quoting == Quoting::Command => {
                    self.at += 1;
                    self.escape(&mut bytes);
                }
                letter if quoting.quotes(letter) => self.quotation(letter, quoting, &mut bytes),
                letter if letter.is_whitespace() => break,
                letter => {
                    self.at += letter.len_utf8();
                    push(letter, &mut bytes);
                }
            }
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) if text.contains(char::REPLACEMENT_CHARACTER) => {
                let span = self.span(start);
                self.problems.push(
                    Diagnostic::error(span, "bytes in this word are not text in UTF-8")
                        .hint("convert the file, for example with iconv"),
                );
                String::new()
            }
            Ok(text) if !text.contains('\0') => text,
            _ => {
                let message = "the escapes in this word make what is no text";
                let span = self.span(start);
                self.problems
                    .push(Diagnostic::error(span, message).hint("write the letters themselves, in UTF-8"));
                String::new()
            }
        };
        if self.quoting.is_none() {
            self.quoting = Some(Quoting::of(&text));
        }
        self.push(TokenKind::Word, text, start);
    }

    /// Takes the letters that mean nothing but themselves wherever they stand in a word.
    fn plain(&mut self) -> &[u8] {
        let rest = &self.text.as_bytes()[self.at..];
        let is_plain = |byte: &u8| byte.is_ascii_graphic() && !br#"{}$\"'"#.contains(byte);
        let plain = &rest[..rest.iter().position(|byte| !is_plain(byte)).unwrap_or(rest.len())];
        self.at += plain.len();
        plain
    }

    fn quotation(&mut self, quote: char, quoting: Quoting, bytes: &mut Vec<u8>) {
        let start = self.at;
        self.at += 1;
        while let Some(letter) = self.peek() {
            self.at += letter.len_utf8();
            match letter {
                letter if letter == quote => return,
                '\\' if quoting == Quoting::Command => self.escape(bytes),
                letter => push(letter, bytes),
            }
        }
        let message = format!("this {quote} is not closed on its line");
        let span = self.span(start);
        self.problems.push(Diagnostic::error(span, message).hint(format!("end the string with {quote}")));
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) {
        self.at += escape::take(&self.text[self.at..], bytes);
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn push(&mut self, kind: TokenKind, text: String, start: usize) {
        let span = self.span(start);
        self.tokens.push(Token { kind, text, span });
    }

    fn span(&mut self, start: usize) -> Span {
        self.places.span(start..self.at)
    }
}

fn push(letter: char, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
}

/// The tokens of every line of `text`, as it is written.
#[cfg(test)]
pub(super) fn lines(sources: &mut super::source::Sources, text: &str) -> (Vec<Token>, Vec<Diagnostic>) {
    let (source, _) = sources.add("t", text);
    let (mut all, mut problems) = (Vec::new(), Vec::new());
    let mut start = 0;
    for (line, number) in text.split('\n').zip(1..) {
        let span = Span { source, start, end: start, line: number, column: 1 };
        let line_of_text = Line::written(without_comment(line), span);
        tokens(&line_of_text, 0..line_of_text.text().len(), &mut all, &mut problems);
        start += line.len() + 1;
    }
    (all, problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::Sources;

    /// The tokens written out: words as they are, `{`, `}`, and `;` for the end of a line.
    fn lex(text: &str) -> (Vec<String>, Vec<String>) {
        let mut sources = Sources::default();
        let (tokens, problems) = lines(&mut sources, text);
        let words = tokens.into_iter().map(|token| match token.kind {
            TokenKind::Word => token.text,
            TokenKind::Open => "{".to_owned(),
            TokenKind::Close => "}".to_owned(),
            TokenKind::EndOfLine => ";".to_owned(),
            TokenKind::Known(service) => service.to_string(),
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
        gives(r#"a "x # { } !" b"#, &["a", "x # { } !", "b", ";"]);
    }

    #[test]
    fn escapes_and_single_quotes_belong_to_commands() {
        gives(r#"auth_pass it's\n "x\" y"#, &["auth_pass", r"it's\n", r"x\", "y", ";"]);
        gives(r#"misc_path '/x "y"' a\x41\ b "c\"d" # 'e"#, &["misc_path", r#"/x "y""#, "aA b", "c\"d", ";"]);
        gives(r"a { notify '/x {' }", &["a", "{", "notify", "/x {", "}", ";"]);
        gives("script 'a # b'", &["script", "a # b", ";"]);
        let (_, problems) = lex(r"script \xff");
        assert_eq!(
            problems,
            [
                "t:1:8: error: the escapes in this word make what is no text; write the letters themselves, in UTF-8"
            ]
        );
        assert_eq!(lex(r"script a\0").1.len(), 1);
    }

    #[test]
    fn braced_variables_are_words() {
        gives("a ${NAME}x $Y {", &["a", "${NAME}x", "$Y", "{", ";"]);
        gives("a ${NAME x", &["a", "$", "{", "NAME", "x", ";"]);
    }

    #[test]
    fn the_brace_of_a_block_is_not_quoted_and_not_of_a_variable() {
        assert_eq!(first_brace("a \"{\" ${X} b{"), Some(12));
        assert_eq!(first_brace("notify '{' \\{ x"), None);
        assert_eq!(first_brace("auth_pass '{'"), Some(11));
    }

    #[test]
    fn an_open_quote_is_an_error() {
        let (_, problems) = lex("a\n b \"c d\n");
        assert_eq!(problems, ["t:2:4: error: this \" is not closed on its line; end the string with \""]);
    }

    #[test]
    fn columns_count_characters() {
        let (tokens, _) = lines(&mut Sources::default(), "é \"ü\" x");
        let places: Vec<_> = tokens.iter().map(|token| (token.span.line, token.span.column)).collect();
        assert_eq!(places, [(1, 1), (1, 3), (1, 7), (1, 8)]);
    }
}
