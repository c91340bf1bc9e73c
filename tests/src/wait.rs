//! Waiting for conditions, always with a bound, and giving up when the operator interrupts.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Enough for a virtual router to move: a tracked script, three intervals of a second and the skew, a slow machine.
pub const TAKEOVER: Duration = Duration::from_secs(15);

const POLL: Duration = Duration::from_millis(20);
/// A process executes its program sooner.
const EXECUTION: Duration = Duration::from_secs(5);

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

/// Binds a socket as `bind` does; while `address` is in use, again. Whatever process another thread starts has a copy of all
/// sockets here until it executes its program, so that an address stays in use whose socket has just been closed.
///
/// # Errors
/// What `bind` failed with, or that the address stays in use.
pub fn bound<T>(address: impl Display, mut bind: impl FnMut() -> io::Result<T>) -> Result<T> {
    closely("an address", EXECUTION, || match bind() {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            Ok(ControlFlow::Continue(format!("bind {address}: {error}")))
        }
        bound => bound.map(ControlFlow::Break).with_context(|| format!("bind {address}")),
    })
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_address_is_waited_for_while_somebody_has_a_copy_of_its_socket() -> Result<()> {
        let first = TcpListener::bind("127.0.0.1:0")?;
        let (address, copy) = (first.local_addr()?, first.try_clone()?);
        drop(first);
        let mut refused = 0;
        let mut copy = Some(copy);
        let _again = bound(address, || {
            let bound = TcpListener::bind(address);
            if bound.is_err() {
                refused += 1;
                copy = None;
            }
            bound
        })?;
        assert_eq!(refused, 1);
        let error = bound("192.0.2.1:1", || TcpListener::bind("192.0.2.1:1")).expect_err("no such address");
        assert_eq!(error.to_string(), "bind 192.0.2.1:1");
        Ok(())
    }
}
