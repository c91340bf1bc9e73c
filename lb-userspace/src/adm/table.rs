//! The table of services as a command changes it, by the rules of the kernel that ipvsadm speaks with.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::{
    command::Command,
    state::{
        Connection, Connections, Counts, Daemon, Family, Forwarding, ListedServer, ListedService, Role,
        Server, ServerId, Service, ServiceId, Timeouts, TunnelType,
    },
};

/// The schedulers that can be asked for; `none` is the lack of one.
const SCHEDULERS: [&str; 15] =
    ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "fo", "ovf", "twos", "none"];
/// The persistence engines that can be asked for.
const ENGINES: [&str; 1] = ["sip"];
/// What a daemon has of which nothing is said.
const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81));
const PORT: u16 = 8848;
const TTL: u8 = 1;
/// What a datagram of a daemon has room for beside its headers, in bytes.
const MTU: u16 = 1500;
const LONGEST: u16 = 65535;
/// A receiver takes messages of this length at least.
const LEAST_RECEIVED: u16 = 1024;

/// Services, timeouts, daemons and connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Those of an address before those of a firewall mark; in a table that commands made, among both the last one added first.
    pub services: Vec<ListedService>,
    /// After what silence connections are forgotten.
    pub timeouts: Timeouts,
    /// The daemons that run, with everything said.
    pub daemons: Vec<Daemon>,
    /// The connections in an order of their own.
    pub connections: Vec<Connection>,
}

/// Why a command changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// `-A` of one that is there.
    #[error("Service already exists")]
    ServiceExists,
    /// A service that is not there.
    #[error("No such service")]
    NoService,
    /// A server of a service that is not there.
    #[error("Service not defined")]
    ServiceUndefined,
    /// `-a` of one that is there.
    #[error("Destination already exists")]
    ServerExists,
    /// A server that is not there.
    #[error("No such destination")]
    NoServer,
    /// A name that no scheduler or engine has.
    #[error("Scheduler or persistence engine not found")]
    NoScheduler,
    /// A lower threshold above the upper one.
    #[error("Numerical result out of range")]
    Range,
    /// What cannot be.
    #[error("Invalid operation.  Possibly wrong module version, address not unicast, ...")]
    Invalid,
    /// `--start-daemon` of one that runs.
    #[error("Daemon has already run")]
    DaemonRuns,
    /// `--stop-daemon` of one that does not run.
    #[error("No daemon is running")]
    NoDaemon,
}

impl Table {
    /// The service with this identity.
    pub fn service(&self, id: ServiceId) -> Option<&ListedService> {
        self.services.iter().find(|listed| listed.service.id == id)
    }

    /// Does what a command says; one that only shows changes nothing.
    ///
    /// # Errors
    /// [`Denial`], and then nothing is changed.
    pub fn apply(&mut self, command: &Command) -> Result<(), Denial> {
        match command {
            Command::AddService(service) => self.add_service(service),
            Command::EditService(service) => {
                let place = self.place(service.id).ok_or(Denial::NoService)?;
                is_known(service)?;
                self.services[place].service = service.clone();
                Ok(())
            }
            Command::DeleteService(id) => {
                let place = self.place(*id).ok_or(Denial::NoService)?;
                self.services.remove(place);
                Ok(())
            }
            Command::Flush => {
                self.services.clear();
                Ok(())
            }
            Command::AddServer(id, server) => self.add_server(*id, server),
            Command::EditServer(id, server) => {
                self.is_possible(*id, server)?;
                let (servers, place) = self.place_of_server(*id, server.id)?;
                servers[place.ok_or(Denial::NoServer)?].server = *server;
                Ok(())
            }
            Command::DeleteServer(id, server) => {
                let (servers, place) = self.place_of_server(*id, *server)?;
                servers.remove(place.ok_or(Denial::NoServer)?);
                Ok(())
            }
            Command::Zero(id) => self.zero(*id),
            Command::SetTimeouts(timeouts) => {
                self.set_timeouts(*timeouts);
                Ok(())
            }
            Command::StartDaemon(daemon) => self.start(daemon),
            Command::StopDaemon(role) => self.stop(*role),
            // The director looks for the real server itself: one that a check took out is not in this table.
            Command::Drain(..) | Command::Undrain(..) => Ok(()),
            Command::List(_) | Command::Save { .. } | Command::Restore | Command::Help | Command::Version => {
                Ok(())
            }
        }
    }

    fn place(&self, id: ServiceId) -> Option<usize> {
        self.services.iter().position(|listed| listed.service.id == id)
    }

