//! Owns which number a virtual router or sync group has for as long as the daemon runs, wherever it stands in the file.

use std::collections::{BTreeMap, BTreeSet};

use super::{GroupId, RouterId};
use crate::config::model::vrrp::Vrrp;

#[cfg(test)]
mod tests;

/// The numbers of the instances and sync groups of one configuration, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    by_name: BTreeMap<String, RouterId>,
    groups: BTreeMap<String, GroupId>,
}

impl Numbers {
    /// Those of the configuration that comes next: a name that stays keeps its number, a new one gets the lowest that is
    /// free. The number of a name that goes is free after the next time only, for its lease may last a little longer.
    #[must_use]
    pub fn assign(&self, config: &Vrrp) -> Self {
        Self {
            by_name: assign(&self.by_name, config.instances.iter().map(|instance| &instance.name), RouterId),
            groups: assign(&self.groups, config.sync_groups.iter().map(|group| &group.name), GroupId),
        }
    }

    /// The number of an instance.
    pub fn of(&self, name: &str) -> Option<RouterId> {
        self.by_name.get(name).copied()
    }

    /// The number of a sync group.
    pub fn of_group(&self, name: &str) -> Option<GroupId> {
        self.groups.get(name).copied()
    }

    /// The name of the instance whose row of `leases` this is.
    pub fn owner_of_row(&self, row: u16) -> Option<&str> {
        self.by_name.iter().find(|(_, id)| id.lease_row() == row).map(|(name, _)| name.as_str())
    }

    /// How many rows `leases` needs, with row 0.
    pub fn lease_rows(&self) -> usize {
        self.by_name.values().map(|id| usize::from(id.lease_row())).max().unwrap_or(0) + 1
    }
}

fn assign<'a, Id: Copy + Ord>(
    before: &BTreeMap<String, Id>,
    names: impl Iterator<Item = &'a String>,
    id: impl Fn(usize) -> Id,
) -> BTreeMap<String, Id> {
    let taken: BTreeSet<Id> = before.values().copied().collect();
    let mut free = (0..).map(id).filter(|id| !taken.contains(id));
    let mut assigned = BTreeMap::new();
    for name in names {
        if let Some(id) = before.get(name).copied().or_else(|| free.next()) {
            assigned.insert(name.clone(), id);
        }
    }
    assigned
}
