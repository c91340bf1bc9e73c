//! The collector: a thread that goes through the flow table for as long as the daemon runs, so that no timer is
//! needed for a flow. What is over, `lb-common`'s protocol decides; here is only the pace.

use std::{
    convert::Infallible,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use lb_common::flow::Collected;
use tracing::{debug, info};

use super::{
    clock::tick_before,
    datapath::{FlowMaps, Flows},
};

/// How long a pass through the table takes, up to so many buckets; through a larger one it takes longer, so that it is not
/// read faster: whoever reads much pushes out of the processors' caches what packets need.
const PASS: Duration = Duration::from_millis(800);
const BUCKETS: usize = 1 << 18;
/// The longest time, for tables that are not too large for that.
const LONGEST: Duration = Duration::from_secs(4);
/// Buckets looked at in one go.
const TURN: usize = 4096;
/// After a turn the thread rests at least so many times as long as it worked.
const REST: u32 = 3;
/// Longer than a packet is in the program: a flow that one has just touched is not forgotten.
const UNDER_WAY: Duration = Duration::from_millis(100);

/// How full the tables of IPv4 and of IPv6 are.
#[derive(Debug)]
struct Fill {
    entries: [AtomicU64; 2],
    capacities: [u64; 2],
}

impl Fill {
    /// Takes note of a pass that was made.
    fn note(&self, collected: [Collected; 2]) {
        for (entries, collected) in self.entries.iter().zip(collected) {
            entries.store(collected.living.into(), Ordering::Relaxed);
        }
    }
}

/// The running thread; it ends with the value.
#[derive(Debug)]
pub struct Collector {
    maps: Arc<FlowMaps>,
    running: Option<Sender<Infallible>>,
    fill: Arc<Fill>,
    thread: Option<JoinHandle<()>>,
}

impl Collector {
    /// Starts it. Its first pass takes the flows of an earlier daemon into the counts, without a rest.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(flows: Flows) -> anyhow::Result<Self> {
        let (running, ended) = channel();
        let maps = flows.maps();
        let capacities = flows.capacities();
        let fill = Arc::new(Fill { entries: Default::default(), capacities });
        let noted = Arc::clone(&fill);
        let run = move || {
            if let Some(collected) = pass(&flows, |_| true) {
                noted.note(collected);
                let [v4, v6] = collected;
                if let Collected { counted: counted @ 1.., .. } = v4.plus(v6) {
                    info!(counted, "took the connections of an earlier run into the counts");
                }
            }
            while let Some(collected) = paced(&flows, &ended) {
                noted.note(collected);
                let [v4, v6] = collected;
                debug!(forgotten = v4.plus(v6).forgotten, "flows expired");
            }
        };
        let thread = std::thread::Builder::new()
            .name("collector".to_owned())
            .spawn(run)
            .context("starting the thread that collects expired flows")?;
        Ok(Self { maps, running: Some(running), fill, thread: Some(thread) })
    }

    /// Entries, as the last pass found them, and room of the tables of IPv4 and of IPv6.
    pub fn fill(&self) -> [(u64, u64); 2] {
        let Fill { entries, capacities } = &*self.fill;
        std::array::from_fn(|family| (entries[family].load(Ordering::Relaxed), capacities[family]))
    }

    /// The flow tables, for who reads them.
    pub fn maps(&self) -> Arc<FlowMaps> {
        Arc::clone(&self.maps)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so on stderr.
            let _panicked = thread.join();
        }
    }
}

/// A pass that takes its time; `None` when the collector is to end.
fn paced(flows: &Flows, ended: &Receiver<Infallible>) -> Option<[Collected; 2]> {
    let start = Instant::now();
    let whole = duration(flows.rows());
    let mut turn_start = start;
    pass(flows, |done| {
        let due = start + whole.mul_f64(done);
        let rest = due.saturating_duration_since(Instant::now()).max(turn_start.elapsed() * REST);
        let goes_on = ended.recv_timeout(rest) == Err(RecvTimeoutError::Timeout);
        turn_start = Instant::now();
        goes_on
    })
}

/// Goes through the table once; `rest`, which is told what part is done, ends it early with false.
fn pass(flows: &Flows, mut rest: impl FnMut(f64) -> bool) -> Option<[Collected; 2]> {
    let mut sums = [Collected::default(); 2];
    for turn in turns(flows.rows()) {
        let end = turn.end;
        let collected = flows.collect(turn, now());
        sums = [sums[0].plus(collected[0]), sums[1].plus(collected[1])];
        if !rest(end as f64 / flows.rows() as f64) {
            return None;
        }
    }
    Some(sums)
}

/// How long a pass through so many buckets is to take.
fn duration(rows: usize) -> Duration {
    PASS.mul_f64(rows as f64 / BUCKETS as f64).clamp(PASS, LONGEST)
}

fn turns(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(TURN).map(move |start| start..(start + TURN).min(rows))
}

/// The tick at which a flow must be over: some time ago on the program's clock.
fn now() -> u32 {
    tick_before(UNDER_WAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_table_is_read_no_faster() {
        let milliseconds = [1, BUCKETS, 2 * BUCKETS, 1 << 24].map(|rows| duration(rows).as_millis());
        assert_eq!(milliseconds, [800, 800, 1600, 4000]);
    }

    #[test]
    fn turns_cover_every_bucket_once() {
        for rows in [1, TURN - 1, TURN, TURN + 1, 5 * TURN + 7] {
            let mut next = 0;
            for turn in turns(rows) {
                assert_eq!(turn.start, next);
                assert!((1..=TURN).contains(&turn.len()), "{rows}: {turn:?}");
                next = turn.end;
            }
            assert_eq!(next, rows);
        }
    }
}
