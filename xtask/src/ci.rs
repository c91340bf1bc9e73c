//! `cargo xtask ci`: what must pass before anything is merged.

use anyhow::Result;

use crate::setup::{self, Level};
use crate::{command, lint, test};

/// setup, lint and test, in this order.
pub(crate) fn main() -> Result<()> {
    command::require_root("cargo xtask ci")?;
    setup::ensure(Level::Lab)?;
    lint::main()?;
    test::main(&test::Arguments::default())
}
