//! The lines of `-S`, which `-R` reads.

use std::fmt::Write as _;

use super::{Places, mask, services::flags};
use crate::adm::{
    names::Names,
    order,
    state::{
        Family, Forwarding, ListedServer, ListedService, Protocol, ServiceId, TunnelChecksum, TunnelType,
    },
    table::Table,
};

/// Every service with its servers, as the commands that make them.
pub fn save(table: &Table, numeric: bool, names: &impl Names) -> String {
    let places = Places { numeric, names };
    let mut text = String::new();
    for listed in order::services(&table.services) {
        let id = listed.service.id;
        let at = match id {
            ServiceId::Mark { mark, family } => {
                let family = if family == Family::V6 { " -6" } else { "" };
                format!("-f {}{family}", mark as i32)
            }
            ServiceId::Address { protocol, address, port } => {
                let option = match protocol {
                    Protocol::Tcp => "-t",
                    Protocol::Udp => "-u",
                    Protocol::Sctp => "--sctp-service",
                };
                format!("{option} {}", places.write(address, port, Some(protocol)))
            }
        };
        let _infallible = writeln!(text, "-A {at}{}", service(listed));
        for server in order::servers(&listed.servers) {
            let name = places.server(server.server.id, id);
            let _infallible = writeln!(text, "-a {at} -r {name} {}", self::server(server));
        }
    }
    text
}

fn service(listed: &ListedService) -> String {
    let service = &listed.service;
    let mut text = format!(" -s {}", service.scheduler);
    if let Some(seconds) = service.persistence {
        let _infallible = write!(text, " -p {seconds}");
        if let Some(mask) = mask(service.netmask) {
            let _infallible = write!(text, " -M {mask}");
        }
    }
    if !service.engine.is_empty() {
        let _infallible = write!(text, " --pe {}", service.engine);
    }
    if service.one_packet {
        text.push_str(" -o");
    }
    if service.flags.any() {
        let _infallible = write!(text, " -b {}", flags(service.flags, &service.scheduler));
    }
    text
}

fn server(listed: &ListedServer) -> String {
    let server = &listed.server;
    let way = match server.forwarding {
        Forwarding::Masquerading => "-m",
        Forwarding::Tunnel => "-i",
        // A server on this host was asked for in one of three ways, and which is forgotten.
        Forwarding::Route | Forwarding::Local => "-g",
    };
    let mut text = format!("{way} -w {}", server.weight);
    if server.forwarding == Forwarding::Tunnel {
        let _infallible = write!(text, " --tun-type {}", server.tunnel.kind.name());
        if server.tunnel.kind == TunnelType::Gue {
            let _infallible = write!(text, " --tun-port {}", server.tunnel.port);
        }
        if server.tunnel.kind != TunnelType::Ipip {
            text.push_str(match server.tunnel.checksum {
                TunnelChecksum::None => " --tun-nocsum",
                TunnelChecksum::Local => " --tun-csum",
                TunnelChecksum::Remote => " --tun-remcsum",
            });
        }
    }
    text
}
