//! The order of a listing, which is ipvsadm's: addresses are subtracted, and the sign of the 32-bit difference decides.
//!
//! That is no order where addresses are more than half of all apart; the result is then that of the C library's merge sort,
//! and so it is here.

use std::net::IpAddr;

use super::state::{Family, ListedServer, ListedService, ServiceId};

/// Services in the order of a listing.
pub(super) fn services(services: &[ListedService]) -> Vec<&ListedService> {
    merge_sort(services.iter().collect(), |a, b| compare_services(a.service.id, b.service.id))
}

/// Servers in the order of a listing.
pub(super) fn servers(servers: &[ListedServer]) -> Vec<&ListedServer> {
    merge_sort(servers.iter().collect(), |a, b| {
        let (a, b) = (a.server.id, b.server.id);
        first([addresses(a.address, b.address), i32::from(a.port) - i32::from(b.port)])
    })
}

fn compare_services(a: ServiceId, b: ServiceId) -> i32 {
    let mark = |id| if let ServiceId::Mark { mark, .. } = id { mark } else { 0 };
    let marks = difference(mark(a), mark(b));
    match (a, b) {
        (
            ServiceId::Address { protocol, address, port },
            ServiceId::Address { protocol: other, address: to, port: end },
        ) => first([
            families(a.family(), b.family()),
            i32::from(protocol.number()) - i32::from(other.number()),
            addresses(address, to),
            i32::from(port) - i32::from(end),
        ]),
        _ => first([marks, families(a.family(), b.family())]),
    }
}

/// The first that says anything.
fn first<const N: usize>(differences: [i32; N]) -> i32 {
    differences.into_iter().find(|difference| *difference != 0).unwrap_or(0)
}

const fn difference(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

fn families(a: Family, b: Family) -> i32 {
    a as i32 - b as i32
}

fn addresses(a: IpAddr, b: IpAddr) -> i32 {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => difference(a.to_bits(), b.to_bits()),
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let word = |address: u128, place: u32| (address >> (96 - 32 * place)) as u32;
            let (a, b) = (a.to_bits(), b.to_bits());
            first([0, 1, 2, 3].map(|place| difference(word(a, place), word(b, place))))
        }
        _ => families(Family::of(a), Family::of(b)),
    }
}

/// Halves, the first one not the longer, merged so that equals keep their order.
fn merge_sort<T: Copy>(mut items: Vec<T>, compare: impl Fn(T, T) -> i32 + Copy) -> Vec<T> {
    if items.len() < 2 {
        return items;
    }
    let right = merge_sort(items.split_off(items.len() / 2), compare);
    let left = merge_sort(items, compare);
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    let mut merged = Vec::with_capacity(left.len() + right.len());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        merged.extend(if compare(*a, *b) <= 0 { left.next() } else { right.next() });
    }
    merged.extend(left);
    merged.extend(right);
    merged
}
