//! Frames for single-packet tests: well-formed by default, every field open to damage.

use lb_common::checksum;

/// TCP's protocol number.
pub(crate) const TCP: u8 = 6;
/// UDP's.
pub(crate) const UDP: u8 = 17;
/// SCTP's.
pub(crate) const SCTP: u8 = 132;
/// ICMP's.
pub(crate) const ICMP: u8 = 1;
/// ICMPv6's.
pub(crate) const ICMP6: u8 = 58;

/// An Ethernet frame in the making.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Destination MAC address.
    pub(crate) to: [u8; 6],
    /// Source MAC address.
    pub(crate) from: [u8; 6],
    /// VLAN tags, outermost first: tag protocol and VLAN id.
    pub(crate) tags: Vec<(u16, u16)>,
    /// EtherType behind the tags.
    pub(crate) ethertype: u16,
    /// Everything behind the EtherType.
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The bytes on the wire, padded to Ethernet's minimum.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = [self.to, self.from].concat();
        for (protocol, id) in &self.tags {
            bytes.extend(protocol.to_be_bytes());
            bytes.extend(id.to_be_bytes());
        }
        bytes.extend(self.ethertype.to_be_bytes());
        bytes.extend(&self.payload);
        bytes.resize(bytes.len().max(60), 0);
        bytes
    }

    /// The same frame behind one more VLAN tag.
    #[must_use]
    pub(crate) fn tagged(mut self, protocol: u16, id: u16) -> Self {
        self.tags.push((protocol, id));
        self
    }

    /// The same frame to another MAC address.
    #[must_use]
    pub(crate) const fn to(mut self, mac: [u8; 6]) -> Self {
        self.to = mac;
        self
    }
}

/// An IPv4 packet in the making.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// Source address and port.
    pub(crate) client: ([u8; 4], u16),
    /// Destination address and port.
    pub(crate) service: ([u8; 4], u16),
    /// IP protocol number.
    pub(crate) protocol: u8,
    /// TCP flags, or the type of an SCTP chunk.
    pub(crate) flags: u8,
    /// Time to live.
    pub(crate) ttl: u8,
    /// Flags and fragment offset.
    pub(crate) fragment: u16,
    /// IP options, a multiple of 4 bytes.
    pub(crate) options: Vec<u8>,
    /// Bytes behind the transport header.
    pub(crate) data: usize,
    /// What comes behind these: a further SCTP chunk, or a whole ICMP message.
    pub(crate) tail: Vec<u8>,
}

impl Packet {
    /// A TCP segment.
    pub(crate) const fn tcp(client: ([u8; 4], u16), service: ([u8; 4], u16), flags: u8) -> Self {
        let options = Vec::new();
        let tail = Vec::new();
        Self { client, service, protocol: 6, flags, ttl: 64, fragment: 0x4000, options, data: 0, tail }
    }

    /// A UDP datagram of 10 bytes.
    pub(crate) const fn udp(client: ([u8; 4], u16), service: ([u8; 4], u16)) -> Self {
        let options = Vec::new();
        let tail = Vec::new();
        Self { client, service, protocol: 17, flags: 0, ttl: 64, fragment: 0, options, data: 10, tail }
    }

    /// The IP packet with right checksums in its IP header.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let ports = (self.client.1, self.service.1);
        let transport = transport(self.protocol, ports, self.flags, self.data, &self.tail);
        let header_len = 20 + self.options.len();
        let total = (header_len + transport.len()) as u16;
        let mut header = vec![0x40 | (header_len / 4) as u8, 0];
        header.extend(total.to_be_bytes());
        header.extend([0x12, 0x34]);
        header.extend(self.fragment.to_be_bytes());
        header.extend([self.ttl, self.protocol, 0, 0]);
        header.extend(self.client.0);
        header.extend(self.service.0);
        header.extend(&self.options);
        let check = checksum::internet(&header);
        header[10..12].copy_from_slice(&check.to_be_bytes());
        [header, transport].concat()
    }
}

/// A transport header, then `data` bytes and `tail`; checksums are 0.
pub(crate) fn transport(
    protocol: u8,
    (from, to): (u16, u16),
    flags: u8,
    data: usize,
    tail: &[u8],
) -> Vec<u8> {
    let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
    let header = match protocol {
        TCP => [&ports[..], &[0; 8], &[0x50, flags], &[0xff, 0xff, 0, 0, 0, 0]].concat(),
        SCTP => [&ports[..], &[0; 8], &[flags, 0], &(4 + data as u16).to_be_bytes()].concat(),
        ICMP | ICMP6 => Vec::new(),
        _ => [&ports[..], &(8 + data as u16).to_be_bytes(), &[0, 0]].concat(),
    };
    [&header[..], &vec![0xda; data], tail].concat()
}
