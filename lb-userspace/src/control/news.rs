//! What people are told of: real servers that come up, go down and change their weight, and quorums that are gained and lost.

use std::net::IpAddr;

use super::RealServer;
use crate::plan::ServiceKey;

/// Something that people are told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A check of a real server passed for the first time after it had failed, or the other way round.
    Check {
        /// Of which service.
        service: ServiceKey,
        /// The RIP.
        server: IpAddr,
        /// It passed.
        is_up: bool,
        /// Why it failed, for people; empty where it passed.
        reason: String,
        /// With it the server as a whole came up or went down.
        is_whole: bool,
    },
    /// A real server came with the configuration and is up.
    Added {
        /// To which service.
        service: ServiceKey,
        /// The RIP.
        server: IpAddr,
    },
    /// The way to a real server was lost, or found again, or not found at first.
    Way {
        /// Of which service.
        service: ServiceKey,
        /// The RIP.
        server: IpAddr,
        /// Why there is none.
        lost: Option<String>,
    },
    /// A check gave a real server another weight.
    Weight {
        /// Of which service.
        service: ServiceKey,
        /// The RIP.
        server: IpAddr,
        /// Before.
        from: u16,
        /// Now.
        to: u16,
    },
    /// A reload took a real server away that was up.
    Removed {
        /// From which service.
        service: ServiceKey,
        /// The RIP.
        server: IpAddr,
    },
    /// A service gained or lost its quorum.
    Quorum {
        /// Which.
        service: ServiceKey,
        /// Gained.
        is_up: bool,
        /// It was so from the beginning.
        is_first: bool,
        /// The sorry server that stands in from now on, or no longer does.
        sorry: Option<IpAddr>,
        /// The numbers that decided, as keepalived writes them: `quorum+hysteresis=sum <= weight`.
        rule: String,
    },
}

impl News {
    /// What is told of a server of `service` that comes with a configuration, if it is up.
    pub(super) fn added(server: &RealServer, service: ServiceKey) -> Option<Self> {
        is_up(server).then_some(Self::Added { service, server: server.rip })
    }

    /// What is told of a server of `service` that a reload takes away, if it was up.
    pub(super) fn removed(server: &RealServer, service: ServiceKey) -> Option<Self> {
        is_up(server).then_some(Self::Removed { service, server: server.rip })
    }
}

/// Of a sorry server nobody is told.
fn is_up(server: &RealServer) -> bool {
    !server.is_sorry && !server.is_failed()
}

/// How a server and one of its checks stand.
pub(super) struct Health {
    is_up: bool,
    has_passed: bool,
}

impl Health {
    pub(super) fn of(server: &RealServer, check: u32) -> Self {
        Self { is_up: server.failures.is_empty(), has_passed: !server.failures.contains_key(&check) }
    }

    /// What is to be told if this was before and `server` is now.
    pub(super) fn change(&self, server: &RealServer, check: u32, service: ServiceKey) -> Option<News> {
        let now = Self::of(server, check);
        (now.has_passed != self.has_passed).then(|| News::Check {
            service,
            server: server.rip,
            is_up: now.has_passed,
            reason: server.failures.get(&check).cloned().unwrap_or_default(),
            is_whole: now.is_up != self.is_up,
        })
    }
}
