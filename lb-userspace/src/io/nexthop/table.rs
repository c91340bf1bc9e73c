//! Facts about routes, neighbours and links to resolutions: no socket, no clock.
//! Decides what to ask the kernel and when, and what of it is news.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Resolution;
use crate::io::links::{Carrier, Link};
use crate::io::netlink::Event;
use crate::io::netlink::facts::{Neighbour, NeighbourState, Route, Snapshot};

/// Between two solicitations of a neighbour that does not answer.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Between two solicitations of a neighbour that is used without a recent confirmation.
const CONFIRM_AGAIN: Duration = Duration::from_secs(10);

/// From the first sign that routes changed to the lookups: a routing daemon changes many at once.
const SETTLE: Duration = Duration::from_millis(100);

/// What the table wants to know from the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Output {
    /// The route to this address; the answer goes to [`Table::routed`].
    LookUp(IpAddr),
    /// Make the kernel resolve this neighbour; what it knows then goes to [`Table::handle`].
    Solicit { ifindex: u32, neighbour: IpAddr },
}

/// A neighbour by link and address.
type Key = (u32, IpAddr);

/// All facts, the addresses of interest, and what was said about them.
#[derive(Debug, Default)]
pub(super) struct Table {
    targets: BTreeMap<IpAddr, Target>,
    links: BTreeMap<u32, Link>,
    neighbours: HashMap<Key, Neighbour>,
    solicited: BTreeMap<Key, Instant>,
    /// Neighbours that were asked in vain since they last answered, whatever the kernel remembers of it.
    silent: BTreeSet<Key>,
    lookups_at: Option<Instant>,
    outputs: BTreeSet<Output>,
    /// Addresses whose resolution may have changed.
    suspects: BTreeSet<IpAddr>,
}

#[derive(Debug, Default)]
struct Target {
    /// Which coming of the address it is for.
    coming: u64,
    route: Option<Route>,
    reported: Option<Resolution>,
}

impl Target {
    fn key(&self) -> Option<Key> {
        match self.route {
            Some(Route::Via { ifindex, neighbour }) => Some((ifindex, neighbour)),
            _ => None,
        }
    }
}

impl Table {
    /// Replaces the addresses of interest. One with another number than before is as new.
    pub(super) fn set(&mut self, addresses: &BTreeMap<IpAddr, u64>) {
        self.targets.retain(|address, target| addresses.get(address) == Some(&target.coming));
        self.suspects.retain(|address| self.targets.contains_key(address));
        self.outputs
            .retain(|output| !matches!(output, Output::LookUp(address) if !addresses.contains_key(address)));
        for (address, coming) in addresses {
            self.targets.entry(*address).or_insert_with(|| {
                self.outputs.insert(Output::LookUp(*address));
                Target { coming: *coming, ..Target::default() }
            });
        }
    }

    /// Forgets all facts for those given and looks up every route.
    pub(super) fn replace(&mut self, snapshot: Snapshot) {
        self.links = snapshot.links.into_iter().map(|link| (link.index, link)).collect();
        self.neighbours =
            snapshot.neighbours.into_iter().map(|entry| ((entry.ifindex, entry.address), entry)).collect();
        self.silent.clear();
        let silent = self.neighbours.iter().filter(|(_, entry)| entry.state == NeighbourState::Silent);
        self.silent.extend(silent.map(|(key, _)| *key));
        self.look_up_all();
        self.suspect(|_| true);
    }

