//! Frames that tell the neighbours where an address is now: gratuitous ARP and unsolicited neighbour advertisements.
//! Refuses to know when they are sent, and by which interface.

pub mod probe;

use std::net::{Ipv4Addr, Ipv6Addr};

use lb_common::checksum;

const BROADCAST: [u8; 6] = [0xff; 6];

/// All nodes on the link, RFC 4291 section 2.7.1, and their MAC address (RFC 2464 section 7).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// Bytes of an Ethernet header, and what may follow one.
const ETHERNET: usize = 14;
const ARP: [u8; 2] = [0x08, 0x06];
const IPV6: [u8; 2] = [0x86, 0xdd];
const ICMPV6: u8 = 58;

/// A broadcast ARP request from an address for itself (RFC 5227 section 3), as keepalived sends it.
///
/// ```text
/// +--------------------+--------------------+----------+
/// | ff:ff:ff:ff:ff:ff  |        mac         |  0x0806  |
/// +----------+---------+----+-----+-----+---+----------+
/// | Ethernet | IPv4 0x0800  |  6  |  4  |  request, 1  |
/// +----------+---------+----+-----+-----+--------------+
/// |        mac         |    address     |
/// +--------------------+----------------+
/// | ff:ff:ff:ff:ff:ff  |    address     |
/// +--------------------+----------------+
/// ```
pub fn gratuitous(address: Ipv4Addr, mac: [u8; 6]) -> [u8; 42] {
    let mut frame = [0; 42];
    ethernet(&mut frame, BROADCAST, mac, ARP);
    frame[14..22].copy_from_slice(&[0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame[22..28].copy_from_slice(&mac);
    frame[28..32].copy_from_slice(&address.octets());
    frame[32..38].copy_from_slice(&BROADCAST);
    frame[38..42].copy_from_slice(&address.octets());
    frame
}

/// A neighbour advertisement (RFC 4861 section 4.4) that nobody asked for, to all nodes: override, not solicited.
///
/// ```text
/// +-------------------+---------+---------+
/// | 33:33:00:00:00:01 |   mac   | 0x86dd  |
/// +-------------------+---------+---------+
/// | 6 | payload length 32 | ICMPv6, 58 | hop limit 255 | address | ff02::1 |
/// +-----------+------+----------+-+-+-+---+-----------+-+-------+-+-------+-+
/// | type, 136 |  0   | checksum |R|0|1|   0   | target: address |
/// +-----------+------+----------+-+-+-+-------+-----------------+
/// | option 2: target link-layer address | 1: eight bytes | mac  |
/// +-------------------------------------+----------------+------+
/// ```
///
/// With `router` the R flag is set: this host forwards IPv6 packets.
pub fn unsolicited(address: Ipv6Addr, mac: [u8; 6], router: bool) -> [u8; 86] {
    let mut message = [0; 32];
    message[0] = 136;
    message[4] = if router { 0xa0 } else { 0x20 };
    message[8..24].copy_from_slice(&address.octets());
    message[24..26].copy_from_slice(&[2, 1]);
    message[26..32].copy_from_slice(&mac);
    neighbour_message(&Ends { macs: [mac, ALL_NODES_MAC], addresses: [address, ALL_NODES] }, message)
}

/// From whom to whom.
struct Ends {
    macs: [[u8; 6]; 2],
    addresses: [Ipv6Addr; 2],
}

/// A message of neighbour discovery with one option for an Ethernet address, in its frame: hop limit 255, and the checksum with the
/// pseudo-header of RFC 8200 section 8.1.
fn neighbour_message(ends: &Ends, mut message: [u8; 32]) -> [u8; 86] {
    let Ends { macs: [source_mac, destination_mac], addresses: [source, destination] } = ends;
    let sum = icmp_checksum(*source, *destination, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());

    let mut frame = [0; 86];
    ethernet(&mut frame, *destination_mac, *source_mac, IPV6);
    frame[14] = 0x60;
    frame[18..22].copy_from_slice(&[0, 32, ICMPV6, 255]);
    frame[22..38].copy_from_slice(&source.octets());
    frame[38..54].copy_from_slice(&destination.octets());
    frame[54..86].copy_from_slice(&message);
    frame
}

fn icmp_checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8; 32]) -> u16 {
    let mut covered = [0; 72];
    covered[..16].copy_from_slice(&source.octets());
    covered[16..32].copy_from_slice(&destination.octets());
    covered[32..40].copy_from_slice(&[0, 0, 0, 32, 0, 0, 0, ICMPV6]);
    covered[40..].copy_from_slice(message);
    checksum::internet(&covered)
}

fn ethernet(frame: &mut [u8], destination: [u8; 6], source: [u8; 6], ethertype: [u8; 2]) {
    frame[..6].copy_from_slice(&destination);
    frame[6..12].copy_from_slice(&source);
    frame[12..ETHERNET].copy_from_slice(&ethertype);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0xce, 0x06, 0x30, 0x8d, 0xb3, 0x33];

    /// As keepalived 2.2.7 sent it.
    #[test]
    fn a_gratuitous_arp() {
        let expected = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xce, 0x06, 0x30, 0x8d, 0xb3, 0x33, 0x08, 0x06, //
            0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01, //
            0xce, 0x06, 0x30, 0x8d, 0xb3, 0x33, 192, 168, 56, 201, //
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 192, 168, 56, 201,
        ];
        assert_eq!(gratuitous(Ipv4Addr::new(192, 168, 56, 201), MAC), expected);
    }

    /// As keepalived 2.2.7 sent it.
    #[test]
    fn an_unsolicited_neighbour_advertisement() {
        let expected = [
            0x33, 0x33, 0, 0, 0, 1, 0xce, 0x06, 0x30, 0x8d, 0xb3, 0x33, 0x86, 0xdd, //
            0x60, 0, 0, 0, 0, 0x20, 0x3a, 0xff, //
            0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, //
            0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, //
            0x88, 0, 0xa8, 0xd6, 0x20, 0, 0, 0, //
            0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, //
            0x02, 0x01, 0xce, 0x06, 0x30, 0x8d, 0xb3, 0x33,
        ];
        let address = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100);
        assert_eq!(unsolicited(address, MAC, false), expected);

        let router = unsolicited(address, MAC, true);
        assert_eq!(router[58], 0xa0);
        let icmp = router[54..].try_into().unwrap();
        assert_eq!(icmp_checksum(address, ALL_NODES, icmp), 0, "it carries a right checksum");
    }
}
