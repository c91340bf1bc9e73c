//! Waits until no packet is in the program that came before something was given up, so that it may be given to others.

use std::{thread, time::Duration};

use tracing::debug;

/// Longer than a packet is in the program.
const UNDER_WAY: Duration = Duration::from_millis(100);

/// Was anything given up since the last wait?
#[derive(Debug, Default)]
pub(super) struct Grace {
    is_due: bool,
}

impl Grace {
    /// What a packet under way may still read was given up.
    pub(super) const fn begin(&mut self) {
        self.is_due = true;
    }

    /// Before something is written that was free: waits for the packets under way if one may have found it when it was not.
    /// About 8 ms where it waits.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.is_due)
            && let Err(error) = wait_for_readers()
        {
            debug!("membarrier: {error}; waiting by the clock");
            thread::sleep(UNDER_WAY);
        }
    }
}

/// An XDP program runs as a reader of RCU, for whose readers the kernel waits here (membarrier(2), Linux 4.3); it refuses
/// where CPUs run without a tick (`nohz_full`).
fn wait_for_readers() -> std::io::Result<()> {
    // SAFETY: a system call without pointers.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
