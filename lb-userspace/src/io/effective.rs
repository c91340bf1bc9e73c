//! What of a configuration takes effect: the services to run, the checks of their real servers, and the virtual
//! routers that own their addresses.

mod checklist;
mod limits;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use lb_common::{
    flow::{State, Timeouts},
    layout::{Address, Lease, MarkRule, NO_VMAC, Policy},
    sched,
};

pub(super) use self::checklist::Checklist;
use self::checklist::Probing;
pub(super) use self::limits::exceeded;
use crate::{
    config::model::{
        self, Config, LvsTimeouts, Prefix, Protocol, Scheduler, Selector, SorryServer, VirtualServer, Weight,
        check::{CheckTiming, Checker, Probe},
        vrrp::{Family, Vrrp, VrrpInstance},
    },
    health::{self, Manner, Pace},
    plan::{ServiceKey, Wanted, WantedServer, mapped},
    vrrp::{Numbers, RouterId},
};

/// The services whose checks rest, because `ha_suspend` says so and none of their addresses is here.
pub(super) fn resting(
    config: &Config,
    numbers: &Numbers,
    is_master: impl Fn(RouterId) -> bool,
) -> BTreeSet<ServiceKey> {
    let services = config.served().filter(|service| service.ha_suspend);
    let rests = |selector: &Selector| {
        let mut owners = config.owners(*selector).filter_map(|owner| numbers.of(&owner.name)).peekable();
        owners.peek().is_some() && !owners.any(&is_master)
    };
    let services = services.filter(|service| service.selectors().all(|selector| rests(&selector)));
    services.flat_map(|service| service.selectors()).map(key).collect()
}

/// What follows from a configuration, for the next one to share with it what stays.
#[derive(Clone, Debug, Default)]
pub(super) struct Effective {
    /// The checks of all real servers.
    pub(super) checklist: Checklist,
    services: BTreeMap<ServiceKey, Made>,
    ownership: Arc<Ownership>,
}

/// A service that can run, and what it was made from.
#[derive(Clone, Debug)]
struct Made {
    from: Arc<VirtualServer>,
    wanted: Wanted,
}

/// All that says which virtual router owns which address, and which row of `leases` that one has.
#[derive(Debug, Default)]
struct Ownership {
    vrrp: Vrrp,
    mark_rules: Vec<model::MarkRule>,
    numbers: Numbers,
}

impl Ownership {
    fn of(config: &Config, numbers: &Numbers) -> Self {
        let (vrrp, mark_rules) = (config.vrrp.clone(), config.mark_rules.clone());
        Self { vrrp, mark_rules, numbers: numbers.clone() }
    }

    fn is_of(&self, config: &Config, numbers: &Numbers) -> bool {
        let Self { vrrp, mark_rules, numbers: own } = self;
        (vrrp, mark_rules, own) == (&config.vrrp, &config.mark_rules, numbers)
    }
}

/// The services that can run, in the order of the configuration, and what else follows from it. Checks keep the numbers that
/// they had in `before`, and what is made from the same as there is not made again.
pub(super) fn effective(config: &Config, numbers: &Numbers, before: &Effective) -> (Vec<Wanted>, Effective) {
    let is_owned_as_before = before.ownership.is_of(config, numbers);
    let ownership = if is_owned_as_before {
        Arc::clone(&before.ownership)
    } else {
        Arc::new(Ownership::of(config, numbers))
    };
    let checklist = before.checklist.successor();
    let mut next = Effective { checklist, services: BTreeMap::new(), ownership };
    let mut services = Vec::new();
    for service in config.served() {
        for selector in service.selectors() {
            let key = key(selector);
            let old = before.services.get(&key);
            let is_same = |old: &&Made| is_owned_as_before && Arc::ptr_eq(&old.from, service);
            let wanted = if let Some(old) = old.filter(is_same) {
                next.checklist.keep(&before.checklist, key);
                old.wanted.clone()
            } else {
                let lease = lease(selector, config, numbers);
                let note = |server, found: &[Probing]| next.checklist.note(&before.checklist, server, found);
                let made = wanted(service, selector, lease, note);
                let same = old.filter(|old| old.wanted.servers == made.servers);
                let servers = same.map_or(made.servers, |old| Arc::clone(&old.wanted.servers));
                Wanted { servers, ..made }
            };
            let from = Arc::clone(service);
            next.services.insert(key, Made { from, wanted: wanted.clone() });
            services.push(wanted);
        }
    }
    (services, next)
}

