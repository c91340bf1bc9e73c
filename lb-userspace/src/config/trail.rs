//! Owns what is said beside a diagnostic about text that is not read as it is written: which variables made it.

use std::sync::Arc;

use super::diagnostics::{Diagnostic, quoted, without_secret};
use super::source::{Made, OriginId, Sources};

/// So many variables are named for one diagnostic.
const SHOWN: usize = 8;

/// Adds to each diagnostic the variables through which its place is read.
pub(super) fn annotate(problems: &mut [Diagnostic], sources: &Sources) {
    for problem in problems {
        if problem.notes.is_empty() && problem.span.origin() != OriginId::default() {
            problem.notes = notes(problem, sources);
        }
    }
}

fn notes(problem: &Diagnostic, sources: &Sources) -> Vec<String> {
    let secret = sources.line(problem.span).is_some_and(|(line, _)| without_secret(line) != line);
    let mut notes = Vec::new();
    let mut at = problem.span.origin();
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
