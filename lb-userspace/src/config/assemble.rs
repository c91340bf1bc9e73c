//! Owns the step from a whole tree to a [`Config`]: each block by itself, and then the rules between them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::diagnostics::{Diagnostic, quoted};
use super::known::Placed;
use super::model::vrrp::{Family, VrrpInstance};
use super::model::{Config, LvsTimeouts, Selector};
use super::service::Groups;
use super::source::Span;
use super::timing::Timing;
use super::tree::Statement;
use super::{mail, marks, service, tls, values, vrrp};

/// What IPVS takes: 31 days.
const MAX_TIMEOUT: u32 = 31 * 24 * 60 * 60;

/// What the blocks of a file say, each by itself.
pub(super) struct Read {
    config: Config,
    pub(super) services: Vec<Placed>,
    /// What counts around them.
    pub(super) timing: Timing,
}

/// What the statements of a file say; only to be used when `problems` has no error.
pub(super) fn read(statements: &[Statement], problems: &mut Vec<Diagnostic>) -> Read {
    let vrrp = vrrp::read(statements, problems);
    let mail = mail::read(statements, problems);
    let tls = tls::read(statements, problems);
    let mark_rules = marks::read(statements, problems);
    let mut config = Config { mark_rules, mail, tls, vrrp, ..Config::default() };
    let groups = Groups::read(statements, problems);
    let timing = Timing::outermost(statements, problems);
    let mut services = Vec::new();
    for statement in statements {
        match statement.name() {
            "global_defs" => global_defs(statement, &mut config, problems),
            "virtual_server" => {
                let read = match &statement.known {
                    Some(known) => Some(Arc::clone(known)),
                    None => {
                        service::read(statement, &groups, &config.vrrp.files, timing, problems).map(Arc::new)
                    }
                };
                services.extend(read.map(|service| Placed { service, span: statement.header() }));
            }
            _ => {}
        }
    }
    Read { config, services, timing }
}

impl Read {
    /// What they say together.
    pub(super) fn together(self, problems: &mut Vec<Diagnostic>) -> Config {
        let Self { config, mut services, .. } = self;
        drop_repeated(&mut services, problems);
        if !config.vrrp.instances.is_empty() {
            find_unowned(&config, &services, problems);
            find_undecided(&config, &services, problems);
        }
        find_sleepless(&config, &services, problems);
        find_unmatched(&config, &services, problems);
        let virtual_servers = services.into_iter().map(|placed| placed.service).collect();
        Config { virtual_servers, ..config }
    }
}

fn global_defs(statement: &Statement, config: &mut Config, problems: &mut Vec<Diagnostic>) {
    for setting in statement.body() {
        match setting.name() {
            "router_id" => config.router_id = setting.arguments.first().map(|word| word.text.clone()),
            "rs_init_notifies" => config.rs_init_notifies = true,
            "lvs_timeouts" => lvs_timeouts(setting, &mut config.timeouts, problems),
            _ => {}
        }
    }
}

/// Pairs of a name and seconds; what is not named stays as it was said before.
fn lvs_timeouts(setting: &Statement, timeouts: &mut LvsTimeouts, problems: &mut Vec<Diagnostic>) {
    let mut words = setting.arguments.iter();
    while let Some(name) = words.next() {
        let timeout = match name.text.as_str() {
            "tcp" => &mut timeouts.tcp,
            "tcpfin" => &mut timeouts.tcp_fin,
            "udp" => &mut timeouts.udp,
            other => {
                let message = format!("{} is not a timeout; it is ignored", quoted(other));
                problems.push(Diagnostic::warning(name.span, message).hint("write tcp, tcpfin or udp"));
                // What belongs to it is no name either.
                if words.as_slice().first().is_some_and(|word| word.text.parse::<u32>().is_ok()) {
                    words.next();
                }
                continue;
            }
        };
        let seconds = words.next().map(|word| values::number(word, "a time in seconds", 0..=MAX_TIMEOUT));
        let missing = || Diagnostic::error(name.span, format!("{} has no value", quoted(&name.text)));
        match seconds.unwrap_or_else(|| Err(missing().hint("write the seconds behind it"))) {
            Ok(seconds) => *timeout = Some(seconds),
            Err(problem) => problems.push(problem),
        }
    }
}

/// A packet is of one virtual server only: the first that selects it. Of a group all or nothing counts.
fn drop_repeated(services: &mut Vec<Placed>, problems: &mut Vec<Diagnostic>) {
    let mut seen = BTreeMap::<_, Span>::new();
    services.retain(|Placed { service, span }| {
        let twice = service.selectors().find_map(|selector| Some((selector, *seen.get(&selector)?)));
        let Some((selector, first)) = twice else {
            seen.extend(service.selectors().map(|selector| (selector, *span)));
            return true;
        };
        let message = format!(
            "the virtual server {selector} is there already in line {}; this one is ignored",
            first.line
        );
        let problem = Diagnostic::ours(*span, message).beside(first);
        problems.push(problem.hint("put its real servers into the first"));
        false
    });
}

