//! Owns the step from a line of `virtual_rules` to a [`VirtualRule`], in the words of ip-rule(8). A rule with an option
//! that has no effect yet is left out whole, because without the option it would match more.

use std::net::IpAddr;

use super::routes::{left_out, table};
use super::words::{self, Words};
use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::model::vrrp::{Family, VirtualRule};
use crate::config::tree::{Statement, Word};
use crate::config::values;

const RULE_LATER: [&str; 22] = [
    "not",
    "tos",
    "dsfield",
    "realms",
    "goto",
    "uidrange",
    "l3mdev",
    "ipproto",
    "ip_proto",
    "sport",
    "dport",
    "suppress_prefixlength",
    "suppress_prefixlen",
    "suppress_ifgroup",
    "tun_id",
    "protocol",
    "nop",
    "blackhole",
    "prohibit",
    "unreachable",
    "type",
    "nat",
];

/// The rules of `list` in an instance of `family`.
pub(super) fn read(list: &Statement, family: Family, problems: &mut Vec<Diagnostic>) -> Vec<VirtualRule> {
    let mut rules = Vec::new();
    for line in list.body() {
        match rule(line, family, problems) {
            Ok(rule) => rules.push(rule),
            Err(problem) => problems.push(problem),
        }
    }
    rules
}

/// What a line says of a rule before its family is known.
#[derive(Default)]
struct Rule {
    from: Option<(IpAddr, u8)>,
    to: Option<(IpAddr, u8)>,
    iif: Option<String>,
    oif: Option<String>,
    fwmark: Option<(u32, u32)>,
    preference: Option<u32>,
    table: Option<u32>,
    family: Option<Family>,
}

fn rule(line: &Statement, family: Family, problems: &mut Vec<Diagnostic>) -> Result<VirtualRule, Diagnostic> {
    let mut words = Words::new(line);
    let mut read = Rule::default();
    while let Some(word) = words.take() {
        read.take(word, &mut words, problems)?;
    }
    let span = words.span();
    let Some(table) = read.table else {
        return Err(Diagnostic::error(span, "this rule names no table")
            .hint("write `table` and its number, or `table main`"));
    };
    let prefixes = [read.from, read.to].into_iter().flatten();
    let families: Vec<_> = prefixes.map(|(address, _)| Family::of(address)).chain(read.family).collect();
    let family = families.first().copied().unwrap_or(family);
    if families.iter().any(|other| *other != family) {
        return Err(Diagnostic::error(span, "the prefixes of this rule are of two families")
            .hint("write prefixes of one family"));
    }
    if read.preference.is_none() {
        let message = "this rule has no `preference`: its place depends on what comes first";
        problems.push(Diagnostic::warning(span, message).hint("write `preference` and a number"));
    }
    let Rule { from, to, iif, oif, fwmark, preference, .. } = read;
    Ok(VirtualRule { family, from, to, iif, oif, fwmark, preference, table, span })
}

impl Rule {
    fn take(
        &mut self,
        word: &Word,
        words: &mut Words<'_>,
        problems: &mut Vec<Diagnostic>,
    ) -> Result<(), Diagnostic> {
        match word.text.as_str() {
            "from" => self.from = prefix(words.value(word)?)?,
            "to" => self.to = prefix(words.value(word)?)?,
            "iif" | "dev" => self.iif = Some(words.interface(word)?),
            "oif" => self.oif = Some(words.interface(word)?),
            "fwmark" => self.fwmark = Some(mark(words.value(word)?)?),
            "preference" | "pref" | "priority" | "prio" | "order" => {
                self.preference = Some(values::number(words.value(word)?, "a preference", 0..=u32::MAX)?);
            }
            "table" | "lookup" => self.table = Some(table(words.value(word)?)?),
            "inet" => self.family = Some(Family::V4),
            "inet6" => self.family = Some(Family::V6),
            // What was deleted by others is put back, and no instance gives way for it.
            "no_track" => {}
            "track_group" => {
                problems.push(words::later(word));
                words.value(word)?;
            }
            text if RULE_LATER.contains(&text) => return Err(left_out(word, "rule")),
            _ => return Err(words::unknown(word, "a rule")),
        }
        Ok(())
    }
}

/// `None` for every address.
fn prefix(word: &Word) -> Result<Option<(IpAddr, u8)>, Diagnostic> {
    if matches!(word.text.as_str(), "all" | "any" | "default") {
        return Ok(None);
    }
    let (address, length) = values::prefixed(word)?;
    Ok(Some((address, length.unwrap_or(values::width(address)))))
}

/// A mark, decimal or hexadecimal, and perhaps its mask behind `/`.
fn mark(word: &Word) -> Result<(u32, u32), Diagnostic> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let (mark, mask) = word.text.split_once('/').unwrap_or((&word.text, "0xffffffff"));
    number(mark).zip(number(mask)).ok_or_else(|| {
        Diagnostic::error(word.span, format!("{} is not a firewall mark", quoted(&word.text)))
            .hint("write a number such as 7 or 0x7, and perhaps a mask behind /")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{instance, only, said, says};

    fn list(lines: &str) -> String {
        instance(&format!("virtual_rules {{\n {lines}\n }}"))
    }

    fn network(text: &str) -> (IpAddr, u8) {
        let (address, length) = text.split_once('/').unwrap();
        (address.parse().unwrap(), length.parse().unwrap())
    }

    #[test]
    fn a_rule_has_its_words() {
        let text = list(
            "from 10.0.0.0/8 to 192.0.2.1 iif eth0 oif eth1 fwmark 0x10/0xff preference 7 table 100\n \
             inet6 from all prio 8 lookup main",
        );
        assert_eq!(said(&text), Vec::<String>::new());
        let rules = only(&text).rules;
        let first = &rules[0];
        assert_eq!((first.from, first.to), (Some(network("10.0.0.0/8")), Some(network("192.0.2.1/32"))));
        assert_eq!((first.iif.as_deref(), first.oif.as_deref()), (Some("eth0"), Some("eth1")));
        assert_eq!((first.fwmark, first.preference, first.table), (Some((16, 255)), Some(7), 100));
        assert_eq!((rules[1].family, rules[1].from, rules[1].table), (Family::V6, None, 254));
    }

    #[test]
    fn what_is_not_in_effect_leaves_the_rule_out() {
        let text = list("from 10.0.0.0/8 tos 4 table 1");
        says(&text, "t:5:18: warning: the rule is left out: `tos` is not yet in effect");
        assert!(only(&text).rules.is_empty());
        says(&list("from 10.0.0.0/8 table 1"), "t:5:2: warning: this rule has no `preference`");
    }

    #[test]
    fn wrong_values_are_errors() {
        for (line, start) in [
            ("from 10.0.0.0/8", "t:5:2: error: this rule names no table"),
            ("from 10.0.0.0/8 to fd00::/8 table 1", "t:5:2: error: the prefixes of this rule"),
            ("fwmark x table 1", "t:5:9: error: `x` is not a firewall mark"),
        ] {
            says(&list(line), start);
        }
    }
}
