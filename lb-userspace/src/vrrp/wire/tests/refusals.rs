//! Each reason for which bytes are refused, the order of the reasons, and what is not refused.

use super::golden::{AH, AH_NEXT, AH_UNICAST, Golden, PASS, V3, V6};
use super::*;

/// Where the message begins.
const PLAIN: usize = ipv4::LENGTH;
const BEHIND_AH: usize = ipv4::LENGTH + authentication::LENGTH;

fn parse(packet: &[u8], format: &Format) -> Result<Advert, Refusal> {
    parse_v4(packet, format, true, &mut Replay::default()).map(|(_, advert)| advert)
}

/// What is made of the frame with these bytes changed, and the message's checksum right all the same.
fn changed(golden: &Golden, changes: &[(usize, u8)]) -> Result<Advert, Refusal> {
    let mut packet = golden.packet();
    for (place, byte) in changes {
        packet[*place] = *byte;
    }
    let message = &mut packet[PLAIN..];
    message[6..8].fill(0);
    let checksum = lb_common::checksum::internet(message);
    message[6..8].copy_from_slice(&checksum.to_be_bytes());
    parse(&packet, &golden.format())
}

#[test]
fn ends_too_soon() {
    for golden in super::golden::ALL {
        let packet = golden.packet();
        for length in 0..packet.len() {
            let found = parse(&packet[..length], &golden.format());
            assert_eq!(found, Err(Refusal::Truncated), "{length} of {packet:02x?}");
        }
    }
    let message = bytes(V6);
    for length in 0..message.len() {
        let format = format(Version::V3, 67, None);
        let found = parse_v6(&message[..length], SOURCE6, GROUP6, Some(255), &format, true);
        assert_eq!(found, Err(Refusal::Truncated), "{length}");
    }
}

#[test]
fn lengths_that_contradict_each_other() {
    for (what, golden, change) in [
        ("an IPv4 header of 16 bytes", PASS, (0, 0x44)),
        ("a header longer than the packet", V3, (0, 0x4f)),
        ("a total length of 19", PASS, (3, 19)),
        ("more fragments", PASS, (6, 0x20)),
        ("a later fragment", PASS, (7, 1)),
        ("an authentication header of another length", AH, (21, 5)),
        ("an address too few", PASS, (PLAIN + 3, 2)),
        ("an address too many", PASS, (PLAIN + 3, 0)),
        ("an address too few in version 3", V3, (PLAIN + 3, 2)),
    ] {
        assert_eq!(changed(&golden, &[change]), Err(Refusal::Truncated), "{what}");
    }
}

#[test]
fn another_ttl_where_that_is_checked() {
    for golden in super::golden::ALL {
        assert_eq!(changed(&golden, &[(8, 254)]), Err(Refusal::TimeToLive));
    }
    let mut packet = AH_UNICAST.packet();
    packet[8] = 254;
    assert!(parse_v4(&packet, &AH_UNICAST.format(), false, &mut Replay::default()).is_ok());

    let format = format(Version::V3, 67, None);
    let hops = |limit, check| parse_v6(&bytes(V6), SOURCE6, GROUP6, limit, &format, check);
    assert_eq!(hops(Some(254), true), Err(Refusal::TimeToLive));
    assert_eq!(hops(None, true), Err(Refusal::TimeToLive));
    assert!(hops(None, false).is_ok());
}

#[test]
fn another_version() {
    assert_eq!(changed(&PASS, &[(PLAIN, 0x31)]), Err(Refusal::Version));
    assert_eq!(changed(&V3, &[(PLAIN, 0x21)]), Err(Refusal::Version));
    assert_eq!(changed(&V3, &[(PLAIN, 0x41)]), Err(Refusal::Version));
    let found = parse_v6(&bytes(V6), SOURCE6, GROUP6, Some(255), &format(Version::V2, 67, None), true);
    assert_eq!(found, Err(Refusal::Version));
}

#[test]
fn not_an_advert() {
    assert_eq!(changed(&PASS, &[(PLAIN, 0x22)]), Err(Refusal::Type), "another type of message");
    assert_eq!(changed(&PASS, &[(9, 17)]), Err(Refusal::Type), "another protocol");
    assert_eq!(changed(&AH, &[(20, 17)]), Err(Refusal::Type), "another protocol behind the header");
    assert_eq!(changed(&PASS, &[(0, 0x65)]), Err(Refusal::Type), "IPv6");
}

