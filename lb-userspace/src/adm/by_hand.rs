//! What commands make of a configuration, and how that lives together with its file.
//!
//! One rule: what a reload finds changed in the file is as the file says; everything else stays as it was made by hand. What
//! can be made by hand is that a service or a real server is there, a service's scheduler, persistence and flags, a real
//! server's weight and limits, that it is drained, and the timeouts. All else is the file's.

mod drain;
mod said;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use self::said::{Handled, Share};
use super::command::{Command, Listing, View};
use super::state::{ServiceId, Timeouts};
use crate::config::Span;
use crate::config::model::{self, Config, LvsTimeouts, RealServer, Selector, VirtualServer, Weight};

/// What this version does not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// A way to hand on packets other than direct routing.
    #[error("xlvs forwards by direct routing only: use -g")]
    Forwarding,
    /// A persistence engine.
    #[error("xlvs has no persistence engines: leave out --pe")]
    Engine,
    /// The scheduler `none`.
    #[error("xlvs has no service without a scheduler: name one with -s")]
    Scheduler,
    /// A mask with holes.
    #[error("the netmask of persistence must be one that a prefix has, as 255.255.255.0")]
    Netmask,
    /// Connections among the commands of `-R`.
    #[error("xlvs lists no connections among the commands of -R: list them by a command of their own")]
    Connections,
    /// A weight that is too large.
    #[error("xlvs has weights up to 65535")]
    Weight,
    /// A service of a group, whose services have everything in common.
    #[error("it is one of the virtual_server_group {0}: change its virtual_server in the configuration file")]
    Group(String),
    /// The sorry server.
    #[error("{0} is the sorry server of that service: change sorry_server in the configuration file")]
    Sorry(IpAddr),
    /// A service to drain a real server of.
    #[error("there is no service {asked}; there are: {there}")]
    NoService {
        /// What was asked for.
        asked: Selector,
        /// All there are.
        there: String,
    },
    /// A real server to drain.
    #[error("the service {service} has no real server {asked}; it has: {there}")]
    NoServer {
        /// The service.
        service: Selector,
        /// What was asked for.
        asked: SocketAddr,
        /// Its real servers.
        there: String,
    },
    /// A real server that is not drained.
    #[error("{0} is not drained: its weight is {1}")]
    NotDrained(SocketAddr, u16),
}

/// Whether a command is one that this version can follow, whatever there is.
///
/// # Errors
/// [`Impossible`].
pub fn possible(command: &Command) -> Result<(), Impossible> {
    match command {
        Command::AddService(service) | Command::EditService(service) => {
            Handled::of_command(service).map(drop)
        }
        Command::AddServer(_, server) | Command::EditServer(_, server) => Share::of_command(server).map(drop),
        Command::List(Listing { view: View::Connections { .. }, .. }) => Err(Impossible::Connections),
        _ => Ok(()),
    }
}

/// Makes `config` what a command wants that the table allows. What `file` names comes back with all that it says of it. A
/// command that only shows, or that is about something else, changes nothing.
///
/// # Errors
/// [`Impossible`], and then nothing is changed.
pub fn change(config: &mut Config, file: &Config, command: &Command) -> Result<(), Impossible> {
    let services = &mut config.virtual_servers;
    match command {
        Command::AddService(service) | Command::EditService(service) => {
            let (handled, selector) = (Handled::of_command(service)?, selector(service.id));
            if let Some(place) = find(services, selector)? {
                handled.put(Arc::make_mut(&mut services[place]));
            } else {
                services.push(Arc::new(handled.service(selector, service_of(file, selector))));
            }
        }
        Command::DeleteService(id) => {
            if let Some(place) = find(services, selector(*id))? {
                services.remove(place);
            }
        }
        Command::Flush => services.clear(),
        Command::AddServer(id, server) | Command::EditServer(id, server) => {
            let (share, selector) = (Share::of_command(server)?, selector(*id));
            if let Some(place) = find(services, selector)? {
                let service = Arc::make_mut(&mut services[place]);
                put(service, server.id.address, share, service_of(file, selector))?;
            }
        }
        Command::DeleteServer(id, server) => {
            if let Some(place) = find(services, selector(*id))? {
                remove(Arc::make_mut(&mut services[place]), server.address)?;
            }
        }
        Command::Drain(id, server) => drain::drain(services, selector(*id), *server)?,
        Command::Undrain(id, server) => drain::undrain(services, selector(*id), *server)?,
        Command::SetTimeouts(Timeouts { tcp, tcp_fin, udp }) => {
            let now = &mut config.timeouts;
            for (time, asked) in [(&mut now.tcp, tcp), (&mut now.tcp_fin, tcp_fin), (&mut now.udp, udp)] {
                if *asked > 0 {
                    *time = Some(*asked);
                }
            }
        }
        Command::Zero(_)
        | Command::StartDaemon(_)
        | Command::StopDaemon(_)
        | Command::List(_)
        | Command::Save { .. }
        | Command::Restore
        | Command::Help
        | Command::Version => {}
    }
    Ok(())
}

