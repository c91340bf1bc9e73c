//! Owns what VRRP needs to know of interfaces: whether each is up, and the address its adverts come from.
//! Refuses to configure them, and to decide what it means for a router.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::{mpsc, watch as latest};
use tracing::{debug, error, warn};

use super::links::{Carrier, Link};
use super::netlink::facts::HostAddress;
use super::netlink::{Error, Event, Events, Group, Requests};
use crate::config::model::vrrp::Family;

#[cfg(test)]
mod tests;

/// Facts that may wait for the reader. When it is full, each waits as it is newest and those between are never told.
const FACT_QUEUE: usize = 64;

/// From a failure of netlink itself to the next try.
const REOPEN_DELAY: Duration = Duration::from_secs(1);

/// What is true of an interface now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The interface itself.
    Interface {
        /// The watched name.
        name: String,
        /// Whether it is there, switched on, and has a carrier.
        up: bool,
        /// Its number in this network namespace; another than before means that it was made anew.
        index: Option<u32>,
        /// Its Ethernet address, if it has one.
        mac: Option<[u8; 6]>,
    },
    /// The host's own address from which an advert leaves by this interface.
    Source {
        /// The watched name.
        interface: String,
        /// IPv4: the first address of the interface; IPv6: a link-local address known to be unique.
        family: Family,
        /// The address; it is there whether the interface is up or not.
        address: Option<IpAddr>,
    },
    /// Whether the host has an address, on whichever interface.
    Host {
        /// The address.
        address: IpAddr,
        /// Whether it is there, and known to be unique.
        present: bool,
    },
}

/// What is to be told of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Interfaces.
    pub names: BTreeSet<String>,
    /// Addresses that come and go with mastership.
    pub virtual_addresses: BTreeSet<IpAddr>,
    /// Addresses of which it matters whether the host has them.
    pub hosts: BTreeSet<IpAddr>,
}

/// Changes what is told of; the watch goes on when this is dropped.
#[derive(Debug)]
pub struct Watching(latest::Sender<Wanted>);

impl Watching {
    /// From now on tells of these: at once of what is new, and of the rest when it changes.
    pub fn change(&self, wanted: Wanted) {
        self.0.send_replace(wanted);
    }
}

/// Tells three facts about each of the names, whether there is such an interface or not, and then each that changes.
/// An interface or source address that went away is told again even if it came back before anybody heard of that, because
/// sockets have lost their groups. Of one name, the fact about the interface comes before those about its addresses. Tells of each of
/// the hosts whether it is there in the same way.
///
/// One of the virtual addresses is a source only if there is no other.
///
/// Ends when the receiver is dropped. Needs a Tokio runtime with I/O and time. The sockets are opened in the network
/// namespace of the calling thread; should netlink break, they are opened again on the thread that runs the task.
///
/// # Errors
/// When the netlink sockets cannot be made.
pub fn watch(wanted: Wanted) -> Result<(Watching, mpsc::Receiver<Fact>), Error> {
    let sockets = Sockets::open()?;
    let (facts, reader) = mpsc::channel(FACT_QUEUE);
    let mut watched = Watched::default();
    watched.want(wanted);
    let (changes, changed) = latest::channel(Wanted::default());
    tokio::spawn(run(sockets, watched, changed, facts));
    Ok((Watching(changes), reader))
}

struct Sockets {
    events: Events,
    requests: Requests,
}

impl Sockets {
    fn open() -> Result<Self, Error> {
        Ok(Self { events: Events::open(Group::Interfaces)?, requests: Requests::open()? })
    }
}

async fn run(
    sockets: Sockets,
    mut watched: Watched,
    mut changed: latest::Receiver<Wanted>,
    facts: mpsc::Sender<Fact>,
) {
    let mut sockets = Ok(sockets);
    loop {
        let ended = match sockets {
            Ok(mut sockets) => follow(&mut sockets, &mut watched, &mut changed, &facts).await,
            Err(error) => Err(error),
        };
        let Err(error) = ended else { return };
        error!(%error, "what is known of interfaces may be out of date; trying again in 1 s");
        tokio::time::sleep(REOPEN_DELAY).await;
        sockets = Sockets::open();
    }
}

/// Runs until nobody wants to know any more, or until netlink fails.
async fn follow(
    sockets: &mut Sockets,
    watched: &mut Watched,
    changed: &mut latest::Receiver<Wanted>,
    facts: &mpsc::Sender<Fact>,
) -> Result<(), Error> {
    watched.replace(sockets.requests.links().await?, sockets.requests.addresses().await?);
    loop {
        tokio::select! {
            event = sockets.events.next() => match event? {
                Event::Overrun => {
                    warn!("kernel events were lost; looking at all interfaces and addresses again");
                    watched.replace(sockets.requests.links().await?, sockets.requests.addresses().await?);
                }
                event => watched.handle(event),
            },
            permit = facts.reserve(), if watched.news().is_some() => {
                let Ok(permit) = permit else { return Ok(()) };
                if let Some(fact) = watched.tell() {
                    debug!(?fact, "interface");
                    permit.send(fact);
                }
            }
            Ok(()) = changed.changed() => watched.want(changed.borrow_and_update().clone()),
            () = facts.closed() => return Ok(()),
        }
    }
}

/// What there is, and what was told of it.
#[derive(Default)]
struct Watched {
    links: BTreeMap<u32, Link>,
    /// In the order of the kernel, as far as that is known.
    addresses: Vec<HostAddress>,
    virtual_addresses: BTreeSet<IpAddr>,
    /// Those that are no longer virtual but still on the host: somebody is about to take them away.
    leftovers: BTreeSet<IpAddr>,
    told: BTreeMap<String, [Option<Fact>; 3]>,
    told_hosts: BTreeMap<IpAddr, Option<bool>>,
}

