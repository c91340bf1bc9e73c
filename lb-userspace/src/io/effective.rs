//! What of a configuration takes effect: the services to run, the checks of their real servers, and the virtual
//! routers that own their addresses.

use std::net::{IpAddr, SocketAddr};

use lb_common::{
    layout::{Lease, NO_VMAC, Policy},
    sched,
};

use super::check::{CheckSpec, Target};
use crate::{
    config::model::{
        Checker, Config, Protocol, Scheduler, TcpCheck, VirtualServer,
        vrrp::{Family, VrrpInstance},
    },
    health,
    plan::{ServiceKey, Wanted, WantedServer, mapped},
};

/// The services that can run, and their checks, numbered in the order of the configuration.
pub(super) fn effective(config: &Config) -> (Vec<Wanted>, Vec<CheckSpec>) {
    let mut checks = Vec::new();
    let instances = &config.vrrp.instances;
    let services = config.served().map(|service| wanted(service, instances, &mut checks)).collect();
    (services, checks)
}

/// The rows of `leases` behind row 0: one for each `vrrp_instance`, in the order of the configuration.
pub(super) fn leases(config: &Config) -> Vec<Lease> {
    let row = |instance: &VrrpInstance| {
        let vrid = instance.virtual_router_id;
        let family = match instance.family {
            Family::V4 => 1,
            Family::V6 => 2,
        };
        Lease::none(vrid, instance.vmac.as_ref().map_or(NO_VMAC, |_| [family, vrid]))
    };
    config.vrrp.instances.iter().map(row).collect()
}

/// The row of the first instance that runs and owns the address.
fn lease_of(address: IpAddr, instances: &[VrrpInstance]) -> u16 {
    let owns = |instance: &VrrpInstance| instance.interface.is_some() && instance.owns(address);
    instances.iter().position(owns).map_or(0, |place| place as u16 + 1)
}

fn wanted(service: &VirtualServer, instances: &[VrrpInstance], checks: &mut Vec<CheckSpec>) -> Wanted {
    let protocol = match service.protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    };
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
        let tcp = server.checkers.iter().filter_map(|checker| match checker {
            Checker::Tcp(check) => Some(check),
            Checker::Other { .. } => None,
        });
        let first = checks.len() as u32;
        checks.extend(tcp.zip(first..).map(|(check, id)| spec(check, id)));
        WantedServer {
            rip: server.address,
            weight: server.weight.0,
            thresholds: [0; 2],
            inhibit_on_failure: server.inhibit_on_failure,
            checks: (first..checks.len() as u32).collect(),
        }
    });
    let servers = servers.collect();
    Wanted {
        key: ServiceKey { vip: mapped(service.address), protocol, port: service.port },
        method: sched::Method { scheduler, flags },
        lease: lease_of(service.address, instances),
        policy: Policy::default(),
        servers,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        Span,
        model::vrrp::{VirtualAddress, Vmac},
    };

    const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 100));

    fn owner(vrid: u8, address: IpAddr) -> VrrpInstance {
        let address =
            VirtualAddress { address, prefix: None, dev: None, label: None, scope: None, broadcast: None };
        VrrpInstance {
            interface: Some("eth0".to_owned()),
            virtual_router_id: vrid,
            virtual_addresses: vec![address],
            ..VrrpInstance::new(format!("VI_{vrid}"), Span::default())
        }
    }

    #[test]
    fn a_service_has_the_lease_of_the_first_instance_that_owns_its_address() {
        let other = owner(50, IpAddr::from([10, 0, 0, 101]));
        assert_eq!(lease_of(VIP, &[]), 0);
        assert_eq!(lease_of(VIP, std::slice::from_ref(&other)), 0);
        assert_eq!(lease_of(VIP, &[other.clone(), owner(51, VIP), owner(52, VIP)]), 2);
        let excluded = VrrpInstance { excluded_addresses: owner(53, VIP).virtual_addresses, ..other.clone() };
        assert_eq!(lease_of(VIP, &[excluded]), 1);
        let idle = VrrpInstance { interface: None, ..owner(51, VIP) };
        assert_eq!(lease_of(VIP, &[idle, other]), 0, "one that does not run owns nothing");
    }

    #[test]
    fn a_row_has_the_virtual_mac_address_of_its_family() {
        let vmac = Some(Vmac { name: "vrrp.51".to_owned(), xmit_base: false });
        let mut config = Config::default();
        config.vrrp.instances = vec![
            owner(51, VIP),
            VrrpInstance { vmac: vmac.clone(), ..owner(52, VIP) },
            VrrpInstance { vmac, family: Family::V6, ..owner(53, VIP) },
        ];
        let rows = [Lease::none(51, NO_VMAC), Lease::none(52, [1, 52]), Lease::none(53, [2, 53])];
        assert_eq!(leases(&config), rows);
    }
}
