//! Owns whether one director holds all that a configuration asks for. What it holds, `plan` knows.

use lb_common::layout::{MAX_POOL, MAX_SERVERS, MAX_SERVICES};

use super::{Checklist, effective};
use crate::config::model::VirtualServer;
use crate::config::{Config, Diagnostic};
use crate::plan::{Allocation, PlanError};
use crate::vrrp::Numbers;

/// What is too much of a configuration, and where.
pub(in crate::io) fn exceeded(config: &Config) -> Option<Diagnostic> {
    if fits(config) {
        return None;
    }
    let numbers = Numbers::default().assign(&config.vrrp);
    let (services, _) = effective(config, &numbers, &Checklist::default());
    let error = Allocation::default().assign(&services).err()?;
    let first_too_many = match &error {
        PlanError::Services(_) => Some(MAX_SERVICES),
        PlanError::Pool { service, .. } => services.iter().position(|wanted| wanted.key == *service),
        PlanError::Servers(_) => services.len().checked_sub(1),
    };
    let mut selections = config.served().flat_map(|service| service.selectors().map(move |_| service));
    let place = first_too_many.and_then(|number| selections.nth(number));
    let place = place.map(|service| service.span).unwrap_or_default();
    Some(Diagnostic::error(place, error.to_string()).hint("without that `xlvs run` does not start"))
}

/// Whether so much can be counted without finding a place for each.
fn fits(config: &Config) -> bool {
    let servers = |service: &VirtualServer| service.pool().count() + usize::from(service.sorry.is_some());
    let (mut services, mut rows, mut is_small) = (0, 0, true);
    for service in config.served() {
        let (count, servers) = (service.selectors().count(), servers(service));
        services += count;
        rows += count * servers;
        is_small &= servers <= MAX_POOL;
    }
    is_small && services <= MAX_SERVICES && rows <= MAX_SERVERS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn services(count: usize, servers: usize) -> Config {
        let server =
            |number: usize| format!(" real_server 10.1.{}.{} 80 {{\n }}\n", number / 256, number % 256);
        let servers = (0..servers).map(server).collect::<Vec<_>>().concat();
        let service = |number: usize| {
            let vip = format!("10.0.{}.{}", number / 256, number % 256);
            format!("virtual_server {vip} 80 {{\n lb_kind DR\n protocol TCP\n lb_algo rr\n{servers}}}\n")
        };
        let text = (0..count).map(service).collect::<Vec<_>>().concat();
        config::parse("t", &text).config.expect("it is a configuration")
    }

    #[test]
    fn what_is_too_much_is_told_where_it_is() {
        let lines_of_a_service = |servers: u32| 5 + 2 * servers;
        for (count, servers, line, what) in [
            (4097, 1, 4096 * lines_of_a_service(1) + 1, "4097 virtual servers are configured"),
            (2, 1025, 1, "TCP 10.0.0.0:80 has 1025 real servers"),
            (17, 1024, 16 * lines_of_a_service(1024) + 1, "needs 17408 rows of real servers"),
        ] {
            let problem = exceeded(&services(count, servers)).expect("it is too much");
            assert_eq!(problem.span.line, line, "{problem:?}");
            assert!(problem.message.contains(what), "{problem:?}");
        }
        for (count, servers) in [(4096, 1), (1, 1024), (16, 1024)] {
            assert_eq!(exceeded(&services(count, servers)), None, "{count}, {servers}");
        }
    }
}
