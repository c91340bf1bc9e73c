//! The connections for ipvsadm: from the flow tables over the control socket to who lists them, a part at a time. The daemon
//! reads the next part when the last one is on its way, so a slow reader holds up nothing and nothing is kept for it.

use std::{collections::BTreeMap, convert::Infallible, ops::Range, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use axum::{Json, body::Body, extract::State, http::StatusCode};
use futures_util::stream;
use http_body_util::BodyExt as _;
use hyper::{Request, body::Bytes};
use tokio::sync::mpsc;

use super::{
    clock,
    datapath::{FlowMaps, SeenFlow},
    socket::{Ask, answered, patiently, put, send},
};
use crate::{
    adm::{Scope, Table, protocol, state::Connection, virtual_address},
    plan::unmapped,
};

/// Bytes of text after which a part is sent.
const PART: usize = 128 << 10;
/// Buckets that are read for a part at most, should they be empty.
const TURN: usize = 1 << 16;
/// Buckets after which a part that is long enough ends.
const STEP: usize = 64;

/// By rows of `servers` with their generations, how many clients stay with the real server.
pub(super) type Templates = BTreeMap<(u16, u16), u32>;

/// Answers with a line for every connection, which is JSON.
pub(super) async fn connections(State(asks): State<mpsc::Sender<Ask>>) -> Result<Body, StatusCode> {
    let maps = flow_maps(&asks).await?;
    let parts = stream::unfold(0, move |begin| {
        let maps = Arc::clone(&maps);
        async move {
            if begin >= maps.rows() {
                return None;
            }
            let (part, end) = tokio::task::spawn_blocking(move || part(&maps, begin)).await.ok()?;
            Some((Ok::<_, Infallible>(part), end))
        }
    });
    Ok(Body::from_stream(parts))
}

/// Answers with the table, in which real servers have the number of clients that stay with them.
pub(super) async fn table(State(asks): State<mpsc::Sender<Ask>>) -> Result<Json<Table>, StatusCode> {
    let maps = flow_maps(&asks).await?;
    let counted = tokio::task::spawn_blocking(move || templates(&maps));
    let templates = counted.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    answered(&asks, |answer| Ask::Table(templates, Scope::Whole, answer)).await
}

async fn flow_maps(asks: &mpsc::Sender<Ask>) -> Result<Arc<FlowMaps>, StatusCode> {
    put(asks, Ask::Flows).await.flatten().ok_or(StatusCode::SERVICE_UNAVAILABLE)
}

/// The lines of the connections from the bucket `begin` on, as many as are sent at once, and the bucket behind them.
fn part(maps: &FlowMaps, begin: usize) -> (Bytes, usize) {
    let (mut text, mut next) = (Vec::new(), begin);
    let last = maps.rows().min(begin + TURN);
    while next < last && text.len() < PART {
        let step = next..last.min(next + STEP);
        next = step.end;
        look(maps, step, |flow| {
            let _infallible = serde_json::to_writer(&mut text, &listed(flow));
            text.push(b'\n');
        });
    }
    (text.into(), next)
}

fn templates(maps: &FlowMaps) -> Templates {
    let mut templates = Templates::new();
    look(maps, 0..maps.rows(), |flow| {
        if flow.state.is_template() {
            *templates.entry((flow.row, flow.server.info.generation)).or_default() += 1;
        }
    });
    templates
}

fn look(maps: &FlowMaps, rows: Range<usize>, mut show: impl FnMut(&SeenFlow)) {
    maps.look(rows, clock::program_ns(), &mut show);
}

/// A flow or a template as ipvsadm lists it.
pub fn listed(flow: &SeenFlow) -> Connection {
    let SeenFlow { parts, state, left, server, .. } = flow;
    Connection {
        protocol: protocol(parts).to_owned(),
        expires: *left,
        state: state.name().to_owned(),
        client: (unmapped(parts.client), parts.client_port),
        service: (virtual_address(parts), parts.vip_port),
        // Under direct routing a real server has the service's port.
        server: (unmapped(server.rip), parts.vip_port),
        engine: None,
    }
}

/// Asks the daemon of `state_dir` for its connections and shows them one by one, as they come. Ends early with success when
/// `show` wants no more, by false.
///
/// # Errors
/// No daemon, no permission, silence of `patience`, an answer that is none or ends early, and what `show` says.
pub async fn ask_connections(
    state_dir: &Path,
    patience: Duration,
    mut show: impl FnMut(&Connection) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let request = send(state_dir, Request::get("/connections"), Bytes::new());
    let mut body = patiently(state_dir, patience, request, "").await?.into_body();
    let mut rest = Vec::new();
    while let Some(frame) = patiently(state_dir, patience, async { Ok(body.frame().await) }, "").await? {
        let Ok(bytes) = frame.context("the daemon's answer ends early")?.into_data() else { continue };
        rest.extend_from_slice(&bytes);
        let end = rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        for line in rest[..end].split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let connection =
                serde_json::from_slice(line).context("the daemon's answer is not as it should be")?;
            if !show(&connection)? {
                return Ok(());
            }
        }
        rest.drain(..end);
    }
    if !rest.is_empty() {
        bail!("the daemon's answer ends in the middle of a line");
    }
    Ok(())
}
