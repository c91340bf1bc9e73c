//! What the daemon says is as the schemas under docs/ describe it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Whether `said` is as the schema of this name says.
pub(crate) fn holds(name: &str, said: &Value) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    let schema: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
    let validator = jsonschema::validator_for(&schema).with_context(|| path.display().to_string())?;
    let errors: Vec<String> = validator.iter_errors(said).map(|error| error.to_string()).collect();
    ensure!(errors.is_empty(), "{errors:?} in {said}");
    Ok(())
}

#[test]
fn a_schema_that_holds_nothing_would_be_found_out() {
    assert!(holds("status.schema.json", &serde_json::json!({ "version": 1 })).is_err());
    assert!(holds("events.schema.json", &serde_json::json!({ "time": 1, "event": "server" })).is_err());
    assert!(
        holds("events.schema.json", &serde_json::json!({ "time": 1, "event": "lost", "count": 3 })).is_ok()
    );
}
