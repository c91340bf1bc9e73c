//! The message itself, of either version.
//!
//! Version 2, RFC 3768 section 5.1; the interval is in seconds. The data of the authentication is always there, but not
//! over IPv6, of which only keepalived knows in this version:
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------+-------+---------------+---------------+---------------+
//! |   2   |type, 1|virtual router |   priority    |     count     |
//! +-------+-------+---------------+---------------+---------------+
//! |authentication |   interval    |           checksum            |
//! +---------------+---------------+-------------------------------+
//! |                 count IPv4 or IPv6 addresses                  |
//! +---------------------------------------------------------------+
//! |                 8 bytes of authentication data                |
//! |                                                               |
//! +---------------------------------------------------------------+
//! ```
//!
//! Version 3, RFC 5798 section 5.1; the interval is in hundredths of a second:
//!
//! ```text
//! +-------+-------+---------------+---------------+---------------+
//! |   3   |type, 1|virtual router |   priority    |     count     |
//! +-------+-------+---------------+---------------+---------------+
//! |   0   |       interval        |           checksum            |
//! +-------+-----------------------+-------------------------------+
//! |                 count IPv4 or IPv6 addresses                  |
//! +---------------------------------------------------------------+
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use lb_common::checksum;

use super::{Advert, Format, PROTOCOL, Refusal, authentication};
use crate::config::model::vrrp::{Authentication, Checksum, MULTICAST_V4, Version};

/// The only type of message there is, RFC 5798 section 5.2.2.
const ADVERTISEMENT: u8 = 1;

/// Bytes before the addresses.
const FIXED: usize = 8;

/// Bytes behind the addresses in version 2.
const AUTHENTICATION_DATA: usize = 8;

/// The longest interval that version 3 can write: twelve bits.
const LONGEST: u16 = 0x0fff;

/// Source and destination of the packet that a message is in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Addressed {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

/// A message of the version and the virtual router it should be of, whole and with a right checksum.
pub(super) struct Message<'a> {
    version: Version,
    fixed: [u8; FIXED],
    addresses: Vec<IpAddr>,
    authentication_data: Option<&'a [u8; AUTHENTICATION_DATA]>,
    checksum: Checksum,
}

impl<'a> Message<'a> {
    pub(super) fn parse(bytes: &'a [u8], format: &Format, addressed: Addressed) -> Result<Self, Refusal> {
        let (&fixed, rest) = bytes.split_first_chunk::<FIXED>().ok_or(Refusal::Truncated)?;
        let [first, vrid, _, count, ..] = fixed;
        if first >> 4 != format.version as u8 {
            return Err(Refusal::Version);
        }
        if first & 0x0f != ADVERTISEMENT {
            return Err(Refusal::Type);
        }
        if vrid != format.vrid {
            return Err(Refusal::VirtualRouter);
        }
        let (addresses, authentication_data) = match (format.version, addressed) {
            (Version::V2, Addressed::V4(..)) => {
                let (addresses, data) = rest.split_last_chunk().ok_or(Refusal::Truncated)?;
                (addresses, Some(data))
            }
            (Version::V2, Addressed::V6(..)) | (Version::V3, _) => (rest, None),
        };
        if addresses.len() != usize::from(count) * addressed.size() {
            return Err(Refusal::Truncated);
        }
        Ok(Self {
            version: format.version,
            fixed,
            addresses: addressed.read(addresses),
            authentication_data,
            checksum: covered(bytes, format.version, addressed).ok_or(Refusal::Checksum)?,
        })
    }

    /// The kind of authentication it names, with its data.
    pub(super) fn authentication(&self) -> Option<(u8, [u8; AUTHENTICATION_DATA])> {
        self.authentication_data.map(|data| (self.fixed[4], *data))
    }

    /// What it says, unless that cannot be meant.
    pub(super) fn advert(self) -> Result<Advert, Refusal> {
        let [_, vrid, priority, _, high, low, ..] = self.fixed;
        let interval = match self.version {
            Version::V2 => Duration::from_secs(low.into()),
            // The four bits before it are ignored, RFC 5798 section 5.2.6.
            Version::V3 => hundredths(u16::from_be_bytes([high, low]) & LONGEST),
        };
        if interval.is_zero() {
            return Err(Refusal::Interval);
        }
        Ok(Advert {
            version: self.version,
            vrid,
            priority,
            interval,
            addresses: self.addresses,
            checksum: self.checksum,
        })
    }
}

