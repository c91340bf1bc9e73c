//! What drivers do for XDP, by the kernel's generic netlink family `netdev` (Linux 6.3).

use std::io;

use futures_util::StreamExt as _;
use netlink_packet_core::{
    DecodeError, Emitable, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, NlasIterator, ParseableParametrized,
};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};

/// Of `linux/netdev.h`.
const DEV_GET: u8 = 1;
const IFINDEX: u16 = 1;
const XDP_FEATURES: u16 = 3;

/// A question for an interface, or the answer.
#[derive(Clone, Debug, Default)]
struct Device {
    index: u32,
    features: Option<u64>,
}

impl GenlFamily for Device {
    fn family_name() -> &'static str {
        "netdev"
    }

    fn command(&self) -> u8 {
        DEV_GET
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Device {
    fn buffer_len(&self) -> usize {
        8
    }

    fn emit(&self, buffer: &mut [u8]) {
        buffer[..2].copy_from_slice(&8_u16.to_ne_bytes());
        buffer[2..4].copy_from_slice(&IFINDEX.to_ne_bytes());
        buffer[4..8].copy_from_slice(&self.index.to_ne_bytes());
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Device {
    fn parse_with_param(bytes: &[u8], _: GenlHeader) -> Result<Self, DecodeError> {
        let mut device = Self::default();
        for attribute in NlasIterator::new(bytes) {
            let attribute = attribute?;
            let value = attribute.value();
            match attribute.kind() {
                IFINDEX => device.index = value.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes)),
                XDP_FEATURES => device.features = value.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes)),
                _ => {}
            }
        }
        Ok(device)
    }
}

/// Asks for interfaces one by one.
pub(super) struct Netdev(genetlink::GenetlinkHandle);

impl Netdev {
    /// In the network namespace of the calling thread.
    pub(super) fn open() -> io::Result<Self> {
        let (connection, handle, _) = genetlink::new_connection()?;
        tokio::spawn(connection);
        Ok(Self(handle))
    }

    /// The bits of `netdev_xdp_act`, if the kernel has that family and the interface.
    pub(super) async fn xdp(&mut self, index: u32) -> Option<u64> {
        let question = GenlMessage::from_payload(Device { index, features: None });
        let mut request = NetlinkMessage::from(question);
        request.header.flags = NLM_F_REQUEST;
        let answers = self.0.request(request).await.ok()?;
        let mut answers = std::pin::pin!(answers);
        while let Some(Ok(answer)) = answers.next().await {
            match answer.payload {
                NetlinkPayload::InnerMessage(message) if message.payload.index == index => {
                    return message.payload.features;
                }
                NetlinkPayload::InnerMessage(_) => {}
                _ => return None,
            }
        }
        None
    }
}
