//! The lab: a switch, a client, a director and real servers, each in a namespace of its own, as a [`Plan`] says.

use std::fmt::Display;
use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::capture::Capture;
use crate::client::Client;
use crate::config::{Protocol, VirtualServer};
use crate::director::Director;
use crate::family::{self, Family};
use crate::host;
use crate::http;
use crate::netns::{self, Netns};
pub use crate::plan::{Legs, Plan};
use crate::server::{BIG, RealServer};
use crate::status::Status;
use crate::switch::Switch;
use crate::trunk::Trunk;
use crate::wiring::{self, CLIENT_HOST, VIP_HOST, Wiring};

/// Port of the virtual service.
pub const HTTP: u16 = 80;
/// Size of the file behind `/big`.
pub const BIG_MEGABYTES: usize = 100;
/// The director's own address in the servers' network.
pub const DIRECTOR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

const ELIGIBLE_BOUND: Duration = Duration::from_secs(15);

/// A built lab; everything in it ends when the value goes out of scope.
#[derive(Debug)]
pub struct Lab {
    // Fields drop in this order: processes and pins, then namespaces, then files.
    /// The director.
    pub director: Director,
    /// The real servers, `rs1` first.
    pub servers: Vec<RealServer>,
    trunk: Option<Trunk>,
    client: Client,
    edge: Option<Netns>,
    switch: Switch,
    plan: Plan,
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
        let mut wiring = Wiring::new(&name, plan)?;
        let (client, edge) = wiring.client()?;
        let (director, trunk) = wiring.director(&client, dir.path())?;
        let servers =
            (0..plan.servers).map(|index| wiring.server(index, dir.path())).collect::<Result<_>>()?;
        let (client, switch, plan) = (Client::new(client), wiring.switch, plan.clone());
        Ok(Self { director, servers, trunk, client, edge, switch, plan, dir })
    }

    /// The virtual address.
    pub fn vip(&self) -> Ipv4Addr {
        family::v4(self.plan.legs.networks().1, VIP_HOST)
    }

    /// The virtual address in `family`.
    pub fn vip_in(&self, family: Family) -> IpAddr {
        wiring::vip(&self.plan, family)
    }

    /// The virtual service's socket address.
    pub fn service(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.vip(), HTTP)
    }

    /// The same in `family`.
    pub fn service_in(&self, family: Family) -> SocketAddr {
        SocketAddr::new(self.vip_in(family), HTTP)
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The client's address in `family`.
    pub fn client_in(&self, family: Family) -> IpAddr {
        family.host(self.plan.legs.networks().0, CLIENT_HOST)
    }

    /// What joins them.
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    /// The same to be changed.
    pub const fn switch_mut(&mut self) -> &mut Switch {
        &mut self.switch
    }

    /// The router that has the client behind it.
    ///
    /// # Errors
    /// When the plan has none.
    pub fn edge(&self) -> Result<&Netns> {
        self.edge.as_ref().context("the client of this lab is behind no router")
    }

    /// The director's cable, where it is one with tags.
    ///
    /// # Errors
    /// When the plan has no tags.
    pub fn trunk(&self) -> Result<&Trunk> {
        self.trunk.as_ref().context("this lab has no tags")
    }

    /// Records from now on what comes in by `ports` of the switch: what `client`, `rs1` or `dir-lan0` send.
    ///
    /// # Errors
    /// When there is no such port.
    pub fn capture(&self, ports: &[&str]) -> Result<Capture> {
        Capture::start(self.switch.netns(), ports)
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
        self.make_file(BIG_MEGABYTES)
    }

    /// The same of another size.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn make_file(&self, megabytes: usize) -> Result<()> {
        let path = self.dir().join(BIG);
        let mut file = std::io::BufWriter::new(fs::File::create(&path)?);
        let mut block = http::Block::pattern();
        for number in 0..http::blocks(megabytes) {
            file.write_all(block.numbered(number)).with_context(|| path.display().to_string())?;
        }
        Ok(file.flush()?)
    }

    /// A virtual HTTP service without real servers.
    pub fn http(&self, scheduler: &str) -> VirtualServer {
        VirtualServer::new(self.vip(), HTTP, Protocol::Tcp, scheduler)
    }

    /// A virtual HTTP service with every real server, checked, in order, with weight 1.
    pub fn http_on_all(&self, scheduler: &str) -> VirtualServer {
        self.servers.iter().fold(self.http(scheduler), |service, server| service.checked(server.address, 1))
    }

    /// The same in `family`.
    pub fn http_in(&self, family: Family, scheduler: &str) -> VirtualServer {
        let service = VirtualServer::new(self.vip_in(family), HTTP, Protocol::Tcp, scheduler);
        self.servers.iter().fold(service, |service, server| service.checked(server.address_in(family), 1))
    }

    /// A virtual UDP service in `family` with every real server, in order, with weight 1.
    pub fn udp_in(&self, family: Family, port: u16, scheduler: &str) -> VirtualServer {
        let service = VirtualServer::new(self.vip_in(family), port, Protocol::Udp, scheduler);
        self.servers.iter().fold(service, |service, server| service.unchecked(server.address_in(family), 1))
    }

    /// Starts the daemon and waits until `eligible` real servers may receive connections.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn balance(&mut self, config: &impl Display, eligible: usize) -> Result<Status> {
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