/// Writes a message behind what is in `out`.
pub(super) fn emit(
    advert: &Advert,
    authentication: Option<Authentication>,
    addressed: Addressed,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.extend([(advert.version as u8) << 4 | ADVERTISEMENT, advert.vrid, advert.priority, 0]);
    match advert.version {
        Version::V2 => out.extend([kind(authentication), seconds(advert.interval)]),
        Version::V3 => out.extend(in_hundredths(advert.interval).to_be_bytes()),
    }
    out.extend([0; 2]);
    out[start + 3] = addressed.write(&advert.addresses, out);
    match (advert.version, addressed, authentication) {
        (Version::V2, Addressed::V4(..), Some(Authentication::Pass(password))) => out.extend(password),
        (Version::V2, Addressed::V4(..), _) => out.extend([0; AUTHENTICATION_DATA]),
        (Version::V2, Addressed::V6(..), _) | (Version::V3, ..) => {}
    }
    let message = &mut out[start..];
    let checksum = match (advert.version, addressed, advert.checksum) {
        (Version::V2, Addressed::V4(..), _) | (_, Addressed::V4(..), Checksum::MessageOnly) => {
            checksum::internet(message)
        }
        (_, Addressed::V4(source, _), Checksum::OldUnicast) => {
            Addressed::V4(source, MULTICAST_V4).checksum(message)
        }
        (_, Addressed::V6(..), _) | (_, _, Checksum::WithPseudoHeader) => addressed.checksum(message),
    };
    message[6..8].copy_from_slice(&checksum.to_be_bytes());
}

impl Addressed {
    /// Bytes of one address.
    const fn size(self) -> usize {
        match self {
            Self::V4(..) => 4,
            Self::V6(..) => 16,
        }
    }

    fn read(self, bytes: &[u8]) -> Vec<IpAddr> {
        match self {
            Self::V4(..) => bytes.as_chunks::<4>().0.iter().map(|bytes| IpAddr::from(*bytes)).collect(),
            Self::V6(..) => bytes.as_chunks::<16>().0.iter().map(|bytes| IpAddr::from(*bytes)).collect(),
        }
    }

    /// Writes the addresses of this family, as many as can be counted, and returns how many those are.
    fn write(self, addresses: &[IpAddr], out: &mut Vec<u8>) -> u8 {
        let mut count = 0;
        for address in addresses {
            match (self, address) {
                (Self::V4(..), IpAddr::V4(address)) if count < u8::MAX => out.extend(address.octets()),
                (Self::V6(..), IpAddr::V6(address)) if count < u8::MAX => out.extend(address.octets()),
                _ => continue,
            }
            count += 1;
        }
        count
    }

    /// The checksum of a message with its pseudo-header (RFC 5798 section 5.2.8): 0 if it carries the right one.
    fn checksum(self, message: &[u8]) -> u16 {
        let mut pseudo = [0; 40];
        let length = message.len() as u16;
        match self {
            Self::V4(source, destination) => {
                pseudo[..4].copy_from_slice(&source.octets());
                pseudo[4..8].copy_from_slice(&destination.octets());
                pseudo[9] = PROTOCOL;
                pseudo[10..12].copy_from_slice(&length.to_be_bytes());
            }
            Self::V6(source, destination) => {
                pseudo[..16].copy_from_slice(&source.octets());
                pseudo[16..32].copy_from_slice(&destination.octets());
                pseudo[34..36].copy_from_slice(&length.to_be_bytes());
                pseudo[39] = PROTOCOL;
            }
        }
        let (sum, carry) = (!checksum::internet(&pseudo)).overflowing_add(!checksum::internet(message));
        !(sum + u16::from(carry))
    }
}

/// What the checksum covers, if it is right in any way.
fn covered(message: &[u8], version: Version, addressed: Addressed) -> Option<Checksum> {
    let with = |addressed: Addressed| addressed.checksum(message) == 0;
    let alone = || checksum::internet(message) == 0;
    match (version, addressed) {
        (Version::V2, Addressed::V4(..)) => alone().then_some(Checksum::MessageOnly),
        _ if with(addressed) => Some(Checksum::WithPseudoHeader),
        (_, Addressed::V6(..)) => None,
        (Version::V3, Addressed::V4(..)) if alone() => Some(Checksum::MessageOnly),
        (Version::V3, Addressed::V4(source, _)) => {
            with(Addressed::V4(source, MULTICAST_V4)).then_some(Checksum::OldUnicast)
        }
    }
}

/// The number of a kind of authentication, RFC 2338 section 5.3.6.
fn kind(authentication: Option<Authentication>) -> u8 {
    match authentication {
        None => authentication::NONE,
        Some(Authentication::Pass(_)) => authentication::PASS,
        Some(Authentication::Ah(_)) => authentication::AH,
    }
}

/// As version 2 writes an interval: in its range, whatever it is.
fn seconds(interval: Duration) -> u8 {
    u8::try_from(interval.as_secs()).unwrap_or(u8::MAX).max(1)
}

/// As version 3 writes an interval: in its range, whatever it is.
fn in_hundredths(interval: Duration) -> u16 {
    u16::try_from(interval.as_millis() / 10).unwrap_or(LONGEST).clamp(1, LONGEST)
}

fn hundredths(count: u16) -> Duration {
    Duration::from_millis(u64::from(count) * 10)
}
