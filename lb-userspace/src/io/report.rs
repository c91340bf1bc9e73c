//! What the daemon tells about itself: the status document and the lines about real servers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Instant,
};

use lb_common::{
    counters::{Counter, Counters},
    layout::{Load, Policy, ServerState as RowState, Stats},
    sched::Method,
};
use tracing::{info, warn};

use super::{
    adm::Kept,
    check::{Account, CheckSpec},
    datapath::{Datapath, Mode},
    effective::Checklist,
    links::Link,
};
use crate::{
    adm::state::Counts,
    config::model::vrrp::VrrpInstance,
    control::{Director, Quorum, RealServer, VirtualService, Way},
    health::Delays,
    plan::{ServiceKey, WantedServer, protocol_name, unmapped},
    status::{self, Configuration, Persistence, Rates, ServerState, Status},
    vrrp::{Numbers, RouterReport, State},
};

/// What is told about.
pub(super) struct Subjects<'a> {
    pub(super) director: &'a Director,
    pub(super) datapath: &'a Datapath,
    /// By services, the counts of real servers that are gone.
    pub(super) retired: &'a BTreeMap<ServiceKey, Stats>,
    pub(super) kept: &'a Kept,
    pub(super) interfaces: &'a [Link],
    pub(super) instances: &'a [VrrpInstance],
    pub(super) numbers: &'a Numbers,
    pub(super) configuration: Configuration,
    /// Services, and real servers of them, that are not as the file says.
    pub(super) by_hand: BTreeSet<(ServiceKey, Option<IpAddr>)>,
    pub(super) checklist: &'a Checklist,
    /// Real servers that are drained, with the weight that they get back.
    pub(super) draining: BTreeMap<(ServiceKey, IpAddr), u16>,
    pub(super) checks: &'a Account,
    /// How long after a check's ruling the maps were as it wants.
    pub(super) effect: &'a Delays,
    /// None if they do not answer.
    pub(super) routers: Option<&'a [RouterReport]>,
    /// Entries and room of the tables of IPv4 and of IPv6; none while nobody collects.
    pub(super) fill: Option<[(u64, u64); 2]>,
    pub(super) mode: Mode,
    pub(super) since: Instant,
}

/// The status document of this moment. Counts that cannot be read are 0 and said in the log.
pub(super) fn status(subjects: &Subjects<'_>) -> Status {
    let Subjects { director, datapath, interfaces, instances, routers, mode, since, .. } = *subjects;
    let counters = datapath.counters().unwrap_or_else(|error| {
        warn!("the packet counters cannot be read: {error:#}");
        Counters::default()
    });
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_seconds: since.elapsed().as_secs(),
        mode: mode.to_string(),
        configuration: subjects.configuration.clone(),
        interfaces: interfaces
            .iter()
            .map(|link| status::Interface { name: link.name.clone(), index: link.index })
            .collect(),
        vrrp_answers: routers.is_some(),
        instances: instances
            .iter()
            .filter_map(|instance| instance_status(instance, routers.unwrap_or_default()))
            .collect(),
        services: director.services.values().map(|service| service_status(service, subjects)).collect(),
        checks: checks_status(subjects.checks, subjects.effect),
        flows: flows_status(subjects.fill),
        counters: Counter::ALL
            .iter()
            .map(|counter| (counter.name().to_owned(), counter.of(&counters)))
            .collect::<BTreeMap<_, _>>(),
    }
}

fn checks_status(account: &Account, effect: &Delays) -> status::Checks {
    let delays = |of: &Delays| of.counts().map(|(within, count)| status::Delay { within, count }).collect();
    status::Checks {
        count: account.checks(),
        distinct: account.machines(),
        lateness: delays(account.lateness()),
        lateness_microseconds: account.lateness().microseconds(),
        effect: delays(effect),
        effect_microseconds: effect.microseconds(),
    }
}

fn flows_status(fill: Option<[(u64, u64); 2]>) -> status::Flows {
    let table = |(entries, capacity)| status::FlowTable { entries, capacity };
    fill.map_or_else(Default::default, |[ipv4, ipv6]| status::Flows { ipv4: table(ipv4), ipv6: table(ipv6) })
}

