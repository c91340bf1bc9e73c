//! `HTTP_GET` and `SSL_GET`: a page has the status, the sum and the words that it should have.

use std::error::Error as _;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, join, split};

use super::credentials::Credentials;
use super::moderate::Moderate;
use super::page::Page;
use super::probe::{Failure, Tools, within};
use super::{dial, tls};
use crate::config::model::check::{HttpProbe, HttpProtocol, Url};

/// The most bytes of headers, and of one piece of a page.
const MOST_HEADERS: usize = 64 * 1024;
const MOST_HEADER_LINES: usize = 1024;
/// The longest answer that is read.
const LONGEST: u64 = 16 << 20;
/// A page takes as long as so many steps at most, though each piece may take as long as one.
const PIECES: u32 = 8;
/// The name of keepalived's checks, by which servers' logs and rules know them.
const AGENT: &str = "KeepAliveClient";
/// What passes where nothing is said.
const GOOD: RangeInclusive<u16> = 200..=299;

/// Asks for the page with this number.
pub(super) async fn probe(
    http: &HttpProbe,
    step: usize,
    timeout: Duration,
    tools: &Tools,
    credentials: &Credentials,
) -> Result<(), Failure> {
    let Some(url) = http.urls.get(step) else { return Ok(()) };
    let asked = async {
        let stream = within(timeout, "", dial::tcp(&http.endpoint)).await?;
        let page = match http.tls {
            None => ask(split(stream), http, url, timeout).await?,
            Some(tls) => {
                let connect = tls::connect(stream, http, url, tls, credentials);
                let stream = within(timeout, "the TLS handshake", connect).await?;
                ask(stream, http, url, timeout).await?
            }
        };
        page.judge(tools.pattern(step)).await
    };
    asked.await.map_err(|failure| match failure {
        Failure::Server(reason) if http.urls.len() > 1 => Failure::Server(format!("{}: {reason}", url.path)),
        other => other,
    })
}

/// Asks over a connection, and reads as much of the page as is looked at.
async fn ask<'a>(
    (reading, writing): (impl AsyncRead + Unpin + Send + 'static, impl AsyncWrite + Unpin + Send + 'static),
    http: &HttpProbe,
    url: &'a Url,
    timeout: Duration,
) -> Result<Page<'a>, Failure> {
    let request = request(http, url)?;
    let mut builder = Builder::new();
    builder
        .max_buf_size(MOST_HEADERS)
        .max_headers(MOST_HEADER_LINES)
        // What is wrong with headers that nobody looks at does not matter.
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    let stream = TokioIo::new(join(Moderate::new(reading, longest(url)), writing));
    let connected = builder.handshake::<_, Empty<Bytes>>(stream).await;
    let (mut sender, connection) = connected.map_err(|error| failure(&error))?;
    let exchange = async {
        let response = within(timeout, "the answer", send(&mut sender, request)).await?;
        status(url, response.status().as_u16())?;
        within(timeout * PIECES, "the page", read(response, url, timeout)).await
    };
    let (mut connection, mut exchange) = (pin!(connection), pin!(exchange));
    tokio::select! {
        biased;
        page = &mut exchange => page,
        // What came before its end is still to be read.
        _ended = &mut connection => exchange.await,
    }
}

/// How long an answer may be. A pattern is looked for as far behind as it is wanted.
fn longest(url: &Url) -> u64 {
    LONGEST + url.regex.as_ref().map_or(0, |pattern| pattern.min_offset as u64)
}

async fn send(
    sender: &mut SendRequest<Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, Failure> {
    sender.send_request(request).await.map_err(|error| failure(&error))
}

async fn read(mut response: Response<Incoming>, url: &Url, timeout: Duration) -> Result<Page<'_>, Failure> {
    let mut page = Page::new(url);
    let failed = |error: hyper::Error| failure(&error);
    while let Some(frame) =
        within(timeout, "more of the page", async { response.frame().await.transpose().map_err(failed) })
            .await?
    {
        if let Some(bytes) = frame.data_ref()
            && !page.take(bytes)
        {
            break;
        }
    }
    Ok(page)
}

fn request(http: &HttpProbe, url: &Url) -> Result<Request<Empty<Bytes>>, Failure> {
    let (version, connection) = match http.protocol {
        HttpProtocol::V10 => (Version::HTTP_10, None),
        HttpProtocol::V10Close => (Version::HTTP_10, Some("close")),
        HttpProtocol::V11 => (Version::HTTP_11, Some("close")),
        HttpProtocol::V11Keep => (Version::HTTP_11, None),
    };
    let host = url.virtualhost.clone().unwrap_or_else(|| host(http));
    let mut request = Request::builder()
        .method(Method::GET)
        .version(version)
        .uri(&url.path)
        .header(USER_AGENT, AGENT)
        .header(HOST, host);
    if let Some(connection) = connection {
        request = request.header(CONNECTION, HeaderValue::from_static(connection));
    }
    let request = request.body(Empty::new());
    request.map_err(|error| Failure::Host(format!("the page cannot be asked for: {error}")))
}

/// The address, with its port if that is not the usual one.
fn host(http: &HttpProbe) -> String {
    let usual = if http.tls.is_some() { 443 } else { 80 };
    let (address, port) = (http.endpoint.connect_ip, http.endpoint.connect_port);
    let address = match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    if port == usual { address } else { format!("{address}:{port}") }
}

fn status(url: &Url, got: u16) -> Result<(), Failure> {
    let passing = if url.status.is_empty() { &[GOOD][..] } else { &url.status };
    if passing.iter().any(|codes| codes.contains(&got)) {
        return Ok(());
    }
    let text = |codes: &RangeInclusive<u16>| match (codes.start(), codes.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    let wanted: Vec<_> = passing.iter().map(text).collect();
    Err(format!("HTTP status {got}, wanted {}", wanted.join(" ")).into())
}

const CUT: &str = "the connection was closed in the middle of the answer";

/// What hyper says, down to its cause.
fn failure(error: &hyper::Error) -> Failure {
    if error.is_parse_too_large() {
        return format!("the headers are longer than {MOST_HEADERS} bytes").into();
    }
    if let Some(cause) = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>()) {
        return if cause.kind() == ErrorKind::UnexpectedEof { CUT.into() } else { Failure::of(cause) };
    }
    if error.is_parse() {
        return format!("the answer is not HTTP: {error}").into();
    }
    if error.is_incomplete_message() {
        return CUT.into();
    }
    format!("the answer cannot be read: {error}").into()
}
