//! What time a generator has for itself: that in which the kernel lets it or the work of its frames run.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// How the kernel names the calling thread's figures.
const SELF: &str = "/proc/thread-self";

/// A generator's thread, and the thread that does what the softirqs of its CPU leave, where there is one to be seen.
pub(super) struct Turns {
    generator: PathBuf,
    softirqs: Option<PathBuf>,
    /// How long that one had run before.
    before: Duration,
}

impl Turns {
    /// Of the calling thread, which stays on the CPU.
    pub(super) fn of_this_thread(cpu: usize) -> Result<Self> {
        let generator = Path::new("/proc").join(fs::read_link(SELF).context(SELF)?).join("schedstat");
        let softirqs = softirqs(cpu);
        let before = softirqs.as_deref().map_or(Ok([Duration::ZERO; 2]), schedstat)?[0];
        Ok(Self { generator, softirqs, before })
    }

    /// For how long the generator could have run in all and something else did, which was not the work of its frames.
    ///
    /// Nothing, where that work cannot be told apart.
    pub(super) fn taken(&self) -> Result<Option<Duration>> {
        let Some(softirqs) = &self.softirqs else { return Ok(None) };
        let [_, waited] = schedstat(&self.generator)?;
        let [worked, _] = schedstat(softirqs)?;
        Ok(Some(waited.saturating_sub(worked.saturating_sub(self.before))))
    }
}

/// The figures of `ksoftirqd` on a CPU.
fn softirqs(cpu: usize) -> Option<PathBuf> {
    let name = format!("ksoftirqd/{cpu}");
    let mut processes = fs::read_dir("/proc").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let found =
        processes.find(|path| fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name))?;
    Some(found.join("schedstat"))
}

/// How long a thread ran, and how long it could have run and did not.
fn schedstat(path: &Path) -> Result<[Duration; 2]> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok()).map(Duration::from_nanos);
    let pair = numbers.next().zip(numbers.next());
    pair.map(|(worked, waited)| [worked, waited])
        .with_context(|| format!("{} is not as expected: {text}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_for_how_long_a_thread_ran() {
        let turns = Turns::of_this_thread(0).expect("a thread");
        std::thread::sleep(Duration::from_millis(1));
        let [worked, _] = schedstat(&turns.generator).expect("two numbers");
        assert!(worked > Duration::ZERO, "it has slept since it began");
        assert!(schedstat(Path::new("/proc/self/comm")).is_err());
    }
}
