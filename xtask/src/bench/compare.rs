//! `cargo xtask bench compare`: what became of each figure from one file to another.
//!
//! What is compared are ratios to the floor, or to another program of the same run, where a line has one: they are the
//! same on a slow day and on a fast one. A figure that has no ratio is compared as it is, and marked.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::Value;

use super::document::{Better, Document, Measurement, Row};

/// Facts of the machine that figures of two files should have in common.
const FACTS: [&str; 9] = [
    "kernel",
    "cpu",
    "family_model_stepping",
    "caches",
    "cpus",
    "jit",
    "mitigations",
    "driver",
    "frame_bytes",
];

/// Arguments of `cargo xtask bench compare`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The file of figures before
    before: PathBuf,
    /// The file of figures after
    after: PathBuf,
}

/// Prints what is in both files, and names what is in one only.
pub(super) fn main(arguments: &Arguments) -> Result<()> {
    let (before, machine_before) = read(&arguments.before)?;
    let (after, machine_after) = read(&arguments.after)?;
    for fact in differences(&machine_before, &machine_after) {
        println!("note: the machine's {fact} is another: ratios may differ for that alone");
    }
    let changes = changes(&before, &after);
    ensure!(!changes.is_empty(), "the two files have no line in common");
    println!("{:<58} {:>9} {:>9}  after/before", "", "before", "after");
    let mut title = String::new();
    for change in &changes {
        if change.title != title {
            title.clone_from(&change.title);
            println!("{title}{}", if change.is_alike { "" } else { " (measured with other settings)" });
        }
        println!("  {change}");
    }
    for (file, lines) in
        [(&arguments.before, only(&before, &after)), (&arguments.after, only(&after, &before))]
    {
        if !lines.is_empty() {
            println!("only in {}:", file.display());
            println!("  {}", lines.join("\n  "));
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<(Document, Value)> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Document::read(&text).with_context(|| file.display().to_string())
}

/// The facts of two machines that are not the same.
fn differences(before: &Value, after: &Value) -> Vec<&'static str> {
    FACTS.into_iter().filter(|&fact| before[fact] != after[fact]).collect()
}

/// A line of both files.
#[derive(Debug)]
struct Change {
    title: String,
    name: String,
    before: f64,
    after: f64,
    is_ratio: bool,
    /// Whether both were measured with the same settings.
    is_alike: bool,
    better: Better,
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self { before, after, .. } = self;
        write!(out, "{:<56} {before:>9.3} {after:>9.3}  {:>12.3}", self.name, after / before)?;
        match (self.better, self.is_ratio) {
            (Better::Less, true) => write!(out, "  less is better"),
            (Better::Less, false) => write!(out, "  less is better, no ratio"),
            (Better::More, true) => Ok(()),
            (Better::More, false) => write!(out, "  no ratio"),
        }
    }
}

/// The lines of both, in the order of the second.
fn changes(before: &Document, after: &Document) -> Vec<Change> {
    let tables = after.measurements.iter().filter_map(|table| Some((find(before, table)?, table)));
    let lines = tables.flat_map(|(earlier, table)| {
        let both = table.rows.iter().filter_map(move |row| {
            let before = earlier.rows.iter().find(|before| before.name == row.name)?;
            Some(Change { is_alike: earlier.setup == table.setup, ..change(table, before, row) })
        });
        both.collect::<Vec<_>>()
    });
    lines.collect()
}

/// The table of the same name.
fn find<'a>(document: &'a Document, table: &Measurement) -> Option<&'a Measurement> {
    let mut tables = document.measurements.iter();
    tables.find(|other| (&other.bench, &other.title) == (&table.bench, &table.title))
}

/// The tables that the other document has not, and the lines that its tables have not.
fn only(document: &Document, other: &Document) -> Vec<String> {
    let lines = document.measurements.iter().flat_map(|table| {
        let title = format!("{}: {}", table.bench, table.title);
        let Some(others) = find(other, table) else { return vec![title] };
        let is_missing = |row: &&Row| others.rows.iter().all(|other| other.name != row.name);
        table.rows.iter().filter(is_missing).map(|row| format!("{title}: {}", row.name)).collect()
    });
    lines.collect()
}

fn change(table: &Measurement, before: &Row, after: &Row) -> Change {
    let name = after.name.clone();
    let (before, after, is_ratio) = match (before.ratio, after.ratio) {
        (Some(before), Some(after)) => (before, after, true),
        _ => (before.figures.median, after.figures.median, false),
    };
    let title = format!("{}: {}, {}", table.bench, table.title, table.unit);
    Change { title, name, before, after, is_ratio, is_alike: true, better: table.better }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::spread::Spread;

    fn document(rows: &[(&str, f64, Option<f64>)]) -> Document {
        let mut table = Measurement::new("flows", "1 flow", "Mpps", Better::More);
        for &(name, median, ratio) in rows {
            table = table.row(name, Spread { least: median, median, most: median }, ratio, Value::Null);
        }
        Document { measurements: vec![table] }
    }

    #[test]
    fn ratios_are_compared_and_not_what_the_day_made_of_them() {
        let before = document(&[("swap", 10.0, Some(1.0)), ("xlvs rr", 5.0, Some(0.5)), ("gone", 1.0, None)]);
        let after = document(&[("xlvs rr", 4.0, Some(0.8)), ("swap", 5.0, Some(1.0)), ("new", 1.0, None)]);
        let changes = changes(&before, &after);
        let lines: Vec<_> =
            changes.iter().map(|change| (&*change.name, change.after / change.before)).collect();
        assert_eq!(lines, [("xlvs rr", 1.6), ("swap", 1.0)]);
    }

    #[test]
    fn without_ratios_figures_are_compared() {
        let (before, after) = (document(&[("rss", 10.0, None)]), document(&[("rss", 15.0, Some(1.0))]));
        let changes = changes(&before, &after);
        assert!(matches!(&changes[..], [Change { is_ratio: false, before: 10.0, after: 15.0, .. }]));
    }

    #[test]
    fn what_is_in_one_file_only_is_told() {
        let mut before = document(&[("swap", 10.0, None), ("gone", 1.0, None)]);
        let after = document(&[("swap", 5.0, None)]);
        before.add(Measurement::new("path", "all", "ns", Better::Less));
        assert_eq!(only(&before, &after), ["flows: 1 flow: gone", "path: all"]);
        assert!(only(&after, &before).is_empty());
    }

    #[test]
    fn another_kernel_is_told() {
        let (before, after) = (json!({ "kernel": "6.1", "cpus": 2 }), json!({ "kernel": "6.12", "cpus": 2 }));
        assert_eq!(differences(&before, &after), ["kernel"]);
    }
}
