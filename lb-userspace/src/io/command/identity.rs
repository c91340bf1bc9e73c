//! Owns who runs a program: looks users and groups up, and becomes one.

use std::ffi::CString;
use std::io;

use nix::errno::Errno;
use nix::unistd::{self, Gid, Group, Uid};

use super::Error;
use crate::config::model::vrrp::User;

/// Runs scripts that name nobody, where it exists.
const CUSTOMARY: &str = "keepalived_script";

/// The user, group and further groups that a program runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    name: String,
    uid: Uid,
    gid: Gid,
    /// What is to be switched to; nothing when it is this process's own.
    other: Option<Other>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Other {
    groups: Vec<Gid>,
    home: String,
}

impl Identity {
    /// The identity with this name.
    ///
    /// # Errors
    /// When the user or the group does not exist.
    pub fn of(user: &User) -> Result<Self, Error> {
        let found = unistd::User::from_name(&user.name).map_err(|errno| system(&user.name, errno))?;
        let found = found.ok_or_else(|| Error::NoUser { name: user.name.clone() })?;
        let gid = user.group.as_deref().map_or(Ok(found.gid), group)?;
        let name = CString::new(user.name.as_str()).map_err(|_| Error::NoUser { name: user.name.clone() })?;
        let groups = unistd::getgrouplist(&name, gid).map_err(|errno| system(&user.name, errno))?;
        let other = Other { groups, home: found.dir.to_string_lossy().into_owned() };
        Ok(Self { name: user.name.clone(), uid: found.uid, gid, other: Some(other) })
    }

    /// Who runs programs when nobody is named: `keepalived_script` if it exists, else who runs this process.
    ///
    /// # Errors
    /// When the users cannot be looked up.
    pub fn fallback() -> Result<Self, Error> {
        match Self::of(&User { name: CUSTOMARY.to_owned(), group: None }) {
            Err(Error::NoUser { .. }) => Ok(Self::own()),
            found => found,
        }
    }

    fn own() -> Self {
        let uid = unistd::geteuid();
        let name = if uid.is_root() { "root".to_owned() } else { format!("user {uid}") };
        Self { name, uid, gid: unistd::getegid(), other: None }
    }

    /// Its name, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its user and group by number.
    pub fn ids(&self) -> (Uid, Gid) {
        (self.uid, self.gid)
    }

    /// Whether nothing is forbidden to it.
    pub fn is_root(&self) -> bool {
        self.uid.is_root()
    }

    /// Whether it has this group.
    pub fn in_group(&self, gid: u32) -> bool {
        let further = self.other.as_ref().map_or(&[][..], |other| &other.groups);
        self.gid.as_raw() == gid || further.contains(&Gid::from_raw(gid))
    }

    /// What its environment says of it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let Some(other) = &self.other else { return Vec::new() };
        vec![("HOME", other.home.clone()), ("USER", self.name.clone()), ("LOGNAME", self.name.clone())]
    }

    /// Becomes it. Called between fork and exec: system calls only.
    pub(super) fn assume(&self) -> io::Result<()> {
        if let Some(other) = &self.other {
            unistd::setgroups(&other.groups)?;
            unistd::setgid(self.gid)?;
            unistd::setuid(self.uid)?;
        }
        Ok(())
    }
}

fn group(name: &str) -> Result<Gid, Error> {
    let found = Group::from_name(name).map_err(|errno| system(name, errno))?;
    found.map(|group| group.gid).ok_or_else(|| Error::NoGroup { name: name.to_owned() })
}

fn system(name: &str, errno: Errno) -> Error {
    Error::System { program: name.to_owned(), error: errno.into() }
}
