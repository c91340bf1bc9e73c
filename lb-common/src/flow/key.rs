//! Whose flow it is: the keys of flows and of templates.

mod half;

use bytemuck::{Pod, Zeroable};

pub use half::{Half, Half6};

use crate::layout::{Address, MARK_PROTOCOL};

/// The key of an IPv4 flow, addresses and ports as on the wire.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Key4 {
    /// Source address.
    pub client: [u8; 4],
    /// Destination address.
    pub vip: [u8; 4],
    /// Source port, network order.
    pub client_port: [u8; 2],
    /// Destination port, network order.
    pub vip_port: [u8; 2],
    /// IP protocol number.
    pub protocol: u8,
    /// [`KIND_FLOW`] or [`KIND_TEMPLATE`].
    pub kind: u8,
    /// Zero.
    pub reserved: [u8; 2],
}

/// The key of an IPv6 flow, addresses and ports as on the wire.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Key6 {
    /// Source address.
    pub client: [u8; 16],
    /// Destination address.
    pub vip: [u8; 16],
    /// Source port, network order.
    pub client_port: [u8; 2],
    /// Destination port, network order.
    pub vip_port: [u8; 2],
    /// IP protocol number.
    pub protocol: u8,
    /// [`KIND_FLOW`] or [`KIND_TEMPLATE`].
    pub kind: u8,
    /// Zero.
    pub reserved: [u8; 10],
}

/// In a key: of a flow.
pub const KIND_FLOW: u8 = 0;
/// In a key: of a template of persistence.
pub const KIND_TEMPLATE: u8 = 1;

/// What the templates of a service have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateForm {
    /// Which clients are one: the bits of a (mapped) address that count.
    pub mask: Address,
    /// The VIP, or what stands for a firewall mark.
    pub vip: Address,
    /// The service's port; 0 for every port, for a firewall mark, and for FTP.
    pub port: u16,
    /// IP protocol number; 0 for a firewall mark.
    pub protocol: u8,
}

impl TemplateForm {
    /// That of a service with this key and mask (`ip_vs_sched_persist` in `net/netfilter/ipvs/ip_vs_core.c`).
    #[inline(always)]
    pub const fn of(vip: Address, port: u16, protocol: u8, mask: Address) -> Self {
        let is_ftp = protocol == 6 && port == FTP;
        let protocol = if protocol == MARK_PROTOCOL { 0 } else { protocol };
        Self { mask, vip, port: if is_ftp { 0 } else { port }, protocol }
    }
}

/// The port of FTP's control connections: with persistence its data connections go with them.
pub const FTP: u16 = 21;

/// What a key says, the same in both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The client, or of a template what the mask leaves of it.
    pub client: Address,
    /// Its port, host order.
    pub client_port: u16,
    /// The VIP, or in a template what stands for a firewall mark.
    pub vip: Address,
    /// Its port, host order.
    pub vip_port: u16,
    /// IP protocol number; 0 in a template of a firewall mark.
    pub protocol: u8,
    /// It is a template's.
    pub is_template: bool,
}

/// The key of a flow in one address family: aligned to 8, a whole number of 64-bit words, no padding.
pub trait Key: Pod + Eq {
    /// How many of its 32-bit words are hashed; those behind them are always zero.
    const WORDS: usize;
    /// The word in which its ports are; the next begins with the protocol.
    const PORTS: usize;

    /// Half of it.
    type Half: Half;

    /// What sets it apart from keys with the same [`Key::shared`].
    fn own(&self) -> Self::Half;

    /// The VIP and the protocol.
    fn shared(&self) -> Self::Half;

    /// The hash of the key at `place`, which another CPU may be writing; `keys` gives the numbers of
    /// [`crate::hash::Keys`].
    ///
    /// # Safety
    /// `place` is valid and aligned.
    #[inline(always)]
    unsafe fn hash_at(place: *const Self, keys: impl Fn(usize) -> u64) -> u32 {
        // SAFETY: the contract, and the words lie in the key. One by one, for the program's stack is small.
        let word = |at| unsafe { place.cast::<u32>().add(at).read_volatile() };
        crate::hash::multilinear(keys, Self::WORDS, word)
    }

