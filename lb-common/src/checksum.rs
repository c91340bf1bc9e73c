//! Internet checksum arithmetic for headers that change in place (RFC 1071, RFC 1624).

/// The IPv4 header checksum after the TTL went down by one.
///
/// `check` is the checksum field as in memory, and so is the result: ones' complement sums may be taken in either order of
/// bytes (RFC 1071). The TTL is the first byte of its 16-bit word, so the word falls by `0x0100` in network order and the
/// sum of the checksum rises by it (RFC 1624, equation 3). A wrong checksum stays wrong.
#[inline(always)]
pub const fn after_ttl_decrement(check: u16) -> u16 {
    let sum = check as u32 + 0x0100_u16.to_be() as u32;
    (sum + (sum >= 0xffff) as u32) as u16
}

/// The checksum field, as in memory, for the 16-bit words that `sum` is the sum of, likewise as in memory (RFC 1071).
#[inline(always)]
pub const fn complement(sum: u32) -> [u8; 2] {
    let once = (sum & 0xffff) + (sum >> 16);
    let twice = (once & 0xffff) + (once >> 16);
    (!(twice as u16)).to_ne_bytes()
}

/// The Internet checksum of `bytes` (RFC 1071); a header that carries a right checksum sums to 0.
pub fn internet(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_in_memory_order_becomes_the_field() {
        for header in
            [[0x45, 0, 0, 60, 0xff, 0xff], [0xff; 6], [0, 0, 0, 0, 0, 1], [0x80, 1, 0x80, 2, 0xfe, 0xfc]]
        {
            let sum = header.as_chunks().0.iter().map(|&pair| u32::from(u16::from_ne_bytes(pair))).sum();
            assert_eq!(complement(sum), internet(&header).to_be_bytes(), "{header:02x?}");
        }
        assert_eq!(complement(u32::MAX), [0, 0]);
    }

    #[test]
    fn a_decremented_header_still_sums_to_zero() {
        for ttl in 1..=255u8 {
            for id in (0..=u16::MAX).step_by(251) {
                let mut header = [0x45, 0, 0, 60, 0, 0, 0x40, 0, ttl, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
                header[4..6].copy_from_slice(&id.to_be_bytes());
                let check = internet(&header).to_be();
                header[10..12].copy_from_slice(&after_ttl_decrement(check).to_ne_bytes());
                header[8] -= 1;
                assert_eq!(internet(&header), 0, "ttl {ttl} id {id}");
            }
        }
    }
}
