//! Owns the runs of one `vrrp_script`: does what its machine asks for.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::sleep_until;
use tracing::{debug, info, warn};

use crate::config::model::vrrp::VrrpScript;
use crate::io::command::{Dropped, End, Programs, Running};
use crate::vrrp::Input;
use crate::vrrp::script::{Input as Finding, Output, Script, Settings};

/// Runs until nobody reads `inputs`.
pub(super) async fn run(script: VrrpScript, programs: Programs, inputs: mpsc::Sender<Input>) {
    let role = format!("vrrp_script {}", script.name);
    let mut machine = Script::new(Instant::now(), Settings::from(&script));
    loop {
        machine.handle_timeout(Instant::now());
        let mut overdue = None;
        while let Some(output) = machine.poll_output() {
            let up = match output {
                Output::Run { timeout } => {
                    let finding;
                    (finding, overdue) = run_once(&role, &script, &programs, timeout).await;
                    machine.handle(Instant::now(), finding);
                    continue;
                }
                Output::Up => true,
                Output::Down => false,
            };
            info!("{role} is {}", if up { "up" } else { "down" });
            if inputs.send(Input::Script { name: script.name.clone(), up }).await.is_err() {
                return;
            }
        }
        // Its failure is told already.
        if let Some(running) = overdue {
            running.end().await;
        }
        if let Some(deadline) = machine.next_deadline() {
            sleep_until(deadline.into()).await;
        }
    }
}

/// What a run says, and the run itself if it did not end in time.
async fn run_once(
    role: &str,
    script: &VrrpScript,
    programs: &Programs,
    timeout: Duration,
) -> (Finding, Option<Running>) {
    let Some(mut running) = programs.start(role, &script.command, &[], Dropped::Killed) else {
        return (Finding::Failed, None);
    };
    match running.wait_for(timeout).await {
        Ok(End::Exited(status)) if status.success() => (Finding::Passed, None),
        Ok(End::Exited(status)) => {
            debug!("{role} failed: {status}");
            (Finding::Failed, None)
        }
        Ok(End::TimedOut) => {
            debug!("{role} failed: it took longer than {timeout:?}");
            (Finding::Failed, Some(running))
        }
        Err(error) => {
            warn!("{role}: {error}");
            (Finding::Inconclusive, Some(running))
        }
    }
}
