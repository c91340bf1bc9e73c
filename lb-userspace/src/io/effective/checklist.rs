//! Owns the numbers of the checks. What a real server was checked by keeps its number, and so its state.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use crate::{config::model::check::Probe, health::Settings, io::check::CheckSpec, plan::ServiceKey};

/// A check that has no number yet.
#[derive(Clone, Debug)]
pub(super) struct Probing {
    pub(super) probe: Arc<Probe>,
    pub(super) settings: Settings,
    pub(super) log_all_failures: bool,
}

/// Every check of every real server. Those of a service are shared by all lists in which they are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checklist {
    by_service: BTreeMap<ServiceKey, Arc<BTreeMap<IpAddr, Vec<CheckSpec>>>>,
    /// The number of the next new one.
    next: u32,
}

impl Checklist {
    /// One without any check, whose numbers nobody in `self` has.
    pub(super) fn successor(&self) -> Self {
        Self { by_service: BTreeMap::new(), next: self.next }
    }

    /// Takes over the checks of a service as they are in `before`.
    pub(super) fn keep(&mut self, before: &Self, service: ServiceKey) {
        if let Some(checks) = before.by_service.get(&service) {
            self.by_service.insert(service, Arc::clone(checks));
        }
    }

    /// Notes the checks of a real server. Those that it had in `before` keep their numbers; one that is no longer the same
    /// gives its number, and what is known by it, to the next that is new.
    pub(super) fn note(
        &mut self,
        before: &Self,
        server: (ServiceKey, IpAddr),
        checks: &[Probing],
    ) -> Vec<u32> {
        let mut old: Vec<&CheckSpec> = before.of(server).iter().collect();
        let mut ids: Vec<Option<u32>> = vec![None; checks.len()];
        let is_heir: [fn(&CheckSpec, &Probing) -> bool; 3] = [
            |old, new| (&old.probe, old.settings) == (&new.probe, new.settings),
            |old, new| old.probe == new.probe,
            |_, _| true,
        ];
        for is_heir in is_heir {
            for (id, check) in ids.iter_mut().zip(checks).filter(|(id, _)| id.is_none()) {
                if let Some(place) = old.iter().position(|old| is_heir(old, check)) {
                    *id = Some(old.remove(place).id);
                }
            }
        }
        let mut fresh = || {
            let id = self.next;
            self.next = id.wrapping_add(1);
            id
        };
        let ids: Vec<u32> = ids.into_iter().map(|id| id.unwrap_or_else(&mut fresh)).collect();
        if !ids.is_empty() {
            let specs = ids.iter().zip(checks).map(|(&id, check)| {
                let Probing { probe, settings, log_all_failures } = check.clone();
                CheckSpec { id, probe, settings, log_all_failures, is_resting: false }
            });
            let (service, address) = server;
            let checks = Arc::make_mut(self.by_service.entry(service).or_default());
            checks.insert(address, specs.collect());
        }
        ids
    }

    /// Those of a real server, in the order of the configuration.
    pub(crate) fn of(&self, (service, address): (ServiceKey, IpAddr)) -> &[CheckSpec] {
        self.by_service.get(&service).and_then(|checks| checks.get(&address)).map_or(&[], Vec::as_slice)
    }

    /// All of them, where those of services that are `resting` rest. Files are looked at all the same, as keepalived does.
    pub(crate) fn specs_while(&self, resting: &BTreeSet<ServiceKey>) -> Vec<CheckSpec> {
        let mut all = Vec::new();
        for (service, checks) in &self.by_service {
            let rests = resting.contains(service);
            all.extend(checks.values().flatten().map(|spec| CheckSpec {
                is_resting: rests && !matches!(*spec.probe, Probe::File(_)),
                ..spec.clone()
            }));
        }
        all
    }

