//! Owns the step from a word to a value with a unit: addresses, ports, seconds, counts. Knows no keyword.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::diagnostics::{Diagnostic, quoted};
use super::model::Protocol;
use super::model::vrrp::Family;
use super::tree::Word;

const MICROS_PER_SECOND: u64 = 1_000_000;
/// The kernel's IFNAMSIZ without the final NUL.
const INTERFACE_NAME: usize = 15;

/// An IPv4 or IPv6 address; host names are refused, because a name server must not decide who is served.
pub(super) fn address(word: &Word) -> Result<IpAddr, Diagnostic> {
    word.text.parse().map_err(|_| {
        Diagnostic::error(word.span, format!("{} is not an IPv4 or IPv6 address", quoted(&word.text)))
            .hint("write an address such as 192.0.2.10 or 2001:db8::10")
    })
}

/// A port from 1 to 65535.
pub(super) fn port(word: &Word) -> Result<u16, Diagnostic> {
    number(word, "a port", 1..=u16::MAX)
}

/// A whole number in `range`.
pub(super) fn number<T>(word: &Word, what: &str, range: RangeInclusive<T>) -> Result<T, Diagnostic>
where
    T: TryFrom<u64> + PartialOrd + Display,
{
    let digits = word.text.strip_prefix('+').unwrap_or(&word.text);
    let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // A number too long for 64 bits is a number all the same: it is the range it misses.
    let value = whole.then(|| digits.parse::<u64>().ok().and_then(|value| T::try_from(value).ok()));
    match value {
        Some(Some(value)) if range.contains(&value) => Ok(value),
        Some(_) => Err(out_of_range(word, what, range.start(), range.end())),
        None => Err(Diagnostic::error(word.span, format!("{} is not {what}", quoted(&word.text)))
            .hint(format!("write a whole number from {} to {}", range.start(), range.end()))),
    }
}

/// A whole number in `range`, perhaps below zero.
pub(super) fn signed(word: &Word, what: &str, range: RangeInclusive<i32>) -> Result<i32, Diagnostic> {
    let digits = word.text.strip_prefix(['+', '-']).unwrap_or(&word.text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Diagnostic::error(word.span, format!("{} is not {what}", quoted(&word.text)))
            .hint(format!("write a whole number from {} to {}", range.start(), range.end())));
    }
    // One that does not fit is a number all the same: it is the range it misses.
    let value = word.text.parse().ok().filter(|value| range.contains(value));
    value.ok_or_else(|| out_of_range(word, what, range.start(), range.end()))
}

/// The name of a network interface, as the kernel takes it.
pub(super) fn interface(word: &Word) -> Result<String, Diagnostic> {
    let name = &word.text;
    let fits = (1..=INTERFACE_NAME).contains(&name.len()) && name != "." && name != "..";
    if fits
        && !name
            .contains(|letter: char| "/:".contains(letter) || letter.is_whitespace() || letter.is_control())
    {
        return Ok(name.clone());
    }
    let hint = match name.split_once(':') {
        Some((link, _)) => format!("write {}; what has a colon is the label of an address", quoted(link)),
        None => format!("write a name such as eth0, of at most {INTERFACE_NAME} characters"),
    };
    Err(Diagnostic::error(word.span, format!("{} is not the name of an interface", quoted(name))).hint(hint))
}

/// Seconds, perhaps with up to six decimals, in `range`.
pub(super) fn seconds(word: &Word, range: RangeInclusive<Duration>) -> Result<Duration, Diagnostic> {
    let Some(value) = decimal(&word.text) else {
        return Err(Diagnostic::error(word.span, format!("{} is not a time in seconds", quoted(&word.text)))
            .hint("write a number of seconds such as 3 or 0.25, with up to six decimals"));
    };
    if range.contains(&value) {
        return Ok(value);
    }
    let (least, most) = (range.start().as_secs_f64(), range.end().as_secs_f64());
    Err(out_of_range(word, "a time in seconds", &least, &most))
}

/// `TCP`, `UDP` or `SCTP`, in any case.
pub(super) fn protocol(word: &Word) -> Result<Protocol, Diagnostic> {
    let known = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    known.into_iter().find(|protocol| protocol.to_string().eq_ignore_ascii_case(&word.text)).ok_or_else(
        || {
            Diagnostic::error(word.span, format!("{} is not a protocol", quoted(&word.text)))
                .hint("write TCP, UDP or SCTP")
        },
    )
}

/// `on`, `true`, `yes`, `off`, `false`, `no`; nothing means yes.
pub(super) fn switch(word: Option<&Word>) -> Result<bool, Diagnostic> {
    let Some(word) = word else { return Ok(true) };
    match word.text.as_str() {
        "on" | "true" | "yes" => Ok(true),
        "off" | "false" | "no" => Ok(false),
        other => Err(Diagnostic::error(word.span, format!("{} is neither yes nor no", quoted(other)))
            .hint("write on or off, or nothing for on")),
    }
}

/// The length of a prefix of `width` bits, given as that or as an IPv4 netmask.
pub(super) fn prefix(word: &Word, width: u8) -> Result<u8, Diagnostic> {
    let Ok(mask) = word.text.parse::<Ipv4Addr>() else {
        return number(word, "a prefix length", 0..=width);
    };
    let bits = mask.to_bits();
    if width == 32 && bits.leading_ones() + bits.trailing_zeros() >= 32 {
        return Ok(u8::try_from(bits.leading_ones()).unwrap_or(width));
    }
    Err(Diagnostic::error(word.span, format!("{} is not a netmask for these addresses", quoted(&word.text)))
        .hint("write a netmask such as 255.255.255.0, or the length of the prefix"))
}

