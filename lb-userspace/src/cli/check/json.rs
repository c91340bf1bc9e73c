//! What `xlvs check --format json` prints; README.md describes it, and fields are only ever added.

use std::path::Path;

use serde::Serialize;

use super::Verdict;
use crate::config::{Diagnostic, Parsed};

#[derive(Serialize)]
struct Document {
    file: String,
    exit_code: u8,
    diagnostics: Vec<Problem>,
}

#[derive(Serialize)]
struct Problem {
    file: String,
    line: Option<u32>,
    column: Option<u32>,
    end: Option<Place>,
    severity: String,
    message: String,
    hint: Option<String>,
    notes: Vec<String>,
    keepalived: bool,
}

/// Behind the last character.
#[derive(Serialize)]
struct Place {
    line: u32,
    column: u32,
}

/// The document for a file that was read.
pub(super) fn document(file: &Path, parsed: &Parsed, verdict: Verdict) -> serde_json::Result<String> {
    let diagnostics = parsed.diagnostics.iter().map(|diagnostic| problem(diagnostic, parsed)).collect();
    print(&Document { file: file.display().to_string(), exit_code: verdict.code(), diagnostics })
}

/// The document for a file that could not be read.
pub(super) fn unreadable(file: &Path, error: &str) -> serde_json::Result<String> {
    let file = file.display().to_string();
    let problem = Problem {
        file: file.clone(),
        line: None,
        column: None,
        end: None,
        severity: "error".to_owned(),
        message: error.to_owned(),
        hint: None,
        notes: Vec::new(),
        keepalived: true,
    };
    print(&Document { file, exit_code: Verdict::Unusable.code(), diagnostics: vec![problem] })
}

fn problem(diagnostic: &Diagnostic, parsed: &Parsed) -> Problem {
    let Diagnostic { severity, span, message, hint, notes, is_ours, .. } = diagnostic;
    let (line, column) = parsed.sources.end(*span);
    Problem {
        file: parsed.sources.get(span.source).map_or_else(String::new, |source| source.name.clone()),
        line: Some(span.line),
        column: Some(span.column),
        end: Some(Place { line, column }),
        severity: severity.to_string(),
        message: message.clone(),
        hint: hint.clone(),
        notes: notes.clone(),
        keepalived: !is_ours,
    }
}

fn print(document: &Document) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(document)? + "\n")
}
