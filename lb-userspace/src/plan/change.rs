//! What a reload changes, for people.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use lb_common::layout::Policy;

use super::{Difference, ServiceKey, Wanted, WantedServer};

/// One thing that is no longer as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A virtual service came, with so many real servers.
    Added(ServiceKey, usize),
    /// One is gone.
    Removed(ServiceKey),
    /// It picks by another scheduler: by which, and now by which.
    Scheduler(ServiceKey, &'static str, &'static str),
    /// Its scheduler has other flags.
    Flags(ServiceKey),
    /// Its persistence, `ops`, `sloppy_tcp` or `expire_quiescent_template` is another.
    Policy(ServiceKey),
    /// Another virtual router owns it, or none.
    Owner(ServiceKey),
    /// A real server came, with this weight.
    ServerAdded(ServiceKey, IpAddr, u16),
    /// One is gone.
    ServerRemoved(ServiceKey, IpAddr),
    /// It has another weight: which it had, and which it has.
    Weight(ServiceKey, IpAddr, u16, u16),
    /// It is drained by hand: the weight it had.
    Drained(ServiceKey, IpAddr, u16),
    /// It is no longer: the weight it has.
    Undrained(ServiceKey, IpAddr, u16),
    /// Its thresholds, `inhibit_on_failure` or number of checks is another.
    Server(ServiceKey, IpAddr),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(service, servers) => write!(f, "{service}: added, real servers: {servers}"),
            Self::Removed(service) => write!(f, "{service}: removed"),
            Self::Scheduler(service, from, to) => write!(f, "{service}: scheduler {from} is now {to}"),
            Self::Flags(service) => write!(f, "{service}: the scheduler's flags changed"),
            Self::Policy(service) => {
                write!(f, "{service}: persistence or the rules for new connections changed")
            }
            Self::Owner(service) => write!(f, "{service}: the virtual router that owns it changed"),
            Self::ServerAdded(service, rip, weight) => {
                write!(f, "{service}: real server {rip} added with weight {weight}")
            }
            Self::ServerRemoved(service, rip) => write!(f, "{service}: real server {rip} removed"),
            Self::Weight(service, rip, from, to) => {
                write!(f, "{service}: real server {rip} weight {from} is now {to}")
            }
            Self::Drained(service, rip, weight) => {
                write!(f, "{service}: real server {rip} is drained, weight {weight} before")
            }
            Self::Undrained(service, rip, weight) => {
                write!(f, "{service}: real server {rip} is no longer drained, weight {weight}")
            }
            Self::Server(service, rip) => {
                write!(f, "{service}: real server {rip} has other thresholds, checks or inhibit_on_failure")
            }
        }
    }
}

/// What is another, for people: first what is gone, then in the order of the configuration.
pub fn changes(difference: &Difference) -> Vec<Change> {
    let mut changes: Vec<Change> =
        difference.gone.iter().map(|service| Change::Removed(service.key)).collect();
    for (old, new) in &difference.others {
        match old {
            Some(old) => of_service(old, new, &mut changes),
            None => changes.push(Change::Added(new.key, new.servers.len())),
        }
    }
    changes
}

fn of_service(old: &Wanted, new: &Wanted, changes: &mut Vec<Change>) {
    let key = new.key;
    let [from, to] = [old, new].map(|service| service.method.scheduler.name());
    if from != to {
        changes.push(Change::Scheduler(key, from, to));
    } else if old.method != new.method {
        changes.push(Change::Flags(key));
    }
    if !same_policy(&old.policy, &new.policy) {
        changes.push(Change::Policy(key));
    }
    if old.lease != new.lease {
        changes.push(Change::Owner(key));
    }
    let mut servers: BTreeMap<IpAddr, &WantedServer> =
        old.servers.iter().map(|server| (server.rip, server)).collect();
    let mut others = Vec::new();
    for server in new.servers.iter() {
        match servers.remove(&server.rip) {
            None => others.push(Change::ServerAdded(key, server.rip, server.weight)),
            Some(old) => {
                match (old.drained, server.drained) {
                    (None, Some(weight)) => others.push(Change::Drained(key, server.rip, weight)),
                    (Some(_), None) => others.push(Change::Undrained(key, server.rip, server.weight)),
                    _ if old.weight == server.weight => {}
                    _ => others.push(Change::Weight(key, server.rip, old.weight, server.weight)),
                }
                if *server != (WantedServer { weight: server.weight, drained: server.drained, ..old.clone() })
                {
                    others.push(Change::Server(key, server.rip));
                }
            }
        }
    }
    changes.extend(servers.into_keys().map(|rip| Change::ServerRemoved(key, rip)));
    changes.extend(others);
}

/// The mask says something only with persistence.
fn same_policy(old: &Policy, new: &Policy) -> bool {
    old == new || (old.flags == new.flags && old.persistence == 0 && new.persistence == 0)
}

#[cfg(test)]
mod tests {
    use lb_common::sched::Scheduler;

    use super::*;
    use crate::plan::testing::{difference, key, service};

    fn changes(before: &[Wanted], after: &[Wanted]) -> Vec<Change> {
        super::changes(&difference(before, after))
    }

    #[test]
    fn every_change_is_named_once_and_nothing_else() {
        let before = [service(80, &[1, 2, 3]), service(81, &[1]), service(82, &[1])];
        assert_eq!(changes(&before, &before), []);
        let mut moved = service(80, &[3, 4, 2]);
        moved.servers_mut()[0].weight = 7;
        moved.servers_mut()[2].inhibit_on_failure = true;
        let mut other = Wanted { method: Scheduler::Sh.into(), lease: 9, ..service(81, &[1]) };
        other.policy.persistence = 60;
        let said: Vec<String> =
            changes(&before, &[moved, other, service(83, &[1, 2])]).iter().map(Change::to_string).collect();
        assert_eq!(
            said,
            [
                "TCP 10.0.0.100:82: removed",
                "TCP 10.0.0.100:80: real server 10.0.0.1 removed",
                "TCP 10.0.0.100:80: real server 10.0.0.3 weight 1 is now 7",
                "TCP 10.0.0.100:80: real server 10.0.0.4 added with weight 1",
                "TCP 10.0.0.100:80: real server 10.0.0.2 has other thresholds, checks or inhibit_on_failure",
                "TCP 10.0.0.100:81: scheduler rr is now sh",
                "TCP 10.0.0.100:81: persistence or the rules for new connections changed",
                "TCP 10.0.0.100:81: the virtual router that owns it changed",
                "TCP 10.0.0.100:83: added, real servers: 2",
            ]
        );
    }

    #[test]
    fn a_drain_is_told_with_the_weight_and_nothing_else() {
        let before = [service(80, &[1, 2])];
        let mut after = before.clone();
        let server = &mut after[0].servers_mut()[0];
        (server.weight, server.drained) = (0, Some(1));
        let rip = server.rip;
        assert_eq!(changes(&before, &after), [Change::Drained(key(80), rip, 1)]);
        assert_eq!(changes(&after, &before), [Change::Undrained(key(80), rip, 1)]);
    }

    #[test]
    fn the_order_of_the_file_is_no_change() {
        let before = [service(80, &[1, 2]), service(81, &[3])];
        assert_eq!(changes(&before, &[service(81, &[3]), service(80, &[2, 1])]), []);
        assert_eq!(changes(&before, &[service(80, &[1, 2])]), [Change::Removed(key(81))]);
    }
}