/// What is to run when the file says `after` that said `before`, and `now` runs. It shares with each what is the same there.
pub fn merge(before: &Config, now: &Config, after: Config) -> Config {
    let (old, running) = (by_selector(before), by_selector(now));
    let services = after.virtual_servers.iter().filter_map(|theirs| {
        match (old.get(&theirs.selector), running.get(&theirs.selector)) {
            // Nobody touched it by hand.
            (Some(before), Some(now)) if Arc::ptr_eq(before, now) => Some(Arc::clone(theirs)),
            (Some(before), Some(now)) => {
                let service = merged(before, now, theirs);
                Some(if service.says_the_same(now) { Arc::clone(now) } else { Arc::new(service) })
            }
            // Taken away by hand, and the file did not touch it.
            (Some(before), None) if are_same(before, theirs) => None,
            (Some(_) | None, _) => Some(Arc::clone(theirs)),
        }
    });
    let mut services: Vec<Arc<VirtualServer>> = services.collect();
    let in_files = before.virtual_servers.iter().chain(&after.virtual_servers);
    let in_files: BTreeSet<Selector> = in_files.flat_map(|service| service.selectors()).collect();
    let made = now.virtual_servers.iter().filter(|service| !in_files.contains(&service.selector));
    services.extend(made.cloned());
    let timeouts = LvsTimeouts {
        tcp: pick(before.timeouts.tcp, now.timeouts.tcp, after.timeouts.tcp),
        tcp_fin: pick(before.timeouts.tcp_fin, now.timeouts.tcp_fin, after.timeouts.tcp_fin),
        udp: pick(before.timeouts.udp, now.timeouts.udp, after.timeouts.udp),
    };
    Config { virtual_servers: services, timeouts, ..after }
}

/// The rule: what the file changed is as it says, and everything else as it is now.
fn pick<T: Copy + PartialEq>(before: T, now: T, after: T) -> T {
    if before == after { now } else { after }
}

fn merged(before: &VirtualServer, now: &VirtualServer, after: &VirtualServer) -> VirtualServer {
    let mut service = after.clone();
    Handled::of(before).merge(Handled::of(now), Handled::of(after)).put(&mut service);
    service.real_servers.retain_mut(|theirs| {
        let of = |service| server_of(service, theirs.address);
        match (of(before), of(now)) {
            // The file names it anew, or xlvs cannot forward to it.
            (None, _) => true,
            (Some(before), _) if !theirs.forwarding.is_available() || !before.forwarding.is_available() => {
                true
            }
            (Some(before), None) => Share::of(before) != Share::of(theirs),
            (Some(before), Some(now)) => {
                Share::of(before).merge(Share::of(now), Share::of(theirs)).put(theirs);
                true
            }
        }
    });
    let is_known = |address| {
        let is_sorry = after.sorry.as_ref().is_some_and(|sorry| sorry.address == address);
        is_sorry || [before, after].into_iter().any(|service| server_of(service, address).is_some())
    };
    let made = now.real_servers.iter().filter(|server| !is_known(server.address));
    service.real_servers.extend(made.cloned());
    service.by_hand = !are_same(after, &service);
    service
}

