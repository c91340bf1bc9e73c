//! Where packets of the flows of this moment go, which the program keeps for each CPU: a change makes it forget, and how much room
//! there is for that depends on how many flows there are.

use std::mem::offset_of;

use aya::Ebpf;
use lb_common::flow::{Key, Key4, Key6, Recents, room};

use super::{map_data, table::Table};

/// The maps `recent4` and `recent6`.
#[derive(Debug)]
pub(super) struct Recent {
    v4: Table<Recents<Key4>>,
    v6: Table<Recents<Key6>>,
    /// How many changes there were, wrapping.
    changes: u32,
}

impl Recent {
    pub(super) fn open(ebpf: &Ebpf) -> anyhow::Result<Self> {
        let (v4, v6) = (Table::open(map_data(ebpf, "recent4")?)?, Table::open(map_data(ebpf, "recent6")?)?);
        let mut recent = Self { v4, v6, changes: 0 };
        recent.forget();
        Ok(recent)
    }

    /// A service or a real server has been changed.
    pub(super) fn forget(&mut self) {
        self.changes = self.changes.wrapping_add(1).max(1);
        let change = u64::from(self.changes);
        for cpu in 0..self.v4.rows() {
            self.v4.set_word(cpu, offset_of!(Recents<Key4>, change), &change);
        }
        for cpu in 0..self.v6.rows() {
            self.v6.set_word(cpu, offset_of!(Recents<Key6>, change), &change);
        }
    }
}

/// How much room each CPU has for flows, in one of these maps.
#[derive(Debug)]
pub(super) struct Room<K: Key> {
    rows: Table<Recents<K>>,
    /// By CPUs, the moment in which it was changed.
    since: Vec<u32>,
}

impl<K: Key> Room<K> {
    /// Opens the map with this name.
    pub(super) fn open(ebpf: &Ebpf, map: &str) -> anyhow::Result<Self> {
        let rows = Table::open(map_data(ebpf, map)?)?;
        let since = (0..rows.rows()).map(|cpu| moment(&rows, cpu)).collect();
        Ok(Self { rows, since })
    }

    /// Gives each CPU as much as the flows of its moment need.
    pub(super) fn give(&mut self) {
        let Self { rows, since } = self;
        for (cpu, since) in since.iter_mut().enumerate() {
            let now = moment(rows, cpu);
            let [given, found, crowded] = [
                offset_of!(Recents<K>, room),
                offset_of!(Recents<K>, found),
                offset_of!(Recents<K>, crowded),
            ]
            .map(|at| rows.word(cpu, at));
            let next = room(given, now.wrapping_sub(*since), found, crowded);
            if next != given {
                rows.set_word(cpu, offset_of!(Recents<K>, room), &next);
                *since = now;
            }
        }
    }
}

/// The number of a CPU's moment.
fn moment<K: Key>(rows: &Table<Recents<K>>, cpu: usize) -> u32 {
    rows.word::<u64>(cpu, offset_of!(Recents<K>, moment)) as u32
}
