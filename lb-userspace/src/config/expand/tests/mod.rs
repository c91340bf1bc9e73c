//! Owns how the tests ask what a text becomes.

mod builtin_variables;
mod conditions;
mod definitions;
mod inclusion;
mod limits;
mod lists;
mod places;

use std::collections::BTreeMap;

use super::*;
use crate::config::lexer::TokenKind;
use crate::config::testing::{Map, world};

/// The words of `text` and what was said of it; `/` is the end of a line that has words.
fn expanded(text: &str, files: &[(&'static str, &'static str)]) -> (String, Vec<String>) {
    expanded_within(Budget::default(), text, files)
}

fn expanded_within(
    budget: Budget,
    text: &str,
    files: &[(&'static str, &'static str)],
) -> (String, Vec<String>) {
    let files = Map(files.iter().copied().collect::<BTreeMap<_, _>>());
    let Expanded { tokens, mut problems, sources, .. } =
        expand_within(budget, "t", text, world(&files), &Known::default());
    super::super::trail::annotate(&mut problems, &sources);
    let mut words = String::new();
    for token in tokens {
        match token.kind {
            TokenKind::Word => {
                words += &token.text;
                words.push(' ');
            }
            TokenKind::Open => words += "{ ",
            TokenKind::Close => words += "} ",
            TokenKind::EndOfLine if words.ends_with("/ ") || words.is_empty() => {}
            TokenKind::EndOfLine => words += "/ ",
            TokenKind::Known(service) => words += &service.to_string(),
        }
    }
    let said = problems.iter().map(|problem| problem.one_line(&sources)).collect();
    (words.trim_end_matches("/ ").trim_end().to_owned(), said)
}

#[track_caller]
fn gives(text: &str, words: &str) {
    assert_eq!(expanded(text, &[]), (words.to_owned(), vec![]), "{text}");
}

/// Asserts that `text` gives these words and one thing to be said, which begins like this.
#[track_caller]
fn says(text: &str, words: &str, start: &str) {
    let (got, said) = expanded(text, &[]);
    assert_eq!(got, words, "{text}: {said:#?}");
    assert!(said.len() == 1 && said[0].starts_with(start), "wanted {start:?}, got {said:#?}");
}

#[track_caller]
fn includes(text: &str, files: &[(&'static str, &'static str)], words: &str, said: &[&str]) {
    let (got, problems) = expanded(text, files);
    assert_eq!(got, words, "{problems:#?}");
    assert_eq!(problems.len(), said.len(), "{problems:#?}");
    for (problem, start) in problems.iter().zip(said) {
        assert!(problem.starts_with(start), "wanted {start:?}, got {problems:#?}");
    }
}
