//! Whose connection the packet belongs to, and with which real server it begins otherwise: what the program does behind the
//! lease, without recording anything.

use lb_common::{
    counters::Counter,
    flow::{FTP, TemplateForm},
    layout::{MARK_PROTOCOL, Policy, ServerState, Service},
    opening::{begins, is_alone, is_by_ring, opens, reach, reopens},
    sched::Method,
};

use super::{
    account::{Account, KnownFlow, PickedBy, Stands},
    maps::{Kept, Maps},
    pick::pick,
    question::Packet,
};
use crate::plan::unmapped;

/// To whom the packet goes.
pub(super) struct Served {
    /// Rows of `servers`: one, or those among which chance decides.
    pub(super) rows: Vec<u16>,
    pub(super) by: PickedBy,
}

/// What the stages know of the packet.
struct Opening<'a, M> {
    maps: &'a M,
    service: &'a Service,
    packet: &'a Packet,
    policy: Policy,
    /// Its flow.
    known: Option<Kept>,
}

/// The real servers of a packet to a service.
pub(super) fn serve(
    maps: &impl Maps,
    service: &Service,
    packet: &Packet,
    account: &mut Account,
) -> Result<Served, Counter> {
    let is_by_ring = is_by_ring(service.info.scheduler, packet.parts.protocol);
    let known = if is_by_ring { None } else { maps.flow(&packet.parts, packet.is_v6) };
    let policy = maps.policy(service.info.id);
    let is_alone = is_alone(&policy, packet.parts.protocol);
    let stands = known.map(|kept| stands(maps, &kept, packet));
    account.flow = known.zip(stands).map(|(kept, stands)| described(maps, &kept, stands));
    let opening = Opening { maps, service, packet, policy, known };
    match known.zip(stands) {
        // The first look is into one bucket only.
        Some((kept, Stands::Serves)) if kept.is_home || !is_alone => {
            Ok(Served { rows: vec![kept.server], by: PickedBy::Flow })
        }
        _ if is_alone => opening.begin(account),
        Some((_, Stands::Unresolved)) => Err(Counter::DropUnresolved),
        found => {
            let is_gone = matches!(found, Some((_, Stands::ServerGone)));
            opening.may_begin(is_gone)?;
            opening.begin(account)
        }
    }
}

/// What a flow or template means for the packet.
fn stands(maps: &impl Maps, kept: &Kept, packet: &Packet) -> Stands {
    if reopens(kept.state, packet.parts.protocol, packet.flags) {
        return Stands::Over;
    }
    reached(maps, kept)
}

fn reached(maps: &impl Maps, kept: &Kept) -> Stands {
    let server = maps.server(kept.server);
    match server.map_or(Err(ServerState::Vacant), |server| reach(server.info, Some(kept.generation))) {
        Ok(_) => Stands::Serves,
        Err(ServerState::Unresolved) => Stands::Unresolved,
        Err(_) => Stands::ServerGone,
    }
}

fn described(maps: &impl Maps, kept: &Kept, stands: Stands) -> KnownFlow {
    let server = maps.server(kept.server).filter(|server| server.info.generation == kept.generation);
    KnownFlow {
        state: kept.state.name().to_owned(),
        idle_seconds: kept.idle,
        left_seconds: kept.left,
        server: server.map(|server| unmapped(server.rip)),
        stands,
    }
}

impl<M: Maps> Opening<'_, M> {
    fn may_begin(&self, is_gone: bool) -> Result<(), Counter> {
        let Self { service, packet, policy, .. } = self;
        let method = Method::from_number(service.info.scheduler);
        let what = (packet.parts.protocol, packet.flags);
        if begins(method, policy, what, packet.parts.client_port, is_gone) {
            return Ok(());
        }
        Err(if is_gone { Counter::PassServerGone } else { Counter::PassNoFlow })
    }

    fn begin(&self, account: &mut Account) -> Result<Served, Counter> {
        let Self { service, packet, policy, .. } = self;
        if policy.persistence != 0 {
            return self.begin_persistent(account);
        }
        let is_alone = is_alone(policy, packet.parts.protocol);
        if !is_alone && service.info.port != packet.parts.vip_port && service.info.protocol != MARK_PROTOCOL {
            // Another port is a service's only with persistence.
            return Err(Counter::PassNoService);
        }
        let served = self.scheduled(account)?;
        self.recorded(served, account)
    }

    /// The server that the client stays with; without one the scheduler's pick, which it will stay with.
    fn begin_persistent(&self, account: &mut Account) -> Result<Served, Counter> {
        let Self { maps, service, packet, policy, .. } = self;
        let form = TemplateForm::of(service.vip, service.info.port, service.info.protocol, policy.mask);
        if let Some(kept) = maps.template(&packet.parts, packet.is_v6, &form) {
            let mut stands = reached(*maps, &kept);
            let is_quiescent = maps.server(kept.server).is_some_and(|server| server.info.quiescent != 0);
            if stands == Stands::Serves && is_quiescent && policy.has(Policy::EXPIRE_QUIESCENT) {
                stands = Stands::Quiescent;
            }
            account.template = Some(described(*maps, &kept, stands));
            match stands {
                Stands::Serves => {
                    return self
                        .recorded(Served { rows: vec![kept.server], by: PickedBy::Template }, account);
                }
                Stands::Unresolved => return Err(Counter::DropUnresolved),
                Stands::Over | Stands::Quiescent | Stands::ServerGone => {}
            }
        }
        let served = self.scheduled(account)?;
        account.records.push("template".to_owned());
        self.recorded(served, account)
    }

    fn scheduled(&self, account: &mut Account) -> Result<Served, Counter> {
        let Self { maps, service, packet, .. } = self;
        let (rows, scheduling) = pick(*maps, service, packet);
        account.scheduling = Some(scheduling);
        let rows = rows?;
        if rows.is_empty() {
            return Err(self.nobody());
        }
        Ok(Served { rows, by: PickedBy::Scheduler })
    }

    /// What becomes of a packet that no real server takes.
    fn nobody(&self) -> Counter {
        let Self { service, packet, known, .. } = self;
        if service.info.port == FTP && service.info.protocol != MARK_PROTOCOL && packet.parts.vip_port != FTP
        {
            return Counter::PassNoService;
        }
        match known {
            _ if opens(packet.parts.protocol, packet.flags) => Counter::AnswerNoServer,
            Some(_) => Counter::PassServerGone,
            None => Counter::PassNoFlow,
        }
    }

    /// The packet's flow would be recorded, if there is room.
    fn recorded(&self, served: Served, account: &mut Account) -> Result<Served, Counter> {
        let Self { maps, packet, policy, known, .. } = self;
        if is_alone(policy, packet.parts.protocol) {
            return Ok(served);
        }
        if known.is_none() && !maps.has_room(&packet.parts, packet.is_v6) {
            return Err(Counter::DropFlowTableFull);
        }
        account.records.push("flow".to_owned());
        Ok(served)
    }
}
