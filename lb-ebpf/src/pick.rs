//! A new connection: the scheduler picks a real server.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_get_prandom_u32, bpf_loop};
use lb_common::{
    flow::{Atomic as _, Key},
    layout::{CursorRow, Load, MEMBERS, Member, Pool, ring_place},
    sched::{
        Candidate, Cost, Cursor, Measure, Memory, Method, Request, Scheduler, Search, bucket_of, takes_turn,
        turned,
    },
};

use crate::{
    family::Packet,
    flow::{Bpf, Target},
    limit,
    lookup::Rows as _,
    maps,
    service::Found,
};

/// How often a pick is repeated because another CPU picked at the same moment. The last one stands all the same:
/// then two connections in a row went to one server.
const ATTEMPTS: u32 = 3;

/// Row in `servers` of the scheduler's pick for a packet's new connection to a service, or [`NOBODY`].
#[inline(always)]
pub(crate) fn pick_for<K: Key>(service: u32, packet: &Packet<K>, now: u32) -> u64 {
    let Some(run) = maps::SEARCH.row(0) else { return NOBODY };
    // SAFETY: the row is this CPU's own, and nothing else uses it before the next pick.
    unsafe { (*run).request = request(packet, now) };
    match look_at_one(service) {
        SEARCH => match least(service) {
            SEARCH => pick(service),
            picked => picked,
        },
        picked => picked,
    }
}

/// The same to a service that is known, where no search is needed and somebody takes the connection.
#[inline(always)]
pub(crate) fn pick_at_once<K: Key>(service: &Found, packet: &Packet<K>) -> Option<Turn> {
    let method = Method::from_number(service.info.scheduler)?;
    let picked = match method.scheduler {
        Scheduler::Rr | Scheduler::Wrr => return turn(service, method.scheduler),
        Scheduler::Sh | Scheduler::Dh | Scheduler::Mh => in_ring(service, method, &request(packet, 0)),
        _ => least(service.number),
    };
    if picked > u64::from(u16::MAX) { None } else { Some(Turn::without(picked as u16)) }
}

/// Nobody takes the connection.
pub(crate) const NOBODY: u64 = u64::MAX;
/// What [`look_at_one`] and [`least`] say where they do not know.
const SEARCH: u64 = u64::MAX - 1;

/// The pick of a scheduler that looks at one server, where that one takes the connection.
///
/// The verifier judges an exported function by itself and once, whatever the ways that lead to it. So it has numbers
/// for its argument and result.
#[unsafe(no_mangle)]
pub extern "C" fn look_at_one(service: u32) -> u64 {
    let Some(service) = Found::at(service) else { return NOBODY };
    let Some(method) = Method::from_number(service.info.scheduler) else { return NOBODY };
    match method.scheduler {
        Scheduler::Rr | Scheduler::Wrr => in_turn(&service, method.scheduler).map_or(SEARCH, u64::from),
        Scheduler::Sh | Scheduler::Dh | Scheduler::Mh => match maps::SEARCH.row(0) {
            // SAFETY: the row is this CPU's own, and nothing else uses it before the next pick.
            Some(run) => in_ring(&service, method, unsafe { &(*run).request }),
            None => NOBODY,
        },
        _ => SEARCH,
    }
}

#[inline(always)]
fn request<K: Key>(packet: &Packet<K>, now: u32) -> Request {
    Request {
        client: packet.key.client().fold(),
        client_port: packet.key.client_port(),
        destination: packet.key.vip().fold(),
        random: [0; 2],
        now,
    }
}

/// A server whose turn it is.
pub(crate) struct Turn {
    /// Row of `servers`.
    pub(crate) server: u16,
    /// The round robin that stands at it; null where there is none.
    row: *mut CursorRow,
    old: Cursor,
    next: Cursor,
}

impl Turn {
    /// The pick of a scheduler that has no turns.
    #[inline(always)]
    const fn without(server: u16) -> Self {
        let nowhere = Cursor { place: 0, threshold: 0, highest: 0, epoch: 0 };
        Self { server, row: core::ptr::null_mut(), old: nowhere, next: nowhere }
    }

