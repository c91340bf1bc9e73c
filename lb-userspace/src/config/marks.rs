//! Owns the step from the `fwmark_rules` blocks to [`MarkRule`]s: one for each combination of what a `mark` block lists.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use lb_common::layout::MAX_MARK_RULES;

use super::diagnostics::{Diagnostic, quoted};
use super::model::vrrp::Family;
use super::model::{MarkRule, Prefix, Protocol};
use super::tree::{Statement, Word};
use super::values;

/// The rules of all blocks among `statements`, in their order.
pub(super) fn read(statements: &[Statement], problems: &mut Vec<Diagnostic>) -> Vec<MarkRule> {
    let blocks = statements.iter().filter(|statement| statement.name() == "fwmark_rules");
    let mut rules = Vec::new();
    for block in blocks.flat_map(Statement::body).filter(|inner| inner.name() == "mark") {
        let Some(word) = block.arguments.first() else { continue };
        let mark = mark(word).map_err(|problem| problems.push(problem));
        let lists = Lists::read(block, problems);
        if let Ok(mark) = mark {
            lists.combine(mark, block, &mut rules);
        }
        if rules.len() > MAX_MARK_RULES {
            let message = format!("one director holds {MAX_MARK_RULES} rules for marks: here there are more");
            problems.push(Diagnostic::error(block.header(), message).hint(
                "each combination of source, destination, protocol and port is a rule: write prefixes and ranges",
            ));
            break;
        }
    }
    rules
}

/// A firewall mark; 0 is what packets without one have.
pub(super) fn mark(word: &Word) -> Result<u32, Diagnostic> {
    values::number(word, "a firewall mark", 1..=u32::MAX)
}

/// What a `mark` block lists.
struct Lists {
    sources: Vec<Prefix>,
    destinations: Vec<Prefix>,
    protocols: Vec<Protocol>,
    ports: Vec<RangeInclusive<u16>>,
}

impl Lists {
    fn read(block: &Statement, problems: &mut Vec<Diagnostic>) -> Self {
        let sources = prefixes(block, "source", problems);
        let destinations = prefixes(block, "destination", problems);
        for (list, others) in [(&sources, &destinations), (&destinations, &sources)] {
            let is_lonely = |prefix: &Prefix| {
                !others.is_empty() && !others.iter().any(|o| o.1.family() == prefix.family())
            };
            for (word, _) in list.iter().filter(|(_, prefix)| is_lonely(prefix)) {
                let message = format!("{} has no address of its family opposite it", quoted(&word.text));
                problems.push(
                    Diagnostic::error(word.span, message)
                        .hint("source and destination of a packet are both IPv4 or both IPv6"),
                );
            }
        }
        let prefixes = |list: Vec<(&Word, Prefix)>| list.into_iter().map(|(_, prefix)| prefix).collect();
        Self {
            sources: prefixes(sources),
            destinations: prefixes(destinations),
            protocols: all(block, "protocol", values::protocol, problems),
            ports: all(block, "port", ports, problems),
        }
    }

    /// Adds the rules, up to one too many.
    fn combine(&self, mark: u32, block: &Statement, rules: &mut Vec<MarkRule>) {
        let ports = if self.ports.is_empty() { &[0..=u16::MAX][..] } else { &self.ports };
        let [four, six] = [Family::V4, Family::V6].map(|family| of(&self.destinations, family));
        for source in any_of(&self.sources) {
            let destinations = match source.map(|source| source.family()) {
                Some(_) if self.destinations.is_empty() => &[][..],
                None => &self.destinations,
                Some(Family::V4) => &four,
                Some(Family::V6) => &six,
            };
            let has_none = !self.destinations.is_empty() && destinations.is_empty();
            for destination in any_of(destinations).into_iter().filter(|_| !has_none) {
                for protocol in any_of(&self.protocols) {
                    for ports in ports {
                        if rules.len() > MAX_MARK_RULES {
                            return;
                        }
                        let (ports, span) = (ports.clone(), block.header());
                        rules.push(MarkRule { mark, source, destination, protocol, ports, span });
                    }
                }
            }
        }
    }
}

fn of(prefixes: &[Prefix], family: Family) -> Vec<Prefix> {
    prefixes.iter().copied().filter(|prefix| prefix.family() == family).collect()
}

/// Each of the values, or that any will do.
fn any_of<T: Copy>(values: &[T]) -> Vec<Option<T>> {
    if values.is_empty() { vec![None] } else { values.iter().copied().map(Some).collect() }
}

fn prefixes<'a>(block: &'a Statement, name: &str, problems: &mut Vec<Diagnostic>) -> Vec<(&'a Word, Prefix)> {
    words(block, name)
        .filter_map(|word| {
            prefix(word).map_err(|problem| problems.push(problem)).ok().map(|prefix| (word, prefix))
        })
        .collect()
}

fn all<T>(
    block: &Statement,
    name: &str,
    read: impl Fn(&Word) -> Result<T, Diagnostic>,
    problems: &mut Vec<Diagnostic>,
) -> Vec<T> {
    words(block, name).filter_map(|word| read(word).map_err(|problem| problems.push(problem)).ok()).collect()
}

/// The words behind the keyword `name`; its last statement counts.
fn words<'a>(block: &'a Statement, name: &str) -> impl Iterator<Item = &'a Word> {
    block.body().iter().rfind(|setting| setting.name() == name).into_iter().flat_map(|last| &last.arguments)
}

