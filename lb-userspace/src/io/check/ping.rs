//! `PING_CHECK`: an echo request is answered.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use socket2::{Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::dial;
use super::probe::{Failure, Seconds};
use crate::config::model::check::Endpoint;

/// Type, code, checksum, identifier and sequence number, RFC 792 page 14, RFC 4443 section 4.1.
const HEADER: usize = 8;
/// What tells our answers from others.
const TOKEN: usize = 16;
/// The longest header of IPv4, which a raw socket gets too, and the answer.
const LONGEST: usize = 60 + HEADER + TOKEN;

/// Sends one request and waits for its answer.
pub(super) async fn probe(endpoint: &Endpoint, limit: Duration) -> Result<(), Failure> {
    let endpoint = Endpoint { connect_port: 0, bind_port: None, ..endpoint.clone() };
    let (socket, is_raw) = open(&endpoint)?;
    socket.connect(&dial::address(&endpoint)?.into()).map_err(|error| Failure::of(&error))?;
    // What sends and receives whole datagrams does not care which kind they are of.
    let socket = UdpSocket::from_std(socket.into()).map_err(|error| Failure::of(&error))?;
    let token: [u8; TOKEN] = rand::random();
    let request = request(endpoint.connect_ip, token);
    match tokio::time::timeout(limit, exchange(&socket, &request, is_raw)).await {
        Ok(result) => result.map_err(|error| Failure::of(&error)),
        Err(_) => Err(format!("no echo within {}", Seconds(limit)).into()),
    }
}

/// A socket for echo requests alone, whose answers the kernel sorts; where `ping_group_range` leaves this user out, a raw one.
fn open(endpoint: &Endpoint) -> Result<(Socket, bool), Failure> {
    let protocol = if endpoint.connect_ip.is_ipv4() { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
    match dial::open(endpoint, Type::DGRAM, protocol) {
        Ok(socket) => Ok((socket, false)),
        Err(_) => dial::open(endpoint, Type::RAW, protocol).map(|socket| (socket, true)),
    }
}

fn request(to: IpAddr, token: [u8; TOKEN]) -> Vec<u8> {
    let kind = if to.is_ipv4() { 8 } else { 128 };
    let mut packet = vec![kind, 0, 0, 0, token[0], token[1], 0, 1];
    packet.extend(token);
    if to.is_ipv4() {
        // Over IPv6 the kernel puts it in.
        let sum = lb_common::checksum::internet(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

async fn exchange(socket: &UdpSocket, request: &[u8], is_raw: bool) -> io::Result<()> {
    socket.send(request).await?;
    let mut buffer = [0; LONGEST];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if answers(&buffer[..length], request, is_raw) {
            return Ok(());
        }
    }
}

/// Whether it is the answer: an echo reply with our token, number in the sequence and, where it is not the kernel's, identifier.
fn answers(bytes: &[u8], request: &[u8], is_raw: bool) -> bool {
    let (Some(&sent), Some(token)) = (request.first(), request.get(HEADER..)) else { return false };
    let (reply, header) = match (sent, bytes.first()) {
        (8, Some(first)) if is_raw => (0, usize::from(first & 0xf) * 4),
        (8, _) => (0, 0),
        _ => (129, 0),
    };
    let Some(packet) = bytes.get(header..) else { return false };
    let ours = if is_raw { 4..HEADER } else { 6..HEADER };
    packet.first() == Some(&reply)
        && packet.get(ours.clone()) == request.get(ours)
        && packet.get(HEADER..) == Some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_all_that_the_request_had() {
        for (to, reply) in
            [(IpAddr::from([10, 0, 0, 1]), 0), (IpAddr::from([0xfd00_u16, 0, 0, 0, 0, 0, 0, 1]), 129)]
        {
            let request = request(to, [7; TOKEN]);
            let mut answer = request.clone();
            answer[0] = reply;
            let is_v4 = to.is_ipv4();
            let raw = |packet: &[u8]| if is_v4 { [&[0x45; 20], packet].concat() } else { packet.to_vec() };
            assert!(answers(&answer, &request, false) && answers(&raw(&answer), &request, true));
            // The type, the identifier, the number in the sequence, the first and the last byte of the token.
            for (place, refused) in
                [(0, [true; 2]), (5, [false, true]), (7, [true; 2]), (8, [true; 2]), (23, [true; 2])]
            {
                let mut wrong = answer.clone();
                wrong[place] ^= 0x40;
                let got = [!answers(&wrong, &request, false), !answers(&raw(&wrong), &request, true)];
                assert_eq!(got, refused, "{to}: byte {place}");
            }
            for length in 0..answer.len() {
                assert!(!answers(&answer[..length], &request, false), "{length} bytes");
            }
        }
    }
}
