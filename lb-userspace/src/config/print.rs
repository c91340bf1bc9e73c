//! Owns the way back from the model to keepalived's language: what is in effect, every value written out. Decides
//! nothing: read again, it gives the same model.

mod checks;
mod explain;
mod lvs;
mod quote;
#[cfg(test)]
mod tests;
mod vrrp;

use std::time::Duration;

use super::keywords;
use super::model::Config;
use super::source::{Sources, Span};
use super::tree::Statement;
use quote::Dollar;

/// Where comments begin, if the line is not longer.
const COMMENTS: usize = 44;

/// `config` as text that gives it when it is read.
pub(super) fn text(config: &Config) -> String {
    written(&nodes(config))
}

/// The same with a comment behind each line that says where it comes from; `statements` are what `config` was read
/// from. What is not set is there as a comment.
pub(super) fn explained(config: &Config, statements: &[Statement], sources: &Sources) -> String {
    let mut nodes = nodes(config);
    explain::annotate(&mut nodes, statements, sources);
    written(&nodes)
}

/// A statement that is in effect.
#[derive(Debug)]
struct Node {
    keyword: String,
    arguments: Vec<String>,
    body: Option<Vec<Self>>,
    /// Where the model says it stands.
    place: Option<Span>,
    /// Nothing is set: there is only something to be said about it.
    is_unset: bool,
    /// The keyword of `global_defs` that it comes from, if not the one that the keyword table names.
    heir_of: Option<&'static str>,
    /// What is to be said besides where it comes from.
    remark: Option<&'static str>,
    comment: String,
}

impl Node {
    fn new<T: ToString>(keyword: impl Into<String>, arguments: impl IntoIterator<Item = T>) -> Self {
        Self {
            keyword: keyword.into(),
            arguments: arguments.into_iter().map(|argument| argument.to_string()).collect(),
            body: None,
            place: None,
            is_unset: false,
            heir_of: None,
            remark: None,
            comment: String::new(),
        }
    }

    fn flag(keyword: impl Into<String>) -> Self {
        Self::new(keyword, [""; 0])
    }

    fn one(keyword: &str, argument: impl ToString) -> Self {
        Self::new(keyword, [argument])
    }

    fn switch(keyword: &str, is_on: bool) -> Self {
        Self::one(keyword, if is_on { "yes" } else { "no" })
    }

    fn seconds(keyword: &str, time: Duration) -> Self {
        Self::one(keyword, seconds(time))
    }

    /// A keyword that is not set where there is no argument.
    fn maybe(keyword: &str, argument: Option<impl ToString>) -> Self {
        match argument {
            Some(argument) => Self::one(keyword, argument),
            None => Self { is_unset: true, ..Self::flag(keyword) },
        }
    }

    /// A switch that may be neither on nor off.
    fn maybe_switch(keyword: &str, is_on: Option<bool>) -> Self {
        Self::maybe(keyword, is_on.map(|is_on| if is_on { "yes" } else { "no" }))
    }

    /// A keyword that takes nothing, and is not set where it is not on.
    fn maybe_flag(keyword: &str, is_on: bool) -> Self {
        Self { is_unset: !is_on, ..Self::flag(keyword) }
    }

    fn with(self, body: Vec<Self>) -> Self {
        Self { body: Some(body), ..self }
    }

    fn at(self, place: Span) -> Self {
        Self { place: Some(place), ..self }
    }

    fn remark(self, holds: bool, remark: &'static str) -> Self {
        Self { remark: holds.then_some(remark), ..self }
    }

    /// A block of lines, or nothing where there is none.
    fn list(keyword: &str, lines: Vec<Self>) -> Option<Self> {
        (!lines.is_empty()).then(|| Self::flag(keyword).with(lines))
    }
}

fn nodes(config: &Config) -> Vec<Node> {
    let mut nodes = vec![Node::flag("global_defs").with(lvs::globals(config))];
    nodes.extend(vrrp::blocks(&config.vrrp));
    nodes.extend(lvs::blocks(config));
    nodes
}

/// With up to six decimals.
fn seconds(time: Duration) -> String {
    let text = format!("{}.{:06}", time.as_secs(), time.subsec_micros());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn written(nodes: &[Node]) -> String {
    let mut all = Vec::new();
    words(nodes, &mut all);
    let dollar = Dollar::of(all.into_iter());
    let mut text = String::new();
    if dollar == Dollar::Variable {
        text.push_str(Dollar::DEFINITION);
    }
    write(nodes, 0, dollar, &mut text);
    text
}

fn words<'a>(nodes: &'a [Node], all: &mut Vec<&'a str>) {
    for node in nodes {
        all.push(&node.keyword);
        all.extend(node.arguments.iter().map(String::as_str));
        words(node.body.as_deref().unwrap_or_default(), all);
    }
}

fn write(nodes: &[Node], depth: usize, dollar: Dollar, text: &mut String) {
    for node in nodes {
        let mut line = "    ".repeat(depth);
        if node.is_unset {
            if node.comment.is_empty() {
                continue;
            }
            line.push_str("# ");
        }
        let is_command = keywords::takes_command(&node.keyword);
        line.push_str(&quote::word(&node.keyword, false, dollar));
        for argument in &node.arguments {
            line.push(' ');
            line.push_str(&quote::word(argument, is_command, dollar));
        }
        if node.body.is_some() {
            line.push_str(" {");
        }
        if !node.comment.is_empty() {
            let width = line.chars().count();
            line.extend(std::iter::repeat_n(' ', COMMENTS.saturating_sub(width + 1)));
            line.push_str(" # ");
            line.push_str(&node.comment);
        }
        text.push_str(&line);
        text.push('\n');
        if let Some(body) = &node.body {
            write(body, depth + 1, dollar, text);
            text.push_str(&"    ".repeat(depth));
            text.push_str("}\n");
            if depth == 0 {
                text.push('\n');
            }
        }
    }
}