fn prefix(word: &Word) -> Result<Prefix, Diagnostic> {
    let (address, bits) = values::prefixed(word)?;
    let prefix = Prefix { address, bits: bits.unwrap_or(values::width(address)) };
    // Where addresses of both families are compared, those of IPv4 are mapped ones (RFC 4291 section 2.5.5.2).
    let mapped = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().into();
    let is_shorter = Prefix { address, bits: prefix.bits.min(96) };
    if is_shorter.contains(mapped) {
        let message = format!("{} has the IPv4 addresses in it too", quoted(&word.text));
        return Err(Diagnostic::error(word.span, message)
            .hint("write 2000::/3 for all global IPv6 addresses, or no address for both families"));
    }
    Ok(prefix)
}

/// A port, or the first and the last of a range: `8000-8100`.
fn ports(word: &Word) -> Result<RangeInclusive<u16>, Diagnostic> {
    let Some((first, last)) = word.text.split_once('-') else {
        let port = values::port(word)?;
        return Ok(port..=port);
    };
    let end = |text: &str| values::port(&Word { text: text.to_owned(), span: word.span });
    let (first, last) = (end(first)?, end(last)?);
    if first > last {
        return Err(Diagnostic::error(word.span, format!("{} ends before it begins", quoted(&word.text)))
            .hint("write the lower port first"));
    }
    Ok(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{config, said};

    fn rules(inner: &str) -> String {
        format!("fwmark_rules {{\n mark 1 {{\n  {inner}\n }}\n}}\n")
    }

    /// What is said besides that no virtual server is for the mark.
    fn problems(text: &str) -> Vec<String> {
        said(text).into_iter().filter(|line| !line.contains("no virtual server is for")).collect()
    }

    #[test]
    fn a_block_is_a_rule_for_each_combination_in_order() {
        let text = rules(
            "source 10.0.0.0/8 fd00::/8\n  destination 192.0.2.1 2001:db8::/32\n  protocol tcp\n  port 80 8000-8100",
        ) + "fwmark_rules {\n mark 2 {\n }\n}\n";
        assert_eq!(problems(&text), Vec::<String>::new());
        let prefix = |address: &str, bits| Some(Prefix { address: address.parse().unwrap(), bits });
        let read = config(&text).mark_rules;
        let seen: Vec<_> =
            read.iter().map(|r| (r.mark, r.source, r.destination, r.protocol, r.ports.clone())).collect();
        let (v4, v6) = (
            (prefix("10.0.0.0", 8), prefix("192.0.2.1", 32)),
            (prefix("fd00::", 8), prefix("2001:db8::", 32)),
        );
        let tcp = Some(Protocol::Tcp);
        let expected = [
            (1, v4.0, v4.1, tcp, 80..=80),
            (1, v4.0, v4.1, tcp, 8000..=8100),
            (1, v6.0, v6.1, tcp, 80..=80),
            (1, v6.0, v6.1, tcp, 8000..=8100),
            (2, None, None, None, 0..=65535),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn wrong_values_are_errors() {
        for (inner, start) in [
            ("source 10.0.0.0/33", "t:3:10: error: `33` is out of range for a prefix length"),
            ("destination name", "t:3:15: error: `name` is not an IPv4"),
            ("destination ::/0", "t:3:15: error: `::/0` has the IPv4 addresses in it too"),
            ("source ::ffff:10.0.0.1", "t:3:10: error: `::ffff:10.0.0.1` has the IPv4"),
            (
                "source 10.0.0.1\n  destination fd00::1 10.0.0.2",
                "t:4:15: error: `fd00::1` has no address of its family",
            ),
            ("protocol ICMP", "t:3:12: error: `ICMP` is not a protocol"),
            ("port 0", "t:3:8: error: `0` is out of range for a port"),
            ("port 90-80", "t:3:8: error: `90-80` ends before it begins"),
            ("port 80-", "t:3:8: error: `` is not a port"),
        ] {
            let said = problems(&rules(inner));
            assert!(said.len() == 1 && said[0].starts_with(start), "{inner}: {said:#?}");
        }
        let said = said("fwmark_rules {\n mark 0 {\n }\n}\n");
        assert!(said[0].starts_with("t:2:7: error: `0` is out of range for a firewall mark"), "{said:#?}");
    }

    #[test]
    fn there_are_as_many_rules_as_a_director_holds() {
        let ports = |count| rules(&format!("port{}", " 80".repeat(count)));
        assert_eq!(config(&ports(MAX_MARK_RULES)).mark_rules.len(), MAX_MARK_RULES);
        let many = problems(&ports(MAX_MARK_RULES + 1));
        assert!(many[0].starts_with("t:2:2: error: one director holds 256 rules for marks"), "{many:#?}");
        // Of those that fit no packet none is counted.
        let four = " 10.0.0.1".repeat(16);
        let six = " fd00::1".repeat(16);
        let text = rules(&format!("source{four}{six}\n destination 10.0.0.2{}\n", " fd00::2".repeat(15)));
        assert_eq!((problems(&text), config(&text).mark_rules.len()), (Vec::new(), 256));
        let list = |word: &str| format!(" {word}").repeat(10_000);
        let huge = format!("source{}\n port{}\n protocol{}", list("10.0.0.1"), list("80"), list("TCP"));
        assert_eq!(problems(&rules(&huge)).len(), 1);
    }
}
