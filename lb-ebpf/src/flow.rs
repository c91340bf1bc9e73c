//! The flow table as the program uses it: who serves a packet's flow, and recording a new one.

use core::intrinsics::{AtomicOrdering::SeqCst, atomic_cxchg, atomic_xadd, atomic_xchg};
use lb_common::{
    counters::Counter,
    flow::{Atomic, Hit, Inserted, Key as _, Maps, Shared, State, TICK_SHIFT, Timeouts, Word, tag},
    layout::{Server, ServerInfo, ServerState},
    tcp,
};

use crate::{
    family::{Family, Packet},
    maps,
    verdict::{Verdict, drop, pass},
};

/// The atomic instructions of BPF; those that return a value are full barriers.
#[derive(Clone, Copy)]
pub(crate) struct Bpf;

impl Atomic for Bpf {
    #[inline(always)]
    unsafe fn load(word: *const u64) -> u64 {
        // SAFETY: the trait's contract.
        unsafe { word.read_volatile() }
    }

    #[inline(always)]
    unsafe fn compare_exchange(word: *mut u64, old: u64, new: u64) -> u64 {
        // SAFETY: the trait's contract.
        unsafe { atomic_cxchg::<u64, { SeqCst }, { SeqCst }>(word, old, new).0 }
    }

    #[inline(always)]
    unsafe fn swap(word: *mut u64, new: u64) -> u64 {
        // SAFETY: the trait's contract.
        unsafe { atomic_xchg::<u64, { SeqCst }>(word, new) }
    }
}

/// The maps beside the flow table. What an established packet needs of them it has looked up already.
#[derive(Clone, Copy)]
struct Beside;

impl Maps for Beside {
    #[inline(always)]
    fn era(&self) -> u8 {
        maps::era()
    }

    #[inline(always)]
    fn generation(&self, server: u16) -> Option<u16> {
        let server = maps::SERVERS.get_ptr(u32::from(server))?;
        // SAFETY: the row lies in the map, aligned; the controller replaces the word whole.
        Some(unsafe { (&raw const (*server).info.generation).read_volatile() })
    }

    #[inline(always)]
    fn add_load(&self, server: u16, change: u64) {
        if let Some(row) = maps::LOADS.get_ptr_mut(u32::from(server)) {
            // SAFETY: the row is one word in the map, aligned, and changed atomically.
            unsafe { atomic_xadd::<u64, u64, { SeqCst }>(row.cast(), change) };
        }
    }

    #[inline(always)]
    fn timeouts(&self) -> Option<*const Timeouts> {
        maps::TIMEOUTS.get_ptr(0)
    }
}

/// The real server of a packet.
pub(crate) struct Target {
    /// Row of `servers`.
    pub(crate) row: u16,
    /// That row.
    pub(crate) server: *const Server,
    /// Ready or Local.
    pub(crate) is_local: bool,
}

impl Target {
    /// The server in `row`, if it is still the one of `generation` and can be sent to.
    ///
    /// # Errors
    /// The state the server is in otherwise; Vacant for another server.
    #[inline(always)]
    pub(crate) fn new(row: u16, generation: Option<u16>) -> Result<Self, ServerState> {
        let server = maps::SERVERS.get_ptr(u32::from(row)).ok_or(ServerState::Vacant)?;
        // SAFETY: the row lies in the map, aligned; the controller replaces the word whole.
        let info: ServerInfo =
            bytemuck::must_cast(unsafe { (&raw const (*server).info).cast::<u64>().read_volatile() });
        if generation.is_some_and(|generation| generation != info.generation) {
            return Err(ServerState::Vacant);
        }
        let is_local = info.state == ServerState::Local as u8;
        if is_local || info.state == ServerState::Ready as u8 {
            Ok(Self { row, server, is_local })
        } else if info.state == ServerState::Unresolved as u8 {
            Err(ServerState::Unresolved)
        } else {
            Err(ServerState::Down)
        }
    }

    /// The generation of this moment, to be kept in the flow.
    #[inline(always)]
    pub(crate) fn generation(&self) -> u16 {
        // SAFETY: as in `new`.
        unsafe { (&raw const (*self.server).info.generation).read_volatile() }
    }
}

/// A packet's place in the flow table.
pub(crate) struct Place<F: Family> {
    bucket: Shared<F::Key, Bpf, Beside>,
    tag: u16,
    now: u32,
}

/// What the flow table says of a packet.
pub(crate) enum Known {
    /// Its connection belongs to this server.
    Served(Target),
    /// A new connection may be opened, in place of this entry if there is one.
    Opens(Option<Hit>),
}

impl<F: Family> Place<F> {
    /// The one bucket where the packet's flow can be.
    #[inline(always)]
    pub(crate) fn of(packet: &Packet<F::Key>, coarse_ns: u64) -> Result<Self, Verdict> {
        let hash = packet.key.hash(maps::flow_key);
        let bucket = F::bucket(hash).ok_or(drop(Counter::DropFlowTableFull))?;
        // SAFETY: the bucket lies in the map, and only `Shared` writes to it.
        let bucket = unsafe { Shared::new(bucket, Beside) };
        Ok(Self { bucket, tag: tag(hash), now: (coarse_ns >> TICK_SHIFT) as u32 })
    }

    /// The clock, in ticks.
    #[inline(always)]
    pub(crate) const fn now(&self) -> u32 {
        self.now
    }

    /// Looks the packet's flow up and lets it live on. Whether it has expired is the collector's to say.
    #[inline(always)]
    pub(crate) fn look_up(&self, packet: &Packet<F::Key>) -> Result<Known, Verdict> {
        let Some(hit) = self.bucket.find(&packet.key, self.tag) else {
            return if packet.opens() { Ok(Known::Opens(None)) } else { Err(pass(Counter::PassNoFlow)) };
        };
        if packet.opens() && hit.state().is_closing() {
            return Ok(Known::Opens(Some(hit)));
        }
        match Target::new(hit.control.server(), Some(hit.control.generation())) {
            Ok(target) => {
                self.bucket.touch(&hit, after(packet, hit.state()), self.now);
                Ok(Known::Served(target))
            }
            Err(ServerState::Unresolved) => Err(drop(Counter::DropUnresolved)),
            Err(_) if packet.opens() => Ok(Known::Opens(Some(hit))),
            Err(_) => {
                self.bucket.forget(&hit);
                Err(pass(Counter::PassServerGone))
            }
        }
    }

    /// Records that `target` serves the packet's flow.
    #[inline(always)]
    pub(crate) fn record(
        &self,
        packet: &Packet<F::Key>,
        target: &Target,
        stale: Option<Hit>,
    ) -> Result<Inserted, Verdict> {
        let state = if packet.is_tcp() { State::SynRecv } else { State::UdpFirst };
        let flow = Word::new(target.row, target.generation(), self.tag, state);
        match self.bucket.insert(&packet.key, flow, stale, self.now) {
            Inserted::Full => Err(drop(Counter::DropFlowTableFull)),
            done => Ok(done),
        }
    }
}

/// The state of a flow after one more packet.
#[inline(always)]
fn after<K>(packet: &Packet<K>, state: State) -> State {
    if packet.is_tcp() { tcp::next(state, packet.flags) } else { State::Udp }
}
