//! The lab: a switch, a client, a director and real servers, each in a namespace of its own.
//!
//! ```text
//!   Legs::One                                 Legs::Two
//!   client .9 --+                             client .9 -- wan -- director .2 -- lan -- rs1 .11
//!   director .2 +-- lan, 10.77.0.0/24                 10.78.0.0/24     10.77.0.0/24 +- rs2 .12
//!   rs1 .11 ----+                                       \__ router .254 (the switch) __/
//! ```
//! The VIP ends in .100 and is in the client's network.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::client::Client;
use crate::config::{Protocol, VirtualServer};
use crate::director::Director;
use crate::host::{self, BPFFS};
use crate::http;
use crate::netns::{self, Netns};
use crate::server::{BIG, RealServer, hide_from_arp};
use crate::status::Status;
use crate::switch::Switch;

/// Port of the virtual service.
pub const HTTP: u16 = 80;
/// Size of the file behind `/big`.
pub const BIG_MEGABYTES: usize = 100;
/// The director's own address in the servers' network.
pub const DIRECTOR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

const ELIGIBLE_BOUND: Duration = Duration::from_secs(15);

/// How the director is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Legs {
    /// Client and servers on one interface.
    One,
    /// The client on `wan0`, the servers on `lan0`.
    Two,
}

/// What to build.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Number of real servers, each with nginx running.
    pub servers: usize,
    /// The director's interfaces.
    pub legs: Legs,
    /// The `xlvs` to test.
    pub binary: PathBuf,
}

impl Plan {
    /// A lab on one network with the binary of `XLVS_BIN`, or the release build.
    pub fn servers(servers: usize) -> Self {
        Self { servers, legs: Legs::One, binary: host::binary() }
    }

    /// The same with client and servers on different networks.
    #[must_use]
    pub fn two_legs(self) -> Self {
        Self { legs: Legs::Two, ..self }
    }
}

/// A built lab; everything in it ends when the value goes out of scope.
#[derive(Debug)]
pub struct Lab {
    // Fields drop in this order: processes and pins, then namespaces, then files.
    /// The director.
    pub director: Director,
    /// The real servers, `rs1` first.
    pub servers: Vec<RealServer>,
    client: Client,
    switch: Switch,
    vip: Ipv4Addr,
    dir: TempDir,
}

impl Lab {
    /// Builds the lab and starts nginx on every real server.
    ///
    /// # Errors
    /// Without root, without the binary, without one of the programs it needs.
    pub fn build(plan: &Plan) -> Result<Self> {
        host::check(&plan.binary)?;
        let name = netns::unique_name();
        let dir = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir()?;
        let mut switch = build_switch(&name, plan.legs)?;
        let (wan, vip) = match plan.legs {
            Legs::One => ("lan", Ipv4Addr::new(10, 77, 0, 100)),
            Legs::Two => ("wan", Ipv4Addr::new(10, 78, 0, 100)),
        };
        let subnet = vip.octets()[1];
        let client = Netns::create(&format!("{name}-client"))?;
        switch.plug(wan, "client", &client, "net0", &[format!("10.{subnet}.0.9/24")])?;
        // Frames that pass an XDP program lose the note that their checksum is still to be filled in.
        client.run("ethtool", &["-K", "net0", "tx", "off"])?;

        let director = build_director(&name, plan, &mut switch, vip, dir.path())?;
        let servers = (1..=plan.servers)
            .map(|number| build_server(&name, number, plan.legs, &switch, vip, dir.path()))
            .collect::<Result<_>>()?;
        Ok(Self { director, servers, client: Client::new(client), switch, vip, dir })
    }

    /// The virtual address.
    pub fn vip(&self) -> Ipv4Addr {
        self.vip
    }

