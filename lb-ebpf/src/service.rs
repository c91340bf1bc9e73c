//! The service table: one bucket holds every service of an address, port and protocol.

use lb_common::{
    counters::Counter,
    flow::{FTP, Key as _},
    layout::{Address, PRESENCE, Pool, SERVICE_SLOTS, Service, ServiceInfo, door, service_hash},
    opening::may_be_ftp,
};

use crate::{
    connection,
    family::{Family, Packet},
    lookup::{Rows as _, any},
    maps, mark,
    opening::Phase,
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
        let bucket = maps::SERVICES.row(number / SERVICE_SLOTS as u32)?;
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
    check_address::<F>(packet)?;
    if maps::has(maps::MARKS) {
        connection::note::<F>(packet, 0, 0, Phase::Found);
        if let Some(found) = by_mark::<F>() {
            return Ok(found);
        }
    }
    by_address::<F>(packet)
}

/// The same for the packet in this CPU's scratch row.
#[inline(always)]
pub(crate) fn find_noted<F: Family>(packet: &Packet<F::Key>) -> Result<Found, Verdict> {
    check_address::<F>(packet)?;
    if maps::has(maps::MARKS)
        && let Some(found) = by_mark::<F>()
    {
        return Ok(found);
    }
    by_address::<F>(packet)
}

/// On the wire a mapped address is none of a host, and in the table it is an IPv4 one.
#[inline(always)]
fn check_address<F: Family>(packet: &Packet<F::Key>) -> Result<(), Verdict> {
    if F::IS_V6 && packet.key.vip().is_v4() {
        return Err(pass(Counter::PassNoService));
    }
    Ok(())
}

#[inline(always)]
fn by_mark<F: Family>() -> Option<Found> {
    mark::found(F::classify())
}

#[inline(always)]
fn by_address<F: Family>(packet: &Packet<F::Key>) -> Result<Found, Verdict> {
    let (vip, port, protocol) = (packet.key.vip(), packet.key.vip_port(), packet.key.protocol());
    if let Some(found) = look_up(&vip, port, protocol) {
        return Ok(found);
    }
    if maps::has(maps::FTP)
        && may_be_ftp(protocol, port)
        && let Some(found) = look_up(&vip, FTP, protocol)
    {
        return Ok(found);
    }
    if maps::has(maps::EVERY_PORT)
        && let Some(found) = look_up(&vip, 0, protocol)
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
    let door = door(port, protocol);
    let row = service_hash(vip, door, maps::service_key) & maps::service_mask();
    let bucket = maps::SERVICES.row(row)?;
    let mut slot = 0;
    while slot < SERVICE_SLOTS {
        // SAFETY: the slot lies in the bucket; the controller replaces aligned words whole.
        unsafe {
            let service = &raw const (*bucket).slots[slot];
            let info = (&raw const (*service).info).cast::<u64>().read_volatile();
            if info as u32 & DOOR == door
                && (&raw const (*service).vip).cast::<[u64; 2]>().read_volatile() == vip.halves()
            {
                // All that follows is one way for the verifier, whichever slot it is.
                let slot = any(slot as u32) % SERVICE_SLOTS as u32;
                let number = row * SERVICE_SLOTS as u32 + slot;
                let slot = &raw const (*bucket).slots[slot as usize];
                return Some(Found { slot, number, info: bytemuck::must_cast(info) });
            }
        }
        slot += 1;
    }
    None
}

/// The bits of a [`ServiceInfo`] that are its [`door`].
const DOOR: u32 = door(u16::MAX, u8::MAX);
