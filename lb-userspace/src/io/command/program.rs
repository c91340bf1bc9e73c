//! Owns the way from a command's first word to a file that its user may execute.

use std::env;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::{DEFAULT_PATH, Error, Identity};
use crate::config::model::vrrp::Command;

/// A program that was found, and who runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    identity: Identity,
}

impl Program {
    /// A first word with a slash is the file, another is looked for in `PATH`.
    ///
    /// # Errors
    /// When there is no such file or `identity` may not execute it.
    pub fn find(command: &Command, identity: Identity) -> Result<Self, Error> {
        let (word, arguments) =
            command.words.split_first().ok_or_else(|| Error::Missing { program: String::new() })?;
        let path = if word.contains('/') { at(Path::new(word), &identity) } else { search(word, &identity) }?;
        Ok(Self { path, arguments: arguments.to_vec(), identity })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its arguments.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// Who runs it.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

fn at(path: &Path, identity: &Identity) -> Result<PathBuf, Error> {
    let program = path.display().to_string();
    match fs::metadata(path) {
        Ok(file) if file.is_file() && may_execute(identity, &file) => Ok(path.to_owned()),
        Ok(_) => Err(Error::NotExecutable { program, user: identity.name().to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Missing { program }),
        Err(error) => Err(Error::System { program, error }),
    }
}

/// The first directory with a file that may be executed; else the first error that says more than "not there".
fn search(name: &str, identity: &Identity) -> Result<PathBuf, Error> {
    let directories = env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let mut best = Error::Missing { program: name.to_owned() };
    for directory in env::split_paths(&directories).filter(|directory| directory.is_absolute()) {
        match at(&directory.join(name), identity) {
            Ok(path) => return Ok(path),
            Err(error @ Error::NotExecutable { .. }) if matches!(best, Error::Missing { .. }) => best = error,
            Err(_) => {}
        }
    }
    Err(best)
}

/// By the bits of its mode; the directories on the way are left to the kernel.
fn may_execute(identity: &Identity, file: &Metadata) -> bool {
    let mode = file.permissions().mode();
    let (uid, _) = identity.ids();
    if uid.is_root() {
        mode & 0o111 != 0
    } else if uid.as_raw() == file.uid() {
        mode & 0o100 != 0
    } else if identity.in_group(file.gid()) {
        mode & 0o010 != 0
    } else {
        mode & 0o001 != 0
    }
}