    /// Takes it; `false` when another CPU has.
    #[inline(always)]
    pub(crate) fn take(&self) -> bool {
        self.row.is_null() || Remembered { row: self.row }.advance(self.old, self.next)
    }
}

/// The server that a round robin stands at, if that takes the connection.
#[inline(always)]
fn in_turn(service: &Found, scheduler: Scheduler) -> Option<u16> {
    let turn = turn(service, scheduler)?;
    if turn.take() { Some(turn.server) } else { None }
}

/// The same before it has its turn.
#[inline(always)]
fn turn(service: &Found, scheduler: Scheduler) -> Option<Turn> {
    let remembered = Remembered { row: maps::CURSORS.row(u32::from(service.info.id))? };
    let pool = service.pool();
    let old = remembered.cursor();
    if old.epoch != pool.epoch || pool.len == 0 {
        return None;
    }
    let cursor = turned(scheduler, old, pool.len);
    let member = maps::member(pool.base, u32::from(cursor.place))?;
    let next = Cursor { place: cursor.place + 1, ..cursor };
    let overloaded = limit::is_overloaded(member.server);
    let takes = takes_turn(scheduler, cursor, member.weight) && !overloaded && service.pool() == pool;
    if takes { Some(Turn { server: member.server, row: remembered.row, old, next }) } else { None }
}

/// The server in the packet's bucket of the ring; where that takes no connection, another or nobody.
#[inline(always)]
fn in_ring(service: &Found, method: Method, request: &Request) -> u64 {
    let pool = service.pool();
    let said = named(pool, method, request);
    if service.pool() != pool || (said == NOBODY && method.flags.fallback) { SEARCH } else { said }
}

/// The row of the server in the packet's bucket of a pool's ring, or [`NOBODY`] where that takes no connection. It is so if the
/// pool is still this one afterwards, for its rows may be given to the next publication while they are read.
#[inline(always)]
pub(crate) fn named(pool: Pool, method: Method, request: &Request) -> u64 {
    let place = u32::from(ring_place(pool.len)) + bucket_of(method, request);
    let Some(Member { server, weight }) = maps::member(pool.base, place) else { return NOBODY };
    let overloaded = limit::is_overloaded(server);
    if pool.len > 0 && weight > 0 && !overloaded { u64::from(server) } else { NOBODY }
}

/// The same for a service, if it can be sent to.
#[inline(always)]
pub(crate) fn by_ring<K: Key>(service: &Found, packet: &Packet<K>) -> Option<Target> {
    let method = Method::from_number(service.info.scheduler)?;
    let said = in_ring(service, method, &request(packet, 0));
    if said > u64::from(u16::MAX) { None } else { Target::new(said as u16, None).ok() }
}

/// The pick of a scheduler that compares all servers by their cost, where none has limits: what these add is much for the
/// verifier to follow.
#[unsafe(no_mangle)]
pub extern "C" fn least(service: u32) -> u64 {
    if maps::has(maps::LIMITED) {
        return SEARCH;
    }
    let Some(service) = Found::at(service) else { return NOBODY };
    let pool = service.pool();
    let picked = match service.info.scheduler & Scheduler::MASK {
        LC => least_by::<LC>(pool.base, pool.len),
        WLC => least_by::<WLC>(pool.base, pool.len),
        SED => least_by::<SED>(pool.base, pool.len),
        NQ => least_by::<NQ>(pool.base, pool.len),
        FO => least_by::<FO>(pool.base, pool.len),
        OVF => least_by::<OVF>(pool.base, pool.len),
        _ => SEARCH,
    };
    // As in `in_ring`.
    if service.pool() == pool { picked } else { SEARCH }
}

const LC: u8 = Scheduler::Lc as u8;
const WLC: u8 = Scheduler::Wlc as u8;
const SED: u8 = Scheduler::Sed as u8;
const NQ: u8 = Scheduler::Nq as u8;
const FO: u8 = Scheduler::Fo as u8;
const OVF: u8 = Scheduler::Ovf as u8;

/// A search for the server with the least cost.
struct Scan {
    found: Cost,
    /// First row in `members`, and how many there are.
    base: u32,
    rows: u32,
    /// All counts of connections; one that is negative is not what it says ([`Load::from_word`]).
    counts: u32,
}

