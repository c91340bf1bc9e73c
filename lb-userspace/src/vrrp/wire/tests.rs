//! keepalived's own frames both ways, what is refused and why, and that everything written can be read.

mod golden;
mod refusals;
mod round_trip;

use super::*;

const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 168, 56, 11);
const PEER: Ipv4Addr = Ipv4Addr::new(192, 168, 56, 12);
const GROUP: Ipv4Addr = crate::config::model::vrrp::MULTICAST_V4;
const GROUP6: Ipv6Addr = crate::config::model::vrrp::MULTICAST_V6;
const SOURCE6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x11);

const fn format(version: Version, vrid: u8, authentication: Option<Authentication>) -> Format {
    Format { version, vrid, authentication }
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u8> = hexadecimal.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.as_chunks().0.iter().map(pair).collect()
}
