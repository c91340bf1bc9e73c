//! Owns the step from a `vrrp_instance` block to a [`VrrpInstance`] with every default filled in.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::announcing::Garps;
use super::election::Election;
use super::globals::Globals;
use super::tracking::Trackers;
use super::{addresses, authentication, notify, routes, rules, strict, transport};
use crate::config::diagnostics::{Diagnostic, Severity};
use crate::config::model::vrrp::{Family, Transport, Version, VirtualAddress, VrrpInstance};
use crate::config::source::Span;
use crate::config::tree::Statement;
use crate::config::values;

/// The count of addresses in an advert has eight bits.
const MOST_V4: usize = u8::MAX as usize;
const LOOPBACK: &str = "lo";
/// What fits behind the headers into a packet of 1500 bytes with 16 bytes each, as keepalived counts it.
const MOST_V6: usize = 89;

/// The instance that `block` describes; without one, `problems` has gained an error.
pub(super) fn read(
    block: &Statement,
    globals: &Globals,
    trackers: &Trackers,
    problems: &mut Vec<Diagnostic>,
) -> Option<VrrpInstance> {
    let name = block.arguments.first()?.text.clone();
    let mut instance = VrrpInstance::new(name, block.header());
    instance.virtual_router_id = virtual_router_id(block, &instance, problems)?;
    instance.skip_check_addresses = globals.skip_check_addresses;
    instance.lower_prio_no_advert = globals.lower_prio_no_advert;
    instance.higher_prio_send_advert = globals.higher_prio_send_advert;
    instance.notify.priority_changes = globals.priority_changes;
    let mut said = Said::default();
    for setting in block.body() {
        if let Err(problem) = said.take(&mut instance, setting, trackers, problems) {
            problems.push(problem);
        }
    }
    said.settle(&mut instance, block, globals, problems);
    // What follows from an error is not worth saying beside it.
    let whole = block.whole();
    if !problems.iter().any(|problem| problem.severity == Severity::Error && whole.contains(problem.span)) {
        say_what_is_missing(&instance, block, problems);
    }
    Some(instance)
}

fn virtual_router_id(
    block: &Statement,
    instance: &VrrpInstance,
    problems: &mut Vec<Diagnostic>,
) -> Option<u8> {
    let setting = block.body().iter().rfind(|setting| setting.name() == "virtual_router_id");
    let Some(setting) = setting else {
        let message = format!("the vrrp_instance {} has no `virtual_router_id`", instance.name);
        problems.push(Diagnostic::error(instance.span, message).hint("write a number from 1 to 255"));
        return None;
    };
    let read = values::number(setting.arguments.first()?, "a virtual router id", 1..=u8::MAX);
    read.map_err(|problem| problems.push(problem)).ok()
}

/// What the block says that can only be judged when all of it is known.
#[derive(Default)]
struct Said {
    election: Election,
    transport: transport::Said,
    garps: Garps,
    authentication: Option<authentication::Said>,
    addresses: Vec<(VirtualAddress, Span)>,
    excluded: Vec<(VirtualAddress, Span)>,
    native_v6: bool,
    accept: Option<bool>,
    strict: Option<bool>,
}

impl Said {
    fn take(
        &mut self,
        instance: &mut VrrpInstance,
        setting: &Statement,
        trackers: &Trackers,
        problems: &mut Vec<Diagnostic>,
    ) -> Result<(), Diagnostic> {
        let value = setting.arguments.first();
        self.election.take(setting)?;
        self.transport.take(setting, problems)?;
        self.garps.take(setting.name(), value)?;
        trackers.take(&mut instance.tracks, setting, problems);
        notify::take(&mut instance.notify, setting, problems)?;
        match (setting.name(), value) {
            ("interface", Some(word)) if word.text == LOOPBACK => {
                return Err(Diagnostic::error(word.span, "no adverts go over the loopback interface")
                    .hint("write the interface that the other routers are reached by"));
            }
            ("interface", Some(word)) => instance.interface = Some(values::interface(word)?),
            ("virtual_ipaddress", _) => self.addresses.extend(addresses::read(setting, problems)),
            ("virtual_ipaddress_excluded", _) => self.excluded.extend(addresses::read(setting, problems)),
            ("authentication", _) => self.authentication = Some(authentication::read(setting, problems)),
            ("native_ipv6", value) => self.native_v6 = values::switch(value)?,
            ("accept", _) => self.accept = Some(true),
            ("no_accept", _) => self.accept = Some(false),
            ("strict_mode", value) => self.strict = Some(values::switch(value)?),
            ("skip_check_adv_addr", value) => instance.skip_check_addresses = values::switch(value)?,
            ("lower_prio_no_advert", value) => instance.lower_prio_no_advert = values::switch(value)?,
            ("higher_prio_send_advert", value) => instance.higher_prio_send_advert = values::switch(value)?,
            ("dont_track_primary", value) => instance.dont_track_primary = values::switch(value)?,
            ("smtp_alert", value) => instance.smtp_alert = Some(values::switch(value)?),
            _ => {}
        }
        Ok(())
    }

