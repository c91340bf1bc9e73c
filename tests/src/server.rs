//! A real server: a namespace with the virtual address on its loopback, and nginx in it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::family::{self, Family, LAN};
use crate::netns::Netns;
use crate::nginx::Nginx;

/// The name of the file behind `/big` in a lab's directory.
pub(crate) const BIG: &str = "big";

/// A real server: its namespace and its nginx.
#[derive(Debug)]
pub struct RealServer {
    /// Its address.
    pub address: Ipv4Addr,
    number: u8,
    netns: Netns,
    nginx: Nginx,
}

impl RealServer {
    /// Starts nginx, with its files below `dir`, in a namespace that is connected already as host `number`.
    pub(crate) fn start_new(name: &str, number: u8, netns: Netns, dir: &Path) -> Result<Self> {
        let nginx = Nginx::prepare(name, &dir.join(name), &dir.join(BIG))?;
        let mut server = Self { address: family::v4(LAN, number), number, netns, nginx };
        server.start()?;
        Ok(server)
    }

    /// Its address in `family`.
    pub fn address_in(&self, family: Family) -> IpAddr {
        family.host(LAN, self.number)
    }

    /// The namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Its nginx.
    pub fn nginx(&self) -> &Nginx {
        &self.nginx
    }

    /// The name it answers with.
    pub fn name(&self) -> &str {
        self.nginx.name()
    }

    /// The largest packet that it may send to `destination` from its virtual address, once it was told of one.
    ///
    /// # Errors
    /// When it has no way there.
    pub fn path_mtu(&self, destination: IpAddr) -> Result<Option<usize>> {
        let routes = self.netns.ip(&format!("-j -d route get {destination}"))?;
        let routes: serde_json::Value = serde_json::from_str(&routes).context("`ip -j route get`")?;
        let mtu = routes[0]["metrics"][0]["mtu"].as_u64();
        Ok(mtu.map(usize::try_from).transpose()?)
    }

    /// Starts nginx.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(&mut self) -> Result<()> {
        self.nginx.start(&self.netns)
    }

    /// Stops nginx; the address stays.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.nginx.stop()
    }
}

/// Makes `netns` answer ARP only for addresses of the interface that is asked: to be called before it gets a virtual
/// address, so that nobody ever learns it from here.
pub(crate) fn hide_from_arp(netns: &Netns) -> Result<()> {
    for scope in ["all", "lo"] {
        netns.sysctl(&format!("ipv4/conf/{scope}/arp_ignore"), "1")?;
        netns.sysctl(&format!("ipv4/conf/{scope}/arp_announce"), "2")?;
    }
    Ok(())
}
