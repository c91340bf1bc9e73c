//! Which checks are to be one.

use std::collections::{BTreeMap, HashMap};

use super::{CheckSpec, Key, Shared};

/// Checks that are to be one.
pub(super) struct Group {
    pub(super) key: Key,
    /// The machine that they have and keep: of those that rest or did, for what another knows may be older.
    pub(super) own: Option<u64>,
    pub(super) members: Vec<u32>,
}

/// The checks by what is the same; who comes joins the first.
pub(super) fn groups(
    specs: BTreeMap<u32, CheckSpec>,
    before: &BTreeMap<u32, u64>,
    old: &BTreeMap<u64, Shared>,
) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places: HashMap<(Key, Option<u64>), usize> = HashMap::new();
    let own = |id: &u32, key: &Key| {
        let number = before.get(id)?;
        let is_kept = |one: &Shared| {
            (&one.key.probe, one.key.settings) == (&key.probe, key.settings)
                && (one.key.is_resting || key.is_resting)
        };
        old.get(number).is_some_and(is_kept).then_some(*number)
    };
    let (known, newcomers): (Vec<_>, Vec<_>) = specs.into_iter().partition(|(id, _)| before.contains_key(id));
    let mut first: HashMap<Key, usize> = HashMap::new();
    for (id, CheckSpec { probe, settings, is_resting, .. }) in known.into_iter().chain(newcomers) {
        let key = Key { probe, settings, is_resting };
        let own = own(&id, &key);
        let next = groups.len();
        let any = *first.entry(key.clone()).or_insert(next);
        let place =
            if before.contains_key(&id) { *places.entry((key.clone(), own)).or_insert(next) } else { any };
        match groups.get_mut(place) {
            Some(group) => group.members.push(id),
            None => groups.push(Group { key, own, members: vec![id] }),
        }
    }
    groups
}
