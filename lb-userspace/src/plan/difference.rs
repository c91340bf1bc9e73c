//! What is different between the services that run and those that are to. It is found once, and all that follows looks at
//! this only: what a change costs is the services that change, not those there are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{ServiceKey, Wanted, WantedServer};

/// From the services of before to those of after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// All that are to run, in the order of the configuration; none is named twice.
    pub after: Vec<Wanted>,
    /// Those of them that did not run so, in the same order, each with what it was if it ran.
    pub others: Vec<(Option<Wanted>, Wanted)>,
    /// Those that are to run no longer, in the order of their keys.
    pub gone: Vec<Wanted>,
}

impl Difference {
    /// What makes `before` `after`.
    pub fn between<T: AsRef<Wanted>>(before: &BTreeMap<ServiceKey, T>, after: Vec<Wanted>) -> Self {
        let mut others = Vec::new();
        let mut stay = 0;
        for service in &after {
            let old = before.get(&service.key).map(AsRef::as_ref);
            stay += usize::from(old.is_some());
            if old != Some(service) {
                others.push((old.cloned(), service.clone()));
            }
        }
        let mut gone = Vec::new();
        if stay < before.len() {
            let known: BTreeSet<ServiceKey> = after.iter().map(|service| service.key).collect();
            let goes = |service: &&Wanted| !known.contains(&service.key);
            gone.extend(before.values().map(AsRef::as_ref).filter(goes).cloned());
        }
        Self { after, others, gone }
    }

    /// The services that come.
    pub fn came(&self) -> impl Iterator<Item = &Wanted> {
        self.others.iter().filter_map(|(old, new)| old.is_none().then_some(new))
    }

    /// The services that are not as they were, as they are to be.
    pub fn next(&self) -> impl Iterator<Item = &Wanted> + Clone {
        self.others.iter().map(|(_, new)| new)
    }

    /// The real servers that come, each with its service.
    pub fn servers_that_come(&self) -> impl Iterator<Item = (ServiceKey, &WantedServer)> {
        self.others.iter().flat_map(|(old, new)| only_in(new, old.as_ref()))
    }

    /// The real servers that go, each with its service, which may go as well.
    pub fn servers_that_go(&self) -> impl Iterator<Item = (ServiceKey, &WantedServer)> {
        let of_others = self.others.iter().filter_map(|(old, new)| Some((old.as_ref()?, new)));
        let of_gone = self.gone.iter().flat_map(|service| only_in(service, None));
        of_others.flat_map(|(old, new)| only_in(old, Some(new))).chain(of_gone)
    }
}

/// The real servers of a service that it does not have in `other`.
fn only_in<'a>(
    service: &'a Wanted,
    other: Option<&Wanted>,
) -> impl Iterator<Item = (ServiceKey, &'a WantedServer)> + use<'a> {
    let others = other.map_or(&[][..], |other| &other.servers);
    let known: BTreeSet<IpAddr> = others.iter().map(|server| server.rip).collect();
    let servers = service.servers.iter().filter(move |server| !known.contains(&server.rip));
    servers.map(|server| (service.key, server))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::testing::{difference, key, service};

    fn by_key(services: &[Wanted]) -> BTreeMap<ServiceKey, Wanted> {
        services.iter().map(|service| (service.key, service.clone())).collect()
    }

    /// Services by port, with real servers and their weights.
    fn services() -> impl Strategy<Value = Vec<Wanted>> {
        let servers = prop::collection::btree_map(1..6u8, 0..2u16, 0..4);
        let services = prop::collection::btree_map(80..86u16, servers, 0..6);
        let services = services.prop_map(|services| {
            let of = |(port, servers): (u16, BTreeMap<u8, u16>)| {
                let mut wanted = service(port, &servers.keys().copied().collect::<Vec<_>>());
                wanted.servers_mut().iter_mut().zip(servers.values()).for_each(|(at, to)| at.weight = *to);
                wanted
            };
            services.into_iter().map(of).collect::<Vec<_>>()
        });
        services.prop_shuffle()
    }

    #[test]
    fn another_order_is_no_difference_and_what_is_shared_is_the_same() {
        let before = [service(80, &[1, 2]), service(81, &[1])];
        let after = vec![before[1].clone(), before[0].clone()];
        assert_eq!(difference(&before, &after), Difference { after, ..Difference::default() });
    }

    proptest! {
        /// What is not named is the same on both sides, and what is named is not.
        #[test]
        fn nothing_is_left_out(before in services(), after in services()) {
            let (old, new) = (by_key(&before), by_key(&after));
            let difference = difference(&before, &after);
            prop_assert_eq!(&difference.after, &after);
            let named: BTreeSet<ServiceKey> =
                difference.next().chain(&difference.gone).map(|service| service.key).collect();
            for key in (79..87).map(key) {
                prop_assert_eq!(named.contains(&key), old.get(&key) != new.get(&key));
            }
            for (was, is) in &difference.others {
                prop_assert_eq!((was.as_ref(), Some(is)), (old.get(&is.key), new.get(&is.key)));
            }
            for gone in &difference.gone {
                prop_assert_eq!((old.get(&gone.key), new.get(&gone.key)), (Some(gone), None));
            }
            let servers = |of: &BTreeMap<ServiceKey, Wanted>| -> BTreeSet<(ServiceKey, IpAddr)> {
                of.iter().flat_map(|(key, of)| of.servers.iter().map(|server| (*key, server.rip))).collect()
            };
            let (old, new) = (servers(&old), servers(&new));
            let come: BTreeSet<_> = difference.servers_that_come().map(|(key, server)| (key, server.rip)).collect();
            let go: BTreeSet<_> = difference.servers_that_go().map(|(key, server)| (key, server.rip)).collect();
            prop_assert_eq!(come, new.difference(&old).copied().collect());
            prop_assert_eq!(go, old.difference(&new).copied().collect());
        }
    }
}
