//! The leases in the memory of the thread that renews them. Decides nothing: who may forward is `vrrp`'s to say.

use std::{mem::offset_of, sync::Arc, time::Duration};

use aya::maps::MapData;
use lb_common::layout::Lease;
use nix::time::ClockId;

use super::table::Table;

/// Until when this node may forward for each virtual router: the rows of `leases`. Every clone writes the same ones.
#[derive(Clone, Debug)]
pub struct Leases {
    rows: Arc<Table<Lease>>,
}

impl Leases {
    /// Writes row 0, which never runs out, and behind it one row for each of `routers`, of which none is master.
    pub(super) fn open(map: &MapData, routers: &[Lease]) -> anyhow::Result<Self> {
        let rows = Table::open(map)?;
        rows.set(0, &Lease::ENDLESS);
        for (row, router) in (1..).zip(routers) {
            rows.set(row, &Lease::none(router.vrid, router.vmac));
        }
        Ok(Self { rows: Arc::new(rows) })
    }

    /// Are there rows for so many routers?
    pub(super) fn has_room(&self, routers: &[Lease]) -> bool {
        routers.len() < self.rows.rows()
    }

    /// Says whose the rows are. A router that stays keeps its lease and one that comes has none; rows that are nobody's
    /// now are left to run out.
    pub(super) fn define(&self, routers: &[Lease]) {
        const ROUTER: usize = size_of::<u64>();
        const { assert!(offset_of!(Lease, until_ns) == 0 && size_of::<Lease>() == 2 * ROUTER) };
        for (row, router) in (1..).zip(routers).filter(|(_, router)| router.vrid != 0) {
            if self.rows.get(row).vrid != router.vrid {
                self.rows.set_word(row, offset_of!(Lease, until_ns), &0u64);
            }
            let [_, whose] = bytemuck::must_cast::<Lease, [u64; 2]>(*router);
            if self.rows.word::<u64>(row, ROUTER) != whose {
                self.rows.set_word(row, ROUTER, &whose);
            }
        }
    }

    /// Lets this node forward for a virtual router until `until_ns` of `CLOCK_MONOTONIC`; 0 ends it at once.
    ///
    /// # Panics
    /// For row 0, which is nobody's to change, and for a row that does not exist.
    pub fn set(&self, row: u16, until_ns: u64) {
        assert_ne!(row, 0, "row 0 never runs out");
        self.rows.set_word(usize::from(row), offset_of!(Lease, until_ns), &until_ns);
    }

    /// Until when the row lets this node forward; 0 when it is not master.
    ///
    /// # Panics
    /// For a row that does not exist.
    pub fn get(&self, row: u16) -> u64 {
        self.rows.word(usize::from(row), offset_of!(Lease, until_ns))
    }

    /// All of a row, if there is one.
    pub(super) fn row(&self, row: u16) -> Option<Lease> {
        let row = usize::from(row);
        (row < self.rows.rows()).then(|| self.rows.get(row))
    }

    /// How many rows there are, with row 0.
    pub fn rows(&self) -> usize {
        self.rows.rows()
    }

    /// Does the program forward under this row at this moment?
    pub fn is_alive(&self, row: u16) -> bool {
        let now = ClockId::CLOCK_MONOTONIC.now().map(Duration::from);
        now.is_ok_and(|now| now.as_nanos() < u128::from(self.get(row)))
    }

    /// Ends every lease at once; row 0 has none.
    pub(super) fn end_all(&self) {
        (1..self.rows.rows()).for_each(|row| self.set(row as u16, 0));
    }
}
