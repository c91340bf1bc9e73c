//! What commands make of a configuration, and how that lives together with its file.
//!
//! One rule: what a reload finds changed in the file is as the file says; everything else stays as it was made by hand. What
//! can be made by hand is that a service or a real server is there, a service's scheduler, persistence and flags, a real
//! server's weight and limits, and the timeouts. All else is the file's.

use std::net::IpAddr;
use std::time::Duration;

use super::command::Command;
use super::state::{Family, Forwarding, Netmask, Protocol, Server, ServerId, Service, ServiceId, Timeouts};
use crate::config::Span;
use crate::config::model::{
    self, Config, Granularity, Quorum, RealServer, Scheduler, Selector, VirtualServer, Weight, vrrp,
};

/// What this version does not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// A way to hand on packets other than direct routing.
    #[error("xlvs forwards by direct routing only: use -g")]
    Forwarding,
    /// A persistence engine.
    #[error("xlvs has no persistence engines")]
    Engine,
    /// The scheduler `none`.
    #[error("xlvs has no scheduler of this name")]
    Scheduler,
    /// A mask with holes.
    #[error("the netmask of persistence must be one that a prefix has")]
    Netmask,
    /// A service of a group, whose services have everything in common.
    #[error("it is one of the virtual_server_group {0}: change its virtual_server in the configuration file")]
    Group(String),
}

/// Makes `config` what a command wants that the table allows; one that only shows, or that is about something else, changes
/// nothing.
///
/// # Errors
/// [`Impossible`], and then nothing is changed.
pub fn change(config: &mut Config, command: &Command) -> Result<(), Impossible> {
    let services = &mut config.virtual_servers;
    match command {
        Command::AddService(service) | Command::EditService(service) => {
            let handled = Handled::of_command(service)?;
            match find(services, selector(service.id))? {
                Some(place) => handled.put(&mut services[place]),
                None => services.push(handled.service(selector(service.id))),
            }
        }
        Command::DeleteService(id) => {
            if let Some(place) = find(services, selector(*id))? {
                services.remove(place);
            }
        }
        Command::Flush => services.clear(),
        Command::AddServer(id, server) | Command::EditServer(id, server) => {
            if server.forwarding != Forwarding::Route {
                return Err(Impossible::Forwarding);
            }
            if let Some(place) = find(services, selector(*id))? {
                put(&mut services[place], server);
            }
        }
        Command::DeleteServer(id, server) => {
            if let Some(place) = find(services, selector(*id))? {
                remove(&mut services[place], *server);
            }
        }
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

/// What is to run when the file says `after` that said `before`, and `now` runs.
pub fn merge(before: &Config, now: &Config, after: Config) -> Config {
    let services = after.virtual_servers.iter().filter_map(|theirs| {
        let of = |config: &'_ Config| -> Option<VirtualServer> {
            config.virtual_servers.iter().find(|service| service.selector == theirs.selector).cloned()
        };
        match (of(before), of(now)) {
            (Some(before), Some(now)) => Some(merged(&before, &now, theirs)),
            // Taken away by hand, and the file did not touch it.
            (Some(before), None) if are_same(&before, theirs) => None,
            (Some(_) | None, _) => Some(theirs.clone()),
        }
    });
    let mut services: Vec<VirtualServer> = services.collect();
    let is_of = |config: &Config, service: &VirtualServer| {
        let known = |other: &VirtualServer| other.selectors().any(|selector| selector == service.selector);
        config.virtual_servers.iter().any(known)
    };
    let made =
        now.virtual_servers.iter().filter(|service| !is_of(before, service) && !is_of(&after, service));
    services.extend(made.cloned());
    let timeouts = if before.timeouts == after.timeouts { now.timeouts } else { after.timeouts };
    Config { virtual_servers: services, timeouts, ..after }
}

fn merged(before: &VirtualServer, now: &VirtualServer, after: &VirtualServer) -> VirtualServer {
    let mut service = after.clone();
    if Handled::of(before) == Handled::of(after) {
        Handled::of(now).put(&mut service);
    }
    service.real_servers.retain_mut(|theirs| {
        let of = |service: &VirtualServer| {
            service.real_servers.iter().find(|other| id(other) == id(theirs)).cloned()
        };
        match (of(before), of(now)) {
            (Some(before), _) if Share::of(&before) != Share::of(theirs) => true,
            (Some(_), None) => false,
            (Some(_), Some(now)) => {
                Share::of(&now).put(theirs);
                true
            }
            (None, _) => true,
        }
    });
    let is_of =
        |service: &VirtualServer, server| service.real_servers.iter().any(|other| id(other) == id(server));
    let made = now.real_servers.iter().filter(|server| !is_of(before, server) && !is_of(after, server));
    service.real_servers.extend(made.cloned());
    service.by_hand = !are_same(after, &service);
    service
}

/// What of `now` is not as `file` says: services, and real servers in services.
pub fn made_by_hand(file: &Config, now: &Config) -> Vec<(Selector, Option<IpAddr>)> {
    let mut made = Vec::new();
    for service in now.virtual_servers.iter().filter(|service| service.by_hand) {
        let known = file.virtual_servers.iter().find(|known| known.selector == service.selector);
        if known.is_none_or(|known| Handled::of(known) != Handled::of(service)) {
            made.push((service.selector, None));
        }
        for server in &service.real_servers {
            let known =
                known.and_then(|known| known.real_servers.iter().find(|known| id(known) == id(server)));
            if known.is_none_or(|known| Share::of(known) != Share::of(server)) {
                made.push((service.selector, Some(server.address)));
            }
        }
    }
    made
}

/// Whether nobody changed by hand what can be changed so.
fn are_same(one: &VirtualServer, other: &VirtualServer) -> bool {
    let servers = |service: &VirtualServer| -> Vec<_> {
        service.real_servers.iter().map(|server| (id(server), Share::of(server))).collect()
    };
    Handled::of(one) == Handled::of(other) && servers(one) == servers(other)
}

/// The place of the service that is for this and nothing else.
fn find(services: &[VirtualServer], selector: Selector) -> Result<Option<usize>, Impossible> {
    let place = services.iter().position(|service| service.selectors().any(|known| known == selector));
    match place.and_then(|place| services[place].group.as_ref()) {
        Some(group) => Err(Impossible::Group(group.name.clone())),
        None => Ok(place),
    }
}

/// What can be said by hand of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Handled {
    scheduler: Scheduler,
    hash_port: bool,
    hash_fallback: bool,
    persistence: Option<Duration>,
    granularity: Option<Granularity>,
    one_packet: bool,
}

