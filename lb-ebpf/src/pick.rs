//! A new connection: the scheduler picks a real server.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_get_prandom_u32, bpf_loop};
use lb_common::{
    flow::{Atomic as _, Key},
    layout::{CursorRow, Load},
    sched::{Candidate, Cursor, Memory, Method, Request, Scheduler, Search, bucket_of},
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
    pick(service)
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

/// The server in the packet's bucket of the service's ring, if it takes connections and can be sent to. What else there may
/// be is [`pick`]'s to say.
#[inline(always)]
pub(crate) fn by_ring<K: Key>(service: &Found, packet: &Packet<K>) -> Option<Target> {
    let method = Method::from_number(service.info.scheduler)?;
    let pool = service.pool();
    let bucket = bucket_of(method, &request(packet, 0));
    let member = maps::member(pool.base + u32::from(pool.len) + bucket)?;
    // The pool's rows may have been given to its next publication while they were read.
    if pool.len == 0 || member.weight == 0 || limit::is_overloaded(member.server) || service.pool() != pool {
        return None;
    }
    Target::new(member.server, None).ok()
}

/// Nobody takes the connection.
pub(crate) const NOBODY: u64 = u64::MAX;

/// Row in `servers` of the scheduler's pick for the request in this CPU's row of `search`, or [`NOBODY`].
///
/// The verifier judges an exported function by itself and once, whatever the ways that lead to it. So it has numbers
/// for its argument and result.
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
        // SAFETY: the row lies in the map, and its cursor is one aligned word, changed atomically.
        memory.cursor = bytemuck::must_cast(unsafe { Bpf::load(self.row.cast::<u64>()) });
        if matches!(method.scheduler, Scheduler::Lblc | Scheduler::Lblcr) {
            // SAFETY: the row lies in the map. Where another CPU changes it meanwhile, one of the changes is lost: then
            // the set lacks a server, or has one more, until the next change.
            memory.affinity = unsafe { (*self.row).affinity };
        }
        memory.cursor
    }

    /// `false` when another CPU has moved the cursor since `old`.
    #[inline(always)]
    fn store(self, method: Method, old: Cursor, search: &Search, server: u16) -> bool {
        match method.scheduler {
            Scheduler::Rr | Scheduler::Wrr => {
                let (old, new): (u64, u64) =
                    (bytemuck::must_cast(old), bytemuck::must_cast(search.memory.cursor));
                // SAFETY: as in `load`.
                unsafe { Bpf::compare_exchange(self.row.cast::<u64>(), old, new) == old }
            }
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
    let Some(member) = maps::member(run.base + u32::from(run.search.place())) else { return 1 };
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
