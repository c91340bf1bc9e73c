//! Waits until no packet is in the program that came before something was given up, so that it may be given to others.

use std::{
    thread::{self, JoinHandle},
    time::Duration,
};

use tracing::debug;

/// Longer than a packet is in the program.
const UNDER_WAY: Duration = Duration::from_millis(100);

/// The wait since something was given up last. It goes on by itself, so that who wants a place seldom waits for it.
#[derive(Debug, Default)]
pub(super) struct Grace {
    waiting: Option<JoinHandle<()>>,
}

impl Grace {
    /// What a packet under way may still read was given up. A wait that began before is not enough for it.
    pub(super) fn begin(&mut self) {
        let thread = thread::Builder::new().name("grace".to_owned()).spawn(wait);
        self.waiting = thread.inspect_err(|_| wait()).ok();
    }

    /// Before something is written that was free: waits for the packets under way if one may have found it when it was not.
    /// About 8 ms after it was given up none does.
    pub(super) fn end(&mut self) {
        if let Some(waiting) = self.waiting.take()
            && waiting.join().is_err()
        {
            wait();
        }
    }
}

fn wait() {
    if let Err(error) = wait_for_readers() {
        debug!("membarrier: {error}; waiting by the clock");
        thread::sleep(UNDER_WAY);
    }
}

/// An XDP program runs as a reader of RCU, for whose readers the kernel waits here (membarrier(2), Linux 4.3); it refuses
/// where CPUs run without a tick (`nohz_full`).
fn wait_for_readers() -> std::io::Result<()> {
    // SAFETY: a system call without pointers.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
