//! Golden packets, answers of servers and of routers, and bytes that are neither.

use lb_common::checksum;
use proptest::prelude::*;

use super::*;

const NUMBER: u32 = 0x1234_5678;

fn addresses(is_v4: bool) -> [IpAddr; 3] {
    let all =
        if is_v4 { ["10.77.0.2", "10.77.0.100", "10.77.0.11"] } else { ["fd77::2", "fd77::100", "fd77::11"] };
    all.map(|address| address.parse().unwrap())
}

fn question(is_v4: bool, kind: Kind) -> Question {
    let [own, vip, _] = addresses(is_v4);
    Question { own, vip, kind, number: NUMBER }
}

const SYN: Kind = Kind::Syn { from: 40_000, to: 80 };

/// Every question there is.
fn questions() -> [Question; 4] {
    [question(true, SYN), question(false, SYN), question(true, Kind::Echo), question(false, Kind::Echo)]
}

/// Whether the checksum of the transport layer is right.
#[track_caller]
fn assert_sums(packet: &[u8]) {
    let (covered, protocol, payload) = match packet[0] >> 4 {
        4 => {
            assert_eq!(checksum::internet(&packet[..20]), 0, "of the network header");
            (&packet[12..20], packet[9], &packet[20..])
        }
        _ => (&packet[8..40], packet[6], &packet[40..]),
    };
    let mut all = Vec::new();
    if protocol != 1 {
        all.extend(covered);
        all.extend([0, protocol]);
        all.extend((payload.len() as u16).to_be_bytes());
    }
    all.extend(payload);
    assert_eq!(checksum::internet(&all), 0, "{packet:x?}");
}

#[test]
fn a_syn_is_one_byte_for_byte() {
    let expected = [
        0x45, 0, 0, 44, 0, 0, 0x40, 0, 1, 6, 0x65, 0x28, 10, 77, 0, 2, 10, 77, 0, 100, //
        0x9c, 0x40, 0, 80, 0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0, 0x60, 0x02, 0xfa, 0xf0, 0, 0, 0, 0, //
        2, 4, 4, 0xc4,
    ];
    let packet = question(true, SYN).packet().unwrap();
    let mut without_sums = packet.clone();
    without_sums[10..12].copy_from_slice(&expected[10..12]);
    without_sums[36..38].fill(0);
    assert_eq!(without_sums, expected);
    assert_sums(&packet);
}

#[test]
fn an_echo_request_is_one_byte_for_byte() {
    let packet = question(false, Kind::Echo).packet().unwrap();
    let mut expected = vec![0x60, 0, 0, 0, 0, 22, 58, 1];
    for address in &addresses(false)[..2] {
        let IpAddr::V6(address) = address else { panic!("{address}") };
        expected.extend(address.octets());
    }
    expected.extend([128, 0, packet[42], packet[43], 0x12, 0x34, 0x56, 0x78]);
    expected.extend(b"xlvs vip_check");
    assert_eq!(packet, expected);
}

#[test]
fn every_packet_ends_at_the_next_hop_and_has_right_sums() {
    for question in questions() {
        let all = [Some(question.packet().unwrap()), question.farewell().unwrap()];
        assert_eq!(all[1].is_some(), question.kind == SYN);
        for packet in all.into_iter().flatten() {
            assert_eq!(packet[if question.vip.is_ipv4() { 8 } else { 7 }], 1, "{question:?}");
            assert_sums(&packet);
        }
    }
    let mixed = Question { own: addresses(false)[0], ..question(true, SYN) };
    assert!(mixed.packet().is_err() && mixed.farewell().is_err());
}

#[test]
fn a_farewell_resets_what_the_syn_began() {
    let packet = Question { number: u32::MAX, ..question(true, SYN) }.farewell().unwrap().unwrap();
    let segment = TcpSlice::from_slice(&packet[20..]).unwrap();
    assert_eq!((segment.source_port(), segment.destination_port()), (40_000, 80));
    assert_eq!(
        (segment.sequence_number(), segment.rst(), segment.ack(), segment.syn()),
        (0, true, false, false)
    );
}

fn network(from: IpAddr, to: IpAddr) -> PacketBuilderStep<etherparse::IpHeaders> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), 64),
        _ => panic!("{from} {to}"),
    }
}

/// What a server says to a SYN.
fn segment(is_v4: bool, flags: &str, acknowledged: u32) -> Vec<u8> {
    let [own, vip, _] = addresses(is_v4);
    let mut segment = network(vip, own).tcp(80, 40_000, 99, 1000);
    for flag in flags.chars() {
        segment = match flag {
            's' => segment.syn(),
            'a' => segment.ack(acknowledged),
            'r' => segment.rst(),
            other => panic!("{other}"),
        };
    }
    let mut packet = Vec::new();
    segment.write(&mut packet, &[]).unwrap();
    packet
}