    /// What is announced decides; then where adverts go, because excluded addresses may be of either family.
    fn family(&self) -> Family {
        let first =
            |list: &[(VirtualAddress, Span)]| list.first().map(|(first, _)| Family::of(first.address));
        let said = first(&self.addresses).or(self.transport.family()).or(first(&self.excluded));
        if self.native_v6 { Family::V6 } else { said.unwrap_or_default() }
    }

    fn settle(
        self,
        instance: &mut VrrpInstance,
        block: &Statement,
        globals: &Globals,
        problems: &mut Vec<Diagnostic>,
    ) {
        let strict = self.strict.unwrap_or(globals.strict);
        instance.strict = strict;
        instance.family = self.family();
        let uses_header = self.authentication.as_ref().is_some_and(authentication::Said::is_header);
        self.election.settle(instance, globals, strict, uses_header, problems);
        let interface = block.body().iter().any(|setting| setting.name() == "interface");
        self.transport.settle(instance, globals, problems);
        if !interface && !self.transport.runs_nowhere(instance) {
            settle_interface(instance, globals, problems);
        }
        instance.authentication =
            self.authentication.as_ref().and_then(|said| said.settle(instance.version, problems));
        instance.announcing = self.garps.settle(&globals.garps);
        instance.accept = self.accept.unwrap_or(true);
        settle_addresses(instance, self.addresses, self.excluded, problems);
        for setting in block.body() {
            match setting.name() {
                "virtual_routes" => instance.routes.extend(routes::read(setting, instance.family, problems)),
                "virtual_rules" => instance.rules.extend(rules::read(setting, instance.family, problems)),
                _ => {}
            }
        }
        settle_own_interface(instance, problems);
        if strict {
            strict::apply(instance, self.accept, self.garps.wants_lower_prio(), problems);
        }
    }
}

fn settle_interface(instance: &mut VrrpInstance, globals: &Globals, problems: &mut Vec<Diagnostic>) {
    let message = format!("the vrrp_instance {} has no `interface`", instance.name);
    if matches!(instance.transport, Transport::Multicast { .. }) {
        problems.push(Diagnostic::error(instance.span, message).hint("write the one it runs on"));
        return;
    }
    instance.interface.clone_from(&globals.default_interface);
    let message = match &instance.interface {
        Some(interface) => format!("{message}; it runs on the `default_interface` {interface}"),
        None => format!("{message}; it does not run"),
    };
    problems.push(Diagnostic::warning(instance.span, message).hint("write the one it runs on"));
}

/// Those of the other family are left out, and those too many for an advert are owned without being announced.
fn settle_addresses(
    instance: &mut VrrpInstance,
    addresses: Vec<(VirtualAddress, Span)>,
    excluded: Vec<(VirtualAddress, Span)>,
    problems: &mut Vec<Diagnostic>,
) {
    let most = if instance.family == Family::V4 { MOST_V4 } else { MOST_V6 };
    let mut held = BTreeSet::new();
    for (address, span) in addresses {
        if Family::of(address.address) != instance.family {
            problems.push(mixed(instance, address.address, span));
            continue;
        }
        if !held.insert(place(instance, &address)) {
            // Other routers count the addresses of an advert, and keepalived names such a one twice.
            let message =
                format!("the virtual address {} is there twice and named twice in adverts", address.address);
            problems.push(Diagnostic::ours(span, message).hint("remove one of the two on all routers"));
        }
        instance.virtual_addresses.push(address);
    }
    let count = instance.virtual_addresses.len();
    if count > most {
        let message = format!(
            "the vrrp_instance {} has {count} addresses, and an advert holds {most}: the rest is owned but not announced",
            instance.name
        );
        problems.push(
            Diagnostic::warning(instance.span, message)
                .hint("move the last ones into `virtual_ipaddress_excluded`"),
        );
    }
    let rest = instance.virtual_addresses.split_off(most.min(count));
    let mut held: BTreeSet<_> =
        instance.virtual_addresses.iter().map(|address| place(instance, address)).collect();
    let rest = rest.into_iter().filter(|address| held.insert(place(instance, address))).collect();
    instance.excluded_addresses = rest;
    for (address, span) in excluded {
        if held.insert(place(instance, &address)) {
            instance.excluded_addresses.push(address);
        } else {
            let message =
                format!("the virtual address {} is there already; this one is ignored", address.address);
            problems.push(Diagnostic::ours(span, message).hint("remove one of the two"));
        }
    }
}

