//! What runs, as ipvsadm shows it, and what it changes.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use lb_common::{
    flow::State,
    layout::{Policy, Stats},
};

use super::{datapath::Datapath, report};
use crate::{
    adm::{
        Command, Rate, Table,
        state::{
            Connections, Counts, Daemon, Family, Forwarding, ListedServer, ListedService, Netmask, Protocol,
            SchedulerFlags, Server, ServerId, Service, ServiceId, Timeouts, Tunnel,
        },
    },
    control::{Director, RealServer, VirtualService},
    plan::{ServiceKey, WantedServer, unmapped},
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
        let mut kept = Self::default();
        for service in sight.director.services.values() {
            let key = service.wanted.key;
            let mut begin = |whose, stats| {
                kept.rates.insert(whose, Rate::from(counts(stats, Stats::default())));
            };
            begin((key, None), total(service, sight));
            for server in &service.servers {
                begin((key, Some(server.rip)), report::stats(sight.datapath, server));
            }
        }
        kept
    }

    /// The table of this moment. Real servers are those that get connections, as IPVS lists them: one whose check failed is
    /// not there, or has no weight.
    pub(super) fn table(&self, sight: &Sight<'_>) -> Table {
        let timeouts = sight.datapath.timeouts();
        Table {
            services: sight.director.services.values().map(|service| self.service(service, sight)).collect(),
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
                for service in sight.director.services.values().filter(|service| is_meant(service)) {
                    let key = service.wanted.key;
                    for server in &service.servers {
                        self.begin((key, Some(server.rip)), report::stats(sight.datapath, server));
                    }
                    self.begin((key, None), total(service, sight));
                }
            }
            _ => {}
        }
    }

    /// Forgets what it knows of services and real servers that are gone, whose counts begin anew if they come back.
    pub(super) fn forget(&mut self, director: &Director) {
        let is_there = |(key, rip): &Whose| {
            director.services.get(key).is_some_and(|service| {
                rip.is_none_or(|rip| service.servers.iter().any(|server| server.rip == rip))
            })
        };
        self.zeros.retain(|whose, _| is_there(whose));
        self.rates.retain(|whose, _| is_there(whose));
    }

    /// Takes a part of a sample of what is counted, so that nobody waits for long; to be called [`SLICES`] times in every
    /// [`crate::adm::SAMPLE`].
    pub(super) fn sample(&mut self, sight: &Sight<'_>) {
        let services = &sight.director.services;
        let part = services.len().div_ceil(SLICES as usize);
        for service in services.values().skip(self.next).take(part) {
            let key = service.wanted.key;
            let mut sum = sight.retired.get(&key).copied().unwrap_or_default();
            for server in &service.servers {
                let stats = report::stats(sight.datapath, server);
                sum = sum.plus(stats);
                self.sample_of((key, Some(server.rip)), stats);
            }
            self.sample_of((key, None), sum);
        }
        self.next += part;
        self.turns += 1;
        if self.turns == SLICES {
            (self.next, self.turns) = (0, 0);
        }
    }

    fn sample_of(&mut self, whose: Whose, stats: Stats) {
        let counts = counts(stats, Stats::default());
        // Who comes while the daemon runs has counted since then only.
        self.rates.entry(whose).or_insert_with(|| Rate::from(Counts::default())).sample(counts);
    }

    /// Lets what is told begin with nothing from here on.
    fn begin(&mut self, whose: Whose, stats: Stats) {
        self.zeros.insert(whose, stats);
        self.rates.insert(whose, Rate::from(counts(stats, Stats::default())));
    }

    fn rate(&self, whose: Whose) -> Counts {
        self.rates.get(&whose).map(Rate::per_second).unwrap_or_default()
    }

    fn service(&self, service: &VirtualService, sight: &Sight<'_>) -> ListedService {
        let wanted = &service.wanted;
        let id = service_id(&wanted.key);
        let (method, policy) = (wanted.method, wanted.policy);
        let servers = service.listed().map(|(server, wanted)| self.server(service, server, wanted, sight));
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
            counts: self.counts((wanted.key, None), total(service, sight)),
            rates: self.rate((wanted.key, None)),
            servers: servers.collect(),
        }
    }

    fn server(
        &self,
        service: &VirtualService,
        server: &RealServer,
        wanted: &WantedServer,
        sight: &Sight<'_>,
    ) -> ListedServer {
        let key = service.wanted.key;
        let load = sight.datapath.load(server.row.row);
        let [upper_threshold, lower_threshold] = wanted.thresholds;
        ListedServer {
            server: Server {
                id: ServerId { address: server.rip, port: key.port },
                // So Linux shows a server that is the director itself, too.
                forwarding: Forwarding::Route,
                tunnel: Tunnel::default(),
                weight: if server.is_failed() { 0 } else { server.wanted_weight().into() },
                upper_threshold,
                lower_threshold,
            },
            connections: Connections { active: load.active, inactive: load.inactive, persistent: 0 },
            counts: self.counts((key, Some(server.rip)), report::stats(sight.datapath, server)),
            rates: self.rate((key, Some(server.rip))),
        }
    }

    fn counts(&self, whose: Whose, stats: Stats) -> Counts {
        counts(stats, self.zeros.get(&whose).copied().unwrap_or_default())
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

fn total(service: &VirtualService, sight: &Sight<'_>) -> Stats {
    let retired = sight.retired.get(&service.wanted.key).copied().unwrap_or_default();
    let stats = service.servers.iter().map(|server| report::stats(sight.datapath, server));
    stats.fold(retired, Stats::plus)
}

fn service_id(key: &ServiceKey) -> ServiceId {
    match key.mark() {
        Some((is_v6, mark)) => ServiceId::Mark { mark, family: if is_v6 { Family::V6 } else { Family::V4 } },
        None => ServiceId::Address {
            protocol: match key.protocol {
                17 => Protocol::Udp,
                132 => Protocol::Sctp,
                _ => Protocol::Tcp,
            },
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
