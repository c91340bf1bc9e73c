//! The maps and the constants the controller sets before it loads the program.
//!
//! Sizes stand for the smallest director; the controller sets each map's to what the configuration needs.

use aya_ebpf::{
    btf_maps::{Array, DevMap, PerCpuArray},
    macros::btf_map,
};
use lb_common::{
    counters::{Counter, Counters},
    flow::{Bucket, Key4, Timeouts},
    hash::{Keys, MAX_WORDS},
    layout::{CursorRow, Layout, Lease, Load, MAX_PORTS, Member, Port, Server, ServiceBucket, Stats},
};

use crate::{answer, pick::Run};

/// `BPF_F_MMAPABLE`: the controller reads and writes the rows without a system call.
const MMAPABLE: usize = 1024;

#[btf_map(name = "services")]
pub(crate) static SERVICES: Array<ServiceBucket, 1, MMAPABLE> = Array::new();
#[btf_map(name = "leases")]
pub(crate) static LEASES: Array<Lease, 1, MMAPABLE> = Array::new();
#[btf_map(name = "members")]
pub(crate) static MEMBERS: Array<Member, 1, MMAPABLE> = Array::new();
#[btf_map(name = "cursors")]
pub(crate) static CURSORS: Array<CursorRow, 1, MMAPABLE> = Array::new();
/// lblc, lblcr: by rows of `servers`, the number each joined the set of its VIP's servers with.
#[btf_map(name = "joined")]
pub(crate) static JOINED: Array<u32, 1> = Array::new();
#[btf_map(name = "servers")]
pub(crate) static SERVERS: Array<Server, 1, MMAPABLE> = Array::new();
#[btf_map(name = "flows4")]
pub(crate) static FLOWS4: Array<Bucket<Key4>, 1, MMAPABLE> = Array::new();
/// One row for each of `servers`.
#[btf_map(name = "loads")]
pub(crate) static LOADS: Array<Load, 1, MMAPABLE> = Array::new();
#[btf_map(name = "timeouts")]
pub(crate) static TIMEOUTS: Array<Timeouts, 1, MMAPABLE> = Array::new();
#[btf_map(name = "server_stats")]
static SERVER_STATS: PerCpuArray<Stats, 1> = PerCpuArray::new();
#[btf_map(name = "counters")]
static COUNTERS: PerCpuArray<Counters, 1> = PerCpuArray::new();
#[btf_map(name = "ports")]
pub(crate) static PORT_DEVICES: DevMap<MAX_PORTS> = DevMap::new();
/// A pick's state: too large for the stack, and one CPU makes one pick at a time.
#[btf_map(name = "search")]
pub(crate) static SEARCH: PerCpuArray<Run, 1> = PerCpuArray::new();
/// An answer in the making: likewise.
#[btf_map(name = "answers")]
pub(crate) static ANSWERS: PerCpuArray<answer::Row, 1> = PerCpuArray::new();
/// Not read by the program: it travels with the maps for the next daemon.
#[btf_map(name = "layout")]
static LAYOUT: Array<Layout, 1> = Array::new();

// The constants of the loaded program. The compiler sees zeros, so every read is volatile.

/// Number of rows of `services` less one.
#[unsafe(no_mangle)]
static SERVICE_MASK: u32 = 0;
/// Number of rows of `flows4` less one.
#[unsafe(no_mangle)]
static FLOW_MASK: u32 = 0;
/// Decisions are logged when it is not 0.
#[unsafe(no_mangle)]
static DEBUG: u32 = 0;
/// The era that flows are counted in.
#[unsafe(no_mangle)]
static ERA: u32 = 0;
/// Keys of the hash over `services`.
#[unsafe(no_mangle)]
static SERVICE_KEYS: Keys = [0; MAX_WORDS + 1];
/// Keys of the hash over `flows4`.
#[unsafe(no_mangle)]
static FLOW_KEYS: Keys = [0; MAX_WORDS + 1];
/// The interfaces, by their rows in `ports`.
#[unsafe(no_mangle)]
static PORTS: [Port; MAX_PORTS] = [Port { ifindex: 0, mac: [0; 6], mtu: 0 }; MAX_PORTS];

#[inline(always)]
pub(crate) fn service_mask() -> u32 {
    // SAFETY: a valid static.
    unsafe { (&raw const SERVICE_MASK).read_volatile() }
}

#[inline(always)]
pub(crate) fn flow_mask() -> u32 {
    // SAFETY: a valid static.
    unsafe { (&raw const FLOW_MASK).read_volatile() }
}

#[inline(always)]
pub(crate) fn era() -> u8 {
    // SAFETY: a valid static.
    unsafe { (&raw const ERA).read_volatile() as u8 }
}

#[inline(always)]
pub(crate) fn debug() -> bool {
    // SAFETY: a valid static.
    unsafe { (&raw const DEBUG).read_volatile() != 0 }
}

#[inline(always)]
pub(crate) fn service_key(at: usize) -> u64 {
    // SAFETY: the hash asks for places below MAX_WORDS + 1.
    unsafe { (&raw const SERVICE_KEYS).cast::<u64>().add(at).read_volatile() }
}

#[inline(always)]
pub(crate) fn flow_key(at: usize) -> u64 {
    // SAFETY: as in `service_key`.
    unsafe { (&raw const FLOW_KEYS).cast::<u64>().add(at).read_volatile() }
}

/// The interface in a row of `ports`, which must be below `MAX_PORTS`.
#[inline(always)]
pub(crate) fn port(row: usize) -> *const Port {
    // SAFETY: callers keep the row below MAX_PORTS.
    unsafe { (&raw const PORTS).cast::<Port>().add(row) }
}

/// Counts a packet that leaves. A counter that is missing never costs a packet.
#[inline(always)]
pub(crate) fn count(counter: Counter) {
    if let Some(row) = COUNTERS.get_ptr_mut(0) {
        // SAFETY: the row has a word for every counter, and this CPU's copy is its own.
        unsafe {
            let word = row.cast::<u64>().add(counter as usize);
            *word += 1;
        }
    }
}

/// Counts a packet to a real server, and its connection when it is the first.
#[inline(always)]
pub(crate) fn count_server(server: u16, bytes: u64, is_new: bool) {
    if let Some(row) = SERVER_STATS.get_ptr_mut(u32::from(server)) {
        // SAFETY: this CPU's copy of the row is its own.
        let stats = unsafe { &mut *row };
        stats.connections += u64::from(is_new);
        stats.packets += 1;
        stats.bytes += bytes;
    }
}
