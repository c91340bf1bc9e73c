//! Values of options, read as the C library reads them, with all that it lets pass.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::IntErrorKind,
    ops::RangeInclusive,
};

use super::{
    names::Names,
    state::{Protocol, SchedulerFlags},
};

/// A whole decimal number within limits; blanks and a sign may stand before it.
pub(super) fn number<T: TryFrom<i64> + PartialOrd>(text: &str, limits: &RangeInclusive<T>) -> Option<T> {
    match leading_number(text)? {
        (number, "") => T::try_from(number).ok().filter(|number| limits.contains(number)),
        _ => None,
    }
}

/// The decimal number a text begins with and what follows; one that is too long is as far out as can be.
fn leading_number(text: &str) -> Option<(i64, &str)> {
    let text = text.trim_start_matches(is_space);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    if rest.len() == digits.len() {
        return None;
    }
    let number = match text[..text.len() - rest.len()].parse::<i64>() {
        Ok(number) => number,
        Err(error) if *error.kind() == IntErrorKind::NegOverflow => i64::MIN,
        Err(_) => i64::MAX,
    };
    Some((number, rest))
}

const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

/// The length of an IPv6 prefix: of what follows the number nothing is seen.
pub(super) fn prefix(text: &str) -> Option<u32> {
    let (number, _) = leading_number(text)?;
    // C's `atoi` keeps the low half.
    u32::try_from(number as i32).ok().filter(|length| (1..=128).contains(length))
}

/// An IPv4 address of one to four numbers, each decimal, octal or hexadecimal; after a blank there may be anything.
pub(super) fn dotted(text: &str) -> Option<Ipv4Addr> {
    let text = text.split(is_space).next()?;
    let parts: Vec<u32> = text.split('.').map(part).collect::<Option<_>>()?;
    let (last, heads) = parts.split_last()?;
    let room = 32u32.checked_sub(8 * u32::try_from(heads.len()).ok()?).filter(|room| *room > 0)?;
    if heads.iter().any(|head| *head > 0xff) || last.checked_shr(room).is_some_and(|over| over > 0) {
        return None;
    }
    let head = |(place, head): (usize, &u32)| head << (24 - 8 * place);
    Some(Ipv4Addr::from_bits(heads.iter().enumerate().map(head).fold(*last, |all, head| all | head)))
}

fn part(text: &str) -> Option<u32> {
    let is_digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    match (hexadecimal, text.strip_prefix('0')) {
        (Some(digits), _) if is_digits(digits, 16) => u32::from_str_radix(digits, 16).ok(),
        (None, Some(digits)) if is_digits(digits, 8) => u32::from_str_radix(digits, 8).ok(),
        _ if text == "0" || (is_digits(text, 10) && !text.starts_with('0')) => text.parse().ok(),
        _ => None,
    }
}

/// An address, and a port if one is named: `192.0.2.1:80`, `[2001:db8::1]:80`, `2001:db8::1`, `www:http`.
///
/// A port after brackets is seen only where an IPv6 address stands in them. A number by itself is no address.
pub(super) fn endpoint(
    text: &str,
    protocol: Option<Protocol>,
    names: &impl Names,
) -> Option<(IpAddr, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(inner) => {
            let (host, rest) = inner.split_once(']')?;
            (host, Some(rest.strip_prefix(':')?))
        }
        None => (text, None),
    };
    let (address, port) = if let Ok(address) = host.parse::<Ipv6Addr>() {
        (IpAddr::V6(address), port)
    } else {
        if port.is_none() && leading_number(host).is_some_and(|(_, rest)| rest.is_empty()) {
            return None;
        }
        let (host, port) = host.rsplit_once(':').map_or((host, None), |(host, port)| (host, Some(port)));
        let address = dotted(host).or_else(|| names.address_of(host))?;
        (IpAddr::V4(address), port)
    };
    let named = |text| protocol.and_then(|protocol| names.port_of(text, protocol));
    let port = match port {
        None => None,
        Some(text) => Some(number(text, &(0..=u16::MAX)).or_else(|| named(text))?),
    };
    Some((address, port))
}

/// A multicast group; what has a colon is of IPv6.
///
/// # Errors
/// The family that it is none of.
pub(super) fn group(text: &str) -> Result<IpAddr, &'static str> {
    if text.contains(':') {
        let address = text.parse::<Ipv6Addr>().ok().filter(Ipv6Addr::is_multicast);
        address.map(IpAddr::V6).ok_or("IPv6")
    } else {
        let address = text.parse::<Ipv4Addr>().ok().filter(Ipv4Addr::is_multicast);
        address.map(IpAddr::V4).ok_or("IPv4")
    }
}

/// Why flags are none of a scheduler.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FlagError {
    #[error("invalid scheduler flag `{0}'")]
    Unknown(String),
    #[error("incompatible scheduler flag `{0}'")]
    Incompatible(String),
}

/// The flags with names of their own, whose they are, and their numbers.
pub(super) const NAMED_FLAGS: [(&str, &str, usize); 4] =
    [("sh", "sh-fallback", 0), ("sh", "sh-port", 1), ("mh", "mh-fallback", 0), ("mh", "mh-port", 1)];

/// The flags of any scheduler, by their numbers.
pub(super) const NUMBERED_FLAGS: [&str; 3] = ["flag-1", "flag-2", "flag-3"];

/// Flags of a scheduler with commas between them, by their names or by their numbers.
pub(super) fn flags(text: &str, scheduler: &str) -> Result<SchedulerFlags, FlagError> {
    let mut flags = SchedulerFlags::default();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let numbered = NUMBERED_FLAGS.iter().position(|name| *name == word);
        let named = NAMED_FLAGS.iter().find(|(_, name, _)| *name == word);
        let place = match (numbered, named) {
            (Some(place), _) => place,
            (None, Some((owner, _, place))) if *owner == scheduler => *place,
            (None, Some(_)) => return Err(FlagError::Incompatible(word.to_owned())),
            (None, None) => return Err(FlagError::Unknown(word.to_owned())),
        };
        flags.0[place] = true;
    }
    Ok(flags)
}
