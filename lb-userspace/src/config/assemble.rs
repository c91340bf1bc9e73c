//! Owns the step from a whole tree to a [`Config`], and the rules between its blocks.

use std::collections::BTreeMap;

use super::diagnostics::Diagnostic;
use super::model::Config;
use super::source::Span;
use super::tree::Statement;
use super::{service, vrrp};

/// What the statements of a file say; only to be used when `problems` has no error.
pub(super) fn assemble(statements: &[Statement], problems: &mut Vec<Diagnostic>) -> Config {
    let mut config = Config { vrrp: vrrp::read(statements, problems), ..Config::default() };
    for statement in statements {
        match statement.name() {
            "global_defs" => global_defs(statement, &mut config),
            "virtual_server" => config.virtual_servers.extend(service::read(statement, problems)),
            _ => {}
        }
    }
    drop_repeated(&mut config, problems);
    if !config.vrrp.instances.is_empty() {
        find_unowned(&config, problems);
    }
    config
}

fn global_defs(statement: &Statement, config: &mut Config) {
    for setting in statement.body().iter().filter(|setting| setting.name() == "router_id") {
        config.router_id = setting.arguments.first().map(|word| word.text.clone());
    }
}

fn drop_repeated(config: &mut Config, problems: &mut Vec<Diagnostic>) {
    let mut seen = BTreeMap::<_, Span>::new();
    config.virtual_servers.retain(|service| {
        let key = (service.address, service.port, service.protocol);
        let Some(first) = seen.get(&key) else {
            seen.insert(key, service.span);
            return true;
        };
        let message = format!(
            "the virtual server {service} is there already in line {}; this one is ignored",
            first.line
        );
        problems.push(Diagnostic::warning(service.span, message).hint("put its real servers into the first"));
        false
    });
}

fn find_unowned(config: &Config, problems: &mut Vec<Diagnostic>) {
    for service in &config.virtual_servers {
        if config.vrrp.instances.iter().any(|instance| instance.owns(service.address)) {
            continue;
        }
        let message = format!("no vrrp_instance owns the virtual address {}", service.address);
        problems.push(
            Diagnostic::warning(service.span, message)
                .hint("add it to a `virtual_ipaddress` block, or see that it is bound by other means"),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{config, said, says, server};

    #[test]
    fn the_router_id_is_read() {
        assert_eq!(config("global_defs {\n router_id LVS_1\n}\n").router_id.as_deref(), Some("LVS_1"));
    }

    #[test]
    fn a_virtual_server_counts_once() {
        let text = server("weight 1").repeat(2);
        says(&text, "t:9:1: warning: the virtual server 10.0.0.1 80 TCP is there already in line 1");
        assert_eq!(config(&text).virtual_servers.len(), 1);
        let both = server("weight 1") + &server("weight 1").replace("TCP", "UDP");
        assert_eq!(config(&both).virtual_servers.len(), 2);
    }

    #[test]
    fn an_address_that_no_instance_owns_is_warned_of() {
        let instance = |id: u8, address: &str| {
            let address = format!("virtual_ipaddress {{\n {address}\n }}");
            format!("vrrp_instance A{id} {{\n interface eth0\n virtual_router_id {id}\n {address}\n}}\n")
        };
        says(
            &(server("weight 1") + &instance(1, "10.0.0.9")),
            "t:1:1: warning: no vrrp_instance owns the virtual address 10.0.0.1",
        );
        assert_eq!(said(&(server("weight 1") + &instance(1, "10.0.0.1/24"))), Vec::<String>::new());
        assert_eq!(said(&(instance(1, "10.0.0.1") + &instance(2, "10.0.0.2"))), Vec::<String>::new());
    }
}
