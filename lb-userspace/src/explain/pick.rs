//! Whom a service's scheduler would pick next, and what it looks at.

use lb_common::{
    counters::Counter,
    flow::TICK_SHIFT,
    layout::{Load, MEMBERS, ServerState, Service, feature},
    opening::reach,
    sched::{self, Cursor, Memory, Method, Request, Scheduler, Search},
};

use super::{
    account::{Candidate, Picked, Scheduling},
    maps::Maps,
    question::Packet,
};
use crate::plan::unmapped;

/// Picks after which a packet is given up whose picks have all failed since the list was published.
const PICKS: usize = 10;

/// The scheduler's picks, one unless chance decides, and none if nobody takes the connection.
pub(super) fn pick(
    maps: &impl Maps,
    service: &Service,
    packet: &Packet,
) -> (Result<Vec<u16>, Counter>, Scheduling) {
    let Some((method, row)) = Method::from_number(service.info.scheduler).zip(maps.cursor(service.info.id))
    else {
        return (Ok(Vec::new()), Scheduling::default());
    };
    let pool = service.pool;
    let mut memory = Memory { cursor: row.cursor, affinity: row.affinity };
    if row.cursor.epoch != pool.epoch {
        // Another list is about to be published: this pick takes the old one from its head.
        memory.cursor = Cursor { place: 0, threshold: 1, highest: 1, epoch: pool.epoch };
    }
    let offered = |place: u16| offer(maps, method.scheduler, pool.base, place.into());
    let mut scheduling = Scheduling {
        name: method.scheduler.name().to_owned(),
        standing: standing(method.scheduler, memory.cursor),
        candidates: (0..pool.len).map(|place| candidate(maps, &offered(place))).collect(),
    };
    if matches!(method.scheduler, Scheduler::Twos) {
        let takes = |candidate: &sched::Candidate| candidate.weight > 0 && !candidate.overloaded;
        let taking = (0..pool.len).map(offered).filter(takes);
        let rows: Vec<u16> = taking.map(|candidate| candidate.server).collect();
        scheduling.mark(&rows, Picked::Perhaps);
        return (Ok(rows), scheduling);
    }
    let parts = &packet.parts;
    let request = Request {
        client: parts.client.fold(),
        client_port: parts.client_port,
        destination: parts.vip.fold(),
        random: [0; 2],
        now: (maps.now_ns() >> TICK_SHIFT) as u32,
    };
    for _pick in 0..PICKS {
        let (search, picked) = Search::through(method, memory, pool.len, &request, offered);
        let Some(server) = picked else { return (Ok(Vec::new()), scheduling) };
        match maps.server(server).map_or(Err(ServerState::Vacant), |row| reach(row.info, None)) {
            Ok(_) => {
                scheduling.mark(&[server], Picked::Next);
                return (Ok(vec![server]), scheduling);
            }
            Err(ServerState::Unresolved) => return (Err(Counter::DropUnresolved), scheduling),
            // It has failed since, and the list is about to be published without it.
            Err(_) => memory = search.memory,
        }
    }
    (Err(Counter::DropFlowTableFull), scheduling)
}

/// A place in the pool that begins with the row `base` as a search sees it.
fn offer(maps: &impl Maps, scheduler: Scheduler, base: u32, place: usize) -> sched::Candidate {
    let members = maps.members(base + (place / MEMBERS) as u32).unwrap_or_default();
    let member = members[place % MEMBERS];
    let is_local = matches!(scheduler, Scheduler::Lblc | Scheduler::Lblcr);
    sched::Candidate {
        server: member.server,
        weight: member.weight,
        overloaded: is_overloaded(maps, member.server),
        load: if scheduler.is_by_load() { maps.load(member.server) } else { Load::default() },
        joined: if is_local { maps.joined(member.server) } else { 0 },
    }
}

fn is_overloaded(maps: &impl Maps, server: u16) -> bool {
    let limit = maps.limit(server);
    maps.features() & feature::LIMITED != 0
        && limit.upper != 0
        && maps.load(server).overloads(limit.upper, limit.lower, limit.overloaded != 0)
}

fn candidate(maps: &impl Maps, offered: &sched::Candidate) -> Candidate {
    let server = maps.server(offered.server).unwrap_or_default();
    let Load { active, inactive } = maps.load(offered.server);
    Candidate {
        address: unmapped(server.rip),
        row: offered.server,
        weight: offered.weight,
        active_connections: active,
        inactive_connections: inactive,
        overloaded: offered.overloaded,
        joined: offered.joined,
        picked: Picked::No,
    }
}

/// Where a scheduler stands that goes around.
fn standing(scheduler: Scheduler, cursor: Cursor) -> Option<String> {
    match scheduler {
        Scheduler::Rr => Some(format!("goes on at place {}", cursor.place)),
        Scheduler::Wrr => {
            Some(format!("goes on at place {} with weight {} or more", cursor.place, cursor.threshold))
        }
        _ => None,
    }
}
