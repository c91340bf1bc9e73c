//! Owns the step from `virtual_server_group` blocks to what their lines select: addresses, ranges of addresses, marks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lb_common::layout::MAX_SERVICES;

use super::settings::ip_family;
use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::marks;
use crate::config::model::vrrp::Family;
use crate::config::model::{Protocol, Selector};
use crate::config::source::Span;
use crate::config::tree::{Statement, Word};
use crate::config::values;

/// Every group of a file by its name.
#[derive(Debug, Default)]
pub(in crate::config) struct Groups {
    by_name: BTreeMap<String, Group>,
}

#[derive(Debug)]
struct Group {
    members: Vec<Member>,
    span: Span,
}

/// What one line selects, or one address of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Member {
    Address(IpAddr, u16),
    /// A mark without a family is of that of the real servers.
    Mark(u32, Option<Family>),
}

impl Member {
    fn selector(self, family: Family, protocol: Protocol) -> Option<Selector> {
        let (own, selector) = match self {
            Self::Address(address, port) => {
                (Family::of(address), Selector::Address { address, port, protocol })
            }
            Self::Mark(mark, own) => (own.unwrap_or(family), Selector::Mark { mark, family }),
        };
        (own == family).then_some(selector)
    }
}

impl Groups {
    /// The groups among `statements`; of two with one name the first counts.
    pub(in crate::config) fn read(statements: &[Statement], problems: &mut Vec<Diagnostic>) -> Self {
        let mut groups = Self::default();
        let blocks = statements.iter().filter(|statement| statement.name() == "virtual_server_group");
        for block in blocks {
            let Some(name) = block.arguments.first() else { continue };
            let group = Group { members: members(block, problems), span: block.header() };
            if group.members.is_empty() {
                let message = format!("the group {} selects nothing", quoted(&name.text));
                problems.push(
                    Diagnostic::warning(block.header(), message)
                        .hint("write an address and a port on a line of it, or `fwmark` and a number"),
                );
            }
            if let Some(first) = groups.by_name.get(&name.text) {
                let message =
                    format!("there is a group {} already in line {}", quoted(&name.text), first.span.line);
                let problem = Diagnostic::ours(block.header(), message).beside(first.span);
                problems.push(problem.hint("the first one counts"));
                continue;
            }
            groups.by_name.insert(name.text.clone(), group);
        }
        groups
    }

    /// What the group `name` selects of this family and protocol.
    ///
    /// # Errors
    /// There is no such group, or nothing of that kind in it.
    pub(super) fn select(
        &self,
        name: &Word,
        family: Family,
        protocol: Protocol,
        problems: &mut Vec<Diagnostic>,
    ) -> Result<Vec<Selector>, Diagnostic> {
        let left_out = |why: &str, hint: &str| {
            let message = format!("the virtual server group {} is left out: {why}", name.text);
            Err(Diagnostic::ours(name.span, message).hint(hint))
        };
        let Some(group) = self.by_name.get(&name.text) else {
            return left_out(
                "there is no `virtual_server_group` of that name",
                "write one, or mend the name",
            );
        };
        let of_family = group.members.iter().filter_map(|member| member.selector(family, protocol));
        let selectors: Vec<_> = of_family.collect();
        if selectors.is_empty() {
            return left_out(
                &format!("nothing in its group is {family}, as its real servers are"),
                "write addresses of the family of the real servers",
            );
        }
        if selectors.len() < group.members.len() {
            let message = format!("of the group {} only what is {family} counts here", quoted(&name.text));
            problems.push(
                Diagnostic::ours(name.span, message)
                    .beside(group.span)
                    .hint("the real servers are of that family; write another virtual server for the rest"),
            );
        }
        Ok(selectors)
    }

    /// The family of the first line of the group `name`, if it has one.
    pub(super) fn family(&self, name: &str) -> Option<Family> {
        let family = |member: &Member| match *member {
            Member::Address(address, _) => Some(Family::of(address)),
            Member::Mark(_, family) => family,
        };
        self.by_name.get(name)?.members.iter().find_map(family)
    }
}

/// What a block selects, each once, in its order.
fn members(block: &Statement, problems: &mut Vec<Diagnostic>) -> Vec<Member> {
    let mut members = Vec::new();
    let mut seen = BTreeMap::new();
    for line in block.body() {
        let found = line_members(line);
        let found = found.map_err(|problem| problems.push(problem)).unwrap_or_default();
        for member in found {
            if *seen.entry(member).or_insert(line.header()) == line.header() {
                members.push(member);
            } else {
                let message = "this line selects again what another line does";
                let problem = Diagnostic::ours(line.header(), message).beside(seen[&member]);
                problems.push(problem.hint("it counts once; remove it from one of the two"));
                break;
            }
        }
    }
    members
}

