//! Owns the macvlan interfaces that carry the MAC address of a virtual router, and the settings that go with them.
//! Refuses to touch an interface that does not have such an address, and puts no addresses on any.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use tracing::{info, warn};

use super::links::Link;
use super::netlink::facts::Macvlan;
use super::netlink::{self, Requests};
use super::sysctl;
use crate::config::model::vrrp::Family;

/// The MAC address of a virtual router, RFC 5798 section 7.3.
pub const fn virtual_mac(family: Family, virtual_router_id: u8) -> [u8; 6] {
    let family = match family {
        Family::V4 => 1,
        Family::V6 => 2,
    };
    [0, 0, 0x5e, 0, family, virtual_router_id]
}

/// Why there is no such interface.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The interface it is to be on is missing.
    #[error("{name} cannot be made: interface {parent} does not exist")]
    NoParent {
        /// The virtual interface.
        name: String,
        /// The one it is to be on.
        parent: String,
    },
    /// Something else has the name.
    #[error(
        "{name} cannot be made: there is an interface with this name that is not for a virtual router; name another \
         with `use_vmac`"
    )]
    Taken {
        /// The name.
        name: String,
    },
    /// Netlink failed, or the kernel says no.
    #[error("virtual interface {name}: {source}")]
    Netlink {
        /// The virtual interface.
        name: String,
        /// Why.
        source: netlink::Error,
    },
}

/// The virtual interfaces of this process. They stay when it is dropped.
#[derive(Debug, Default)]
pub struct Vmacs {
    parents: BTreeMap<String, Parent>,
}

/// An interface that carries virtual ones.
#[derive(Debug, Default)]
struct Parent {
    names: BTreeSet<String>,
    /// The values of its settings before they were changed.
    before: BTreeMap<&'static str, i64>,
}

/// What a parent needs at the least, so that its own MAC address is never taken for that of an address on a virtual
/// interface: it answers ARP requests for addresses of its own only, and asks in the name of such a one.
const PARENT_SETTINGS: [(&str, i64); 2] = [("arp_ignore", 1), ("arp_announce", 2)];

impl Vmacs {
    /// Sees that there is an interface `name` with the MAC address `mac` on `parent`, switched on; one that is there
    /// already is kept, also one of an earlier process or of keepalived. To be called again when `parent` was made
    /// anew, since then its virtual interfaces are gone.
    ///
    /// It hears and sends on the wire of `parent`, but not what `parent` itself sends (macvlan in private mode). It
    /// gets no address, not even a link-local one. For an address on it, ARP tells its MAC address alone; to that end
    /// `arp_ignore` of `parent` becomes 1 if it was 0, and `arp_announce` 2. A setting that cannot be changed is
    /// logged.
    ///
    /// Opens its sockets and files in the network namespace of the calling thread.
    ///
    /// # Errors
    /// When `parent` is missing, when the name is taken, and when the kernel says no.
    pub async fn ensure(&mut self, parent: &str, name: &str, mac: [u8; 6]) -> Result<Link, Error> {
        let no = |source| Error::Netlink { name: name.to_owned(), source };
        let requests = Requests::open().map_err(no)?;
        let links = requests.links().await.map_err(no)?;
        let index = |wanted| links.iter().find(|link| link.name == wanted).map(|link| link.index);
        let on = index(parent)
            .ok_or_else(|| Error::NoParent { name: name.to_owned(), parent: parent.to_owned() })?;
        let there = find(&requests, name, index(name).is_some()).await?;
        let fits = |there: &Macvlan| there.parent == Some(on) && there.link.mac == Some(mac) && there.private;
        let there = match there {
            Some(there) if fits(&there) => there,
            other => {
                if let Some(other) = other {
                    requests.remove_link(other.link.index).await.map_err(no)?;
                }
                requests.add_macvlan(name, on, mac).await.map_err(no)?;
                info!(name, parent, "virtual interface made");
                find(&requests, name, true)
                    .await?
                    .ok_or_else(|| no(netlink::Error::Unexpected("show an interface")))?
            }
        };
        settle(name);
        self.claim(parent, name);
        requests.set_up(there.link.index).await.map_err(no)?;
        Ok(there.link)
    }

