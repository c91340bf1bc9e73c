//! Owns everything that VRRP means on this host around its thread: what the thread is told of interfaces and trackers,
//! and what is run, written and logged when a router changes. Refuses to decide who is master.

mod carriers;
mod names;
mod reload;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use self::carriers::Carriers;
use super::datapath::Leases;
use super::holdings::Holdings;
use super::interfaces::{self, Fact, Watching};
use super::tell::Teller;
use super::trackers::Trackers;
use super::vrrp::{Event, Means, Vrrp, Whom};
use crate::config::model::vrrp::{Vrrp as Config, VrrpInstance};
use crate::event::What;
use crate::vrrp::{Input, Numbers, Output, RouterId, RouterReport, State};

/// How long a stop may take beyond the longest interval, and what comes after it, before the daemon ends without its
/// thread.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// The virtual routers of this host.
pub(super) struct Roles {
    config: Config,
    // Dropped before the thread, which may be waiting for room in it.
    events: mpsc::Receiver<Event>,
    thread: Vrrp,
    carriers: Carriers,
    /// Virtual interfaces of routers that are about to end.
    busy: Vec<String>,
    /// Ends its scripts and watches when it is dropped.
    trackers: Trackers,
    watching: Watching,
    facts: mpsc::Receiver<Fact>,
    tracked: mpsc::Receiver<Input>,
    /// What each router became last, and its priority.
    standing: BTreeMap<RouterId, (State, u8)>,
    /// The longest interval that there was: one that ends because of a reload may still have it.
    longest: Duration,
    stop_by: Option<Instant>,
}

/// Something that happened.
#[derive(Debug)]
pub(super) enum News {
    /// The VRRP thread said something; nothing when it is gone.
    Event(Option<Event>),
    /// An interface or address is another.
    Fact(Fact),
    /// A script, file or process is another.
    Tracked(Input),
    /// It is time to make virtual interfaces that could not be made before.
    Missing,
    /// The stop took too long.
    Late,
}

