//! What is another in the virtual routers of two configurations, in sentences. Where it stands in the file is none of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::config::Span;
use crate::config::model::vrrp::{
    SyncGroup, TrackFile, TrackProcess, VirtualRoute, VirtualRule, Vrrp, VrrpInstance, VrrpScript,
};

/// What is another in `after`.
pub fn changes(before: &Vrrp, after: &Vrrp) -> Vec<String> {
    let mut told = Vec::new();
    if before.globals != after.globals {
        told.push("what global_defs says of virtual routers changed".to_owned());
    }
    compare("vrrp_instance", [before, after].map(instances), of_instance, &mut told);
    compare("vrrp_sync_group", [before, after].map(groups), |_, _| Vec::new(), &mut told);
    compare("vrrp_script", [before, after].map(scripts), |_, _| Vec::new(), &mut told);
    compare("track_file", [before, after].map(files), |_, _| Vec::new(), &mut told);
    compare("vrrp_track_process", [before, after].map(processes), |_, _| Vec::new(), &mut told);
    told
}

/// What came, what is gone, and what is another, of which `details` has more to say or nothing.
fn compare<T: PartialEq>(
    kind: &str,
    [before, after]: [BTreeMap<&str, T>; 2],
    details: impl Fn(&T, &T) -> Vec<String>,
    told: &mut Vec<String>,
) {
    for (name, new) in &after {
        match before.get(name) {
            None => told.push(format!("{kind} {name} came")),
            Some(old) if old == new => {}
            Some(old) => {
                let details = details(old, new);
                if details.is_empty() {
                    told.push(format!("{kind} {name} changed"));
                }
                told.extend(details.iter().map(|detail| format!("{kind} {name}: {detail}")));
            }
        }
    }
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    told.extend(gone.map(|name| format!("{kind} {name} is gone")));
}

fn of_instance(old: &VrrpInstance, new: &VrrpInstance) -> Vec<String> {
    let mut told = Vec::new();
    if old.priority != new.priority {
        told.push(format!("priority {} is now {}", old.priority, new.priority));
    }
    let [had, has] = [old, new]
        .map(|instance| -> BTreeSet<IpAddr> { instance.owned().map(|owned| owned.address).collect() });
    told.extend(has.difference(&had).map(|address| format!("address {address} came")));
    told.extend(had.difference(&has).map(|address| format!("address {address} is gone")));
    let rest = VrrpInstance {
        priority: old.priority,
        virtual_addresses: old.virtual_addresses.clone(),
        excluded_addresses: old.excluded_addresses.clone(),
        ..new.clone()
    };
    if !told.is_empty() && rest != *old {
        told.push("other settings changed".to_owned());
    }
    told
}

fn instances(config: &Vrrp) -> BTreeMap<&str, VrrpInstance> {
    let unplaced = |instance: &VrrpInstance| VrrpInstance {
        routes: instance
            .routes
            .iter()
            .map(|route| VirtualRoute { span: Span::default(), ..route.clone() })
            .collect(),
        rules: instance
            .rules
            .iter()
            .map(|rule| VirtualRule { span: Span::default(), ..rule.clone() })
            .collect(),
        span: Span::default(),
        ..instance.clone()
    };
    config.instances.iter().map(|instance| (instance.name.as_str(), unplaced(instance))).collect()
}

fn groups(config: &Vrrp) -> BTreeMap<&str, SyncGroup> {
    let unplaced = |group: &SyncGroup| SyncGroup { span: Span::default(), ..group.clone() };
    config.sync_groups.iter().map(|group| (group.name.as_str(), unplaced(group))).collect()
}

fn scripts(config: &Vrrp) -> BTreeMap<&str, VrrpScript> {
    let unplaced = |script: &VrrpScript| VrrpScript { span: Span::default(), ..script.clone() };
    config.scripts.iter().map(|script| (script.name.as_str(), unplaced(script))).collect()
}

fn files(config: &Vrrp) -> BTreeMap<&str, TrackFile> {
    let unplaced = |file: &TrackFile| TrackFile { span: Span::default(), ..file.clone() };
    config.files.iter().map(|file| (file.name.as_str(), unplaced(file))).collect()
}

fn processes(config: &Vrrp) -> BTreeMap<&str, TrackProcess> {
    let unplaced = |process: &TrackProcess| TrackProcess { span: Span::default(), ..process.clone() };
    config.processes.iter().map(|process| (process.name.as_str(), unplaced(process))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::vrrp::{Overwrite, VirtualAddress};

    fn owned(address: [u8; 4]) -> VirtualAddress {
        let address = IpAddr::from(address);
        VirtualAddress { address, prefix: None, dev: None, label: None, scope: None, broadcast: None }
    }

    fn instance(name: &str) -> VrrpInstance {
        let mut instance = VrrpInstance::new(name.to_owned(), Span::default());
        instance.priority = 100;
        instance.virtual_addresses = vec![owned([10, 0, 0, 1])];
        instance
    }

    fn file(init: Option<(i32, Overwrite)>) -> TrackFile {
        TrackFile {
            name: "f".into(),
            weight: 0,
            reverse: false,
            path: "/f".into(),
            init,
            span: Span::default(),
        }
    }

    #[test]
    fn everything_that_is_another_is_told_and_no_place() {
        let before = Vrrp {
            instances: vec![instance("A"), instance("B"), instance("C"), instance("D")],
            files: vec![file(None)],
            ..Vrrp::default()
        };
        let mut after = before.clone();
        after.instances.reverse();
        after.instances.iter_mut().for_each(|instance| instance.span = Span { start: 7, ..Span::default() });
        assert_eq!(changes(&before, &after), [""; 0]);

        let [_, c, b, a] = &mut after.instances[..] else { panic!("four") };
        (a.priority, a.preempt) = (80, false);
        b.virtual_addresses = vec![owned([10, 0, 0, 2])];
        c.preempt = false;
        after.instances.remove(0);
        after.instances.push(instance("E"));
        after.files = vec![file(Some((1, Overwrite::Yes)))];
        after.globals.startup_delay = std::time::Duration::from_secs(1);
        assert_eq!(
            changes(&before, &after),
            [
                "what global_defs says of virtual routers changed",
                "vrrp_instance A: priority 100 is now 80",
                "vrrp_instance A: other settings changed",
                "vrrp_instance B: address 10.0.0.2 came",
                "vrrp_instance B: address 10.0.0.1 is gone",
                "vrrp_instance C changed",
                "vrrp_instance E came",
                "vrrp_instance D is gone",
                "track_file f changed",
            ]
        );
    }
}
