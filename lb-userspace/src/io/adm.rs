//! What runs, as ipvsadm shows it, and what it changes.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use lb_common::{
    flow::State,
    layout::{Policy, Stats},
};

use super::{connections::Templates, datapath::Datapath, report};
use crate::{
    adm::{
        Command, Rate, Scope, Table,
        state::{
            Connections, Counts, Daemon, Family, Forwarding, ListedServer, ListedService, Netmask, Protocol,
            SchedulerFlags, Server, ServerId, Service, ServiceId, Timeouts, Tunnel,
        },
    },
    control::{Director, RealServer, VirtualService},
    plan::{Difference, ServiceKey, WantedServer, unmapped},
};

/// What is kept for ipvsadm alone.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The synchronisation daemons that were asked for. They do nothing yet.
    daemons: Vec<Daemon>,
    /// What services and their real servers had counted when they were last set to zero.
    zeros: BTreeMap<Whose, Stats>,
    rates: BTreeMap<Whose, Rate>,
    /// From which service on the next part of a sample is taken.
    next: usize,
    /// How many parts of it were taken.
    turns: u32,
}

/// How many parts a sample has.
pub(super) const SLICES: u32 = 8;

/// Of a service, or of a real server of it.
type Whose = (ServiceKey, Option<IpAddr>);

/// What tables are made of.
pub(super) struct Sight<'a> {
    pub(super) director: &'a Director,
    pub(super) datapath: &'a Datapath,
    /// By services, the counts of real servers that are gone.
    pub(super) retired: &'a BTreeMap<ServiceKey, Stats>,
}

impl Kept {
    /// Begins with what was counted already, by a daemon before.
    pub(super) fn new(sight: &Sight<'_>) -> Self {
        let counted = sight.director.services.values().flat_map(|service| counted(service, sight));
        let rates = counted.map(|(whose, stats)| (whose, Rate::from(counts(stats, Stats::default()))));
        Self { rates: rates.collect(), ..Self::default() }
    }

    /// The table of this moment. Real servers are those that get connections, as IPVS lists them: one whose check failed is
    /// not there, or has no weight.
    pub(super) fn table(&self, sight: &Sight<'_>, templates: &Templates, scope: &Scope) -> Table {
        let timeouts = sight.datapath.timeouts();
        let is_meant = |service: &&VirtualService| match scope {
            Scope::Whole => true,
            Scope::Only(services) => services.contains(&service_id(&service.wanted.key)),
        };
        let services = sight.director.services.values().filter(is_meant);
        Table {
            services: services.map(|service| self.service(service, sight, templates)).collect(),
            timeouts: Timeouts {
                tcp: timeouts.seconds[State::Established as usize],
                tcp_fin: timeouts.seconds[State::FinWait as usize],
                udp: timeouts.seconds[State::Udp as usize],
            },
            daemons: self.daemons.clone(),
            connections: Vec::new(),
        }
    }

    /// Keeps what a command says that only ipvsadm shows. `table` is what it made of what `sight` sees.
    pub(super) fn keep(&mut self, command: &Command, table: &Table, sight: &Sight<'_>) {
        match command {
            Command::StartDaemon(_) | Command::StopDaemon(_) => self.daemons.clone_from(&table.daemons),
            Command::Zero(id) => {
                let is_meant =
                    |service: &VirtualService| id.is_none_or(|id| id == service_id(&service.wanted.key));
                let services = sight.director.services.values().filter(|service| is_meant(service));
                for (whose, stats) in services.flat_map(|service| counted(service, sight)) {
                    self.zeros.insert(whose, stats);
                    self.rates.insert(whose, Rate::from(counts(stats, Stats::default())));
                }
            }
            _ => {}
        }
    }

    /// Forgets what it knows of services and real servers that are gone, whose counts begin anew if they come back.
    pub(super) fn forget(&mut self, difference: &Difference) {
        let services = difference.gone.iter().map(|service| (service.key, None));
        let servers = difference.servers_that_go().map(|(key, server)| (key, Some(server.rip)));
        for whose in services.chain(servers) {
            self.zeros.remove(&whose);
            self.rates.remove(&whose);
        }
    }

    /// Takes a part of a sample of what is counted, so that nobody waits for long; to be called [`SLICES`] times in every
    /// [`crate::adm::SAMPLE`].
    pub(super) fn sample(&mut self, sight: &Sight<'_>) {
        let services = &sight.director.services;
        let part = services.len().div_ceil(SLICES as usize);
        let part_of_them = services.values().skip(self.next).take(part);
        for (whose, stats) in part_of_them.flat_map(|service| counted(service, sight)) {
            // Who comes while the daemon runs has counted since then only.
            let rate = self.rates.entry(whose).or_insert_with(|| Rate::from(Counts::default()));
            rate.sample(counts(stats, Stats::default()));
        }
        self.next += part;
        self.turns += 1;
        if self.turns == SLICES {
            (self.next, self.turns) = (0, 0);
        }
    }

