//! Owns what a configuration is read in: the files beside it, the node it is for, its environment. Opens no file
//! itself: whoever calls lends the means.

use std::path::{Path, PathBuf};

/// The file system, as far as `include` needs it.
pub trait Files {
    /// The paths that `pattern` fits (with `*`, `?` and `[...]`, from `directory` unless it is absolute), in order.
    fn find(&self, directory: &Path, pattern: &str) -> Vec<PathBuf>;

    /// A text.
    ///
    /// # Errors
    /// Why it cannot be had.
    fn read(&self, path: &Path) -> Result<Text, Unreadable>;
}

/// What is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Its contents; where bytes are not UTF-8 the replacement character stands, which no word may have.
    pub text: String,
    /// Its absolute path without links, by which it is known again.
    pub path: PathBuf,
}

/// Why a file has no text for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// There is none.
    Missing,
    /// It is there and not used: what it is, or what the system said.
    Unfit(String),
}

/// Everything beside a text that decides about what it says.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The configuration id, for `@id` lines.
    pub id: &'a str,
    /// Every `include` demands all that `includea` does.
    pub demands_all: bool,
    /// The text's own file: its absolute path without links.
    pub path: &'a Path,
    /// The other files.
    pub files: &'a dyn Files,
    /// The environment's variables.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// What `${_RANDOM}` begins with; the same numbers come of the same seed.
    pub seed: u64,
}

/// A world without other files, as a text by itself has it.
#[derive(Clone, Copy, Debug)]
pub struct NoFiles;

impl Files for NoFiles {
    fn find(&self, _: &Path, _: &str) -> Vec<PathBuf> {
        Vec::new()
    }

    fn read(&self, _: &Path) -> Result<Text, Unreadable> {
        Err(Unreadable::Missing)
    }
}
