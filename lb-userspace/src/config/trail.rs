//! Owns what is said beside a diagnostic about text that is not read as it is written, or not in one file: which
//! variables made it, and where the rest is.

use std::sync::Arc;

use super::diagnostics::{Diagnostic, quoted, without_secret};
use super::source::{Made, Sources};

/// So many variables are named for one diagnostic.
const SHOWN: usize = 8;

/// Adds to each diagnostic the variables through which its place is read.
pub(super) fn annotate(problems: &mut [Diagnostic], sources: &Sources) {
    for problem in problems {
        if !problem.notes.is_empty() {
            continue;
        }
        problem.notes = notes(problem, sources);
        if let Some(other) = problem.other.as_deref().filter(|other| !other.is_beside(problem.span)) {
            problem.notes.push(format!("that line is {}", sources.locate(*other)));
        }
    }
}

fn notes(problem: &Diagnostic, sources: &Sources) -> Vec<String> {
    let mut notes = Vec::new();
    let mut at = problem.span.origin();
    if sources.origin(at).is_none() {
        return notes;
    }
    let secret = sources.line(problem.span).is_some_and(|(line, _)| without_secret(line) != line);
    while let Some(origin) = sources.origin(at) {
        at = origin.outer;
        if notes.len() == SHOWN {
            notes.push("and more variables around these".to_owned());
            break;
        }
        let name = quoted(&origin.name);
        notes.push(match &origin.what {
            Made::Text(value, defined) => {
                let value: Arc<str> = if secret { "***".into() } else { without_secret(value).into() };
                let place =
                    defined.map_or_else(String::new, |span| format!(", set in {}", sources.locate(span)));
                format!("{name} is {} here{place}", quoted(&value))
            }
            Made::Lines(used) => format!("{name} is used in {}", sources.locate(*used)),
        });
    }
    notes
}