    /// How many are not in `before`, are no longer in `self`, and are there with another target or timing.
    pub(crate) fn difference(&self, before: &Self) -> [usize; 3] {
        let specs = |of: Option<&Arc<BTreeMap<IpAddr, Vec<CheckSpec>>>>| -> BTreeMap<u32, CheckSpec> {
            let specs = of.into_iter().flat_map(|checks| checks.values().flatten());
            specs.map(|spec| (spec.id, spec.clone())).collect()
        };
        let mut difference = [0; 3];
        let gone = before.by_service.keys().filter(|service| !self.by_service.contains_key(service));
        for service in self.by_service.keys().chain(gone) {
            let [old, new] = [before, self].map(|of| of.by_service.get(service));
            if old == new {
                continue;
            }
            let (old, new) = (specs(old), specs(new));
            let [came, gone, other] = &mut difference;
            *came += new.keys().filter(|id| !old.contains_key(id)).count();
            *gone += old.keys().filter(|id| !new.contains_key(id)).count();
            *other += new.iter().filter(|(id, spec)| old.get(id).is_some_and(|old| old != *spec)).count();
        }
        difference
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lb_common::layout::Address;

    use super::*;
    use crate::config::model::check::{Endpoint, FileProbe};

    const SERVICE: ServiceKey = ServiceKey { vip: Address::v4([10, 0, 0, 100]), protocol: 6, port: 80 };

    fn server(last: u8) -> (ServiceKey, IpAddr) {
        (SERVICE, IpAddr::from([10, 0, 0, last]))
    }

    /// A check of a port with so many retries.
    fn check(port: u16, retry: u32) -> Probing {
        let endpoint = Endpoint {
            connect_ip: IpAddr::from([10, 0, 0, 1]),
            connect_port: port,
            bindto: None,
            bind_if: None,
            bind_port: None,
            fwmark: 0,
        };
        Probing {
            probe: Arc::new(Probe::Tcp(endpoint)),
            settings: Settings { retry, delay_loop: Duration::from_secs(6), ..Settings::default() },
            log_all_failures: false,
        }
    }

    #[test]
    fn a_check_keeps_its_number_wherever_it_stands() {
        let mut first = Checklist::default();
        let nobody = Checklist::default();
        assert_eq!(first.note(&nobody, server(1), &[check(80, 1), check(81, 1)]), [0, 1]);
        assert_eq!(first.note(&nobody, server(2), &[check(80, 1)]), [2]);
        let mut second = first.successor();
        assert_eq!(second.note(&first, server(3), &[check(80, 1)]), [3], "a server that comes");
        assert_eq!(second.note(&first, server(1), &[check(9, 9), check(81, 1), check(80, 1)]), [4, 1, 0]);
        assert_eq!(second.difference(&first), [2, 1, 0]);
        assert_eq!(first.difference(&first), [0; 3]);
    }

    #[test]
    fn a_check_that_changed_keeps_its_number_with_what_is_probed_first() {
        let mut first = Checklist::default();
        first.note(&Checklist::default(), server(1), &[check(80, 1), check(81, 1), check(82, 1)]);
        let mut second = first.successor();
        let checks = [check(90, 1), check(82, 1), check(80, 3)];
        assert_eq!(second.note(&first, server(1), &checks), [1, 2, 0]);
        assert_eq!(second.difference(&first), [0, 0, 2]);
    }

    #[test]
    fn all_rest_with_their_service_but_files() {
        let file = FileProbe { name: "f".to_owned(), path: "/f".into(), weight: 0, reverse: false };
        let file = Probing { probe: Arc::new(Probe::File(file)), ..check(80, 1) };
        let mut checks = Checklist::default();
        checks.note(&Checklist::default(), server(1), &[check(80, 1), file]);
        let rest = |resting: &[ServiceKey]| {
            let specs = checks.specs_while(&resting.iter().copied().collect());
            specs.iter().map(|spec| spec.is_resting).collect::<Vec<_>>()
        };
        assert_eq!(rest(&[SERVICE]), [true, false]);
        assert_eq!(rest(&[ServiceKey { port: 81, ..SERVICE }]), [false, false]);
    }

    #[test]
    fn no_number_comes_back() {
        let mut first = Checklist::default();
        first.note(&Checklist::default(), server(1), &[check(80, 1)]);
        let second = first.successor();
        assert_eq!(second.difference(&Checklist::default()), [0; 3]);
        let mut third = second.successor();
        assert_eq!(third.note(&second, server(1), &[check(80, 1)]), [1]);
    }
}
