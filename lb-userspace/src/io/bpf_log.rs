//! What the XDP program logs when it was asked to, as the daemon's own lines.

use aya::Ebpf;
use aya_log::EbpfLogger;
use tokio::{io::unix::AsyncFd, task::AbortHandle};

/// The task that forwards; it ends with the value.
#[derive(Debug)]
pub(super) struct Forwarding(AbortHandle);

impl Drop for Forwarding {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Forwards the program's log.
///
/// # Errors
/// A program without a log.
pub(super) fn forward(ebpf: &mut Ebpf) -> anyhow::Result<Forwarding> {
    // SAFETY: the logger keeps its descriptor open and the same for as long as it lives, and the AsyncFd owns it.
    let mut logger = unsafe { AsyncFd::register(EbpfLogger::init(ebpf)?) }?;
    let task = tokio::spawn(async move {
        while let Ok(mut ready) = logger.readable_mut().await {
            ready.get_inner_mut().flush();
            ready.clear_ready();
        }
    });
    Ok(Forwarding(task.abort_handle()))
}
