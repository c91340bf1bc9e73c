//! `TCP_CHECK`: a connection comes about.

use std::time::Duration;

use super::dial;
use super::probe::{Failure, within};
use crate::config::model::check::Endpoint;

/// Connects once and closes again; the handshake is the whole probe.
pub(super) async fn probe(endpoint: &Endpoint, timeout: Duration) -> Result<(), Failure> {
    within(timeout, "", dial::tcp(endpoint)).await.map(drop)
}
