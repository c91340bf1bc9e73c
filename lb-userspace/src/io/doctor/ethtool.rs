//! Offloads and queues, by the kernel's generic netlink family `ethtool` (Linux 5.6).

use std::{collections::BTreeSet, io};

use ::ethtool::{EthtoolAttr, EthtoolChannelAttr, EthtoolFeatureAttr, EthtoolHandle};
use futures_util::StreamExt as _;

/// Asks for interfaces one by one. What a driver does not tell, nobody hears of.
pub(super) struct Ethtool(EthtoolHandle);

impl Ethtool {
    /// In the network namespace of the calling thread.
    pub(super) fn open() -> io::Result<Self> {
        let (connection, handle, _) = ::ethtool::new_connection()?;
        tokio::spawn(connection);
        Ok(Self(handle))
    }

    /// The offloads that are on, by the kernel's names.
    pub(super) async fn offloads(&mut self, interface: &str) -> BTreeSet<String> {
        let mut on = BTreeSet::new();
        let Ok(answers) = self.0.feature().get(Some(interface)).execute().await else { return on };
        let mut answers = std::pin::pin!(answers);
        while let Some(Ok(answer)) = answers.next().await {
            for attribute in answer.payload.nlas {
                if let EthtoolAttr::Feature(EthtoolFeatureAttr::Active(bits)) = attribute {
                    on.extend(bits.into_iter().filter(|bit| bit.value).map(|bit| bit.name));
                }
            }
        }
        on
    }

    /// How many queues receive, and how many could.
    pub(super) async fn queues(&mut self, interface: &str) -> Option<[u32; 2]> {
        let (mut now, mut most) = (0, 0);
        let mut answers = std::pin::pin!(self.0.channel().get(Some(interface)).execute().await.ok()?);
        while let Some(Ok(answer)) = answers.next().await {
            for attribute in answer.payload.nlas {
                match attribute {
                    EthtoolAttr::Channel(
                        EthtoolChannelAttr::RxCount(count) | EthtoolChannelAttr::CombinedCount(count),
                    ) => {
                        now += count;
                    }
                    EthtoolAttr::Channel(
                        EthtoolChannelAttr::RxMax(count) | EthtoolChannelAttr::CombinedMax(count),
                    ) => {
                        // A driver that has queues of both kinds tells how many there can be of each, not of both.
                        most = most.max(count);
                    }
                    _ => {}
                }
            }
        }
        (now > 0).then_some([now, most])
    }
}