#[test]
fn segments_that_acknowledge_the_syn_are_answers() {
    for is_v4 in [true, false] {
        let asked = question(is_v4, SYN);
        let answer = |flags| parse(&segment(is_v4, flags, NUMBER.wrapping_add(1)));
        assert_eq!(answer("sa"), Some((asked, Answer::Serves)));
        assert_eq!(answer("ra"), Some((asked, Answer::Refused)));
        for flags in ["", "s", "a", "r", "sr"] {
            assert_eq!(answer(flags), None, "{flags}");
        }
        let other = parse(&segment(is_v4, "sa", NUMBER)).map(|(question, _)| question);
        assert!(other.is_some_and(|other| other != asked), "of another SYN");
    }
    let wrapped = parse(&segment(true, "sa", 0)).map(|(question, _)| question.number);
    assert_eq!(wrapped, Some(u32::MAX));
}

#[test]
fn echo_replies_are_answers_and_requests_are_none() {
    for is_v4 in [true, false] {
        let [own, vip, _] = addresses(is_v4);
        let (high, low) = ((NUMBER >> 16) as u16, NUMBER as u16);
        let mut packet = Vec::new();
        if is_v4 {
            network(vip, own).icmpv4_echo_reply(high, low).write(&mut packet, ECHO_TEXT).unwrap();
        } else {
            network(vip, own).icmpv6_echo_reply(high, low).write(&mut packet, ECHO_TEXT).unwrap();
        }
        assert_eq!(parse(&packet), Some((question(is_v4, Kind::Echo), Answer::Serves)));
        assert_eq!(parse(&question(is_v4, Kind::Echo).packet().unwrap()), None);
        assert_eq!(parse(&question(is_v4, SYN).packet().unwrap()), None);
    }
}

/// An ICMP error of the real server itself about these bytes.
fn error(is_v4: bool, is_unreachable: bool, about: &[u8]) -> Vec<u8> {
    let [own, _, rip] = addresses(is_v4);
    let mut packet = Vec::new();
    let network = network(rip, own);
    match (is_v4, is_unreachable) {
        (true, true) => network.icmpv4_raw(3, 13, [0; 4]).write(&mut packet, about).unwrap(),
        (true, false) => network.icmpv4_raw(11, 0, [0; 4]).write(&mut packet, about).unwrap(),
        (false, true) => network.icmpv6_raw(1, 1, [0; 4]).write(&mut packet, about).unwrap(),
        (false, false) => network.icmpv6_raw(3, 0, [0; 4]).write(&mut packet, about).unwrap(),
    }
    packet
}

#[test]
fn icmp_errors_are_answers_to_what_they_quote() {
    for asked in questions() {
        let is_v4 = asked.vip.is_ipv4();
        let by = addresses(is_v4)[2];
        let sent = asked.packet().unwrap();
        // As little of it as routers must quote.
        let least = if is_v4 { 28 } else { 48 };
        for about in [&sent[..], &sent[..least]] {
            assert_eq!(parse(&error(is_v4, true, about)), Some((asked, Answer::Unreachable { by })));
            assert_eq!(parse(&error(is_v4, false, about)), Some((asked, Answer::PassedOn { by })));
        }
        assert_eq!(parse(&error(is_v4, true, &sent[..least - 1])), None, "too little of it");
    }
    let reply = segment(true, "sa", 1);
    let quoted = parse(&error(true, true, &reply)).map(|(question, _)| question.vip);
    assert_eq!(quoted, Some(addresses(true)[0]), "the other direction is no question of ours");
}

#[test]
fn fragments_are_no_answers() {
    let mut packet = segment(true, "sa", NUMBER + 1);
    packet[6] = 0x20;
    assert_eq!(parse(&packet), None);
}

#[test]
fn what_is_cut_off_is_an_answer_as_long_as_it_has_its_header() {
    let whole = segment(true, "sa", NUMBER + 1);
    assert!(parse(&whole[..40]).is_some());
    for length in 0..40 {
        assert_eq!(parse(&whole[..length]), None, "{length}");
    }
}

/// An answer, of which some bytes are others.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let sound = prop::sample::select(
        [true, false]
            .into_iter()
            .flat_map(|is_v4| {
                let sent = question(is_v4, SYN).packet().unwrap();
                [segment(is_v4, "sa", 1), error(is_v4, true, &sent), error(is_v4, false, &sent)]
            })
            .collect::<Vec<_>>(),
    );
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (sound, damage, any::<prop::sample::Index>()).prop_map(|(mut packet, damage, end)| {
        for (place, byte) in damage {
            let place = place.index(packet.len());
            packet[place] = byte;
        }
        packet.truncate(end.index(packet.len()) + 1);
        packet
    })
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(packet in prop::collection::vec(any::<u8>(), 0..300)) {
        let _any = parse(&packet);
    }

    #[test]
    fn damaged_answers_are_of_one_family(packet in damaged()) {
        if let Some((question, _)) = parse(&packet) {
            prop_assert_eq!(question.own.is_ipv4(), question.vip.is_ipv4());
            let asked = question.packet();
            prop_assert!(asked.is_ok());
            prop_assert_eq!(asked.ok().as_deref().and_then(parse), None, "a question is no answer");
            let farewell = question.farewell();
            prop_assert!(farewell.is_ok());
            prop_assert_eq!(farewell.ok().flatten().as_deref().and_then(parse), None, "nor is a farewell");
        }
    }
}
