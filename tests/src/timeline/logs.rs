//! Decisions in the lines that the daemons log.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::Decision;

/// The decision that a line of keepalived's tells, and of which virtual server.
pub(super) fn of_keepalived(line: &str) -> Option<(SocketAddr, Decision)> {
    let service = endpoint(after(line, "VS ")?)?;
    let server = |before: &str| Some(endpoint(after(line, before)?)?.ip());
    let any = |words: &[&str]| words.iter().find_map(|before| server(before));
    let decision = if let Some(server) = any(&["Adding service ", "Enabling service "]) {
        Decision::Up(server)
    } else if let Some(server) = any(&["Removing service ", "Disabling service "]) {
        Decision::Down(server)
    } else if let Some(server) = any(&["Adding sorry server ", "Enabling sorry server "]) {
        Decision::Sorry(server)
    } else if let Some(server) = any(&["Removing sorry server ", "Disabling sorry server "]) {
        Decision::Relieved(server)
    } else if line.contains("Changing weight from ") {
        let weight = after(after(line, "Changing weight from ")?, " to ")?;
        Decision::Weight(server("active service ")?, word(weight)?)
    } else if line.contains("Gained quorum ") {
        Decision::Gained
    } else if line.contains("Lost quorum ") || line.contains("Starting with quorum down ") {
        Decision::Lost
    } else {
        return None;
    };
    Some((service, decision))
}

/// The decision that a line of `xlvs` tells, and of which virtual server.
pub(super) fn of_xlvs(line: &str) -> Option<(SocketAddr, Decision)> {
    let service = word(after(line, "service=TCP ")?)?;
    let server = || word::<IpAddr>(after(line, "server=")?);
    let decision = if line.contains("a check passes ") && line.contains("decides=true") {
        Decision::Up(server()?)
    } else if line.contains("a check fails ") && line.contains("decides=true") {
        Decision::Down(server()?)
    } else if line.contains("a check gives another weight ") {
        Decision::Weight(server()?, word(after(line, " to=")?)?)
    } else if line.contains("the quorum is gained ") {
        Decision::Gained
    } else if line.contains("the quorum is lost ") {
        Decision::Lost
    } else if line.contains("the sorry server stands in ") {
        Decision::Sorry(server()?)
    } else if line.contains("the sorry server is relieved ") {
        Decision::Relieved(server()?)
    } else {
        return None;
    };
    Some((service, decision))
}

fn after<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    line.split_once(mark).map(|(_, rest)| rest)
}

/// What stands before the next blank.
fn word<T: FromStr>(text: &str) -> Option<T> {
    text.split(' ').next()?.parse().ok()
}

/// `[10.0.0.1]:tcp:80`, as keepalived writes it.
fn endpoint(text: &str) -> Option<SocketAddr> {
    let (address, rest) = text.strip_prefix('[')?.split_once("]:")?;
    let (_protocol, port) = rest.split_once(':')?;
    let port = port.split(|letter: char| !letter.is_ascii_digit()).next()?;
    Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 64, 1, 2));

    #[test]
    fn keepaliveds_lines_are_understood() {
        let rows = [
            ("Removing service [10.64.1.2]:tcp:80 from VS [10.65.1.1]:tcp:80", Decision::Down(SERVER)),
            ("Enabling service [10.64.1.2]:tcp:80 of VS [10.65.1.1]:tcp:80", Decision::Up(SERVER)),
            (
                "Changing weight from 1 to 3 for active service [10.64.1.2]:tcp:80 of VS [10.65.1.1]:tcp:80",
                Decision::Weight(SERVER, 3),
            ),
            ("Lost quorum 1-0=1 > 0 for VS [10.65.1.1]:tcp:80", Decision::Lost),
            ("Adding sorry server [10.64.1.2]:tcp:80 to VS [10.65.1.1]:tcp:80", Decision::Sorry(SERVER)),
        ];
        let service = SocketAddr::from(([10, 65, 1, 1], 80));
        for (line, decision) in rows {
            let line = format!("Sun Nov 29 07:00:00 2026: {line}");
            assert_eq!(of_keepalived(&line), Some((service, decision)), "{line}");
        }
        assert_eq!(of_keepalived("Removing alive servers from the pool for VS [10.65.1.1]:tcp:80"), None);
    }

    #[test]
    fn the_lines_of_xlvs_are_understood() {
        let fields = "server=10.64.1.2 service=TCP 10.65.1.1:80";
        let rows = [
            (format!("a check passes {fields} decides=true"), Some(Decision::Up(SERVER))),
            (
                format!("a check fails {fields} decides=true reason=\"timed out\""),
                Some(Decision::Down(SERVER)),
            ),
            (format!("a check fails {fields} decides=false reason=\"timed out\""), None),
            (format!("a check gives another weight {fields} from=1 to=3"), Some(Decision::Weight(SERVER, 3))),
            ("the quorum is lost service=TCP 10.65.1.1:80 rule=\"a\"".to_owned(), Some(Decision::Lost)),
            (format!("the sorry server stands in {fields}"), Some(Decision::Sorry(SERVER))),
        ];
        let service = SocketAddr::from(([10, 65, 1, 1], 80));
        for (line, decision) in rows {
            let line = format!("2026-11-29T07:00:00.000000Z  INFO xlvs::io::tell::services: {line}");
            assert_eq!(of_xlvs(&line), decision.map(|decision| (service, decision)), "{line}");
        }
    }
}
