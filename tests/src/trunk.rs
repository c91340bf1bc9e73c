//! A director's cable as a provider lays it: a customer's packets come in two VLAN tags and leave in the same two.
//!
//! ```text
//!   switch -- trunk0 [ the trunk's namespace ] trunk1 -- lan0 of the director
//!          untagged                     0x88a8 outer, 0x8100 inner
//! ```
//! The kernels of labs may know no VLANs, so a thread puts the tags on and takes them off. It tags the unicast
//! packets of one MAC address only. What the director's own stack says and hears stays as it is: ARP, neighbour
//! discovery, checks.
//! A frame from the director in other tags, or in one, is counted and goes no further.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::frame::Mac;
use crate::netns::Netns;
use crate::packet_socket::PacketSocket;
use crate::polling::Polling;
use crate::socket;

/// The trunk's interface to the switch.
pub(crate) const OUTSIDE: &str = "trunk0";
/// The trunk's interface to the director.
pub(crate) const INSIDE: &str = "trunk1";
/// Bytes by which a tagged frame is larger.
pub(crate) const TAGS: usize = 8;

const TURN: Duration = Duration::from_millis(50);
const ROOM: usize = 65536;
const ADDRESSES: usize = 12;
const SERVICE_TAG: [u8; 2] = [0x88, 0xa8];
const CUSTOMER_TAG: [u8; 2] = [0x81, 0x00];
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const ICMPV6: u8 = 58;

/// What stands in the two tags: priority, drop eligibility and VLAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tags {
    /// In the provider's, of type 0x88a8.
    pub outer: u16,
    /// In the customer's, of type 0x8100.
    pub inner: u16,
}

/// Frames that a trunk has carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// To the director, in tags.
    pub tagged: u64,
    /// From the director, in the same tags.
    pub untagged: u64,
    /// Either way, without tags.
    pub plain: u64,
    /// From the director, in other tags.
    pub strange: u64,
    /// That an interface did not take.
    pub lost: u64,
}

/// A running trunk; it ends when the value goes out of scope.
#[derive(Debug)]
pub struct Trunk {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
    // Dropped before the namespace with its interfaces.
    _polled: Polling,
    netns: Netns,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    tagged: AtomicU64,
    untagged: AtomicU64,
    plain: AtomicU64,
    strange: AtomicU64,
    lost: AtomicU64,
}

impl Trunk {
    /// Joins [`OUTSIDE`] and [`INSIDE`] of `netns`, with `tags` around the packets from `customer`.
    pub(crate) fn start(netns: Netns, tags: Tags, customer: Mac) -> Result<Self> {
        let polled = Polling::start(&netns, INSIDE)?;
        // Frames joined by the receiver would fit nowhere.
        netns.run("ethtool", &["-K", INSIDE, "gro", "off"])?;
        let ends = netns.enter(|| Ok([PacketSocket::receiver(OUTSIDE)?, PacketSocket::receiver(INSIDE)?]))?;
        let shared = Arc::<Shared>::default();
        let relay = Relay { tags: tags.bytes(), customer, shared: Arc::clone(&shared) };
        let thread = std::thread::spawn(move || relay.run(&ends));
        Ok(Self { shared, thread: Some(thread), _polled: polled, netns })
    }

    /// What it has carried until now.
    pub fn carried(&self) -> Carried {
        let Shared { tagged, untagged, plain, strange, lost, .. } = &*self.shared;
        let [tagged, untagged, plain, strange, lost] =
            [tagged, untagged, plain, strange, lost].map(|count| count.load(Relaxed));
        Carried { tagged, untagged, plain, strange, lost }
    }

    /// Its namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }
}

impl Drop for Trunk {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => eprintln!("trunk: {error:#}"),
            Some(Err(_)) => eprintln!("trunk: its thread panicked"),
            Some(Ok(Ok(()))) | None => {}
        }
    }
}

impl Tags {
    /// As they stand behind the MAC addresses.
    fn bytes(self) -> [u8; TAGS] {
        let mut bytes = [0; TAGS];
        let words = [SERVICE_TAG, self.outer.to_be_bytes(), CUSTOMER_TAG, self.inner.to_be_bytes()];
        bytes.copy_from_slice(words.as_flattened());
        bytes
    }
}

/// What the thread does.
struct Relay {
    tags: [u8; TAGS],
    customer: Mac,
    shared: Arc<Shared>,
}

impl Relay {
    fn run(&self, [outside, inside]: &[PacketSocket; 2]) -> Result<()> {
        let mut buffer = vec![0; ROOM];
        while !self.shared.stop.load(Relaxed) {
            socket::wait(&[outside.as_fd(), inside.as_fd()], TURN)?;
            while let Some(frame) = outside.receive(&mut buffer).context(OUTSIDE)? {
                if self.is_customers(frame.bytes) {
                    self.pass(inside, &with(self.tags, frame.bytes), &self.shared.tagged);
                } else {
                    self.pass(inside, frame.bytes, &self.shared.plain);
                }
            }
            while let Some(frame) = inside.receive(&mut buffer).context(INSIDE)? {
                if let Some(frame) = without(self.tags, frame.bytes) {
                    self.pass(outside, &frame, &self.shared.untagged);
                } else if is_tagged(frame.bytes) {
                    self.shared.strange.fetch_add(1, Relaxed);
                } else {
                    self.pass(outside, frame.bytes, &self.shared.plain);
                }
            }
            let dropped = outside.dropped()? + inside.dropped()?;
            self.shared.lost.fetch_add(dropped.into(), Relaxed);
        }
        Ok(())
    }

    fn is_customers(&self, frame: &[u8]) -> bool {
        let Some((addresses, rest)) = frame.split_at_checked(ADDRESSES) else { return false };
        let is_packet =
            rest.starts_with(&IPV4) || rest.starts_with(&IPV6) && rest.get(2 + 6) != Some(&ICMPV6);
        let is_unicast = addresses[0] & 1 == 0;
        addresses[6..] == self.customer && is_unicast && is_packet
    }

    fn pass(&self, to: &PacketSocket, frame: &[u8], count: &AtomicU64) {
        let count = if to.send(frame).is_ok() { count } else { &self.shared.lost };
        count.fetch_add(1, Relaxed);
    }
}

fn with(tags: [u8; TAGS], frame: &[u8]) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(ADDRESSES);
    [addresses, &tags, rest].concat()
}

fn without(tags: [u8; TAGS], frame: &[u8]) -> Option<Vec<u8>> {
    let (addresses, rest) = frame.split_at_checked(ADDRESSES)?;
    Some([addresses, rest.strip_prefix(&tags)?].concat())
}

fn is_tagged(frame: &[u8]) -> bool {
    frame.get(ADDRESSES..ADDRESSES + 2).is_some_and(|kind| kind == SERVICE_TAG || kind == CUSTOMER_TAG)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAGS: Tags = Tags { outer: 0x6064, inner: 0x00c8 };

    #[test]
    fn tags_stand_behind_the_addresses_and_come_off_again() {
        let frame: Vec<u8> = (0..40).collect();
        let tagged = with(TAGS.bytes(), &frame);
        assert_eq!(tagged[10..22], [10, 11, 0x88, 0xa8, 0x60, 0x64, 0x81, 0, 0, 0xc8, 12, 13]);
        assert_eq!(without(TAGS.bytes(), &tagged), Some(frame.clone()));
        let others = Tags { inner: 0x00c9, ..TAGS };
        assert_eq!(without(others.bytes(), &tagged), None);
        assert!(is_tagged(&tagged) && !is_tagged(&frame) && !is_tagged(&frame[..13]));
    }
}
