//! A packet that is no plain hit in the flow table: its flow may lie in another bucket, or its connection begins, by the
//! client's template or by the scheduler's pick.
//!
//! [`open`] goes through the phases of one packet, [`decide`] takes one step and says what it waits for: a pick, or that
//! something is recorded. So these do not stand on each other's stack, which all together must be small; what goes
//! from one to the other lies in this CPU's scratch row.

use lb_common::{
    counters::Counter,
    flow::{ATTEMPTS, FTP, Hit, Inserted, Key, State, TemplateForm, Word, tag},
    layout::{MARK_PROTOCOL, Policy, ServerState},
    opening::{after, begins, first, is_alone, reopens},
    sched::Method,
};

use crate::{
    family::Family,
    flow::{Entry, Target, Work, flows, hash},
    limit, maps, pick,
    service::Found,
    settled,
    verdict::{Outcome, Verdict, answer, drop, pass},
};

/// How far a packet has come.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Phase {
    /// Its service is found.
    Found = 0,
    /// The same, and the flow table has nothing of it.
    Unknown = 1,
    /// One-packet scheduling: the scheduler has picked.
    Alone = 2,
    /// The scheduler has picked for a client that will stay with the server.
    Client = 3,
    /// The client's template is recorded.
    Template = 4,
    /// The scheduler has picked.
    Picked = 5,
    /// The flow is recorded.
    Recorded = 6,
}

/// What [`decide`] says beside an [`Outcome`]: what it waits for.
const PICK: u64 = 1 << 33;
const RECORD: u64 = 1 << 34;
/// Nothing: it wants to be called again.
pub(crate) const AGAIN: u64 = 1 << 37;

/// What [`decide`] adds to an [`Outcome`] by which the client's template is confirmed.
const CONFIRM: u64 = 1 << 36;

/// What [`record`] says besides another CPU's server and generation.
const NEW: u64 = 1 << 32;
const FULL: u64 = 1 << 33;
const LOST: u64 = 1 << 34;
/// The scheduler's pick cannot be sent to.
const UNREACHED: u64 = 1 << 35;
/// What [`record`] adds to an [`Outcome`].
const DONE: u64 = 1 << 36;

/// Steps that no packet needs.
const STEPS: u32 = 4 + 3 * ATTEMPTS;

/// The packet in this CPU's scratch row: an [`Outcome`].
#[inline(always)]
pub(crate) fn open<F: Family>(service: u32) -> u64 {
    let Some(work) = F::work() else { return Outcome::ended(drop(Counter::DropFlowTableFull)).word() };
    let mut step = 0;
    while step < STEPS {
        step += 1;
        let mut said = F::decide(service);
        if said == PICK {
            // SAFETY: the row is this CPU's own, and one packet uses it at a time.
            let is_plain = unsafe {
                (*work).answer = pick::pick_for(service, &(*work).packet, (*work).now);
                (*work).answer != pick::NOBODY && (*work).phase == Phase::Picked as u32
            };
            if !is_plain {
                continue;
            }
            // What is to be recorded is known.
            said = RECORD;
        }
        if said == RECORD {
            said = F::record();
            if said & DONE != 0 {
                if maps::has(maps::SETTLES)
                    && let Some(service) = Found::at(service)
                {
                    // SAFETY: as above.
                    let Work { packet, hash, now, .. } = unsafe { &*work };
                    settled::begins(&service, packet.key.protocol(), *hash, *now);
                }
                return said & !DONE;
            }
            if said != UNREACHED {
                // SAFETY: as above.
                unsafe { (*work).answer = said };
            }
        } else if said != AGAIN {
            if said & CONFIRM != 0 {
                F::confirm(service);
            }
            return said & !CONFIRM;
        }
    }
    Outcome::ended(drop(Counter::DropFlowTableFull)).word()
}

/// One step: an [`Outcome`], [`PICK`], [`RECORD`] or [`AGAIN`].
#[inline(always)]
pub(crate) fn decide<F: Family>(service: u32) -> u64 {
    let lost = Outcome::ended(drop(Counter::DropFlowTableFull)).word();
    let Some(work) = F::work() else { return lost };
    // SAFETY: the row is this CPU's own, and one packet uses it at a time.
    let work = unsafe { &mut *work };
    let phase = work.phase;
    let decided = if phase == Phase::Recorded as u32 {
        end(work)
    } else {
        let Some(service) = Found::at(service) else { return lost };
        if phase == Phase::Found as u32 || phase == Phase::Unknown as u32 {
            begin::<F>(&service, work)
        } else if phase == Phase::Template as u32 {
            keep_template::<F>(&service, work)
        } else {
            picked::<F>(&service, work)
        }
    };
    match decided {
        Ok(word) => word,
        Err(verdict) => Outcome::ended(verdict).word(),
    }
}

