//! One virtual router as its sockets see it: where it listens, what it sends, and on which interface it announces.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::channel::{AUTHENTICATION_HEADER, Channel, Key, Place, Received, VRRP};
use crate::config::model::vrrp::{Authentication, Checksum, Family, Transport, VrrpInstance};
use crate::io::holdings::Held;
use crate::vrrp::wire::{self, Advert, Format, Refusal};

/// The part of a router that never decides.
#[derive(Debug)]
pub(super) struct Station {
    pub(super) instance: Arc<VrrpInstance>,
    /// The interface the instance names.
    pub(super) interface: String,
    /// Where its adverts leave and its addresses are: the virtual one with `use_vmac`.
    pub(super) own: String,
    pub(super) family: Family,
    pub(super) format: Format,
    pub(super) transport: Transport,
    /// As configured; otherwise the interface's own is used.
    pub(super) configured_source: Option<IpAddr>,
    /// Whether that must be on this host.
    pub(super) tracks_source: bool,
    pub(super) source: Option<IpAddr>,
    pub(super) held: Held,
    pub(super) replay: wire::Replay,
    xmit: String,
    interval: Duration,
    addresses: Vec<IpAddr>,
    announced_on: BTreeMap<IpAddr, String>,
    identification: u16,
    packet: Vec<u8>,
}

impl Station {
    /// The station of an instance; none without an interface.
    pub(super) fn new(instance: &VrrpInstance) -> Option<Self> {
        let interface = instance.interface.clone()?;
        let own = instance.vmac.as_ref().map_or_else(|| interface.clone(), |vmac| vmac.name.clone());
        let xmit = match &instance.vmac {
            Some(vmac) if !vmac.xmit_base => vmac.name.clone(),
            _ => interface.clone(),
        };
        let on = |dev: &Option<String>| dev.clone().unwrap_or_else(|| own.clone());
        let addresses = instance.virtual_addresses.iter().map(|owned| owned.address);
        Some(Self {
            instance: Arc::new(instance.clone()),
            family: instance.family,
            format: Format {
                version: instance.version,
                vrid: instance.virtual_router_id,
                authentication: instance.authentication,
            },
            transport: instance.transport.clone(),
            configured_source: instance.source,
            tracks_source: instance.track_source,
            source: instance.source,
            held: Held::of(instance),
            replay: wire::Replay::starting_at(unix_seconds()),
            interval: instance.advert_interval,
            addresses: addresses.filter(|&address| Family::of(address) == instance.family).collect(),
            announced_on: instance.owned().map(|owned| (owned.address, on(&owned.dev))).collect(),
            identification: 0,
            packet: Vec::new(),
            interface,
            own,
            xmit,
        })
    }

    /// Goes on where another one of the same router was.
    pub(super) fn carry_on(&mut self, before: Self) {
        self.source = before.source;
        self.replay = before.replay;
        self.identification = before.identification;
    }

    pub(super) fn name(&self) -> &str {
        &self.instance.name
    }

    /// The interface an address is announced on.
    pub(super) fn announces_on(&self, address: IpAddr) -> Option<&str> {
        self.announced_on.get(&address).map(String::as_str)
    }

    /// Where it listens. A frame from a router with the same virtual MAC address comes in by the virtual interface, any
    /// other by the real one.
    pub(super) fn listens(&self) -> Vec<Key> {
        let mut keys = vec![self.key(&self.interface)];
        if self.own != self.interface && matches!(self.transport, Transport::Multicast { .. }) {
            keys.push(self.key(&self.own));
        }
        keys.into_iter().flatten().collect()
    }

    /// Where its adverts leave.
    pub(super) fn sends(&self) -> Option<Key> {
        self.key(&self.xmit)
    }

    fn key(&self, interface: &str) -> Option<Key> {
        let protocol = match self.format.authentication {
            Some(Authentication::Ah(_)) => AUTHENTICATION_HEADER,
            Some(Authentication::Pass(_)) | None => VRRP,
        };
        let place = match &self.transport {
            Transport::Multicast { group } => Place::Link { name: interface.to_owned(), group: *group },
            Transport::Unicast { .. } => {
                let address = self.source?;
                let link = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
                    .then(|| interface.to_owned());
                Place::Address { address, link }
            }
        };
        Some(Key { family: self.family, protocol, place })
    }

    /// Whether the time to live of what it hears must be 255: peers that are named may be routed to.
    const fn checks_ttl(&self) -> bool {
        matches!(self.transport, Transport::Multicast { .. })
    }

    /// What a packet says to this router, or whose it is and why it is refused.
    pub(super) fn understand(
        &mut self,
        packet: &Received<'_>,
    ) -> Result<(IpAddr, Advert), (Option<IpAddr>, Refusal)> {
        let check_ttl = self.checks_ttl();
        match *packet {
            Received::V4(packet) => wire::parse_v4(packet, &self.format, check_ttl, &mut self.replay)
                .map_err(|reason| (wire::source_v4(packet).map(IpAddr::V4), reason)),
            Received::V6 { payload, source, destination, hop_limit } => {
                wire::parse_v6(payload, source, destination, hop_limit, &self.format, check_ttl)
                    .map(|advert| (IpAddr::V6(source), advert))
                    .map_err(|reason| (Some(IpAddr::V6(source)), reason))
            }
        }
    }

    /// Sends an advert to the group or to every peer; an error if it reached none.
    pub(super) fn send(
        &mut self,
        channel: &Channel,
        priority: u8,
        checksum: Checksum,
    ) -> std::io::Result<()> {
        let advert = Advert {
            version: self.format.version,
            vrid: self.format.vrid,
            priority,
            interval: self.interval,
            addresses: self.addresses.clone(),
            checksum,
        };
        let (destinations, ttl) = match &self.transport {
            Transport::Multicast { group } => (vec![*group], 255),
            Transport::Unicast { peers, ttl, .. } => (peers.clone(), *ttl),
        };
        let sequence = self.replay.next_sequence();
        let mut outcome = Err(std::io::Error::other("no peer has an address of its family"));
        for destination in destinations {
            let sent = match (self.source, destination) {
                (Some(IpAddr::V4(source)), IpAddr::V4(to)) => {
                    let route = wire::Route4 { source, destination: to, ttl, id: self.next_identification() };
                    self.send_v4(channel, &advert, &route, sequence)
                }
                (Some(IpAddr::V6(source)), IpAddr::V6(to)) => self.send_v6(channel, &advert, source, to, ttl),
                _ => continue,
            };
            if outcome.is_err() {
                outcome = sent;
            }
        }
        outcome
    }

    fn send_v4(
        &mut self,
        channel: &Channel,
        advert: &Advert,
        route: &wire::Route4,
        sequence: u32,
    ) -> std::io::Result<()> {
        wire::emit_v4(advert, &self.format, route, sequence, &mut self.packet);
        channel.send_v4(&self.packet, route.destination)
    }

    /// Never 0: the kernel would put another in its place, and an authentication header covers it.
    fn next_identification(&mut self) -> u16 {
        self.identification = self.identification.checked_add(1).unwrap_or(1);
        self.identification
    }

    fn send_v6(
        &mut self,
        channel: &Channel,
        advert: &Advert,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        ttl: u8,
    ) -> std::io::Result<()> {
        wire::emit_v6(advert, source, destination, &mut self.packet);
        channel.send_v6(&self.packet, source, destination, ttl)
    }
}

/// Above every number that an earlier daemon may have put into an authentication header.
fn unix_seconds() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as u32)
}
