//! `cargo xtask docs`: writes the pages under docs/ that come from the code.

use anyhow::Result;

use crate::setup::{self, Level};
use crate::{build, command, workspace};

/// Sets up, and has the test that compares the pages write them.
pub(crate) fn main() -> Result<()> {
    let tools = setup::ensure(Level::Build)?;
    // The controller embeds the object, so that not even its tables can be printed without one.
    build::program(&tools)?;
    command::run(
        workspace::cargo("test")
            .args(["--quiet", "--package", "lb-userspace", "--test", "docs"])
            .env("XLVS_WRITE_DOCS", "1"),
    )
}
