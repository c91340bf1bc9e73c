//! keepalived.conf texts for the lab: virtual servers with their real servers, direct routing.

use std::fmt;
use std::net::Ipv4Addr;

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
    address: Ipv4Addr,
    port: u16,
    protocol: Protocol,
    scheduler: String,
    servers: Vec<RealServer>,
}

#[derive(Debug, Clone)]
struct RealServer {
    address: Ipv4Addr,
    weight: u32,
    checked: bool,
}

impl VirtualServer {
    /// A virtual server without real servers.
    pub fn new(address: Ipv4Addr, port: u16, protocol: Protocol, scheduler: &str) -> Self {
        Self { address, port, protocol, scheduler: scheduler.to_owned(), servers: Vec::new() }
    }

    /// Adds a real server that a `TCP_CHECK` watches.
    #[must_use]
    pub fn checked(self, address: Ipv4Addr, weight: u32) -> Self {
        self.with(RealServer { address, weight, checked: true })
    }

    /// Adds a real server without a checker.
    #[must_use]
    pub fn unchecked(self, address: Ipv4Addr, weight: u32) -> Self {
        self.with(RealServer { address, weight, checked: false })
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
        for server in &self.servers {
            writeln!(
                out,
                "    real_server {} {} {{\n        weight {}",
                server.address, self.port, server.weight
            )?;
            if server.checked {
                writeln!(out, "        TCP_CHECK {{\n            connect_timeout 1\n        }}")?;
            }
            writeln!(out, "    }}")?;
        }
        writeln!(out, "}}")
    }
}
