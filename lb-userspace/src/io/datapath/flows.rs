//! The flow table in the collector's memory, with the maps that its protocol needs beside it. Knows no clock.

use std::{
    mem::offset_of,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use lb_common::{
    flow::{Bucket, Collected, Host, Key4, Maps, Shared, Timeouts},
    layout::{Load, Server, ServerInfo},
};

use super::{Datapath, map_data, table::Table};

/// Every flow there is; the program works on the same rows at the same time.
#[derive(Debug)]
pub struct Flows {
    pub(super) table: Table<Bucket<Key4>>,
    pub(super) servers: Table<Server>,
    pub(super) loads: Table<Load>,
    pub(super) timeouts: Table<Timeouts>,
    pub(super) era: u8,
}

impl Flows {
    /// Buckets of the table.
    pub const fn rows(&self) -> usize {
        self.table.rows()
    }

    /// Forgets the flows in `rows` that are over at the tick `now`, and counts those of an earlier daemon.
    pub fn collect(&self, rows: Range<usize>, now: u32) -> Collected {
        rows.fold(Collected::default(), |sum, row| {
            // SAFETY: the row lies in the mapping, and who else writes to it does so by the same protocol.
            let bucket = unsafe { Shared::<Key4, Host, &Self>::new(self.table.pointer(row), self) };
            let Collected { forgotten, counted } = bucket.collect(now);
            Collected { forgotten: sum.forgotten + forgotten, counted: sum.counted + counted }
        })
    }
}

impl Datapath {
    /// The flow table, for the thread that collects.
    ///
    /// # Errors
    /// A map that cannot be mapped.
    pub fn flows(&self) -> anyhow::Result<Flows> {
        Ok(Flows {
            table: Table::open(map_data(&self.ebpf, "flows4")?)?,
            servers: Table::open(map_data(&self.ebpf, "servers")?)?,
            loads: Table::open(map_data(&self.ebpf, "loads")?)?,
            timeouts: Table::open(map_data(&self.ebpf, "timeouts")?)?,
            era: self.constants.era as u8,
        })
    }

    /// After what silence flows are forgotten.
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts.get(0)
    }

    /// Changes that; it holds for the flows there are, within a second.
    pub fn set_timeouts(&self, timeouts: &Timeouts) {
        self.timeouts.set(0, timeouts);
    }

    /// Active and inactive connections of a row of `servers`.
    ///
    /// # Panics
    /// For a row that does not exist.
    pub fn load(&self, row: u16) -> Load {
        self.publisher.load(row)
    }
}

impl Maps for &Flows {
    fn era(&self) -> u8 {
        self.era
    }

    fn generation(&self, server: u16) -> Option<u16> {
        let row = usize::from(server);
        let info = |row| self.servers.word::<ServerInfo>(row, offset_of!(Server, info));
        (row < self.servers.rows()).then(|| info(row).generation)
    }

    fn add_load(&self, server: u16, change: u64) {
        let row = usize::from(server);
        if row < self.loads.rows() {
            // SAFETY: the row is one aligned word in the mapping, which everybody changes atomically.
            let word = unsafe { AtomicU64::from_ptr(self.loads.pointer(row).cast()) };
            word.fetch_add(change, Ordering::SeqCst);
        }
    }

    fn timeouts(&self) -> Option<*const Timeouts> {
        Some(self.timeouts.pointer(0).cast_const())
    }
}
