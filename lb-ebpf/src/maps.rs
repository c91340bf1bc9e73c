//! The maps and the constants the controller sets before it loads the program.
//!
//! Sizes stand for the smallest director; the controller sets each map's to what the configuration needs.

use aya_ebpf::{
    btf_maps::{Array, DevMap, LruHashMap, PerCpuArray, RingBuf},
    helpers::generated::bpf_get_smp_processor_id,
    macros::btf_map,
};
use lb_common::{
    counters::{Counter, Counters},
    flow::{Asked, Bucket, Key4, Key6, Looks, Recents, Timeouts},
    fragment::{Datagram, Early, First},
    hash::{Keys, MAX_WORDS},
    layout::{
        CursorRow, Layout, Lease, Limit, Load, Loads, MAX_PORTS, MAX_SERVERS, MEMBERS as IN_ROW, MarkRule,
        Member, Members, Policy, Port, Server, ServiceBucket, Stats, feature,
    },
};

pub(crate) use feature::{BY_RING, EVERY_PORT, FTP, LIMITED, MARKS, PERSISTENCE, SETTLES};

use crate::{
    answer,
    flow::Work,
    fragment,
    lookup::{Rows as _, any},
    mark::Classified,
    pick::Run,
};

/// `BPF_F_MMAPABLE`: the controller reads and writes the rows without a system call.
const MMAPABLE: usize = 1024;

#[btf_map(name = "services")]
pub(crate) static SERVICES: Array<ServiceBucket, 1, MMAPABLE> = Array::new();
#[btf_map(name = "leases")]
pub(crate) static LEASES: Array<Lease, 1, MMAPABLE> = Array::new();
#[btf_map(name = "members")]
pub(crate) static MEMBERS: Array<Members, 1, MMAPABLE> = Array::new();
#[btf_map(name = "cursors")]
pub(crate) static CURSORS: Array<CursorRow, 1, MMAPABLE> = Array::new();
/// lblc, lblcr: by rows of `servers`, the number each joined the set of its VIP's servers with.
#[btf_map(name = "joined")]
pub(crate) static JOINED: Array<u32, 1> = Array::new();
#[btf_map(name = "servers")]
pub(crate) static SERVERS: Array<Server, 1, MMAPABLE> = Array::new();
#[btf_map(name = "flows4")]
pub(crate) static FLOWS4: Array<Bucket<Key4>, 1, MMAPABLE> = Array::new();
#[btf_map(name = "flows6")]
pub(crate) static FLOWS6: Array<Bucket<Key6>, 1, MMAPABLE> = Array::new();
/// One row for each CPU.
#[btf_map(name = "recent4")]
pub(crate) static RECENT4: Array<Recents<Key4>, 1, MMAPABLE> = Array::new();
#[btf_map(name = "recent6")]
pub(crate) static RECENT6: Array<Recents<Key6>, 1, MMAPABLE> = Array::new();
/// Words of [`lb_common::flow::Lately`], for each CPU as many.
#[btf_map(name = "lately")]
pub(crate) static LATELY: Array<u64, 1> = Array::new();
/// How many packets are looked for there: one row for each CPU.
#[btf_map(name = "looks")]
static LOOKS: Array<Looks, 1, MMAPABLE> = Array::new();
/// Words of [`Asked`], for each CPU [`Asked::WORDS`].
#[btf_map(name = "asked")]
pub(crate) static ASKED: Array<u64, 1, MMAPABLE> = Array::new();
/// One row for each of `cursors`.
#[btf_map(name = "policies")]
static POLICIES: Array<Policy, 1, MMAPABLE> = Array::new();
/// One row for each of `servers`.
#[btf_map(name = "limits")]
pub(crate) static LIMITS: Array<Limit, 1, MMAPABLE> = Array::new();
/// In the order in which they are tried.
#[btf_map(name = "mark_rules")]
pub(crate) static MARK_RULES: Array<MarkRule, 1, MMAPABLE> = Array::new();
#[btf_map(name = "loads")]
pub(crate) static LOADS: Array<Loads, 1, MMAPABLE> = Array::new();
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
/// What the stages hand to exported functions, and what the search for a firewall mark knows.
#[btf_map(name = "work4")]
pub(crate) static WORK4: PerCpuArray<Work<Key4>, 1> = PerCpuArray::new();
#[btf_map(name = "work6")]
pub(crate) static WORK6: PerCpuArray<Work<Key6>, 1> = PerCpuArray::new();
#[btf_map(name = "piece")]
pub(crate) static PIECE: PerCpuArray<fragment::Row, 1> = PerCpuArray::new();
/// What became of first fragments.
#[btf_map(name = "fragments")]
pub(crate) static FRAGMENTS: LruHashMap<Datagram, First, 32_768> = LruHashMap::new();
/// Frames that came before the first fragment of their datagram, each behind an [`Early`].
#[btf_map(name = "early")]
pub(crate) static EARLY: RingBuf<Early, { 1 << 20 }> = RingBuf::new();
/// Such a frame on its way there.
#[btf_map(name = "copy")]
pub(crate) static COPY: PerCpuArray<fragment::Copy, 1> = PerCpuArray::new();
#[btf_map(name = "classified")]
pub(crate) static CLASSIFIED: PerCpuArray<Classified, 1> = PerCpuArray::new();
/// Not read by the program: it travels with the maps for the next daemon.
#[btf_map(name = "layout")]
static LAYOUT: Array<Layout, 1> = Array::new();

// The constants of the loaded program. The compiler sees zeros, so every read is volatile.

