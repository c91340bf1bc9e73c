//! Rates as the kernel estimates them: a sample every two seconds, of which a quarter goes into what is told.

use std::time::Duration;

use super::state::Counts;

/// From one sample to the next.
pub const SAMPLE: Duration = Duration::from_secs(2);

/// A running estimate of one service or real server.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    last: Counts,
    /// In parts of a second's count, so that the small ones are not lost.
    fine: Counts,
}

/// Parts of one connection or packet per second, and of one byte per second.
const PARTS: u64 = 1 << 10;
const BYTE_PARTS: u64 = 1 << 5;

impl Rate {
    /// One that begins at these counts, with nothing per second.
    pub const fn from(counts: Counts) -> Self {
        let nothing = Counts { connections: 0, in_packets: 0, out_packets: 0, in_bytes: 0, out_bytes: 0 };
        Self { last: counts, fine: nothing }
    }

    /// Takes the counts of [`SAMPLE`] later. Counts that went back began anew.
    pub fn sample(&mut self, counts: Counts) {
        let Self { last, fine } = self;
        for (fine, last, now, parts) in [
            (&mut fine.connections, last.connections, counts.connections, PARTS),
            (&mut fine.in_packets, last.in_packets, counts.in_packets, PARTS),
            (&mut fine.out_packets, last.out_packets, counts.out_packets, PARTS),
            (&mut fine.in_bytes, last.in_bytes, counts.in_bytes, BYTE_PARTS),
            (&mut fine.out_bytes, last.out_bytes, counts.out_bytes, BYTE_PARTS),
        ] {
            let rate = now.saturating_sub(last).saturating_mul(parts / SAMPLE.as_secs());
            *fine =
                if rate >= *fine { *fine + (rate - *fine) / 4 } else { *fine - (*fine - rate).div_ceil(4) };
        }
        *last = counts;
    }

    /// What is told of it, per second.
    pub const fn per_second(&self) -> Counts {
        let Counts { connections, in_packets, out_packets, in_bytes, out_bytes } = self.fine;
        Counts {
            connections: whole(connections, PARTS),
            in_packets: whole(in_packets, PARTS),
            out_packets: whole(out_packets, PARTS),
            in_bytes: whole(in_bytes, BYTE_PARTS),
            out_bytes: whole(out_bytes, BYTE_PARTS),
        }
    }
}

/// The nearest whole number, half of one downwards.
const fn whole(fine: u64, parts: u64) -> u64 {
    (fine + parts / 2 - 1) / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_flow_is_told_within_some_samples_and_is_gone_as_soon() {
        let mut rate = Rate::from(Counts { in_packets: 1000, ..Counts::default() });
        assert_eq!(rate.per_second(), Counts::default());
        let mut counts = Counts { in_packets: 1000, ..Counts::default() };
        let mut told = Vec::new();
        for _ in 0..60 {
            counts.in_packets += 2000;
            counts.in_bytes += 200_000;
            counts.connections += 2;
            rate.sample(counts);
            told.push(rate.per_second().in_packets);
        }
        assert_eq!(told[..3], [250, 437, 578], "a quarter of what is missing, each time");
        let steady = rate.per_second();
        assert_eq!((steady.in_packets, steady.in_bytes, steady.connections), (1000, 100_000, 1));
        for _ in 0..60 {
            rate.sample(counts);
        }
        assert_eq!(rate.per_second(), Counts::default());
        rate.sample(Counts::default());
        assert_eq!(rate.per_second(), Counts::default(), "counts that begin anew are no rate");
    }
}