fn instance_status(instance: &VrrpInstance, routers: &[RouterReport]) -> Option<status::Instance> {
    let router = routers.iter().find(|router| router.name == instance.name)?;
    let left = |until: Instant| until.saturating_duration_since(Instant::now()).as_millis() as u64;
    Some(status::Instance {
        name: router.name.clone(),
        group: router.group.clone(),
        interface: instance.interface.clone()?,
        virtual_router_id: instance.virtual_router_id,
        state: router.state.name().to_owned(),
        seconds: router.since.elapsed().as_secs(),
        priority: router.priority,
        master: router.master,
        source: router.source,
        lease_milliseconds: router.lease.map(left),
        addresses: instance.owned().map(|owned| owned.address).collect(),
        faults: router.faults.clone(),
        masterships: router.transitions.get(&State::Master).copied().unwrap_or_default(),
        transitions: router
            .transitions
            .iter()
            .map(|(state, count)| (state.name().to_owned(), *count))
            .collect(),
        adverts_sent: router.sent,
        adverts_received: router.heard,
        adverts_refused: router
            .refused
            .iter()
            .map(|(reason, count)| (reason.name().to_owned(), *count))
            .collect(),
    })
}

fn service_status(service: &VirtualService, subjects: &Subjects<'_>) -> status::Service {
    let Subjects { datapath, interfaces, numbers, .. } = *subjects;
    let (key, lease) = (service.wanted.key, service.wanted.lease);
    let stats: Vec<Stats> = service.servers.iter().map(|server| stats(datapath, server)).collect();
    let retired = subjects.retired.get(&key).copied().unwrap_or_default();
    let total = stats.iter().copied().fold(retired, Stats::plus);
    let load = |server: &RealServer| datapath.load(server.row.row);
    let total_load = service.servers.iter().map(load).fold(Load::default(), Load::plus);
    let servers = service.servers.iter().zip(service.wanted.servers.iter()).zip(&stats);
    status::Service {
        address: address(&key),
        port: key.port,
        protocol: protocol_name(key.protocol).to_owned(),
        fwmark: key.mark().map(|(_, mark)| mark),
        scheduler: service.wanted.method.scheduler.name().to_owned(),
        scheduler_flags: scheduler_flags(service.wanted.method),
        persistence: persistence(&service.wanted.policy, address(&key)),
        one_packet: service.wanted.policy.has(Policy::ONE_PACKET),
        sloppy: service.wanted.policy.has(Policy::SLOPPY),
        instance: numbers.owner_of_row(lease).map(str::to_owned),
        active: datapath.leases().is_alive(lease),
        quorum: service.wanted.quorum,
        quorum_lost: service.quorum == Quorum::Lost,
        by_hand: subjects.by_hand.contains(&(key, None)),
        connections: total.connections,
        active_connections: total_load.active,
        inactive_connections: total_load.inactive,
        packets: total.packets,
        bytes: total.bytes,
        rates: rates(subjects.kept.rate((key, None))),
        servers: servers
            .map(|((server, wanted), stats)| status::RealServer {
                port: key.port,
                by_hand: subjects.by_hand.contains(&(key, Some(server.rip))),
                rates: rates(subjects.kept.rate((key, Some(server.rip)))),
                checks: server_checks(key, server, subjects.checklist),
                draining: subjects.draining.get(&(key, server.rip)).copied(),
                ..server_status(server, wanted, *stats, load(server), interfaces)
            })
            .collect(),
    }
}

/// The VIP, or of a firewall mark what stands for every address of its family.
fn address(key: &ServiceKey) -> IpAddr {
    match key.mark() {
        Some((false, _)) => Ipv4Addr::UNSPECIFIED.into(),
        Some((true, _)) => Ipv6Addr::UNSPECIFIED.into(),
        None => unmapped(key.vip),
    }
}

fn persistence(policy: &Policy, address: IpAddr) -> Option<Persistence> {
    let bits = u128::from_be_bytes(policy.mask.octets).leading_ones();
    let granularity = if address.is_ipv4() { bits.saturating_sub(96) } else { bits };
    (policy.persistence > 0).then_some(Persistence {
        timeout_seconds: policy.persistence,
        granularity: granularity as u8,
        expire_quiescent: policy.has(Policy::EXPIRE_QUIESCENT),
    })
}

/// Below how many connections a real server is no longer overloaded, if it can be.
fn lower_threshold([upper, lower]: [u32; 2]) -> u32 {
    if lower > 0 { lower } else { upper - upper / 4 }
}

