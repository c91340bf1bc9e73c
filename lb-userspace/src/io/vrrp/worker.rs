//! The VRRP thread's loop: commands, then adverts, then the clock, and after each what the machines want done.

mod reload;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::EventFd;
use nix::sys::time::TimeSpec;
use tokio::sync::mpsc::Sender;

use super::announcer::Announcer;
use super::channel::{Key, Received};
use super::realtime::{monotonic, take_priority};
use super::reports::Reports;
use super::sockets::Sockets;
use super::station::Station;
use super::{Command, Event, Means, Whom};
use crate::config::model::vrrp::{Checksum, Family, SyncGroup, Vrrp as Config};
use crate::io::clock;
use crate::vrrp::{GroupId, Input, Numbers, Output, RouterId, Routers};

/// Packets taken from one socket before the clock is looked at again: more than the buffer of a socket holds, so that no
/// advert waits in it when a timer runs out, and an end to a flood.
const BATCH: usize = 4096;
/// How long the daemon is left alone that had no time for what it is to be told.
const PATIENCE: Duration = Duration::from_millis(10);

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
    /// Those that come next, when the routers with their numbers have ended.
    heirs: BTreeMap<RouterId, Station>,
    groups: BTreeMap<GroupId, Arc<SyncGroup>>,
    /// The host's own address on each interface, as the daemon told it last.
    own_addresses: BTreeMap<(String, Family), IpAddr>,
    /// Which addresses are on the host, of those that must be.
    host_addresses: BTreeSet<IpAddr>,
    priority: Option<u8>,
    sockets: Sockets,
    devices: BTreeMap<String, Device>,
    announcer: Announcer,
    means: Means,
    inbox: Receiver<Command>,
    wake: Arc<EventFd>,
    reports: Reports,
    stopped: bool,
}

impl Worker {
    pub(super) fn new(
        config: &Config,
        numbers: &Numbers,
        means: Means,
        inbox: Receiver<Command>,
        wake: Arc<EventFd>,
        events: Sender<Event>,
    ) -> anyhow::Result<Self> {
        let now = Instant::now();
        let mut worker = Self {
            routers: Routers::new(config, numbers, now, clock::uptime()),
            stations: BTreeMap::new(),
            heirs: BTreeMap::new(),
            groups: BTreeMap::new(),
            own_addresses: BTreeMap::new(),
            host_addresses: BTreeSet::new(),
            priority: config.globals.rt_priority,
            sockets: Sockets::default(),
            devices: BTreeMap::new(),
            announcer: Announcer::open().context("opening a packet socket")?,
            means,
            inbox,
            wake,
            reports: Reports::new(events),
            stopped: false,
        };
        worker.adopt(now, config, numbers);
        Ok(worker)
    }

