//! The control socket: HTTP over a Unix socket, for the owner of the daemon only.

use std::{
    collections::HashSet,
    fmt::Debug,
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    routing::{get, post},
    serve::Listener,
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1,
    http::request,
};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
    time::timeout,
};
use tower_http::limit::RequestBodyLimitLayer;
use tracing::warn;

use super::{
    connections::{self, Templates},
    datapath::FlowMaps,
    events::{self, Follower},
};
use crate::adm::{Command, Scope, Table, state::ServiceId};
use crate::explain::{Explanation, Question};
use crate::status::{Reload, Status};

/// A question to the loop that owns everything; it answers through the channel.
#[derive(Debug)]
pub enum Ask {
    /// What `xlvs status` prints.
    Status(oneshot::Sender<Status>),
    /// That the file be read again.
    Reload(oneshot::Sender<Reload>),
    /// What happens from now on.
    Events(oneshot::Sender<Follower>),
    /// What ipvsadm lists, as far as it is asked for; what was counted of clients that stay with their servers comes with
    /// the question.
    Table(Templates, Scope, oneshot::Sender<Table>),
    /// What would become of a packet; the answer says why that cannot be told.
    Explain(Question, oneshot::Sender<Result<Explanation, String>>),
    /// The flow tables, to be read elsewhere; nothing while they are not there.
    Flows(oneshot::Sender<Option<Arc<FlowMaps>>>),
    /// That these commands of ipvsadm be followed, all or none; the answer says why not.
    Change(Vec<Command>, oneshot::Sender<Result<(), String>>),
}

/// Questions that may wait; a client beyond them waits for its turn.
const QUEUE: usize = 16;
/// The longest list of changes that is read, in bytes.
const MAX_CHANGES: usize = 64 << 20;
/// The longest answer a command reads, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// The socket's place in the state directory.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("control.sock")
}

/// Where questions are put, and where they are read.
pub fn questions() -> (mpsc::Sender<Ask>, mpsc::Receiver<Ask>) {
    mpsc::channel(QUEUE)
}

/// Listens until nobody reads the questions any more. A socket that a killed daemon left is replaced.
///
/// # Errors
/// A directory that cannot be written to.
pub fn listen(state_dir: &Path, asks: mpsc::Sender<Ask>) -> anyhow::Result<()> {
    let path = path(state_dir);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("removing the old {}", path.display()));
        }
        _ => {}
    }
    let listener = bind_private(&path).with_context(|| format!("listening on {}", path.display()))?;
    tokio::spawn(async move {
        if let Err(error) = serve(listener, asks).await {
            warn!("the control socket ended: {error}");
        }
    });
    Ok(())
}

/// Answers whoever `listener` takes in, until nobody reads the questions any more.
///
/// # Errors
/// None: it goes on after those of one connection.
pub async fn serve<L: Listener<Addr: Debug>>(listener: L, asks: mpsc::Sender<Ask>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/status", get(status))
        .route("/reload", post(reload))
        .route("/events", get(events::answer))
        .route("/table", get(table).post(services))
        .route("/table/persistent", get(connections::table))
        .route("/connections", get(connections::connections))
        .route("/changes", post(change))
        .route("/explain", post(explain))
        .layer(DefaultBodyLimit::disable())
        // What says that it is longer is refused before it is read.
        .layer(RequestBodyLimitLayer::new(MAX_CHANGES))
        .with_state(asks);
    axum::serve(listener, router).await
}

/// Nobody else can connect at any moment: the socket is made under another name and moved when its mode is set.
fn bind_private(path: &Path) -> std::io::Result<UnixListener> {
    let staging = path.with_extension("new");
    let _absent = std::fs::remove_file(&staging);
    let listener = UnixListener::bind(&staging)?;
    std::fs::set_permissions(&staging, Permissions::from_mode(0o600))?;
    std::fs::rename(&staging, path)?;
    Ok(listener)
}

async fn status(State(asks): State<mpsc::Sender<Ask>>) -> Result<Json<Status>, StatusCode> {
    answered(&asks, Ask::Status).await
}

async fn reload(State(asks): State<mpsc::Sender<Ask>>) -> Result<Json<Reload>, StatusCode> {
    answered(&asks, Ask::Reload).await
}

async fn table(State(asks): State<mpsc::Sender<Ask>>) -> Result<Json<Table>, StatusCode> {
    answered(&asks, |answer| Ask::Table(Templates::new(), Scope::Whole, answer)).await
}

async fn services(
    State(asks): State<mpsc::Sender<Ask>>,
    Json(services): Json<HashSet<ServiceId>>,
) -> Result<Json<Table>, StatusCode> {
    answered(&asks, |answer| Ask::Table(Templates::new(), Scope::Only(services), answer)).await
}

async fn change(
    State(asks): State<mpsc::Sender<Ask>>,
    Json(commands): Json<Vec<Command>>,
) -> Result<Json<Result<(), String>>, StatusCode> {
    answered(&asks, |answer| Ask::Change(commands, answer)).await
}

async fn explain(
    State(asks): State<mpsc::Sender<Ask>>,
    Json(question): Json<Question>,
) -> Result<Json<Result<Explanation, String>>, StatusCode> {
    answered(&asks, |answer| Ask::Explain(question, answer)).await
}