/// An address and perhaps, behind `/`, its prefix as a length or a netmask.
pub(super) fn prefixed(word: &Word) -> Result<(IpAddr, Option<u8>), Diagnostic> {
    let part = |text: &str| Word { text: text.to_owned(), span: word.span };
    let Some((first, length)) = word.text.split_once('/') else {
        return Ok((address(word)?, None));
    };
    let address = address(&part(first))?;
    Ok((address, Some(prefix(&part(length), width(address))?)))
}

/// An address of a host, behind which a prefix means nothing.
pub(super) fn host(word: &Word, problems: &mut Vec<Diagnostic>) -> Result<IpAddr, Diagnostic> {
    let (address, prefix) = prefixed(word)?;
    if prefix.is_some() {
        let message = format!("the prefix behind {address} means nothing here");
        problems.push(Diagnostic::ours(word.span, message).hint("write the address alone"));
    }
    Ok(address)
}

/// The number of bits in an address of this family.
pub(super) const fn width(address: IpAddr) -> u8 {
    Family::of(address).width()
}

fn out_of_range(word: &Word, what: &str, least: &impl Display, most: &impl Display) -> Diagnostic {
    Diagnostic::error(word.span, format!("{} is out of range for {what}", quoted(&word.text)))
        .hint(format!("write a number from {least} to {most}"))
}

/// `None` for what is no decimal number; one too large to hold is the longest time there is.
fn decimal(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return None;
    }
    let micros: u64 = format!("{fraction:0<6}").parse().ok()?;
    let seconds = if whole.is_empty() { Some(0) } else { whole.parse::<u64>().ok() };
    let micros = seconds.and_then(|seconds| seconds.checked_mul(MICROS_PER_SECOND)?.checked_add(micros));
    Some(micros.map_or(Duration::MAX, Duration::from_micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::{Sources, Span};

    fn word(text: &str) -> Word {
        let (source, _) = Sources::default().add("t", text);
        Word { text: text.to_owned(), span: Span { source, start: 0, end: text.len(), line: 1, column: 1 } }
    }

    #[test]
    fn ports_and_counts() {
        assert_eq!(port(&word("80")).unwrap(), 80);
        assert_eq!(port(&word("+80")).unwrap(), 80);
        for bad in ["0", "65536", "-1", "http", "", "+", "8 0", "0x50", "1.5", "99999999999999999999999"] {
            assert!(port(&word(bad)).is_err(), "{bad:?}");
        }
        assert!(port(&word("99999999999999999999999")).unwrap_err().message.contains("out of range"));
        assert_eq!(number(&word("65535"), "a weight", 0..=u16::MAX).unwrap(), u16::MAX);
    }

    #[test]
    fn seconds_are_exact_to_the_microsecond() {
        let any = Duration::ZERO..=Duration::from_secs(4294);
        let read = |text: &str| seconds(&word(text), any.clone()).map(|value| value.as_micros());
        assert_eq!(read("3").unwrap(), 3_000_000);
        assert_eq!(read("+3").unwrap(), 3_000_000);
        assert_eq!(read("1.5").unwrap(), 1_500_000);
        assert_eq!(read(".5").unwrap(), 500_000);
        assert_eq!(read("0.000001").unwrap(), 1);
        assert_eq!(read("0").unwrap(), 0);
        for bad in
            ["", ".", "-1", "1e3", "1.5x", "0.0000001", "4295", "99999999999999999999", "18446744073710"]
        {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn numbers_may_be_below_zero() {
        let read = |text: &str| signed(&word(text), "a weight", -253..=253);
        assert_eq!((read("-15").unwrap(), read("+3").unwrap(), read("0").unwrap()), (-15, 3, 0));
        for bad in ["", "-", "+-1", "1.5", "x", "-254", "99999999999999999999", "- 1"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert!(read("-99999999999999999999").unwrap_err().message.contains("out of range"));
    }

    #[test]
    fn interfaces_have_names_the_kernel_takes() {
        for good in ["eth0", "eth0.100", "vrrp6.255", "a"] {
            assert_eq!(interface(&word(good)).unwrap(), good);
        }
        for bad in ["", ".", "..", "a/b", "a b", "eth0:1", "sixteen-letters0"] {
            assert!(interface(&word(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_are_not_names() {
        assert!(address(&word("10.0.0.1")).is_ok());
        assert!(address(&word("2001:db8::1")).is_ok());
        for bad in ["10.0.0.300", "localhost", "[10.0.0.1]", "10.0.0.1/24", ""] {
            assert!(address(&word(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn netmasks_are_prefixes() {
        assert_eq!(prefix(&word("255.255.255.0"), 32).unwrap(), 24);
        assert_eq!(prefix(&word("0.0.0.0"), 32).unwrap(), 0);
        assert_eq!(prefix(&word("255.255.255.255"), 32).unwrap(), 32);
        assert_eq!(prefix(&word("64"), 128).unwrap(), 64);
        assert!(prefix(&word("255.0.255.0"), 32).is_err());
        assert!(prefix(&word("255.255.255.0"), 128).is_err());
        assert!(prefix(&word("33"), 32).is_err());
    }
}