impl Handled {
    const fn of(service: &VirtualServer) -> Self {
        Self {
            scheduler: service.scheduler,
            hash_port: service.hash_port,
            hash_fallback: service.hash_fallback,
            persistence: service.persistence,
            granularity: service.granularity,
            one_packet: service.opening.one_packet,
        }
    }

    fn of_command(service: &Service) -> Result<Self, Impossible> {
        if !service.engine.is_empty() {
            return Err(Impossible::Engine);
        }
        let known = |scheduler: &Scheduler| scheduler.keyword() == service.scheduler;
        let [hash_fallback, hash_port, _] = service.flags.0;
        Ok(Self {
            scheduler: Scheduler::ALL.into_iter().find(known).ok_or(Impossible::Scheduler)?,
            hash_port,
            hash_fallback,
            persistence: service.persistence.map(|seconds| Duration::from_secs(seconds.into())),
            granularity: granularity(service)?,
            one_packet: service.one_packet,
        })
    }

    const fn put(self, service: &mut VirtualServer) {
        service.scheduler = self.scheduler;
        service.hash_port = self.hash_port;
        service.hash_fallback = self.hash_fallback;
        service.persistence = self.persistence;
        service.granularity = self.granularity;
        service.opening.one_packet = self.one_packet;
        service.by_hand = true;
    }

    /// A service of which nothing else is said.
    fn service(self, selector: Selector) -> VirtualServer {
        let mut service = VirtualServer {
            selector,
            group: None,
            scheduler: self.scheduler,
            hash_port: false,
            hash_fallback: false,
            forwarding: model::Forwarding::Dr,
            persistence: None,
            granularity: None,
            opening: model::Opening::default(),
            delay_loop: Duration::from_mins(1),
            quorum: Quorum::default(),
            sorry: None,
            omega: false,
            ha_suspend: false,
            real_servers: Vec::new(),
            by_hand: true,
            span: Span::default(),
        };
        self.put(&mut service);
        service
    }
}

/// Of which clients persistence makes one; nothing where each is its own.
fn granularity(service: &Service) -> Result<Option<Granularity>, Impossible> {
    if service.persistence.is_none() || service.netmask.is_whole() {
        return Ok(None);
    }
    let bits = match service.netmask {
        Netmask::V4(mask) if mask.to_bits().leading_ones() + mask.to_bits().trailing_zeros() >= 32 => {
            mask.to_bits().leading_ones()
        }
        Netmask::V4(_) => return Err(Impossible::Netmask),
        Netmask::V6(bits) => bits,
    };
    Ok(Some(Granularity(u8::try_from(bits).map_err(|_| Impossible::Netmask)?)))
}

/// What can be said by hand of a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    weight: Weight,
    upper_threshold: u32,
    lower_threshold: u32,
}

impl Share {
    const fn of(server: &RealServer) -> Self {
        let RealServer { weight, upper_threshold, lower_threshold, .. } = *server;
        Self { weight, upper_threshold, lower_threshold }
    }

    const fn put(self, server: &mut RealServer) {
        server.weight = self.weight;
        server.upper_threshold = self.upper_threshold;
        server.lower_threshold = self.lower_threshold;
    }
}

fn put(service: &mut VirtualServer, server: &Server) {
    let share = Share {
        weight: Weight(u16::try_from(server.weight).unwrap_or(u16::MAX)),
        upper_threshold: server.upper_threshold,
        lower_threshold: server.lower_threshold,
    };
    service.by_hand = true;
    // Under direct routing the address says who it is.
    let known = service.real_servers.iter_mut().find(|known| known.address == server.id.address);
    if let Some(known) = known {
        share.put(known);
        return;
    }
    let mut new = RealServer {
        address: server.id.address,
        port: server.id.port,
        weight: share.weight,
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
    share.put(&mut new);
    service.real_servers.push(new);
}

fn remove(service: &mut VirtualServer, server: ServerId) {
    service.by_hand = true;
    if service.sorry.as_ref().is_some_and(|sorry| sorry.address == server.address) {
        service.sorry = None;
    }
    service.real_servers.retain(|known| known.address != server.address);
}

const fn id(server: &RealServer) -> (IpAddr, u16) {
    (server.address, server.port)
}

/// What the model calls a service.
const fn selector(id: ServiceId) -> Selector {
    match id {
        ServiceId::Address { protocol, address, port } => {
            let protocol = match protocol {
                Protocol::Tcp => model::Protocol::Tcp,
                Protocol::Udp => model::Protocol::Udp,
                Protocol::Sctp => model::Protocol::Sctp,
            };
            Selector::Address { address, port, protocol }
        }
        ServiceId::Mark { mark, family: Family::V4 } => Selector::Mark { mark, family: vrrp::Family::V4 },
        ServiceId::Mark { mark, family: Family::V6 } => Selector::Mark { mark, family: vrrp::Family::V6 },
    }
}

#[cfg(test)]
mod tests;
