//! keepalived.conf texts for the lab: virtual servers with their real servers, direct routing, and virtual routers.

use std::fmt;
use std::net::IpAddr;

/// The transport of a virtual server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `protocol TCP`
    Tcp,
    /// `protocol UDP`
    Udp,
}

/// One `virtual_server` block; `Display` is the text of the file.
#[derive(Debug, Clone)]
pub struct VirtualServer {
    address: IpAddr,
    port: u16,
    protocol: Protocol,
    scheduler: String,
    lines: Vec<String>,
    servers: Vec<RealServer>,
}

#[derive(Debug, Clone)]
struct RealServer {
    address: IpAddr,
    weight: u32,
    check: Option<String>,
}

impl VirtualServer {
    /// A virtual server without real servers.
    pub fn new(address: impl Into<IpAddr>, port: u16, protocol: Protocol, scheduler: &str) -> Self {
        let address = address.into();
        let (scheduler, lines, servers) = (scheduler.to_owned(), Vec::new(), Vec::new());
        Self { address, port, protocol, scheduler, lines, servers }
    }

    /// Adds a statement.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Adds a real server that a `TCP_CHECK` watches.
    #[must_use]
    pub fn checked(self, address: impl Into<IpAddr>, weight: u32) -> Self {
        self.checked_by(address, weight, "TCP_CHECK {\n connect_timeout 1\n }")
    }

    /// Adds a real server that this checker watches.
    #[must_use]
    pub fn checked_by(self, address: impl Into<IpAddr>, weight: u32, check: &str) -> Self {
        self.with(RealServer { address: address.into(), weight, check: Some(check.to_owned()) })
    }

    /// Adds a real server without a checker.
    #[must_use]
    pub fn unchecked(self, address: impl Into<IpAddr>, weight: u32) -> Self {
        self.with(RealServer { address: address.into(), weight, check: None })
    }

    fn with(mut self, server: RealServer) -> Self {
        self.servers.push(server);
        self
    }
}

impl fmt::Display for VirtualServer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
        };
        writeln!(out, "virtual_server {} {} {{", self.address, self.port)?;
        writeln!(
            out,
            "    delay_loop 1\n    lb_algo {}\n    lb_kind DR\n    protocol {protocol}",
            self.scheduler
        )?;
        for line in &self.lines {
            writeln!(out, "    {line}")?;
        }
        for server in &self.servers {
            writeln!(
                out,
                "    real_server {} {} {{\n        weight {}",
                server.address, self.port, server.weight
            )?;
            if let Some(check) = &server.check {
                writeln!(out, "        {check}")?;
            }
            writeln!(out, "    }}")?;
        }
        writeln!(out, "}}")
    }
}

/// One `vrrp_instance` block; `Display` is the text of the file.
#[derive(Debug, Clone)]
pub struct VirtualRouter {
    name: String,
    interface: String,
    vrid: u8,
    priority: u8,
    lines: Vec<String>,
    addresses: Vec<String>,
}

impl VirtualRouter {
    /// The name of an instance that gets no other.
    pub const NAME: &'static str = "VI_1";

    /// A virtual router of version 2 with an advert every second.
    pub fn new(interface: &str, vrid: u8, priority: u8, address: &str) -> Self {
        let (interface, addresses) = (interface.to_owned(), vec![address.to_owned()]);
        Self { name: Self::NAME.to_owned(), interface, vrid, priority, lines: Vec::new(), addresses }
    }

    /// Gives it another name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// Makes it one of version 3 with an advert every `interval` seconds.
    #[must_use]
    pub fn version3(self, interval: &str) -> Self {
        self.line("version 3").line(&format!("advert_int {interval}"))
    }

    /// Adds one more virtual address.
    #[must_use]
    pub fn address(mut self, address: &str) -> Self {
        self.addresses.push(address.to_owned());
        self
    }

    /// Adds a statement.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }
}

impl fmt::Display for VirtualRouter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "vrrp_instance {} {{", self.name)?;
        writeln!(out, "    interface {}\n    virtual_router_id {}", self.interface, self.vrid)?;
        writeln!(out, "    priority {}", self.priority)?;
        for line in &self.lines {
            writeln!(out, "    {line}")?;
        }
        writeln!(out, "    virtual_ipaddress {{")?;
        for address in &self.addresses {
            writeln!(out, "        {address}")?;
        }
        writeln!(out, "    }}\n}}")
    }
}
