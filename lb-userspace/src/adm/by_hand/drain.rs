//! Real servers that get no new connections for a while, and then the weight back that they had.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Impossible, find, is_no_sorry_server};
use crate::adm::state::ServerId;
use crate::config::model::{RealServer, Selector, VirtualServer, Weight};

/// Takes the weight of a real server and remembers it. One that is drained already stays so.
pub(super) fn drain(
    services: &mut [Arc<VirtualServer>],
    service: Selector,
    server: ServerId,
) -> Result<(), Impossible> {
    let (is_by_hand, server) = server_of(services, service, server)?;
    if server.drained.is_none() {
        server.drained = Some(std::mem::replace(&mut server.weight, Weight(0)));
    }
    *is_by_hand = true;
    Ok(())
}

/// Gives a real server the weight back that it had.
pub(super) fn undrain(
    services: &mut [Arc<VirtualServer>],
    service: Selector,
    server: ServerId,
) -> Result<(), Impossible> {
    let at = SocketAddr::new(server.address, server.port);
    let (is_by_hand, server) = server_of(services, service, server)?;
    server.weight = server.drained.take().ok_or(Impossible::NotDrained(at, server.weight.0))?;
    *is_by_hand = true;
    Ok(())
}

/// The real server, and of its service whether it is as somebody made it by hand.
fn server_of(
    services: &mut [Arc<VirtualServer>],
    selector: Selector,
    server: ServerId,
) -> Result<(&mut bool, &mut RealServer), Impossible> {
    let Some(place) = find(services, selector)? else {
        let there = listed(services.iter().flat_map(|service| service.selectors()));
        return Err(Impossible::NoService { asked: selector, there });
    };
    let service = Arc::make_mut(&mut services[place]);
    is_no_sorry_server(service, server.address)?;
    let is_meant = |known: &RealServer| {
        (known.address, known.port) == (server.address, server.port) && known.forwarding.is_available()
    };
    let Some(place) = service.real_servers.iter().position(is_meant) else {
        let there = listed(service.pool().map(|known| SocketAddr::new(known.address, known.port)));
        let asked = SocketAddr::new(server.address, server.port);
        return Err(Impossible::NoServer { service: selector, asked, there });
    };
    Ok((&mut service.by_hand, &mut service.real_servers[place]))
}

fn listed(all: impl Iterator<Item = impl Display>) -> String {
    let names: Vec<String> = all.map(|name| name.to_string()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