#[test]
fn another_virtual_router() {
    for golden in super::golden::ALL {
        let mine = golden.format();
        let other = Format { vrid: mine.vrid + 1, ..mine };
        assert_eq!(parse(&golden.packet(), &other), Err(Refusal::VirtualRouter));
    }
}

#[test]
fn a_wrong_checksum() {
    for golden in [PASS, V3] {
        let mut packet = golden.packet();
        packet[PLAIN + 2] ^= 1;
        assert_eq!(parse(&packet, &golden.format()), Err(Refusal::Checksum));
    }
    let format = format(Version::V3, 67, None);
    let found = parse_v6(&bytes(V6), SOURCE6, SOURCE6, Some(255), &format, true);
    assert_eq!(found, Err(Refusal::Checksum), "the pseudo-header counts");
}

#[test]
fn another_kind_of_authentication() {
    let as_if = |golden: &Golden, authentication| {
        parse(&golden.packet(), &Format { authentication, ..golden.format() })
    };
    let refused = Err(Refusal::AuthenticationType);
    assert_eq!(as_if(&PASS, None), refused);
    assert_eq!(as_if(&PASS, Some(Authentication::Ah(*b"1111\0\0\0\0"))), refused);
    assert_eq!(as_if(&AH, None), refused);
    assert_eq!(as_if(&AH, Some(Authentication::Pass(*b"secret12"))), refused);
    assert_eq!(changed(&PASS, &[(PLAIN + 4, 0)]), refused, "none where one is wanted");
    assert_eq!(changed(&PASS, &[(PLAIN + 4, 2)]), refused, "an authentication header that is not there");
    assert_eq!(changed(&PASS, &[(PLAIN + 4, 3)]), refused, "an unknown kind");
}

#[test]
fn an_authentication_header_around_version_3() {
    let mut packet = AH.packet();
    packet.truncate(BEHIND_AH);
    packet.extend(&V3.packet()[PLAIN..]);
    packet[3] = packet.len() as u8;
    assert_eq!(parse(&packet, &V3.format()), Err(Refusal::AuthenticationType));
}

#[test]
fn another_password_or_key() {
    let with = |golden: &Golden, authentication| {
        parse(&golden.packet(), &Format { authentication: Some(authentication), ..golden.format() })
    };
    assert_eq!(with(&PASS, Authentication::Pass(*b"1112\0\0\0\0")), Err(Refusal::Authentication));
    assert_eq!(with(&AH, Authentication::Ah(*b"secret13")), Err(Refusal::Authentication));
}

/// Only what routers change may change, and the first two bits of the flags.
#[test]
fn any_bit_that_changed_under_an_authentication_header() {
    for golden in [AH, AH_UNICAST] {
        for bit in 0..golden.packet().len() * 8 {
            let mut packet = golden.packet();
            packet[bit / 8] ^= 0x80 >> (bit % 8);
            let mutable = matches!(bit, 8..16 | 48..50 | 80..96);
            assert_eq!(parse(&packet, &golden.format()).is_ok(), mutable, "bit {bit}");
        }
    }
}

#[test]
fn a_sequence_number_that_was_used() {
    let mut replay = Replay::default();
    let mut hear =
        |golden: &Golden| parse_v4(&golden.packet(), &golden.format(), true, &mut replay).map(drop);
    assert_eq!(hear(&AH), Ok(()));
    assert_eq!(hear(&AH), Err(Refusal::Replayed));
    assert_eq!(hear(&AH_NEXT), Ok(()));
    assert_eq!(hear(&AH), Err(Refusal::Replayed));
    assert_eq!(hear(&AH_NEXT), Err(Refusal::Replayed));
    assert_eq!(replay.next_sequence(), 3);
}

#[test]
fn a_forged_sequence_number_shuts_nobody_out() {
    let mut replay = Replay::default();
    let mut forged = AH.packet();
    forged[ipv4::LENGTH + 8] = 0xff;
    let found = parse_v4(&forged, &AH.format(), true, &mut replay);
    assert_eq!(found, Err(Refusal::Authentication));
    assert!(parse_v4(&AH.packet(), &AH.format(), true, &mut replay).is_ok());
}

