//! The flow table as the program uses it, and the real server of a packet.

use core::intrinsics::{AtomicOrdering::SeqCst, atomic_cxchg, atomic_xadd, atomic_xchg};
use core::marker::PhantomData;

use lb_common::{
    flow::{Atomic, Bucket, Chain, Hit, Key as _, Maps, Timeouts, Way, Word},
    layout::{Server, ServerInfo, ServerState},
    opening::reach,
};

use crate::{
    family::{Family, Packet},
    lookup::{Rows as _, any},
    maps,
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
    unsafe fn store(word: *mut u64, new: u64) {
        // SAFETY: the trait's contract. On x86-64 stores are not reordered with stores.
        unsafe { word.write_volatile(new) };
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

    #[inline(always)]
    unsafe fn add_32(word: *mut u32, change: u32) {
        // SAFETY: the trait's contract.
        unsafe { atomic_xadd::<u32, u32, { SeqCst }>(word, change) };
    }
}

/// The maps as the flow table's protocol needs them. What an established packet needs of them it has looked up already.
#[derive(Clone, Copy)]
pub(crate) struct Beside<F>(PhantomData<F>);

/// The buckets in which a packet's flow may lie.
pub(crate) type Flows<F> = Chain<<F as Family>::Key, Bpf, Beside<F>>;

/// Those of a hash.
#[inline(always)]
pub(crate) const fn flows<F: Family>(hash: u32) -> Flows<F> {
    Chain::new(hash, Beside(PhantomData))
}

/// The hash of a key.
#[inline(always)]
pub(crate) fn hash<F: Family>(key: &F::Key) -> u32 {
    key.hash(maps::flow_key)
}

impl<F: Family> Maps<F::Key> for Beside<F> {
    #[inline(always)]
    fn era(&self) -> u8 {
        maps::era()
    }

    #[inline(always)]
    fn generation(&self, server: u16) -> Option<u16> {
        Some(info(maps::SERVERS.row(u32::from(server))?).generation)
    }

    #[inline(always)]
    fn add_load(&self, server: u16, change: u64) {
        if let Some(loads) = maps::LOADS.row(0) {
            // SAFETY: one word in the map, aligned, and changed atomically.
            unsafe {
                atomic_xadd::<u64, u64, { SeqCst }>(maps::load_word(loads, any(server.into())), change)
            };
        }
    }

    #[inline(always)]
    fn timeouts(&self) -> Option<*const Timeouts> {
        maps::TIMEOUTS.row(0).map(<*mut Timeouts>::cast_const)
    }

    #[inline(always)]
    fn persistence(&self, server: u16) -> u32 {
        let service = maps::SERVERS.row(u32::from(server)).map(|server| info(server).service);
        service.map_or(0, |service| maps::policy(service).persistence)
    }

    #[inline(always)]
    unsafe fn hash_at(&self, place: *const F::Key) -> u32 {
        // SAFETY: the trait's contract.
        unsafe { F::Key::hash_at(place, maps::flow_key) }
    }

    #[inline(always)]
    fn mask(&self) -> u32 {
        F::mask()
    }

    #[inline(always)]
    fn bucket(&self, row: u32) -> Option<*mut Bucket<F::Key>> {
        F::bucket(row)
    }
}

/// What the stages hand to the exported functions: a row of its own for each CPU, which one packet uses at a time.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Work<K> {
    /// The packet.
    pub(crate) packet: Packet<K>,
    /// The hash of its key.
    pub(crate) hash: u32,
    /// The clock, in ticks.
    pub(crate) now: u32,
    /// A [`crate::opening::Phase`] as a number.
    pub(crate) phase: u32,
    /// The row of `servers` that was chosen.
    pub(crate) row: u16,
    /// What the exported function said that was waited for.
    pub(crate) answer: u64,
    /// What the flow table has of the packet.
    pub(crate) known: Known,
    /// What it has of the client's template.
    pub(crate) template: Known,
    /// What is to be recorded.
    pub(crate) entry: Entry<K>,
}

/// What the flow table has of a key. The program has it in memory, because registers that hold nothing in one of the cases
/// are not to the verifier's taste.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Known {
    is_there: u32,
    hit: Hit,
}

impl Known {
    /// Keeps what was found.
    #[inline(always)]
    pub(crate) fn set(&mut self, found: Option<Hit>) {
        match found {
            Some(hit) => {
                self.hit = hit;
                self.is_there = 1;
            }
            None => self.is_there = 0,
        }
    }

    /// What was found.
    #[inline(always)]
    pub(crate) fn hit(&self) -> Option<&Hit> {
        if self.is_there != 0 { Some(&self.hit) } else { None }
    }
}

/// A flow or a template to be recorded.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Entry<K> {
    pub(crate) key: K,
    pub(crate) hash: u32,
    /// The entry of the same key that no longer counts.
    pub(crate) stale: Known,
    pub(crate) flow: Word,
}

/// The real server of a packet.
pub(crate) struct Target {
    /// Row of `servers`.
    pub(crate) row: u16,
    /// Its [`lb_common::layout::NextHop`].
    pub(crate) hop: u64,
    /// The row's generation, to be kept in the flow.
    pub(crate) generation: u16,
    /// It is this host.
    pub(crate) is_local: bool,
    /// Its weight of this moment is 0.
    pub(crate) is_quiescent: bool,
    /// The row of `policies` of its service.
    pub(crate) service: u16,
}

#[inline(always)]
fn info(server: *const Server) -> ServerInfo {
    // SAFETY: the row lies in the map, aligned; the controller replaces the word whole.
    bytemuck::must_cast(unsafe { (&raw const (*server).info).cast::<u64>().read_volatile() })
}

impl Target {
    /// The server that packets go to by what is known of their flow.
    #[inline(always)]
    pub(crate) const fn by(way: &Way) -> Self {
        let Way { hop, server, .. } = *way;
        Self { row: server, hop, generation: 0, is_local: false, is_quiescent: false, service: 0 }
    }

    /// How they go there under this row of `leases`. Not for this host.
    #[inline(always)]
    pub(crate) const fn way(&self, lease: u16) -> Way {
        Way { hop: self.hop, server: self.row, lease }
    }

    /// The server in `row`, if it is still the one of `generation` and can be sent to.
    ///
    /// # Errors
    /// Those of [`reach`]; Vacant where there is no such row.
    #[inline(always)]
    pub(crate) fn new(row: u16, generation: Option<u16>) -> Result<Self, ServerState> {
        let server = maps::SERVERS.row(u32::from(row)).ok_or(ServerState::Vacant)?;
        let info = info(server);
        let is_local = reach(info, generation)?;
        // SAFETY: as in `info`. Who becomes reachable has its way before.
        let hop = unsafe { (&raw const (*server).next_hop).cast::<u64>().read_volatile() };
        let ServerInfo { generation, service, quiescent, .. } = info;
        Ok(Self { row, hop, generation, is_local, is_quiescent: quiescent != 0, service })
    }
}
