//! UDP datagrams put together by hand and cut into IP fragments, so that a test can send these in any order.

use std::net::SocketAddr;

use anyhow::{Result, bail, ensure};

use crate::forge::checksum;

const UDP: u8 = 17;
const FRAGMENT: u8 = 44;
const TTL: u8 = 64;
/// Offsets count in these.
const UNIT: usize = 8;

/// The fragments of a datagram as packets, the first first, each with `room` bytes of it at most.
///
/// # Errors
/// When the addresses are not of one family, or the datagram is too large.
pub fn datagram(
    source: SocketAddr,
    target: SocketAddr,
    data: &[u8],
    room: usize,
    identification: u16,
) -> Result<Vec<Vec<u8>>> {
    ensure!(room >= UNIT && room <= usize::from(u16::MAX) - 60, "{room} bytes is no size of a fragment");
    let message = message(source, target, data)?;
    let room = room / UNIT * UNIT;
    let addresses = octets(source, target);
    let last = (message.len() - 1) / room;
    let pieces = message.chunks(room).enumerate();
    let piece = |(number, piece): (usize, &[u8])| {
        let offset = (number * room / UNIT) as u16;
        let more = number < last;
        if source.is_ipv4() {
            ipv4(&addresses, identification, offset | u16::from(more) << 13, piece)
        } else {
            ipv6(&addresses, identification, offset << 3 | u16::from(more), piece)
        }
    };
    Ok(pieces.map(piece).collect())
}

/// The datagram with its checksum over the pseudo-header, RFC 768 and RFC 8200 section 8.1.
fn message(source: SocketAddr, target: SocketAddr, data: &[u8]) -> Result<Vec<u8>> {
    if source.is_ipv4() != target.is_ipv4() {
        bail!("{source} and {target} are of different families");
    }
    let length = u16::try_from(8 + data.len())?.to_be_bytes();
    let ports = [source.port().to_be_bytes(), target.port().to_be_bytes()].concat();
    let mut message = [&ports, &length[..], &[0, 0], data].concat();
    let pseudo = [&octets(source, target), &length[..], &[0, UDP], &message].concat();
    let sum = match checksum(&pseudo) {
        0 => u16::MAX,
        sum => sum,
    };
    message[6..8].copy_from_slice(&sum.to_be_bytes());
    Ok(message)
}

fn octets(source: SocketAddr, target: SocketAddr) -> Vec<u8> {
    let octets = |address: SocketAddr| match address {
        SocketAddr::V4(address) => address.ip().octets().to_vec(),
        SocketAddr::V6(address) => address.ip().octets().to_vec(),
    };
    [octets(source), octets(target)].concat()
}

fn ipv4(addresses: &[u8], identification: u16, place: u16, piece: &[u8]) -> Vec<u8> {
    let length = 20 + piece.len() as u16;
    let words = [0x4500, length, identification, place, u16::from_be_bytes([TTL, UDP]), 0];
    let mut packet = [&bytes(&words), addresses].concat();
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(piece);
    packet
}

fn ipv6(addresses: &[u8], identification: u16, place: u16, piece: &[u8]) -> Vec<u8> {
    let length = UNIT as u16 + piece.len() as u16;
    let header = [0x6000, 0, length, u16::from_be_bytes([FRAGMENT, TTL])];
    let extension = [u16::from_be_bytes([UDP, 0]), place, 0, identification];
    [&bytes(&header), addresses, &bytes(&extension), piece].concat()
}

fn bytes(words: &[u16]) -> Vec<u8> {
    words.iter().copied().flat_map(u16::to_be_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(packet: &[u8]) -> (u16, bool) {
        let word = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        match packet[0] >> 4 {
            4 => (word(6) & 0x1fff, word(6) & 0x2000 != 0),
            _ => (word(42) >> 3, word(42) & 1 != 0),
        }
    }

    #[test]
    fn fragments_cover_the_datagram_and_only_the_last_says_so() {
        for (source, target) in [("10.77.0.9:1000", "10.77.0.100:53"), ("[fd77::9]:1000", "[fd77::100]:53")] {
            let [source, target]: [SocketAddr; 2] =
                [source, target].map(|text| text.parse().expect("address"));
            let packets = datagram(source, target, &[7; 92], 40, 1).expect("100 bytes of UDP");
            let places: Vec<_> = packets.iter().map(|packet| place(packet)).collect();
            assert_eq!(places, [(0, true), (5, true), (10, false)]);
            let header = if source.is_ipv4() { 20 } else { 48 };
            let lengths: Vec<_> = packets.iter().map(|packet| packet.len() - header).collect();
            assert_eq!(lengths, [40, 40, 20]);
        }
    }

    #[test]
    fn what_covers_itself_sums_up_to_nothing() {
        let [source, target] =
            ["[fd77::9]:1000", "[fd77::100]:53"].map(|text| text.parse().expect("address"));
        let message = message(source, target, b"odd").expect("a datagram");
        assert_eq!(checksum(&[&octets(source, target), &[0, 11, 0, UDP][..], &message].concat()), 0);
    }
}
