//! How late things were, counted by classes, so that a percentile of any span of time is the difference of two readings.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the classes, in milliseconds; above them is one more.
const BOUNDS: [u32; 10] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/// Counts of delays; one thread may count while another reads.
#[derive(Debug, Default)]
pub struct Delays {
    classes: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

impl Delays {
    /// Counts one.
    pub fn note(&self, delay: Duration) {
        let class = BOUNDS.partition_point(|bound| Duration::from_millis(u64::from(*bound)) < delay);
        self.classes[class].fetch_add(1, Ordering::Relaxed);
        self.microseconds.fetch_add(delay.as_micros() as u64, Ordering::Relaxed);
    }

    /// How many there were so far in each class, with its bound in milliseconds; the last has none.
    pub fn counts(&self) -> impl Iterator<Item = (Option<u32>, u64)> {
        let bounds = BOUNDS.into_iter().map(Some).chain([None]);
        bounds.zip(self.classes.iter().map(|class| class.load(Ordering::Relaxed)))
    }

    /// Their sum in microseconds.
    pub fn microseconds(&self) -> u64 {
        self.microseconds.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_in_the_first_class_that_holds_it() {
        let delays = Delays::default();
        for micros in [0, 1000, 1001, 50_000, 1_000_000, 1_000_001, 90_000_000] {
            delays.note(Duration::from_micros(micros));
        }
        let counts: Vec<_> = delays.counts().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, [(Some(1), 2), (Some(2), 1), (Some(50), 1), (Some(1000), 1), (None, 2)]);
        assert_eq!(delays.microseconds(), 92_052_002);
    }
}
