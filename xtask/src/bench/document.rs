//! The file of figures: one form for everything that the bench measures, so that two files can be compared.
//!
//! ```json
//! { "schema": 1, "machine": { "kernel": "...", ... }, "measurements": [
//!   { "bench": "flows", "title": "established UDP, 10000 flows", "unit": "Mpps", "better": "more",
//!     "setup": { "servers": 3 }, "rows": [
//!     { "name": "xlvs rr", "median": 6.1, "least": 5.9, "most": 6.2, "ratio": 0.71, "details": ... } ] } ] }
//! ```
//! `ratio` is the median of ratios to the floor or to another program, each taken within a round; it is missing where
//! there is none. `details` differ.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::machine::machine;
use super::spread::Spread;

/// The form of the file.
const SCHEMA: u64 = 1;

/// Everything that was measured.
#[derive(Default)]
pub(super) struct Document {
    pub(super) measurements: Vec<Measurement>,
}

/// One table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measurement {
    /// The subcommand.
    pub(super) bench: String,
    /// What tells it from the others of the subcommand.
    pub(super) title: String,
    pub(super) unit: String,
    pub(super) better: Better,
    /// With what it was measured, as far as the title does not say.
    pub(super) setup: Value,
    pub(super) rows: Vec<Row>,
}

/// Which figures are the better ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Better {
    More,
    Less,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) figures: Spread,
    /// To the floor, or to what else the table compares with.
    pub(super) ratio: Option<f64>,
    /// Whatever else is known.
    pub(super) details: Value,
}

impl Document {
    /// Adds a table.
    pub(super) fn add(&mut self, measurement: Measurement) {
        self.measurements.push(measurement);
    }

    /// Says of all tables so far one thing more of how they were measured.
    pub(super) fn mark(&mut self, name: &str, is: bool) {
        self.measurements.iter_mut().for_each(|measurement| measurement.setup[name] = is.into());
    }

    /// Reads what was written, and what the machine was.
    pub(super) fn read(text: &str) -> Result<(Self, Value)> {
        let mut document: Value = serde_json::from_str(text)?;
        let schema = &document["schema"];
        ensure!(
            *schema == json!(SCHEMA),
            "its form is {schema} and not {SCHEMA}: measure again with one version"
        );
        let measurements = list(&document["measurements"], Measurement::from_json)?;
        Ok((Self { measurements }, document["machine"].take()))
    }
}

/// Where a document will be written to: open before anything is measured, so that nothing is measured in vain.
pub(super) struct File {
    path: PathBuf,
    open: fs::File,
    /// Whether what is measured was built from what is checked out.
    is_built: bool,
}

impl File {
    /// Makes the file where there is none, and leaves one that is there as it is.
    pub(super) fn open(path: &Path, is_built: bool) -> Result<Self> {
        let open = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let open = open.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path: path.to_owned(), open, is_built })
    }

    /// Writes all figures, with what the machine is, in the place of what was there.
    pub(super) fn write(mut self, document: &Document) -> Result<()> {
        let document = json!({
            "schema": SCHEMA,
            "machine": machine(self.is_built)?,
            "measurements": document.measurements.iter().map(Measurement::to_json).collect::<Vec<_>>(),
        });
        let text = serde_json::to_string_pretty(&document)? + "\n";
        let written = self.open.set_len(0).and_then(|()| self.open.write_all(text.as_bytes()));
        written.with_context(|| format!("writing {}", self.path.display()))
    }
}

impl Measurement {
    /// A table without lines.
    pub(super) fn new(bench: &str, title: impl Into<String>, unit: &str, better: Better) -> Self {
        let (bench, unit) = (bench.to_owned(), unit.to_owned());
        Self { bench, title: title.into(), unit, better, setup: Value::Null, rows: Vec::new() }
    }

    /// The same, measured with this.
    pub(super) fn with(self, setup: Value) -> Self {
        Self { setup, ..self }
    }

    /// The same with one more line.
    pub(super) fn row(
        mut self,
        name: impl Into<String>,
        figures: Spread,
        ratio: Option<f64>,
        details: Value,
    ) -> Self {
        self.rows.push(Row { name: name.into(), figures, ratio, details });
        self
    }

    fn to_json(&self) -> Value {
        json!({
            "bench": self.bench,
            "title": self.title,
            "unit": self.unit,
            "better": match self.better { Better::More => "more", Better::Less => "less" },
            "setup": self.setup,
            "rows": self.rows.iter().map(Row::to_json).collect::<Vec<_>>(),
        })
    }

    fn from_json(value: &Value) -> Result<Self> {
        let better = match text(value, "better")?.as_str() {
            "more" => Better::More,
            _ => Better::Less,
        };
        let rows = list(&value["rows"], Row::from_json)?;
        let [bench, title, unit] = ["bench", "title", "unit"].map(|key| text(value, key));
        Ok(Self { bench: bench?, title: title?, unit: unit?, better, setup: value["setup"].clone(), rows })
    }
}

impl Row {
    fn to_json(&self) -> Value {
        let Spread { least, median, most } = self.figures;
        json!({
            "name": self.name,
            "median": median,
            "least": least,
            "most": most,
            "ratio": self.ratio,
            "details": self.details,
        })
    }

    fn from_json(value: &Value) -> Result<Self> {
        let number = |key: &str| value[key].as_f64().with_context(|| format!("no number {key:?} in {value}"));
        let figures = Spread { least: number("least")?, median: number("median")?, most: number("most")? };
        let details = value["details"].clone();
        Ok(Self { name: text(value, "name")?, figures, ratio: value["ratio"].as_f64(), details })
    }
}

fn text(value: &Value, key: &str) -> Result<String> {
    value[key].as_str().map(str::to_owned).with_context(|| format!("no text {key:?} in {value}"))
}

fn list<T>(value: &Value, read: fn(&Value) -> Result<T>) -> Result<Vec<T>> {
    value.as_array().context("no list of measurements or rows")?.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let spread = |median| Spread { least: 0.5, median, most: 9.0 };
        let measurement = Measurement::new("flows", "1 flow", "Mpps", Better::More)
            .with(json!({ "servers": 3 }))
            .row("xlvs rr", spread(2.5), Some(0.7), json!({ "lost": 0 }))
            .row("none", spread(1.0), None, Value::Null);
        let text = json!({ "schema": 1, "machine": { "cpus": 2 }, "measurements": [measurement.to_json()] });
        let (document, machine) = Document::read(&text.to_string()).expect("it is as written");
        assert_eq!(document.measurements, [measurement]);
        assert_eq!(machine["cpus"], 2);
    }

    #[test]
    fn a_file_is_opened_before_and_written_anew() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(File::open(&directory.path().join("none/figures.json"), true).is_err());
        let path = directory.path().join("figures.json");
        fs::write(&path, "x".repeat(100_000)).expect("a file");
        let file = File::open(&path, true).expect("the file");
        assert_eq!(
            fs::metadata(&path).expect("the file").len(),
            100_000,
            "figures of another day are there yet"
        );
        file.write(&Document::default()).expect("the file");
        let (document, _) = Document::read(&fs::read_to_string(&path).expect("a text")).expect("a document");
        assert!(document.measurements.is_empty());
    }

    #[test]
    fn another_form_is_refused() {
        assert!(Document::read(r#"{ "machine": {}, "new_connections": [] }"#).is_err());
        assert!(Document::read(r#"{ "schema": 1, "machine": {}, "measurements": [{}] }"#).is_err());
    }
}
