//! Whether the files of the `SSL` block can be used.

use crate::config::{Diagnostic, Parsed};
use crate::io::check::Credentials;

/// Reads them, here and now, as a director does when it starts.
pub(super) fn look_at(parsed: &Parsed) -> Option<Diagnostic> {
    let config = parsed.config.as_ref()?;
    let files = config.tls.as_ref()?;
    let error = Credentials::load(config, config).err()?;
    let hint = "see to it before the director runs: it does not start without";
    Some(Diagnostic::ours(files.span, format!("{error:#}")).hint(hint))
}
