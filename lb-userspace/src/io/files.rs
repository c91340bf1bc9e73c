//! The files that a configuration includes.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::config::files::{Files, Text, Unreadable};

/// Those of the host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RealFiles;

impl Files for RealFiles {
    fn find(&self, directory: &Path, pattern: &str) -> Vec<PathBuf> {
        let whole = if pattern.starts_with('/') {
            pattern.to_owned()
        } else {
            format!("{}/{pattern}", Pattern::escape(&directory.to_string_lossy()))
        };
        // As glob(3): `*` stops at a slash, and does not stand for the dot of a hidden file.
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        // A pattern that is none fits nothing.
        let paths = glob::glob_with(&whole, options).into_iter().flatten();
        paths.map(|path| path.unwrap_or_else(|error| error.path().to_owned())).collect()
    }

    fn read(&self, path: &Path) -> Result<Text, Unreadable> {
        let unfit = |error: io::Error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Unreadable::Missing,
            _ => Unreadable::Unfit(error.to_string()),
        };
        let bytes = bytes(path).map_err(unfit)?;
        if fs::metadata(path).map_err(unfit)?.permissions().mode() & 0o111 != 0 {
            return Err(Unreadable::Unfit("it is executable".to_owned()));
        }
        let path = path.canonicalize().map_err(unfit)?;
        Ok(Text { text: text(bytes), path })
    }
}

/// The bytes of a regular file. What else there may be could let its reader wait, or have no end.
///
/// # Errors
/// No regular file, or what the system says.
pub(crate) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::Error::other("it is a directory"));
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    fs::read(path)
}

/// The text that the bytes of a file are; the replacement character stands for those that are none.
pub(crate) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
