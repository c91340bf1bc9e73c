//! Owns everything that VRRP means on this host around its thread: what the thread is told of interfaces and trackers,
//! and what is run, written and logged when a router changes. Refuses to decide who is master.

mod names;
mod refusals;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use tokio::sync::mpsc;
use tracing::{info, warn};

use self::refusals::Refusals;
use super::datapath::Leases;
use super::holdings::Holdings;
use super::interfaces::{self, Fact};
use super::notify::{Notification, Notifier, Subject};
use super::trackers::Trackers;
use super::vmac::{Vmacs, virtual_mac};
use super::vrrp::{Event, Means, Vrrp};
use crate::config::model::vrrp::Vrrp as Config;
use crate::vrrp::{GroupId, Input, Output, RouterId, RouterReport, State};

/// How long a stop may take beyond the longest interval before the daemon ends without its thread.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// The virtual routers of this host.
pub(super) struct Roles {
    config: Config,
    thread: Vrrp,
    notifier: Notifier,
    vmacs: Vmacs,
    /// Ends its scripts and watches when it is dropped.
    _trackers: Trackers,
    events: mpsc::Receiver<Event>,
    facts: mpsc::Receiver<Fact>,
    tracked: mpsc::Receiver<Input>,
    /// What each router became last, and its priority.
    standing: BTreeMap<RouterId, (State, u8)>,
    refusals: Refusals,
    stop_by: Option<tokio::time::Instant>,
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It goes on.
    Running,
    /// After [`Roles::stop`]: nothing is held or forwarded any more.
    Stopped,
}

impl Roles {
    /// Starts everything. What the host is like is told afterwards, and no router is master before its time.
    ///
    /// # Errors
    /// Without the rights for sockets.
    pub(super) fn start(config: &Config, leases: Leases) -> anyhow::Result<Self> {
        let facts = interfaces::watch(
            names::watched(config),
            names::virtual_addresses(config),
            names::tracked_sources(config),
        )?;
        let notifier = Notifier::start(&config.globals)?;
        let (trackers, tracked) = Trackers::start(config)?;
        let holdings = Holdings::start()?;
        let (thread, events) = Vrrp::start(config, Means { leases, holdings })?;
        Ok(Self {
            config: config.clone(),
            thread,
            notifier,
            vmacs: Vmacs::default(),
            _trackers: trackers,
            events,
            facts,
            tracked,
            standing: BTreeMap::new(),
            refusals: Refusals::default(),
            stop_by: None,
        })
    }

    /// Waits for one thing to happen and deals with it. May be dropped while it waits.
    ///
    /// # Errors
    /// When the VRRP thread has ended though nobody wanted it to.
    pub(super) async fn turn(&mut self) -> anyhow::Result<Turn> {
        tokio::select! {
            event = self.events.recv() => match event {
                Some(event) => self.event(event),
                None => Err(anyhow!("the VRRP thread is gone")),
            },
            Some(fact) = self.facts.recv() => {
                self.fact(fact).await;
                Ok(Turn::Running)
            }
            Some(input) = self.tracked.recv() => {
                self.thread.input(input);
                Ok(Turn::Running)
            }
            () = until(self.stop_by) => {
                warn!("the VRRP thread does not stop; the peers take over when their timers run out");
                Ok(Turn::Stopped)
            }
        }
    }

    /// Gives every mastership away; [`Self::turn`] says when that is done. Says whether it was asked for before, by
    /// somebody who does not want to wait any longer.
    pub(super) fn stop(&mut self) -> bool {
        if self.stop_by.is_some() {
            return true;
        }
        let longest = self.config.instances.iter().map(|instance| instance.advert_interval).max();
        self.stop_by = Some(tokio::time::Instant::now() + longest.unwrap_or_default() + STOP_MARGIN);
        self.thread.input(Input::Stop);
        false
    }

    /// Waits for the scripts of the stop and takes the virtual interfaces away.
    pub(super) async fn finish(self) {
        let Self { thread, notifier, mut vmacs, .. } = self;
        // Joined only once it has ended; a thread that hangs must not keep the daemon.
        if thread.has_ended() {
            drop(thread);
        } else {
            std::mem::forget(thread);
        }
        notifier.finish().await;
        vmacs.remove_all().await;
    }

