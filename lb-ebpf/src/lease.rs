//! The lease: may this node forward for the virtual router that owns the service's address, at this moment?
//!
//! Nobody has to take a lease away: it runs out while the controller is stopped or too slow to renew it.

use lb_common::counters::Counter;

use crate::{
    clock, link,
    lookup::Rows as _,
    maps,
    verdict::{Verdict, aside, pass},
};

/// A lease that is nearer to its end is measured by the exact clock, which costs more. The coarse one is behind
/// by a tick, at most 10 ms, and by more while the CPU that counts ticks is held up, until another does after five of them
/// (Linux 5.18); or it is ahead by as much as a tick was late when it was found out when ticks are.
const LAG_NS: u64 = 100_000_000;

/// Ends the way of a packet whose service, which names this row of `leases`, is not this node's to serve, or was sent to a
/// virtual MAC address ([`link::Link::vmac`]) that is not the service's own.
#[inline(always)]
pub(crate) fn check(row: u16, sent_to: u32, coarse_ns: u64) -> Result<(), Verdict> {
    let lease = maps::LEASES.row(u32::from(row)).ok_or_else(|| aside(pass(Counter::PassNotMaster)))?;
    // SAFETY: the row lies in the map, aligned; the controller replaces the time whole and never the address.
    let (until, vmac) =
        unsafe { ((&raw const (*lease).until_ns).read_volatile(), (&raw const (*lease).vmac).read()) };
    if sent_to != 0 && sent_to != link::word(vmac) {
        return Err(aside(pass(Counter::PassOtherHost)));
    }
    if until <= coarse_ns + LAG_NS && until <= clock::exact_ns() {
        return Err(aside(pass(Counter::PassNotMaster)));
    }
    Ok(())
}
