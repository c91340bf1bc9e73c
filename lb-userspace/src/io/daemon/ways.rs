//! The ways to real servers: what is found out of them, as the maps hold it; and the interfaces that they go through.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use anyhow::Context as _;
use lb_common::layout::NextHop;
use tokio::{sync::mpsc, time::timeout_at};
use tracing::{info, warn};

use super::{Daemon, Inputs};
use crate::{
    config::Config,
    control::{Director, Event, Way},
    io::{
        links::{Link, LinkChange},
        nexthop::Resolution,
        source::Source,
    },
    plan::{Difference, Wanted},
};

impl Daemon {
    /// MAC address and MTU are part of the program's constants and an interface made anew has lost the program: all
    /// these need a new one in its place, which goes on all interfaces at once and so waits until all are there.
    pub(super) fn link(&mut self, change: &LinkChange) -> anyhow::Result<()> {
        let Some(known) = self.interfaces.iter_mut().find(|link| link.name == change.name) else {
            return Ok(());
        };
        match &change.link {
            None => {
                warn!(interface = %change.name, "is gone; nothing is forwarded through it");
                self.gone.insert(change.name.clone());
                return Ok(());
            }
            Some(link) => {
                let was_gone = self.gone.remove(&link.name);
                if was_gone || (link.index, link.mac, link.mtu) != (known.index, known.mac, known.mtu) {
                    info!(interface = %link.name, "has another MAC address or MTU or was made anew: the program is put on it again");
                    *known = link.clone();
                    self.is_outdated = true;
                }
            }
        }
        if self.is_outdated && self.gone.is_empty() {
            self.early_fragments = None;
            self.datapath.replace(&self.interfaces).context("replacing the XDP program")?;
            self.restart_early_fragments();
            self.is_outdated = false;
        }
        Ok(())
    }

    /// Waits for the ways to real servers that are new, as a start does: who is to get connections is found first.
    pub(super) async fn find_out(&mut self, difference: &Difference, inputs: &mut Inputs) {
        let come: BTreeSet<IpAddr> = difference.servers_that_come().map(|(_, server)| server.rip).collect();
        self.next_hops.change(&come, &BTreeSet::new());
        let mut missing = come.clone();
        missing.retain(|address| !self.resolutions.borrow().contains_key(address));
        if missing.is_empty() {
            return;
        }
        for (address, resolution) in first_resolutions(&mut inputs.ways, missing).await {
            if come.contains(&address) || self.director.names(address) {
                self.way(address, resolution);
            }
        }
    }

    /// Forgets the ways to real servers that are gone, or have not come after all.
    pub(super) fn forget_ways(&self, difference: &Difference) {
        let named = difference.servers_that_come().chain(difference.servers_that_go());
        let mut unused: BTreeSet<IpAddr> = named.map(|(_, server)| server.rip).collect();
        unused.retain(|address| !self.director.names(*address));
        self.resolutions.send_if_modified(|known| {
            let removed = unused.iter().filter_map(|address| known.remove(address));
            removed.count() > 0
        });
        self.next_hops.change(&BTreeSet::new(), &unused);
    }

    /// The director with the ways through other interfaces, which need another program in any case.
    pub(super) fn through(&self, interfaces: &[Link]) -> Director {
        let mut director = self.director.clone();
        for (rip, resolution) in &*self.resolutions.borrow() {
            director.handle(&Event::Way(*rip, way(interfaces, resolution)));
        }
        director
    }
}

/// How long a start waits for the real servers' MAC addresses.
const FIRST_RESOLUTION: Duration = Duration::from_secs(1);

/// Waits until every address is resolved, or long enough: a daemon that takes over must not begin by dropping.
pub(super) async fn first_resolutions(
    ways: &mut mpsc::Receiver<(IpAddr, Resolution)>,
    mut missing: BTreeSet<IpAddr>,
) -> Vec<(IpAddr, Resolution)> {
    let deadline = tokio::time::Instant::now() + FIRST_RESOLUTION;
    let mut known = Vec::new();
    while !missing.is_empty() {
        let Ok(Some((address, resolution))) = timeout_at(deadline, ways.recv()).await else { break };
        if !matches!(resolution, Resolution::Unresolved { .. }) {
            missing.remove(&address);
        }
        known.push((address, resolution));
    }
    known
}

/// The addresses of all real servers.
pub(super) fn addresses(wanted: &[Wanted]) -> BTreeSet<IpAddr> {
    wanted.iter().flat_map(|service| service.servers.iter().map(|server| server.rip)).collect()
}

/// The way to a real server through the interfaces there are.
pub(super) fn way(interfaces: &[Link], resolution: &Resolution) -> Way {
    match resolution {
        Resolution::Local => Way::Local,
        Resolution::Resolved { mac, ifindex } => {
            match interfaces.iter().position(|link| link.index == *ifindex) {
                Some(port) => Way::Through(NextHop { mac: *mac, port: port as u16 }),
                None => Way::None(format!(
                    "it is reached through {}, which xlvs does not run on: name it with --iface",
                    interface(*ifindex)
                )),
            }
        }
        Resolution::Unresolved { reason } => Way::None(reason.clone()),
    }
}

/// An interface that xlvs does not run on, for people.
fn interface(index: u32) -> String {
    let name = nix::net::if_::if_indextoname(index).ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| format!("interface {index}"))
}

/// The interfaces to forward through, each once and in order.
pub(super) fn names(source: &Source, named: &[String], config: &Config) -> anyhow::Result<BTreeSet<String>> {
    let names: BTreeSet<String> = if named.is_empty() {
        config.interfaces().into_iter().map(str::to_owned).collect()
    } else {
        named.iter().cloned().collect()
    };
    let file = source.path().display();
    anyhow::ensure!(
        !names.is_empty(),
        "{file} has no vrrp_instance that names an interface: name one with --iface"
    );
    Ok(names)
}