/// The addresses that virtual routers own and to which the packets of a firewall mark's service may go, with the rows of
/// `leases`: whoever owns the address forwards, whichever routers else the mark is for.
pub(super) fn owned(config: &Config, numbers: &Numbers) -> BTreeMap<Address, u16> {
    let selectors = config.served().flat_map(|service| service.selectors());
    let marks = selectors.filter(|selector| matches!(selector, Selector::Mark { .. }));
    let mut owned = BTreeMap::new();
    for instance in marks.flat_map(|mark| config.owners(mark)) {
        let Some(row) = numbers.of(&instance.name).map(RouterId::lease_row) else { continue };
        for address in instance.owned() {
            owned.entry(mapped(address.address)).or_insert(row);
        }
    }
    owned
}

/// The rows of `mark_rules`, in the order of the configuration.
pub(super) fn marks(config: &Config) -> Vec<MarkRule> {
    config.mark_rules.iter().map(mark_rule).collect()
}

fn mark_rule(rule: &model::MarkRule) -> MarkRule {
    let bits = |prefix: Prefix| (mask(prefix.address, prefix.bits), mapped(prefix.address));
    let side = |prefix: Option<Prefix>| prefix.map_or_else(Default::default, bits);
    let ((source_mask, source), (destination_mask, destination)) =
        (side(rule.source), side(rule.destination));
    MarkRule {
        source_mask,
        source: source.masked(&source_mask),
        destination_mask,
        destination: destination.masked(&destination_mask),
        ports: [*rule.ports.start(), *rule.ports.end()],
        protocol: rule.protocol.map_or(0, Protocol::number),
        mark: rule.mark,
        ..MarkRule::default()
    }
}

/// The mask of the first bits of an address as the maps hold it.
fn mask(address: IpAddr, bits: u8) -> Address {
    match address {
        IpAddr::V4(_) => Address::mask(96 + bits),
        IpAddr::V6(_) => Address::mask(bits),
    }
}

/// After what silence flows are to be forgotten, where it is `now` that; what the configuration does not name stays.
pub(super) fn timeouts(config: &Config, now: Timeouts) -> Timeouts {
    let LvsTimeouts { tcp, tcp_fin, udp } = config.timeouts;
    let mut timeouts = now;
    for (state, seconds) in [(State::Established, tcp), (State::FinWait, tcp_fin), (State::Udp, udp)] {
        if let Some(seconds @ 1..) = seconds {
            timeouts.set(state, seconds);
        }
    }
    timeouts
}

/// The rows of `leases` behind row 0: one for each `vrrp_instance` by its number, and empty ones for numbers nobody has.
pub(super) fn leases(config: &Config, numbers: &Numbers) -> Vec<Lease> {
    let lease = |instance: &VrrpInstance| {
        let vrid = instance.virtual_router_id;
        let family = match instance.family {
            Family::V4 => 1,
            Family::V6 => 2,
        };
        Lease::none(vrid, instance.vmac.as_ref().map_or(NO_VMAC, |_| [family, vrid]))
    };
    let mut rows = vec![Lease::none(0, NO_VMAC); numbers.lease_rows() - 1];
    for instance in &config.vrrp.instances {
        if let Some(row) = numbers.of(&instance.name).and_then(|id| rows.get_mut(id.0)) {
            *row = lease(instance);
        }
    }
    rows
}

fn policy(service: &VirtualServer) -> Policy {
    let flags = [
        (service.opening.one_packet, Policy::ONE_PACKET),
        (service.opening.sloppy, Policy::SLOPPY),
        (service.opening.expire_quiescent, Policy::EXPIRE_QUIESCENT),
    ];
    let family = service.selector.family();
    let bits = service.granularity.map_or(family.width(), |granularity| granularity.0);
    Policy {
        flags: flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum(),
        persistence: service.persistence.map_or(0, |timeout| timeout.as_secs() as u32),
        mask: match family {
            Family::V4 => Address::mask(96 + bits),
            Family::V6 => Address::mask(bits),
        },
        ..Policy::default()
    }
}

/// How the maps name what a selection selects.
pub(super) fn key(selector: Selector) -> ServiceKey {
    match selector {
        Selector::Address { address, port, protocol } => {
            ServiceKey { vip: mapped(address), protocol: protocol.number(), port }
        }
        Selector::Mark { mark, family } => ServiceKey::of_mark(family == Family::V6, mark),
    }
}

