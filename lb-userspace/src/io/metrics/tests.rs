use std::{
    io::Read as _,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::*;
use crate::status::sample;

/// A listener whose daemon answers each question; it counts them.
async fn listening() -> (SocketAddr, Arc<AtomicUsize>) {
    let (asks, mut reader) = socket::questions();
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Some(ask) = reader.recv().await {
            let Ask::Status(answer) = ask else { panic!("{ask:?}") };
            counting.fetch_add(1, Ordering::Relaxed);
            answer.send(sample::status()).expect("somebody waits");
        }
    });
    (serving(asks).await, asked)
}

async fn serving(asks: mpsc::Sender<Ask>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(serve(listener, Arc::new(Source::new(asks)), SHORT));
    address
}

async fn answered(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers and closes");
    answer
}

/// What a connection may take here.
const SHORT: Duration = Duration::from_secs(2);
const GET: &str = "GET /metrics HTTP/1.1\r\nhost: x\r\n";

#[tokio::test]
async fn pages_are_as_they_are_asked_for_and_of_one_reading() {
    let (address, asked) = listening().await;
    let text = answered(address, &format!("{GET}\r\n")).await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("text/plain; version=0.0.4"), "{text}");
    let request = format!("{GET}accept: application/openmetrics-text;version=1.0.0\r\n\r\n");
    let open = answered(address, &request).await;
    assert!(
        open.contains("application/openmetrics-text; version=1.0.0") && open.ends_with("# EOF\n"),
        "{open}"
    );
    assert_eq!(asked.load(Ordering::Relaxed), 1, "the second comes at once");
}

#[tokio::test]
async fn a_page_is_compressed_for_who_takes_it_so() {
    let (address, asked) = listening().await;
    let plain = answered(address, &format!("{GET}\r\n")).await;
    let (_, text) = plain.split_once("\r\n\r\n").expect("a head and a body");
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("{GET}accept-encoding: br, gzip;q=0.5\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("it answers and closes");
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    assert!(head.contains("content-encoding: gzip\r\n"), "{head}");
    let mut page = String::new();
    flate2::read::GzDecoder::new(&answer[end..]).read_to_string(&mut page).expect("it is whole");
    assert_eq!(page, text);
    assert_eq!(asked.load(Ordering::Relaxed), 1, "both are of one reading");
}

#[test]
fn a_coding_may_be_refused() {
    assert!(takes_gzip("gzip") && takes_gzip("deflate, GZIP") && takes_gzip("gzip;q=0.1"));
    assert!(
        !takes_gzip("") && !takes_gzip("identity") && !takes_gzip("gzip;Q=0") && !takes_gzip("gzip; q=0.000")
    );
}

#[tokio::test]
async fn nothing_else_is_answered() {
    let (address, asked) = listening().await;
    for (request, status) in [
        ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", "405"),
        ("\x01\x02\r\n\r\n", "400"),
    ] {
        let answer = answered(address, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    let (asks, _) = socket::questions();
    let answer = answered(serving(asks).await, &format!("{GET}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[tokio::test]
async fn who_only_holds_connections_is_cut_off() {
    let (address, _) = listening().await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS {
        silent.push(TcpStream::connect(address).await.expect("it listens"));
    }
    let before = Instant::now();
    let answer = answered(address, &format!("{GET}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(before.elapsed() >= SHORT / 2, "{:?}", before.elapsed());
}
