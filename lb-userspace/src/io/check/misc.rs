//! `MISC_CHECK`: a program says whether the server is up, or what its weight is.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::probe::{Failure, Seconds, is_ours};
use crate::config::model::check::MiscProbe;
use crate::health::{Input, Share};
use crate::io::command::{Dropped, End, Error, Programs};

/// What exit codes that are weights begin with, and how much they are larger.
const FIRST_WEIGHT: i32 = 2;

/// The turn of a check's program, which runs once at a time.
#[derive(Debug)]
pub(super) struct Turn(Arc<Semaphore>);

impl Default for Turn {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// Runs the program to its end, or has it ended with its process group. `turn` is that of one program: who waits for one that
/// does not end, waits within its own time.
pub(super) async fn probe(misc: &MiscProbe, programs: &Programs, turn: &Turn) -> Result<Input, Failure> {
    let too_long = || Failure::Server(format!("its program ran longer than {}", Seconds(misc.timeout)));
    let deadline = Instant::now() + misc.timeout;
    let Ok(Ok(turn)) = timeout_at(deadline, Arc::clone(&turn.0).acquire_owned()).await else {
        return Err(too_long());
    };
    let started = programs.find(&misc.command).and_then(|program| program.start(&[], Dropped::Killed));
    let mut running = match started {
        Ok(running) => running,
        Err(Error::System { error, .. }) if is_ours(&error) => return Err(Failure::of(&error)),
        Err(error) => return Err(error.to_string().into()),
    };
    let end = running
        .wait_for(deadline.saturating_duration_since(Instant::now()))
        .await
        .map_err(|error| Failure::of(&error))?;
    let End::Exited(status) = end else {
        // What it says is known: a program that takes its time to end, or a child that does, must not delay the verdict.
        tokio::spawn(async move {
            running.end().await;
            drop(turn);
        });
        return Err(too_long());
    };
    match status.code() {
        Some(0) => Ok(Input::Passed),
        Some(code @ FIRST_WEIGHT..) if misc.is_dynamic => {
            let weight = u16::try_from(code - FIRST_WEIGHT).unwrap_or(u16::MAX);
            Ok(Input::PassedWith(Share::To(weight)))
        }
        _ => Err(format!("its program ended with {status}").into()),
    }
}