fn wanted(
    service: &VirtualServer,
    selector: Selector,
    lease: u16,
    mut note: impl FnMut((ServiceKey, IpAddr), &[Probing]) -> Vec<u32>,
) -> Wanted {
    let key = key(selector);
    let scheduler = match service.scheduler {
        Scheduler::Rr => sched::Scheduler::Rr,
        Scheduler::Wrr => sched::Scheduler::Wrr,
        Scheduler::Lc => sched::Scheduler::Lc,
        Scheduler::Wlc => sched::Scheduler::Wlc,
        Scheduler::Lblc => sched::Scheduler::Lblc,
        Scheduler::Lblcr => sched::Scheduler::Lblcr,
        Scheduler::Dh => sched::Scheduler::Dh,
        Scheduler::Sh => sched::Scheduler::Sh,
        Scheduler::Mh => sched::Scheduler::Mh,
        Scheduler::Sed => sched::Scheduler::Sed,
        Scheduler::Nq => sched::Scheduler::Nq,
        Scheduler::Fo => sched::Scheduler::Fo,
        Scheduler::Ovf => sched::Scheduler::Ovf,
        Scheduler::Twos => sched::Scheduler::Twos,
    };
    let flags = sched::Flags { port: service.hash_port, fallback: service.hash_fallback };
    let servers = service.pool().map(|server| {
        let checkers = || server.checkers.iter().filter(|checker| checker.probe.is_available());
        let checks: Vec<_> = checkers().map(probing).collect();
        let numbers = note((key, server.address), &checks);
        let is_alpha = |(checker, number): (&Checker, &u32)| checker.timing.alpha.then_some(*number);
        WantedServer {
            rip: server.address,
            weight: server.weight.0,
            thresholds: [server.upper_threshold, server.lower_threshold],
            inhibit_on_failure: server.inhibit_on_failure,
            alpha: checkers().zip(&numbers).filter_map(is_alpha).collect(),
            checks: numbers,
            is_sorry: false,
            drained: server.drained.map(|weight| weight.0),
        }
    });
    let servers: Vec<_> = servers.chain(service.sorry.as_ref().map(sorry)).collect();
    Wanted {
        key,
        method: sched::Method { scheduler, flags },
        lease,
        policy: policy(service),
        quorum: service.quorum.least,
        hysteresis: service.quorum.hysteresis,
        servers: Arc::new(servers),
    }
}

/// A sorry server has the usual weight, no limits and no checks.
fn sorry(server: &SorryServer) -> WantedServer {
    WantedServer {
        inhibit_on_failure: server.inhibit,
        is_sorry: true,
        ..WantedServer::new(server.address, Weight::default().0)
    }
}

/// The row of `leases` of the virtual router that owns the selection's address; 0 when none does.
fn lease(selector: Selector, config: &Config, numbers: &Numbers) -> u16 {
    config.owner(selector).and_then(|owner| numbers.of(&owner.name)).map_or(0, RouterId::lease_row)
}

fn probing(checker: &Checker) -> Probing {
    let timing = checker.timing;
    let CheckTiming { connect_timeout, retry, delay_before_retry, delay_loop, warmup, .. } = timing;
    let (steps, pace, manner) = match &checker.probe {
        Probe::Http(http) if http.fast_recovery => (http.urls.len(), Pace::FastRecovery, Manner::Pages),
        Probe::Http(http) => (http.urls.len(), Pace::Loop, Manner::Pages),
        Probe::Smtp(_) => (1, Pace::Loop, Manner::BurstsFromStart),
        Probe::Vip(vip) => (vip.targets.len(), Pace::AtOnce, Manner::Usual),
        Probe::Tcp(_) => (1, Pace::Loop, Manner::Bursts),
        Probe::Misc(_) => (1, Pace::Loop, Manner::Programs),
        Probe::Dns(_) | Probe::Udp(_) | Probe::Ping(_) | Probe::File(_) | Probe::Bfd => {
            (1, Pace::Loop, Manner::Usual)
        }
    };
    let settings = health::Settings {
        delay_loop,
        retry,
        delay_before_retry,
        timeout: connect_timeout,
        warmup,
        steps: steps as u32,
        pace,
        manner,
    };
    let probe = Arc::new(checker.probe.clone());
    Probing { probe, settings, log_all_failures: timing.log_all_failures }
}

#[cfg(test)]
mod tests;
