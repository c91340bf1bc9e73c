//! Owns what is known of a text that was read before: a `virtual_server` whose lines are the same, byte for byte, says the
//! same wherever it stands, and is not read again.
//!
//! That holds of a block that is whole lines of one text, in which nothing is put in, of which nothing is to be said, and
//! which takes nothing from other blocks but how checks are timed. Whatever else there is in the text is read each time.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use super::diagnostics::Diagnostic;
use super::expand::{Budget, Lines};
use super::model::VirtualServer;
use super::model::check::Probe;
use super::source::{Sources, Span};
use super::timing::Timing;

/// What such a block begins with.
pub(super) const KEYWORD: &str = "virtual_server ";

/// The blocks of a text, for the next one to be read beside it.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// What counted around all of them.
    timing: Timing,
    /// By their first lines, which those of one address and port have in common.
    blocks: HashMap<String, Vec<Block>>,
}

/// A block of which the lines say everything.
#[derive(Clone, Debug)]
pub(super) struct Block {
    text: Arc<str>,
    range: Range<usize>,
    /// What they say. Its places are those of the text in which it was read.
    pub(super) service: Arc<VirtualServer>,
    /// What it takes to read them.
    pub(super) cost: Budget,
}

impl Block {
    /// Its lines, without the end of the last one.
    pub(super) fn lines(&self) -> &str {
        &self.text[self.range.clone()]
    }
}

/// A virtual server, and where it stands in the text that is being read.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) service: Arc<VirtualServer>,
    pub(super) span: Span,
}

impl Known {
    /// What is known of a text with these blocks, of which `services` were read, and `problems` is all that is to be said of
    /// them.
    pub(super) fn of(
        timing: Timing,
        blocks: &[Lines],
        services: &[Placed],
        problems: &[Diagnostic],
        sources: &Sources,
    ) -> Self {
        let read: BTreeMap<_, _> = services.iter().map(|read| (start(read.span), &read.service)).collect();
        let mut problems: Vec<_> = problems.iter().map(|problem| start(problem.span)).collect();
        problems.sort_unstable();
        let known = blocks.iter().filter_map(|Lines { span, cost }| {
            let service = read.get(&start(*span)).filter(|service| stands_alone(service))?;
            let next = problems.partition_point(|problem| *problem < start(*span));
            if problems.get(next).is_some_and(|problem| *problem < (span.place().0, span.end)) {
                return None;
            }
            let text = &sources.get(span.source)?.text;
            let range = span.start..span.end;
            let first = first_line(text.get(range.clone())?).to_owned();
            let (text, service) = (Arc::clone(text), Arc::clone(service));
            Some((first, Block { text, range, service, cost: *cost }))
        });
        let mut blocks = HashMap::<String, Vec<Block>>::new();
        for (first, block) in known {
            blocks.entry(first).or_default().push(block);
        }
        Self { timing, blocks }
    }

    /// Whether what is known holds where this counts around the blocks.
    pub(super) fn holds_within(&self, timing: Timing) -> bool {
        self.blocks.is_empty() || self.timing == timing
    }

    /// The block whose lines `text` begins with.
    pub(super) fn begins(&self, text: &str) -> Option<&Block> {
        let is_whole = |rest: &str| rest.is_empty() || rest.starts_with('\n');
        let same = |block: &&Block| text.strip_prefix(block.lines()).is_some_and(is_whole);
        self.blocks.get(first_line(text))?.iter().find(same)
    }
}

/// Whether nothing of it is what another block makes it.
fn stands_alone(service: &VirtualServer) -> bool {
    let mut checks = service.real_servers.iter().flat_map(|server| &server.checkers);
    service.group.is_none() && !checks.any(|check| matches!(check.probe, Probe::File(_)))
}

fn first_line(text: &str) -> &str {
    text.split('\n').next().unwrap_or(text)
}

/// The text, and the first byte in it.
fn start(span: Span) -> (u32, usize) {
    let (text, start, _) = span.place();
    (text, start)
}