fn line_members(line: &Statement) -> Result<Vec<Member>, Diagnostic> {
    let second = line.arguments.first();
    if line.name() == "fwmark" {
        let missing = || {
            Diagnostic::warning(line.header(), "`fwmark` has no number; the line is ignored")
                .hint("write the firewall mark behind it")
        };
        let mark = marks::mark(second.ok_or_else(missing)?).map_err(ignored)?;
        let family = line.arguments.get(1).map(ip_family).transpose().map_err(ignored)?;
        return Ok(vec![Member::Mark(mark, family)]);
    }
    let port = second.map_or(Ok(0), |word| values::number(word, "a port", 0..=u16::MAX)).map_err(ignored)?;
    let [first, last] = range(&line.keyword)?;
    let count = last.checked_sub(first).filter(|_| first <= last);
    let Some(_) = count.filter(|count| *count < MAX_SERVICES as u128) else {
        let message = format!("{} are more addresses than a director has services", quoted(line.name()));
        return Err(Diagnostic::error(line.keyword.span, message)
            .hint(format!("there are {MAX_SERVICES}; write smaller ranges, or use a firewall mark")));
    };
    let family = if line.name().contains(':') { Family::V6 } else { Family::V4 };
    Ok((first..=last).map(|bits| Member::Address(address(bits, family), port)).collect())
}

/// As keepalived does: what is wrong with a line is said, and the line passed over.
fn ignored(problem: Diagnostic) -> Diagnostic {
    let warning = Diagnostic::warning(problem.span, format!("{}; the line is ignored", problem.message));
    Diagnostic { hint: problem.hint, ..warning }
}

/// The first and the last address of `A`, `A-Z`, `A-B` or `A/N`, as numbers.
fn range(word: &Word) -> Result<[u128; 2], Diagnostic> {
    let part = |text: &str| Word { text: text.to_owned(), span: word.span };
    let whole = || {
        Diagnostic::warning(
            word.span,
            format!("{} is no range of addresses; it is ignored", quoted(&word.text)),
        )
        .hint("write 192.0.2.1-10, 192.0.2.1-192.0.2.10 or 192.0.2.8/29, the smaller address first")
    };
    if let Some((first, length)) = word.text.split_once('/') {
        let address = plain(&part(first))?;
        let width = Family::of(address).width();
        let bits = values::number(&part(length), "a prefix length", 1..=width).map_err(ignored)?;
        let host = u128::MAX.checked_shr(128 - u32::from(width - bits)).unwrap_or(0);
        return Ok([number(address) & !host, number(address) | host]);
    }
    let Some((first, last)) = word.text.split_once('-') else {
        let address = number(plain(word)?);
        return Ok([address, address]);
    };
    let first = plain(&part(first))?;
    let last = match last.parse::<IpAddr>() {
        Ok(last) if Family::of(last) == Family::of(first) => number(last),
        Ok(_) => return Err(whole()),
        Err(_) => last_part(first, last).ok_or_else(whole)?,
    };
    if last < number(first) { Err(whole()) } else { Ok([number(first), last]) }
}

fn plain(word: &Word) -> Result<IpAddr, Diagnostic> {
    // A prefix behind it is the range's and was taken off.
    super::address(word, &mut Vec::new()).map_err(ignored)
}