fn find_unowned(config: &Config, services: &[Placed], problems: &mut Vec<Diagnostic>) {
    let instances = &config.vrrp.instances;
    // One without an interface does not run.
    let running = instances.iter().filter(|instance| instance.interface.is_some());
    let owned: BTreeSet<_> = running.flat_map(VrrpInstance::owned).map(|owned| owned.address).collect();
    let mut warn = |address: IpAddr, span| {
        if owned.contains(&address) {
            return;
        }
        let message = format!("no vrrp_instance owns the virtual address {address}");
        problems.push(
            Diagnostic::ours(span, message)
                .hint("add it to a `virtual_ipaddress` block, or see that it is bound by other means"),
        );
    };
    for Placed { service, span } in services {
        let address = |selector| match selector {
            Selector::Address { address, .. } => Some(address),
            Selector::Mark { .. } => None,
        };
        let addresses: BTreeSet<_> = service.selectors().filter_map(address).collect();
        for address in addresses {
            warn(address, *span);
        }
    }
    let mut seen = BTreeSet::new();
    for rule in &config.mark_rules {
        if let Some(address) = rule.destination.and_then(|prefix| prefix.host())
            && seen.insert((address, rule.span))
        {
            warn(address, rule.span);
        }
    }
}

/// Services whose checks would rest while their addresses are elsewhere, and that have none which come and go.
fn find_sleepless(config: &Config, services: &[Placed], problems: &mut Vec<Diagnostic>) {
    let is_owned = |selector| config.owners(selector).next().is_some();
    let services = services.iter().filter(|placed| placed.service.ha_suspend);
    for Placed { span, .. } in services.filter(|placed| !placed.service.selectors().any(is_owned)) {
        let message = "`ha_suspend` has no effect: no vrrp_instance owns the virtual address";
        problems.push(
            Diagnostic::ours(*span, message).hint("remove it, or add the address to a `virtual_ipaddress`"),
        );
    }
}

/// Who owns an address forwards what goes to it. For a mark's packets to other addresses nobody alone may, if those that are
/// owned move between nodes one by one.
fn find_undecided(config: &Config, services: &[Placed], problems: &mut Vec<Diagnostic>) {
    for (span, selector) in selections(services) {
        let Selector::Mark { mark, family } = selector else { continue };
        let owners: Vec<_> = config.owners(selector).collect();
        let is_owned =
            |address| owners.iter().any(|owner| owner.owned().any(|owned| owned.address == address));
        let rules = config.mark_rules.iter().filter(|rule| rule.mark == mark && rule.is_of(family));
        let mut others =
            rules.filter(|rule| !rule.destination.and_then(|prefix| prefix.host()).is_some_and(is_owned));
        if config.owner(selector).is_some() || owners.is_empty() || others.next().is_none() {
            continue;
        }
        let owners: Vec<_> = owners.iter().map(|owner| quoted(&owner.name)).collect();
        let message = format!(
            "packets of {selector} go to addresses of {} and to others: these every node forwards that gets them",
            owners.join(" and ")
        );
        problems.push(Diagnostic::ours(span, message).hint(
            "name the virtual addresses as the destinations of the mark, or put the instances into one `vrrp_sync_group`",
        ));
    }
}

/// Every selection, and the place of its virtual server.
fn selections(services: &[Placed]) -> impl Iterator<Item = (Span, Selector)> {
    services
        .iter()
        .flat_map(|Placed { service, span }| service.selectors().map(move |selector| (*span, selector)))
}

