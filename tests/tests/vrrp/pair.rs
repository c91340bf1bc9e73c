//! Two directors, a client and a third host on 10.77.0.0/24, where most scenarios take place.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use lb_tests::Site;
use lb_tests::capture::Capture;
use lb_tests::config::VirtualRouter;
use lb_tests::daemon::Daemon;
use lb_tests::node::Node;

pub(crate) const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 100));
pub(crate) const VRID: u8 = 51;
pub(crate) const INTERFACE: &str = "eth0";
/// What a busy machine may add to a time that is measured.
pub(crate) const SLACK: Duration = Duration::from_millis(300);

/// The hosts; the directors run nothing yet.
pub(crate) struct Pair {
    pub(crate) first: Arc<Node>,
    pub(crate) second: Arc<Node>,
    pub(crate) client: Arc<Node>,
    pub(crate) other: Arc<Node>,
}

impl Pair {
    pub(crate) fn plug(site: &mut Site) -> Result<Self> {
        Ok(Self {
            first: site.director("dr1", INTERFACE, &["10.77.0.2/24", "fd77::2/64"])?,
            second: site.director("dr2", INTERFACE, &["10.77.0.3/24", "fd77::3/64"])?,
            client: site.host("client", INTERFACE, &["10.77.0.9/24", "fd77::9/64"])?,
            other: site.host("other", INTERFACE, &["10.77.0.66/24"])?,
        })
    }

    /// Records what both directors send.
    pub(crate) fn capture(&self, site: &Site) -> Result<Capture> {
        site.capture(&[&self.first, &self.second])
    }
}

/// A virtual router of version 2 with the address [`VIP`].
pub(crate) fn router(priority: u8) -> VirtualRouter {
    VirtualRouter::new(INTERFACE, VRID, priority, &VIP.to_string())
}

/// The program of a director.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Xlvs,
    Keepalived,
}

impl Program {
    pub(crate) fn start(self, node: &Node, config: &impl Display) -> Result<Daemon> {
        match self {
            Self::Xlvs => node.xlvs(&config.to_string()),
            Self::Keepalived => node.keepalived(&config.to_string()),
        }
    }
}