#[inline(always)]
fn begin<F: Family>(service: &Found, work: &mut Work<F::Key>) -> Result<u64, Verdict> {
    let policy = maps::policy(service.info.id);
    if is_alone(&policy, work.packet.key.protocol()) {
        if policy.persistence != 0 {
            return begin_persistent::<F>(service, &policy, work);
        }
        work.phase = Phase::Alone as u32;
        return Ok(PICK);
    }
    let chain = flows::<F>(work.hash);
    work.known.set(if work.phase == Phase::Unknown as u32 { None } else { chain.find(&work.packet.key) });
    let Work { packet, known, now, .. } = &*work;
    let mut is_gone = false;
    if let Some(hit) = known.hit()
        && !reopens(hit.state(), packet.key.protocol(), packet.flags)
    {
        match Target::new(hit.control.server(), Some(hit.control.generation())) {
            Ok(target) => {
                let bucket = chain.of(hit).ok_or(drop(Counter::DropFlowTableFull))?;
                let next = after(hit.state(), packet.key.protocol(), packet.flags);
                bucket.touch(hit, next, *now);
                let confirms = next != hit.state() && policy.persistence != 0;
                return Ok(Outcome::new(target.row, false).word() | if confirms { CONFIRM } else { 0 });
            }
            Err(ServerState::Unresolved) => return Err(drop(Counter::DropUnresolved)),
            Err(_) => is_gone = true,
        }
    }
    let method = Method::from_number(service.info.scheduler);
    if !begins(method, &policy, (packet.key.protocol(), packet.flags), packet.key.client_port(), is_gone) {
        return Err(match known.hit() {
            Some(hit) if is_gone => forget::<F>(work.hash, hit),
            _ => pass(Counter::PassNoFlow),
        });
    }
    if policy.persistence != 0 {
        return begin_persistent::<F>(service, &policy, work);
    }
    if service.info.port != packet.key.vip_port() && service.info.protocol != MARK_PROTOCOL {
        // Another port is a service's only with persistence.
        return Err(pass(Counter::PassNoService));
    }
    work.phase = Phase::Picked as u32;
    Ok(PICK)
}

/// The server that the client stays with; without one the scheduler's pick, which it will stay with.
#[inline(always)]
fn begin_persistent<F: Family>(
    service: &Found,
    policy: &Policy,
    work: &mut Work<F::Key>,
) -> Result<u64, Verdict> {
    let Work { packet, now, template, entry, .. } = &mut *work;
    entry.key = packet.key.template(&form(service, policy));
    entry.hash = hash::<F>(&entry.key);
    let chain = flows::<F>(entry.hash);
    template.set(chain.find(&entry.key));
    if let Some(hit) = template.hit() {
        match Target::new(hit.control.server(), Some(hit.control.generation())) {
            Ok(target) if !(target.is_quiescent && policy.has(Policy::EXPIRE_QUIESCENT)) => {
                // No flow will confirm it where none is recorded.
                let state =
                    if is_alone(policy, packet.key.protocol()) { State::Template } else { hit.state() };
                if let Some(bucket) = chain.of(hit) {
                    bucket.touch(hit, state, *now);
                }
                limit::changed(target.row);
                return Ok(stay::<F>(policy, work, &target));
            }
            Err(ServerState::Unresolved) => return Err(drop(Counter::DropUnresolved)),
            Ok(_) | Err(_) => {}
        }
    }
    entry.stale = *template;
    work.phase = Phase::Client as u32;
    Ok(PICK)
}

#[inline(always)]
fn form(service: &Found, policy: &Policy) -> TemplateForm {
    TemplateForm::of(service.vip(), service.info.port, service.info.protocol, policy.mask)
}

/// The scheduler has picked.
#[inline(always)]
fn picked<F: Family>(service: &Found, work: &mut Work<F::Key>) -> Result<u64, Verdict> {
    if work.answer == pick::NOBODY {
        return Err(nobody::<F>(service, work));
    }
    let target = match Target::new(work.answer as u16, None) {
        Ok(target) => target,
        Err(ServerState::Unresolved) => return Err(drop(Counter::DropUnresolved)),
        // It has failed since, and the pool is about to be published without it.
        Err(_) => return Ok(PICK),
    };
    if work.phase == Phase::Alone as u32 {
        return Ok(Outcome::new(target.row, true).word());
    }
    if work.phase == Phase::Client as u32 {
        work.row = target.row;
        let Work { phase, entry, .. } = work;
        return Ok(record_next(phase, entry, &target, State::TemplateFirst, Phase::Template));
    }
    Ok(record_flow::<F>(work, &target))
}

/// What becomes of a packet that no real server takes (`ip_vs_leave`): what would open a connection is told so; a segment
/// from the middle of one is left to the stack, which resets it; and what only might be FTP's data is not ours.
#[inline(always)]
fn nobody<F: Family>(service: &Found, work: &Work<F::Key>) -> Verdict {
    let Work { packet, known, hash, .. } = work;
    if service.info.port == FTP && service.info.protocol != MARK_PROTOCOL && packet.key.vip_port() != FTP {
        return pass(Counter::PassNoService);
    }
    if packet.opens() {
        return answer(Counter::AnswerNoServer);
    }
    match known.hit() {
        Some(hit) => forget::<F>(*hash, hit),
        None => pass(Counter::PassNoFlow),
    }
}

