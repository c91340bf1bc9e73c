//! Everything that is written is read again, and says the same.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

prop_compose! {
    fn adverts(version: Version, longest: u64, unit: u64)(
        (vrid, priority) in any::<(u8, u8)>(),
        interval in 1..=longest,
        addresses in vec(any::<[u8; 4]>().prop_map(IpAddr::from), 0..=255),
        checksum in prop_oneof![
            Just(Checksum::WithPseudoHeader),
            Just(Checksum::MessageOnly),
            Just(Checksum::OldUnicast),
        ],
    ) -> Advert {
        let interval = Duration::from_millis(interval * unit);
        Advert { version, vrid, priority, interval, addresses, checksum }
    }
}

fn any_advert() -> impl Strategy<Value = Advert> {
    prop_oneof![adverts(Version::V2, 255, 1000), adverts(Version::V3, 4095, 10)]
}

fn authentications() -> impl Strategy<Value = Option<Authentication>> {
    option::of(prop_oneof![
        any::<[u8; 8]>().prop_map(Authentication::Pass),
        any::<[u8; 8]>().prop_map(Authentication::Ah),
    ])
}

proptest! {
    #[test]
    fn over_ipv4(
        mut advert in any_advert(),
        authentication in authentications(),
        destination in prop_oneof![Just(GROUP), Just(PEER)],
        (ttl, id, sequence) in (any::<u8>(), any::<u16>(), 1u32..),
        mut out in vec(any::<u8>(), 0..64),
    ) {
        let format = Format { version: advert.version, vrid: advert.vrid, authentication };
        let route = Route4 { source: SOURCE, destination, ttl, id };
        emit_v4(&advert, &format, &route, sequence, &mut out);
        match (advert.version, advert.checksum) {
            (Version::V2, _) => advert.checksum = Checksum::MessageOnly,
            (_, Checksum::OldUnicast) if destination == GROUP => advert.checksum = Checksum::WithPseudoHeader,
            _ => {}
        }
        prop_assert_eq!(lb_common::checksum::internet(&out[..ipv4::LENGTH]), 0);
        prop_assert_eq!(virtual_router_v4(&out), Some(advert.vrid));
        let found = parse_v4(&out, &format, false, &mut Replay::default());
        prop_assert_eq!(found, Ok((SOURCE.into(), advert)));
    }

    #[test]
    fn over_ipv6(
        mut advert in any_advert(),
        addresses in vec(any::<[u8; 16]>().prop_map(IpAddr::from), 0..=255),
        mut out in vec(any::<u8>(), 0..64),
    ) {
        advert.addresses = addresses;
        emit_v6(&advert, SOURCE6, GROUP6, &mut out);
        advert.checksum = Checksum::WithPseudoHeader;
        let format = format(advert.version, advert.vrid, None);
        prop_assert_eq!(parse_v6(&out, SOURCE6, GROUP6, Some(255), &format, true), Ok(advert));
    }

    #[test]
    fn anything_is_read_or_refused(
        mut packet in vec(any::<u8>(), 0..120),
        format in (any::<bool>(), any::<u8>(), authentications()).prop_map(|(older, vrid, authentication)| {
            format(if older { Version::V2 } else { Version::V3 }, vrid, authentication)
        }),
    ) {
        let _ = parse_v6(&packet, SOURCE6, GROUP6, None, &format, false);
        if let Some(first) = packet.first_mut() {
            *first = 0x45;
        }
        let _ = parse_v4(&packet, &format, false, &mut Replay::default());
        let _ = (virtual_router_v4(&packet), source_v4(&packet));
    }
}

#[test]
fn what_cannot_be_counted_or_is_of_the_other_family_is_left_out() {
    let mut advert = Advert {
        version: Version::V3,
        vrid: 1,
        priority: 1,
        interval: Duration::from_secs(1),
        addresses: vec![SOURCE6.into(); 3],
        checksum: Checksum::WithPseudoHeader,
    };
    advert.addresses.extend([IpAddr::from(SOURCE); 300]);
    let format = format(Version::V3, 1, None);
    let route = Route4 { source: SOURCE, destination: GROUP, ttl: 255, id: 0 };
    let mut out = Vec::new();
    emit_v4(&advert, &format, &route, 0, &mut out);
    let (_, found) = parse_v4(&out, &format, true, &mut Replay::default()).unwrap();
    assert_eq!(found.addresses, vec![IpAddr::from(SOURCE); 255]);
}

#[test]
fn an_interval_out_of_range_is_written_as_the_nearest_one() {
    let written = |version, interval| {
        let advert = Advert {
            version,
            vrid: 1,
            priority: 1,
            interval,
            addresses: Vec::new(),
            checksum: Checksum::default(),
        };
        let mut out = Vec::new();
        emit_v6(&advert, SOURCE6, GROUP6, &mut out);
        parse_v6(&out, SOURCE6, GROUP6, Some(255), &format(version, 1, None), true).unwrap().interval
    };
    assert_eq!(written(Version::V2, Duration::from_millis(10)), Duration::from_secs(1));
    assert_eq!(written(Version::V2, Duration::from_secs(1000)), Duration::from_secs(255));
    assert_eq!(written(Version::V3, Duration::from_millis(1)), Duration::from_millis(10));
    assert_eq!(written(Version::V3, Duration::from_secs(1000)), Duration::from_millis(40_950));
}