    /// The virtual service's socket address.
    pub fn service(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.vip, HTTP)
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What joins them.
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    /// A directory that is removed with the lab.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Makes the file behind `/big`, whose bytes [`http::Download`] knows.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn make_big_file(&self) -> Result<()> {
        let path = self.dir().join(BIG);
        let mut file = std::io::BufWriter::new(fs::File::create(&path)?);
        let mut block = http::Block::pattern();
        for number in 0..http::blocks(BIG_MEGABYTES) {
            file.write_all(block.numbered(number)).with_context(|| path.display().to_string())?;
        }
        Ok(file.flush()?)
    }

    /// A virtual HTTP service without real servers.
    pub fn http(&self, scheduler: &str) -> VirtualServer {
        VirtualServer::new(self.vip, HTTP, Protocol::Tcp, scheduler)
    }

    /// A virtual HTTP service with every real server, checked, in order, with weight 1.
    pub fn http_on_all(&self, scheduler: &str) -> VirtualServer {
        self.servers.iter().fold(self.http(scheduler), |service, server| service.checked(server.address, 1))
    }

    /// Starts the daemon and waits until `eligible` real servers may receive connections.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn balance(&mut self, config: &VirtualServer, eligible: usize) -> Result<Status> {
        self.director.start(&config.to_string())?;
        self.wait_eligible(eligible)
    }

    /// Waits until exactly `count` real servers may receive connections.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn wait_eligible(&self, count: usize) -> Result<Status> {
        self.director.wait_status(&format!("{count} eligible real servers"), ELIGIBLE_BOUND, |status| {
            let servers = status.services.iter().flat_map(|service| &service.servers);
            servers.filter(|server| server.eligible).count() == count
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.diagnose();
        }
    }
}

/// Builds a lab, calls `body` on it, and prints all there is to know when it fails.
///
/// # Errors
/// When the lab cannot be built, or what `body` returned.
pub fn with_lab(plan: &Plan, body: impl FnOnce(&mut Lab) -> Result<()>) -> Result<()> {
    let mut lab = Lab::build(plan)?;
    let outcome = body(&mut lab);
    if outcome.is_err() {
        lab.diagnose();
    }
    outcome
}

fn build_switch(name: &str, legs: Legs) -> Result<Switch> {
    let switch = Switch::create(&format!("{name}-sw"))?;
    let bridges: &[_] = if legs == Legs::Two { &[("lan", 77), ("wan", 78)] } else { &[("lan", 77)] };
    for (bridge, subnet) in bridges {
        switch.add_bridge(bridge)?;
        if legs == Legs::Two {
            switch.netns().ip(&format!("addr add 10.{subnet}.0.254/24 dev {bridge}"))?;
        }
    }
    if legs == Legs::Two {
        switch.netns().sysctl("ipv4/ip_forward", "1")?;
    }
    Ok(switch)
}

fn build_director(
    name: &str,
    plan: &Plan,
    switch: &mut Switch,
    vip: Ipv4Addr,
    dir: &Path,
) -> Result<Director> {
    let netns = Netns::create(&format!("{name}-director"))?;
    let legs: &[_] = match plan.legs {
        Legs::One => &[("lan", "lan0", "10.77.0.2/24")],
        Legs::Two => &[("wan", "wan0", "10.78.0.2/24"), ("lan", "lan0", "10.77.0.2/24")],
    };
    for (bridge, interface, address) in legs {
        let port = format!("dir-{interface}");
        switch.plug(bridge, &port, &netns, interface, &[(*address).to_owned()])?;
        switch.poll(&port)?;
    }
    netns.ip(&format!("addr add {vip}/32 dev {}", legs[0].1))?;
    let interfaces = legs.iter().map(|(_, interface, _)| (*interface).to_owned()).collect();
    let dir = dir.join("director");
    fs::create_dir(&dir)?;
    Ok(Director::new(netns, plan.binary.clone(), interfaces, &dir, Path::new(BPFFS).join(name)))
}

fn build_server(
    name: &str,
    number: usize,
    legs: Legs,
    switch: &Switch,
    vip: Ipv4Addr,
    dir: &Path,
) -> Result<RealServer> {
    let own = format!("rs{number}");
    let netns = Netns::create(&format!("{name}-{own}"))?;
    hide_from_arp(&netns)?;
    let address = Ipv4Addr::new(10, 77, 0, u8::try_from(10 + number).context("number of real servers")?);
    switch.plug("lan", &own, &netns, "net0", &[format!("{address}/24")])?;
    if legs == Legs::Two {
        netns.ip("route add default via 10.77.0.254")?;
    }
    netns.ip(&format!("addr add {vip}/32 dev lo"))?;
    RealServer::start_new(&own, address, netns, dir)
}
