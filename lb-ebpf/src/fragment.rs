//! Fragments. The first of a datagram carries the ports and goes the way of any packet, and what became of it is kept for
//! the others. One of those that comes before the first goes to the stack, and a copy of it to user space, which hands it in
//! again when the first has come.
//!
//! Only what is for a service or an address with services is kept, so that, where there are no firewall marks, the fragments of
//! others need no hash map.

use core::{ffi::c_void, mem::offset_of, slice};

use aya_ebpf::{
    bindings::{xdp_action::XDP_PASS, xdp_md},
    helpers::generated::bpf_xdp_load_bytes,
};
use lb_common::{
    counters::Counter,
    flow::TICK_SHIFT,
    fragment::{Datagram, EARLY_RATE, Early, Fate, First, MAX_EARLY},
    layout::{Address, ServerState},
    limiter::Limiter,
};
use network_types::eth::EthHdr;

use crate::{
    access::{self, Frame},
    clock, connection,
    family::{self, Ends, Family, Head, Packet, Piece, is_balanced},
    flow::{Target, hash},
    lease,
    lookup::Rows as _,
    maps,
    opening::Phase,
    service::{self, presence},
    verdict::{Outcome, Verdict, drop, pass},
};

/// The row of `piece`: what the stages of a fragment hand to one another.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Row {
    head: Head,
    datagram: Datagram,
    vmac: u32,
    /// What becomes of this first piece is to be kept.
    is_kept: u32,
    lease: u16,
    /// How this first piece leaves, whatever it is for: an [`Outcome`], or 0.
    ended: u64,
}

/// The row of `copy`: the limit, and a frame that came too early as it goes into the ring.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Copy {
    limiter: Limiter,
    early: Early,
    frame: [u8; MAX_EARLY],
}

/// What [`piece`] says: ask [`begin`]; ask [`later`].
const FIRST: u64 = 1 << 36;
const LATER: u64 = 1 << 37;
/// What [`later`] says beside an [`Outcome`]: the first has not come.
const EARLY: u64 = Outcome::ended(pass(Counter::PassEarlyFragment)).word();
/// What [`begin`] says beside an [`Outcome`]: ask [`crate::opening::open`], with the service in the lower half.
const OPEN: u64 = 1 << 38;

/// Whom a packet that is not whole goes to: an [`Outcome`].
#[inline(always)]
pub(crate) fn follow<F: Family>(frame: &Frame, head: &Head, vmac: u32) -> u64 {
    let Some(row) = maps::PIECE.row(0) else { return missing() };
    // SAFETY: the row is this CPU's own, and one packet uses it at a time.
    unsafe {
        (*row).head = *head;
        (*row).vmac = vmac;
    }
    let said = F::piece(frame);
    if said & LATER != 0 {
        let said = later();
        return if said == EARLY { keep(frame.ctx) } else { said };
    }
    if said & FIRST == 0 {
        return said;
    }
    let said = F::begin();
    remember(if said & OPEN != 0 { F::open(said as u32) } else { said })
}

/// No program is loaded without the maps.
#[inline(always)]
const fn missing() -> u64 {
    Outcome::ended(pass(Counter::PassFragment)).word()
}

/// Which datagram the packet is a piece of, and if it is the first its ports: [`FIRST`], [`LATER`], or an [`Outcome`].
#[inline(always)]
pub(crate) fn piece<F: Family>(ctx: *mut xdp_md) -> u64 {
    let Some(row) = maps::PIECE.row(0) else { return missing() };
    // SAFETY: as in `follow`.
    match try_piece::<F>(&Frame::of(ctx), unsafe { &mut *row }) {
        Ok(said) => said,
        Err(verdict) => Outcome::ended(verdict).word(),
    }
}

#[inline(always)]
fn try_piece<F: Family>(frame: &Frame, row: &mut Row) -> Result<u64, Verdict> {
    let other = pass(Counter::PassFragment);
    let Head { piece, protocol, .. } = row.head;
    if !F::IS_V6 && !is_balanced(protocol) {
        return Err(other);
    }
    // So far headers reach at most.
    let bounded = |number, limit| access::forgotten(number as u64) as usize & limit;
    let head = Head {
        offset: bounded(row.head.offset, 0xff),
        transport: bounded(row.head.transport, 0xfff),
        len: bounded(row.head.len, 0xffff),
        ..row.head
    };
    let Ends { source, destination } = F::addresses(frame, head.offset).ok_or(other)?;
    let at = bounded(row.head.identification, 0xfff);
    row.datagram.identification = F::identification(frame, at).ok_or(other)?;
    row.datagram.source = Address::from_halves(source);
    row.datagram.destination = Address::from_halves(destination);
    row.datagram.protocol = if F::IS_V6 { 0 } else { protocol };
    if matches!(piece, Piece::Later) {
        return Ok(LATER);
    }
    row.ended = 0;
    if !is_balanced(protocol) {
        row.ended = Outcome::ended(other).word();
        return Ok(FIRST);
    }
    match family::packet::<F>(frame, &head) {
        Ok(packet) => {
            connection::note::<F>(&packet, hash::<F>(&packet.key), tick(clock::coarse_ns()), Phase::Found)
        }
        Err(verdict) => row.ended = Outcome::ended(verdict).word(),
    }
    Ok(FIRST)
}

/// Which service the first piece in the scratch row is for: [`OPEN`] or an [`Outcome`].
#[inline(always)]
pub(crate) fn begin<F: Family>() -> u64 {
    let (Some(row), Some(work)) = (maps::PIECE.row(0), F::work()) else { return missing() };
    // SAFETY: as in `follow`.
    let (row, packet) = unsafe { (&mut *row, &(*work).packet) };
    row.lease = 0;
    row.is_kept = u32::from(presence(&row.datagram.destination).is_some());
    if row.ended != 0 {
        return row.ended;
    }
    match try_begin::<F>(row, packet) {
        Ok(service) => OPEN | u64::from(service),
        Err(verdict) => Outcome::ended(verdict).word(),
    }
}

