//! The service table: one bucket holds every service of an address, port and protocol.

use lb_common::{
    counters::Counter,
    flow::FTP,
    hash::multilinear,
    layout::{Address, PRESENCE, Pool, SERVICE_SLOTS, Service, ServiceInfo, service_words},
    opening::may_be_ftp,
};

use crate::{
    connection,
    family::{Family, Packet},
    maps, mark,
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

    /// The same under another row of `leases`.
    #[inline(always)]
    pub(crate) fn under(self, lease: u16) -> Self {
        Self { info: ServiceInfo { lease, ..self.info }, ..self }
    }

    /// Its pool of this moment, one word.
    #[inline(always)]
    pub(crate) fn pool(&self) -> Pool {
        // SAFETY: the slot lies in the map, aligned.
        bytemuck::must_cast(unsafe { (&raw const (*self.slot).pool).cast::<u64>().read_volatile() })
    }

    /// Its VIP, or what stands for its mark.
    #[inline(always)]
    pub(crate) fn vip(&self) -> Address {
        // SAFETY: the slot lies in the map, aligned, and keeps its address.
        Address::from_halves(unsafe { (&raw const (*self.slot).vip).cast::<[u64; 2]>().read_volatile() })
    }
}

/// The virtual service a packet is for, in IPVS's order: by firewall mark, by address, port and protocol, then FTP for
/// what may be its data, then the service on every port.
#[inline(always)]
pub(crate) fn find<F: Family>(packet: &Packet<F::Key>) -> Result<Found, Verdict> {
    if maps::has(maps::MARKS) {
        connection::note::<F>(packet, 0, 0);
    }
    find_noted::<F>(packet)
}

/// The same for the packet in this CPU's scratch row.
#[inline(always)]
pub(crate) fn find_noted<F: Family>(packet: &Packet<F::Key>) -> Result<Found, Verdict> {
    if F::IS_V6 && packet.vip.is_v4() {
        // On the wire it is no address of a host, and in the table it is an IPv4 one.
        return Err(pass(Counter::PassNoService));
    }
    if maps::has(maps::MARKS)
        && let Some(found) = mark::found(F::classify())
    {
        return Ok(found);
    }
    if let Some(found) = look_up(&packet.vip, packet.port, packet.protocol) {
        return Ok(found);
    }
    if maps::has(maps::FTP)
        && may_be_ftp(packet.protocol, packet.port)
        && let Some(found) = look_up(&packet.vip, FTP, packet.protocol)
    {
        return Ok(found);
    }
    if maps::has(maps::EVERY_PORT)
        && let Some(found) = look_up(&packet.vip, 0, packet.protocol)
    {
        return Ok(found);
    }
    Err(pass(Counter::PassNoService))
}

/// What stands for a VIP itself, whatever the port and protocol.
#[inline(always)]
pub(crate) fn presence(vip: &Address) -> Option<Found> {
    look_up(vip, 0, PRESENCE)
}

/// The service with this address, port and protocol, or with what stands for them.
#[inline(always)]
pub(crate) fn look_up(vip: &Address, port: u16, protocol: u8) -> Option<Found> {
    let words = service_words(vip, port, protocol);
    let hash = multilinear(maps::service_key, words.len(), |at| words[at]);
    let row = hash & maps::service_mask();
    let bucket = maps::SERVICES.get_ptr(row)?;
    let mut slot = 0;
    while slot < SERVICE_SLOTS {
        // SAFETY: the slot lies in the bucket; the controller replaces aligned words whole.
        unsafe {
            let service = &raw const (*bucket).slots[slot];
            let info: ServiceInfo =
                bytemuck::must_cast((&raw const (*service).info).cast::<u64>().read_volatile());
            if info.port == port
                && info.protocol == protocol
                && (&raw const (*service).vip).cast::<[u64; 2]>().read_volatile() == vip.halves()
            {
                let number = row * SERVICE_SLOTS as u32 + slot as u32;
                return Some(Found { slot: service, number, info });
            }
        }
        slot += 1;
    }
    None
}
