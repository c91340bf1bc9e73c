//! Owns the fragments that came before the first of their datagram: for how long they wait for it, how many may, and when
//! to look whether it has come. Knows no clock, no map and no socket.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use lb_common::fragment::Datagram;

/// How long a fragment waits at most.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// Frames that may wait.
pub const FRAMES: usize = 1024;
/// Bytes that may wait.
pub const BYTES: usize = 4 << 20;
/// How long it takes until somebody looks again at least.
const SOON: Duration = Duration::from_millis(1);

/// A frame as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The interface it came in by.
    pub ifindex: u32,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// The fragments that wait.
#[derive(Debug, Default)]
pub struct Parking {
    waiting: BTreeMap<Datagram, Waiting>,
    /// When to look for whose first.
    due: BTreeSet<(Instant, Datagram)>,
    frames: usize,
    bytes: usize,
}

/// Those of one datagram.
#[derive(Debug)]
struct Waiting {
    since: Instant,
    due: Instant,
    frames: Vec<Frame>,
}

impl Parking {
    /// Lets a frame wait for the first of its datagram; false if there is no room for it.
    pub fn park(&mut self, now: Instant, datagram: Datagram, frame: Frame) -> bool {
        if self.frames == FRAMES || self.bytes + frame.bytes.len() > BYTES {
            return false;
        }
        self.frames += 1;
        self.bytes += frame.bytes.len();
        let waiting = self.waiting.entry(datagram).or_insert_with(|| {
            // The first may have come while this one was on its way here.
            self.due.insert((now, datagram));
            Waiting { since: now, due: now, frames: Vec::new() }
        });
        waiting.frames.push(frame);
        true
    }

    /// When [`Self::due`] has something next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A datagram whose first is to be looked for now; [`Self::release`] or [`Self::postpone`] it then.
    pub fn due(&self, now: Instant) -> Option<Datagram> {
        self.due.first().filter(|(at, _)| *at <= now).map(|(_, datagram)| *datagram)
    }

    /// The first has come: the frames that waited for it, in their order.
    pub fn release(&mut self, datagram: &Datagram) -> Vec<Frame> {
        let Some(Waiting { due, frames, .. }) = self.waiting.remove(datagram) else { return Vec::new() };
        self.due.remove(&(due, *datagram));
        self.frames -= frames.len();
        self.bytes -= frames.iter().map(|frame| frame.bytes.len()).sum::<usize>();
        frames
    }

    /// It has not come: they wait as long again as they have waited, or are forgotten.
    pub fn postpone(&mut self, now: Instant, datagram: &Datagram) {
        let Some(waiting) = self.waiting.get_mut(datagram) else { return };
        let waited = now.saturating_duration_since(waiting.since);
        if waited >= PATIENCE {
            self.release(datagram);
            return;
        }
        self.due.remove(&(waiting.due, *datagram));
        waiting.due = (now + waited.max(SOON)).min(waiting.since + PATIENCE);
        self.due.insert((waiting.due, *datagram));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn datagram(identification: u32) -> Datagram {
        Datagram { identification, ..Datagram::default() }
    }

    fn frame(number: u32, len: usize) -> Frame {
        Frame { ifindex: number, bytes: vec![0; len] }
    }

    #[test]
    fn frames_are_released_in_their_order_and_once() {
        let (mut parking, now) = (Parking::default(), Instant::now());
        for number in 1..=3 {
            assert!(parking.park(now, datagram(7), frame(number, 10)));
        }
        assert!(parking.park(now, datagram(8), frame(4, 10)));
        assert_eq!(parking.release(&datagram(7)), [1, 2, 3].map(|number| frame(number, 10)));
        assert_eq!(parking.release(&datagram(7)), []);
        assert_eq!(parking.due(now), Some(datagram(8)));
    }

    #[test]
    fn somebody_looks_at_once_then_ever_more_seldom_and_no_longer_than_a_second() {
        let (mut parking, start) = (Parking::default(), Instant::now());
        parking.park(start, datagram(7), frame(1, 10));
        let mut looks = Vec::new();
        while let Some(at) = parking.next_deadline() {
            assert_eq!(parking.due(at), Some(datagram(7)));
            looks.push((at - start).as_millis());
            parking.postpone(at, &datagram(7));
        }
        assert_eq!(looks, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000]);
        assert_eq!((parking.frames, parking.bytes), (0, 0));
    }

    #[test]
    fn there_is_an_end_to_frames_and_to_bytes() {
        let (mut parking, now) = (Parking::default(), Instant::now());
        let parked = (0..2000).filter(|&number| parking.park(now, datagram(number), frame(number, 64)));
        assert_eq!(parked.count(), FRAMES);
        let mut parking = Parking::default();
        let parked = (0..2000).filter(|&number| parking.park(now, datagram(number), frame(number, 9000)));
        assert_eq!(parked.count(), BYTES / 9000);
        parking.release(&datagram(3));
        assert!(parking.park(now, datagram(3), frame(3, 9000)), "what is released makes room");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_doubled_and_nothing_waits_for_ever(
            steps in prop::collection::vec((0..8_u32, 0..4_u32, 0..300_u64), 1..200)
        ) {
            let (mut parking, mut now) = (Parking::default(), Instant::now());
            let (mut parked, mut left) = (0, 0);
            for (number, (identification, what, milliseconds)) in (0..).zip(steps) {
                now += Duration::from_millis(milliseconds);
                let waits = |parking: &Parking| parking.frames;
                match what {
                    0 => left += parking.release(&datagram(identification)).len(),
                    1 => while let Some(datagram) = parking.due(now) {
                        let before = waits(&parking);
                        parking.postpone(now, &datagram);
                        left += before - waits(&parking);
                    },
                    _ => parked += usize::from(parking.park(now, datagram(identification), frame(number, 20))),
                }
                prop_assert_eq!(parked, left + waits(&parking));
                prop_assert_eq!(parking.bytes, 20 * waits(&parking));
                prop_assert_eq!(parking.due.len(), parking.waiting.len());
            }
            now += PATIENCE;
            while let Some(datagram) = parking.due(now) {
                parking.postpone(now, &datagram);
            }
            prop_assert_eq!((parking.frames, parking.next_deadline()), (0, None));
        }
    }
}