/// What came of it.
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
    pub(super) fn start(config: &Config, numbers: &Numbers, leases: Leases) -> anyhow::Result<Self> {
        let (watching, facts) = interfaces::watch(names::wanted(config))?;
        let (trackers, tracked) = Trackers::start(config)?;
        let holdings = Holdings::start()?;
        let (thread, events) = Vrrp::start(config, numbers, Means { leases, holdings })?;
        Ok(Self {
            config: config.clone(),
            events,
            thread,
            carriers: Carriers::new(config),
            busy: Vec::new(),
            trackers,
            watching,
            facts,
            tracked,
            standing: BTreeMap::new(),
            longest: longest_interval(config),
            stop_by: None,
        })
    }

    /// Waits for one thing to happen. May be dropped while it waits: nothing is lost.
    pub(super) async fn next(&mut self) -> News {
        tokio::select! {
            event = self.events.recv() => News::Event(event),
            Some(fact) = self.facts.recv() => News::Fact(fact),
            Some(input) = self.tracked.recv() => News::Tracked(input),
            () = until(self.carriers.next_retry()) => News::Missing,
            () = until(self.stop_by) => News::Late,
        }
    }

    /// Deals with what happened. To be awaited to its end, or what happened is lost.
    ///
    /// # Errors
    /// When the VRRP thread has ended though nobody wanted it to.
    pub(super) async fn handle(&mut self, news: News, teller: &Teller) -> anyhow::Result<Turn> {
        match news {
            News::Event(Some(event)) => return self.event(event, teller).await,
            News::Event(None) => return Err(anyhow!("the VRRP thread is gone")),
            News::Fact(fact) => self.fact(fact).await,
            News::Tracked(input) if reload::is_tracked(&self.config, &input) => self.thread.input(input),
            News::Tracked(_) => {}
            News::Missing => self.carriers.retry().await,
            News::Late => {
                warn!("the VRRP thread does not stop; the peers take over when their timers run out");
                return Ok(Turn::Stopped);
            }
        }
        Ok(Turn::Running)
    }

    /// Gives every mastership away; [`Turn::Stopped`] says when that is done. Says whether it was asked for before, by
    /// somebody who does not want to wait any longer.
    pub(super) fn stop(&mut self) -> bool {
        if self.stop_by.is_some() {
            return true;
        }
        self.stop_by = Some(Instant::now() + self.longest + STOP_MARGIN);
        info!("stopping: masterships are given away");
        self.thread.input(Input::Stop);
        false
    }

    /// Sees that nothing is held or forwarded any more, waits until the stop is told of and takes the virtual
    /// interfaces away. Without [`Self::stop`] before, the peers take over when their timers run out.
    pub(super) async fn finish(self, teller: Teller) {
        let Self { mut thread, mut events, carriers, .. } = self;
        thread.close();
        let end = async { while events.recv().await.is_some() {} };
        if timeout(STOP_MARGIN, end).await.is_ok() {
            drop(thread);
        } else {
            warn!("the VRRP thread hangs: addresses, routes and rules may stay on this host");
            // It is not joined: it must not keep the daemon.
            std::mem::forget(thread);
        }
        teller.finish().await;
        carriers.remove_all().await;
    }

    /// Whether a router was master when it last changed.
    pub(super) fn is_master(&self, router: RouterId) -> bool {
        self.standing.get(&router).is_some_and(|(state, _)| *state == State::Master)
    }

    /// How every router stands; nothing if they do not answer.
    pub(super) async fn report(&mut self) -> Option<Vec<RouterReport>> {
        self.thread.report().await
    }

    async fn fact(&mut self, fact: Fact) {
        match fact {
            Fact::Interface { name, up, index, mac } => {
                self.carriers.interface(&name, index.is_some()).await;
                self.thread.interface(name, up, index, mac);
            }
            Fact::Host { address, present } => self.thread.host_address(address, present),
            Fact::Source { interface, family, address } => self.thread.source(interface, family, address),
        }
    }

    async fn event(&mut self, event: Event, teller: &Teller) -> anyhow::Result<Turn> {
        match event {
            Event::Output(Output::Ended(router), Whom::Instance(instance)) => {
                self.ended(router, &instance).await;
            }
            Event::Output(output, Whom::Instance(instance)) => self.output(&output, &instance, teller),
            Event::Output(output, Whom::Group(group)) => {
                if let Output::GroupChanged { to, .. } = output {
                    info!(group = group.name, "the sync group is {to}");
                    teller.group_changed(&group, to.name());
                }
            }
            Event::Refused { instance, source, reason, others } => {
                let instance = &instance.name;
                let others = (others > 0).then_some(others);
                warn!(instance, %source, others, "an advert is refused: {}", reason.explanation());
            }
            Event::Trouble(what) => warn!("{what}"),
            Event::Ended(Ok(())) if self.stop_by.is_some() => return Ok(Turn::Stopped),
            Event::Ended(Ok(())) => return Err(anyhow!("the VRRP thread ended by itself")),
            Event::Ended(Err(error)) => return Err(anyhow!("the VRRP thread ended: {error}")),
        }
        Ok(Turn::Running)
    }

    fn output(&mut self, output: &Output, whose: &VrrpInstance, teller: &Teller) {
        let instance = &whose.name;
        match output {
            Output::Changed { router, from, to, priority, reason } => {
                if *to == State::Fault {
                    warn!(instance, %from, priority, "is {to}: {reason}");
                } else {
                    info!(instance, %from, priority, "is {to}: {reason}");
                }
                teller.event(What::Router {
                    instance: instance.clone(),
                    from: from.to_string(),
                    to: to.to_string(),
                    priority: *priority,
                    reason: reason.clone(),
                });
                self.standing.insert(*router, (*to, *priority));
                self.tell(teller, *router, whose, to.name());
            }
            Output::Priority { router, priority } => {
                info!(instance, priority, "its effective priority changed");
                teller.event(What::Priority { instance: instance.clone(), priority: *priority });
                let standing = self.standing.entry(*router).or_default();
                standing.1 = *priority;
                match standing.0 {
                    State::Master => self.tell(teller, *router, whose, "MASTER_PRIORITY"),
                    State::Backup => self.tell(teller, *router, whose, "BACKUP_PRIORITY"),
                    State::Initialize | State::Fault => {}
                }
            }
            Output::HeardLower(router) => self.tell(teller, *router, whose, "MASTER_RX_LOWER_PRI"),
            Output::GroupChanged { .. }
            | Output::Ended(_)
            | Output::Advert { .. }
            | Output::Lease { .. }
            | Output::Hold { .. }
            | Output::Announce { .. }
            | Output::Refused { .. }
            | Output::Stopped => {}
        }
    }

    fn tell(&self, teller: &Teller, router: RouterId, instance: &VrrpInstance, state: &'static str) {
        let priority = self.standing.get(&router).map_or(0, |(_, priority)| *priority);
        teller.instance_changed(instance, state, priority);
    }
}

fn longest_interval(config: &Config) -> Duration {
    config.instances.iter().map(|instance| instance.advert_interval).max().unwrap_or_default()
}

/// Never, without a time.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
