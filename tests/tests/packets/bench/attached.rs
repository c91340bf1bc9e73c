//! Directors with pins, whose program is on an interface.

use std::{net::IpAddr, path::Path};

use aya::programs::{Program, Xdp};
use lb_common::layout::{Lease, NextHop};
use xlvs::{
    control::{Director, Event, Way},
    io::{
        datapath::{Datapath, Mode, Prepared, Settings},
        links::Link,
    },
    plan::Wanted,
};

use super::{DIRECTOR, link, mac, settings};

/// A director of the loopback in the calling thread's namespace, with its pins in `pins`, whose servers are resolved.
pub(crate) fn attach_services(pins: &Path, services: &[Wanted]) -> anyhow::Result<(Datapath, Director)> {
    attach_routers(pins, services, &[])
}

/// The same with virtual routers, whose leases the services name by row.
pub(crate) fn attach_routers(
    pins: &Path,
    services: &[Wanted],
    routers: &[Lease],
) -> anyhow::Result<(Datapath, Director)> {
    // The loopback has no driver that could run a program; its index is that of frames of a test run.
    let settings = Settings {
        interfaces: vec![link("lo", 1, DIRECTOR)],
        mode: Mode::Generic,
        ..settings(pins, routers)
    };
    let mut prepared = Prepared::new(settings, services)?;
    let mut director = Director::new(services, &prepared.allocation);
    for server in services.iter().flat_map(|service| service.servers.iter()) {
        let IpAddr::V4(address) = server.rip else { continue };
        let mac = mac(address.octets()[3]);
        director.handle(&Event::Way(server.rip, Way::Through(NextHop { mac, port: 0 })));
    }
    director.everything().iter().for_each(|action| prepared.apply(action));
    Ok((prepared.attach()?, director))
}

/// The program of an attached director.
pub(crate) fn attached_program(datapath: &mut Datapath) -> anyhow::Result<&Xdp> {
    match datapath.ebpf_mut().program("xlvs") {
        Some(Program::Xdp(program)) => Ok(program),
        _ => anyhow::bail!("the object has no program xlvs"),
    }
}

/// A director of one interface, `link`, with its pins in `pins`.
pub(crate) fn attach(pins: &Path, link: &Link, routers: &[Lease]) -> anyhow::Result<Datapath> {
    Prepared::new(Settings { interfaces: vec![link.clone()], ..settings(pins, routers) }, &[])?.attach()
}
