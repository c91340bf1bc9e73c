//! The service table: one bucket holds every service a packet can be for.

use lb_common::{
    counters::Counter,
    hash::multilinear,
    layout::{Pool, SERVICE_SLOTS, Service, ServiceInfo, service_words},
};

use crate::{
    family::Packet,
    maps,
    verdict::{Verdict, pass},
};

/// A virtual service in its slot of the table.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    slot: *const Service,
    /// Its number in the table, by which [`Found::at`] finds it again.
    pub(crate) number: u32,
    /// Port, protocol, scheduler, id, lease.
    pub(crate) info: ServiceInfo,
}

impl Found {
    /// The service with this number.
    #[inline(always)]
    pub(crate) fn at(number: u32) -> Option<Self> {
        let bucket = maps::SERVICES.get_ptr(number / SERVICE_SLOTS as u32)?;
        // SAFETY: the slot lies in the bucket; the controller replaces aligned words whole.
        unsafe {
            let slot = &raw const (*bucket).slots[number as usize % SERVICE_SLOTS];
            let info = bytemuck::must_cast((&raw const (*slot).info).cast::<u64>().read_volatile());
            Some(Self { slot, number, info })
        }
    }

    /// Its pool of this moment, one word.
    #[inline(always)]
    pub(crate) fn pool(&self) -> Pool {
        // SAFETY: the slot lies in the map, aligned.
        bytemuck::must_cast(unsafe { (&raw const (*self.slot).pool).cast::<u64>().read_volatile() })
    }
}

/// The virtual service a packet is for.
#[inline(always)]
pub(crate) fn find<K>(packet: &Packet<K>) -> Result<Found, Verdict> {
    let hash = multilinear(maps::service_key, service_words(&packet.vip, packet.port, packet.protocol));
    let row = hash & maps::service_mask();
    let bucket = maps::SERVICES.get_ptr(row).ok_or(pass(Counter::PassNoService))?;
    let mut slot = 0;
    while slot < SERVICE_SLOTS {
        // SAFETY: the slot lies in the bucket; the controller replaces aligned words whole.
        unsafe {
            let service = &raw const (*bucket).slots[slot];
            let info: ServiceInfo =
                bytemuck::must_cast((&raw const (*service).info).cast::<u64>().read_volatile());
            if info.port == packet.port
                && info.protocol == packet.protocol
                && (&raw const (*service).vip).cast::<[u64; 2]>().read_volatile() == packet.vip.halves()
            {
                let number = row * SERVICE_SLOTS as u32 + slot as u32;
                return Ok(Found { slot: service, number, info });
            }
        }
        slot += 1;
    }
    Err(pass(Counter::PassNoService))
}
