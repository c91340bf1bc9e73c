//! What joins the parts of a lab: bridges in a namespace of their own, and veth pairs plugged into them.

use anyhow::Result;

use crate::cable;
use crate::netns::Netns;
use crate::polling::Polling;

/// A namespace with bridges.
#[derive(Debug)]
pub struct Switch {
    // Dropped before the namespace with their interfaces.
    polled: Vec<Polling>,
    netns: Netns,
}

impl Switch {
    /// A switch without bridges in the new namespace `name`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(name: &str) -> Result<Self> {
        Ok(Self { polled: Vec::new(), netns: Netns::create(name)? })
    }

    /// Its namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Adds a bridge that floods every group and forwards from the start.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn add_bridge(&self, name: &str) -> Result<()> {
        self.netns
            .ip(&format!("link add {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"))?;
        self.netns.ip(&format!("link set {name} up")).map(drop)
    }

    /// Puts `interface` with `addresses` into `netns`, its peer `port` on `bridge`.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn plug(
        &self,
        bridge: &str,
        port: &str,
        netns: &Netns,
        interface: &str,
        addresses: &[String],
    ) -> Result<()> {
        self.netns.ip(&format!("link add {port} type veth peer name {interface} netns {}", netns.name()))?;
        self.netns.ip(&format!("link set {port} master {bridge} up"))?;
        for address in addresses {
            netns.ip(&format!("addr add {address} dev {interface}"))?;
        }
        netns.ip(&format!("link set {interface} up")).map(drop)
    }

    /// Makes `port` take what an XDP program at its other end sends.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn poll(&mut self, port: &str) -> Result<()> {
        self.polled.push(Polling::start(&self.netns, port)?);
        Ok(())
    }

    /// Lets other programs take the place of those of [`Self::poll`].
    pub fn give_way(&mut self) {
        self.polled.clear();
    }

    /// Takes the link of `port` down, as if the cable were pulled, or puts it back.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_link(&self, port: &str, link: Link) -> Result<()> {
        self.netns.enter(|| cable::set_link(port, link))
    }
}

/// Whether a cable is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It is.
    Up,
    /// It is not.
    Down,
}
