//! A host of a site: a namespace with one interface on the switch, and the daemons started in it.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, anyhow};

use crate::daemon::{Daemon, Keepalived, Xlvs};
use crate::echo::UdpEcho;
use crate::frame::Mac;
use crate::netns::{Bind, Netns};
use crate::nginx::Nginx;
use crate::server::hide_from_arp;
use crate::wait;

/// One host.
#[derive(Debug)]
pub struct Node {
    name: String,
    interface: String,
    netns: Arc<Netns>,
    dir: PathBuf,
    pin_dir: PathBuf,
    binds: Mutex<Vec<Bind>>,
}

impl Node {
    pub(crate) fn new(name: &str, interface: &str, netns: Netns, dir: PathBuf, pin_dir: PathBuf) -> Self {
        let (name, interface) = (name.to_owned(), interface.to_owned());
        Self { name, interface, netns: Arc::new(netns), dir, pin_dir, binds: Mutex::default() }
    }

    /// Its name, which is that of its port on the switch too.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its interface on the switch.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Its namespace.
    pub fn netns(&self) -> &Arc<Netns> {
        &self.netns
    }

    /// A directory of its own, removed with the site.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where its daemon pins its maps.
    pub fn pin_dir(&self) -> &Path {
        &self.pin_dir
    }

    /// Starts `xlvs` on `config` and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become so.
    pub fn xlvs(&self, config: &str) -> Result<Daemon> {
        Ok(Daemon::Xlvs(Xlvs::start(self, &self.pin_dir, config, self.binds())?))
    }

    /// Starts keepalived's VRRP on `config` and waits until it runs.
    ///
    /// # Errors
    /// When it ends at once.
    pub fn keepalived(&self, config: &str) -> Result<Daemon> {
        Ok(Daemon::Keepalived(Keepalived::start(self, config, self.binds())?))
    }

    /// The addresses of `interface`.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn addresses(&self, interface: &str) -> Result<Vec<IpAddr>> {
        let links: serde_json::Value =
            serde_json::from_str(&self.netns.ip(&format!("-j addr show dev {interface}"))?)?;
        let addresses = links[0]["addr_info"].as_array().ok_or_else(|| anyhow!("no addresses: {links}"))?;
        addresses
            .iter()
            .filter_map(|address| address["local"].as_str())
            .map(|text| text.parse().with_context(|| text.to_owned()))
            .collect()
    }

    /// Whether its interface on the switch has `address`.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn holds(&self, address: IpAddr) -> Result<bool> {
        Ok(self.addresses(&self.interface)?.contains(&address))
    }

    /// Waits until it holds `address`.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn wait_held(&self, address: IpAddr) -> Result<()> {
        self.wait_holding(address, true)
    }

    /// Waits until it does not hold `address`.
    ///
    /// # Errors
    /// When it still does after the bound.
    pub fn wait_released(&self, address: IpAddr) -> Result<()> {
        self.wait_holding(address, false)
    }

    fn wait_holding(&self, address: IpAddr, wanted: bool) -> Result<()> {
        let what = format!("{} to {} {address}", self.name, if wanted { "hold" } else { "release" });
        wait::until(&what, wait::TAKEOVER, || {
            let held = self.addresses(&self.interface)?;
            Ok(if held.contains(&address) == wanted {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(format!("it has {held:?}"))
            })
        })
    }

    /// The MAC address of its interface on the switch.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn mac(&self) -> Result<Mac> {
        self.netns.mac(&self.interface)
    }

    /// Runs a program to its end and returns what it printed.
    ///
    /// # Errors
    /// When it cannot be run or fails.
    pub fn run(&self, command: &[&str]) -> Result<String> {
        let (program, arguments) = command.split_first().context("nothing to run")?;
        self.netns.run(program, arguments)
    }

    /// Makes it a real server: takes `vips` on its loopback without answering ARP for them, and starts nginx.
    ///
    /// # Errors
    /// When nginx does not answer.
    pub fn serve(&self, vips: &[IpAddr]) -> Result<Nginx> {
        self.take_hidden(vips)?;
        let mut nginx = Nginx::prepare(&self.name, &self.dir.join("nginx"), &self.dir.join("none"))?;
        nginx.start(&self.netns)?;
        Ok(nginx)
    }

    /// Makes it a real server that sends datagrams to `service` back; its address is taken as by [`Self::serve`].
    ///
    /// # Errors
    /// When the address cannot be taken.
    pub fn mirror(&self, service: SocketAddr) -> Result<UdpEcho> {
        self.take_hidden(&[service.ip()])?;
        UdpEcho::mirror(&self.netns, service)
    }

    fn take_hidden(&self, vips: &[IpAddr]) -> Result<()> {
        hide_from_arp(&self.netns)?;
        for vip in vips {
            self.netns.ip(&format!("addr add {vip} dev lo"))?;
        }
        Ok(())
    }

    /// Takes away an address that a daemon which was killed has left on its interface.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn clear(&self, address: IpAddr) -> Result<()> {
        if self.holds(address)? {
            let length = if address.is_ipv4() { 32 } else { 128 };
            self.netns.ip(&format!("addr del {address}/{length} dev {}", self.interface))?;
        }
        Ok(())
    }

    /// Lets daemons started from now on see the file or directory `own`, below [`Self::dir`], as `path`.
    ///
    /// # Errors
    /// When the machine has no `path` in whose place it could be.
    pub fn put_in_place(&self, own: &str, path: &str) -> Result<()> {
        fs::metadata(path).with_context(|| path.to_owned())?;
        let bind = Bind { from: self.dir.join(own), to: path.into() };
        self.binds.lock().unwrap_or_else(PoisonError::into_inner).push(bind);
        Ok(())
    }

    fn binds(&self) -> Vec<Bind> {
        self.binds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
