//! The demonstration that `cargo xtask run` shows.

use std::path::Path;

/// Runs the demonstration with the given binary.
///
/// # Errors
/// Always, until the lab exists.
pub fn run(binary: &Path) -> anyhow::Result<()> {
    anyhow::bail!("the lab is not there yet, for {}", binary.display())
}
