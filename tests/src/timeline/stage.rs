//! Plays the faults of all scenarios in the namespace of the servers, from the first probe on.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::scenario::{Action, Fault, Scenario};
use super::servers::Servers;
use crate::node::Node;

/// Whom the first probe of all reaches.
pub(super) const CLOCK: &str = "10.64.0.1:80";
/// As often as its configuration says.
const CLOCK_INTERVAL: Duration = Duration::from_secs(1);
/// The configuration of that.
pub(super) const CLOCK_SERVICE: &str = "virtual_server 10.65.0.1 80 {
    delay_loop 1
    lb_algo rr
    lb_kind DR
    protocol TCP
    real_server 10.64.0.1 80 {
        TCP_CHECK {
            warmup 0
        }
    }
}
";

/// Where it is played.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    pub(super) servers: Arc<Node>,
    /// For the files of scenarios.
    pub(super) directory: PathBuf,
}

/// What the player tells: that everything is ready for the daemon, then when the first probe came.
pub(super) enum Cue {
    Ready,
    Zero(Instant),
}

impl Stage {
    /// Plays until it is stopped.
    pub(super) fn play(
        &self,
        scenarios: &[Scenario],
        cues: Sender<Cue>,
        stopped: oneshot::Receiver<()>,
    ) -> Result<()> {
        let faults = scenarios.iter().flat_map(|scenario| scenario.faults.iter().cloned());
        let (first, mut later): (Vec<_>, Vec<_>) = faults.partition(|fault| fault.at.is_zero());
        later.sort_by_key(|fault| fault.at);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        self.servers.netns().enter(|| {
            runtime.block_on(async {
                tokio::select! {
                    acted = self.act(first, later, cues) => acted,
                    _ = stopped => Ok(()),
                }
            })
        })
    }

    async fn act(&self, first: Vec<Fault>, later: Vec<Fault>, cues: Sender<Cue>) -> Result<()> {
        let mut servers = Servers::new()?;
        for fault in first {
            self.perform(fault, &mut servers).await?;
        }
        let clock: SocketAddr = CLOCK.parse()?;
        let clock = TcpListener::bind(clock).await.with_context(|| CLOCK)?;
        let _ = cues.send(Cue::Ready);
        // A daemon that begins may be late with everything; with the second probe it has its pace.
        for _ in 0..2 {
            clock.accept().await?;
        }
        let zero = Instant::now().checked_sub(CLOCK_INTERVAL).context("the machine has just started")?;
        let _ = cues.send(Cue::Zero(zero));
        for fault in later {
            tokio::time::sleep_until((zero + fault.at).into()).await;
            self.perform(fault, &mut servers).await?;
        }
        std::future::pending().await
    }

    async fn perform(&self, fault: Fault, servers: &mut Servers) -> Result<()> {
        match fault.action {
            Action::Accept(address) => servers.accept(address).await,
            Action::Page(address, path, answer) => servers.page(address, path, answer).await,
            Action::Secret(address, path, answer) => servers.secret(address, path, answer).await,
            Action::Mail(address, greeting, helo) => servers.mail(address, greeting, helo).await,
            Action::Names(address, code) => servers.names(address, code).await,
            Action::Echo(address) => servers.echo(address).await,
            Action::Deaf(address) => servers.deaf(address).await,
            Action::Refuse(address) => {
                servers.refuse(address).await;
                Ok(())
            }
            Action::File(name, text) => replace(&self.directory.join(name), &text),
            Action::Mute(address) => self.rule("add", address).await,
            Action::Unmute(address) => self.rule("del", address).await,
        }
    }

    /// Adds or takes away what lets nothing out from `address`, while the servers serve.
    async fn rule(&self, what: &str, address: IpAddr) -> Result<()> {
        let family = if address.is_ipv6() { "-6" } else { "-4" };
        let arguments = format!("{family} rule {what} from {address} blackhole");
        let node = Arc::clone(&self.servers);
        tokio::task::spawn_blocking(move || node.netns().ip(&arguments).map(drop)).await?
    }
}

/// Nobody reads half of it.
fn replace(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, format!("{text}\n")).with_context(|| new.display().to_string())?;
    fs::rename(&new, path).with_context(|| path.display().to_string())
}
