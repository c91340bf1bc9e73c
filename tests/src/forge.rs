//! Frames put together by hand, right or wrong on purpose: adverts, datagrams and the first segments of connections.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::frame::{Mac, VRRP};

/// The group all VRRP routers listen to.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

const TCP: u8 = 6;
const UDP: u8 = 17;

/// An IPv4 advert; every field may lie.
#[derive(Debug, Clone)]
pub struct Forged {
    /// The MAC address it comes from.
    pub mac: Mac,
    /// The address it comes from.
    pub source: Ipv4Addr,
    /// The group it goes to.
    pub group: Ipv4Addr,
    /// Its time to live.
    pub ttl: u8,
    /// 2 or 3.
    pub version: u8,
    /// The virtual router.
    pub vrid: u8,
    /// The priority.
    pub priority: u8,
    /// Seconds in version 2, hundredths in version 3.
    pub interval: u16,
    /// The authentication data of type PASS, in version 2.
    pub password: Option<[u8; 8]>,
    /// The virtual addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// What the checksum is off by.
    pub checksum_error: u16,
}

impl Forged {
    /// The whole frame.
    pub fn frame(&self) -> Vec<u8> {
        let mut message = vec![self.version << 4 | 1, self.vrid, self.priority, self.addresses.len() as u8];
        let [high, low] = self.interval.to_be_bytes();
        message.extend(match self.version {
            2 => [u8::from(self.password.is_some()), low],
            _ => [high, low],
        });
        message.extend([0, 0]);
        message.extend(self.addresses.iter().flat_map(Ipv4Addr::octets));
        if self.version == 2 {
            message.extend(self.password.unwrap_or_default());
        }
        let mut covered = message.clone();
        if self.version != 2 {
            covered.extend(self.source.octets().into_iter().chain(self.group.octets()));
            covered.extend((u16::from(VRRP)).to_be_bytes());
            covered.extend((message.len() as u16).to_be_bytes());
        }
        let checksum = checksum(&covered).wrapping_add(self.checksum_error);
        message[6..8].copy_from_slice(&checksum.to_be_bytes());
        let [_, b, c, d] = self.group.octets();
        let group = [1, 0, 0x5e, b & 0x7f, c, d];
        ethernet(group, self.mac, &ipv4(self.source, self.group, VRRP, self.ttl, &message))
    }
}

/// A frame with a UDP datagram.
pub fn datagram(to: Mac, from: Mac, source: SocketAddrV4, target: SocketAddrV4, data: &[u8]) -> Vec<u8> {
    let mut message = [source.port().to_be_bytes(), target.port().to_be_bytes()].concat();
    message.extend((8 + data.len() as u16).to_be_bytes());
    // Without a checksum, RFC 768.
    message.extend([0, 0]);
    message.extend(data);
    ethernet(to, from, &ipv4(*source.ip(), *target.ip(), UDP, 64, &message))
}

/// A frame with a SYN.
pub fn syn(to: Mac, from: Mac, source: SocketAddrV4, target: SocketAddrV4) -> Vec<u8> {
    let mut segment = [source.port().to_be_bytes(), target.port().to_be_bytes()].concat();
    // Sequence 0, no acknowledgement, 5 words, SYN, a window of 64 KiB.
    segment.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    let mut covered = segment.clone();
    covered.extend(source.ip().octets().into_iter().chain(target.ip().octets()));
    covered.extend([0, TCP, 0, segment.len() as u8]);
    segment[16..18].copy_from_slice(&checksum(&covered).to_be_bytes());
    ethernet(to, from, &ipv4(*source.ip(), *target.ip(), TCP, 64, &segment))
}

/// A frame with an IPv4 or IPv6 packet.
pub fn ethernet(to: Mac, from: Mac, packet: &[u8]) -> Vec<u8> {
    let kind = if packet.first().is_some_and(|head| head >> 4 == 6) { [0x86, 0xdd] } else { [8, 0] };
    [&to[..], &from, &kind, packet].concat()
}

/// An IPv4 packet.
pub fn ipv4(source: Ipv4Addr, target: Ipv4Addr, protocol: u8, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = (20 + payload.len() as u16).to_be_bytes();
    let mut packet = vec![0x45, 0xc0, high, low, 0, 0, 0, 0, ttl, protocol, 0, 0];
    packet.extend(source.octets().into_iter().chain(target.octets()));
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(payload);
    packet
}

/// The Internet checksum, RFC 1071.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |&low| low.into()));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hexadecimal(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
    }

    #[test]
    fn adverts_are_what_keepalived_sends() {
        let two = Forged {
            mac: [2, 0, 0, 0, 0, 1],
            source: Ipv4Addr::new(192, 168, 56, 11),
            group: GROUP,
            ttl: 255,
            version: 2,
            vrid: 0x33,
            priority: 100,
            interval: 1,
            password: Some(*b"1111\0\0\0\0"),
            addresses: vec![Ipv4Addr::new(192, 168, 56, 200)],
            checksum_error: 0,
        };
        let message = hexadecimal(&two.frame()[34..]);
        assert_eq!(message, "2133640101011df7c0a838c83131313100000000");
        let three = Forged {
            version: 3,
            vrid: 0x34,
            priority: 255,
            interval: 50,
            password: None,
            addresses: vec![Ipv4Addr::new(192, 168, 56, 201)],
            ..two
        };
        assert_eq!(hexadecimal(&three.frame()[34..]), "3134ff010032fce2c0a838c9");
        assert_eq!(hexadecimal(&three.frame()[..14]), "01005e0000120200000000010800");
    }
}
