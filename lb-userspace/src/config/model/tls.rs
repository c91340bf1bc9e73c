//! What the director shows of itself to servers that it speaks TLS with.

use std::path::PathBuf;

use crate::config::source::Span;

/// The `SSL` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// `ca`: certificates, with which no server's is compared, as in keepalived.
    pub ca: Option<PathBuf>,
    /// `certificate`: what servers are shown that ask for one, and behind it those that vouch for it.
    pub certificate: Option<PathBuf>,
    /// `key`: of that certificate.
    pub key: Option<PathBuf>,
    /// Where it is written.
    pub span: Span,
}
