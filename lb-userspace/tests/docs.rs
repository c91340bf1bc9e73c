//! `docs/configuration.md` is what the keyword table gives; `cargo xtask docs` writes it.

use std::env;
use std::fs;
use std::path::Path;

/// With this variable the page is written, not compared.
const WRITE: &str = "XLVS_WRITE_DOCS";

#[test]
fn the_page_of_the_configuration_is_that_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let wanted = xlvs::config::reference();
    if env::var_os(WRITE).is_some() {
        fs::create_dir_all(path.parent().expect("it is in a directory")).expect("the directory can be made");
        fs::write(&path, wanted).expect("the page can be written");
        return;
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    let differs = there.lines().zip(wanted.lines()).find(|(there, wanted)| there != wanted);
    assert!(there == wanted, "{}: run `cargo xtask docs`; first difference: {differs:#?}", path.display());
}