    /// One of its 32-bit words.
    fn word(&self, at: usize) -> u32;

    /// The hash of the key.
    #[inline(always)]
    fn hash(&self, keys: impl Fn(usize) -> u64) -> u32 {
        crate::hash::multilinear(keys, Self::WORDS, |at| self.word(at))
    }

    /// The client, or of a template what the mask leaves of it.
    fn client(&self) -> Address;

    /// The VIP, or of a template what stands for it.
    fn vip(&self) -> Address;

    /// The client's port, host order.
    #[inline(always)]
    fn client_port(&self) -> u16 {
        let [high, low, _, _] = self.word(Self::PORTS).to_ne_bytes();
        u16::from_be_bytes([high, low])
    }

    /// The VIP's port, host order.
    #[inline(always)]
    fn vip_port(&self) -> u16 {
        let [_, _, high, low] = self.word(Self::PORTS).to_ne_bytes();
        u16::from_be_bytes([high, low])
    }

    /// IP protocol number; 0 in a template of a firewall mark.
    #[inline(always)]
    fn protocol(&self) -> u8 {
        self.word(Self::PORTS + 1).to_ne_bytes()[0]
    }

    /// Is it a template's?
    #[inline(always)]
    fn is_template(&self) -> bool {
        self.word(Self::PORTS + 1).to_ne_bytes()[1] == KIND_TEMPLATE
    }

    /// The key of the template that a flow with this key goes by.
    #[must_use]
    fn template(&self, form: &TemplateForm) -> Self;

    /// The key with these parts, of a flow.
    fn of_flow(parts: &Parts) -> Self;

    /// What it says.
    fn parts(&self) -> Parts {
        Parts {
            client: self.client(),
            client_port: self.client_port(),
            vip: self.vip(),
            vip_port: self.vip_port(),
            protocol: self.protocol(),
            is_template: self.is_template(),
        }
    }
}

impl Key for Key4 {
    const WORDS: usize = 4;
    const PORTS: usize = 2;

    type Half = u64;

    #[inline(always)]
    fn own(&self) -> u64 {
        let [addresses, rest]: [u64; 2] = bytemuck::must_cast(*self);
        addresses ^ rest << 32
    }

    #[inline(always)]
    fn shared(&self) -> u64 {
        let [addresses, rest]: [u64; 2] = bytemuck::must_cast(*self);
        addresses >> 32 | rest >> 32 << 32
    }

    #[inline(always)]
    fn word(&self, at: usize) -> u32 {
        bytemuck::must_cast::<Self, [u32; 4]>(*self)[at]
    }

    #[inline(always)]
    fn client(&self) -> Address {
        Address::v4(self.word(0).to_ne_bytes())
    }

    #[inline(always)]
    fn vip(&self) -> Address {
        if self.is_template() && self.protocol() == 0 {
            return Address::mark(false, u32::from_be(self.word(1)));
        }
        Address::v4(self.word(1).to_ne_bytes())
    }

    #[inline(always)]
    fn template(&self, form: &TemplateForm) -> Self {
        let client = u32::from_ne_bytes(self.client) & form.mask.words()[3];
        Self {
            client: client.to_ne_bytes(),
            vip: form.vip.words()[3].to_ne_bytes(),
            client_port: [0; 2],
            vip_port: form.port.to_be_bytes(),
            protocol: form.protocol,
            kind: KIND_TEMPLATE,
            reserved: [0; 2],
        }
    }

    fn of_flow(parts: &Parts) -> Self {
        Self {
            client: parts.client.words()[3].to_ne_bytes(),
            vip: parts.vip.words()[3].to_ne_bytes(),
            client_port: parts.client_port.to_be_bytes(),
            vip_port: parts.vip_port.to_be_bytes(),
            protocol: parts.protocol,
            kind: KIND_FLOW,
            reserved: [0; 2],
        }
    }
}

impl Key for Key6 {
    const WORDS: usize = 10;
    const PORTS: usize = 8;

    type Half = Half6;

    #[inline(always)]
    fn own(&self) -> Half6 {
        let [a, b, _, d, rest, _]: [u64; 6] = bytemuck::must_cast(*self);
        Half6::from([a, b, d ^ rest << 32])
    }

