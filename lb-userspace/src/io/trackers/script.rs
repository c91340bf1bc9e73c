//! Owns the runs of one `vrrp_script`: does what its machine asks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tracing::{debug, info, warn};

use crate::config::Span;
use crate::config::model::vrrp::VrrpScript;
use crate::io::command::{Dropped, End, Programs, Running};
use crate::vrrp::Input;
use crate::vrrp::script::{Input as Finding, Output, Script, Settings};

/// One script, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    script: VrrpScript,
    programs: Programs,
    /// Whether a result was told.
    is_known: Arc<AtomicBool>,
    _task: JoinSet<()>,
}

impl Watch {
    /// Goes on with `before` if that is the same, and else begins anew: then the first result decides alone if one was told
    /// before.
    pub(super) fn in_place_of(
        before: Option<Self>,
        script: &VrrpScript,
        programs: &Programs,
        inputs: &mpsc::Sender<Input>,
    ) -> Self {
        let script = VrrpScript { span: Span::default(), ..script.clone() };
        let is_known = match before {
            Some(before) if before.script == script && before.programs.are(programs) => return before,
            Some(before) => before.is_known,
            None => Arc::default(),
        };
        let init_fail = script.init_fail && !is_known.load(Ordering::Relaxed);
        let settings = Settings { init_fail, ..Settings::from(&script) };
        let mut task = JoinSet::new();
        task.spawn(run(script.clone(), settings, programs.clone(), inputs.clone(), Arc::clone(&is_known)));
        Self { script, programs: programs.clone(), is_known, _task: task }
    }
}

/// Runs until nobody reads `inputs`.
async fn run(
    script: VrrpScript,
    settings: Settings,
    programs: Programs,
    inputs: mpsc::Sender<Input>,
    is_known: Arc<AtomicBool>,
) {
    let role = format!("vrrp_script {}", script.name);
    let mut machine = Script::new(Instant::now(), settings);
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
            is_known.store(true, Ordering::Relaxed);
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
