//! The VRRP thread's loop: first the clock, then commands, then adverts, and after each what the machines want done.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::EventFd;
use nix::sys::time::TimeSpec;
use tokio::sync::mpsc::{Sender, error::TrySendError};

use super::announcer::Announcer;
use super::channel::{Channel, Key, Received};
use super::realtime::{monotonic, take_priority};
use super::station::Station;
use super::{Command, Event, Means};
use crate::config::model::vrrp::{Checksum, Vrrp as Config};
use crate::vrrp::{Input, Output, RouterId, Routers};

/// Packets taken from one socket before the clock is looked at again: a flood must not delay an advert.
const BATCH: usize = 256;
/// Events that wait for the daemon in this thread.
const BACKLOG: usize = 1024;
/// From a failure to open a socket to the next try.
const REOPEN: Duration = Duration::from_secs(1);

/// An interface as the daemon described it last.
#[derive(Clone, Copy, Debug)]
struct Device {
    index: u32,
    mac: Option<[u8; 6]>,
}

/// Everything the thread owns.
pub(super) struct Worker {
    routers: Routers,
    stations: BTreeMap<RouterId, Station>,
    channels: BTreeMap<Key, Channel>,
    devices: BTreeMap<String, Device>,
    announcer: Announcer,
    means: Means,
    inbox: Receiver<Command>,
    wake: Arc<EventFd>,
    events: Sender<Event>,
    backlog: VecDeque<Event>,
    /// What fails to be sent or opened, so that it is said once.
    troubles: BTreeMap<String, String>,
    reopen_at: Option<Instant>,
    stopped: bool,
}

impl Worker {
    pub(super) fn new(
        config: &Config,
        means: Means,
        inbox: Receiver<Command>,
        wake: Arc<EventFd>,
        events: Sender<Event>,
    ) -> anyhow::Result<Self> {
        let stations = config.instances.iter().enumerate();
        let stations: BTreeMap<RouterId, Station> = stations
            .filter_map(|(place, instance)| Some((RouterId(place), Station::new(instance)?)))
            .collect();
        for (id, station) in &stations {
            means.leases.set(lease_row(*id), 0);
            // What an earlier daemon left on the interfaces belongs to a master, and nobody is one yet.
            means.holdings.release(&station.name, station.held.clone());
        }
        Ok(Self {
            routers: Routers::new(config, Instant::now()),
            stations,
            channels: BTreeMap::new(),
            devices: BTreeMap::new(),
            announcer: Announcer::open().context("opening a packet socket")?,
            means,
            inbox,
            wake,
            events,
            backlog: VecDeque::new(),
            troubles: BTreeMap::new(),
            reopen_at: None,
            stopped: false,
        })
    }

    /// The thread.
    pub(super) fn run(mut self, priority: Option<u8>) {
        if let Err(error) = take_priority(priority) {
            self.tell(Event::Trouble(format!("the VRRP thread has no real-time priority: {error}")));
        }
        let fixed = |station: &Station| station.configured_source.is_some() && !station.tracks_source;
        self.sources(Instant::now(), fixed, |station| station.configured_source);
        let outcome = self.follow();
        // Whatever ended the loop: nobody forwards, and nobody holds, on the strength of a thread that is gone.
        for (id, station) in &self.stations {
            self.means.leases.set(lease_row(*id), 0);
            self.means.holdings.release(&station.name, station.held.clone());
        }
        let Self { means, events, mut backlog, .. } = self;
        let given_back = means.holdings.finish().map_err(|error| format!("{error:#}"));
        backlog.push_back(Event::Ended(outcome.and(given_back)));
        for event in backlog {
            let _nobody_listens = events.blocking_send(event);
        }
    }

    fn follow(&mut self) -> Result<(), String> {
        while !self.stopped {
            self.wait().map_err(|error| format!("waiting for adverts: {error}"))?;
            if !self.take_commands() {
                return Err("the daemon is gone".to_owned());
            }
            self.perform();
            self.open_missing();
            // What was heard comes before the clock: a timer that ran out while an advert waited says nothing.
            self.hear();
            self.routers.handle_timeout(Instant::now());
            self.perform();
            self.flush();
        }
        Ok(())
    }