pub(super) fn stats(datapath: &Datapath, server: &RealServer) -> Stats {
    datapath.stats(server.row.row).unwrap_or_else(|error| {
        warn!(server = %server.rip, "its counts cannot be read: {error:#}");
        Stats::default()
    })
}

fn server_status(
    server: &RealServer,
    wanted: &WantedServer,
    stats: Stats,
    load: Load,
    interfaces: &[Link],
) -> status::RealServer {
    let (state, reason) = server.state();
    let hop = match server.way() {
        Way::Through(hop) => Some(*hop),
        Way::Local | Way::None(_) => None,
    };
    let interface = hop.and_then(|hop| interfaces.get(usize::from(hop.port)));
    status::RealServer {
        address: server.rip,
        port: 0,
        weight: server.wanted_weight(),
        upper_threshold: wanted.thresholds[0],
        lower_threshold: lower_threshold(wanted.thresholds),
        state: state_name(server, state),
        reason: reason.map(str::to_owned),
        eligible: server.is_eligible(),
        local: matches!(server.way(), Way::Local),
        sorry: server.is_sorry(),
        by_hand: false,
        checks: Vec::new(),
        draining: None,
        mac: hop.map(|hop| hop.mac.map(|byte| format!("{byte:02x}")).join(":")),
        interface: interface.map(|link| link.name.clone()),
        connections: stats.connections,
        active_connections: load.active,
        inactive_connections: load.inactive,
        packets: stats.packets,
        bytes: stats.bytes,
        rates: Rates::default(),
    }
}

const fn rates(counts: Counts) -> Rates {
    Rates { connections: counts.connections, packets: counts.in_packets, bytes: counts.in_bytes }
}

fn server_checks(key: ServiceKey, server: &RealServer, checklist: &Checklist) -> Vec<status::Check> {
    let check = |spec: &CheckSpec| status::Check {
        kind: spec.probe.keyword().to_owned(),
        failure: server.failure(spec.id).map(str::to_owned),
    };
    checklist.of((key, server.rip)).iter().map(check).collect()
}

fn scheduler_flags(Method { scheduler, flags }: Method) -> Vec<String> {
    let name = scheduler.name();
    let named = [(flags.fallback, "fallback"), (flags.port, "port")];
    named.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| format!("{name}-{flag}")).collect()
}

fn state_name(server: &RealServer, state: RowState) -> ServerState {
    match state {
        _ if server.is_failed() => ServerState::Down,
        RowState::Unresolved => ServerState::Unresolved,
        RowState::Ready | RowState::Local | RowState::Down | RowState::Vacant => ServerState::Up,
    }
}

/// One line about every real server of `services` in one of these rows.
pub(super) fn servers_changed<'a>(services: impl Iterator<Item = &'a VirtualService>, rows: &BTreeSet<u16>) {
    for service in services {
        let key = service.wanted.key;
        for server in service.servers.iter().filter(|server| rows.contains(&server.row.row)) {
            let (rip, (state, reason)) = (server.rip, server.state());
            match (state_name(server, state), reason) {
                (ServerState::Up, _) => info!(server = %rip, service = %key, "real server is up"),
                (ServerState::Down, reason) => {
                    warn!(server = %rip, service = %key, reason, "real server is down");
                }
                (ServerState::Unresolved, reason) => {
                    warn!(server = %rip, service = %key, reason, "real server is unresolved");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lb_common::layout::Address;

    use super::*;

    #[test]
    fn a_policy_is_told_in_the_terms_of_its_family() {
        let policy =
            |mask| Policy { flags: Policy::EXPIRE_QUIESCENT, persistence: 300, mask, ..Policy::default() };
        let told = |mask, address| persistence(&policy(mask), address).map(|told| told.granularity);
        let (v4, v6) = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into());
        assert_eq!(told(Address::mask(96 + 24), v4), Some(24));
        assert_eq!(told(Address::mask(128), v4), Some(32));
        assert_eq!(told(Address::mask(64), v6), Some(64));
        assert_eq!(persistence(&Policy { mask: Address::mask(128), ..Policy::default() }, v4), None);
        assert_eq!(address(&ServiceKey::of_mark(true, 3)), v6);
    }

    #[test]
    fn without_a_lower_threshold_three_quarters_are_meant() {
        assert_eq!([[100, 20], [100, 0], [5, 0], [0, 0]].map(lower_threshold), [20, 75, 4, 0]);
    }
}
