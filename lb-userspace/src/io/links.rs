//! Owns what is known about network interfaces by name: what there is now, and what changes.
//! Refuses to configure them.

pub use crate::carrier::Carrier;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::error;

use super::netlink::{self, Event, Events, Group, Requests};

mod driver;

pub use driver::driver;

/// Changes that may wait for the reader. When it is full, each interface waits with its newest state and the states
/// between are never reported.
const CHANGE_QUEUE: usize = 16;

/// From a failure of netlink itself to the next try.
const REOPEN_DELAY: Duration = Duration::from_secs(1);

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name, as `ip link` shows it.
    pub name: String,
    /// Its number in this network namespace.
    pub index: u32,
    /// Its Ethernet address; nothing if it is not an Ethernet interface.
    pub mac: Option<[u8; 6]>,
    /// Largest layer 3 packet in bytes.
    pub mtu: u32,
    /// Whether it can carry frames.
    pub carrier: Carrier,
    /// What kind of virtual interface it is (`veth`, `bridge`, `vlan`); nothing for hardware.
    pub kind: Option<String>,
}

/// The present state of an interface that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkChange {
    /// The watched name.
    pub name: String,
    /// What has this name now. Another index than before means that the interface was made anew.
    pub link: Option<Link>,
}

/// Why there is no such interface to tell about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No interface has this name.
    #[error("interface {name} does not exist; there are: {}", Names(existing))]
    NotFound {
        /// What was looked for.
        name: String,
        /// The names there are.
        existing: Vec<String>,
    },
    /// Netlink failed.
    #[error("cannot list the network interfaces: {0}")]
    Netlink(#[from] netlink::Error),
}

/// All interfaces of the network namespace of the calling thread, in the order of their indexes.
///
/// # Errors
/// When netlink fails.
pub async fn list() -> Result<Vec<Link>, Error> {
    let mut links = Requests::open()?.links().await?;
    links.sort_by_key(|link| link.index);
    Ok(links)
}

/// The interface with this name.
///
/// # Errors
/// When there is none, with the names of those there are, or when netlink fails.
pub async fn find(name: &str) -> Result<Link, Error> {
    pick(list().await?, name)
}

fn pick(links: Vec<Link>, name: &str) -> Result<Link, Error> {
    let existing = links.iter().map(|link| link.name.clone()).collect();
    links
        .into_iter()
        .find(|link| link.name == name)
        .ok_or_else(|| Error::NotFound { name: name.to_owned(), existing })
}

/// Reports the state of each named interface, existing or not, once at the start and then when it changes.
/// Ends when the receiver is dropped. Needs a Tokio runtime with I/O and time. The sockets are opened in the network
/// namespace of the calling thread; should netlink break, they are opened again on the thread that runs the task.
///
/// # Errors
/// When the netlink sockets cannot be made.
pub fn watch<N>(names: N) -> Result<mpsc::Receiver<LinkChange>, Error>
where
    N: IntoIterator<Item = String>,
{
    let sockets = Sockets::open()?;
    let (changes, reader) = mpsc::channel(CHANGE_QUEUE);
    tokio::spawn(run(sockets, Watched::new(names), changes));
    Ok(reader)
}

struct Sockets {
    events: Events,
    requests: Requests,
}

impl Sockets {
    fn open() -> Result<Self, netlink::Error> {
        Ok(Self { events: Events::open(Group::Links)?, requests: Requests::open()? })
    }
}

async fn run(sockets: Sockets, mut watched: Watched, changes: mpsc::Sender<LinkChange>) {
    let mut sockets = Ok(sockets);
    loop {
        let ended = match sockets {
            Ok(mut sockets) => follow(&mut sockets, &mut watched, &changes).await,
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
    changes: &mpsc::Sender<LinkChange>,
) -> Result<(), netlink::Error> {
    watched.replace(sockets.requests.links().await?);
    loop {
        tokio::select! {
            event = sockets.events.next() => match event? {
                Event::Link(link) => watched.put(link),
                Event::LinkGone { index } => watched.remove(index),
                Event::Overrun => watched.replace(sockets.requests.links().await?),
                Event::Neighbour(_)
                | Event::NeighbourGone { .. }
                | Event::Address(_)
                | Event::AddressGone(_)
                | Event::Routes(_) => {}
            },
            permit = changes.reserve(), if watched.has_change() => {
                let Ok(permit) = permit else { return Ok(()) };
                if let Some(change) = watched.take_change() {
                    permit.send(change);
                }
            }
            () = changes.closed() => return Ok(()),
        }
    }
}

/// What was said about a name last.
enum Reported {
    Nothing,
    Absent,
    Present(Link),
}

/// The links there are, and what was reported of the watched ones.
struct Watched {
    links: BTreeMap<u32, Link>,
    reported: BTreeMap<String, Reported>,
}

impl Watched {
    fn new(names: impl IntoIterator<Item = String>) -> Self {
        let reported = names.into_iter().map(|name| (name, Reported::Nothing)).collect();
        Self { links: BTreeMap::new(), reported }
    }

    fn replace(&mut self, links: Vec<Link>) {
        self.links = links.into_iter().map(|link| (link.index, link)).collect();
    }

    fn put(&mut self, link: Link) {
        self.links.insert(link.index, link);
    }

    fn remove(&mut self, index: u32) {
        self.links.remove(&index);
    }

    fn change(&self) -> Option<LinkChange> {
        self.reported.iter().find_map(|(name, reported)| {
            let now = self.links.values().find(|link| link.name == *name);
            let known = match reported {
                Reported::Nothing => false,
                Reported::Absent => now.is_none(),
                Reported::Present(link) => now == Some(link),
            };
            (!known).then(|| LinkChange { name: name.clone(), link: now.cloned() })
        })
    }

    fn has_change(&self) -> bool {
        self.change().is_some()
    }

    fn take_change(&mut self) -> Option<LinkChange> {
        let change = self.change()?;
        let reported = change.link.clone().map_or(Reported::Absent, Reported::Present);
        self.reported.insert(change.name.clone(), reported);
        Some(change)
    }
}

/// Names with commas between them.
struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

#[cfg(test)]
mod tests;
