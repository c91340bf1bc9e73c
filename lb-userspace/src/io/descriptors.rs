//! How many descriptors the process may have. A daemon takes what it is allowed; its programs get what they would have had.

use std::io;
use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use tracing::{debug, warn};

/// Enough for every use of them here; a limit without end makes some programs slow.
const MOST: rlim_t = 65_536;

/// What everything but probes needs: interfaces, maps, sockets of virtual routers, programs.
const OTHERS: usize = 512;

/// The limit before it was raised.
static BEFORE: OnceLock<(rlim_t, rlim_t)> = OnceLock::new();

/// Raises the limit as far as is allowed and useful.
pub(super) fn raise() {
    let (soft, hard) = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok(limits) => limits,
        Err(error) => return warn!("the limit of open files is unknown: {error}"),
    };
    let wanted = hard.min(MOST);
    if wanted <= soft || BEFORE.set((soft, hard)).is_err() {
        return;
    }
    match setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) {
        Ok(()) => debug!("up to {wanted} files may be open"),
        Err(error) => warn!("the limit of open files stays {soft}: {error}"),
    }
}

/// Puts the limit back in a child. It makes one system call and takes no lock.
///
/// # Errors
/// What the system says.
pub(super) fn restore() -> io::Result<()> {
    match BEFORE.get() {
        Some(&(soft, hard)) => Ok(setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?),
        None => Ok(()),
    }
}

/// How many descriptors probes may have together.
pub(super) fn room() -> usize {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let soft = usize::try_from(soft).unwrap_or(usize::MAX);
    soft.saturating_sub(OTHERS).max(soft / 4)
}