    pub(super) fn rate(&self, whose: Whose) -> Counts {
        self.rates.get(&whose).map(Rate::per_second).unwrap_or_default()
    }

    fn service(&self, service: &VirtualService, sight: &Sight<'_>, templates: &Templates) -> ListedService {
        let wanted = &service.wanted;
        let id = service_id(&wanted.key);
        let (method, policy) = (wanted.method, wanted.policy);
        let counted: BTreeMap<Whose, Stats> = counted(service, sight).collect();
        let counts = |rip| {
            let whose = (wanted.key, rip);
            let zero = self.zeros.get(&whose).copied().unwrap_or_default();
            (counts(counted.get(&whose).copied().unwrap_or_default(), zero), self.rate(whose))
        };
        let servers = service.listed().map(|(server, wanted)| {
            let load = sight.datapath.load(server.row.row);
            let persistent = templates.get(&(server.row.row, server.row.generation)).copied().unwrap_or(0);
            let (counts, rates) = counts(Some(server.rip));
            ListedServer {
                server: listed(server, wanted, service.wanted.key.port),
                connections: Connections { active: load.active, inactive: load.inactive, persistent },
                counts,
                rates,
            }
        });
        let servers = servers.collect();
        let (counts, rates) = counts(None);
        ListedService {
            service: Service {
                id,
                scheduler: method.scheduler.name().to_owned(),
                flags: SchedulerFlags([method.flags.fallback, method.flags.port, false]),
                persistence: Some(policy.persistence).filter(|seconds| *seconds > 0),
                netmask: netmask(&policy, id.family()),
                engine: String::new(),
                one_packet: policy.has(Policy::ONE_PACKET),
            },
            counts,
            rates,
            servers,
        }
    }
}

fn listed(server: &RealServer, wanted: &WantedServer, port: u16) -> Server {
    let [upper_threshold, lower_threshold] = wanted.thresholds;
    Server {
        id: ServerId { address: server.rip, port },
        // So Linux shows a server that is the director itself, too.
        forwarding: Forwarding::Route,
        tunnel: Tunnel::default(),
        weight: server.listed_weight().into(),
        upper_threshold,
        lower_threshold,
    }
}

/// What was counted since `zero`. Under direct routing nothing is seen of what servers answer.
const fn counts(stats: Stats, zero: Stats) -> Counts {
    Counts {
        connections: stats.connections.saturating_sub(zero.connections),
        in_packets: stats.packets.saturating_sub(zero.packets),
        out_packets: 0,
        in_bytes: stats.bytes.saturating_sub(zero.bytes),
        out_bytes: 0,
    }
}

/// What each of a service's real servers has counted, and then the service with those that are gone; each is read once.
fn counted(service: &VirtualService, sight: &Sight<'_>) -> impl Iterator<Item = (Whose, Stats)> {
    let key = service.wanted.key;
    let mut all: Vec<(Whose, Stats)> = service
        .servers
        .iter()
        .map(|server| ((key, Some(server.rip)), report::stats(sight.datapath, server)))
        .collect();
    let retired = sight.retired.get(&key).copied().unwrap_or_default();
    let total = all.iter().fold(retired, |sum, (_, stats)| sum.plus(*stats));
    all.push(((key, None), total));
    all.into_iter()
}

fn service_id(key: &ServiceKey) -> ServiceId {
    match key.mark() {
        Some((is_v6, mark)) => ServiceId::Mark { mark, family: if is_v6 { Family::V6 } else { Family::V4 } },
        None => ServiceId::Address {
            protocol: [Protocol::Udp, Protocol::Sctp]
                .into_iter()
                .find(|protocol| protocol.number() == key.protocol)
                .unwrap_or(Protocol::Tcp),
            address: unmapped(key.vip),
            port: key.port,
        },
    }
}

fn netmask(policy: &Policy, family: Family) -> Netmask {
    let bits = u128::from_be_bytes(policy.mask.octets).leading_ones();
    match family {
        _ if policy.persistence == 0 => Netmask::whole(family),
        Family::V4 => {
            let bits = bits.saturating_sub(96);
            Netmask::V4(Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - bits).unwrap_or(0)))
        }
        Family::V6 => Netmask::V6(bits),
    }
}
