//! `xlvs explain`.

use std::{
    net::{IpAddr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use anyhow::ensure;
use clap::Args;

use super::{asked, protocol};
use crate::{
    config::model::Protocol,
    explain::{Question, Segment},
    io::socket,
};

const PATIENCE: Duration = Duration::from_secs(5);
/// The port of a client of whom none is told.
const SOME_PORT: u16 = 40_000;

/// What `xlvs explain` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where the packet comes from: an address, with a port (40000 if not told).
    #[arg(value_name = "SRC[:PORT]", value_parser = source)]
    source: SocketAddr,
    /// Where it goes to: an address and a port.
    #[arg(value_name = "VIP:PORT")]
    destination: SocketAddr,
    /// Its protocol: tcp, udp or sctp.
    #[arg(long, default_value = "tcp", value_parser = protocol)]
    proto: Protocol,
    /// Where in its connection it stands.
    #[arg(long, value_enum, default_value_t = Segment::First)]
    segment: Segment,
    /// The interface it comes in by; the first of the director's if not told.
    #[arg(long, value_name = "NAME")]
    iface: Option<String>,
    /// Print the whole explanation as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    state: super::StateDir,
}

fn source(text: &str) -> Result<SocketAddr, String> {
    let alone = |_| text.parse::<IpAddr>().map(|address| SocketAddr::new(address, SOME_PORT));
    text.parse().or_else(alone).map_err(|_| "neither an address nor an address and a port".to_owned())
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { source, destination, proto, segment, iface, json, state } = arguments;
    ensure!(
        source.is_ipv4() == destination.is_ipv4(),
        "{source} and {destination} are of two address families: name two addresses of one"
    );
    let question = Question {
        source: *source,
        destination: *destination,
        protocol: *proto,
        segment: *segment,
        interface: iface.clone(),
    };
    let state_dir = &state.state_dir;
    let explanation = asked(state_dir, socket::ask_explain(state_dir, &question), PATIENCE, "")?;
    let explanation = explanation.map_err(anyhow::Error::msg)?;
    let text = if *json { serde_json::to_string_pretty(&explanation)? + "\n" } else { explanation.to_text() };
    super::write_out(&text)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_may_have_a_port() {
        assert_eq!(source("192.0.2.7"), Ok(SocketAddr::from(([192, 0, 2, 7], SOME_PORT))));
        assert_eq!(source("192.0.2.7:1"), Ok(SocketAddr::from(([192, 0, 2, 7], 1))));
        assert_eq!(source("2001:db8::7").map(|found| found.port()), Ok(SOME_PORT));
        assert_eq!(source("[2001:db8::7]:9").map(|found| found.port()), Ok(9));
        assert!(source("www").is_err() && protocol("icmp").is_err());
        assert_eq!(protocol("sctp"), Ok(Protocol::Sctp));
    }
}