    /// The thread.
    pub(super) fn run(mut self) {
        self.take_priority();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.follow()))
            .unwrap_or_else(|_told_on_standard_error| Err("it panicked".to_owned()));
        // Whatever ended the loop: nobody forwards, and nobody holds, on the strength of a thread that is gone.
        for id in self.stations.keys() {
            self.set_lease(*id, 0);
        }
        for station in self.stations.values() {
            self.means.holdings.release(station.name(), station.held.clone());
        }
        let Self { means, inbox, reports, .. } = self;
        // From here on the daemon must not wait for this thread, which waits for it.
        drop(inbox);
        let given_back = means.holdings.finish().map_err(|error| format!("{error:#}"));
        reports.end(Event::Ended(outcome.and(given_back)));
    }

    fn follow(&mut self) -> Result<(), String> {
        while !self.stopped {
            let ready = self.wait().map_err(|error| format!("waiting for adverts: {error}"))?;
            if !self.take_commands() {
                return Err("the daemon is gone".to_owned());
            }
            self.open_sockets();
            self.perform();
            // What was heard comes before the clock: a timer that ran out while an advert waited says nothing.
            for key in &ready {
                self.hear(key);
            }
            self.routers.handle_timeout(Instant::now());
            self.perform();
            self.reports.flush();
            if self.means.holdings.has_ended() {
                return Err("the thread that holds addresses has ended".to_owned());
            }
        }
        Ok(())
    }

    /// Waits until there is something to do; the sockets that have something.
    fn wait(&self) -> nix::Result<Vec<Arc<Key>>> {
        let mut keys = Vec::new();
        let mut sources = vec![PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
        for (key, socket) in self.sockets.all() {
            keys.push(key);
            sources.push(PollFd::new(socket, PollFlags::POLLIN));
        }
        loop {
            let now = Instant::now();
            let later = self.reports.waits().then(|| now + PATIENCE);
            let deadlines = [self.routers.next_deadline(), self.sockets.next_deadline(), later];
            let deadline = deadlines.into_iter().flatten().min();
            let timeout = deadline.map(|at| TimeSpec::from_duration(at.saturating_duration_since(now)));
            match ppoll(&mut sources, timeout, None) {
                Ok(_) => break,
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
        let ready = sources.iter().skip(1).zip(keys).filter(|(source, _)| source.any() != Some(false));
        Ok(ready.map(|(_, key)| Arc::clone(key)).collect())
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
                let place = (interface, family);
                match address {
                    Some(address) => drop(self.own_addresses.insert(place.clone(), address)),
                    None => drop(self.own_addresses.remove(&place)),
                }
                self.sources(now, |station| {
                    station.configured_source.is_none()
                        && (&station.interface, station.family) == (&place.0, place.1)
                });
            }
            Command::HostAddress { address, present } => {
                if present {
                    self.host_addresses.insert(address);
                } else {
                    self.host_addresses.remove(&address);
                }
                self.sources(now, |station| {
                    station.tracks_source && station.configured_source == Some(address)
                });
            }
            // Whoever asked may have given up.
            Command::Report(answer) => drop(answer.send(self.routers.report())),
            Command::Reload(reload) => self.reload(now, *reload),
        }
    }

    /// Tells the routers of these stations what address they send from now.
    fn sources(&mut self, now: Instant, concerned: impl Fn(&Station) -> bool) {
        let concerned = self.stations.iter().filter(|(_, station)| concerned(station));
        let mut heard_anew = Vec::new();
        for router in concerned.map(|(router, _)| *router).collect::<Vec<_>>() {
            if let Some(station) = self.tell_source(now, router) {
                heard_anew.extend(station.listens());
            }
        }
        self.sockets.close(now, |key| heard_anew.contains(key));
    }

    /// Tells a router what address it sends from; its station if it has one.
    fn tell_source(&mut self, now: Instant, router: RouterId) -> Option<&Station> {
        let station = self.stations.get_mut(&router)?;
        station.source = match station.configured_source {
            None => self.own_addresses.get(&(station.interface.clone(), station.family)).copied(),
            Some(address) if station.tracks_source => self.host_addresses.get(&address).copied(),
            Some(address) => Some(address),
        };
        self.routers.handle(now, Input::Source { router, address: station.source });
        station.source.is_some().then_some(station)
    }

    fn take_priority(&mut self) {
        if let Err(error) = take_priority(self.priority) {
            let what =
                format!("the VRRP thread has no real-time priority, which needs CAP_SYS_NICE: {error}");
            self.reports.trouble(what);
        }
    }

    fn interface(&mut self, now: Instant, name: String, up: bool, index: Option<u32>, mac: Option<[u8; 6]>) {
        let before = match index {
            Some(index) => self.devices.insert(name.clone(), Device { index, mac }),
            None => self.devices.remove(&name),
        };
        if up || before.map(|device| device.index) != index {
            self.sockets.close(now, |key| key.link() == Some(&name));
        }
        self.routers.handle(now, Input::Interface { name, up });
    }

    fn open_sockets(&mut self) {
        let (ending, others): (Vec<_>, Vec<_>) =
            self.stations.iter().partition(|(router, _)| self.routers.ends(**router));
        // One with the same VRID on the same link waits until the one that ends has heard its heir.
        let stations = ending.into_iter().chain(others).map(|(router, station)| (*router, station));
        let index = |link: &str| self.devices.get(link).map(|device| device.index);
        self.sockets.open(Instant::now(), stations, index, &mut self.reports);
    }

    /// Takes in what a socket has.
    fn hear(&mut self, key: &Key) {
        for count in 0..BATCH {
            let Some(listener) = self.sockets.get(key) else { return };
            let (stations, routers) = (&mut self.stations, &mut self.routers);
            let mut concerns = false;
            let heard = listener.channel.receive(|packet| {
                if let Some(input) = understand(stations, &listener.routers, &packet) {
                    concerns = true;
                    routers.handle(Instant::now(), input);
                }
            });
            if count == 0 && self.reports.has_troubles() && heard.is_ok() {
                self.reports.works(&receiving(key));
            }
            match heard {
                Ok(true) if concerns => self.perform(),
                Ok(true) => {}
                Ok(false) => return,
                // The interface went down, or a peer is unreachable; an event about it follows.
                Err(error) => return self.reports.fails(&receiving(key), &error.to_string()),
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
                    self.set_lease(router, until.map_or(0, monotonic));
                }
                Output::Hold { router, hold } => {
                    if let Some(station) = self.stations.get(&router) {
                        let held = station.held.clone();
                        if hold {
                            self.means.holdings.hold(station.name(), held);
                        } else {
                            self.means.holdings.release(station.name(), held);
                        }
                    }
                }
                Output::Announce { router, address } => self.announce(router, address),
                Output::Stopped => self.stopped = true,
                Output::Refused { router, source, reason } => {
                    if let Some(station) = self.stations.get(&router) {
                        let what = (source, reason);
                        self.reports.refused(router, &station.instance, what, Instant::now());
                    }
                }
                Output::GroupChanged { group, .. } => {
                    if let Some(group) = self.groups.get(&group) {
                        self.reports.output(output, Whom::Group(Arc::clone(group)));
                    }
                }
                Output::Changed { router, .. }
                | Output::Priority { router, .. }
                | Output::HeardLower(router) => self.report(router, output),
                Output::Ended(router) => {
                    self.report(router, output);
                    self.replace(Instant::now(), router);
                }
            }
        }
    }

    fn report(&mut self, router: RouterId, output: Output) {
        if let Some(station) = self.stations.get(&router) {
            self.reports.output(output, Whom::Instance(Arc::clone(&station.instance)));
        }
    }

    fn set_lease(&self, router: RouterId, until_ns: u64) {
        self.means.leases.set(router.lease_row(), until_ns);
    }

    /// Sends an advert; whether it left.
    fn advertise(&mut self, router: RouterId, priority: u8, checksum: Checksum) -> bool {
        let Some(station) = self.stations.get_mut(&router) else { return false };
        let what = format!("sending the adverts of {}", station.name());
        let sent = match station.sends().and_then(|key| self.sockets.get(&key)) {
            Some(listener) => station.send(&listener.channel, priority, checksum),
            // Why was said when it was tried, unless there is no interface to try it on.
            None => Err(io::Error::other("there is no open socket on its interface")),
        };
        match sent {
            Ok(()) => {
                self.reports.works(&what);
                true
            }
            Err(error) => {
                self.reports.fails(&what, &error.to_string());
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
                self.announcer.announce(name, *index, *mac, address).map_err(|error| error.to_string())
            }
            Some(Device { mac: None, .. }) => Err("it is not an Ethernet interface".to_owned()),
            None => Err("there is no such interface".to_owned()),
        };
        match outcome {
            Ok(()) => self.reports.works(&what),
            Err(error) => self.reports.fails(&what, &error),
        }
    }
}

/// What a packet means to the router it names, if that listens there.
fn understand(
    stations: &mut BTreeMap<RouterId, Station>,
    listening: &BTreeMap<u8, RouterId>,
    packet: &Received<'_>,
) -> Option<Input> {
    let router = *listening.get(&packet.virtual_router()?)?;
    Some(match stations.get_mut(&router)?.understand(packet) {
        Ok((source, advert)) => Input::Heard { router, source, advert },
        Err((source, reason)) => Input::Refused { router, source, reason },
    })
}

fn receiving(key: &Key) -> String {
    format!("receiving on the VRRP socket {key}")
}
