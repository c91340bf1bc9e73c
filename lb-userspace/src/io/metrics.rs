//! Owns the listener that monitoring reads from, on a thread of its own. Refuses to count: it asks the daemon's loop for the
//! status, as `xlvs status` does, and at most once in two seconds.

use std::{
    convert::Infallible,
    io::Write as _,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use flate2::{Compression, write::GzEncoder};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, VARY},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    sync::{Mutex, Semaphore, mpsc, oneshot},
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::socket::{self, Ask};
use crate::metrics::{Format, Metrics};

/// Connections at the same time; who comes beyond them waits in the kernel.
const CONNECTIONS: usize = 8;
/// How long one may take from its beginning to its end: there is one request in each.
const PATIENCE: Duration = Duration::from_secs(10);
/// Who asks again within this time gets the same page.
const FRESH: Duration = Duration::from_secs(2);
/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// The thread; it ends with the value.
#[derive(Debug)]
pub(super) struct Exporter {
    running: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

/// Takes the address in the network namespace of the caller, before anything else is taken: it may be another's.
///
/// # Errors
/// An address that cannot be listened on.
pub(super) fn bind(address: SocketAddr) -> anyhow::Result<StdListener> {
    let what = || {
        format!(
            "--metrics {address}: this cannot be listened on; another program has it, or this host has no such \
             address: name another, or leave the option out"
        )
    };
    let listener = StdListener::bind(address).with_context(what)?;
    listener.set_nonblocking(true).with_context(what)?;
    Ok(listener)
}

impl Exporter {
    /// Serves who comes to the listener.
    ///
    /// # Errors
    /// Without another thread or its descriptors.
    pub(super) fn start(listener: StdListener, asks: mpsc::Sender<Ask>) -> anyhow::Result<Self> {
        let what = "starting the thread that serves metrics";
        info!("metrics are at http://{}/metrics", listener.local_addr().context(what)?);
        let (running, ended) = oneshot::channel::<Infallible>();
        let work = move || {
            if let Err(error) = run(listener, asks, ended) {
                warn!("metrics are not served: {error:#}");
            }
        };
        let thread = std::thread::Builder::new().name("metrics".to_owned()).spawn(work).context(what)?;
        Ok(Self { running: Some(running), thread: Some(thread) })
    }
}

/// The thread's work, until `ended`.
fn run(
    listener: StdListener,
    asks: mpsc::Sender<Ask>,
    ended: oneshot::Receiver<Infallible>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        tokio::select! {
            () = serve(listener, Arc::new(Source::new(asks)), PATIENCE) => {}
            _ = ended => {}
        }
        Ok(())
    });
    runtime.shutdown_background();
    served
}

impl Drop for Exporter {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so on stderr.
            let _panicked = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, source: Arc<Source>, patience: Duration) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!("metrics: no connection can be taken: {error}");
                sleep(FRESH).await;
                continue;
            }
        };
        let source = Arc::clone(&source);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &source));
            let connection = http1::Builder::new()
                .keep_alive(false)
                .max_buf_size(MAX_HEAD)
                .serve_connection(TokioIo::new(stream), service);
            // Who breaks off or is too slow has himself to blame.
            let _late_or_broken = timeout(patience, connection).await;
            drop(place);
        });
    }
}

async fn answer(request: Request<Incoming>, source: &Source) -> Result<Response<Full<Bytes>>, Infallible> {
    let said = |status, text: &'static str| {
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        response
    };
    if request.uri().path() != "/metrics" {
        return Ok(said(StatusCode::NOT_FOUND, "the metrics are at /metrics\n"));
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = said(StatusCode::METHOD_NOT_ALLOWED, "");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(response);
    }
    let all = |name: HeaderName| {
        let values = request.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.collect::<Vec<_>>().join(",")
    };
    let kind =
        Kind { format: Format::accepted(&all(ACCEPT)), is_compressed: takes_gzip(&all(ACCEPT_ENCODING)) };
    let Some(page) = source.page(kind).await else {
        return Ok(said(StatusCode::SERVICE_UNAVAILABLE, "the director is stopping\n"));
    };
    let mut response = Response::new(Full::new(page));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind.format.content_type()));
    headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    if kind.is_compressed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(GZIP));
    }
    Ok(response)
}

/// A page as it goes out. Nearly all of it is the same names again and again, and monitoring asks for it compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    format: Format,
    is_compressed: bool,
}

const GZIP: &str = "gzip";

/// Does who sends this `Accept-Encoding` ask for a page that is compressed so, by that name (RFC 9110, section 12.5.3)?
fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().to_ascii_lowercase();
        let refused = weight.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case(GZIP) && !refused
    })
}

/// Compressed in little time rather than to few bytes.
fn compressed(page: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // A vector takes whatever is written.
    let _infallible = encoder.write_all(page);
    encoder.finish().unwrap_or_default()
}

/// Where pages come from.
#[derive(Debug)]
struct Source {
    asks: mpsc::Sender<Ask>,
    last: Mutex<Option<Reading>>,
}

#[derive(Debug)]
struct Reading {
    at: Instant,
    metrics: Metrics,
    pages: Vec<(Kind, Bytes)>,
}

impl Source {
    fn new(asks: mpsc::Sender<Ask>) -> Self {
        Self { asks, last: Mutex::new(None) }
    }

    /// A page that is fresh, unless the daemon's loop has ended.
    async fn page(&self, kind: Kind) -> Option<Bytes> {
        let mut last = self.last.lock().await;
        if last.as_ref().is_none_or(|reading| reading.at.elapsed() >= FRESH) {
            let status = socket::put(&self.asks, Ask::Status).await?;
            *last = Some(Reading { at: Instant::now(), metrics: Metrics::of(status), pages: Vec::new() });
        }
        let reading = last.as_mut()?;
        if let Some((_, page)) = reading.pages.iter().find(|(of, _)| *of == kind) {
            return Some(page.clone());
        }
        let page = reading.metrics.page(kind.format);
        let page = Bytes::from(if kind.is_compressed { compressed(page.as_bytes()) } else { page.into() });
        reading.pages.push((kind, page.clone()));
        Some(page)
    }
}

#[cfg(test)]
mod tests;