impl Watched {
    /// What was told of what stays is not told again.
    fn want(&mut self, wanted: Wanted) {
        let before = std::mem::replace(&mut self.virtual_addresses, wanted.virtual_addresses);
        let is_there = |address: &IpAddr| self.addresses.iter().any(|known| known.address == *address);
        let leftovers = self.leftovers.union(&before).copied();
        self.leftovers = leftovers
            .filter(|address| is_there(address) && !self.virtual_addresses.contains(address))
            .collect();
        let mut told = std::mem::take(&mut self.told);
        self.told = wanted
            .names
            .into_iter()
            .map(|name| (name.clone(), told.remove(&name).unwrap_or_default()))
            .collect();
        let mut told = std::mem::take(&mut self.told_hosts);
        self.told_hosts =
            wanted.hosts.into_iter().map(|address| (address, told.remove(&address).flatten())).collect();
    }

    fn replace(&mut self, links: Vec<Link>, addresses: Vec<HostAddress>) {
        self.links = links.into_iter().map(|link| (link.index, link)).collect();
        self.addresses = addresses;
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Link(link) => {
                self.links.insert(link.index, link);
            }
            Event::LinkGone { index } => {
                if let Some(told) = self.links.remove(&index).and_then(|link| self.told.get_mut(&link.name)) {
                    told[0] = None;
                }
                self.addresses.retain(|address| address.index != index);
            }
            Event::Address(new) => match self.addresses.iter_mut().find(|old| same(old, &new)) {
                Some(old) => *old = new,
                None => self.addresses.push(new),
            },
            Event::AddressGone(gone) => {
                self.addresses.retain(|address| !same(address, &gone));
                self.leftovers.remove(&gone.address);
                for told in self.told.values_mut().flatten() {
                    if matches!(told, Some(Fact::Source { address, .. }) if *address == Some(gone.address)) {
                        *told = None;
                    }
                }
            }
            Event::Neighbour(_) | Event::NeighbourGone { .. } | Event::Routes(_) | Event::Overrun => {}
        }
    }

    /// The next that is not told yet.
    fn news(&self) -> Option<Fact> {
        let of_interfaces = self.told.iter().flat_map(|(name, told)| {
            let differs = |(fact, told): &(Fact, &Option<Fact>)| told.as_ref() != Some(fact);
            self.facts(name, told).into_iter().zip(told).filter(differs).map(|(fact, _)| fact)
        });
        let of_hosts = self.told_hosts.iter().filter_map(|(&address, told)| {
            let present = self.addresses.iter().any(|known| known.address == address && !known.doubtful);
            (*told != Some(present)).then_some(Fact::Host { address, present })
        });
        of_interfaces.chain(of_hosts).next()
    }

    fn tell(&mut self) -> Option<Fact> {
        let fact = self.news()?;
        let told = match &fact {
            Fact::Interface { name, .. } => self.told.get_mut(name).map(|told| &mut told[0]),
            Fact::Source { interface, family: Family::V4, .. } => {
                self.told.get_mut(interface).map(|told| &mut told[1])
            }
            Fact::Source { interface, family: Family::V6, .. } => {
                self.told.get_mut(interface).map(|told| &mut told[2])
            }
            Fact::Host { address, present } => {
                self.told_hosts.insert(*address, Some(*present));
                None
            }
        };
        if let Some(told) = told {
            *told = Some(fact.clone());
        }
        Some(fact)
    }

    fn facts(&self, name: &str, told: &[Option<Fact>; 3]) -> [Fact; 3] {
        let link = self.links.values().find(|link| link.name == name);
        let interface = Fact::Interface {
            name: name.to_owned(),
            up: link.is_some_and(|link| link.carrier == Carrier::Up),
            index: link.map(|link| link.index),
            mac: link.and_then(|link| link.mac),
        };
        let source = |family, told: &Option<Fact>| {
            let before = match told {
                Some(Fact::Source { address, .. }) => *address,
                _ => None,
            };
            let address = link.and_then(|link| self.source(link.index, family, before));
            Fact::Source { interface: name.to_owned(), family, address }
        };
        let [_, v4, v6] = told;
        [interface, source(Family::V4, v4), source(Family::V6, v6)]
    }

    /// The first of the best addresses, or the one it was `before` if that is as good.
    fn source(&self, index: u32, family: Family, before: Option<IpAddr>) -> Option<IpAddr> {
        let fits = |address: &&HostAddress| {
            address.index == index
                && match address.address {
                    IpAddr::V4(_) => family == Family::V4,
                    // RFC 5798 section 5.1.2.1.
                    IpAddr::V6(v6) => family == Family::V6 && v6.is_unicast_link_local() && !address.doubtful,
                }
        };
        let worse = |address: &&HostAddress| {
            let alone = address.prefix == if address.address.is_ipv4() { 32 } else { 128 };
            let other = before != Some(address.address);
            let unwanted = self.virtual_addresses.contains(&address.address)
                || self.leftovers.contains(&address.address);
            (unwanted, address.secondary, alone, address.scope, other)
        };
        self.addresses.iter().filter(fits).min_by_key(worse).map(|address| address.address)
    }
}

/// An IPv4 address can be on an interface more than once, with another length of prefix each time.
fn same(one: &HostAddress, other: &HostAddress) -> bool {
    (one.index, one.address, one.prefix) == (other.index, other.address, other.prefix)
}
