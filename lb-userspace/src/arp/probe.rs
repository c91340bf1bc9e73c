//! Frames that ask the neighbours who has an address, and how an answer is known: bytes in and out.
//! Refuses to know sockets and time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{ARP, BROADCAST, ETHERNET, Ends, ICMPV6, IPV6, ethernet, neighbour_message};

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// An ARP probe (RFC 5227 section 2.1.1): it names no sender, so that nobody learns anything from it.
///
/// ```text
/// +--------------------+--------------------+----------+
/// | ff:ff:ff:ff:ff:ff  |        mac         |  0x0806  |
/// +----------+---------+----+-----+-----+---+----------+
/// | Ethernet | IPv4 0x0800  |  6  |  4  |  request, 1  |
/// +----------+---------+----+-----+-----+--------------+
/// |        mac         |    0.0.0.0     |
/// +--------------------+----------------+
/// | 00:00:00:00:00:00  |    address     |
/// +--------------------+----------------+
/// ```
pub fn arp(address: Ipv4Addr, mac: [u8; 6]) -> [u8; 42] {
    let mut frame = [0; 42];
    ethernet(&mut frame, BROADCAST, mac, ARP);
    frame[14..22].copy_from_slice(&[0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame[22..28].copy_from_slice(&mac);
    frame[38..42].copy_from_slice(&address.octets());
    frame
}

/// A neighbour solicitation (RFC 4861 section 4.3) from `own`, an address of the link, to the group of those who may have it.
///
/// ```text
/// +-------------------+---------+---------+
/// | 33:33:ff:xx:xx:xx |   mac   | 0x86dd  |
/// +-------------------+---------+---------+
/// | 6 | payload length 32 | ICMPv6, 58 | hop limit 255 | own | ff02::1:ffxx:xxxx |
/// +-----------+------+----------+---------+-----------------+
/// | type, 135 |  0   | checksum |    0    | target: address |
/// +-----------+------+----------+---------+-----------------+
/// | option 1: source link-layer address | 1: eight bytes | mac |
/// +-------------------------------------+----------------+-----+
/// ```
pub fn solicitation(address: Ipv6Addr, own: Ipv6Addr, mac: [u8; 6]) -> [u8; 86] {
    let [.., a, b, c] = address.octets();
    // RFC 4291 section 2.7.1, and RFC 2464 section 7.
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    let mut message = [0; 32];
    message[0] = SOLICITATION;
    message[8..24].copy_from_slice(&address.octets());
    message[24..26].copy_from_slice(&[1, 1]);
    message[26..32].copy_from_slice(&mac);
    neighbour_message(&Ends { macs: [mac, [0x33, 0x33, 0xff, a, b, c]], addresses: [own, group] }, message)
}

/// Who says in `frame` that he has an address: the sender of an ARP reply, or of a neighbour advertisement.
///
/// The MAC address is that in the message, or that of the frame where an advertisement has none.
pub fn answer(frame: &[u8]) -> Option<(IpAddr, [u8; 6])> {
    let kind = frame.get(12..ETHERNET)?;
    let rest = &frame[ETHERNET..];
    if kind == ARP {
        // Ethernet, IPv4, a reply.
        let is_reply = rest.get(..8)? == [0, 1, 0x08, 0, 6, 4, 0, 2];
        let (mac, address) = (rest.get(8..14)?.first_chunk()?, rest.get(14..18)?.first_chunk::<4>()?);
        return is_reply.then(|| (Ipv4Addr::from(*address).into(), *mac));
    }
    // RFC 4861 section 7.1.2: no extension header, a hop limit that no router lessened.
    let is_icmp = kind == IPV6 && rest.first()? >> 4 == 6 && rest.get(6..8)? == [ICMPV6, 255];
    let message = is_icmp.then(|| rest.get(40..)).flatten()?;
    if message.get(..2)? != [ADVERTISEMENT, 0] {
        return None;
    }
    let address = message.get(8..24)?.first_chunk::<16>()?;
    let told = message
        .get(24..32)
        .filter(|option| option[..2] == [2, 1])
        .and_then(|option| option[2..].first_chunk());
    let mac = told.or_else(|| frame[6..12].first_chunk())?;
    Some((Ipv6Addr::from(*address).into(), *mac))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arp::{self, icmp_checksum};

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

    #[test]
    fn a_probe_names_no_sender() {
        let frame = super::arp(Ipv4Addr::new(192, 0, 2, 100), MAC);
        let expected = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 0x08, 0x06, //
            0, 1, 0x08, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 0, 0, 0, 0, //
            0, 0, 0, 0, 0, 0, 192, 0, 2, 100,
        ];
        assert_eq!(frame, expected);
        assert_eq!(answer(&frame), None, "a question is no answer");
        let mut reply = frame;
        reply[21] = 2;
        reply[28..32].copy_from_slice(&[192, 0, 2, 100]);
        assert_eq!(answer(&reply), Some((IpAddr::from([192, 0, 2, 100]), MAC)));
        for length in 0..32 {
            assert_eq!(answer(&reply[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn a_solicitation_goes_to_the_group_of_the_address() {
        let address: Ipv6Addr = "fd77::1:2:100".parse().expect("an address");
        let own: Ipv6Addr = "fe80::9".parse().expect("an address");
        let frame = solicitation(address, own, MAC);
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 2, 1, 0]);
        assert_eq!(frame[38..54], "ff02::1:ff02:100".parse::<Ipv6Addr>().expect("a group").octets());
        let message = frame[54..].try_into().expect("32 bytes");
        let group = Ipv6Addr::from(<[u8; 16]>::try_from(&frame[38..54]).expect("16 bytes"));
        assert_eq!(icmp_checksum(own, group, message), 0, "it carries a right checksum");
        assert_eq!(answer(&frame), None);
    }

    #[test]
    fn an_advertisement_is_an_answer() {
        let address: Ipv6Addr = "fd77::100".parse().expect("an address");
        let frame = arp::unsolicited(address, MAC, false);
        assert_eq!(answer(&frame), Some((address.into(), MAC)));
        assert_eq!(
            answer(&frame[..78]),
            Some((address.into(), MAC)),
            "without the option, that of the frame"
        );
        let mut forwarded = frame;
        forwarded[21] = 254;
        assert_eq!(answer(&forwarded), None);
    }
}
