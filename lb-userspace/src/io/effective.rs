//! What of a configuration takes effect: the services to run and the checks of their real servers.

use std::net::SocketAddr;

use lb_common::sched;

use super::check::{CheckSpec, Target};
use crate::{
    config::model::{Checker, Config, Protocol, Scheduler, TcpCheck, VirtualServer},
    health,
    plan::{ServiceKey, Wanted, WantedServer, mapped},
};

/// The services that can run, and their checks, numbered in the order of the configuration.
pub(super) fn effective(config: &Config) -> (Vec<Wanted>, Vec<CheckSpec>) {
    let mut checks = Vec::new();
    let services = config.served().filter_map(|service| wanted(service, &mut checks)).collect();
    (services, checks)
}

fn wanted(service: &VirtualServer, checks: &mut Vec<CheckSpec>) -> Option<Wanted> {
    let protocol = match service.protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    };
    let scheduler = match service.scheduler {
        Scheduler::Rr => sched::Scheduler::Rr,
        Scheduler::Wrr => sched::Scheduler::Wrr,
        _ => return None,
    };
    let servers = service.pool().map(|server| {
        let tcp = server.checkers.iter().filter_map(|checker| match checker {
            Checker::Tcp(check) => Some(check),
            Checker::Other { .. } => None,
        });
        let first = checks.len() as u32;
        checks.extend(tcp.zip(first..).map(|(check, id)| spec(check, id)));
        WantedServer {
            rip: server.address,
            weight: server.weight.0,
            inhibit_on_failure: server.inhibit_on_failure,
            checks: (first..checks.len() as u32).collect(),
        }
    });
    let servers = servers.collect();
    Some(Wanted {
        key: ServiceKey { vip: mapped(service.address), protocol, port: service.port },
        scheduler,
        servers,
    })
}

fn spec(check: &TcpCheck, id: u32) -> CheckSpec {
    CheckSpec {
        id,
        target: Target { address: SocketAddr::new(check.connect_ip, check.connect_port), bind: check.bindto },
        settings: health::Settings {
            delay_loop: check.delay_loop,
            retry: check.retry,
            delay_before_retry: check.delay_before_retry,
            timeout: check.connect_timeout,
            warmup: check.warmup,
        },
    }
}
