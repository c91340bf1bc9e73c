//! Owns `enable_script_security`: finds who but root could change or replace a program that root runs.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use nix::libc::{S_ISVTX, S_IWGRP, S_IWOTH};

use super::{Error, Program};

/// Symbolic links that are followed before it is taken for a loop, as in the kernel.
const MAX_LINKS: usize = 40;

/// A path that somebody else than root could change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which.
    pub path: PathBuf,
    /// How.
    pub weakness: Weakness,
}

/// What makes a path changeable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// It belongs to this user.
    Owner(u32),
    /// This group may write it.
    Group(u32),
    /// Everybody may write it.
    World,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.weakness {
            Weakness::Owner(uid) => {
                write!(f, "{path} belongs to user {uid}; enable_script_security wants `chown -h root {path}`")
            }
            Weakness::Group(gid) => {
                write!(f, "group {gid} may write {path}; enable_script_security wants `chmod g-w {path}`")
            }
            Weakness::World => {
                write!(f, "everybody may write {path}; enable_script_security wants `chmod o-w {path}`")
            }
        }
    }
}

/// Looks at the file, at every directory on its path, and at those on the way of every symbolic link.
pub(super) fn check(program: &Program) -> Result<(), Error> {
    let name = || program.path().display().to_string();
    match problem(program.path()) {
        Ok(None) => Ok(()),
        Ok(Some(problem)) => Err(Error::Insecure { program: name(), problem }),
        Err(error) => Err(Error::System { program: name(), error }),
    }
}

fn problem(path: &Path) -> io::Result<Option<Problem>> {
    let mut at = PathBuf::from("/");
    let mut ahead: Vec<OsString> = Vec::new();
    push(&mut ahead, &std::path::absolute(path)?);
    let mut links = 0;
    if let Some(weakness) = weakness(&at)? {
        return Ok(Some(Problem { path: at, weakness }));
    }
    while let Some(name) = ahead.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(name);
        if let Some(weakness) = weakness(&next)? {
            return Ok(Some(Problem { path: next, weakness }));
        }
        if !next.symlink_metadata()?.is_symlink() {
            at = next;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(io::Error::from(nix::errno::Errno::ELOOP));
        }
        let target = fs::read_link(&next)?;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        push(&mut ahead, &target);
    }
    Ok(None)
}

/// Puts the steps of `path` on top, the first one uppermost.
fn push(ahead: &mut Vec<OsString>, path: &Path) {
    let steps = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    });
    ahead.extend(steps);
}

/// In a directory with the sticky bit only the owner of an entry may replace it, and the entry is looked at next.
fn weakness(path: &Path) -> io::Result<Option<Weakness>> {
    let found = path.symlink_metadata()?;
    if found.uid() != 0 {
        return Ok(Some(Weakness::Owner(found.uid())));
    }
    if found.is_symlink() || (found.is_dir() && found.mode() & S_ISVTX != 0) {
        return Ok(None);
    }
    Ok(if found.mode() & S_IWOTH != 0 {
        Some(Weakness::World)
    } else if found.mode() & S_IWGRP != 0 && found.gid() != 0 {
        Some(Weakness::Group(found.gid()))
    } else {
        None
    })
}
