//! HTTP probes against servers that say exactly what a test wants, and worse.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{endpoint, refusing};
use crate::config::model::check::{HttpProbe, HttpProtocol, PagePattern, Probe, Url};
use crate::io::check::Credentials;
use crate::io::check::http::probe;
use crate::io::check::probe::{Failure, Tools};

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(200);

pub(super) fn page() -> Url {
    Url { path: "/a?b".to_owned(), virtualhost: None, status: Vec::new(), digest: None, regex: None }
}

pub(super) fn of(address: SocketAddr, url: Url) -> HttpProbe {
    HttpProbe {
        endpoint: endpoint(address),
        tls: None,
        protocol: HttpProtocol::V11,
        fast_recovery: false,
        urls: vec![url],
    }
}

/// A server that answers one request with these bytes, then with the others for ever, and gives the request.
async fn serving(
    first: impl Into<Vec<u8>>,
    endless: &'static [u8],
) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    serving_at(Ipv4Addr::LOCALHOST.into(), first, endless).await
}

async fn serving_at(
    host: IpAddr,
    first: impl Into<Vec<u8>>,
    endless: &'static [u8],
) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind((host, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let first = first.into();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        let mut written = stream.write_all(&first).await;
        while written.is_ok() && !endless.is_empty() {
            written = stream.write_all(endless).await;
        }
        String::from_utf8(request).unwrap()
    });
    (address, served)
}

async fn ask(http: &HttpProbe, limit: Duration) -> Result<(), Failure> {
    let tools = Tools::of(&Probe::Http(http.clone()));
    probe(http, 0, limit, &tools, &Credentials::none().unwrap()).await
}

