//! A large transfer, while the pool and the daemon change under it.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lb_tests::{Lab, Plan, http, wait, with_lab};

const MEGABYTES: usize = 1024;
/// Go while one change is made.
const STEP: usize = MEGABYTES / CHANGES.len();
/// For a step, on a machine that is busy otherwise.
const BOUND: Duration = Duration::from_mins(2);
/// The server that takes the transfer.
const TAKES: usize = 2;

/// What becomes of the director while the transfer goes on; the others of the pool are servers 0 and 1.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// A server fails.
    Fail(usize),
    /// It is back.
    Return(usize),
    /// The daemon is killed.
    Kill,
    /// Another one starts, and so many servers are well.
    Start(usize),
}

const CHANGES: [Change; 8] = [
    Change::Fail(0),
    Change::Fail(1),
    Change::Kill,
    Change::Start(1),
    Change::Return(0),
    Change::Kill,
    Change::Start(2),
    Change::Return(1),
];

fn make(lab: &mut Lab, change: Change) -> Result<()> {
    let well = |lab: &Lab| -> Result<usize> {
        Ok(lab.director.status()?.service()?.servers.iter().filter(|server| server.eligible).count())
    };
    match change {
        Change::Fail(server) => {
            let rest = well(lab)? - 1;
            lab.servers[server].stop()?;
            lab.wait_eligible(rest)?;
        }
        Change::Return(server) => {
            let all = well(lab)? + 1;
            lab.servers[server].start()?;
            lab.wait_eligible(all)?;
        }
        Change::Kill => return lab.director.kill9(),
        Change::Start(well) => {
            let config = lab.http_on_all("rr");
            lab.balance(&config, well)?;
        }
    }
    // The rest serves.
    lab.client().who(lab.service()).map(drop)
}

#[test]
fn a_gigabyte_arrives_whole_while_pool_and_daemon_change() -> Result<()> {
    with_lab(&Plan::servers(3), |lab| {
        lab.balance(&lab.http_on_all("rr"), 3)?;
        let mut upload = lab.client().begin_upload(lab.service(), "/uploads/large", MEGABYTES)?;
        let (allowed, sent) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| {
                for megabyte in 0..MEGABYTES {
                    wait::closely("leave to send on", BOUND, || match allowed.load(Ordering::Relaxed) {
                        usize::MAX => anyhow::bail!("a change failed"),
                        allowed if allowed > megabyte => Ok(ControlFlow::Break(())),
                        allowed => Ok(ControlFlow::Continue(format!("{allowed} MB may go"))),
                    })?;
                    upload.advance_to(megabyte + 1)?;
                    sent.store(megabyte + 1, Ordering::Relaxed);
                }
                upload.finish()
            });
            let mut step = |change| {
                let all = allowed.fetch_add(STEP, Ordering::Relaxed) + STEP;
                make(lab, change)?;
                wait::until("the transfer to go on", BOUND, || {
                    let sent = sent.load(Ordering::Relaxed);
                    ensure!(sent >= all || !sending.is_finished(), "the transfer broke");
                    Ok(if sent >= all {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(format!("{sent} MB have gone"))
                    })
                })
            };
            let changes = CHANGES
                .into_iter()
                .try_for_each(|change| step(change).with_context(|| format!("{change:?}")));
            if changes.is_err() {
                allowed.store(usize::MAX, Ordering::Relaxed);
            }
            let transfer = sending.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            // A transfer that broke has made its change fail.
            transfer.and(changes)
        })?;
        http::check_file(&lab.servers[TAKES].nginx().uploaded("large"), MEGABYTES)
    })
}