    #[inline(always)]
    fn shared(&self) -> Half6 {
        let [_, _, c, d, rest, _]: [u64; 6] = bytemuck::must_cast(*self);
        Half6::from([c, d, rest >> 32])
    }

    #[inline(always)]
    fn word(&self, at: usize) -> u32 {
        bytemuck::must_cast::<Self, [u32; 12]>(*self)[at]
    }

    #[inline(always)]
    fn client(&self) -> Address {
        let [a, b, ..]: [u64; 6] = bytemuck::must_cast(*self);
        Address::from_halves([a, b])
    }

    #[inline(always)]
    fn vip(&self) -> Address {
        let [_, _, a, b, ..]: [u64; 6] = bytemuck::must_cast(*self);
        Address::from_halves([a, b])
    }

    #[inline(always)]
    fn template(&self, form: &TemplateForm) -> Self {
        Self {
            client: Address { octets: self.client }.masked(&form.mask).octets,
            vip: form.vip.octets,
            client_port: [0; 2],
            vip_port: form.port.to_be_bytes(),
            protocol: form.protocol,
            kind: KIND_TEMPLATE,
            reserved: [0; 10],
        }
    }

    fn of_flow(parts: &Parts) -> Self {
        Self {
            client: parts.client.octets,
            vip: parts.vip.octets,
            client_port: parts.client_port.to_be_bytes(),
            vip_port: parts.vip_port.to_be_bytes(),
            protocol: parts.protocol,
            kind: KIND_FLOW,
            reserved: [0; 10],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<K: Key>(key: &K) -> (Address, u16, Address, u16, u8) {
        (key.client(), key.client_port(), key.vip(), key.vip_port(), key.protocol())
    }

    #[test]
    fn a_key_says_by_words_what_its_fields_say() {
        let key = Key4 {
            client: [192, 0, 2, 1],
            vip: [10, 0, 0, 100],
            client_port: 40_000_u16.to_be_bytes(),
            vip_port: 80_u16.to_be_bytes(),
            protocol: 6,
            ..Key4::default()
        };
        assert_eq!(
            said(&key),
            (Address::v4(key.client), 40_000, Address::v4(key.vip), 80, 6),
            "and no word is another's"
        );
        let key6 = Key6 {
            client: [1; 16],
            vip: [2; 16],
            client_port: key.client_port,
            vip_port: key.vip_port,
            protocol: 17,
            ..Key6::default()
        };
        let [client, vip] = [key6.client, key6.vip].map(|octets| Address { octets });
        assert_eq!(said(&key6), (client, 40_000, vip, 80, 17));
        let keys = |at: usize| 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(at as u64 + 1);
        // SAFETY: references.
        unsafe {
            assert_eq!(key.hash(keys), Key4::hash_at(&raw const key, keys));
            assert_eq!(key6.hash(keys), Key6::hash_at(&raw const key6, keys));
        }
    }

    #[test]
    fn a_key_is_made_of_its_parts() {
        let parts = |client, vip| Parts {
            client,
            client_port: 40_000,
            vip,
            vip_port: 80,
            protocol: 6,
            is_template: false,
        };
        let v4 = parts(Address::v4([192, 0, 2, 1]), Address::v4([10, 0, 0, 100]));
        assert_eq!(Key4::of_flow(&v4).parts(), v4);
        let v6 = parts(Address { octets: [1; 16] }, Address { octets: [2; 16] });
        assert_eq!(Key6::of_flow(&v6).parts(), v6);
        for is_v6 in [false, true] {
            let mask = Address::mask(if is_v6 { 64 } else { 96 + 24 });
            let mark = Address::mark(is_v6, 7);
            let form = TemplateForm::of(mark, 0, MARK_PROTOCOL, mask);
            let key = if is_v6 {
                Key6::of_flow(&v6).template(&form).parts()
            } else {
                Key4::of_flow(&v4).template(&form).parts()
            };
            assert_eq!((key.vip, key.protocol, key.is_template, key.client_port), (mark, 0, true, 0));
        }
    }
}