/// Marks without rules, and rules for marks without a virtual server.
fn find_unmatched(config: &Config, services: &[Placed], problems: &mut Vec<Diagnostic>) {
    let mut known = BTreeSet::new();
    for (span, selector) in selections(services) {
        let Selector::Mark { mark, family } = selector else { continue };
        known.insert((mark, family));
        if !config.mark_rules.iter().any(|rule| rule.mark == mark && rule.is_of(family)) {
            let message = format!("no rule gives {family} packets the firewall mark {mark}");
            problems.push(Diagnostic::ours(span, message).hint(format!(
                "write `mark {mark}` in a `fwmark_rules` block; what iptables or nft mark comes too late for XDP"
            )));
        }
    }
    let mut told = BTreeSet::new();
    for rule in &config.mark_rules {
        let families = [Family::V4, Family::V6].map(|family| rule.is_of(family).then_some(family));
        let is_known = |family| known.contains(&(rule.mark, family));
        if !families.into_iter().flatten().any(is_known) && told.insert((rule.mark, families)) {
            let has_other = [Family::V4, Family::V6].into_iter().any(is_known);
            let packets = match families {
                [Some(family), None] | [None, Some(family)] if has_other => format!("{family} packets with "),
                _ => String::new(),
            };
            let message = format!("no virtual server is for {packets}the firewall mark {}", rule.mark);
            problems.push(
                Diagnostic::note(rule.span, message)
                    .hint(format!("add a `virtual_server fwmark {}`", rule.mark)),
            );
        }
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
        says(
            &(server("weight 1") + &instance(1, "10.0.0.9")),
            "t:1:1: warning: no vrrp_instance owns the virtual address 10.0.0.1",
        );
        assert_eq!(said(&(server("weight 1") + &instance(1, "10.0.0.1/24"))), Vec::<String>::new());
        assert_eq!(said(&(instance(1, "10.0.0.1") + &instance(2, "10.0.0.2"))), Vec::<String>::new());
    }

    fn instance(id: u8, address: &str) -> String {
        let address = format!("virtual_ipaddress {{\n {address}\n }}");
        format!("vrrp_instance A{id} {{\n interface eth0\n virtual_router_id {id}\n {address}\n}}\n")
    }

    fn marked(rule: &str) -> String {
        let service = server("weight 1").replace("10.0.0.1 80", "fwmark 3").replace(" protocol TCP\n", "\n");
        let service = service.replace("2 80", "2");
        format!("{service}fwmark_rules {{\n mark 3 {{\n {rule}\n }}\n}}\n")
    }

    #[test]
    fn a_mark_has_a_rule_and_a_rule_a_virtual_server() {
        assert_eq!(said(&marked("port 80")), Vec::<String>::new());
        let text = marked("source fd00::/8");
        let both = said(&text);
        assert_eq!(both.len(), 2, "{both:#?}");
        assert!(both[0].starts_with("t:1:1: warning: no rule gives IPv4 packets the firewall mark 3"));
        assert!(both[1].contains("note: no virtual server is for IPv6 packets with the firewall mark 3"));
        assert_eq!(config(&text).served().count(), 1);
        says(&marked("").replace(" mark 3 {\n \n }\n", ""), "t:1:1: warning: no rule gives IPv4 packets");
        let text = "fwmark_rules {\n mark 7 {\n port 80 81\n }\n mark 7 {\n }\n}\n";
        says(
            text,
            "t:2:2: note: no virtual server is for the firewall mark 7; add a `virtual_server fwmark 7`",
        );
    }

    #[test]
    fn the_addresses_of_a_mark_are_those_of_one_master() {
        let both = instance(1, "10.0.0.1") + &instance(2, "10.0.0.2");
        assert_eq!(said(&(marked("destination 10.0.0.1 10.0.0.2") + &both)), Vec::<String>::new());
        let text = marked("destination 10.0.0.0/30") + &both;
        says(&text, "t:1:1: warning: packets of fwmark 3 go to addresses of `A1` and `A2` and to others");
        let group = "vrrp_sync_group G {\n group {\n A1\n A2\n }\n}\n";
        assert_eq!(said(&(text + group)), Vec::<String>::new());
        assert_eq!(said(&(marked("destination 10.0.0.2") + &both)), Vec::<String>::new());
        let text = marked("destination 10.0.0.9\n port 80 81") + &both;
        says(&text, "t:10:2: warning: no vrrp_instance owns the virtual address 10.0.0.9");
    }

    #[test]
    fn timeouts_are_pairs_and_all_may_be_left_out() {
        let text = |timeouts: &str| format!("global_defs {{\n lvs_timeouts {timeouts}\n}}\n");
        let read = |timeouts: &str| {
            let read = config(&text(timeouts)).timeouts;
            [read.tcp, read.tcp_fin, read.udp]
        };
        assert_eq!(said(&text("udp 1 tcpfin 2 tcp 3")), Vec::<String>::new());
        assert_eq!(read("udp 1 tcpfin 2 tcp 3"), [Some(3), Some(2), Some(1)]);
        assert_eq!(read("tcpfin 2678400"), [None, Some(2_678_400), None]);
        assert_eq!(read("tcp 5\n lvs_timeouts udp 6"), [Some(5), None, Some(6)], "they add up");
        assert_eq!(read("foo tcp 5 sctp 3 udp 6"), [Some(5), None, Some(6)]);
        says(&text("sctp 3"), "t:2:15: warning: `sctp` is not a timeout; it is ignored");
        says(&text("tcp"), "t:2:15: error: `tcp` has no value");
        says(&text("tcp 2678401"), "t:2:19: error: `2678401` is out of range for a time in seconds");
    }
}
