//! Offloads and queues, by the kernel's generic netlink family `ethtool` (Linux 5.6).

use std::{collections::BTreeSet, io};

use ::ethtool::{EthtoolAttr, EthtoolChannelAttr, EthtoolFeatureAttr, EthtoolHandle};
use futures_util::StreamExt as _;

use crate::doctor::facts::Queues;

/// Asks for interfaces one by one. What a driver does not tell, nobody hears of.
pub(super) struct Ethtool(EthtoolHandle);

impl Ethtool {
    /// In the network namespace of the calling thread.
    pub(super) fn open() -> io::Result<Self> {
        let (connection, handle, _) = ::ethtool::new_connection()?;
        tokio::spawn(connection);
        Ok(Self(handle))
    }

    /// The offloads that are on, by the kernel's names, and those that nobody can switch.
    pub(super) async fn offloads(&mut self, interface: &str) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut on, mut fixed) = (BTreeSet::new(), BTreeSet::new());
        let Ok(answers) = self.0.feature().get(Some(interface)).execute().await else { return (on, fixed) };
        let mut answers = std::pin::pin!(answers);
        while let Some(Ok(answer)) = answers.next().await {
            for attribute in answer.payload.nlas {
                match attribute {
                    EthtoolAttr::Feature(EthtoolFeatureAttr::Active(bits)) => {
                        on.extend(bits.into_iter().filter(|bit| bit.value).map(|bit| bit.name));
                    }
                    EthtoolAttr::Feature(EthtoolFeatureAttr::Hw(bits)) => {
                        fixed.extend(bits.into_iter().filter(|bit| !bit.value).map(|bit| bit.name));
                    }
                    _ => {}
                }
            }
        }
        (on, fixed)
    }

    /// The queues that receive.
    pub(super) async fn queues(&mut self, interface: &str) -> Option<Queues> {
        // How many there are, and can be.
        let (mut separate, mut combined) = ((0, 0), (0, 0));
        let mut answers = std::pin::pin!(self.0.channel().get(Some(interface)).execute().await.ok()?);
        while let Some(Ok(answer)) = answers.next().await {
            for attribute in answer.payload.nlas {
                match attribute {
                    EthtoolAttr::Channel(EthtoolChannelAttr::RxCount(count)) => separate.0 = count,
                    EthtoolAttr::Channel(EthtoolChannelAttr::RxMax(count)) => separate.1 = count,
                    EthtoolAttr::Channel(EthtoolChannelAttr::CombinedCount(count)) => combined.0 = count,
                    EthtoolAttr::Channel(EthtoolChannelAttr::CombinedMax(count)) => combined.1 = count,
                    _ => {}
                }
            }
        }
        let now = separate.0 + combined.0;
        // A driver that has queues of both kinds tells how many there can be of each, not of both.
        let (most, kind) =
            if combined.0 > 0 { (combined.1.max(separate.1), "combined") } else { (separate.1, "rx") };
        (now > 0).then_some(Queues { now, most, kind })
    }
}
