//! Owns what of an instance's configuration its machine needs, and which adverts count for it.

use std::net::IpAddr;
use std::time::Duration;

use crate::config::model::vrrp::{
    Announcing, Checksum, Family, InitialState, Transport, Version, VrrpInstance,
};
use crate::vrrp::wire::{Advert, Refusal};

/// The priority of the owner of the addresses, RFC 5798 section 5.2.4.
pub(super) const OWNER: u8 = 255;

/// The shortest interval that adverts can name.
const SHORTEST: Duration = Duration::from_millis(10);

#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a keyword of its own and they do not depend on each other"
)]
pub(super) struct Settings {
    pub(super) version: Version,
    pub(super) virtual_router_id: u8,
    pub(super) priority: u8,
    pub(super) interval: Duration,
    pub(super) down_adverts: u32,
    pub(super) preempt: bool,
    pub(super) preempt_delay: Duration,
    pub(super) checksum: Checksum,
    pub(super) announcing: Announcing,
    pub(super) answer_lower: bool,
    pub(super) answer_higher: bool,
    addresses: Vec<IpAddr>,
    /// What another router says that has not been reloaded yet, from the latest.
    former: Vec<Former>,
    skip_check_addresses: bool,
    peers: Option<Vec<IpAddr>>,
}

/// So many reloads may come before one of another router.
const FORMERS: usize = 8;

/// What of the settings before a reload adverts may still say, until one says what is now.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Former {
    interval: Duration,
    addresses: Vec<IpAddr>,
}

impl Settings {
    pub(super) fn of(instance: &VrrpInstance) -> Self {
        let insists = instance.state == InitialState::Master;
        let addresses = instance.virtual_addresses.iter().map(|owned| owned.address);
        Self {
            version: instance.version,
            virtual_router_id: instance.virtual_router_id,
            priority: instance.priority.max(1),
            interval: instance.advert_interval.max(SHORTEST),
            down_adverts: u32::from(instance.down_timer_adverts.max(1)),
            // RFC 5798 section 6.1: an owner always preempts.
            preempt: instance.preempt || insists || instance.priority == OWNER,
            preempt_delay: if insists { Duration::ZERO } else { instance.preempt_delay },
            checksum: match instance.version {
                Version::V2 => Checksum::MessageOnly,
                Version::V3 => instance.checksum,
            },
            announcing: instance.announcing,
            answer_lower: !instance.lower_prio_no_advert,
            answer_higher: instance.higher_prio_send_advert,
            // Those of the other family do not fit into its adverts.
            addresses: sorted(addresses.filter(|&address| Family::of(address) == instance.family).collect()),
            former: Vec::new(),
            skip_check_addresses: instance.skip_check_addresses,
            peers: match &instance.transport {
                Transport::Unicast { peers, only_peers: true, .. } => Some(peers.clone()),
                Transport::Unicast { .. } | Transport::Multicast { .. } => None,
            },
        }
    }

    /// These in place of others.
    #[must_use]
    pub(super) fn in_place_of(mut self, before: &Self) -> Self {
        let own = Former { interval: self.interval, addresses: self.addresses.clone() };
        let last = Former { interval: before.interval, addresses: before.addresses.clone() };
        self.former = std::iter::once(last).chain(before.former.iter().cloned()).collect();
        self.former.retain(|former| *former != own);
        self.former.truncate(FORMERS);
        self
    }

    /// Takes note of an advert that counts.
    pub(super) fn heard(&mut self, advert: &Advert) {
        if self.fits(advert, self.interval, &self.addresses, false).is_ok() {
            self.former.clear();
        }
    }

    /// Whether an advert counts, RFC 5798 section 7.1; `own` is the address we send from.
    ///
    /// Addresses are compared without their order. Those of the `master` that is heard already are not, if so configured.
    pub(super) fn admit(
        &self,
        source: IpAddr,
        advert: &Advert,
        own: Option<IpAddr>,
        master: Option<IpAddr>,
    ) -> Result<(), Refusal> {
        if own == Some(source) {
            return Err(Refusal::Own);
        }
        if advert.version != self.version {
            return Err(Refusal::Version);
        }
        if advert.vrid != self.virtual_router_id {
            return Err(Refusal::VirtualRouter);
        }
        if self.peers.as_ref().is_some_and(|peers| !peers.contains(&source)) {
            return Err(Refusal::NotAPeer);
        }
        let known = self.skip_check_addresses && master == Some(source);
        self.fits(advert, self.interval, &self.addresses, known).or_else(|refusal| {
            let is_of =
                |former: &Former| self.fits(advert, former.interval, &former.addresses, known).is_ok();
            if self.former.iter().any(is_of) { Ok(()) } else { Err(refusal) }
        })
    }

    /// Whether an advert says what a router with this interval and these addresses says.
    fn fits(
        &self,
        advert: &Advert,
        interval: Duration,
        addresses: &[IpAddr],
        known: bool,
    ) -> Result<(), Refusal> {
        let interval = match self.version {
            Version::V2 => advert.interval == interval,
            Version::V3 => !advert.interval.is_zero(),
        };
        if !interval {
            return Err(Refusal::Interval);
        }
        if advert.addresses.len() != addresses.len() {
            return Err(Refusal::AddressCount);
        }
        if !known && sorted(advert.addresses.clone()) != addresses {
            return Err(Refusal::Addresses);
        }
        Ok(())
    }
}

fn sorted(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort_unstable();
    addresses
}
