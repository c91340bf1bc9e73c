//! Owns whether one director holds all that a configuration asks for. What it holds, `plan` knows.

use std::sync::Arc;

use lb_common::layout::MAX_SERVICES;

use super::key;
use crate::config::model::VirtualServer;
use crate::config::{Config, Diagnostic};
use crate::plan::{PlanError, ServiceKey, within_limits};

/// What is too much of a configuration, and where.
pub(in crate::io) fn exceeded(config: &Config) -> Option<Diagnostic> {
    let error = within_limits(services(config).map(|(key, service)| (key, rows(service)))).err()?;
    let mut services = services(config);
    let place = match &error {
        PlanError::Services(_) => services.nth(MAX_SERVICES),
        PlanError::Pool { service, .. } => services.find(|(key, _)| key == service),
        PlanError::Servers(_) => services.last(),
    };
    let place = place.map(|(_, service)| service.span).unwrap_or_default();
    Some(Diagnostic::error(place, error.to_string()).hint("without that `xlvs run` does not start"))
}

/// What runs, one for each selection.
fn services(config: &Config) -> impl Iterator<Item = (ServiceKey, &Arc<VirtualServer>)> {
    config.served().flat_map(|service| service.selectors().map(move |selector| (key(selector), service)))
}

/// A sorry server has one too.
fn rows(service: &VirtualServer) -> usize {
    service.pool().count() + usize::from(service.sorry.is_some())
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
