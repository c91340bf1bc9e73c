//! The thresholds of real servers: with how many connections one is overloaded, and below how many no longer
//! (`net/netfilter/ipvs/ip_vs_conn.c`).

use lb_common::layout::{Limit, Load};

use crate::{lookup::Rows as _, maps};

/// Is a real server overloaded?
#[inline(always)]
pub(crate) fn is_overloaded(server: u16) -> bool {
    // SAFETY: the row lies in the map; its words are read one by one.
    maps::has(maps::LIMITED) && row(server).is_some_and(|row| unsafe { judge(row, maps::load(server)) })
}

/// A real server has got one more connection or may have lost some.
#[inline(always)]
pub(crate) fn changed(server: u16) {
    let _now = is_overloaded(server);
}

#[inline(always)]
fn row(server: u16) -> Option<*mut Limit> {
    maps::LIMITS.row(u32::from(server))
}

/// Keeps the note whether the server is overloaded.
///
/// # Safety
/// `row` is valid.
#[inline(always)]
unsafe fn judge(row: *mut Limit, load: Load) -> bool {
    // SAFETY: the contract; aligned words, of which this program alone writes the third.
    unsafe {
        let upper = (&raw const (*row).upper).read_volatile();
        if upper == 0 {
            return false;
        }
        let was = (&raw const (*row).overloaded).read_volatile() != 0;
        let now = load.overloads(upper, (&raw const (*row).lower).read_volatile(), was);
        if now != was {
            (&raw mut (*row).overloaded).write_volatile(u32::from(now));
        }
        now
    }
}
