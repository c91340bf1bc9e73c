//! The flow tables as a reader sees them who changes nothing.

use std::{hash::Hash, ops::Range};

use lb_common::{
    flow::{Bucket, Host, Key, Parts, SLOTS, Shared, State},
    layout::Server,
};

use super::{
    flows::{Beside, FlowMaps, Rows},
    table::Table,
};

/// A flow or a template whose real server is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenFlow {
    /// Whose it is.
    pub parts: Parts,
    /// How it stands.
    pub state: State,
    /// For how many seconds it is kept if nothing comes.
    pub left: u32,
    /// Row of `servers`.
    pub row: u16,
    /// That row.
    pub server: Server,
}

impl FlowMaps {
    /// Shows what there is in `rows` of both tables at `now_ns` of the program's clock, but for flows whose real server is
    /// gone. What comes or goes meanwhile may be shown or not.
    pub fn look(&self, rows: Range<usize>, now_ns: u64, show: &mut impl FnMut(&SeenFlow)) {
        let (first, second) = self.parts(&rows);
        look(&self.v4, &self.rows, first, now_ns, show);
        look(&self.v6, &self.rows, second, now_ns, show);
    }
}

fn look<K: Key + Hash>(
    buckets: &Table<Bucket<K>>,
    rows: &Rows,
    range: Range<usize>,
    now_ns: u64,
    show: &mut impl FnMut(&SeenFlow),
) {
    let beside = Beside::reader(buckets, rows);
    for row in range {
        // SAFETY: the row lies in the mapping, and who writes to it does so by the same protocol.
        let bucket = unsafe { Shared::<K, Host, _>::new(row as u32, buckets.pointer(row), beside) };
        for entry in (0..SLOTS).filter_map(|slot| bucket.entry(slot)) {
            let row = entry.control.server();
            let server = rows.server_row(row);
            if let Some(server) = server.filter(|server| server.info.generation == entry.control.generation())
            {
                let (parts, state) = (entry.key.parts(), entry.control.state());
                let left = (bucket.left_ns(entry.control, entry.seen, now_ns) / 1_000_000_000) as u32;
                show(&SeenFlow { parts, state, left, row, server });
            }
        }
    }
}
