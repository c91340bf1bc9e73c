//! Every metric there is.

use std::fmt;

use prometheus_client::registry::Unit;

use super::page::{Label, Metric, Page};
use crate::{
    status::{Configuration, FlowTable, Instance, RealServer, ServerState, Service, Status},
    vrrp::State,
};

const SECONDS: Option<&Unit> = Some(&Unit::Seconds);
const BYTES: Option<&Unit> = Some(&Unit::Bytes);

pub(super) fn write(status: &Status, page: &mut Page<'_>) -> fmt::Result {
    daemon(status, page)?;
    configuration(&status.configuration, page)?;
    let answers =
        Metric("vrrp_answers", None, "1 while the virtual routers answer; else there is nothing of them");
    page.gauge(answers, [([], truth(status.vrrp_answers))])?;
    instances(&status.instances, page)?;
    adverts(&status.instances, page)?;
    let names: Vec<String> = status.services.iter().map(Service::name).collect();
    let services: Vec<_> = names.iter().map(String::as_str).zip(&status.services).collect();
    standing(&services, page)?;
    traffic(&services, page)?;
    servers(&services, page)?;
    checks(status, page)?;
    packets(status, page)
}

fn daemon(status: &Status, page: &mut Page<'_>) -> fmt::Result {
    let build = Metric("build", None, "The version that runs");
    page.info(build, [[("version", status.version.as_str())]])?;
    let uptime = Metric("uptime", SECONDS, "For how long the director has been ready");
    page.gauge(uptime, [([], status.uptime_seconds)])?;
    let interface = Metric("interface", None, "The interfaces with the XDP program, and how it is attached");
    let interfaces = status.interfaces.iter();
    page.info(interface, interfaces.map(|at| [("interface", at.name.as_str()), ("mode", &status.mode)]))
}

fn configuration(configuration: &Configuration, page: &mut Page<'_>) -> fmt::Result {
    let Configuration { seconds, reloads, failures, failure, .. } = configuration;
    let age = Metric("configuration_age", SECONDS, "For how long the configuration has been in force");
    page.gauge(age, [([], *seconds)])?;
    let good = Metric("configuration_last_reload_successful", None, "1 unless the last reload failed");
    page.gauge(good, [([], truth(failure.is_none()))])?;
    let replaced = Metric("configuration_reloads", None, "Reloads that put another configuration into force");
    page.counter(replaced, [([], *reloads)])?;
    let failed = Metric("configuration_reload_failures", None, "Reloads that failed");
    page.counter(failed, [([], *failures)])
}

fn instances(instances: &[Instance], page: &mut Page<'_>) -> fmt::Result {
    let each = || instances.iter().map(|instance| (name(instance), instance));
    let ids: Vec<String> = instances.iter().map(|instance| instance.virtual_router_id.to_string()).collect();
    let info = Metric("vrrp_instance", None, "The virtual routers");
    page.info(
        info,
        each().zip(&ids).map(|((name, instance), id)| {
            let group = instance.group.as_deref().unwrap_or_default();
            [name, ("interface", &instance.interface), ("virtual_router_id", id), ("group", group)]
        }),
    )?;
    let state = Metric("vrrp_state", None, "1 for the state that the virtual router is in");
    page.gauge(
        state,
        each().flat_map(|(name, instance)| {
            let is_in = |state: State| truth(instance.state == state.name());
            State::ALL.map(|state| ([name, ("state", state.name())], is_in(state)))
        }),
    )?;
    let age = Metric("vrrp_state_age", SECONDS, "For how long the virtual router has been in its state");
    page.gauge(age, each().map(|(name, instance)| ([name], instance.seconds)))?;
    let transitions = Metric("vrrp_transitions", None, "How often the virtual router went into a state");
    page.counter(
        transitions,
        each().flat_map(|(name, instance)| {
            let count = |state: State| instance.transitions.get(state.name()).copied().unwrap_or_default();
            State::ALL.map(|state| ([name, ("state", state.name())], count(state)))
        }),
    )?;
    let priority = Metric("vrrp_priority", None, "The effective priority");
    page.gauge(priority, each().map(|(name, instance)| ([name], u64::from(instance.priority))))?;
    let faults = Metric("vrrp_faults", None, "For how many reasons the virtual router is in fault");
    page.gauge(faults, each().map(|(name, instance)| ([name], instance.faults.len() as u64)))?;
    let lease =
        Metric("vrrp_lease", SECONDS, "For how long it may forward without another advert of its own");
    page.gauge(
        lease,
        each().filter_map(|(name, instance)| Some(([name], instance.lease_milliseconds? as f64 / 1e3))),
    )
}

fn adverts(instances: &[Instance], page: &mut Page<'_>) -> fmt::Result {
    let each = || instances.iter().map(|instance| (name(instance), instance));
    let sent = Metric("vrrp_adverts_sent", None, "Adverts sent");
    page.counter(sent, each().map(|(name, instance)| ([name], instance.adverts_sent)))?;
    let received = Metric("vrrp_adverts_received", None, "Adverts heard and accepted");
    page.counter(received, each().map(|(name, instance)| ([name], instance.adverts_received)))?;
    let refused = Metric("vrrp_adverts_refused", None, "Adverts refused, by reason");
    page.counter(
        refused,
        each().flat_map(|(name, instance)| {
            let reasons = instance.adverts_refused.iter();
            reasons.map(move |(reason, count)| ([name, ("reason", reason.as_str())], *count))
        }),
    )
}

fn name(instance: &Instance) -> Label<'_> {
    ("vrrp_instance", &instance.name)
}

/// Services with their names.
type Named<'a> = [(&'a str, &'a Service)];