/// Rows that one call compares. A call for each would cost as much as its comparisons where calls and returns are guarded
/// against speculation.
const ROWS: u32 = 2;

/// One by each scheduler, so that the program has its measure in its instructions.
#[inline(never)]
fn least_by<const SCHEDULER: u8>(base: u32, len: u16) -> u64 {
    let rows = u32::from(len).div_ceil(MEMBERS as u32);
    let mut scan = Scan { found: Cost::NONE, base, rows, counts: 0 };
    // SAFETY: the helper calls `compare` with this scan, and no longer than it runs.
    unsafe { bpf_loop(rows.div_ceil(ROWS), compare::<SCHEDULER> as *mut c_void, (&raw mut scan).cast(), 0) };
    if scan.counts.cast_signed() < 0 { SEARCH } else { scan.found.server().map_or(NOBODY, u64::from) }
}

/// Compares the servers in the next rows; 1 ends the search.
#[inline(never)]
extern "C" fn compare<const SCHEDULER: u8>(call: u32, scan: *mut Scan) -> i64 {
    let Some(scheduler) = Scheduler::from_number(SCHEDULER) else { return 1 };
    let measure = Measure::of(scheduler);
    let Some(loads) = maps::LOADS.row(0) else { return 1 };
    // SAFETY: `least_by` has made it.
    let scan = unsafe { &mut *scan };
    let (first, mut row) = (call * ROWS, 0);
    while row < ROWS && first + row < scan.rows {
        let Some(members) = maps::MEMBERS.row(scan.base + first + row) else { return 1 };
        let mut place = 0;
        while place < MEMBERS {
            let Member { server, weight } = maps::member_of(members, place);
            let mut load = Load::default();
            if scheduler.is_by_load() {
                load = maps::counts_of(loads, server.into());
                let counts = &raw mut scan.counts;
                // SAFETY: a valid place. The compiler would keep every count up to the end, to put them together there.
                unsafe { counts.write_volatile(counts.read_volatile() | load.active | load.inactive) };
            }
            scan.found.lower(measure.cost(&Candidate { server, weight, load, ..Candidate::default() }));
            place += 1;
        }
        row += 1;
    }
    0
}

/// Row in `servers` of the scheduler's pick for the request in this CPU's row of `search`, or [`NOBODY`]: any scheduler's.
#[unsafe(no_mangle)]
pub extern "C" fn pick(service: u32) -> u64 {
    try_pick(service).map_or(NOBODY, u64::from)
}

#[inline(always)]
fn try_pick(service: u32) -> Option<u16> {
    let service = Found::at(service)?;
    let method = Method::from_number(service.info.scheduler)?;
    let remembered = Remembered { row: maps::CURSORS.row(u32::from(service.info.id))? };
    let run = maps::SEARCH.row(0)?;
    // SAFETY: the row is this CPU's own, and nothing else uses it before the next pick.
    let mut request = unsafe { (*run).request };
    if matches!(method.scheduler, Scheduler::Twos) {
        // SAFETY: a helper without arguments.
        request.random = unsafe { [bpf_get_prandom_u32(), bpf_get_prandom_u32()] };
    }
    let mut picked = None;
    let mut attempt = 0;
    while attempt < ATTEMPTS {
        let pool = service.pool();
        // SAFETY: the row is this CPU's own, and nothing else uses it before the next pick.
        let search = unsafe {
            (*run).base = pool.base;
            (*run).is_by_load = method.scheduler.is_by_load();
            (*run).is_local = matches!(method.scheduler, Scheduler::Lblc | Scheduler::Lblcr);
            &mut (*run).search
        };
        let old = remembered.load(method, &mut search.memory);
        let is_current = old.epoch == pool.epoch;
        if !is_current {
            // The controller is about to publish another pool: this pick takes the old one from its head.
            search.memory.cursor = Cursor { place: 0, threshold: 1, highest: 1, epoch: pool.epoch };
        }
        if !search.begin(method, pool.len, &request) {
            return None;
        }
        // SAFETY: the helper calls `step`, which finds the search in this CPU's row.
        unsafe { bpf_loop(search.steps(), step as *mut c_void, core::ptr::null_mut(), 0) };
        // SAFETY: as for the write.
        let search = unsafe { &mut (*run).search };
        picked = search.end();
        let is_stored =
            !is_current || picked.is_none_or(|server| remembered.store(method, old, search, server));
        // The pool's rows may have been given to its next publication while they were read.
        if is_stored && service.pool() == pool {
            break;
        }
        attempt += 1;
    }
    picked
}

