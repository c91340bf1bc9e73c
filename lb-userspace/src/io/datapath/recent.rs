//! Where packets of the flows of this moment go, which the program keeps for each CPU: a change makes it forget.

use std::mem::offset_of;

use aya::Ebpf;
use lb_common::flow::{Key4, Key6, Recents};

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