/// The address and the interface it is on, of which there is one.
fn place(instance: &VrrpInstance, address: &VirtualAddress) -> (IpAddr, Option<String>) {
    (address.address, address.dev.clone().or_else(|| instance.interface.clone()))
}

fn mixed(instance: &VrrpInstance, address: IpAddr, span: Span) -> Diagnostic {
    let message = format!(
        "the virtual address {address} is not of the family of the vrrp_instance {}; it is ignored",
        instance.name
    );
    Diagnostic::warning(span, message)
        .hint("write it into `virtual_ipaddress_excluded`, or into an instance of its own")
}

fn settle_own_interface(instance: &mut VrrpInstance, problems: &mut Vec<Diagnostic>) {
    let own = instance.interface.clone();
    let before = instance.tracks.interfaces.len();
    if !instance.dont_track_primary {
        instance.tracks.interfaces.retain(|track| Some(&track.name) != own.as_ref());
    }
    if instance.tracks.interfaces.len() < before {
        let message = format!("the vrrp_instance {} tracks its own interface anyway", instance.name);
        problems.push(
            Diagnostic::warning(instance.span, message)
                .hint("remove it from `track_interface`, or write `dont_track_primary` too"),
        );
    }
}

fn say_what_is_missing(instance: &VrrpInstance, block: &Statement, problems: &mut Vec<Diagnostic>) {
    let none_wanted = block.body().iter().any(|setting| setting.name() == "no_virtual_ipaddress");
    if !instance.virtual_addresses.is_empty() {
        return;
    }
    let message = format!("the vrrp_instance {} has no `virtual_ipaddress`", instance.name);
    let hint = "write the addresses it owns while it is master";
    if instance.version == Version::V3 {
        let message = format!("{message}, and version 3 needs one");
        problems.push(Diagnostic::error(instance.span, message).hint(hint));
    } else if !none_wanted && instance.excluded_addresses.is_empty() {
        problems.push(Diagnostic::warning(instance.span, message).hint(hint));
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::config::testing::{bare_instance, config, instance, only, said, says, vrrp_instance};

    fn owned(inner: &str) -> String {
        bare_instance(&format!("virtual_ipaddress {{\n {inner}\n }}"))
    }

    #[test]
    fn an_instance_has_its_values() {
        let text = instance(
            "no_accept\n dont_track_primary\n smtp_alert off\n debug 1\n skip_check_adv_addr\n \
             virtual_ipaddress_excluded {\n fd00::1/64\n }",
        );
        assert_eq!(said(&text), Vec::<String>::new());
        let read = only(&text);
        assert_eq!((read.name.as_str(), read.virtual_router_id), ("VI_1", 51));
        assert_eq!(read.interface.as_deref(), Some("eth0"));
        assert!(!read.accept && read.dont_track_primary && read.skip_check_addresses);
        assert_eq!(read.smtp_alert, Some(false));
        assert!(read.owns("fd00::1".parse().unwrap()) && read.owns("10.0.0.1".parse().unwrap()));
        assert!(vrrp_instance("").accept);
        assert_eq!(config(&text).interfaces().into_iter().collect::<Vec<_>>(), ["eth0"]);
    }

    #[test]
    fn nobody_hears_adverts_over_loopback() {
        let text = instance("").replace("eth0", "lo");
        says(&text, "t:2:12: error: no adverts go over the loopback interface");
    }

    #[test]
    fn the_first_address_decides_the_family() {
        assert_eq!(only(&owned("10.0.0.1")).family, Family::V4);
        let six = only(&owned("fe80::1\n fd00::1"));
        assert_eq!((six.family, six.version), (Family::V6, Version::V3));
        let text = owned("10.0.0.1\n fd00::1");
        says(
            &text,
            "t:6:2: warning: the virtual address fd00::1 is not of the family of the vrrp_instance VI_1",
        );
        assert!(!only(&text).owns("fd00::1".parse().unwrap()));
        let text = owned("fe80::1").replace("interface eth0", "interface eth0\n native_ipv6");
        assert_eq!(only(&text).family, Family::V6);
        let text = bare_instance("virtual_ipaddress_excluded {\n 10.0.0.1\n }");
        assert_eq!(said(&text), Vec::<String>::new());
        let excluded = "virtual_ipaddress_excluded {\n fd00::1\n }";
        let text = bare_instance(&format!("unicast_peer {{\n 10.0.0.3\n }}\n {excluded}"));
        assert_eq!((said(&text), only(&text).family), (Vec::new(), Family::V4));
    }

    #[test]
    fn an_address_that_is_there_twice_is_said() {
        let text = owned("10.0.0.1\n 10.0.0.1/24 dev eth0 label eth0:1");
        says(&text, "t:6:2: warning: the virtual address 10.0.0.1 is there twice and named twice in adverts");
        assert_eq!(only(&text).virtual_addresses.len(), 2);
        assert_eq!(said(&owned("10.0.0.1\n 10.0.0.1 dev eth1")), Vec::<String>::new());
        let text = instance("virtual_ipaddress_excluded {\n 10.0.0.1\n }");
        says(&text, "t:5:2: warning: the virtual address 10.0.0.1 is there already; this one is ignored");
        assert!(only(&text).excluded_addresses.is_empty());
    }

    #[test]
    fn an_advert_holds_so_many_addresses() {
        for (most, network) in [(255, "10.0."), (89, "fe80::")] {
            let list = |count: usize| {
                let mut lines = String::new();
                for index in 0..count {
                    let separator = if network.starts_with('1') { "." } else { ":" };
                    write!(lines, "{network}{}{separator}{}\n ", index / 100, index % 100 + 1).unwrap();
                }
                owned(&lines)
            };
            assert_eq!(said(&list(most)), Vec::<String>::new());
            let text = list(most + 1);
            says(&text, &format!("t:1:1: warning: the vrrp_instance VI_1 has {} addresses", most + 1));
            let read = only(&text);
            assert_eq!((read.virtual_addresses.len(), read.excluded_addresses.len()), (most, 1));
        }
    }

    #[test]
    fn an_instance_without_an_address_is_said() {
        says(&bare_instance(""), "t:1:1: warning: the vrrp_instance VI_1 has no `virtual_ipaddress`");
        assert_eq!(said(&bare_instance("no_virtual_ipaddress")), Vec::<String>::new());
        says(
            &bare_instance("version 3"),
            "t:1:1: error: the vrrp_instance VI_1 has no `virtual_ipaddress`, and version 3",
        );
    }

    #[test]
    fn an_instance_without_an_interface_is_said() {
        let without = |text: &str| text.replace("interface eth0", "");
        says(&without(&instance("")), "t:1:1: error: the vrrp_instance VI_1 has no `interface`");
        let unicast = without(&instance("unicast_peer {\n 10.0.0.3\n }"));
        says(&unicast, "t:1:1: warning: the vrrp_instance VI_1 has no `interface`; it does not run");
        let text = format!("global_defs {{\n default_interface eth7\n}}\n{unicast}");
        says(
            &text,
            "t:4:1: warning: the vrrp_instance VI_1 has no `interface`; it runs on the `default_interface` eth7",
        );
        assert_eq!(only(&text).interface.as_deref(), Some("eth7"));
    }

    #[test]
    fn its_own_interface_is_tracked_once() {
        let text = instance("track_interface {\n eth0 weight 5\n eth1\n }");
        says(&text, "t:1:1: warning: the vrrp_instance VI_1 tracks its own interface anyway");
        assert_eq!(only(&text).tracks.interfaces.len(), 1);
        let text = instance("dont_track_primary\n track_interface {\n eth0 weight 5\n }");
        assert_eq!(said(&text), Vec::<String>::new());
    }

    #[test]
    fn wrong_values_are_errors() {
        says("vrrp_instance A {\n}\n", "t:1:1: error: the vrrp_instance A has no `virtual_router_id`");
        says(
            &instance("").replace("51", "256"),
            "t:3:20: error: `256` is out of range for a virtual router id",
        );
        says(&instance("").replace("eth0", "a/b"), "t:2:12: error: `a/b` is not the name of an interface");
        says(&instance("dont_track_primary maybe"), "t:4:21: error: `maybe` is neither yes nor no");
    }
}
