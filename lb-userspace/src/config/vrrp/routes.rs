//! Owns the step from a line of `virtual_routes` to a [`VirtualRoute`], in the words of ip-route(8). What a route has
//! beside its next hop is passed over with a warning while it has no effect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::addresses::scope;
use super::words::{self, Words};
use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::model::vrrp::{Family, RouteKind, Scope, VirtualRoute};
use crate::config::tree::{Statement, Word};
use crate::config::values;

const MAIN: u32 = 254;
const ROUTE_KINDS: [(&str, RouteKind); 4] = [
    ("unicast", RouteKind::Unicast),
    ("blackhole", RouteKind::Blackhole),
    ("unreachable", RouteKind::Unreachable),
    ("prohibit", RouteKind::Prohibit),
];
const KINDS_LATER: [&str; 6] = ["local", "broadcast", "multicast", "throw", "nat", "anycast"];
const ROUTE_VALUES_LATER: [&str; 25] = [
    "tos",
    "dsfield",
    "proto",
    "protocol",
    "hoplimit",
    "advmss",
    "rtt",
    "rttvar",
    "reordering",
    "window",
    "cwnd",
    "ssthresh",
    "realms",
    "rto_min",
    "initcwnd",
    "initrwnd",
    "features",
    "quickack",
    "congctl",
    "pref",
    "vrf",
    "fastopen_no_cookie",
    "ttl-propagate",
    "track_group",
    "mtu",
];
/// The routes of `list` in an instance of `family`.
pub(super) fn read(list: &Statement, family: Family, problems: &mut Vec<Diagnostic>) -> Vec<VirtualRoute> {
    let mut routes = Vec::new();
    for line in list.body() {
        match route(line, family, problems) {
            Ok(route) => routes.push(route),
            Err(problem) => problems.push(problem),
        }
    }
    routes
}

/// `main`, `local`, `default` or a number.
pub(super) fn table(word: &Word) -> Result<u32, Diagnostic> {
    match word.text.as_str() {
        "main" => Ok(MAIN),
        "local" => Ok(255),
        "default" => Ok(253),
        _ => values::number(word, "a routing table", 1..=u32::MAX)
            .map_err(|problem| problem.hint("write main, local, default or the number of the table")),
    }
}

/// A route or rule that cannot be made yet, because of `word`.
pub(super) fn left_out(word: &Word, what: &str) -> Diagnostic {
    let message = format!("the {what} is left out: {} is not yet in effect", quoted(&word.text));
    Diagnostic::ours(word.span, message).hint("make it by other means, and remove this line")
}

/// What a line says of a route before its family is known.
#[derive(Default)]
struct Route<'a> {
    kind: RouteKind,
    destination: Option<&'a Word>,
    via: Option<IpAddr>,
    source: Option<IpAddr>,
    dev: Option<String>,
    table: Option<u32>,
    metric: Option<u32>,
    scope: Option<Scope>,
    onlink: bool,
    family: Option<Family>,
}

fn route(
    line: &Statement,
    family: Family,
    problems: &mut Vec<Diagnostic>,
) -> Result<VirtualRoute, Diagnostic> {
    let mut words = Words::new(line);
    let mut read = Route::default();
    while let Some(word) = words.take() {
        read.take(word, &mut words, problems)?;
    }
    let Some(word) = read.destination else {
        return Err(Diagnostic::error(words.span(), "this route has no destination")
            .hint("write a prefix such as 192.0.2.0/24, or default"));
    };
    let (destination, family) = read.destination(word, family)?;
    let others = [read.via, read.source];
    if let Some(other) = others.into_iter().flatten().find(|other| Family::of(*other) != family) {
        let message = format!("the route to {} and {other} are of two families", quoted(&word.text));
        return Err(Diagnostic::error(words.span(), message).hint("write addresses of one family"));
    }
    if read.kind == RouteKind::Unicast && read.via.is_none() && read.dev.is_none() {
        return Err(Diagnostic::error(words.span(), "this route has neither a next hop nor an interface")
            .hint("write `via` and an address, or `dev` and an interface"));
    }
    Ok(VirtualRoute {
        kind: read.kind,
        destination,
        via: read.via,
        dev: read.dev,
        source: read.source,
        table: read.table,
        metric: read.metric,
        scope: read.scope,
        onlink: read.onlink,
        span: words.span(),
    })
}