/// Number of rows of `services` less one.
#[unsafe(no_mangle)]
static SERVICE_MASK: u32 = 0;
/// Number of rows less one of `flows4` and of `flows6`.
#[unsafe(no_mangle)]
static FLOW_MASKS: [u32; 2] = [0; 2];
/// Words of each CPU in `lately` less one.
#[unsafe(no_mangle)]
static LATELY_MASK: u32 = 0;
/// What services need that others do not pay for: bits of `layout::feature`.
#[unsafe(no_mangle)]
static FEATURES: u32 = 0;
/// Decisions are logged when it is not 0.
#[unsafe(no_mangle)]
static DEBUG: u32 = 0;
/// The era that flows are counted in.
#[unsafe(no_mangle)]
static ERA: u32 = 0;
/// Keys of the hash over `services`.
#[unsafe(no_mangle)]
static SERVICE_KEYS: Keys = [0; MAX_WORDS + 1];
/// Keys of the hash over `flows4` and `flows6`.
#[unsafe(no_mangle)]
static FLOW_KEYS: Keys = [0; MAX_WORDS + 1];
/// Nanoseconds from one timer tick to the next, and of the clock when the count of ticks was 0, wrapping. The first is 0 where
/// ticks are no clock.
#[unsafe(no_mangle)]
static TICKS: [u64; 2] = [0; 2];
/// The interfaces, by their rows in `ports`.
#[unsafe(no_mangle)]
static PORTS: [Port; MAX_PORTS] = [Port::NONE; MAX_PORTS];

#[inline(always)]
pub(crate) fn service_mask() -> u32 {
    // SAFETY: a valid static.
    unsafe { (&raw const SERVICE_MASK).read_volatile() }
}

/// Of IPv4 0, of IPv6 1.
#[inline(always)]
pub(crate) fn flow_mask(family: usize) -> u32 {
    // SAFETY: a valid static with two words.
    unsafe { (&raw const FLOW_MASKS).cast::<u32>().add(family).read_volatile() }
}

/// The word of `lately` in which this CPU notes flows with this hash.
#[inline(always)]
pub(crate) fn lately(hash: u32) -> Option<*mut u64> {
    // SAFETY: a valid static; a helper without arguments.
    let (mask, cpu) = unsafe { ((&raw const LATELY_MASK).read_volatile(), bpf_get_smp_processor_id()) };
    LATELY.row(cpu * (mask + 1) + (hash & mask))
}

/// What this CPU knows of its looks.
#[inline(always)]
pub(crate) fn looks() -> Option<*mut Looks> {
    // SAFETY: a helper without arguments.
    LOOKS.row(unsafe { bpf_get_smp_processor_id() })
}

/// The word of `asked` that tells this CPU of flows with this hash.
#[inline(always)]
pub(crate) fn asked(hash: u32) -> Option<*mut u64> {
    // SAFETY: a helper without arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    ASKED.row(cpu * Asked::WORDS + Asked::word_of(hash))
}

#[inline(always)]
pub(crate) fn ticks() -> [u64; 2] {
    // SAFETY: a valid static.
    unsafe { (&raw const TICKS).read_volatile() }
}

/// Does a service need this? The verifier knows, and leaves out what is for others.
#[inline(always)]
pub(crate) fn has(feature: u32) -> bool {
    // SAFETY: a valid static.
    unsafe { (&raw const FEATURES).read_volatile() & feature != 0 }
}

/// A real server at a place in the list or the ring of the service whose pool begins with this row.
#[inline(always)]
pub(crate) fn member(base: u32, place: u32) -> Option<Member> {
    MEMBERS.row(base + place / IN_ROW as u32).map(|row| member_of(row, any(place) as usize))
}

/// The one at this place of its row.
#[inline(always)]
pub(crate) fn member_of(row: *const Members, place: usize) -> Member {
    // SAFETY: the row lies in the map, and its members are aligned words.
    bytemuck::must_cast(unsafe { row.cast::<u32>().add(place % IN_ROW).read_volatile() })
}

/// The policy of the service with this row of `cursors`.
#[inline(always)]
pub(crate) fn policy(id: u16) -> Policy {
    match POLICIES.row(u32::from(id)) {
        // SAFETY: the row lies in the map; the controller writes it before the service is there.
        Some(row) => unsafe { row.read() },
        None => Policy::default(),
    }
}

/// The connections of a real server.
#[inline(always)]
pub(crate) fn load(server: u16) -> Load {
    LOADS.row(0).map_or(Load::default(), |loads| load_of(loads, any(server.into())))
}

/// The same in the row that is known.
#[inline(always)]
pub(crate) fn load_of(loads: *mut Loads, server: u32) -> Load {
    // SAFETY: one aligned word in the map.
    Load::from_word(unsafe { load_word(loads, server).read_volatile() })
}

/// The two counts as they stand, of which one that is negative means 0.
#[inline(always)]
pub(crate) fn counts_of(loads: *mut Loads, server: u32) -> Load {
    let counts = load_word(loads, server).cast::<u32>();
    // SAFETY: the two halves of one aligned word in the map, active connections first.
    unsafe { Load { active: counts.read_volatile(), inactive: counts.add(1).read_volatile() } }
}

/// Where the connections of a real server are counted.
#[inline(always)]
pub(crate) fn load_word(loads: *mut Loads, server: u32) -> *mut u64 {
    loads.cast::<u64>().wrapping_add(server as usize % MAX_SERVERS)
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

/// Counts a packet that leaves under the counter with this number. A counter that is missing never costs a packet.
#[inline(always)]
pub(crate) fn count(counter: u32) {
    if counter < Counter::ALL.len() as u32
        && let Some(row) = COUNTERS.row(0)
    {
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
    if let Some(row) = SERVER_STATS.row(u32::from(server)) {
        // SAFETY: this CPU's copy of the row is its own.
        let stats = unsafe { &mut *row };
        if is_new {
            stats.connections += 1;
        }
        stats.packets += 1;
        stats.bytes += bytes;
    }
}
