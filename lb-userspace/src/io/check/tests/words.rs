//! Mail probes against servers that say exactly what a test wants.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::endpoint;
use crate::config::model::check::SmtpProbe;
use crate::io::check::probe::Failure;
use crate::io::check::smtp::probe;

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(200);

/// A server that says each of these, and hears a line before each but the first; gives what it heard.
async fn saying(replies: &[&'static str]) -> (SocketAddr, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let replies = replies.to_vec();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        for (place, reply) in replies.iter().enumerate() {
            let mut line = Vec::new();
            while place > 0 && !line.ends_with(b"\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => line.push(byte),
                    Err(_) => return heard,
                }
            }
            heard.push(String::from_utf8(line).unwrap());
            if stream.write_all(reply.as_bytes()).await.is_err() {
                break;
            }
        }
        heard
    });
    (address, served)
}

fn mail(address: SocketAddr) -> SmtpProbe {
    SmtpProbe { helo_name: "lvs.example.com".to_owned(), endpoint: endpoint(address) }
}

async fn judged(replies: &[&'static str]) -> Result<(), Failure> {
    let (address, _served) = saying(replies).await;
    probe(&mail(address), LONG).await
}

#[tokio::test]
async fn a_mail_server_greets_and_says_good_bye() {
    let replies = ["220-a\r\n220 b\r\n", "250-x\r\n250-y\r\n250 z\r\n", "221\r\n"];
    let (address, served) = saying(&replies).await;
    assert_eq!(probe(&mail(address), LONG).await, Ok(()));
    assert_eq!(served.await.unwrap(), ["", "HELO lvs.example.com\r\n", "QUIT\r\n"]);
}

#[tokio::test]
async fn every_other_reply_is_a_failure() {
    let said = judged(&["554 no\r\n"]).await;
    assert_eq!(said, Err("SMTP reply 554 to greeting, wanted 220".into()));
    let said = judged(&["220 a\r\n", "502 no\r\n"]).await;
    assert_eq!(said, Err("SMTP reply 502 to HELO, wanted 250".into()));
    let said = judged(&["220-a\r\n521 no\r\n"]).await;
    assert_eq!(said, Err("SMTP reply 521 to greeting, wanted 220".into()), "its last line decides too");
    let said = judged(&["220 a\r\n", "250 a\r\n", "250 a\r\n"]).await;
    assert_eq!(said, Ok(()), "whatever it says at the end");
    assert_eq!(judged(&["HTTP/1.1 400\r\n"]).await, Err("the reply to greeting is not SMTP".into()));
    assert_eq!(judged(&["\n"]).await, Err("the reply to greeting is not SMTP".into()));
    let said = judged(&["220"]).await;
    assert_eq!(said, Err("the connection was closed before the reply to greeting".into()));
}

#[tokio::test]
async fn what_never_ends_ends_here() {
    let long = String::leak("2".repeat(70_000));
    assert_eq!(judged(&[long]).await, Err("the reply to greeting has a line without end".into()));
    let many = String::leak("220-a\r\n".repeat(100));
    assert_eq!(judged(&[many]).await, Err("the reply to greeting has more than 64 lines".into()));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let said = probe(&mail(listener.local_addr().unwrap()), SHORT).await;
    assert_eq!(said, Err("the greeting timed out after 0.2 s".into()));
}
