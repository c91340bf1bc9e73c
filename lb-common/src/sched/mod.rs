//! The IPVS schedulers, pure: from a pool, a packet and what is remembered of earlier picks to a pick.
//!
//! The pool is a list in IPVS's order, where a destination added later stands nearer the head, and for the schedulers
//! by hash a ring behind it. Its rows are offered one by one, so that the program reads them from its maps and a test
//! from a slice. A server with weight 0 or above its limit of connections is never picked.

mod lblc;
mod least;
mod method;
mod mh;
mod ring;
mod rr;
mod twos;
mod wrr;

pub use lblc::Affinity;
pub use least::{Cost, Measure};
pub use method::{Flags, Method, Scheduler};
pub use ring::{NOBODY, bucket_of, fill};

use bytemuck::{Pod, Zeroable};

use self::{lblc::Local, twos::Draw};
use crate::layout::{Load, MAX_POOL, ring_place};

/// Where a round robin stands: one word, so that a pick is one compare and swap.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Cursor {
    /// Place in the list where the next search begins.
    pub place: u16,
    /// wrr: the weight a server must have to be taken in this turn.
    pub threshold: u16,
    /// wrr: the greatest weight of the pool, where the threshold starts anew.
    pub highest: u16,
    /// The pool's epoch.
    pub epoch: u16,
}

/// A real server in its pool, as a ring is made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its weight of this moment.
    pub weight: u16,
    /// The last weight above 0 it had.
    pub last_weight: u16,
    /// Its address, folded ([`crate::layout::Address::fold`]).
    pub address: u32,
    /// Its port.
    pub port: u16,
}

/// What a pick depends on besides the pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// The client's address, folded ([`crate::layout::Address::fold`]).
    pub client: u32,
    /// Its port.
    pub client_port: u16,
    /// The packet's destination, folded.
    pub destination: u32,
    /// Random numbers, for twos.
    pub random: [u32; 2],
    /// The clock in ticks ([`crate::flow::TICK_SHIFT`]), for lblc and lblcr.
    pub now: u32,
}

/// What a service remembers from one pick to the next.
#[derive(Clone, Copy, Debug, Default, Zeroable)]
pub struct Memory {
    /// For rr and wrr.
    pub cursor: Cursor,
    /// For lblc and lblcr: of the servers of the packet's destination.
    pub affinity: Affinity,
}

/// A row of the pool as it is offered to a search.
#[derive(Clone, Copy, Debug, Default)]
pub struct Candidate {
    /// Row of `servers`.
    pub server: u16,
    /// Its weight.
    pub weight: u16,
    /// It has reached its limit of connections.
    pub overloaded: bool,
    /// Its connections; only some schedulers look at them ([`Scheduler::is_by_load`]).
    pub load: Load,
    /// For lblc and lblcr: the number it joined the set of the destination with ([`Search::joins`]); 0 when it is not
    /// in it.
    pub joined: u32,
}

/// A search for a server: the caller offers the row at [`Search::place`] until the search is decided or the
/// [`Search::steps`] are done.
///
/// One step at a time, because the BPF verifier wants the loop outside, and in the caller's memory, because the
/// program's stack is small.
#[derive(Clone, Copy, Debug, Zeroable)]
pub struct Search {
    /// What is remembered: of earlier picks at first, with this one after [`Search::end`].
    pub memory: Memory,
    /// A [`Method`] as a number.
    method: u8,
    len: u16,
    step: u32,
    now: u32,
    /// sh, dh, mh: what is hashed.
    hashed: u32,
    /// wrr: the greatest weight that was offered since the list's head.
    greatest: u16,
    /// The server found so far, by the schedulers that have no more than one in mind.
    found: Cost,
    draw: Draw,
    local: Local,
}

/// How a scheduler searches.
enum Kind {
    /// From where the last search ended.
    Turn,
    /// At the bucket of the packet's hash.
    Ring,
    /// Through all servers for the least cost.
    Least,
    /// Through all for the weights, then to the two that were drawn.
    Draw,
    /// Through all for the least cost, and for those of the destination.
    Local,
}