/// What a probe of one page says of a server that answers so.
async fn judged(url: Url, answer: &str, endless: &'static [u8], limit: Duration) -> Result<(), Failure> {
    let (address, served) = serving(answer, endless).await;
    let said = ask(&of(address, url), limit).await;
    served.abort();
    said
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn the_request_is_what_keepalived_asks() {
    let rows = [
        (
            HttpProtocol::V10,
            None,
            "GET /a?b HTTP/1.0\r\nuser-agent: KeepAliveClient\r\nhost: 127.0.0.1:PORT\r\n\r\n",
        ),
        (
            HttpProtocol::V10Close,
            Some("www.example.com"),
            "GET /a?b HTTP/1.0\r\nuser-agent: KeepAliveClient\r\nhost: www.example.com\r\nconnection: close\r\n\r\n",
        ),
        (
            HttpProtocol::V11,
            None,
            "GET /a?b HTTP/1.1\r\nuser-agent: KeepAliveClient\r\nhost: 127.0.0.1:PORT\r\nconnection: close\r\n\r\n",
        ),
        (
            HttpProtocol::V11Keep,
            None,
            "GET /a?b HTTP/1.1\r\nuser-agent: KeepAliveClient\r\nhost: 127.0.0.1:PORT\r\n\r\n",
        ),
    ];
    for (protocol, host, wanted) in rows {
        let (address, served) = serving(ok("fine"), b"").await;
        let url = Url { virtualhost: host.map(str::to_owned), ..page() };
        let http = HttpProbe { protocol, ..of(address, url) };
        assert_eq!(ask(&http, LONG).await, Ok(()));
        assert_eq!(served.await.unwrap(), wanted.replace("PORT", &address.port().to_string()));
    }
}

#[tokio::test]
async fn an_ipv6_address_is_a_host_in_brackets() {
    let (address, served) = serving_at(Ipv6Addr::LOCALHOST.into(), ok(""), b"").await;
    assert_eq!(ask(&of(address, page()), LONG).await, Ok(()));
    let request = served.await.unwrap();
    assert!(request.contains(&format!("\r\nhost: [::1]:{}\r\n", address.port())), "{request}");
}

#[tokio::test]
async fn the_status_decides() {
    let answer = "HTTP/1.0 503 Busy\r\n\r\n";
    let said = judged(page(), answer, b"", LONG).await;
    assert_eq!(said, Err("HTTP status 503, wanted 200-299".into()));
    let url = Url { status: vec![200..=200, 301..=302], ..page() };
    let said = judged(url, answer, b"", LONG).await;
    assert_eq!(said, Err("HTTP status 503, wanted 200 301-302".into()));
    let url = Url { status: vec![500..=599], ..page() };
    assert_eq!(judged(url, answer, b"", LONG).await, Ok(()));
}

#[tokio::test]
async fn the_sum_and_the_words_of_a_page_decide() {
    let abc = 0x9001_5098_3cd2_4fb0_d696_3f7d_28e1_7f72_u128.to_be_bytes();
    let url = Url { digest: Some(abc), ..page() };
    assert_eq!(judged(url.clone(), &ok("abc"), b"", LONG).await, Ok(()));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n";
    assert_eq!(judged(url.clone(), chunked, b"", LONG).await, Ok(()));
    let until_the_end = "HTTP/1.0 200 OK\r\n\r\nabc";
    assert_eq!(judged(url.clone(), until_the_end, b"", LONG).await, Ok(()));
    let Err(Failure::Server(reason)) = judged(url, &ok("abd"), b"", LONG).await else { panic!("it passed") };
    assert!(reason.ends_with("differs from 900150983cd24fb0d6963f7d28e17f72"), "{reason}");
    let regex = PagePattern {
        pattern: "^state: (up|fine)$".to_owned(),
        no_match: false,
        options: vec![crate::config::model::check::PatternOption::Multiline],
        stack: None,
        min_offset: 0,
        max_offset: None,
    };
    let url = Url { regex: Some(regex), ..page() };
    assert_eq!(judged(url.clone(), &ok("# page\nstate: up\n"), b"", LONG).await, Ok(()));
    let said = judged(url, &ok("state: down\n"), b"", LONG).await;
    assert_eq!(said, Err("the pattern `^state: (up|fine)$` is not in the page".into()));
}

#[tokio::test]
async fn one_of_several_pages_is_named() {
    let (_closed, address) = refusing();
    let http =
        HttpProbe { urls: vec![page(), Url { path: "/second".to_owned(), ..page() }], ..of(address, page()) };
    let said = probe(&http, 1, LONG, &Tools::default(), &Credentials::none().unwrap()).await;
    assert_eq!(said, Err("/second: connection refused".into()));
    let one = of(address, page());
    assert_eq!(ask(&one, LONG).await, Err("connection refused".into()));
}

#[tokio::test]
async fn what_never_ends_ends_here() {
    let begun = "HTTP/1.1 200 OK\r\n";
    let said = judged(page(), begun, b"x-more: and more\r\n", LONG).await;
    assert_eq!(said, Err("the headers are longer than 65536 bytes".into()));
    let open = "HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n";
    let said = judged(page(), open, &[b'a'; 4096], LONG).await;
    assert_eq!(said, Ok(()), "nobody looks at it");
    let url = Url { digest: Some([0; 16]), ..page() };
    let said = judged(url, open, &[b'a'; 4096], LONG).await;
    assert_eq!(said, Err("the answer is longer than 16777216 bytes".into()));
    assert_eq!(
        judged(page(), open, b"", LONG).await,
        Err("the connection was closed in the middle of the answer".into())
    );
}

#[tokio::test]
async fn what_is_silent_is_waited_for_so_long() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let said = ask(&of(listener.local_addr().unwrap(), page()), SHORT).await;
    assert_eq!(said, Err("the answer timed out after 0.2 s".into()));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let http = of(listener.local_addr().unwrap(), page());
    let begin = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nthe beginning").await.unwrap();
        stream
    };
    let (said, _open) = tokio::join!(ask(&http, SHORT), begin);
    assert_eq!(said, Err("more of the page timed out after 0.2 s".into()));
}

#[tokio::test]
async fn rubbish_is_not_http() {
    for rubbish in [
        "220 mail ready\r\n",
        "\0\u{1}\u{2}\u{3}\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
    ] {
        let said = judged(page(), rubbish, b"", LONG).await;
        assert!(matches!(&said, Err(Failure::Server(_))), "{rubbish:?}: {said:?}");
    }
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n";
    let said = judged(page(), chunks, b"", LONG).await;
    assert!(matches!(&said, Err(Failure::Server(_))), "{said:?}");
    let said = judged(page(), "", b"", LONG).await;
    assert_eq!(said, Err("the connection was closed in the middle of the answer".into()));
}