#[test]
fn senders_are_counted_apart_and_own_numbers_are_above_all() {
    let mut replay = Replay::starting_at(10);
    assert_eq!(replay.next_sequence(), 11);
    assert_eq!(replay.accept(SOURCE, 90), Ok(()));
    assert_eq!(replay.accept(PEER, 5), Ok(()));
    assert_eq!(replay.accept(PEER, 5), Err(Refusal::Replayed));
    assert_eq!(replay.next_sequence(), 91);
    assert_eq!(replay.next_sequence(), 92);
    assert_eq!(replay.accept(SOURCE, u32::MAX), Ok(()));
    assert_eq!(replay.next_sequence(), u32::MAX);
}

#[test]
fn a_router_that_begins_its_numbers_anew_is_believed_when_it_has_heard_another() {
    let (mut ours, mut anew) = (Replay::starting_at(1000), Replay::default());
    assert_eq!(ours.accept(PEER, 1500), Ok(()));
    assert_eq!(ours.accept(PEER, anew.next_sequence()), Err(Refusal::Replayed));
    assert_eq!(anew.accept(SOURCE, ours.next_sequence()), Ok(()));
    assert_eq!(ours.accept(PEER, anew.next_sequence()), Ok(()));
}

#[test]
fn no_interval() {
    assert_eq!(changed(&PASS, &[(PLAIN + 5, 0)]), Err(Refusal::Interval));
    assert_eq!(changed(&V3, &[(PLAIN + 5, 0)]), Err(Refusal::Interval));
}

#[test]
fn the_first_thing_wrong_is_the_reason() {
    let everything = [(8, 1), (PLAIN + 5, 0), (PLAIN + 4, 9), (PLAIN + 1, 1), (PLAIN, 0x12), (PLAIN + 3, 9)];
    let reasons = [Refusal::TimeToLive, Refusal::Version, Refusal::VirtualRouter];
    assert_eq!(changed(&PASS, &everything), Err(reasons[0]));
    assert_eq!(changed(&PASS, &everything[1..]), Err(reasons[1]));
    assert_eq!(changed(&PASS, &everything[1..4]), Err(reasons[2]));
    assert_eq!(changed(&PASS, &everything[1..3]), Err(Refusal::AuthenticationType));
}

#[test]
fn what_does_not_matter() {
    let reserved = changed(&V3, &[(PLAIN + 4, 0xf0)]).unwrap();
    assert_eq!(reserved.interval, Duration::from_millis(500), "the four bits before the interval");

    let mut padded = PASS.packet();
    padded.extend([0xee; 6]);
    assert!(parse(&padded, &PASS.format()).is_ok(), "what fills up a short frame");

    let mut options = PASS.packet();
    options[0] = 0x46;
    options[3] += 4;
    options.splice(ipv4::LENGTH..ipv4::LENGTH, [1, 1, 1, 0]);
    assert!(parse(&options, &PASS.format()).is_ok(), "options of the IPv4 header");
    assert_eq!(virtual_router_v4(&options), Some(51));

    let mut nobody = V3.packet();
    nobody.truncate(PLAIN + 8);
    nobody[3] = 28;
    nobody[PLAIN + 3] = 0;
    nobody[PLAIN + 6..].fill(0);
    let checksum = lb_common::checksum::internet(&nobody[PLAIN..]);
    nobody[PLAIN + 6..].copy_from_slice(&checksum.to_be_bytes());
    assert!(parse(&nobody, &V3.format()).unwrap().addresses.is_empty(), "no addresses: another's to judge");
}

#[test]
fn a_virtual_router_is_named_by_the_shortest_packet_that_can() {
    let (pass, ah) = (PASS.packet(), AH.packet());
    assert_eq!(virtual_router_v4(&pass[..PLAIN + 2]), Some(51));
    assert_eq!(virtual_router_v4(&pass[..=PLAIN]), None);
    assert_eq!(virtual_router_v4(&ah[..BEHIND_AH + 2]), Some(61));
    assert_eq!(virtual_router_v4(&ah[..=BEHIND_AH]), None);
    assert_eq!(virtual_router_v4(&[]), None);
    assert_eq!(virtual_router_v6(&[0x31]), None);
    assert_eq!(source_v4(&pass[..16]), Some(SOURCE));
    assert_eq!(source_v4(&pass[..15]), None);
}

#[test]
fn another_protocol_names_no_virtual_router() {
    let mut packet = PASS.packet();
    packet[9] = 17;
    assert_eq!(virtual_router_v4(&packet), None);
    let mut packet = AH.packet();
    packet[20] = 17;
    assert_eq!(virtual_router_v4(&packet), None);
    packet[0] = 0x65;
    assert_eq!(virtual_router_v4(&packet), None);
    assert_eq!(source_v4(&packet), None);
}