    /// Takes a change.
    pub(super) fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::Link(link) => {
                let index = link.index;
                self.links.insert(index, link);
                self.suspect(|(ifindex, _)| ifindex == index);
                self.routes_changed(now);
            }
            Event::LinkGone { index } => {
                self.links.remove(&index);
                self.neighbours.retain(|(ifindex, _), _| *ifindex != index);
                self.suspect(|(ifindex, _)| ifindex == index);
                self.routes_changed(now);
            }
            Event::Neighbour(entry) => {
                let key = (entry.ifindex, entry.address);
                let lost = !entry.state.is_known();
                match entry.state {
                    NeighbourState::Usable | NeighbourState::Stale => drop(self.silent.remove(&key)),
                    NeighbourState::Silent => drop(self.silent.insert(key)),
                    NeighbourState::Unknown => {}
                }
                let before = self.neighbours.insert(key, entry);
                self.neighbour_changed(key, before.as_ref(), lost);
            }
            Event::NeighbourGone { ifindex, address } => {
                let key = (ifindex, address);
                let before = self.neighbours.remove(&key);
                self.neighbour_changed(key, before.as_ref(), true);
            }
            Event::Address(_) | Event::AddressGone(_) | Event::Routes(_) | Event::Overrun => {
                self.routes_changed(now);
            }
        }
    }

    /// Takes the answer to [`Output::LookUp`].
    pub(super) fn routed(&mut self, address: IpAddr, route: Route) {
        if let Some(target) = self.targets.get_mut(&address) {
            target.route = Some(route);
            self.suspects.insert(address);
        }
    }

    /// Asks for what is due at `now`.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.lookups_at.is_some_and(|at| at <= now) {
            self.look_up_all();
        }
        let wanted: BTreeSet<Key> = self.targets.values().filter_map(Target::key).collect();
        self.solicited.retain(|key, _| wanted.contains(key));
        self.silent.retain(|key| wanted.contains(key));
        for (ifindex, neighbour) in wanted {
            if self.solicit_at(now, (ifindex, neighbour)).is_some_and(|at| at <= now) {
                self.solicited.insert((ifindex, neighbour), now);
                self.outputs.insert(Output::Solicit { ifindex, neighbour });
            }
        }
    }

    /// When [`Table::handle_timeout`] wants to be called. Right after it was, this is in the future.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let solicits = self.targets.values().filter_map(Target::key).filter_map(|key| {
            let last = *self.solicited.get(&key)?;
            self.solicit_at(last, key)
        });
        solicits.chain(self.lookups_at).min()
    }

    /// The next question to the kernel.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_first()
    }

    /// Whether [`Table::take_change`] has something.
    pub(super) fn has_change(&mut self) -> bool {
        self.next_change().is_some()
    }

    /// An address with its resolution, if that is not what was taken last for it.
    pub(super) fn take_change(&mut self) -> Option<(IpAddr, Resolution)> {
        let (address, resolution) = self.next_change()?;
        self.suspects.remove(&address);
        if let Some(target) = self.targets.get_mut(&address) {
            target.reported = Some(resolution.clone());
        }
        Some((address, resolution))
    }

    fn next_change(&mut self) -> Option<(IpAddr, Resolution)> {
        while let Some(address) = self.suspects.first().copied() {
            let target = self.targets.get(&address);
            let news = target.and_then(|target| {
                let resolution = self.resolve(address, target.route.as_ref()?);
                (target.reported.as_ref() != Some(&resolution)).then_some(resolution)
            });
            if let Some(resolution) = news {
                return Some((address, resolution));
            }
            self.suspects.remove(&address);
        }
        None
    }

    fn look_up_all(&mut self) {
        self.lookups_at = None;
        self.outputs.extend(self.targets.keys().copied().map(Output::LookUp));
    }

    fn routes_changed(&mut self, now: Instant) {
        self.lookups_at.get_or_insert(now + SETTLE);
    }

    fn neighbour_changed(&mut self, key: Key, before: Option<&Neighbour>, lost: bool) {
        // What was known and is not any more is asked for at once, however short ago it was asked for last.
        if lost && before.is_some_and(|entry| entry.state.is_known()) {
            self.solicited.remove(&key);
        }
        self.suspect(|other| other == key);
    }

    fn suspect(&mut self, concerned: impl Fn(Key) -> bool) {
        let concerned = self.targets.iter().filter(|(_, target)| target.key().is_some_and(&concerned));
        self.suspects.extend(concerned.map(|(address, _)| *address));
    }

    /// When the neighbour is to be solicited next; `now` if it never was.
    fn solicit_at(&self, now: Instant, key: Key) -> Option<Instant> {
        let link = self.links.get(&key.0)?;
        if link.carrier != Carrier::Up || link.mac.is_none() {
            return None;
        }
        let interval = match self.neighbours.get(&key).map(|entry| entry.state) {
            Some(NeighbourState::Usable) => return None,
            Some(NeighbourState::Stale) => CONFIRM_AGAIN,
            Some(NeighbourState::Unknown | NeighbourState::Silent) | None => ASK_AGAIN,
        };
        Some(self.solicited.get(&key).map_or(now, |last| *last + interval))
    }

    fn resolve(&self, address: IpAddr, route: &Route) -> Resolution {
        let (ifindex, neighbour) = match route {
            Route::Local => return Resolution::Local,
            Route::None(why) => return unresolved(format!("no route to {address}: {why}")),
            Route::Via { ifindex, neighbour } => (*ifindex, *neighbour),
        };
        let Some(link) = self.links.get(&ifindex) else {
            return unresolved(format!("the interface to {address} is gone"));
        };
        let name = &link.name;
        match link.carrier {
            Carrier::Up => {}
            Carrier::NoCarrier => {
                return unresolved(format!("{name}, the interface to {address}, has no carrier"));
            }
            Carrier::AdminDown => return unresolved(format!("{name}, the interface to {address}, is down")),
        }
        if link.mac.is_none() {
            return unresolved(format!("{name}, the interface to {address}, is not an Ethernet interface"));
        }
        let key = (ifindex, neighbour);
        let entry = self.neighbours.get(&key).filter(|entry| entry.state.is_known());
        match entry.map(|entry| <[u8; 6]>::try_from(entry.link_address.as_slice())) {
            Some(Ok(mac)) => Resolution::Resolved { mac, ifindex },
            Some(Err(_)) => {
                unresolved(format!("the neighbour entry of {neighbour} on {name} has no Ethernet address"))
            }
            None if self.silent.contains(&key) => unresolved(silence(address, neighbour, name)),
            None => unresolved(format!("the MAC address of {neighbour} on {name} is being asked for")),
        }
    }
}

fn unresolved(reason: String) -> Resolution {
    Resolution::Unresolved { reason }
}

fn silence(address: IpAddr, neighbour: IpAddr, link: &str) -> String {
    let protocol = if neighbour.is_ipv4() { "ARP" } else { "neighbour discovery" };
    if neighbour == address {
        format!("{address} does not answer {protocol} on {link}")
    } else {
        format!("{neighbour}, the gateway to {address}, does not answer {protocol} on {link}")
    }
}

#[cfg(test)]
mod tests;
