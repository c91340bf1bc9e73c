//! Arbitrary bytes as VRRP adverts: nothing panics, and what is accepted is written and read again as the same advert.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lb_common::checksum;
use libfuzzer_sys::fuzz_target;
use xlvs::config::model::vrrp::{Authentication, Version};
use xlvs::vrrp::wire::{
    Format, Replay, Route4, emit_v4, emit_v6, parse_v4, parse_v6, source_v4, virtual_router_v4,
    virtual_router_v6,
};

/// Those of the seeds.
const AUTHENTICATIONS: [Option<Authentication>; 4] = [
    None,
    Some(Authentication::Pass(*b"1111\0\0\0\0")),
    Some(Authentication::Ah(*b"secret12")),
    Some(Authentication::Ah(*b"secret\0\0")),
];

const SOURCE: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x11);
const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

fuzz_target!(|bytes: &[u8]| {
    over_ipv4(bytes);
    over_ipv6(bytes);
    // Chance hardly ever finds a right checksum.
    let mut repaired = bytes.to_vec();
    repair_v4(&mut repaired);
    over_ipv4(&repaired);
    let mut repaired = bytes.to_vec();
    repair_v6(&mut repaired);
    over_ipv6(&repaired);
});

fn over_ipv4(packet: &[u8]) {
    let router = virtual_router_v4(packet);
    for version in [Version::V2, Version::V3] {
        for authentication in AUTHENTICATIONS {
            let format = Format { version, vrid: router.unwrap_or(1), authentication };
            let Ok((source, advert)) = parse_v4(packet, &format, false, &mut Replay::default()) else {
                continue;
            };
            assert_eq!(router, Some(advert.vrid));
            assert_eq!(source_v4(packet).map(IpAddr::from), Some(source));
            let route = Route4 {
                source: source_v4(packet).expect("it was read"),
                destination: Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]),
                ttl: 255,
                id: 1,
            };
            let mut out = packet.to_vec();
            emit_v4(&advert, &format, &route, 1, &mut out);
            assert_eq!(parse_v4(&out, &format, true, &mut Replay::default()), Ok((source, advert)));
        }
    }
}

fn over_ipv6(message: &[u8]) {
    let router = virtual_router_v6(message);
    for version in [Version::V2, Version::V3] {
        let format = Format { version, vrid: router.unwrap_or(1), authentication: None };
        let Ok(advert) = parse_v6(message, SOURCE, GROUP, None, &format, false) else {
            continue;
        };
        assert_eq!(router, Some(advert.vrid));
        let mut out = message.to_vec();
        emit_v6(&advert, SOURCE, GROUP, &mut out);
        assert_eq!(parse_v6(&out, SOURCE, GROUP, Some(255), &format, true), Ok(advert));
    }
}

/// Puts the checksum of the message alone into a packet without an authentication header.
fn repair_v4(packet: &mut [u8]) {
    let Some(&[first, _, high, low]) = packet.first_chunk() else {
        return;
    };
    let total = usize::from(u16::from_be_bytes([high, low]));
    if let Some(message) = packet.get_mut(usize::from(first & 0x0f) * 4..total) {
        repair(message, &[]);
    }
}

fn repair_v6(message: &mut [u8]) {
    let mut pseudo = [&SOURCE.octets()[..], &GROUP.octets()[..]].concat();
    pseudo.extend((message.len() as u32).to_be_bytes());
    pseudo.extend([0, 0, 0, 112]);
    repair(message, &pseudo);
}

fn repair(message: &mut [u8], pseudo: &[u8]) {
    if message.len() < 8 {
        return;
    }
    message[6..8].fill(0);
    let sum = checksum::internet(&[pseudo, &*message].concat());
    message[6..8].copy_from_slice(&sum.to_be_bytes());
}
