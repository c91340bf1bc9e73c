//! Owns the shape of a configuration: statements, their arguments and the blocks behind them. Knows no keyword except
//! to guess where a missing brace belongs.

use std::sync::Arc;

use super::diagnostics::{Diagnostic, quoted};
use super::keywords::{self, BlockKind};
use super::lexer::{Token, TokenKind};
use super::model::VirtualServer;
use super::source::Span;

/// Blocks nest at most this deep; real files need four levels.
pub(super) const MAX_DEPTH: usize = 64;

/// One word of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) span: Span,
}

/// A keyword, its arguments and perhaps a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) keyword: Word,
    pub(super) arguments: Vec<Word>,
    pub(super) block: Option<Block>,
    /// What it says, where that is not read again. Then it has no block, and all of its header is one place.
    pub(super) known: Option<Arc<VirtualServer>>,
}

/// What stands between two braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) statements: Vec<Statement>,
    pub(super) open: Span,
    pub(super) close: Span,
}

impl Statement {
    pub(super) fn name(&self) -> &str {
        &self.keyword.text
    }

    /// The keyword and its arguments.
    pub(super) fn words(&self) -> impl Iterator<Item = &Word> {
        [&self.keyword].into_iter().chain(&self.arguments)
    }

    /// The place of the keyword and its arguments, without the block.
    pub(super) fn header(&self) -> Span {
        self.keyword.span.to(self.arguments.last().map_or(self.keyword.span, |last| last.span))
    }

    /// All of it, to the end of the block.
    pub(super) fn whole(&self) -> Span {
        self.block.as_ref().map_or(self.header(), |block| self.header().to(block.close))
    }

    /// The statements in the block; none without a block.
    pub(super) fn body(&self) -> &[Statement] {
        self.block.as_ref().map_or(&[], |block| &block.statements)
    }
}

/// The statements of the outermost level, and what is wrong with the braces.
pub(super) fn grow(tokens: Vec<Token>) -> (Vec<Statement>, Vec<Diagnostic>) {
    let mut grower = Grower::default();
    for token in tokens {
        if !grower.take(token) {
            return (grower.root, grower.problems);
        }
    }
    grower.finish();
    (grower.root, grower.problems)
}

#[derive(Default)]
struct Grower {
    root: Vec<Statement>,
    frames: Vec<Frame>,
    /// The statement that still takes arguments or, on a later line, its block.
    current: Option<Statement>,
    line_ended: bool,
    /// The first keyword of the outermost level that opened a block inside another one.
    misplaced: Option<Word>,
    problems: Vec<Diagnostic>,
}

struct Frame {
    /// Without a keyword before the brace there is none, and the block is dropped.
    owner: Option<Statement>,
    statements: Vec<Statement>,
    open: Span,
}

impl Grower {
    /// Whether to go on.
    fn take(&mut self, token: Token) -> bool {
        match token.kind {
            TokenKind::EndOfLine => self.line_ended = true,
            TokenKind::Word => self.word(Word { text: token.text, span: token.span }),
            TokenKind::Open => return self.open(token.span),
            TokenKind::Close => self.close(token.span),
            TokenKind::Known(service) => {
                self.flush();
                let keyword = Word { text: token.text, span: token.span };
                let known = Some(service);
                self.level().push(Statement { keyword, arguments: Vec::new(), block: None, known });
            }
        }
        true
    }

    fn word(&mut self, word: Word) {
        if let Some(statement) = self.current.as_mut().filter(|_| !self.line_ended) {
            statement.arguments.push(word);
            return;
        }
        self.flush();
        self.current = Some(Statement { keyword: word, arguments: Vec::new(), block: None, known: None });
        self.line_ended = false;
    }

    fn open(&mut self, open: Span) -> bool {
        if self.frames.len() == MAX_DEPTH {
            let message = format!("blocks nest deeper than {MAX_DEPTH} levels");
            self.problems
                .push(Diagnostic::error(open, message).hint("close the blocks that are done with `}`"));
            return false;
        }
        let owner = self.current.take();
        match &owner {
            None => self.problems.push(
                Diagnostic::error(open, "this `{` has no keyword before it")
                    .hint("write the block's keyword, or remove the brace"),
            ),
            Some(owner) if self.misplaced.is_none() && !self.frames.is_empty() => {
                if keywords::opens(BlockKind::Root, owner.name()).is_some() {
                    self.misplaced = Some(owner.keyword.clone());
                }
            }
            Some(_) => {}
        }
        self.frames.push(Frame { owner, statements: Vec::new(), open });
        true
    }

