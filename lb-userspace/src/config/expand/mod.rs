//! Owns the step from files to lines of words: `include`, `@id`, variables, `~SEQ` and `~LST`. Knows no keyword
//! besides those that change how the files are read.
//!
//! It goes line by line, as keepalived does: a line is what it is when its turn comes, with the variables that are
//! defined then. What stands behind a `{` is a line of its own.

mod budget;
mod builtins;
mod frame;
mod include;
mod line;
mod outermost;
mod series;
#[cfg(test)]
mod tests;
mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::diagnostics::{Diagnostic, quoted};
use super::files::World;
use super::keywords;
use super::known::Known;
use super::lexer::{self, Token};
use super::source::{SourceId, Sources, Span};
pub(super) use budget::Budget;
use budget::MAX_LINE;
use frame::{Frame, Item, TextFrame};
use include::Demands;
pub(super) use line::{Line, Walker};
pub(super) use outermost::Lines;
use outermost::Outermost;
use variables::{Value, Variables};

/// What came of the files.
#[derive(Debug)]
pub(super) struct Expanded {
    pub(super) tokens: Vec<Token>,
    pub(super) problems: Vec<Diagnostic>,
    pub(super) sources: Sources,
    /// The blocks that are whole lines.
    pub(super) blocks: Vec<Lines>,
}

/// The words of `text`, which messages call `name`, and of all it includes; what is `known` is one word.
pub(super) fn expand(name: &str, text: &str, world: World<'_>, known: &Known) -> Expanded {
    expand_within(Budget::default(), name, text, world, known)
}

pub(in crate::config) fn expand_within(
    budget: Budget,
    name: &str,
    text: &str,
    world: World<'_>,
    known: &Known,
) -> Expanded {
    let mut sources = Sources::default();
    let (source, text) = sources.add(name, text);
    let mut reader = Reader {
        frames: vec![Frame::Text(TextFrame::new(
            source,
            text,
            world.path.to_owned(),
            Demands::of(world.demands_all),
        ))],
        known: BTreeMap::from([(world.path.to_owned(), source)]),
        world,
        sources,
        variables: Variables::default(),
        random: StdRng::seed_from_u64(world.seed),
        budget,
        left: BTreeSet::new(),
        secret: false,
        outermost: Outermost::new(known),
        tokens: Vec::new(),
        problems: Vec::new(),
    };
    while let Some(item) = reader.next_line() {
        if item.and_then(|item| reader.line(item)).is_err() {
            // What is missing now is no fault of the text.
            reader.tokens.clear();
            break;
        }
    }
    let Reader { tokens, problems, sources, outermost, .. } = reader;
    Expanded { tokens, problems, sources, blocks: outermost.blocks }
}

/// Whether `word` is `include` or one of its kin.
pub(super) fn is_include(word: &str) -> bool {
    include::keyword(word).is_some()
}

/// Reading ends here; why has been said.
struct Stop;