/// A service's row of `cursors`.
#[derive(Clone, Copy)]
struct Remembered {
    row: *mut CursorRow,
}

impl Remembered {
    /// Fills `memory`; the cursor as it was read.
    #[inline(always)]
    fn load(self, method: Method, memory: &mut Memory) -> Cursor {
        memory.cursor = self.cursor();
        if matches!(method.scheduler, Scheduler::Lblc | Scheduler::Lblcr) {
            // SAFETY: the row lies in the map. Where another CPU changes it meanwhile, one of the changes is lost: then
            // the set lacks a server, or has one more, until the next change.
            memory.affinity = unsafe { (*self.row).affinity };
        }
        memory.cursor
    }

    /// Where its round robin stands.
    #[inline(always)]
    fn cursor(self) -> Cursor {
        // SAFETY: the row lies in the map, and its cursor is one aligned word, changed atomically.
        bytemuck::must_cast(unsafe { Bpf::load(self.row.cast::<u64>()) })
    }

    /// Lets it stand elsewhere; `false` when another CPU has moved it since `old`.
    #[inline(always)]
    fn advance(self, old: Cursor, new: Cursor) -> bool {
        let (old, new): (u64, u64) = (bytemuck::must_cast(old), bytemuck::must_cast(new));
        // SAFETY: as in `cursor`.
        unsafe { Bpf::compare_exchange(self.row.cast::<u64>(), old, new) == old }
    }

    /// `false` when another CPU has moved the cursor since `old`.
    #[inline(always)]
    fn store(self, method: Method, old: Cursor, search: &Search, server: u16) -> bool {
        match method.scheduler {
            Scheduler::Rr | Scheduler::Wrr => self.advance(old, search.memory.cursor),
            Scheduler::Lblc | Scheduler::Lblcr => {
                // SAFETY: as in `load`.
                unsafe { (*self.row).affinity = search.memory.affinity };
                if let Some(number) = search.joins() {
                    set_joined(server, number);
                }
                if let Some(server) = search.leaves() {
                    set_joined(server, 0);
                }
                true
            }
            _ => true,
        }
    }
}

/// A search through a pool's rows, in the kernel's loop helper: the verifier sees one step and not thousands.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    request: Request,
    search: Search,
    base: u32,
    is_by_load: bool,
    is_local: bool,
}

/// One step of the search that this CPU makes; 1 ends it.
#[inline(never)]
extern "C" fn step(_index: u32, _context: *mut c_void) -> i64 {
    let Some(run) = maps::SEARCH.row(0) else { return 1 };
    // SAFETY: the row is this CPU's own, and `try_pick` has written it.
    let run = unsafe { &mut *run };
    let Some(member) = maps::member(run.base, run.search.place().into()) else { return 1 };
    let load = if run.is_by_load { maps::load(member.server) } else { Load::default() };
    let joined = if run.is_local { joined(member.server) } else { 0 };
    let overloaded = limit::is_overloaded(member.server);
    let candidate = Candidate { server: member.server, weight: member.weight, overloaded, load, joined };
    i64::from(run.search.offer(candidate))
}

/// The number a real server joined its set with.
#[inline(always)]
fn joined(server: u16) -> u32 {
    // SAFETY: the row lies in the map, one aligned word.
    maps::JOINED.row(u32::from(server)).map_or(0, |row| unsafe { row.read_volatile() })
}

/// Keeps the number a real server joined its set with.
#[inline(always)]
fn set_joined(server: u16, number: u32) {
    if let Some(row) = maps::JOINED.row(u32::from(server)) {
        // SAFETY: the row lies in the map, one aligned word.
        unsafe { row.write_volatile(number) };
    }
}
