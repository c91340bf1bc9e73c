//! Frames that keepalived 2.2.7 sent, from the IP header on.

use super::*;

/// A frame over IPv4 and what it says.
pub(super) struct Golden {
    name: &'static str,
    bytes: &'static str,
    authentication: Option<Authentication>,
    version: Version,
    vrid: u8,
    priority: u8,
    interval: Duration,
    checksum: Checksum,
    destination: Ipv4Addr,
    id: u16,
    sequence: u32,
    addresses: &'static [[u8; 4]],
}

impl Golden {
    pub(super) fn packet(&self) -> Vec<u8> {
        bytes(self.bytes)
    }

    pub(super) fn format(&self) -> Format {
        format(self.version, self.vrid, self.authentication)
    }

    fn advert(&self) -> Advert {
        Advert {
            version: self.version,
            vrid: self.vrid,
            priority: self.priority,
            interval: self.interval,
            addresses: self.addresses.iter().map(|address| IpAddr::from(*address)).collect(),
            checksum: self.checksum,
        }
    }
}

const V2: Golden = Golden {
    name: "version 2",
    bytes: "45c0002800010000ff70e1dec0a8380be0000012213f780100016d4ac0a838cb0000000000000000",
    authentication: None,
    version: Version::V2,
    vrid: 63,
    priority: 120,
    interval: Duration::from_secs(1),
    checksum: Checksum::MessageOnly,
    destination: GROUP,
    id: 1,
    sequence: 0,
    addresses: &[[192, 168, 56, 203]],
};

pub(super) const PASS: Golden = Golden {
    name: "version 2 with a password",
    bytes: "45c0002800010000ff70e1dec0a8380be0000012 2133640101011df7c0a838c83131313100000000",
    authentication: Some(Authentication::Pass(*b"1111\0\0\0\0")),
    vrid: 51,
    priority: 100,
    addresses: &[[192, 168, 56, 200]],
    ..V2
};

pub(super) const AH: Golden = Golden {
    name: "version 2 with an authentication header, to the group",
    bytes: "45c0004400010000ff33e1ffc0a8380be0000012 70040000c0a8380b00000001bcb46fc639237c33dc27a754 \
            213d7802020171dac0a838c9c0a838ca0000000000000000",
    authentication: Some(Authentication::Ah(*b"secret12")),
    vrid: 61,
    sequence: 1,
    addresses: &[[192, 168, 56, 201], [192, 168, 56, 202]],
    ..V2
};

/// The next of the same sender.
pub(super) const AH_NEXT: Golden = Golden {
    name: "the second one",
    bytes: "45c0004400020000ff33e1fec0a8380be0000012 70040000c0a8380b000000029622bea2b937b02dc8eefcc2 \
            213d7802020171dac0a838c9c0a838ca0000000000000000",
    id: 2,
    sequence: 2,
    ..AH
};

pub(super) const AH_UNICAST: Golden = Golden {
    name: "version 2 with an authentication header, to a peer: the TTL is not covered",
    bytes: "45c0004000010000ff33c961c0a8380bc0a8380c 70040000c0a8380b000000010bb6fa47f913951f34e36165 \
            213e780102016b4dc0a838c90000000000000000",
    authentication: Some(Authentication::Ah(*b"secret\0\0")),
    vrid: 62,
    destination: PEER,
    sequence: 1,
    addresses: &[[192, 168, 56, 201]],
    ..V2
};

pub(super) const V3: Golden = Golden {
    name: "version 3",
    bytes: "45c0002000020000ff70e1e5c0a8380be0000012 3134ff010032fce2c0a838c9",
    version: Version::V3,
    vrid: 52,
    priority: 255,
    interval: Duration::from_millis(500),
    checksum: Checksum::WithPseudoHeader,
    id: 2,
    addresses: &[[192, 168, 56, 201]],
    ..V2
};

const V3_UNICAST: Golden = Golden {
    name: "version 3 to a peer",
    bytes: "45c0002000010000ff70c944c0a8380bc0a8380c 3141780100326b30c0a838cd",
    vrid: 65,
    priority: 120,
    destination: PEER,
    id: 1,
    addresses: &[[192, 168, 56, 205]],
    ..V3
};

const V3_OLD_UNICAST: Golden = Golden {
    name: "version 3 to a peer with old_unicast_checksum",
    bytes: "45c0002000010000ff70c944c0a8380bc0a8380c 31427801003283d0c0a838ce",
    vrid: 66,
    checksum: Checksum::OldUnicast,
    addresses: &[[192, 168, 56, 206]],
    ..V3_UNICAST
};

const V3_MESSAGE_ONLY: Golden = Golden {
    name: "version 3 without a pseudo-header: the first one of version 3, summed by hand",
    bytes: "45c0002000020000ff70e1e5c0a8380be0000012 3134ff010032d625c0a838c9",
    checksum: Checksum::MessageOnly,
    ..V3
};

pub(super) const ALL: [Golden; 9] =
    [V2, PASS, AH, AH_NEXT, AH_UNICAST, V3, V3_UNICAST, V3_OLD_UNICAST, V3_MESSAGE_ONLY];

/// Version 3 over IPv6 from `SOURCE6` to the group, from the message on.
pub(super) const V6: &str =
    "3143780200325ac7 fe800000000000000000000000000100 fd000000000000000000000000000100";

/// The same in version 2, which only keepalived sends.
const V6_V2: &str = "2144780200016af5 fe800000000000000000000000000101 fd000000000000000000000000000101";

#[test]
fn frames_over_ipv4_are_read() {
    for golden in &ALL {
        let (name, packet) = (golden.name, golden.packet());
        let found = parse_v4(&packet, &golden.format(), true, &mut Replay::default());
        assert_eq!(found, Ok((SOURCE.into(), golden.advert())), "{name}");
        assert_eq!(virtual_router_v4(&packet), Some(golden.vrid), "{name}");
        assert_eq!(source_v4(&packet), Some(SOURCE), "{name}");
    }
}

#[test]
fn frames_over_ipv4_are_written() {
    for golden in &ALL {
        let route = Route4 { source: SOURCE, destination: golden.destination, ttl: 255, id: golden.id };
        let mut out = vec![0xaa; 99];
        emit_v4(&golden.advert(), &golden.format(), &route, golden.sequence, &mut out);
        assert_eq!(out, golden.packet(), "{}", golden.name);
    }
}

#[test]
fn messages_over_ipv6_are_read_and_written() {
    for (version, vrid, interval, last, hexadecimal) in
        [(Version::V3, 67, 500, 0x100, V6), (Version::V2, 68, 1000, 0x101, V6_V2)]
    {
        let addresses = [
            Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last).into(),
            Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).into(),
        ];
        let advert = Advert {
            version,
            vrid,
            priority: 120,
            interval: Duration::from_millis(interval),
            addresses: addresses.to_vec(),
            checksum: Checksum::WithPseudoHeader,
        };
        let message = bytes(hexadecimal);
        let found = parse_v6(&message, SOURCE6, GROUP6, Some(255), &format(version, vrid, None), true);
        assert_eq!(found, Ok(advert.clone()), "{version:?}");
        assert_eq!(virtual_router_v6(&message), Some(vrid), "{version:?}");
        let mut out = vec![0xaa; 99];
        emit_v6(&advert, SOURCE6, GROUP6, &mut out);
        assert_eq!(out, message, "{version:?}");
    }
}