struct Reader<'a> {
    world: World<'a>,
    sources: Sources,
    /// The texts that were read already.
    known: BTreeMap<PathBuf, SourceId>,
    /// Where the next line comes from is the last.
    frames: Vec<Frame>,
    variables: Variables,
    random: StdRng,
    budget: Budget,
    /// What is left as it is, and where: it is said once however often the line is read.
    left: BTreeSet<(String, (u32, usize, usize))>,
    /// Whether the line that is being read has a value that must not be shown.
    secret: bool,
    outermost: Outermost<'a>,
    tokens: Vec<Token>,
    problems: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn next_line(&mut self) -> Option<Result<Item, Stop>> {
        loop {
            match self.frames.last_mut()? {
                Frame::Text(frame) => {
                    if let Some(token) = self.outermost.pass(frame, &mut self.budget) {
                        self.tokens.push(token);
                        continue;
                    }
                    if let Some((text, start)) = frame.next_line() {
                        let item = Item::written(text, start);
                        return Some(self.checked(item, start));
                    }
                }
                Frame::Lines(lines) => {
                    if let Some(item) = lines.next() {
                        return Some(Ok(item));
                    }
                }
                Frame::Series(series) => {
                    if let Some((values, line)) = series.step() {
                        for (name, value) in values {
                            self.variables.set(&name, value);
                        }
                        let place = line.span(0..0);
                        let spent = self.spend(place, line.text().len());
                        return Some(spent.map(|()| Item { line, continued: false }));
                    }
                }
            }
            self.frames.pop();
        }
    }

    fn checked(&mut self, item: Item, start: Span) -> Result<Item, Stop> {
        let text = item.line.text();
        if let Some(at) = text.find('\0') {
            let problem =
                Diagnostic::error(item.line.span(at..at + 1), "a NUL byte: this is not a configuration text");
            return self.stop_with(problem.hint("give a keepalived.conf"));
        }
        if text.len() > MAX_LINE {
            return self.stop(start, format!("this line is longer than {MAX_LINE} bytes"));
        }
        Ok(item)
    }

    /// Does what a line says, or takes its words.
    fn line(&mut self, Item { mut line, continued }: Item) -> Result<(), Stop> {
        loop {
            let text = line.text();
            let blank = text.len() - text.trim_start().len();
            if blank > 0 {
                line = line.behind(blank);
                continue;
            }
            self.secret =
                text.contains('$') && keywords::hides(text.split_whitespace().next().unwrap_or_default());
            if let Some(condition) = text.strip_prefix('@') {
                let end = condition.find(char::is_whitespace).unwrap_or(condition.len());
                let behind = end + 1..text.len();
                if !self.holds(&condition[..end]) {
                    if continued && variables::definition(text[behind].trim_start()).is_some() {
                        self.continuation(&mut Vec::new());
                    }
                    return Ok(());
                }
                line = line.cut(behind);
                continue;
            }
            if let Some((name, value)) = variables::definition(text) {
                let name = name.to_owned();
                self.define(&name, value, &line, continued);
                return Ok(());
            }
            if series::begins(text) {
                let series = self.series(&line)?;
                self.frames.extend(series.map(Frame::Series));
                return Ok(());
            }
            let used = variables::use_at(text, 0).filter(|used| used.braced || ends_name(&text[used.end..]));
            if let Some(used) = used
                && let Some(value) = self.variables.get(used.inner)
            {
                if let [_] = value.lines.as_slice() {
                    line = self.put_first(&line, used.end, &value)?;
                    continue;
                }
                if text[used.end..].trim_start().is_empty() {
                    let place = line.span(0..used.end);
                    let lines = self.lines_of(&value, &text[..used.end], place)?;
                    self.then(lines);
                    return Ok(());
                }
            }
            break;
        }
        if let Some((demands, keyword)) = include::keyword(line.text()) {
            let whole = self.substitute(&line)?.line;
            return self.include(&whole, demands, keyword);
        }
        self.words(&line, continued)
    }

    /// Takes the words of a line up to its first `{`, behind which a line begins.
    fn words(&mut self, line: &Line, continued: bool) -> Result<(), Stop> {
        let text = line.text();
        let end = lexer::first_brace(text).map_or(text.len(), |brace| brace + 1);
        if !text[end..].trim_start().is_empty() {
            self.spend(line.span(0..0), text.len() - end)?;
            let rest = Item { line: line.cut(end..text.len()), continued };
            self.frames.push(Frame::Lines(vec![rest].into_iter()));
        }
        let substituted;
        let (taken, end) = if text[..end].contains('$') {
            let made = self.substitute(&line.cut(0..end))?;
            self.then(made.further);
            substituted = made.line;
            (&substituted, substituted.text().len())
        } else {
            (line, end)
        };
        self.obey(taken, end);
        let before = self.tokens.len();
        lexer::tokens(taken, 0..end, &mut self.tokens, &mut self.problems);
        if let Err(what) = self.budget.spend_words(self.tokens.len() - before) {
            return self.stop(line.span(0..0), what.to_owned());
        }
        self.outermost.note(&self.tokens[before..], self.frames.last(), self.budget);
        Ok(())
    }

    /// Has `lines` read before what follows.
    fn then(&mut self, lines: Vec<Line>) {
        if !lines.is_empty() {
            let items: Vec<_> = lines.into_iter().map(|line| Item { line, continued: false }).collect();
            self.frames.push(Frame::Lines(items.into_iter()));
        }
    }

    /// Whether the lines for `condition`, which is `id` or `^id`, are for this node.
    fn holds(&self, condition: &str) -> bool {
        match condition.strip_prefix('^') {
            Some(other) => other != self.world.id,
            None => condition == self.world.id,
        }
    }

    fn define(&mut self, name: &str, value: usize, line: &Line, continued: bool) {
        let text = line.text();
        if name.starts_with('_') {
            let message =
                format!("the names that begin with `_` are keepalived's own; {} is set", quoted(name));
            let problem = Diagnostic::ours(line.span(0..value - 1), message);
            self.problems.push(problem.hint("give the variable another name"));
        }
        let first = if continued { without_backslash(text) } else { text };
        let mut lines = vec![trimmed(line, value..first.len().max(value))];
        if continued {
            self.continuation(&mut lines);
            lines.retain(|line| !line.text().is_empty());
        }
        if lines.is_empty() {
            lines.push(Line::default());
        }
        self.variables.set(name, Value { lines, defined: line.span(0..value - 1) });
    }

    /// Takes the lines of the text that a definition goes on in: all that end with `\`, and the one behind them.
    fn continuation(&mut self, lines: &mut Vec<Line>) {
        let frame = self.frames.iter_mut().rev().find_map(Frame::as_text_mut);
        let Some(frame) = frame else { return };
        while let Some((text, start)) = frame.next_line() {
            let Item { line, continued } = Item::written(text, start);
            if !continued && line.text().trim().is_empty() && !text.trim().is_empty() {
                continue;
            }
            let end = if continued { without_backslash(line.text()).len() } else { line.text().len() };
            lines.push(trimmed(&line, 0..end));
            if !continued {
                return;
            }
        }
    }

    /// The keywords that change how the files are read, in a line up to `end`.
    fn obey(&mut self, line: &Line, end: usize) {
        let mut words = line.text()[..end].split_whitespace();
        match words.next() {
            Some("include_check") => match self.demands().changed(&words.collect::<Vec<_>>()) {
                Ok(demands) => {
                    let frame = self.frames.iter_mut().rev().find_map(Frame::as_text_mut);
                    if let Some(frame) = frame {
                        frame.demands = demands;
                    }
                }
                Err(word) => {
                    let message = format!("{} is nothing that `include_check` can demand", quoted(word));
                    let problem = Diagnostic::warning(line.span(0..end), message);
                    self.problems.push(problem.hint("write readable, match, wildcard_match or brace_match"));
                }
            },
            Some("random_seed") => {
                if let Some(seed) = words.next().and_then(|seed| seed.parse().ok()) {
                    self.random = StdRng::seed_from_u64(seed);
                }
            }
            _ => {}
        }
    }

    fn text_frame(&self) -> Option<&TextFrame> {
        self.frames.iter().rev().find_map(Frame::as_text)
    }

    fn demands(&self) -> Demands {
        self.text_frame().map(|frame| frame.demands.clone()).unwrap_or_default()
    }

    /// Where the file lies whose line it is.
    fn directory(&self) -> PathBuf {
        let path = self.text_frame().map_or(self.world.path, |frame| frame.path.as_path());
        path.parent().unwrap_or(path).to_owned()
    }

    fn spend(&mut self, place: Span, bytes: usize) -> Result<(), Stop> {
        match self.budget.spend(bytes) {
            Ok(()) => Ok(()),
            Err(what) => self.stop(place, what.to_owned()),
        }
    }

    fn stop<T>(&mut self, place: Span, message: String) -> Result<T, Stop> {
        self.stop_with(
            Diagnostic::error(place, message).hint("write it shorter; nothing of the configuration is used"),
        )
    }

    fn stop_with<T>(&mut self, problem: Diagnostic) -> Result<T, Stop> {
        self.problems.push(problem);
        Err(Stop)
    }
}

/// Whether the name of a variable ends where `rest` begins.
fn ends_name(rest: &str) -> bool {
    rest.chars().next().is_none_or(|next| next.is_whitespace() || ",)".contains(next))
}

fn without_backslash(text: &str) -> &str {
    let text = text.trim_end();
    text.strip_suffix('\\').unwrap_or(text)
}

fn trimmed(line: &Line, range: std::ops::Range<usize>) -> Line {
    let text = &line.text()[range.clone()];
    let start = range.start + text.len() - text.trim_start().len();
    line.cut(start..(start + text.trim().len()).min(range.end))
}