impl<'a> Route<'a> {
    fn take(
        &mut self,
        word: &'a Word,
        words: &mut Words<'a>,
        problems: &mut Vec<Diagnostic>,
    ) -> Result<(), Diagnostic> {
        let text = word.text.as_str();
        match text {
            "to" => self.destination = Some(words.value(word)?),
            "src" => self.source = Some(values::address(words.value(word)?)?),
            "via" | "gw" => {
                words.take_if(&["inet", "inet6"]);
                self.via = Some(values::address(words.value(word)?)?);
            }
            "dev" | "oif" => self.dev = Some(words.interface(word)?),
            "table" => self.table = Some(table(words.value(word)?)?),
            "metric" | "preference" | "priority" => {
                self.metric = Some(values::number(words.value(word)?, "a metric", 0..=u32::MAX)?);
            }
            "scope" => self.scope = Some(scope(words.value(word)?)?),
            "onlink" => self.onlink = true,
            "inet" => self.family = Some(Family::V4),
            "inet6" => self.family = Some(Family::V6),
            // What was deleted by others is put back, and no instance gives way for it.
            "no_track" => {}
            "append" => problems.push(words::later(word)),
            "nexthop" | "or" | "encap" => return Err(left_out(word, "route")),
            text if KINDS_LATER.contains(&text) => return Err(left_out(word, "route")),
            text if ROUTE_VALUES_LATER.contains(&text) => {
                problems.push(words::later(word));
                words.take_if(&["lock"]);
                words.value(word)?;
            }
            _ => match ROUTE_KINDS.iter().find(|(name, _)| *name == text) {
                Some((_, kind)) => self.kind = *kind,
                None if self.destination.is_none() => self.destination = Some(word),
                None => return Err(words::unknown(word, "a route")),
            },
        }
        Ok(())
    }

    fn destination(&self, word: &Word, instance: Family) -> Result<((IpAddr, u8), Family), Diagnostic> {
        if matches!(word.text.as_str(), "default" | "all" | "any") {
            let said = self.family.or(self.via.map(Family::of)).or(self.source.map(Family::of));
            return Ok(match said.unwrap_or(instance) {
                Family::V4 => ((Ipv4Addr::UNSPECIFIED.into(), 0), Family::V4),
                Family::V6 => ((Ipv6Addr::UNSPECIFIED.into(), 0), Family::V6),
            });
        }
        let prefix = whole_prefix(word)?;
        Ok((prefix, Family::of(prefix.0)))
    }
}

/// A prefix that has no bits behind its length, as the kernel wants it; an address alone is its own prefix.
fn whole_prefix(word: &Word) -> Result<(IpAddr, u8), Diagnostic> {
    let (address, length) = values::prefixed(word)?;
    let length = length.unwrap_or(values::width(address));
    let bits = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    if bits.checked_shl(length.into()).unwrap_or(0) == 0 {
        return Ok((address, length));
    }
    Err(Diagnostic::error(word.span, format!("{} has bits behind its prefix", quoted(&word.text)))
        .hint("write the first address of the network"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{instance, only, said, says};

    fn list(lines: &str) -> String {
        instance(&format!("virtual_routes {{\n {lines}\n }}"))
    }

    fn prefix(text: &str) -> (IpAddr, u8) {
        let (address, length) = text.split_once('/').unwrap();
        (address.parse().unwrap(), length.parse().unwrap())
    }

    #[test]
    fn a_route_has_its_words() {
        let text = list(
            "src 10.0.0.1 to 192.0.2.0/24 via 10.0.0.254 dev eth1 table 100 metric 5 scope link onlink no_track\n \
             default gw 10.0.0.254\n blackhole 198.51.100.7\n default via inet6 fe80::1 dev eth0 table main\n \
             203.0.113.0/255.255.255.0 dev eth2",
        );
        assert_eq!(said(&text), Vec::<String>::new());
        let routes = only(&text).routes;
        let destinations: Vec<_> = routes.iter().map(|route| route.destination).collect();
        let expected = ["192.0.2.0/24", "0.0.0.0/0", "198.51.100.7/32", "::/0", "203.0.113.0/24"];
        assert_eq!(destinations, expected.map(prefix));
        let first = &routes[0];
        assert_eq!((first.table, first.metric, first.scope), (Some(100), Some(5), Some(Scope(253))));
        assert_eq!(first.source.unwrap().to_string(), "10.0.0.1");
        assert_eq!((first.dev.as_deref(), first.onlink), (Some("eth1"), true));
        assert_eq!(routes[1].via.unwrap().to_string(), "10.0.0.254");
        assert_eq!((routes[2].kind, routes[3].table), (RouteKind::Blackhole, Some(254)));
    }

    #[test]
    fn what_is_not_in_effect_is_passed_over_or_leaves_the_route_out() {
        let text = list("192.0.2.0/24 via 10.0.0.254 mtu lock 1400");
        says(&text, "t:5:30: warning: `mtu` is not yet in effect");
        assert_eq!(only(&text).routes.len(), 1);
        let text = list("192.0.2.0/24 nexthop via 10.0.0.254 nexthop via 10.0.0.253");
        says(&text, "t:5:15: warning: the route is left out: `nexthop` is not yet in effect");
        assert!(only(&text).routes.is_empty());
    }

    #[test]
    fn wrong_values_are_errors() {
        for (line, start) in [
            ("192.0.2.0/24", "t:5:2: error: this route has neither a next hop nor an interface"),
            ("via 10.0.0.254", "t:5:2: error: this route has no destination"),
            ("192.0.2.1/24 dev eth0", "t:5:2: error: `192.0.2.1/24` has bits behind its prefix"),
            ("192.0.2.0/24 via fe80::1", "t:5:2: error: the route to `192.0.2.0/24` and fe80::1"),
            ("192.0.2.0/24 dev eth0 foo", "t:5:24: error: `foo` is not an option of a route"),
            ("192.0.2.0/24 dev eth0 table x", "t:5:30: error: `x` is not a routing table"),
        ] {
            says(&list(line), start);
        }
    }
}
