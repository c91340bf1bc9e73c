//! How much of a flow table is used.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::Result;
use bytemuck::must_cast;
use lb_common::flow::{Bucket, Control, Key4, Slot, State, Word};
use lb_tests::director::Director;
use lb_tests::wait;

use super::mapped::Mapped;

/// The part in which flows may lie that are already there when new ones are measured.
const MOST: f64 = 1.0 / 8.0;
/// Of so many buckets one is looked at.
const SAMPLE: usize = 512;
/// More than the shortest time for which a flow is remembered, and two passes of the collector.
const BOUND: Duration = Duration::from_secs(20);
const SLOT_WORDS: usize = size_of::<Slot<Key4>>() / size_of::<u64>();
const BUCKET_WORDS: usize = size_of::<Bucket<Key4>>() / size_of::<u64>();

/// Waits until most of a director's flows of IPv4 are forgotten.
pub(super) fn wait_forgotten(director: &Director) -> Result<()> {
    let table = Mapped::new(&director.pin_dir().join("flows4"))?;
    wait::until("flows to be forgotten", BOUND, || {
        let part = used(&table);
        Ok(if part <= MOST {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(format!("{:.0} % of the slots are used", 100.0 * part))
        })
    })
}

/// The part of its slots that hold something, by some of them.
fn used(table: &Mapped) -> f64 {
    let buckets = table.words().chunks_exact(BUCKET_WORDS).step_by(SAMPLE);
    let slots: Vec<Control> = buckets
        .flat_map(|bucket| bucket.chunks_exact(SLOT_WORDS))
        .map(|slot| must_cast(slot[0].load(Relaxed)))
        .collect();
    let used = slots.iter().filter(|&&control| Word::from(control).state() != State::Free).count();
    used as f64 / slots.len() as f64
}
