//! A real server: a namespace with the virtual address on its loopback, and nginx in it.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Result;

use crate::netns::Netns;
use crate::nginx::Nginx;

/// The name of the file behind `/big` in a lab's directory.
pub(crate) const BIG: &str = "big";

/// A real server: its namespace and its nginx.
#[derive(Debug)]
pub struct RealServer {
    /// Its address.
    pub address: Ipv4Addr,
    netns: Netns,
    nginx: Nginx,
}

impl RealServer {
    /// Starts nginx, with its files below `dir`, in a namespace that is connected already.
    pub(crate) fn start_new(name: &str, address: Ipv4Addr, netns: Netns, dir: &Path) -> Result<Self> {
        let nginx = Nginx::prepare(name, &dir.join(name), &dir.join(BIG))?;
        let mut server = Self { address, netns, nginx };
        server.start()?;
        Ok(server)
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