impl Search {
    /// The whole search through a pool that can be read at once, up to its end, and the pick.
    pub fn through(
        method: Method,
        memory: Memory,
        len: u16,
        request: &Request,
        candidate: impl Fn(u16) -> Candidate,
    ) -> (Self, Option<u16>) {
        let mut search = Self { memory, ..Self::zeroed() };
        if !search.begin(method, len, request) {
            return (search, None);
        }
        for _step in 0..search.steps() {
            if search.offer(candidate(search.place())) {
                break;
            }
        }
        let picked = search.end();
        (search, picked)
    }

    /// Makes a search, whose memory is set, begin in a pool of `len` servers; `false` if nobody can be found there.
    #[inline(always)]
    pub fn begin(&mut self, method: Method, len: u16, request: &Request) -> bool {
        if len == 0 || usize::from(len) > MAX_POOL {
            return false;
        }
        self.method = method.number();
        self.len = len;
        self.step = 0;
        self.now = request.now;
        self.found.clear();
        match kind(method.scheduler) {
            Kind::Turn => {
                self.greatest = 0;
                self.turn(method.scheduler);
            }
            Kind::Ring => self.hashed = ring::hashed(method, request),
            Kind::Draw => self.draw.begin(request.random),
            Kind::Local => {
                self.local.begin();
                self.memory.affinity.expire(request.now);
            }
            Kind::Least => {}
        }
        true
    }

    /// The place in the pool to be offered next; those of the ring stand behind the list.
    #[inline(always)]
    pub const fn place(&self) -> u16 {
        let Some(Method { scheduler, .. }) = Method::from_number(self.method) else { return 0 };
        match kind(scheduler) {
            Kind::Turn => self.memory.cursor.place,
            Kind::Ring => ring_place(self.len) + ring::bucket(scheduler, self.hashed, self.step) as u16,
            _ if self.step < self.len as u32 => self.step as u16,
            _ => (self.step - self.len as u32) as u16,
        }
    }

    /// How many offers decide. Round robin goes once around the pool; wrr goes on to the list's end, then through all
    /// of it at the next threshold, and where only lighter servers take connections once more at theirs.
    #[inline(always)]
    pub const fn steps(&self) -> u32 {
        let Some(method) = Method::from_number(self.method) else { return 0 };
        match kind(method.scheduler) {
            Kind::Turn => 3 * self.len as u32,
            Kind::Draw => 2 * self.len as u32,
            Kind::Ring => ring::steps(method),
            Kind::Least | Kind::Local => self.len as u32,
        }
    }

    /// Takes the row at [`Search::place`] into account; `true` when no other can change the pick.
    #[inline(always)]
    pub const fn offer(&mut self, mut candidate: Candidate) -> bool {
        let Some(Method { scheduler, .. }) = Method::from_number(self.method) else { return true };
        if candidate.overloaded {
            candidate.weight = 0;
        }
        self.step += 1;
        match kind(scheduler) {
            Kind::Turn => self.offer_turn(scheduler, &candidate),
            Kind::Ring => {
                self.found = Cost::nothing(&candidate);
                candidate.weight > 0
            }
            Kind::Least => {
                self.found.lower(Measure::of(scheduler).cost(&candidate));
                false
            }
            Kind::Draw if self.step > self.len as u32 => self.draw.choose(&candidate),
            Kind::Draw => {
                self.draw.add(candidate.weight);
                if self.step == self.len as u32 {
                    self.draw.draw();
                }
                false
            }
            Kind::Local => {
                self.local.offer(&candidate, &self.memory.affinity);
                false
            }
        }
    }

    #[inline(always)]
    const fn offer_turn(&mut self, scheduler: Scheduler, candidate: &Candidate) -> bool {
        let takes = takes_turn(scheduler, self.memory.cursor, candidate.weight);
        self.memory.cursor.place += 1;
        if candidate.weight > self.greatest {
            self.greatest = candidate.weight;
        }
        if takes {
            self.found = Cost::nothing(candidate);
        } else if self.memory.cursor.place >= self.len {
            self.turn(scheduler);
            if self.step >= self.len as u32 && self.greatest > 0 {
                self.memory.cursor.threshold = self.greatest;
            }
            self.greatest = 0;
        }
        takes
    }

