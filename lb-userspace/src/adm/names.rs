//! Names of hosts and ports, which a listing without `-n` shows and a command line may hold.

use std::net::{IpAddr, Ipv4Addr};

use super::state::Protocol;

/// Who knows names; nothing here asks a resolver or reads a file.
pub trait Names {
    /// The IPv4 address of a host, which is the only one that a name stands for.
    fn address_of(&self, host: &str) -> Option<Ipv4Addr>;
    /// The port of a named service of a protocol.
    fn port_of(&self, service: &str, protocol: Protocol) -> Option<u16>;
    /// The name of a host.
    fn host_at(&self, address: IpAddr) -> Option<String>;
    /// The name of a protocol's port.
    fn service_at(&self, port: u16, protocol: Protocol) -> Option<String>;
}

/// Knows none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nameless;

impl Names for Nameless {
    fn address_of(&self, _: &str) -> Option<Ipv4Addr> {
        None
    }

    fn port_of(&self, _: &str, _: Protocol) -> Option<u16> {
        None
    }

    fn host_at(&self, _: IpAddr) -> Option<String> {
        None
    }

    fn service_at(&self, _: u16, _: Protocol) -> Option<String> {
        None
    }
}