pub(super) async fn answered<T>(
    asks: &mpsc::Sender<Ask>,
    ask: impl FnOnce(oneshot::Sender<T>) -> Ask,
) -> Result<Json<T>, StatusCode> {
    put(asks, ask).await.map(Json).ok_or(StatusCode::SERVICE_UNAVAILABLE)
}

/// Puts a question to the loop; no answer when it has ended.
pub(super) async fn put<T>(
    asks: &mpsc::Sender<Ask>,
    ask: impl FnOnce(oneshot::Sender<T>) -> Ask,
) -> Option<T> {
    let (answer, waiting) = oneshot::channel();
    asks.send(ask(answer)).await.ok()?;
    waiting.await.ok()
}

/// The end of `question` to the daemon of `state_dir`, if it comes within `patience`; `hint` says what to do about silence.
///
/// # Errors
/// Silence, and those of the question.
pub async fn patiently<T>(
    state_dir: &Path,
    patience: Duration,
    question: impl Future<Output = anyhow::Result<T>>,
    hint: &str,
) -> anyhow::Result<T> {
    timeout(patience, question).await.unwrap_or_else(|_| {
        let (socket, seconds) = (path(state_dir), patience.as_secs());
        bail!("{}: no answer for {seconds} s: the daemon is stopped or hangs{hint}", socket.display())
    })
}

/// Asks the daemon of `state_dir` for its status.
///
/// # Errors
/// No daemon, no permission, an answer that is none.
pub async fn ask_status(state_dir: &Path) -> anyhow::Result<Status> {
    ask(state_dir, Request::get("/status"), Bytes::new()).await
}

/// Asks the daemon of `state_dir` for what ipvsadm lists, and if `persistent` for how many clients stay with each real server.
///
/// # Errors
/// No daemon, no permission, an answer that is none.
pub async fn ask_table(state_dir: &Path, persistent: bool) -> anyhow::Result<Table> {
    let place = if persistent { "/table/persistent" } else { "/table" };
    ask(state_dir, Request::get(place), Bytes::new()).await
}

/// Asks the daemon of `state_dir` for as much of what ipvsadm lists as a command needs to be followed.
///
/// # Errors
/// No daemon, no permission, an answer that is none.
pub async fn ask_scope(state_dir: &Path, scope: &Scope) -> anyhow::Result<Table> {
    let Scope::Only(services) = scope else { return ask_table(state_dir, false).await };
    let request = Request::post("/table").header("content-type", "application/json");
    ask(state_dir, request, serde_json::to_vec(services)?.into()).await
}

/// Asks the daemon of `state_dir` to follow commands, all or none; the answer says why not.
///
/// # Errors
/// No daemon, no permission, an answer that is none.
pub async fn ask_change(state_dir: &Path, commands: &[Command]) -> anyhow::Result<Result<(), String>> {
    let request = Request::post("/changes").header("content-type", "application/json");
    ask(state_dir, request, serde_json::to_vec(commands)?.into()).await
}

/// Asks the daemon of `state_dir` what would become of a packet; the answer says why that cannot be told.
///
/// # Errors
/// No daemon, no permission, an answer that is none.
pub async fn ask_explain(
    state_dir: &Path,
    question: &Question,
) -> anyhow::Result<Result<Explanation, String>> {
    let request = Request::post("/explain").header("content-type", "application/json");
    ask(state_dir, request, serde_json::to_vec(question)?.into()).await
}

/// Asks the daemon of `state_dir` to read its file again.
///
/// # Errors
/// No daemon, no permission, an answer that is none. What came of it is in the answer.
pub async fn ask_reload(state_dir: &Path) -> anyhow::Result<Reload> {
    ask(state_dir, Request::post("/reload"), Bytes::new()).await
}

async fn ask<T: DeserializeOwned>(
    state_dir: &Path,
    request: request::Builder,
    body: Bytes,
) -> anyhow::Result<T> {
    let answer = send(state_dir, request, body).await?;
    let body =
        Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(anyhow::Error::from_boxed)?;
    serde_json::from_slice(&body.to_bytes()).context("the daemon's answer is not as it should be")
}

/// Sends the daemon of `state_dir` a question; an answer that has begun well.
pub(super) async fn send(
    state_dir: &Path,
    request: request::Builder,
    body: Bytes,
) -> anyhow::Result<Response<Incoming>> {
    let path = path(state_dir);
    let stream = UnixStream::connect(&path).await.with_context(|| {
        format!("{}: no daemon answers; is `xlvs run` running with this state directory?", path.display())
    })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = request.header("host", "xlvs").body(Full::new(body))?;
    let answer = sender.send_request(request).await?;
    let hint = match answer.status() {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::UNPROCESSABLE_ENTITY => {
            ": it is of another version; restart it"
        }
        StatusCode::SERVICE_UNAVAILABLE => ": it is stopping, or has no flow tables; see its log",
        _ => "",
    };
    anyhow::ensure!(answer.status().is_success(), "the daemon answers {}{hint}", answer.status());
    Ok(answer)
}
