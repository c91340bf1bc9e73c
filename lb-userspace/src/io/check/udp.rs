//! `UDP_CHECK`: a port is not unreachable, or answers as it should.

use std::io;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::dial;
use super::probe::{Failure, Seconds};
use crate::config::model::check::{HexByte, UdpProbe};

/// How much is sent where it is not said what.
const RANDOM_BYTES: usize = 32;

/// Sends one datagram. That nothing comes back is success, unless an answer is wanted.
pub(super) async fn probe(probe: &UdpProbe, limit: Duration) -> Result<(), Failure> {
    let socket = dial::udp(&probe.endpoint)?;
    let random: [u8; RANDOM_BYTES] = rand::random();
    let payload = probe.payload.as_deref().unwrap_or(&random);
    match timeout(limit, exchange(&socket, payload, probe)).await {
        Ok(result) => result,
        Err(_) if probe.require_reply.is_none() => Ok(()),
        Err(_) => Err(format!("no answer within {}", Seconds(limit)).into()),
    }
}

async fn exchange(socket: &UdpSocket, payload: &[u8], probe: &UdpProbe) -> Result<(), Failure> {
    socket.send(payload).await.map_err(|error| unreachable(&error))?;
    // One byte more shows that an answer is too long.
    let mut buffer = vec![0; usize::from(probe.max_reply_length) + 1];
    let length = socket.recv(&mut buffer).await.map_err(|error| unreachable(&error))?;
    match &probe.require_reply {
        Some(pattern) => judge(&buffer[..length], pattern, probe),
        None => Ok(()),
    }
}

fn judge(reply: &[u8], pattern: &[HexByte], probe: &UdpProbe) -> Result<(), Failure> {
    let (least, most) = (probe.min_reply_length.into(), probe.max_reply_length.into());
    if reply.len() > most {
        return Err(format!("the answer has more than {most} bytes").into());
    }
    if reply.len() < least {
        return Err(format!("the answer has {} bytes, wanted at least {least}", reply.len()).into());
    }
    let differs = |(byte, wanted): (&u8, &HexByte)| byte & wanted.mask != wanted.value;
    match reply.iter().zip(pattern).position(differs) {
        Some(place) => Err(format!("the answer differs from what is wanted in byte {}", place + 1).into()),
        None => Ok(()),
    }
}

fn unreachable(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "port unreachable".into(),
        _ => Failure::of(error),
    }
}
