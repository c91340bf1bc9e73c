//! Owns which blocks of the outermost level are whole lines of one text, and passes over those that are known.

use super::budget::Budget;
use super::frame::{Frame, TextFrame};
use crate::config::known::{KEYWORD, Known};
use crate::config::lexer::{Token, TokenKind};
use crate::config::source::Span;

/// With one of these in them, lines are not all there is to a block: variables, conditions, lists, files.
const PUT_IN: [&str; 5] = ["$", "@", "~", "include", "random_seed"];

/// A block that is whole lines of a text and nothing else, without the end of the last.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Lines {
    pub(in crate::config) span: Span,
    /// What it takes to read them.
    pub(in crate::config) cost: Budget,
}

pub(super) struct Outermost<'a> {
    known: &'a Known,
    /// So many braces are open.
    depth: usize,
    /// Where the block began that is being read, and what was left then.
    begun: Option<(Span, Budget)>,
    pub(super) blocks: Vec<Lines>,
}

impl<'a> Outermost<'a> {
    pub(super) const fn new(known: &'a Known) -> Self {
        Self { known, depth: 0, begun: None, blocks: Vec::new() }
    }

    /// Takes the next lines of `frame`, if they are a block that is known and that the budget allows.
    pub(super) fn pass(&mut self, frame: &mut TextFrame, budget: &mut Budget) -> Option<Token> {
        if self.depth > 0 {
            return None;
        }
        self.begun = None;
        let rest = frame.rest();
        if !rest.starts_with(KEYWORD) {
            return None;
        }
        let block = self.known.begins(rest);
        let Some((block, left)) = block.and_then(|block| Some((block, budget.less(block.cost)?))) else {
            self.begun = Some((frame.next_place(), *budget));
            return None;
        };
        *budget = left;
        let place = frame.pass(block.lines());
        self.blocks.push(Lines { span: place, cost: block.cost });
        let header = block.service.span;
        let span = Span { end: place.start + header.end - header.start, ..place };
        Some(Token {
            kind: TokenKind::Known(block.service.clone()),
            text: KEYWORD.trim_end().to_owned(),
            span,
        })
    }

    /// Notes what the words of a line, which came out of `frame`, open and close.
    pub(super) fn note(&mut self, words: &[Token], frame: Option<&Frame>, budget: Budget) {
        for (behind, word) in (0..words.len()).rev().zip(words) {
            match word.kind {
                TokenKind::Open => self.depth += 1,
                TokenKind::Close => {
                    self.depth = self.depth.saturating_sub(1);
                    let begun = self.begun.take_if(|_| self.depth == 0);
                    // Only the end of the line is behind it.
                    if let (Some((begin, before)), 1) = (begun, behind)
                        && let Some(cost) = before.less(budget)
                        && let Some((lines, span)) = frame.and_then(|frame| frame.as_text()?.since(begin))
                        && !PUT_IN.iter().any(|word| lines.contains(word))
                    {
                        self.blocks.push(Lines { span, cost });
                    }
                }
                TokenKind::Word | TokenKind::EndOfLine | TokenKind::Known(_) => {}
            }
        }
    }
}