fn standing(services: &Named<'_>, page: &mut Page<'_>) -> fmt::Result {
    let info =
        Metric("service", None, "The virtual services, and the virtual routers that own their addresses");
    page.info(
        info,
        services.iter().map(|(name, service)| {
            let owner = service.instance.as_deref().unwrap_or_default();
            [("service", *name), ("scheduler", &service.scheduler), ("vrrp_instance", owner)]
        }),
    )?;
    let active = Metric("service_active", None, "1 where this node forwards for the service");
    page.gauge(active, of_services(services, |service| truth(service.active)))?;
    let quorum = Metric("service_quorum", None, "The weight of real servers that must be up");
    page.gauge(quorum, of_services(services, |service| u64::from(service.quorum)))?;
    let lost = Metric("service_quorum_lost", None, "1 where less is up");
    page.gauge(lost, of_services(services, |service| truth(service.quorum_lost)))
}

fn traffic(services: &Named<'_>, page: &mut Page<'_>) -> fmt::Result {
    let active = Metric("service_active_connections", None, "Connections in an active state, as IPVS counts");
    page.gauge(active, of_services(services, |service| u64::from(service.active_connections)))?;
    let inactive =
        Metric("service_inactive_connections", None, "The other connections: closing ones, and UDP");
    page.gauge(inactive, of_services(services, |service| u64::from(service.inactive_connections)))?;
    let connections = Metric("service_connections", None, "Connections scheduled");
    page.counter(connections, of_services(services, |service| service.connections))?;
    let packets = Metric("service_packets", None, "Packets from clients that were forwarded");
    page.counter(packets, of_services(services, |service| service.packets))?;
    let bytes = Metric("service", BYTES, "Bytes of these packets from the IP header on");
    page.counter(bytes, of_services(services, |service| service.bytes))
}

fn of_services<'a>(
    services: &'a Named<'a>,
    value: impl Fn(&Service) -> u64,
) -> impl Iterator<Item = ([Label<'a>; 1], u64)> {
    services.iter().map(move |(name, service)| ([("service", *name)], value(service)))
}

fn servers(services: &Named<'_>, page: &mut Page<'_>) -> fmt::Result {
    let names: Vec<Vec<String>> =
        services.iter().map(|(_, service)| service.servers.iter().map(RealServer::name).collect()).collect();
    let of = |value: fn(&RealServer) -> u64| {
        services.iter().zip(&names).flat_map(move |((service, of), names)| {
            let servers = of.servers.iter().zip(names);
            servers.map(move |(server, name)| ([("service", *service), ("server", name)], value(server)))
        })
    };
    let up = Metric("real_server_up", None, "1 while its checks pass and the way to it is known");
    page.gauge(up, of(|server| truth(server.state == ServerState::Up)))?;
    let eligible = Metric("real_server_eligible", None, "1 while new connections may go to it");
    page.gauge(eligible, of(|server| truth(server.eligible)))?;
    let weight = Metric("real_server_weight", None, "The weight configured, with what checks make of it");
    page.gauge(weight, of(|server| server.weight.into()))?;
    let failing = Metric("real_server_failing_checks", None, "Checks that keep it out");
    page.gauge(
        failing,
        of(|server| server.checks.iter().filter(|check| check.failure.is_some()).count() as u64),
    )?;
    let active =
        Metric("real_server_active_connections", None, "Connections in an active state, as IPVS counts");
    page.gauge(active, of(|server| server.active_connections.into()))?;
    let inactive =
        Metric("real_server_inactive_connections", None, "The other connections: closing ones, and UDP");
    page.gauge(inactive, of(|server| server.inactive_connections.into()))?;
    let connections = Metric("real_server_connections", None, "Connections scheduled");
    page.counter(connections, of(|server| server.connections))?;
    let packets = Metric("real_server_packets", None, "Packets from clients that were forwarded");
    page.counter(packets, of(|server| server.packets))?;
    let bytes = Metric("real_server", BYTES, "Bytes of these packets from the IP header on");
    page.counter(bytes, of(|server| server.bytes))
}

fn checks(status: &Status, page: &mut Page<'_>) -> fmt::Result {
    let checks = &status.checks;
    let count = Metric("checks", None, "Checks of real servers");
    page.gauge(count, [([], checks.count as u64)])?;
    let distinct =
        Metric("checks_distinct", None, "As how many they are made: what is the same is made once");
    page.gauge(distinct, [([], checks.distinct as u64)])?;
    let lateness = Metric("check_lateness", SECONDS, "How long after their moment probes began");
    page.delays(lateness, &checks.lateness, checks.lateness_microseconds)?;
    let effect = Metric("check_effect", SECONDS, "How long after a verdict the data plane was as it wants");
    page.delays(effect, &checks.effect, checks.effect_microseconds)
}

fn packets(status: &Status, page: &mut Page<'_>) -> fmt::Result {
    let packets = Metric("packets", None, "Packets by what the XDP program did with them, and why");
    page.counter(
        packets,
        status.counters.iter().map(|(name, count)| {
            let (action, reason) = name.split_once('_').unwrap_or((name, name));
            ([("action", action), ("reason", reason)], *count)
        }),
    )?;
    let families = [("ipv4", status.flows.ipv4), ("ipv6", status.flows.ipv6)];
    let of = |value: fn(FlowTable) -> u64| {
        families.map(move |(family, table)| ([("family", family)], value(table)))
    };
    let entries = Metric("flow_table_entries", None, "Connections and templates in the table");
    page.gauge(entries, of(|table| table.entries))?;
    let capacity = Metric("flow_table_capacity", None, "For how many there is room");
    page.gauge(capacity, of(|table| table.capacity))
}

fn truth(is_so: bool) -> u64 {
    is_so.into()
}
