//! Golden bytes, the packets that cause no error, and the limit.

use std::vec::Vec;

use super::*;
use crate::checksum;

const VIP: [u8; 4] = [10, 0, 0, 100];
const CLIENT: [u8; 4] = [192, 0, 2, 7];

#[test]
fn ipv4_headers_are_those_of_the_rfcs() {
    let mut packet = [0; QUOTE4];
    packet[12..20].copy_from_slice(&[CLIENT, VIP].concat());
    let head = |reason| bytemuck::bytes_of(&Head4::new(reason, &packet, [0x12, 0x34], 40)).to_vec();
    let ip = [0x45, 0xc0, 0, 68, 0x12, 0x34, 0, 0, 64, 1, 0, 0, 10, 0, 0, 100, 192, 0, 2, 7];
    assert_eq!(head(Reason::NoServer), [&ip[..], &[3, 3, 0, 0, 0, 0, 0, 0]].concat());
    assert_eq!(head(Reason::Expired), [&ip[..], &[11, 0, 0, 0, 0, 0, 0, 0]].concat());
    assert_eq!(head(Reason::TooBig(1400)), [&ip[..], &[3, 4, 0, 0, 0, 0, 0x05, 0x78]].concat());
    assert_eq!(QUOTE4, 548);
}

#[test]
fn ipv6_headers_are_those_of_the_rfcs() {
    let (vip, client) = ([0x20; 16], [0x30; 16]);
    let mut packet = [0; QUOTE6];
    packet[8..24].copy_from_slice(&client);
    packet[24..40].copy_from_slice(&vip);
    let head = |reason| bytemuck::bytes_of(&Head6::new(reason, &packet, 60)).to_vec();
    let ip = [&[0x60, 0, 0, 0, 0, 68, 58, 64][..], &vip, &client].concat();
    assert_eq!(head(Reason::NoServer), [&ip[..], &[1, 4, 0, 0, 0, 0, 0, 0]].concat());
    assert_eq!(head(Reason::Expired), [&ip[..], &[3, 0, 0, 0, 0, 0, 0, 0]].concat());
    assert_eq!(head(Reason::TooBig(1280)), [&ip[..], &[2, 0, 0, 0, 0, 0, 0x05, 0]].concat());
    assert_eq!(QUOTE6, 1232);
}

#[test]
fn the_pseudo_header_is_summed_as_its_bytes_are() {
    let bytes = [&1240u32.to_be_bytes()[..], &[0, 0, 0, 58]].concat();
    let sum = Head6::pseudo_sum(1232);
    let folded = (sum & 0xffff) + (sum >> 16);
    assert_eq!(u16::from_be(!(folded as u16)), checksum::internet(&bytes));
}

fn packet4(change: impl FnOnce(&mut [u8; QUOTE4])) -> bool {
    let mut packet = [0xff; QUOTE4];
    packet[..20].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 7, 10, 0, 0, 100]);
    change(&mut packet);
    may_answer4(&packet, 40)
}

#[test]
fn an_ipv4_packet_causes_an_error_unless_it_must_not() {
    assert!(packet4(|_| {}));
    assert!(packet4(|packet| packet[6] = 0x20), "a first fragment");
    for (source, allowed) in [(0, false), (1, true), (127, false), (223, true), (224, false), (255, false)] {
        assert_eq!(packet4(|packet| packet[12] = source), allowed, "from {source}.0.2.7");
    }
    assert!(!packet4(|packet| packet[16] = 224), "to a group");
    assert!(!packet4(|packet| packet[16..20].fill(255)), "to everybody");
    assert!(!packet4(|packet| packet[7] = 1), "a later fragment");
    assert!(!packet4(|packet| packet[6] = 0x10), "a much later fragment");
}

#[test]
fn an_icmp_error_causes_none_and_other_icmp_may() {
    for kind in 0..=255 {
        let allowed = !matches!(kind, 3 | 4 | 5 | 11 | 12 | 19..);
        let with_header_of = |words: u8| {
            packet4(|packet| {
                packet[0] = 0x40 | words;
                packet[9] = 1;
                packet[usize::from(words) * 4] = kind;
            })
        };
        assert_eq!(with_header_of(5), allowed, "type {kind}");
        assert_eq!(with_header_of(9), allowed, "type {kind} behind options");
    }
    // Its type is not in the packet.
    assert!(packet4(|packet| (packet[0], packet[9]) = (0x4a, 1)));
}

fn packet6(next: u8, extensions: &[u8]) -> ([u8; QUOTE6], usize) {
    let mut packet = [0xff; QUOTE6];
    packet[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 0, next, 64]);
    packet[8..24].copy_from_slice(&[0x20; 16]);
    packet[24..40].copy_from_slice(&[0x30; 16]);
    packet[40..40 + extensions.len()].copy_from_slice(extensions);
    (packet, 40 + extensions.len())
}

fn allowed6(next: u8, extensions: &[u8]) -> bool {
    let (packet, len) = packet6(next, extensions);
    may_answer6(&packet, len)
}

#[test]
fn an_ipv6_packet_causes_an_error_unless_it_must_not() {
    assert!(allowed6(6, &[0; 20]));
    let from = |source: [u8; 16]| {
        let (mut packet, len) = packet6(6, &[0; 20]);
        packet[8..24].copy_from_slice(&source);
        may_answer6(&packet, len)
    };
    assert!(!from([0; 16]), "unspecified");
    assert!(!from(1u128.to_be_bytes()), "loopback");
    assert!(
        from(2u128.to_be_bytes()) && from((1u128 << 8).to_be_bytes()) && from((1u128 << 120).to_be_bytes())
    );
    assert!(!from([0xff; 16]), "multicast");
    let (mut packet, len) = packet6(6, &[0; 20]);
    packet[24] = 0xff;
    assert!(!may_answer6(&packet, len), "to a group");
}

#[test]
fn extension_headers_do_not_hide_an_icmpv6_error() {
    let hop_by_hop = |next: u8| [&[next, 1][..], &[0; 14]].concat();
    let authentication = |next: u8| [&[next, 4][..], &[0; 22]].concat();
    let fragment = |next: u8, offset: u16| [&[next, 0][..], &offset.to_be_bytes(), &[0; 4]].concat();
    let icmp = |kind: u8| [kind, 0, 0, 0, 0, 0, 0, 0];
    for kind in 0..=255u8 {
        let allowed = kind >= 128 && kind != 137;
        assert_eq!(allowed6(58, &icmp(kind)), allowed, "type {kind}");
        let behind = [&hop_by_hop(51)[..], &authentication(44), &fragment(58, 1), &icmp(kind)].concat();
        assert_eq!(allowed6(0, &behind), allowed, "type {kind} behind extension headers");
    }
    assert!(!allowed6(44, &fragment(17, 8)), "a later fragment");
    assert!(!allowed6(44, &fragment(17, 0xfff9)), "a later fragment");
    let many: Vec<u8> = (0..MAX_EXTENSIONS).flat_map(|_| [60, 0, 0, 0, 0, 0, 0, 0]).collect();
    assert!(!allowed6(60, &many), "nobody knows what is behind so many");
}

#[test]
fn no_ipv6_packet_is_read_beyond_its_end() {
    for next in 0..=255 {
        for fill in [0, 0xff] {
            let (mut packet, _) = packet6(next, &[]);
            packet[40..].fill(fill);
            (40..=QUOTE6).for_each(|len| {
                may_answer6(&packet, len);
            });
        }
    }
}