    fn add_service(&mut self, service: &Service) -> Result<(), Denial> {
        if self.place(service.id).is_some() {
            return Err(Denial::ServiceExists);
        }
        is_known(service)?;
        let is_mark = |id| matches!(id, ServiceId::Mark { .. });
        let place = if is_mark(service.id) {
            self.services.iter().position(|listed| is_mark(listed.service.id))
        } else {
            Some(0)
        };
        let service = service.clone();
        let (counts, rates) = (Counts::default(), Counts::default());
        let place = place.unwrap_or(self.services.len());
        self.services.insert(place, ListedService { service, counts, rates, servers: Vec::new() });
        Ok(())
    }

    fn place_of_server(
        &mut self,
        id: ServiceId,
        server: ServerId,
    ) -> Result<(&mut Vec<ListedServer>, Option<usize>), Denial> {
        let place = self.place(id).ok_or(Denial::ServiceUndefined)?;
        let servers = &mut self.services[place].servers;
        let place = servers.iter().position(|listed| listed.server.id == server);
        Ok((servers, place))
    }

    fn add_server(&mut self, id: ServiceId, server: &Server) -> Result<(), Denial> {
        self.is_possible(id, server)?;
        let (servers, place) = self.place_of_server(id, server.id)?;
        if place.is_some() {
            return Err(Denial::ServerExists);
        }
        if !is_unicast(server.id.address) {
            return Err(Denial::Invalid);
        }
        let (counts, rates) = (Counts::default(), Counts::default());
        servers
            .insert(0, ListedServer { server: *server, connections: Connections::default(), counts, rates });
        Ok(())
    }

    /// Whether a server may be what it is to be.
    fn is_possible(&self, id: ServiceId, server: &Server) -> Result<(), Denial> {
        if self.service(id).is_none() {
            return Err(Denial::ServiceUndefined);
        }
        let is_mixed = Family::of(server.id.address) != id.family();
        if is_mixed && (server.forwarding != Forwarding::Tunnel || !self.daemons.is_empty()) {
            return Err(Denial::Invalid);
        }
        if server.lower_threshold > server.upper_threshold {
            return Err(Denial::Range);
        }
        if server.tunnel.kind == TunnelType::Gue && server.tunnel.port == 0 {
            return Err(Denial::Invalid);
        }
        Ok(())
    }

    fn zero(&mut self, id: Option<ServiceId>) -> Result<(), Denial> {
        let services = match id {
            Some(id) => {
                let place = self.place(id).ok_or(Denial::NoService)?;
                &mut self.services[place..=place]
            }
            None => &mut self.services[..],
        };
        for listed in services {
            (listed.counts, listed.rates) = (Counts::default(), Counts::default());
            for server in &mut listed.servers {
                (server.counts, server.rates) = (Counts::default(), Counts::default());
            }
        }
        Ok(())
    }

    fn set_timeouts(&mut self, asked: Timeouts) {
        let now = &mut self.timeouts;
        for (value, asked) in
            [(&mut now.tcp, asked.tcp), (&mut now.tcp_fin, asked.tcp_fin), (&mut now.udp, asked.udp)]
        {
            if asked != 0 {
                *value = asked;
            }
        }
    }

    fn start(&mut self, asked: &Daemon) -> Result<(), Denial> {
        let is_mixed = |listed: &ListedService| {
            let family = listed.service.id.family();
            listed.servers.iter().any(|server| Family::of(server.server.id.address) != family)
        };
        if self.services.iter().any(is_mixed) {
            return Err(Denial::Invalid);
        }
        if self.daemons.iter().any(|daemon| daemon.role == asked.role) {
            return Err(Denial::DaemonRuns);
        }
        let group = asked.group.unwrap_or(GROUP);
        let headers = if group.is_ipv4() { 28 } else { 48 };
        let least = if asked.role == Role::Backup { LEAST_RECEIVED } else { 1 };
        let length = asked.max_length.map_or(MTU - headers, |length| length.clamp(least, LONGEST - headers));
        self.daemons.push(Daemon {
            max_length: Some(length),
            group: Some(group),
            port: Some(asked.port.unwrap_or(PORT)),
            ttl: Some(asked.ttl.unwrap_or(TTL)),
            ..asked.clone()
        });
        Ok(())
    }

    fn stop(&mut self, role: Role) -> Result<(), Denial> {
        let place = self.daemons.iter().position(|daemon| daemon.role == role).ok_or(Denial::NoDaemon)?;
        self.daemons.remove(place);
        Ok(())
    }
}

/// Whether there are such a scheduler and such an engine.
fn is_known(service: &Service) -> Result<(), Denial> {
    let Service { scheduler, engine, .. } = service;
    let knows_engine = engine.is_empty() || ENGINES.contains(&engine.as_str());
    if SCHEDULERS.contains(&scheduler.as_str()) && knows_engine { Ok(()) } else { Err(Denial::NoScheduler) }
}

/// Whether a server can have this address; what addresses and networks this host has plays no part.
fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[0] != 0 && !v4.is_multicast() && !v4.is_broadcast(),
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast() && !v6.is_unicast_link_local(),
    }
}