    /// How every router stands.
    pub(super) async fn report(&self) -> Vec<RouterReport> {
        self.thread.report().await
    }

    async fn fact(&mut self, fact: Fact) {
        match fact {
            Fact::Interface { name, up, index, mac } => {
                if index.is_some() {
                    self.make_vmacs(&name).await;
                }
                self.thread.interface(name, up, index, mac);
            }
            Fact::Host { address, present } => self.thread.host_address(address, present),
            Fact::Source { interface, family, address } => self.thread.source(interface, family, address),
        }
    }

    /// Sees that the virtual interfaces on `parent` exist; they are gone with a parent that was made anew.
    async fn make_vmacs(&mut self, parent: &str) {
        for instance in
            self.config.instances.iter().filter(|instance| instance.interface.as_deref() == Some(parent))
        {
            let Some(vmac) = &instance.vmac else { continue };
            let mac = virtual_mac(instance.family, instance.virtual_router_id);
            if let Err(error) = self.vmacs.ensure(parent, &vmac.name, mac).await {
                warn!(instance = instance.name, "{error}");
            }
        }
    }

    fn event(&mut self, event: Event) -> anyhow::Result<Turn> {
        match event {
            Event::Output(output) => self.output(&output),
            Event::Trouble(what) => warn!("{what}"),
            Event::Ended(Ok(())) if self.stop_by.is_some() => return Ok(Turn::Stopped),
            Event::Ended(Ok(())) => return Err(anyhow!("the VRRP thread ended by itself")),
            Event::Ended(Err(error)) => return Err(anyhow!("the VRRP thread ended: {error}")),
        }
        Ok(Turn::Running)
    }

    fn output(&mut self, output: &Output) {
        match output {
            Output::Changed { router, from, to, priority, reason } => {
                info!(instance = self.name(*router), %from, %to, priority, "{reason}");
                self.standing.insert(*router, (*to, *priority));
                self.notify_instance(*router, to.name());
            }
            Output::GroupChanged { group, to } => self.group_changed(*group, *to),
            Output::Priority { router, priority } => {
                info!(instance = self.name(*router), priority, "its effective priority changed");
                let standing = self.standing.entry(*router).or_default();
                standing.1 = *priority;
                match standing.0 {
                    State::Master => self.notify_instance(*router, "MASTER_PRIORITY"),
                    State::Backup => self.notify_instance(*router, "BACKUP_PRIORITY"),
                    State::Initialize | State::Fault => {}
                }
            }
            Output::HeardLower(router) => self.notify_instance(*router, "MASTER_RX_LOWER_PRI"),
            Output::Refused { router, source, reason } => {
                if let Some(others) = self.refusals.count(*router, *reason, Instant::now()) {
                    let instance = self.name(*router);
                    warn!(instance, %source, %reason, others, "an advert is refused and changes nothing");
                }
            }
            Output::Advert { .. }
            | Output::Lease { .. }
            | Output::Hold { .. }
            | Output::Announce { .. }
            | Output::Stopped => {}
        }
    }

    fn notify_instance(&self, router: RouterId, state: &'static str) {
        let Some(instance) = self.config.instances.get(router.0) else { return };
        let priority = self.standing.get(&router).map_or(0, |(_, priority)| *priority);
        let name = instance.name.clone();
        self.notifier
            .notify(Notification { subject: Subject::Instance, name, state, priority }, &instance.notify);
    }

    fn group_changed(&self, group: GroupId, to: State) {
        let Some(group) = self.config.sync_groups.get(group.0) else { return };
        info!(group = group.name, %to, "every member of the sync group is");
        let name = group.name.clone();
        let notification = Notification { subject: Subject::Group, name, state: to.name(), priority: 0 };
        self.notifier.notify(notification, &group.notify);
    }

    fn name(&self, router: RouterId) -> &str {
        self.config.instances.get(router.0).map_or("?", |instance| instance.name.as_str())
    }
}

/// Never, without a time.
async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