/// Ends the flow of a server that is gone.
#[inline(always)]
fn forget<F: Family>(hash: u32, hit: &Hit) -> Verdict {
    if let Some(bucket) = flows::<F>(hash).of(hit) {
        bucket.forget(hit);
    }
    pass(Counter::PassServerGone)
}

/// The template was recorded, or was not: the client is served all the same.
#[inline(always)]
fn keep_template<F: Family>(service: &Found, work: &mut Work<F::Key>) -> Result<u64, Verdict> {
    let said = work.answer;
    if said == LOST {
        work.entry.stale.set(None);
        return Ok(RECORD);
    }
    let own = |work: &Work<F::Key>| Target::new(work.row, None);
    let target = if said & (NEW | FULL) != 0 {
        own(work)
    } else {
        // Another CPU served the client a moment ago; its choice stands.
        Target::new(said as u16, Some((said >> 16) as u16)).or_else(|_| own(work))
    };
    let target = target.map_err(|_| answer(Counter::AnswerNoServer))?;
    Ok(stay::<F>(&maps::policy(service.info.id), work, &target))
}

/// The client's packet goes to the server that it stays with.
#[inline(always)]
fn stay<F: Family>(policy: &Policy, work: &mut Work<F::Key>, target: &Target) -> u64 {
    if is_alone(policy, work.packet.key.protocol()) {
        return Outcome::new(target.row, true).word();
    }
    record_flow::<F>(work, target)
}

/// Asks for the packet's flow to be recorded.
#[inline(always)]
fn record_flow<F: Family>(work: &mut Work<F::Key>, target: &Target) -> u64 {
    let Work { packet, hash, known, entry, phase, row, .. } = work;
    entry.key = packet.key;
    entry.hash = *hash;
    entry.stale = *known;
    *row = target.row;
    record_next(phase, entry, target, first(packet.key.protocol(), packet.flags), Phase::Recorded)
}

/// Asks for the entry to be recorded for `target`.
#[inline(always)]
fn record_next<K>(phase: &mut u32, entry: &mut Entry<K>, target: &Target, state: State, next: Phase) -> u64 {
    entry.flow = Word::new(target.row, target.generation, tag(entry.hash), state);
    *phase = next as u32;
    RECORD
}

/// The flow was not recorded, or another CPU has recorded it.
#[inline(always)]
fn end<K: Key>(work: &mut Work<K>) -> Result<u64, Verdict> {
    match work.answer {
        LOST => {
            // What the table has of the packet is another now.
            work.phase = Phase::Found as u32;
            Ok(AGAIN)
        }
        FULL => Err(drop(Counter::DropFlowTableFull)),
        // Another CPU opened the same connection a moment ago; its choice stands.
        other => match Target::new(other as u16, Some((other >> 16) as u16)) {
            Ok(target) => Ok(Outcome::new(target.row, false).word()),
            Err(_) => Err(answer(Counter::AnswerNoServer)),
        },
    }
}

/// Tries to record what is in the scratch row, or the packet's flow where the scheduler has just picked: [`NEW`], [`FULL`],
/// [`LOST`], or the server, and shifted by 16 the generation, that another CPU recorded before; of a packet's flow that is new
/// an [`Outcome`] with [`DONE`], and [`UNREACHED`] where its server cannot have it.
#[inline(always)]
pub(crate) fn record<F: Family>() -> u64 {
    let Some(work) = F::work() else { return FULL };
    // SAFETY: as in `open`.
    let work = unsafe { &mut *work };
    if work.phase == Phase::Picked as u32 {
        match Target::new(work.answer as u16, None) {
            Ok(target) => record_flow::<F>(work, &target),
            Err(_) => return UNREACHED,
        };
    }
    let Work { entry: Entry { key, hash, stale, flow }, now, .. } = &*work;
    match flows::<F>(*hash).try_insert(key, *flow, stale.hit(), *now) {
        Inserted::New if work.phase == Phase::Recorded as u32 => {
            limit::changed(work.row);
            DONE | Outcome::new(work.row, true).word()
        }
        Inserted::New => NEW,
        Inserted::Full => FULL,
        Inserted::Lost => LOST,
        Inserted::Existing(flow) => u64::from(flow.server()) | u64::from(flow.generation()) << 16,
    }
}

/// A connection of the client in the scratch row has got beyond its first packet: its template is no longer one of the
/// first to go. 0.
#[inline(always)]
pub(crate) fn confirm<F: Family>(service: u32) -> u32 {
    let (Some(service), Some(work)) = (Found::at(service), F::work()) else { return 0 };
    let policy = maps::policy(service.info.id);
    if policy.persistence == 0 {
        return 0;
    }
    // SAFETY: as in `open`.
    let Work { packet, now, template, entry, .. } = unsafe { &mut *work };
    entry.key = packet.key.template(&form(&service, &policy));
    let chain = flows::<F>(hash::<F>(&entry.key));
    template.set(chain.find(&entry.key));
    if let Some(hit) = template.hit()
        && hit.state() == State::TemplateFirst
        && let Some(bucket) = chain.of(hit)
    {
        bucket.touch(hit, State::Template, hit.seen.max(*now));
    }
    0
}
