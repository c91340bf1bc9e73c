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
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use tempfile::TempDir;

use crate::client::Client;
use crate::config::{Protocol, VirtualServer};
use crate::director::Director;
use crate::http;
use crate::netns::{self, Netns};
use crate::nginx::Nginx;
use crate::polling::Polling;
use crate::process;
use crate::status::Status;

/// Port of the virtual service.
pub const HTTP: u16 = 80;
/// Size of the file behind `/big`.
pub const BIG_MEGABYTES: usize = 100;
/// The director's own address in the servers' network.
pub const DIRECTOR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

const BIG: &str = "big";
const BPFFS: &str = "/sys/fs/bpf";
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
        Self { servers, legs: Legs::One, binary: default_binary() }
    }

    /// The same with client and servers on different networks.
    #[must_use]
    pub fn two_legs(self) -> Self {
        Self { legs: Legs::Two, ..self }
    }
}

fn default_binary() -> PathBuf {
    std::env::var_os("XLVS_BIN").map_or_else(
        || {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            std::env::var_os("CARGO_TARGET_DIR")
                .map_or(root.join("target"), PathBuf::from)
                .join("release/xlvs")
        },
        PathBuf::from,
    )
}

/// A real server: its namespace and its nginx.
#[derive(Debug)]
pub struct RealServer {
    /// Its address.
    pub address: Ipv4Addr,
    netns: Netns,
    nginx: Nginx,
}

impl RealServer {
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

/// A built lab; everything in it ends when the value goes out of scope.
#[derive(Debug)]
pub struct Lab {
    // Fields drop in this order: processes and pins, then namespaces, then files.
    /// The director.
    pub director: Director,
    /// The real servers, `rs1` first.
    pub servers: Vec<RealServer>,
    client: Client,
    switch: Netns,
    _polling: Polling,
    vip: Ipv4Addr,
    dir: TempDir,
}

impl Lab {
    /// Builds the lab and starts nginx on every real server.
    ///
    /// # Errors
    /// Without root, without the binary, without one of the programs it needs.
    pub fn build(plan: &Plan) -> Result<Self> {
        check_host(plan)?;
        let name = netns::unique_name();
        let dir = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir()?;
        let big = dir.path().join(BIG);

        let switch = build_switch(&name, plan.legs)?;
        let (wan, vip) = match plan.legs {
            Legs::One => ("lan", Ipv4Addr::new(10, 77, 0, 100)),
            Legs::Two => ("wan", Ipv4Addr::new(10, 78, 0, 100)),
        };
        let subnet = vip.octets()[1];
        let client = Netns::create(&format!("{name}-client"))?;
        connect(&switch, wan, "client", &client, "net0", &format!("10.{subnet}.0.9/24"))?;
        // Frames that pass an XDP program lose the note that their checksum is still to be filled in.
        client.run("ethtool", &["-K", "net0", "tx", "off"])?;

        let director = build_director(&name, plan, &switch, vip, dir.path())?;
        let servers = (1..=plan.servers)
            .map(|number| build_server(&name, number, plan.legs, &switch, vip, dir.path(), &big))
            .collect::<Result<_>>()?;
        let ports: Vec<String> = director.interfaces().iter().map(|interface| port_of(interface)).collect();
        let polling = Polling::start(&switch, &ports)?;
        Ok(Self { director, servers, client: Client::new(client), switch, _polling: polling, vip, dir })
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

    /// The namespace of the bridges.
    pub fn switch(&self) -> &Netns {
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

fn check_host(plan: &Plan) -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "the lab makes network namespaces: run it as root");
    ensure!(
        plan.binary.is_file(),
        "no xlvs at {}: build it with `cargo xtask build`, or name it in XLVS_BIN",
        plan.binary.display()
    );
    for tool in ["ip", "ethtool", "nginx", "bpftool", "ping"] {
        let found = process::output(Command::new("sh").args(["-c", &format!("command -v {tool}")]));
        ensure!(found.is_ok(), "the lab needs `{tool}`, which is not installed: run `cargo xtask setup`");
    }
    if statfs(BPFFS).with_context(|| BPFFS)?.filesystem_type() != BPF_FS_MAGIC {
        mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("mount a BPF file system on {BPFFS}"))?;
    }
    netns::remove_leftovers(Path::new(BPFFS), &std::env::temp_dir())
}

fn build_switch(name: &str, legs: Legs) -> Result<Netns> {
    let switch = Netns::create(&format!("{name}-sw"))?;
    let bridges: &[_] = if legs == Legs::Two { &[("lan", 77), ("wan", 78)] } else { &[("lan", 77)] };
    for (bridge, subnet) in bridges {
        switch.ip(&format!("link add {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"))?;
        switch.ip(&format!("link set {bridge} up"))?;
        if legs == Legs::Two {
            switch.ip(&format!("addr add 10.{subnet}.0.254/24 dev {bridge}"))?;
        }
    }
    if legs == Legs::Two {
        switch.sysctl("ipv4/ip_forward", "1")?;
    }
    Ok(switch)
}

/// Puts `interface` with `address` into `netns`, its peer `port` on a bridge of the switch.
fn connect(
    switch: &Netns,
    bridge: &str,
    port: &str,
    netns: &Netns,
    interface: &str,
    address: &str,
) -> Result<()> {
    switch.ip(&format!("link add {port} type veth peer name {interface} netns {}", netns.name()))?;
    switch.ip(&format!("link set {port} master {bridge} up"))?;
    netns.ip(&format!("addr add {address} dev {interface}"))?;
    netns.ip(&format!("link set {interface} up"))?;
    Ok(())
}

/// The switch's end of a director's interface.
fn port_of(interface: &str) -> String {
    format!("dir-{interface}")
}

fn build_director(name: &str, plan: &Plan, switch: &Netns, vip: Ipv4Addr, dir: &Path) -> Result<Director> {
    let netns = Netns::create(&format!("{name}-director"))?;
    let legs: &[_] = match plan.legs {
        Legs::One => &[("lan", "lan0", "10.77.0.2/24")],
        Legs::Two => &[("wan", "wan0", "10.78.0.2/24"), ("lan", "lan0", "10.77.0.2/24")],
    };
    for (bridge, interface, address) in legs {
        connect(switch, bridge, &port_of(interface), &netns, interface, address)?;
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
    switch: &Netns,
    vip: Ipv4Addr,
    dir: &Path,
    big: &Path,
) -> Result<RealServer> {
    let own = format!("rs{number}");
    let netns = Netns::create(&format!("{name}-{own}"))?;
    // Before the VIP is there, so that nobody ever learns it from here.
    for scope in ["all", "lo"] {
        netns.sysctl(&format!("ipv4/conf/{scope}/arp_ignore"), "1")?;
        netns.sysctl(&format!("ipv4/conf/{scope}/arp_announce"), "2")?;
    }
    let address = Ipv4Addr::new(10, 77, 0, u8::try_from(10 + number).context("number of real servers")?);
    connect(switch, "lan", &own, &netns, "net0", &format!("{address}/24"))?;
    if legs == Legs::Two {
        netns.ip("route add default via 10.77.0.254")?;
    }
    netns.ip(&format!("addr add {vip}/32 dev lo"))?;
    let nginx = Nginx::prepare(&own, &dir.join(&own), big)?;
    let mut server = RealServer { address, netns, nginx };
    server.start()?;
    Ok(server)
}
