//! Waiting for conditions, always with a bound, and giving up when the operator interrupts.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Enough for a virtual router to move: a tracked script, three intervals of a second and the skew, a slow machine.
pub const TAKEOVER: Duration = Duration::from_secs(15);

const POLL: Duration = Duration::from_millis(20);

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Makes SIGINT, SIGTERM and SIGHUP end every wait with an error, so that the caller unwinds and cleans up.
///
/// # Errors
/// When a handler cannot be installed.
pub fn interrupt_on_signals() -> Result<()> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(flag))?;
    }
    Ok(())
}

/// Fails once a signal has asked the process to stop.
///
/// # Errors
/// When one has arrived.
pub fn check_interrupt() -> Result<()> {
    if INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
        bail!("interrupted");
    }
    Ok(())
}

/// Asks `probe` until it breaks with an answer; `what` completes "waited 5s for ...".
///
/// The probe continues with what is missing, and fails when waiting on is pointless.
///
/// # Errors
/// What the probe failed with; or, when `bound` has passed, what was missing last.
pub fn until<T>(
    what: &str,
    bound: Duration,
    probe: impl FnMut() -> Result<ControlFlow<T, String>>,
) -> Result<T> {
    asking(what, bound, POLL, probe)
}

/// The same for what has to be known within a millisecond.
///
/// # Errors
/// As [`until`].
pub fn closely<T>(
    what: &str,
    bound: Duration,
    probe: impl FnMut() -> Result<ControlFlow<T, String>>,
) -> Result<T> {
    asking(what, bound, Duration::from_micros(500), probe)
}

fn asking<T>(
    what: &str,
    bound: Duration,
    pause: Duration,
    mut probe: impl FnMut() -> Result<ControlFlow<T, String>>,
) -> Result<T> {
    let end = Instant::now() + bound;
    loop {
        check_interrupt()?;
        let missing = match probe()? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(missing) => missing,
        };
        if Instant::now() >= end {
            bail!("waited {bound:?} for {what}, in vain: {missing}");
        }
        std::thread::sleep(pause);
    }
}
