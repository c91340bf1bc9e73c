//! What can be said by hand of a service and of a real server.

use std::time::Duration;

use super::{Impossible, pick};
use crate::adm::state::{Forwarding, Netmask, Server, Service};
use crate::config::Span;
use crate::config::model::{
    self, Granularity, Quorum, RealServer, Scheduler, Selector, VirtualServer, Weight,
};

/// What can be said by hand of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handled {
    scheduler: Scheduler,
    hash_port: bool,
    hash_fallback: bool,
    persistence: Option<Duration>,
    granularity: Option<Granularity>,
    one_packet: bool,
}

impl Handled {
    pub(super) const fn of(service: &VirtualServer) -> Self {
        Self {
            scheduler: service.scheduler,
            hash_port: service.hash_port,
            hash_fallback: service.hash_fallback,
            persistence: service.persistence,
            granularity: service.granularity,
            one_packet: service.opening.one_packet,
        }
    }

    pub(super) fn of_command(service: &Service) -> Result<Self, Impossible> {
        if !service.engine.is_empty() {
            return Err(Impossible::Engine);
        }
        let known = |scheduler: &Scheduler| scheduler.keyword() == service.scheduler;
        let [hash_fallback, hash_port, _] = service.flags.0;
        Ok(Self {
            scheduler: Scheduler::ALL.into_iter().find(known).ok_or(Impossible::Scheduler)?,
            hash_port,
            hash_fallback,
            persistence: service.persistence.map(|seconds| Duration::from_secs(seconds.into())),
            granularity: granularity(service)?,
            one_packet: service.one_packet,
        })
    }

    pub(super) fn merge(self, now: Self, after: Self) -> Self {
        Self {
            scheduler: pick(self.scheduler, now.scheduler, after.scheduler),
            hash_port: pick(self.hash_port, now.hash_port, after.hash_port),
            hash_fallback: pick(self.hash_fallback, now.hash_fallback, after.hash_fallback),
            persistence: pick(self.persistence, now.persistence, after.persistence),
            granularity: pick(self.granularity, now.granularity, after.granularity),
            one_packet: pick(self.one_packet, now.one_packet, after.one_packet),
        }
    }

    pub(super) const fn put(self, service: &mut VirtualServer) {
        service.scheduler = self.scheduler;
        service.hash_port = self.hash_port;
        service.hash_fallback = self.hash_fallback;
        service.persistence = self.persistence;
        service.granularity = self.granularity;
        service.opening.one_packet = self.one_packet;
        service.by_hand = true;
    }

    /// A service without real servers, of which nothing else is said but what the file says, if it names it.
    pub(super) fn service(self, selector: Selector, known: Option<&VirtualServer>) -> VirtualServer {
        let new = || VirtualServer {
            selector,
            group: None,
            scheduler: self.scheduler,
            hash_port: false,
            hash_fallback: false,
            forwarding: model::Forwarding::Dr,
            persistence: None,
            granularity: None,
            opening: model::Opening::default(),
            delay_loop: Duration::from_mins(1),
            quorum: Quorum::default(),
            sorry: None,
            omega: false,
            ha_suspend: false,
            real_servers: Vec::new(),
            by_hand: true,
            span: Span::default(),
        };
        let mut service = known.cloned().unwrap_or_else(new);
        service.real_servers.retain(|server| !server.forwarding.is_available());
        self.put(&mut service);
        service
    }
}

/// Of which clients persistence makes one; nothing where each is its own.
fn granularity(service: &Service) -> Result<Option<Granularity>, Impossible> {
    if service.persistence.is_none() || service.netmask.is_whole() {
        return Ok(None);
    }
    let bits = match service.netmask {
        Netmask::V4(mask) if mask.to_bits().leading_ones() + mask.to_bits().trailing_zeros() >= 32 => {
            mask.to_bits().leading_ones()
        }
        Netmask::V4(_) => return Err(Impossible::Netmask),
        Netmask::V6(bits) => bits,
    };
    Ok(Some(Granularity(u8::try_from(bits).map_err(|_| Impossible::Netmask)?)))
}

/// What can be said by hand of a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    weight: Weight,
    drained: Option<Weight>,
    upper_threshold: u32,
    lower_threshold: u32,
}

impl Share {
    pub(super) const fn of(server: &RealServer) -> Self {
        let RealServer { weight, drained, upper_threshold, lower_threshold, .. } = *server;
        Self { weight, drained, upper_threshold, lower_threshold }
    }

    pub(super) fn of_command(server: &Server) -> Result<Self, Impossible> {
        if server.forwarding != Forwarding::Route {
            return Err(Impossible::Forwarding);
        }
        Ok(Self {
            weight: Weight(u16::try_from(server.weight).map_err(|_| Impossible::Weight)?),
            drained: None,
            upper_threshold: server.upper_threshold,
            lower_threshold: server.lower_threshold,
        })
    }

    pub(super) fn merge(self, now: Self, after: Self) -> Self {
        Self {
            weight: pick(self.weight, now.weight, after.weight),
            // Another weight of the file ends a drain, as it ends any weight by hand.
            drained: now.drained.filter(|_| self.weight == after.weight),
            upper_threshold: pick(self.upper_threshold, now.upper_threshold, after.upper_threshold),
            lower_threshold: pick(self.lower_threshold, now.lower_threshold, after.lower_threshold),
        }
    }

    pub(super) const fn put(self, server: &mut RealServer) {
        server.weight = self.weight;
        server.drained = self.drained;
        server.upper_threshold = self.upper_threshold;
        server.lower_threshold = self.lower_threshold;
    }
}