    fn close(&mut self, close: Span) {
        self.flush();
        let Some(Frame { owner, statements, open }) = self.frames.pop() else {
            self.problems.push(
                Diagnostic::error(close, "this `}` closes nothing")
                    .hint("remove it, or find the missing `{`"),
            );
            return;
        };
        if let Some(owner) = owner {
            self.level().push(Statement { block: Some(Block { statements, open, close }), ..owner });
        }
    }

    fn finish(&mut self) {
        self.flush();
        let missing = self.frames.len();
        let Some(frame) = self.frames.first() else { return };
        let keyword =
            frame.owner.as_ref().map_or_else(String::new, |owner| format!(" of {}", quoted(owner.name())));
        let message = match missing {
            1 => format!("the block{keyword} that opens here is never closed: one `}}` is missing"),
            _ => format!("the block{keyword} that opens here is never closed: {missing} `}}` are missing"),
        };
        let hint = match &self.misplaced {
            Some(word) => {
                format!(
                    "probably before {} in line {}, which opens inside it",
                    quoted(&word.text),
                    word.span.line
                )
            }
            None => "add it where the block ends".to_owned(),
        };
        self.problems.push(Diagnostic::error(frame.open, message).hint(hint));
    }

    fn flush(&mut self) {
        if let Some(statement) = self.current.take() {
            self.level().push(statement);
        }
    }

    fn level(&mut self) -> &mut Vec<Statement> {
        self.frames.last_mut().map_or(&mut self.root, |frame| &mut frame.statements)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::config::lexer;
    use crate::config::source::Sources;

    fn parse(text: &str) -> (String, Vec<String>) {
        let mut sources = Sources::default();
        let (statements, problems) = grow(lexer::lines(&mut sources, text).0);
        let mut shape = String::new();
        for statement in &statements {
            write_shape(statement, &mut shape);
        }
        (shape, problems.iter().map(|problem| problem.one_line(&sources)).collect())
    }

    /// `keyword argument(block)` of every statement, each ended by `;`.
    fn write_shape(statement: &Statement, out: &mut String) {
        out.push_str(statement.name());
        for argument in &statement.arguments {
            write!(out, " {}", argument.text).unwrap();
        }
        if let Some(block) = &statement.block {
            out.push('(');
            for inner in &block.statements {
                write_shape(inner, out);
            }
            out.push(')');
        }
        out.push(';');
    }

    #[track_caller]
    fn grows(text: &str, shape: &str) {
        assert_eq!(parse(text), (shape.to_owned(), vec![]), "{text:?}");
    }

    #[test]
    fn blocks_on_one_line_and_on_many_are_the_same() {
        let shape = "vs 1 2(delay 3;rs 4(weight 5;chk();););x;";
        grows("vs 1 2 {\n delay 3\n rs 4 {\n weight 5\n chk {\n }\n }\n}\nx\n", shape);
        grows("vs 1 2\n{\n delay 3\n rs 4{weight 5\n chk{}}}x", shape);
    }

    #[test]
    fn a_brace_closes_the_statement_before_it() {
        grows("rs 4 { weight 5 }\nrs 6 {weight 7}", "rs 4(weight 5;);rs 6(weight 7;);");
    }

    #[test]
    fn a_missing_brace_is_found_where_the_block_opens() {
        let (_, problems) = parse("virtual_server a {\n rs b {\n}\n");
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("t:1:18: error: the block of `virtual_server`"), "{problems:?}");
    }

    #[test]
    fn a_missing_brace_is_guessed_from_what_follows() {
        let (_, problems) = parse("global_defs {\n x\n\nvirtual_server a {\n}\n");
        assert!(problems[0].starts_with("t:1:13: error:"), "{problems:?}");
        assert!(problems[0].contains("`virtual_server` in line 4"), "{problems:?}");
    }

    #[test]
    fn a_brace_too_many_and_a_brace_alone_are_errors() {
        assert!(parse("a {\n}\n}\n").1[0].starts_with("t:3:1: error: this `}` closes nothing"));
        assert!(parse("{\n}\n").1[0].starts_with("t:1:1: error: this `{` has no keyword"));
    }

    #[test]
    fn nesting_is_limited() {
        let deep = |levels: usize| "a {\n".repeat(levels) + &"}\n".repeat(levels);
        assert_eq!(parse(&deep(MAX_DEPTH)).1, Vec::<String>::new());
        assert!(parse(&deep(MAX_DEPTH + 1)).1[0].contains("deeper than 64"));
        assert_eq!(parse(&"a {".repeat(1_000_000)).1.len(), 1);
    }
}
