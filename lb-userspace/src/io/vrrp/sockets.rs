//! Owns which sockets are open: those that some router listens or sends on, each opened as soon as it can be.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::channel::{Channel, Key};
use super::reports::Reports;
use super::station::Station;
use crate::vrrp::RouterId;

/// From a failure to open a socket to the next try.
const REOPEN: Duration = Duration::from_secs(1);

/// The open sockets, and when to see what is missing.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    open: BTreeMap<Arc<Key>, Listener>,
    look_at: Option<Instant>,
}

/// An open socket and the routers that listen to it, by VRID.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) channel: Channel,
    pub(super) routers: BTreeMap<u8, RouterId>,
}

impl Sockets {
    /// When [`Self::open`] wants to be called.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.look_at
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Listener> {
        self.open.get(key)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Arc<Key>, BorrowedFd<'_>)> {
        self.open.iter().map(|(key, listener)| (key, listener.channel.as_fd()))
    }

    /// Closes these, to be opened anew: a socket is bound to the link that was, not to its name, and its membership in a
    /// group ends unseen when the link loses its addresses or leaves this network namespace, even if it comes back with
    /// the same index. The close must come first: it would end the membership of a new socket.
    pub(super) fn close(&mut self, now: Instant, which: impl Fn(&Key) -> bool) {
        self.open.retain(|key, _| !which(key));
        self.look(now);
    }

    /// What is wanted may be another.
    pub(super) fn look(&mut self, now: Instant) {
        self.look_at = Some(now);
    }

    /// Opens what is wanted and not open, closes what nobody wants, when it is time to look. `index` is that of a link,
    /// if it is there.
    pub(super) fn open<'a>(
        &mut self,
        now: Instant,
        stations: impl Iterator<Item = (RouterId, &'a Station)>,
        index: impl Fn(&str) -> Option<u32>,
        reports: &mut Reports,
    ) {
        if self.look_at.is_none_or(|at| at > now) {
            return;
        }
        self.look_at = None;
        let wanted = wanted(stations);
        self.open.retain(|key, _| wanted.contains_key(&**key));
        for (key, routers) in wanted {
            if let Some(listener) = self.open.get_mut(&key) {
                listener.routers = routers;
                continue;
            }
            let link = match key.link().map(&index) {
                None => 0,
                Some(Some(index)) => index,
                // Its coming is told.
                Some(None) => continue,
            };
            let what = format!("opening the VRRP socket {key}");
            match Channel::open(&key, link) {
                Ok(channel) => {
                    reports.works(&what);
                    self.open.insert(Arc::new(key), Listener { channel, routers });
                }
                Err(error) => {
                    reports.fails(&what, &error.to_string());
                    self.look_at = Some(now + REOPEN);
                }
            }
        }
    }
}

/// The sockets that routers listen and send on, with those that listen.
fn wanted<'a>(
    stations: impl Iterator<Item = (RouterId, &'a Station)>,
) -> BTreeMap<Key, BTreeMap<u8, RouterId>> {
    let mut wanted: BTreeMap<Key, BTreeMap<u8, RouterId>> = BTreeMap::new();
    for (router, station) in stations {
        for key in station.listens() {
            wanted.entry(key).or_default().entry(station.format.vrid).or_insert(router);
        }
        if let Some(key) = station.sends() {
            wanted.entry(key).or_default();
        }
    }
    wanted
}
