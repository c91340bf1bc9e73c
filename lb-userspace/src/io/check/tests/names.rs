//! DNS, UDP and echo probes against servers that answer exactly what a test wants.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::RecordType;
use tokio::net::UdpSocket;

use super::endpoint;
use crate::config::model::check::{DnsProbe, DnsRecord, Endpoint, HexByte, UdpProbe};
use crate::io::check::probe::Failure;
use crate::io::check::{dns, ping, udp};

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(200);

/// A server that answers each datagram with those that `answer` makes of it.
async fn answering(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            for reply in answer(&buffer[..length]) {
                socket.send_to(&reply, peer).await.unwrap();
            }
        }
    });
    address
}

/// A port that nobody has, while this is kept.
async fn unused() -> (tokio::net::TcpListener, SocketAddr) {
    let kept = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = kept.local_addr().unwrap();
    (kept, address)
}

fn response(question: &[u8], code: ResponseCode) -> Vec<u8> {
    let mut message = Message::from_vec(question).unwrap();
    assert_eq!(message.queries()[0].query_type(), RecordType::MX);
    assert_eq!(message.queries()[0].name().to_string(), "www.example.com.");
    message.set_message_type(MessageType::Response).set_response_code(code);
    message.to_vec().unwrap()
}

async fn ask(address: SocketAddr, limit: Duration) -> Result<(), Failure> {
    let name = "www.example.com".to_owned();
    dns::probe(&DnsProbe { endpoint: endpoint(address), record: DnsRecord::Mx, name }, limit).await
}

#[tokio::test]
async fn a_dns_server_answers_without_an_error() {
    let fine = answering(|question| vec![response(question, ResponseCode::NoError)]).await;
    assert_eq!(ask(fine, LONG).await, Ok(()));
    let failing = answering(|question| vec![response(question, ResponseCode::ServFail)]).await;
    assert_eq!(ask(failing, LONG).await, Err("DNS error 2: Server Failure".into()));
    let late = answering(|question| {
        let mut other = response(question, ResponseCode::Refused);
        other[0] ^= 1;
        vec![other, vec![7], Vec::new(), response(question, ResponseCode::NoError)]
    });
    assert_eq!(ask(late.await, LONG).await, Ok(()), "what answers another question is passed over");
    let cut = answering(|question| vec![question[..5].to_vec()]).await;
    assert_eq!(ask(cut, LONG).await, Err("the answer is malformed".into()));
    let mirror = answering(|question| vec![question.to_vec()]).await;
    assert_eq!(ask(mirror, SHORT).await, Err("no answer within 0.2 s".into()), "a question is no answer");
    let silent = answering(|_| Vec::new()).await;
    assert_eq!(ask(silent, SHORT).await, Err("no answer within 0.2 s".into()));
    let (_kept, nobody) = unused().await;
    assert_eq!(ask(nobody, LONG).await, Err("port unreachable".into()));
}

fn sends(address: SocketAddr, payload: Option<&[u8]>, wanted: Option<&[(u8, u8)]>) -> UdpProbe {
    let bytes = |wanted: &[(u8, u8)]| wanted.iter().map(|&(value, mask)| HexByte { value, mask }).collect();
    UdpProbe {
        endpoint: endpoint(address),
        payload: payload.map(<[u8]>::to_vec),
        require_reply: wanted.map(bytes),
        min_reply_length: 2,
        max_reply_length: 4,
    }
}

#[tokio::test]
async fn a_udp_port_is_not_unreachable() {
    let silent = answering(|sent| {
        assert_eq!(sent.len(), 32);
        Vec::new()
    });
    assert_eq!(udp::probe(&sends(silent.await, None, None), SHORT).await, Ok(()));
    let (_kept, nobody) = unused().await;
    assert_eq!(udp::probe(&sends(nobody, None, None), LONG).await, Err("port unreachable".into()));
    assert_eq!(udp::probe(&sends(nobody, None, Some(&[])), LONG).await, Err("port unreachable".into()));
}

#[tokio::test]
async fn a_udp_answer_is_as_it_should_be() {
    let mirror = answering(|sent| vec![sent.to_vec()]).await;
    let said = async |payload: &[u8], wanted| udp::probe(&sends(mirror, Some(payload), wanted), LONG).await;
    assert_eq!(said(b"ab", None).await, Ok(()));
    assert_eq!(said(b"ab", Some(&[])).await, Ok(()));
    assert_eq!(
        said(b"ab", Some(&[(b'a', 0xff), (0x02, 0x0f), (9, 0xff)])).await,
        Ok(()),
        "as far as both are long"
    );
    let differs = said(b"ab", Some(&[(b'a', 0xff), (0x03, 0x0f)])).await;
    assert_eq!(differs, Err("the answer differs from what is wanted in byte 2".into()));
    assert_eq!(said(b"a", Some(&[])).await, Err("the answer has 1 bytes, wanted at least 2".into()));
    assert_eq!(said(b"abcde", Some(&[])).await, Err("the answer has more than 4 bytes".into()));
    assert_eq!(said(b"abcde", None).await, Ok(()), "its length matters only where it must come");
    let silent = answering(|_| Vec::new()).await;
    let said = udp::probe(&sends(silent, None, Some(&[])), SHORT).await;
    assert_eq!(said, Err("no answer within 0.2 s".into()));
}

#[tokio::test]
async fn this_host_answers_echo_requests() {
    for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        assert_eq!(ping::probe(&endpoint((address, 0).into()), LONG).await, Ok(()), "{address}");
    }
    // What leaves by this interface comes to nobody.
    let nobody =
        Endpoint { bind_if: Some("lo".to_owned()), ..endpoint((Ipv4Addr::new(192, 0, 2, 1), 0).into()) };
    let said = ping::probe(&nobody, SHORT).await;
    assert!(matches!(said, Err(Failure::Server(_))), "{said:?}");
    let absent = Endpoint { bind_if: Some("no-such-link".to_owned()), ..nobody };
    let said = ping::probe(&absent, SHORT).await;
    let nowhere = "cannot bind to no-such-link: there is no such interface".to_owned();
    assert_eq!(said, Err(Failure::Host(nowhere)));
}