/// `first` with another last part: decimal in IPv4, hexadecimal in IPv6.
fn last_part(first: IpAddr, text: &str) -> Option<u128> {
    let (part, mask) = match first {
        IpAddr::V4(_) => (u128::from(text.parse::<u8>().ok()?), 0xff),
        IpAddr::V6(_) => (u128::from(u16::from_str_radix(text, 16).ok()?), 0xffff),
    };
    Some(number(first) & !mask | part)
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn address(bits: u128, family: Family) -> IpAddr {
    match family {
        // A range of IPv4 addresses ends at the last of them.
        Family::V4 => IpAddr::V4((bits as u32).into()),
        Family::V6 => IpAddr::V6(bits.into()),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{config, said, says};

    /// A group with these lines, and a virtual server for it with a real server of this address.
    fn group(lines: &str, server: &str) -> String {
        let server = format!("real_server {server} 80 {{\n }}");
        format!(
            "virtual_server_group G {{\n {lines}\n}}\nvirtual_server group G {{\n lb_algo rr\n lb_kind DR\n protocol TCP\n {server}\n}}\n"
        )
    }

    /// What the virtual server selects.
    #[track_caller]
    fn selected(text: &str) -> Vec<String> {
        let services = config(text).virtual_servers;
        services[0].selectors().map(|selector| selector.to_string()).collect()
    }

    #[test]
    fn a_group_has_addresses_ranges_and_marks() {
        let lines =
            "10.0.0.1 80\n 10.0.0.2-4 81\n 10.0.0.255-10.0.1.0 80\n 10.0.2.8/31 80\n fwmark 3\n 10.0.3.1";
        let text = group(lines, "10.9.0.1") + "fwmark_rules {\n mark 3 {\n port 8080\n }\n}\n";
        let wanted = [
            "10.0.0.1 80 TCP",
            "10.0.0.2 81 TCP",
            "10.0.0.3 81 TCP",
            "10.0.0.4 81 TCP",
            "10.0.0.255 80 TCP",
            "10.0.1.0 80 TCP",
            "10.0.2.8 80 TCP",
            "10.0.2.9 80 TCP",
            "fwmark 3",
            "10.0.3.1 0 TCP",
        ];
        assert_eq!(selected(&text), wanted);
        let service = &config(&text).virtual_servers[0];
        assert_eq!((service.to_string().as_str(), service.persistence.is_some()), ("group G", true));
        let text = group("2001:db8::fffe-10001 80\n 2001:db8::1-2001:db8::2 80", "2001:db8::9");
        says(&text, "t:2:2: warning: `2001:db8::fffe-10001` is no range of addresses; it is ignored");
        assert_eq!(selected(&text), ["2001:db8::1 80 TCP", "2001:db8::2 80 TCP"]);
        assert_eq!(selected(&group("2001:db8::e-10 80", "2001:db8::9")).len(), 3, "hexadecimal");
    }

    #[test]
    fn a_line_that_selects_nothing_is_passed_over() {
        for (line, said) in [
            (
                "10.0.0.300 80",
                "t:2:2: warning: `10.0.0.300` is not an IPv4 or IPv6 address; the line is ignored",
            ),
            ("10.0.0.2 99999", "t:2:11: warning: `99999` is out of range for a port; the line is ignored"),
            ("10.0.0.9-8 80", "t:2:2: warning: `10.0.0.9-8` is no range of addresses"),
            ("10.0.0.9-fd00::1 80", "t:2:2: warning: `10.0.0.9-fd00::1` is no range of addresses"),
            (
                "10.0.0.9/33 80",
                "t:2:2: warning: `33` is out of range for a prefix length; the line is ignored",
            ),
            ("fwmark web", "t:2:9: warning: `web` is not a firewall mark; the line is ignored"),
            ("fwmark", "t:2:2: warning: `fwmark` has no number; the line is ignored"),
            ("10.0.0.1 80", "t:3:2: warning: this line selects again what another line does"),
        ] {
            let text = group(&format!("{line}\n 10.0.0.1 80"), "10.9.0.1");
            says(&text, said);
            assert_eq!(selected(&text), ["10.0.0.1 80 TCP"]);
        }
        let text = group("10.0.0.0/8 80", "10.9.0.1");
        assert!(
            said(&text)[1].starts_with("t:2:2: error: `10.0.0.0/8` are more addresses than a director has")
        );
        let text = group("2001:db8::/64 80", "2001:db8::1");
        assert!(said(&text)[1].starts_with("t:2:2: error: `2001:db8::/64` are more addresses"));
    }

    #[test]
    fn a_virtual_server_is_left_out_where_its_group_has_nothing_for_it() {
        let text =
            group("10.0.0.1 80", "10.9.0.1").replace("virtual_server group G", "virtual_server group H");
        says(
            &text,
            "t:4:22: warning: the virtual server group H is left out: there is no `virtual_server_group`",
        );
        assert_eq!(config(&text).virtual_servers.len(), 0);
        let text = group("10.0.0.1 80", "fd00::1");
        says(&text, "t:4:22: warning: the virtual server group G is left out: nothing in its group is IPv6");
        let text = group("10.0.0.1 80\n fd00::1 80", "fd00::2");
        says(&text, "t:5:22: warning: of the group `G` only what is IPv6 counts here");
        assert_eq!(selected(&text), ["fd00::1 80 TCP"]);
        let text = group("", "10.9.0.1");
        assert!(said(&text)[0].starts_with("t:1:1: warning: the group `G` selects nothing"));
        says(
            &(group("10.0.0.1 80", "10.9.0.1") + "virtual_server_group G {\n 10.0.0.2 80\n}\n"),
            "t:11:1: warning: there is a group `G` already in line 1",
        );
        assert!(said("virtual_server group {\n}\n")[0].starts_with("t:1:16: error: `group` has no name"));
    }

    #[test]
    fn a_packet_is_of_one_virtual_server() {
        let text = group("10.0.0.1-3 80", "10.9.0.1");
        let other = "virtual_server 10.0.0.2 80 {\n lb_algo rr\n lb_kind DR\n protocol TCP\n real_server 10.9.0.1 80 {\n }\n}\n";
        says(
            &(other.to_owned() + &text),
            "t:11:1: warning: the virtual server 10.0.0.2 80 TCP is there already in line 1",
        );
        says(
            &(text.clone() + other),
            "t:11:1: warning: the virtual server 10.0.0.2 80 TCP is there already in line 4",
        );
        let both = text.clone()
            + &text.split_once("}\n").map(|(_, rest)| rest.replace("TCP", "UDP")).expect("two blocks");
        assert_eq!(said(&both), Vec::<String>::new());
        assert_eq!(config(&both).virtual_servers.len(), 2);
    }
}