/// What of `now` is not as `file` says: services, and real servers in services. A service that lacks one is not, either.
pub fn made_by_hand(file: &Config, now: &Config) -> Vec<(Selector, Option<IpAddr>)> {
    let mut made = Vec::new();
    for service in now.virtual_servers.iter().filter(|service| service.by_hand) {
        let known = service_of(file, service.selector);
        let lacks_none =
            |known: &VirtualServer| known.pool().all(|server| server_of(service, server.address).is_some());
        if !known.is_some_and(|known| Handled::of(known) == Handled::of(service) && lacks_none(known)) {
            made.push((service.selector, None));
        }
        for server in service.pool() {
            let known = known.and_then(|known| server_of(known, server.address));
            if known.is_none_or(|known| Share::of(known) != Share::of(server)) {
                made.push((service.selector, Some(server.address)));
            }
        }
    }
    made
}

/// Whether nobody changed by hand what can be changed so.
fn are_same(one: &VirtualServer, other: &VirtualServer) -> bool {
    let servers = |service: &VirtualServer| -> BTreeMap<_, _> {
        service.pool().map(|server| (server.address, Share::of(server))).collect()
    };
    Handled::of(one) == Handled::of(other) && servers(one) == servers(other)
}

fn by_selector(config: &Config) -> BTreeMap<Selector, &Arc<VirtualServer>> {
    config.virtual_servers.iter().map(|service| (service.selector, service)).collect()
}

fn service_of(config: &Config, selector: Selector) -> Option<&VirtualServer> {
    let mut services = config.virtual_servers.iter().map(Arc::as_ref);
    services.find(|service| service.selector == selector)
}

/// The real server that can be forwarded to, or else any with this address: under direct routing it says who is meant.
fn server_of(service: &VirtualServer, address: IpAddr) -> Option<&RealServer> {
    let all = || service.real_servers.iter().filter(|server| server.address == address);
    all().find(|server| server.forwarding.is_available()).or_else(|| all().next())
}

/// The place of the service that is for this and nothing else.
fn find(services: &[Arc<VirtualServer>], selector: Selector) -> Result<Option<usize>, Impossible> {
    let place = services.iter().position(|service| service.selectors().any(|known| known == selector));
    match place.and_then(|place| services[place].group.as_ref()) {
        Some(group) => Err(Impossible::Group(group.name.clone())),
        None => Ok(place),
    }
}

/// Gives a service a real server, or one that it has this share. `known` is the service as the file says it.
fn put(
    service: &mut VirtualServer,
    address: IpAddr,
    share: Share,
    known: Option<&VirtualServer>,
) -> Result<(), Impossible> {
    is_no_sorry_server(service, address)?;
    service.by_hand = true;
    let pool = service.real_servers.iter_mut().filter(|server| server.forwarding.is_available());
    if let Some(server) = pool.into_iter().find(|server| server.address == address) {
        share.put(server);
        return Ok(());
    }
    let new = || RealServer {
        address,
        port: service.selector.port(),
        weight: Weight::default(),
        drained: None,
        forwarding: model::Forwarding::Dr,
        checkers: Vec::new(),
        inhibit_on_failure: false,
        upper_threshold: 0,
        lower_threshold: 0,
        notify_up: None,
        notify_down: None,
        smtp_alert: None,
        span: Span::default(),
    };
    let known = known.and_then(|known| server_of(known, address));
    let mut server = known.filter(|server| server.forwarding.is_available()).cloned().unwrap_or_else(new);
    share.put(&mut server);
    // What xlvs cannot forward to in the way that the file says gives way.
    service.real_servers.retain(|known| known.address != address);
    service.real_servers.push(server);
    Ok(())
}

fn remove(service: &mut VirtualServer, address: IpAddr) -> Result<(), Impossible> {
    is_no_sorry_server(service, address)?;
    service.by_hand = true;
    service.real_servers.retain(|server| server.address != address || !server.forwarding.is_available());
    Ok(())
}

fn is_no_sorry_server(service: &VirtualServer, address: IpAddr) -> Result<(), Impossible> {
    let is_sorry = service.sorry.as_ref().is_some_and(|sorry| sorry.address == address);
    if is_sorry { Err(Impossible::Sorry(address)) } else { Ok(()) }
}

/// What the model calls a service.
const fn selector(id: ServiceId) -> Selector {
    match id {
        ServiceId::Address { protocol, address, port } => Selector::Address { address, port, protocol },
        ServiceId::Mark { mark, family } => Selector::Mark { mark, family },
    }
}

#[cfg(test)]
mod tests;
