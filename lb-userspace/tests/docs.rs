//! The pages under docs/ that come from the code are what it gives; `cargo xtask docs` writes them.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// With this variable the pages are written, not compared.
const WRITE: &str = "XLVS_WRITE_DOCS";

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

fn is_current(path: &Path, wanted: &str) {
    if env::var_os(WRITE).is_some() {
        fs::create_dir_all(path.parent().expect("it is in a directory")).expect("the directory can be made");
        fs::write(path, wanted).expect("the page can be written");
        return;
    }
    let there = fs::read_to_string(path).unwrap_or_default();
    let differs = there.lines().zip(wanted.lines()).find(|(there, wanted)| there != wanted);
    assert!(there == wanted, "{}: run `cargo xtask docs`; first difference: {differs:#?}", path.display());
}

#[test]
fn the_page_of_the_configuration_is_that_of_the_table() {
    is_current(&docs("configuration.md"), &xlvs::config::reference());
}

#[test]
fn the_schemas_are_those_of_the_documents() {
    for (name, schema) in
        [("status.schema.json", xlvs::status::schema()), ("events.schema.json", xlvs::event::schema())]
    {
        let text = serde_json::to_string_pretty(&schema).expect("it is JSON") + "\n";
        is_current(&docs(name), &text);
        jsonschema::meta::validate(schema.as_value()).expect("a schema");
    }
}

#[test]
fn the_manual_is_that_of_the_command_line() {
    let pages = xlvs::cli::manual().expect("pages");
    for (name, page) in &pages {
        is_current(&docs("man").join(name), page);
    }
    let there = fs::read_dir(docs("man")).expect("it is there");
    let there: BTreeSet<String> =
        there.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(there, pages.into_iter().map(|(name, _)| name).collect(), "one that belongs to no command");
}
