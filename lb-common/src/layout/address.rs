//! Addresses of both families in one form.

use bytemuck::{Pod, Zeroable};

/// An IPv4 (mapped, RFC 4291 section 2.5.5.2) or IPv6 address, 16 bytes in network order.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct Address {
    /// The bytes as on the wire.
    pub octets: [u8; 16],
}

impl Address {
    /// The mapped form of an IPv4 address given as on the wire.
    #[inline(always)]
    pub const fn v4(octets: [u8; 4]) -> Self {
        let [a, b, c, d] = octets;
        Self { octets: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] }
    }

    /// The address as four 32-bit words, in memory order.
    #[inline(always)]
    pub const fn words(&self) -> [u32; 4] {
        bytemuck::must_cast(self.octets)
    }

    /// The address as one 32-bit word in host order, as IPVS hashes it: that of an IPv4 address, the exclusive or of the
    /// four of an IPv6 address.
    #[inline(always)]
    pub const fn fold(&self) -> u32 {
        let [a, b, c, d] = self.words();
        u32::from_be(if self.is_v4() { d } else { a ^ b ^ c ^ d })
    }

    /// Is it an IPv4 address?
    #[inline(always)]
    pub const fn is_v4(&self) -> bool {
        let [a, b, c, _] = self.words();
        a == 0 && b == 0 && c == 0xffff_u32.to_be()
    }

    /// What stands for the address of a service that is chosen by firewall mark: of the multicast prefix, so that no VIP
    /// is like it; the last word is the mark in network order.
    #[inline(always)]
    pub const fn mark(is_v6: bool, mark: u32) -> Self {
        let [a, b, c, d] = mark.to_be_bytes();
        Self { octets: [0xff, 0, 0, is_v6 as u8, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] }
    }

    /// The address with the bits that `mask` has not taken away.
    #[must_use]
    #[inline(always)]
    pub const fn masked(&self, mask: &Self) -> Self {
        let ([a, b], [c, d]) = (self.halves(), mask.halves());
        Self { octets: bytemuck::must_cast([a & c, b & d]) }
    }

    /// The mask of the first `bits` of an IPv6 address, or of a mapped IPv4 one if 96 are added: at most 128.
    pub const fn mask(bits: u8) -> Self {
        let ones = if bits == 0 { 0 } else { u128::MAX << (128 - bits as u32) };
        Self { octets: ones.to_be_bytes() }
    }

    /// The address of two 64-bit words, in memory order.
    #[inline(always)]
    pub const fn from_halves(halves: [u64; 2]) -> Self {
        Self { octets: bytemuck::must_cast(halves) }
    }

    /// The address as two 64-bit words, in memory order.
    #[inline(always)]
    pub const fn halves(&self) -> [u64; 2] {
        bytemuck::must_cast(self.octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_leaves_the_first_bits() {
        let address = Address::v4([192, 0, 2, 129]);
        assert_eq!(address.masked(&Address::mask(96 + 24)), Address::v4([192, 0, 2, 0]));
        assert_eq!(address.masked(&Address::mask(128)), address);
        assert_eq!(address.masked(&Address::mask(0)), Address::default());
    }

    #[test]
    fn a_mark_is_no_address_of_a_host() {
        let mark = Address::mark(true, 0x0102_0304);
        assert!(std::net::Ipv6Addr::from(mark.octets).is_multicast());
        assert_ne!(mark, Address::mark(false, 0x0102_0304));
        assert_eq!(mark.words()[3], 0x0102_0304_u32.to_be());
    }

    #[test]
    fn an_ipv4_address_is_mapped() {
        let address = Address::v4([192, 0, 2, 1]);
        assert_eq!(std::net::Ipv6Addr::from(address.octets).to_ipv4_mapped(), Some([192, 0, 2, 1].into()));
        assert_eq!(address.halves()[0], 0);
        assert_eq!(address.fold(), 0xc000_0201);
        let v6 = Address { octets: [0xfd, 0x99, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x02, 0x03] };
        assert_eq!(v6.fold(), 0xfd99_0202);
    }
}