#[inline(always)]
fn try_begin<F: Family>(row: &mut Row, packet: &Packet<F::Key>) -> Result<u32, Verdict> {
    let service = service::find_noted::<F>(packet)?;
    lease::check(service.info.lease, row.vmac, clock::coarse_ns())?;
    row.lease = service.info.lease;
    row.is_kept = 1;
    Ok(service.number)
}

#[inline(always)]
const fn tick(coarse_ns: u64) -> u32 {
    (coarse_ns >> TICK_SHIFT) as u32
}

/// Keeps what becomes of the first piece in the scratch row, an [`Outcome`]; that same.
#[unsafe(no_mangle)]
extern "C" fn remember(outcome: u64) -> u64 {
    if let Some(row) = maps::PIECE.row(0) {
        // SAFETY: as in `follow`.
        let Row { datagram, is_kept, lease, .. } = unsafe { &*row };
        if *is_kept != 0 {
            let first = first(Outcome::from_word(outcome), *lease);
            // Where there is no room, the others are treated as if they had come too early.
            let _full = maps::FRAGMENTS.insert(datagram, first, 0);
        }
    }
    outcome
}

#[inline(always)]
fn first(outcome: Outcome, lease: u16) -> First {
    let (fate, server, generation) = match outcome.served() {
        Ok((server, _)) => match Target::new(server, None) {
            Ok(target) => (Fate::Served, server, target.generation),
            Err(_) => (Fate::Dropped, 0, 0),
        },
        Err(Verdict { action: XDP_PASS, .. }) => (Fate::Passed, 0, 0),
        Err(_) => (Fate::Dropped, 0, 0),
    };
    First { tick: tick(clock::coarse_ns()), server, generation, lease, fate: fate as u8, reserved: 0 }
}

/// Whom the piece in the scratch row, which is not the first, goes to: an [`Outcome`] or [`EARLY`].
#[unsafe(no_mangle)]
extern "C" fn later() -> u64 {
    let Some(row) = maps::PIECE.row(0) else { return missing() };
    // SAFETY: as in `follow`.
    match try_later(unsafe { &*row }) {
        Ok(server) => Outcome::new(server, false),
        Err(verdict) => Outcome::ended(verdict),
    }
    .word()
}

#[inline(always)]
fn try_later(row: &Row) -> Result<u16, Verdict> {
    let coarse_ns = clock::coarse_ns();
    if let Some(vip) = presence(&row.datagram.destination) {
        lease::check(vip.info.lease, row.vmac, coarse_ns)?;
    } else if !maps::has(maps::MARKS) {
        return Err(pass(Counter::PassFragment));
    }
    let first = maps::FRAGMENTS.get_ptr(row.datagram).ok_or(pass(Counter::PassEarlyFragment))?;
    // SAFETY: the value lies in the map. Should it be given to another datagram meanwhile, which takes that all are in use,
    // this piece goes where it should not, and nobody makes a datagram of it.
    let first = unsafe { &*first };
    if !first.is_valid(tick(coarse_ns)) {
        return Err(pass(Counter::PassEarlyFragment));
    }
    if first.fate == Fate::Passed as u8 {
        return Err(pass(Counter::PassFragment));
    }
    if first.fate != Fate::Served as u8 {
        return Err(drop(Counter::DropFragment));
    }
    lease::check(first.lease, row.vmac, coarse_ns)?;
    match Target::new(first.server, Some(first.generation)) {
        Ok(target) => Ok(target.row),
        Err(ServerState::Unresolved) => Err(drop(Counter::DropUnresolved)),
        Err(_) => Err(drop(Counter::DropFragment)),
    }
}

/// Gives user space a copy of the piece in the scratch row, which came before the first: an [`Outcome`].
#[unsafe(no_mangle)]
extern "C" fn keep(ctx: *mut xdp_md) -> u64 {
    let kept = try_keep(&Frame::of(ctx)).is_some();
    Outcome::ended(pass(if kept { Counter::PassEarlyFragment } else { Counter::PassFragment })).word()
}

#[inline(always)]
fn try_keep(frame: &Frame) -> Option<()> {
    let (piece, copy) = (maps::PIECE.row(0)?, maps::COPY.row(0)?);
    // SAFETY: as in `follow`.
    let (piece, copy) = unsafe { (&*piece, &mut *copy) };
    let len = frame.len();
    if len > MAX_EARLY {
        return None;
    }
    // Two comparisons: of one that is both, Linux 6.1 learns no lower bound.
    let len = access::forgotten(len as u64) as usize;
    if len < EthHdr::LEN || !copy.limiter.take(clock::coarse_ns(), EARLY_RATE) {
        return None;
    }
    copy.early = Early { datagram: piece.datagram, ifindex: frame.ifindex(), len: len as u32 };
    // SAFETY: the helper checks the frame's bounds, and `len` is not more than there is room for.
    let copied =
        unsafe { bpf_xdp_load_bytes(frame.ctx, 0, copy.frame.as_mut_ptr().cast::<c_void>(), len as u32) };
    if copied != 0 {
        return None;
    }
    // SAFETY: the frame stands right behind the record, in the same row.
    let record = unsafe {
        let record = (&raw const *copy).cast::<u8>().add(offset_of!(Copy, early));
        slice::from_raw_parts(record, size_of::<Early>() + len)
    };
    maps::EARLY.output_untyped::<[u8]>(record, 0).ok()
}
