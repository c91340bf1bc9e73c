//! `xlvs events`.

use std::io::Write as _;

use clap::Args;
use http_body_util::BodyExt as _;

use super::{asked_on, runtime, written};
use crate::io::events;

/// What `xlvs events` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    state: super::StateDir,
}

/// Prints them until the director ends, or nobody reads.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let state_dir = &arguments.state.state_dir;
    let runtime = runtime()?;
    let mut events = asked_on(&runtime, state_dir, events::ask(state_dir), super::status::PATIENCE, "")?;
    let mut stdout = std::io::stdout();
    while let Some(frame) = runtime.block_on(events.frame()) {
        // A director that ends breaks off in the middle.
        let Ok(frame) = frame else { break };
        let Ok(bytes) = frame.into_data() else { continue };
        if !written(stdout.write_all(&bytes).and_then(|()| stdout.flush()))? {
            break;
        }
    }
    Ok(())
}
