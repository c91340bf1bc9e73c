//! `xlvs drain` and `xlvs undrain`.

use std::{
    io::{IsTerminal as _, Write as _},
    net::SocketAddr,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::{asked, protocol, runtime, write_out};
use crate::{
    adm::{
        Command,
        state::{ServerId, ServiceId},
    },
    config::model::Protocol,
    io::{
        drain::{Drained, Place, look, wait},
        socket,
    },
};

/// A change may wait for new real servers' MAC addresses.
const PATIENCE: Duration = Duration::from_mins(1);
/// There are flows still when the time is over.
const FLOWS_LEFT: u8 = 3;

/// Which real server of which service.
#[derive(Debug, Args)]
struct Which {
    /// The service: its address and port.
    #[arg(value_name = "VIP:PORT")]
    service: SocketAddr,
    /// The real server: its address and port, which under direct routing is that of the service.
    #[arg(value_name = "RIP:PORT")]
    server: SocketAddr,
    /// The service's protocol: tcp, udp or sctp.
    #[arg(long, default_value = "tcp", value_parser = protocol)]
    proto: Protocol,
    /// Print what came of it as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    state: super::StateDir,
}

/// What `xlvs drain` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Wait until it has no flows: active ones of TCP and SCTP as IPVS counts them, all of UDP. With a number, so many seconds
    /// at most.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "so clap tells an option without its value from none")]
    wait: Option<Option<u64>>,
}

/// What `xlvs undrain` takes.
#[derive(Debug, Args)]
pub(super) struct Undrain {
    #[command(flatten)]
    which: Which,
}

#[derive(Serialize)]
struct Report {
    service: SocketAddr,
    protocol: String,
    server: SocketAddr,
    /// The weight before a drain, and after it was undone.
    weight: u16,
    draining: bool,
    flows_at_start: u32,
    flows_left: u32,
    seconds: u64,
}

impl Which {
    fn place(&self) -> Place {
        Place { service: self.service, protocol: self.proto, server: self.server.ip() }
    }

    fn ask(&self, make: fn(ServiceId, ServerId) -> Command) -> anyhow::Result<()> {
        let Self { service, server, proto, state, .. } = self;
        let id = ServiceId::Address { protocol: *proto, address: service.ip(), port: service.port() };
        let command = make(id, ServerId { address: server.ip(), port: server.port() });
        let hint = "; what came of it, `xlvs status` says";
        let state_dir = &state.state_dir;
        asked(state_dir, socket::ask_change(state_dir, &[command]), PATIENCE, hint)?
            .map_err(anyhow::Error::msg)
    }

    /// What is told of it; `told` is for people.
    fn report(&self, weight: u16, draining: bool, drained: Drained, told: &str) -> anyhow::Result<()> {
        let Self { service, server, proto, json, .. } = self;
        if !json {
            return write_out(&format!("{server} of {proto} {service}: {told}\n"));
        }
        let Drained { at_start, left, seconds } = drained;
        let report = Report {
            service: *service,
            protocol: proto.name().to_owned(),
            server: *server,
            weight,
            draining,
            flows_at_start: at_start,
            flows_left: left,
            seconds,
        };
        write_out(&(serde_json::to_string_pretty(&report)? + "\n"))
    }
}

/// Takes the weight, and waits where that is asked for.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { which, wait: waits } = arguments;
    let (state_dir, place) = (&which.state.state_dir, which.place());
    which.ask(Command::Drain)?;
    let seen = asked(state_dir, look(state_dir, &place), PATIENCE, "");
    let seen = seen.context("it is drained, but what it has left is not known")?;
    let weight = seen.draining.unwrap_or_default();
    let Some(limit) = waits else {
        let now = Drained { at_start: seen.flows, left: seen.flows, seconds: 0 };
        let told = format!("gets no new connections, weight {weight} before; it has {}", counted(seen.flows));
        which.report(weight, true, now, &told)?;
        return Ok(ExitCode::SUCCESS);
    };
    let told_to = std::io::stderr();
    let is_watched = told_to.is_terminal();
    let tell = |left| {
        if is_watched {
            // Whoever watches is told as long as there is a terminal.
            let _gone = write!(&told_to, "\r\x1b[K{}: {} left", which.server, counted(left));
        }
    };
    let drained = runtime()?.block_on(wait(state_dir, &place, limit.map(Duration::from_secs), tell));
    if is_watched {
        eprint!("\r\x1b[K");
    }
    let drained = drained?;
    let Drained { at_start, left, seconds } = drained;
    let told = format!(
        "gets no new connections, weight {weight} before; {} at the start, {left} left, {seconds} s",
        counted(at_start)
    );
    which.report(weight, true, drained, &told)?;
    Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::from(FLOWS_LEFT) })
}

/// Gives the weight back.
pub(super) fn undrain(Undrain { which }: &Undrain) -> anyhow::Result<ExitCode> {
    let state_dir = &which.state.state_dir;
    which.ask(Command::Undrain)?;
    let seen = asked(state_dir, look(state_dir, &which.place()), PATIENCE, "")?;
    let now = Drained { at_start: seen.flows, left: seen.flows, seconds: 0 };
    which.report(seen.weight, false, now, &format!("has its weight {} again", seen.weight))?;
    Ok(ExitCode::SUCCESS)
}

fn counted(flows: u32) -> String {
    if flows == 1 { "1 flow".to_owned() } else { format!("{flows} flows") }
}
