//! Authentication of version 2: passwords, and the authentication header with HMAC-MD5-96 (RFC 2338 section 5.3.6,
//! RFC 2403) between the IPv4 header and the message, as keepalived writes it.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+---------------+-------------------------------+
//! |next head., 112| length - 2, 4 |               0               |
//! +---------------+---------------+-------------------------------+
//! |       security parameters index: the source address           |
//! +---------------------------------------------------------------+
//! |                        sequence number                        |
//! +---------------------------------------------------------------+
//! |          integrity check value: the first 12 bytes            |
//! |          of an HMAC-MD5 over the IPv4 header, this            |
//! |          header with 0 here, and the message                  |
//! +---------------------------------------------------------------+
//! ```
//!
//! Of the IPv4 header what changes on the way counts as 0 (RFC 4302 section 3.3.3.1.1): type of service, flags and
//! offset, checksum, and the TTL; but keepalived covers the TTL of what goes to the group, where it must stay 255.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ctutils::CtEq as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;

use super::{PROTOCOL as VRRP, Refusal, ipv4};

/// IP protocol of the authentication header.
pub(super) const PROTOCOL: u8 = 51;

/// Bytes of the authentication header.
pub(super) const LENGTH: usize = BEFORE + CHECK_VALUE;

/// Its length field: 32-bit words, less two (RFC 4302 section 2.2).
const WORDS: u8 = (LENGTH / 4 - 2) as u8;

/// Bytes before the integrity check value.
const BEFORE: usize = 12;

/// Bytes of the integrity check value.
const CHECK_VALUE: usize = 12;

/// The kinds of authentication as a message names them.
pub(super) const NONE: u8 = 0;
pub(super) const PASS: u8 = 1;
pub(super) const AH: u8 = 2;

/// The sequence numbers of one virtual router's authentication headers.
///
/// A router that begins its numbers anew, as keepalived does with 0, is refused until it has heard an advert and counts on
/// from there: at the latest that of whoever takes over because it is refused.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// The last of each router. Only who knows the key can add one.
    heard: BTreeMap<Ipv4Addr, u32>,
    /// The highest that anybody used.
    highest: u32,
}

impl Replay {
    /// One that sends numbers above this. A clock's seconds are above all numbers used before a restart: version 2 sends no
    /// faster.
    pub fn starting_at(highest: u32) -> Self {
        Self { heard: BTreeMap::new(), highest }
    }

    /// A number for the next advert, the same to every peer: above all that were sent and heard, as keepalived counts all
    /// routers together.
    pub fn next_sequence(&mut self) -> u32 {
        self.highest = self.highest.saturating_add(1);
        self.highest
    }

    /// Takes a number that its sender did not use before.
    pub(super) fn accept(&mut self, source: Ipv4Addr, sequence: u32) -> Result<(), Refusal> {
        if self.heard.get(&source).is_some_and(|last| sequence <= *last) {
            return Err(Refusal::Replayed);
        }
        self.heard.insert(source, sequence);
        self.highest = self.highest.max(sequence);
        Ok(())
    }
}

/// An authentication header, whose check value is not verified yet.
pub(super) struct Header<'a> {
    before: &'a [u8; BEFORE],
    check_value: &'a [u8; CHECK_VALUE],
    /// The sequence number.
    pub(super) sequence: u32,
}

impl<'a> Header<'a> {
    /// The header and the message behind it.
    pub(super) fn parse(payload: &'a [u8]) -> Result<(Self, &'a [u8]), Refusal> {
        let (before, rest) = payload.split_first_chunk::<BEFORE>().ok_or(Refusal::Truncated)?;
        let (check_value, message) = rest.split_first_chunk().ok_or(Refusal::Truncated)?;
        let &[next, words, _, _, _, _, _, _, s0, s1, s2, s3] = before;
        if words != WORDS {
            return Err(Refusal::Truncated);
        }
        if next != VRRP {
            return Err(Refusal::Type);
        }
        Ok((Self { before, check_value, sequence: u32::from_be_bytes([s0, s1, s2, s3]) }, message))
    }

    /// Refuses a check value that somebody without the key could have made; the TTL may be covered or not.
    pub(super) fn verify(
        &self,
        key: [u8; 8],
        around: &ipv4::Header<'_>,
        message: &[u8],
    ) -> Result<(), Refusal> {
        let right = |ttl: Ttl| {
            authenticate(key, around.bytes, ttl, self.before, message).verify_truncated_left(self.check_value)
        };
        right(Ttl::to(around.destination))
            .or_else(|_| right(Ttl::to(around.destination).other()))
            .map_err(|_| Refusal::Authentication)
    }
}

/// What stands behind an authentication header of any length, if that is a message of VRRP.
pub(super) fn behind(payload: &[u8]) -> Option<&[u8]> {
    let &[next, words] = payload.first_chunk()?;
    (next == VRRP).then(|| payload.get((usize::from(words) + 2) * 4..))?
}

/// Writes the authentication header into its place in a packet that is otherwise complete.
pub(super) fn seal(key: [u8; 8], sequence: u32, packet: &mut [u8]) {
    let (around, rest) = packet.split_at_mut(ipv4::LENGTH);
    let (header, message) = rest.split_at_mut(LENGTH);
    let (before, check_value) = header.split_at_mut(BEFORE);
    before[..4].copy_from_slice(&[VRRP, WORDS, 0, 0]);
    before[4..8].copy_from_slice(&around[12..16]);
    before[8..].copy_from_slice(&sequence.to_be_bytes());
    let destination = Ipv4Addr::new(around[16], around[17], around[18], around[19]);
    let code = authenticate(key, around, Ttl::to(destination), before, message).finalize().into_bytes();
    check_value.copy_from_slice(&code[..CHECK_VALUE]);
}

/// Refuses another password.
pub(super) fn check_password(wanted: [u8; 8], found: [u8; 8]) -> Result<(), Refusal> {
    if wanted.ct_eq(&found).to_bool() { Ok(()) } else { Err(Refusal::Authentication) }
}

/// Whether a check value covers the TTL.
#[derive(Clone, Copy)]
enum Ttl {
    Covered,
    Zero,
}

impl Ttl {
    /// As keepalived does it for a destination.
    const fn to(destination: Ipv4Addr) -> Self {
        if destination.is_multicast() { Self::Covered } else { Self::Zero }
    }

    const fn other(self) -> Self {
        match self {
            Self::Covered => Self::Zero,
            Self::Zero => Self::Covered,
        }
    }
}

/// Options are covered as they are: those that change on the way have no place in an advert.
fn authenticate(key: [u8; 8], around: &[u8], ttl: Ttl, before: &[u8], message: &[u8]) -> Hmac<Md5> {
    let mut copy = [0; ipv4::LONGEST];
    let covered = &mut copy[..around.len()];
    covered.copy_from_slice(around);
    covered[1] = 0;
    covered[6..8].fill(0);
    covered[10..12].fill(0);
    if let Ttl::Zero = ttl {
        covered[8] = 0;
    }
    Hmac::<Md5>::new_from_slice(&key)
        .expect("an HMAC takes a key of any length")
        .chain_update(covered)
        .chain_update(before)
        .chain_update([0; CHECK_VALUE])
        .chain_update(message)
}
