//! Owns the rtnetlink sockets: questions and changes to the kernel and the stream of its events, as plain facts.
//! Refuses to draw conclusions; those who ask do that.

use std::io;

use rtnetlink::packet_core::ErrorMessage;

mod changes;
mod decode;
mod encode;
mod events;
pub(crate) mod facts;
mod requests;

pub(crate) use events::{Event, Events, Group, RouteChange};
pub(crate) use requests::Requests;

/// `RTPROT_KEEPALIVED` of `linux/rtnetlink.h`: who made a route or rule.
const VRRP_PROTOCOL: u8 = 18;

/// What goes wrong with netlink itself, as opposed to an answer that says no.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket could not be made or died.
    #[error("cannot {what}: {source}")]
    Socket {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The kernel refused a question.
    #[error("the kernel does not {what}: {source}")]
    Refused {
        /// What it was asked to do.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// Something that is no answer to the question.
    #[error("unexpected answer when asking the kernel to {0}")]
    Unexpected(&'static str),
    /// No answer at all.
    #[error("the kernel left a netlink question unanswered for 5 s")]
    Silent,
}

impl Error {
    fn from_reply(what: &'static str, error: rtnetlink::Error) -> Self {
        match error {
            rtnetlink::Error::NetlinkError(message) => Self::refused(what, &message),
            _ => Self::Unexpected(what),
        }
    }

    fn refused(what: &'static str, message: &ErrorMessage) -> Self {
        Self::Refused { what, source: message.to_io() }
    }

    /// The error number of a refusal.
    pub(crate) fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { source, .. } => source.raw_os_error(),
            Self::Socket { .. } | Self::Unexpected(_) | Self::Silent => None,
        }
    }
}
