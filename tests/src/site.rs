//! A site: one switch with hosts of any names, interfaces and addresses, among them several directors.
//!
//! [`crate::lab`] is the fixed lab of one director; here a test says itself who is there.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::capture::Capture;
use crate::diagnosis::{run_in, section};
use crate::host::{self, BPFFS};
use crate::netns::{self, Netns};
use crate::node::Node;
use crate::process;
use crate::switch::{Link, Switch};

const BRIDGE: &str = "lan";

/// Sites measure time, so one at a time has the machine.
static TURN: Mutex<()> = Mutex::new(());

/// A switch and what is plugged into it.
#[derive(Debug)]
pub struct Site {
    nodes: Vec<Arc<Node>>,
    switch: Switch,
    name: String,
    dir: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// Builds a site, calls `body` on it, and prints all there is to know when it fails.
///
/// # Errors
/// When it cannot be built, or what `body` returned.
pub fn with_site(body: impl FnOnce(&mut Site) -> Result<()>) -> Result<()> {
    let mut site = Site::build()?;
    let outcome = body(&mut site);
    if outcome.is_err() {
        site.diagnose();
    }
    outcome
}

impl Site {
    /// A switch alone; waits until no other site of this process is left.
    ///
    /// # Errors
    /// Without root, without the binary, without one of the programs it needs.
    pub fn build() -> Result<Self> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        host::check(&host::binary())?;
        process::output(Command::new("keepalived").arg("--version"))?;
        let name = netns::unique_name();
        let dir = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir()?;
        let switch = Switch::create(&format!("{name}-sw"))?;
        switch.add_bridge(BRIDGE)?;
        Ok(Self { nodes: Vec::new(), switch, name, dir, _turn: turn })
    }

    /// Plugs in a host with `addresses` on `interface`; it has IPv6 if one of them is.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn host(&mut self, name: &str, interface: &str, addresses: &[&str]) -> Result<Arc<Node>> {
        let full = format!("{}-{name}", self.name);
        let netns = Netns::create(&full)?;
        if addresses.iter().any(|address| address.contains(':')) {
            netns.allow_ipv6()?;
        }
        let addresses: Vec<String> = addresses.iter().map(|&address| address.to_owned()).collect();
        self.switch.plug(BRIDGE, name, &netns, interface, &addresses)?;
        // Frames that pass an XDP program lose the note that their checksum is still to be filled in.
        netns.run("ethtool", &["-K", interface, "tx", "off"])?;
        let dir = self.dir.path().join(name);
        fs::create_dir(&dir).with_context(|| dir.display().to_string())?;
        let node = Arc::new(Node::new(name, interface, netns, dir, Path::new(BPFFS).join(&full)));
        self.nodes.push(Arc::clone(&node));
        Ok(node)
    }

    /// The same for a host that may run `xlvs`.
    ///
    /// # Errors
    /// When `ip` or the kernel refuses.
    pub fn director(&mut self, name: &str, interface: &str, addresses: &[&str]) -> Result<Arc<Node>> {
        let node = self.host(name, interface, addresses)?;
        self.switch.poll(name)?;
        Ok(node)
    }

    /// Records from now on what `nodes` send.
    ///
    /// # Errors
    /// When one of them is not plugged in here.
    pub fn capture(&self, nodes: &[&Node]) -> Result<Capture> {
        Capture::start(self.switch.netns(), nodes.iter().map(|node| node.name()))
    }

    /// Pulls the cable of `node`, or puts it back.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn set_link(&self, node: &Node, link: Link) -> Result<()> {
        self.switch.set_link(node.name(), link)
    }

    /// Prints logs and addresses.
    pub fn diagnose(&self) {
        for node in &self.nodes {
            for log in ["xlvs/xlvs.log", "keepalived/keepalived.log", "nginx/error.log"] {
                if let Ok(text) = fs::read_to_string(node.dir().join(log)) {
                    section(&format!("{}: {log}", node.name()), &text);
                }
            }
            run_in(node.netns(), "ip", &["-s", "addr"]);
            run_in(node.netns(), "ip", &["neigh"]);
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.diagnose();
        }
    }
}
