//! What the XDP program logs when it was asked to, as the daemon's own lines.

use aya::Ebpf;
use aya_log::EbpfLogger;
use tokio::io::unix::AsyncFd;

/// Forwards the program's log until the runtime ends.
///
/// # Errors
/// A program without a log.
pub(super) fn forward(ebpf: &mut Ebpf) -> anyhow::Result<()> {
    // SAFETY: the logger keeps its descriptor open and the same for as long as it lives, and the AsyncFd owns it.
    let mut logger = unsafe { AsyncFd::register(EbpfLogger::init(ebpf)?) }?;
    tokio::spawn(async move {
        while let Ok(mut ready) = logger.readable_mut().await {
            ready.get_inner_mut().flush();
            ready.clear_ready();
        }
    });
    Ok(())
}