    fn wait(&self) -> nix::Result<()> {
        let mut sources = vec![PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
        sources.extend(self.channels.values().map(|channel| PollFd::new(channel.as_fd(), PollFlags::POLLIN)));
        let mut deadline = self.routers.next_deadline().into_iter().chain(self.reopen_at).min();
        if !self.backlog.is_empty() {
            let soon = Instant::now() + Duration::from_millis(10);
            deadline = Some(deadline.map_or(soon, |at| at.min(soon)));
        }
        let timeout =
            deadline.map(|at| TimeSpec::from_duration(at.saturating_duration_since(Instant::now())));
        match ppoll(&mut sources, timeout, None) {
            Ok(_) | Err(nix::Error::EINTR) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes every command; whether there may come more.
    fn take_commands(&mut self) -> bool {
        let _nothing_to_read = self.wake.read();
        loop {
            match self.inbox.try_recv() {
                Ok(command) => self.command(command),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn command(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Input(input) => self.routers.handle(now, input),
            Command::Interface { name, up, index, mac } => self.interface(now, name, up, index, mac),
            Command::Source { interface, family, address } => {
                let concerned = |station: &Station| {
                    station.interface == interface
                        && station.family == family
                        && station.configured_source.is_none()
                };
                self.sources(now, concerned, |_| address);
            }
            Command::HostAddress { address, present } => {
                let concerned =
                    |station: &Station| station.tracks_source && station.configured_source == Some(address);
                self.sources(now, concerned, |_| present.then_some(address));
            }
            // Whoever asked may have given up.
            Command::Report(answer) => drop(answer.send(self.routers.report())),
        }
    }

    /// Tells the routers of these stations what address they send from now.
    fn sources(
        &mut self,
        now: Instant,
        concerned: impl Fn(&Station) -> bool,
        source: impl Fn(&Station) -> Option<IpAddr>,
    ) {
        for (router, station) in self.stations.iter_mut().filter(|(_, station)| concerned(station)) {
            station.source = source(station);
            self.routers.handle(now, Input::Source { router: *router, address: station.source });
        }
        self.reopen_at = Some(now);
    }

    fn interface(&mut self, now: Instant, name: String, up: bool, index: Option<u32>, mac: Option<[u8; 6]>) {
        let before = match index {
            Some(index) => self.devices.insert(name.clone(), Device { index, mac }),
            None => self.devices.remove(&name),
        };
        if before.map(|device| device.index) != index {
            // A socket is bound to the interface that was, not to its name.
            self.channels.retain(|key, _| key.link() != Some(name.as_str()));
            self.reopen_at = Some(now);
        }
        self.routers.handle(now, Input::Interface { name, up });
    }

    /// Opens the sockets that are wanted and not open, when it is time to try.
    fn open_missing(&mut self) {
        let now = Instant::now();
        if self.reopen_at.is_none_or(|at| at > now) {
            return;
        }
        self.reopen_at = None;
        let wanted: Vec<Key> = self
            .stations
            .values()
            .flat_map(|station| station.listens().into_iter().chain(station.sends()))
            .collect();
        self.channels.retain(|key, _| wanted.contains(key));
        for key in wanted {
            if self.channels.contains_key(&key) {
                continue;
            }
            let link = match key.link().map(|name| self.devices.get(name)) {
                None => 0,
                Some(Some(device)) => device.index,
                Some(None) => continue,
            };
            let what = format!("the VRRP socket {key}");
            match Channel::open(&key, link) {
                Ok(channel) => {
                    self.works(&what);
                    self.channels.insert(key, channel);
                }
                Err(error) => {
                    self.fails(&what, &error.to_string());
                    self.reopen_at = Some(now + REOPEN);
                }
            }
        }
    }

    /// Takes in what the sockets have, some packets at a time.
    fn hear(&mut self) {
        let keys: Vec<Key> = self.channels.keys().cloned().collect();
        for key in keys {
            for _ in 0..BATCH {
                let Some(channel) = self.channels.get(&key) else { break };
                let (stations, routers) = (&mut self.stations, &mut self.routers);
                let heard = channel.receive(|packet| {
                    if let Some(input) = understand(stations, &key, &packet) {
                        routers.handle(Instant::now(), input);
                    }
                });
                match heard {
                    Ok(true) => self.perform(),
                    Ok(false) => break,
                    Err(error) => {
                        // The interface went down, or a peer is unreachable; an event about it follows.
                        self.fails(&format!("receiving on the VRRP socket {key}"), &error.to_string());
                        break;
                    }
                }
            }
        }
    }

    /// Does what the machines want, in their order.
    fn perform(&mut self) {
        while let Some(output) = self.routers.poll_output() {
            match output {
                Output::Advert { router, priority, checksum } => {
                    if self.advertise(router, priority, checksum) {
                        self.routers.handle(Instant::now(), Input::Sent(router));
                    }
                }
                Output::Lease { router, until } => {
                    self.means.leases.set(lease_row(router), until.map_or(0, monotonic));
                }
                Output::Hold { router, hold } => {
                    if let Some(station) = self.stations.get(&router) {
                        let held = station.held.clone();
                        if hold {
                            self.means.holdings.hold(&station.name, held);
                        } else {
                            self.means.holdings.release(&station.name, held);
                        }
                    }
                }
                Output::Announce { router, address } => self.announce(router, address),
                Output::Stopped => self.stopped = true,
                Output::Changed { .. }
                | Output::GroupChanged { .. }
                | Output::Priority { .. }
                | Output::HeardLower(_)
                | Output::Refused { .. } => self.tell(Event::Output(output)),
            }
        }
    }

    /// Sends an advert; whether it left.
    fn advertise(&mut self, router: RouterId, priority: u8, checksum: Checksum) -> bool {
        let Some(station) = self.stations.get_mut(&router) else { return false };
        let what = format!("sending the adverts of {}", station.name);
        let Some(channel) = station.sends().and_then(|key| self.channels.get(&key)) else { return false };
        match station.send(channel, priority, checksum) {
            Ok(()) => {
                self.works(&what);
                true
            }
            Err(error) => {
                self.fails(&what, &error.to_string());
                false
            }
        }
    }

    fn announce(&mut self, router: RouterId, address: IpAddr) {
        let Some(name) = self.stations.get(&router).and_then(|station| station.announces_on(address)) else {
            return;
        };
        let what = format!("announcing {address} on {name}");
        let outcome = match self.devices.get(name) {
            Some(Device { index, mac: Some(mac) }) => {
                self.announcer.announce(*index, *mac, address).map_err(|error| error.to_string())
            }
            Some(Device { mac: None, .. }) => Err("it is not an Ethernet interface".to_owned()),
            None => Err("there is no such interface".to_owned()),
        };
        match outcome {
            Ok(()) => self.works(&what),
            Err(error) => self.fails(&what, &error),
        }
    }

    fn works(&mut self, what: &str) {
        if self.troubles.remove(what).is_some() {
            self.tell(Event::Trouble(format!("{what}: works again")));
        }
    }

    fn fails(&mut self, what: &str, error: &str) {
        let before = self.troubles.insert(what.to_owned(), error.to_owned());
        if before.as_deref() != Some(error) {
            self.tell(Event::Trouble(format!("{what}: {error}")));
        }
    }

    /// Tells the daemon, now or when it has time. What is only for the log is not kept for long.
    fn tell(&mut self, event: Event) {
        if self.backlog.len() >= BACKLOG {
            if matches!(event, Event::Output(Output::Refused { .. }) | Event::Trouble(_)) {
                return;
            }
            self.backlog.pop_front();
        }
        self.backlog.push_back(event);
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(event) = self.backlog.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.backlog.push_front(event);
                    return;
                }
                // Without a daemon the commands end too, and with them the loop.
                Err(TrySendError::Closed(_)) => return,
            }
        }
    }
}

/// What a packet means to the router it names.
fn understand(stations: &mut BTreeMap<RouterId, Station>, key: &Key, packet: &Received<'_>) -> Option<Input> {
    let vrid = packet.virtual_router()?;
    let listens = |station: &Station| station.format.vrid == vrid && station.listens().contains(key);
    let (&router, station) = stations.iter_mut().find(|(_, station)| listens(station))?;
    Some(match station.understand(packet) {
        Ok((source, advert)) => Input::Heard { router, source, advert },
        Err((source, reason)) => Input::Refused { router, source, reason },
    })
}

/// The row of `leases` that belongs to a router.
const fn lease_row(router: RouterId) -> u16 {
    router.0 as u16 + 1
}