    /// Removes the interface `name`, also one of an earlier process, and with it what is on it. When it was the last on
    /// its parent, the parent has its own settings again. Without such an interface it does nothing.
    ///
    /// # Errors
    /// When the kernel says no; the parent's settings are restored regardless.
    pub async fn remove(&mut self, name: &str) -> Result<(), Error> {
        self.leave(name);
        let no = |source| Error::Netlink { name: name.to_owned(), source };
        let requests = Requests::open().map_err(no)?;
        let exists = requests.links().await.map_err(no)?.iter().any(|link| link.name == name);
        if let Some(there) = find(&requests, name, exists).await? {
            requests.remove_link(there.link.index).await.map_err(no)?;
            info!(name, "virtual interface removed");
        }
        Ok(())
    }

    /// Removes every interface that was asked for with [`Self::ensure`]; a failure is logged.
    pub async fn remove_all(&mut self) {
        let names: Vec<String> = self.parents.values().flat_map(|parent| parent.names.clone()).collect();
        for name in names {
            if let Err(error) = self.remove(&name).await {
                warn!(%error, "a virtual interface stays");
            }
        }
    }

    fn claim(&mut self, parent: &str, name: &str) {
        let users = self.parents.entry(parent.to_owned()).or_default();
        users.names.insert(name.to_owned());
        for (setting, value) in PARENT_SETTINGS {
            match sysctl::get("ipv4", parent, setting) {
                Ok(before) if before < value => {
                    set("ipv4", parent, setting, value);
                    users.before.insert(setting, before);
                }
                Ok(_) => {}
                Err(error) => warn!(interface = parent, setting, %error, "a kernel setting cannot be read"),
            }
        }
    }

    fn leave(&mut self, name: &str) {
        self.parents.retain(|parent, users| {
            let last = users.names.remove(name) && users.names.is_empty();
            if last {
                for (setting, before) in &users.before {
                    set("ipv4", parent, setting, *before);
                }
            }
            !users.names.is_empty()
        });
    }
}

/// The interface of a virtual router with this name.
async fn find(requests: &Requests, name: &str, exists: bool) -> Result<Option<Macvlan>, Error> {
    if !exists {
        return Ok(None);
    }
    let there = requests.macvlan(name).await;
    let there = there.map_err(|source| Error::Netlink { name: name.to_owned(), source })?;
    let virtual_mac = |link: &Link| matches!(link.mac, Some([0, 0, 0x5e, 0, 1 | 2, _]));
    match there {
        Some(there) if virtual_mac(&there.link) => Ok(Some(there)),
        _ => Err(Error::Taken { name: name.to_owned() }),
    }
}

/// What the virtual interface needs to hear, and to answer for what is on it and nothing else.
fn settle(name: &str) {
    set("ipv4", name, "arp_ignore", 1);
    set("ipv4", name, "accept_local", 1);
    // What comes in here is answered through the parent. The stricter of this and the setting for all interfaces is
    // in force, and by its number loose (2) is the stricter of loose and strict (1).
    let all = sysctl::get("ipv4", "all", "rp_filter").unwrap_or(0);
    set("ipv4", name, "rp_filter", if all == 0 { 0 } else { 2 });
    set("ipv4", name, "promote_secondaries", 1);
    // Both routers would make the same link-local address out of the virtual MAC address. Without IPv6 in the kernel
    // there is none to make.
    for (setting, value) in [("addr_gen_mode", 1), ("accept_ra", 0), ("autoconf", 0)] {
        if sysctl::get("ipv6", name, setting).is_ok() {
            set("ipv6", name, setting, value);
        }
    }
}

fn set(family: &str, interface: &str, setting: &str, value: i64) {
    match sysctl::set(family, interface, setting, value) {
        Ok(before) if before != value => info!(interface, setting, before, value, "kernel setting changed"),
        Ok(_) => {}
        // It went away with its settings.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => warn!(interface, setting, value, %error, "a kernel setting cannot be changed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_addresses() {
        assert_eq!(virtual_mac(Family::V4, 51), [0, 0, 0x5e, 0, 1, 51]);
        assert_eq!(virtual_mac(Family::V6, 255), [0, 0, 0x5e, 0, 2, 255]);
    }
}