    /// A round robin that has come to the list's end goes on.
    #[inline(always)]
    const fn turn(&mut self, scheduler: Scheduler) {
        self.memory.cursor = turned(scheduler, self.memory.cursor, self.len);
    }

    /// Row in `servers` of the pick; `None` when nobody takes the connection.
    #[inline(always)]
    pub const fn end(&mut self) -> Option<u16> {
        let Some(Method { scheduler, .. }) = Method::from_number(self.method) else { return None };
        match kind(scheduler) {
            Kind::Draw => self.draw.better().server(),
            Kind::Local => self.local.end(scheduler, &mut self.memory.affinity, self.now).server(),
            Kind::Turn | Kind::Ring | Kind::Least => self.found.server(),
        }
    }

    /// After [`Search::end`] under lblc and lblcr: the number to be kept with the server that was picked, which joins the
    /// set of the destination.
    #[inline(always)]
    pub const fn joins(&self) -> Option<u32> {
        if self.local.joins { Some(self.memory.affinity.added) } else { None }
    }

    /// After [`Search::end`] under lblc and lblcr: the server that leaves the set of the destination; its number becomes 0.
    #[inline(always)]
    pub const fn leaves(&self) -> Option<u16> {
        if self.local.leaves { Some(self.local.most()) } else { None }
    }
}

/// Where a round robin goes on that stands at the end of a list of `len` servers, or elsewhere.
#[inline(always)]
pub const fn turned(scheduler: Scheduler, cursor: Cursor, len: u16) -> Cursor {
    if cursor.place < len {
        return cursor;
    }
    match scheduler {
        Scheduler::Wrr => wrr::around(cursor),
        _ => rr::around(cursor),
    }
}

/// Does a round robin that stands at `cursor` take the server there, which has this weight?
#[inline(always)]
pub const fn takes_turn(scheduler: Scheduler, cursor: Cursor, weight: u16) -> bool {
    match scheduler {
        Scheduler::Wrr => wrr::takes(cursor, weight),
        _ => rr::takes(weight),
    }
}

#[inline(always)]
const fn kind(scheduler: Scheduler) -> Kind {
    match scheduler {
        Scheduler::Rr | Scheduler::Wrr => Kind::Turn,
        Scheduler::Sh | Scheduler::Dh | Scheduler::Mh => Kind::Ring,
        Scheduler::Lc | Scheduler::Wlc | Scheduler::Sed | Scheduler::Nq | Scheduler::Fo | Scheduler::Ovf => {
            Kind::Least
        }
        Scheduler::Twos => Kind::Draw,
        Scheduler::Lblc | Scheduler::Lblcr => Kind::Local,
    }
}

/// The weights as a pool is published with them.
pub fn published(
    scheduler: Scheduler,
    weights: impl Iterator<Item = u16> + Clone,
) -> impl Iterator<Item = u16> {
    let divisor = if scheduler == Scheduler::Wrr { wrr::divisor(weights.clone()) } else { 1 };
    weights.map(move |weight| weight / divisor)
}

/// The cursor for a pool that replaces another, so that the order goes on as IPVS's would.
///
/// `old` is the cursor as it stood over the list `before` and `new` the list that follows, both
/// as (identity of the server, weight as configured). `epoch` is the new pool's.
pub fn rebase<Id: PartialEq>(
    scheduler: Scheduler,
    old: Cursor,
    before: &[(Id, u16)],
    new: &[(Id, u16)],
    epoch: u16,
) -> Cursor {
    let next = match scheduler {
        Scheduler::Rr => rr::rebase(old, before, new),
        Scheduler::Wrr => wrr::rebase(old, before, new),
        _ => Cursor::default(),
    };
    Cursor { epoch, ..next }
}

#[cfg(test)]
pub(crate) mod tests;
