//! Owns which number each virtual router has. Rows of `leases` follow from it, so a router keeps it over a reload.

use std::collections::{BTreeMap, BTreeSet};

use super::RouterId;
use crate::config::model::vrrp::Vrrp;

/// The numbers of the virtual routers, by the names of their instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    by_name: BTreeMap<String, RouterId>,
}

impl Numbers {
    /// Names that stay keep their numbers and new ones get the lowest that nobody has. A number that is given up with
    /// this very step is not among these: its lease may still run.
    #[must_use]
    pub fn assign(&self, config: &Vrrp) -> Self {
        let taken: BTreeSet<usize> = self.by_name.values().map(|number| number.0).collect();
        let mut free = (0..).filter(|number| !taken.contains(number)).map(RouterId);
        let mut by_name = BTreeMap::new();
        for instance in &config.instances {
            let number = self.of(&instance.name).or_else(|| free.next());
            by_name.extend(number.map(|number| (instance.name.clone(), number)));
        }
        Self { by_name }
    }

    /// The number of the instance with this name.
    pub fn of(&self, name: &str) -> Option<RouterId> {
        self.by_name.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Span, model::vrrp::VrrpInstance};

    fn config(names: &[&str]) -> Vrrp {
        let instance = |name: &&str| VrrpInstance::new((*name).to_owned(), Span::default());
        Vrrp { instances: names.iter().map(instance).collect(), ..Vrrp::default() }
    }

    #[test]
    fn names_that_stay_keep_their_numbers_and_none_is_handed_on_at_once() {
        let first = Numbers::default().assign(&config(&["a", "b", "c"]));
        assert_eq!(["a", "b", "c"].map(|name| first.of(name)), [0, 1, 2].map(|n| Some(RouterId(n))));
        let second = first.assign(&config(&["new", "c", "a"]));
        assert_eq!(
            ["a", "b", "c", "new"].map(|name| second.of(name)),
            [Some(RouterId(0)), None, Some(RouterId(2)), Some(RouterId(3))]
        );
        let third = second.assign(&config(&["a", "late", "new"]));
        assert_eq!(["late", "new"].map(|name| third.of(name)), [Some(RouterId(1)), Some(RouterId(3))]);
    }
}
