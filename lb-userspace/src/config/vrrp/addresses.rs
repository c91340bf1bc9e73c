//! Owns the step from a line of `virtual_ipaddress` or `virtual_ipaddress_excluded` to a [`VirtualAddress`], and from a
//! word to an address of a certain kind.

use std::net::IpAddr;

use super::words::{self, Words};
use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::model::vrrp::{Broadcast, Scope, VirtualAddress};
use crate::config::source::Span;
use crate::config::tree::{Statement, Word};
use crate::config::values;

/// The label of an address has the length of an interface's name, the kernel's IFNAMSIZ without the final NUL.
const LABEL: usize = 15;

/// The addresses in the lines of `list`, each with its place.
pub(super) fn read(list: &Statement, problems: &mut Vec<Diagnostic>) -> Vec<(VirtualAddress, Span)> {
    let mut addresses = Vec::new();
    for line in list.body() {
        match address(line, problems) {
            Ok(address) => addresses.push((address, line.header())),
            Err(problem) => problems.push(problem),
        }
    }
    addresses
}

/// A multicast address; of IPv6, one of the link.
pub(super) fn multicast(word: &Word) -> Result<IpAddr, Diagnostic> {
    let address = values::address(word)?;
    let fits = match address {
        IpAddr::V4(address) => address.is_multicast(),
        IpAddr::V6(address) => address.segments()[0] & 0xff0f == 0xff02,
    };
    if fits {
        return Ok(address);
    }
    Err(Diagnostic::error(
        word.span,
        format!("{} is not a multicast address of one link", quoted(&word.text)),
    )
    .hint("write an address such as 224.0.0.18 or ff02::12"))
}

/// `global`, `site`, `link`, `host`, `nowhere` or a number.
pub(super) fn scope(word: &Word) -> Result<Scope, Diagnostic> {
    let number = match word.text.as_str() {
        "global" => 0,
        "site" => 200,
        "link" => 253,
        "host" => 254,
        "nowhere" => 255,
        _ => values::number(word, "a scope", 0..=u8::MAX).map_err(|problem| {
            problem.hint("write global, site, link, host, nowhere or a number up to 255")
        })?,
    };
    Ok(Scope(number))
}

fn address(line: &Statement, problems: &mut Vec<Diagnostic>) -> Result<VirtualAddress, Diagnostic> {
    let mut words = Words::new(line);
    let (address, prefix) = values::prefixed(&line.keyword)?;
    words.take();
    can_be_held(address, &line.keyword)?;
    if let (Some(bits), Some((_, mask))) = (prefix, line.keyword.text.split_once('/'))
        && mask.contains('.')
    {
        let message = format!("this netmask is read as the {bits} bits it has; keepalived takes 32");
        let problem = Diagnostic::warning(line.keyword.span, message);
        problems.push(problem.hint(format!("write {address}/{bits}")));
    }
    let mut read = VirtualAddress { address, prefix, dev: None, label: None, scope: None, broadcast: None };
    while let Some(option) = words.take() {
        match option.text.as_str() {
            "dev" => read.dev = Some(words.interface(option)?),
            "scope" => read.scope = Some(scope(words.value(option)?)?),
            "label" => read.label = Some(label(words.value(option)?)?),
            "brd" | "broadcast" => read.broadcast = broadcast(words.value(option)?, address)?,
            // What was deleted by others is put back, and no instance gives way for it: there is nothing to switch off.
            "no_track" => {}
            "peer" | "preferred_lft" | "track_group" => {
                problems.push(words::later(option));
                words.value(option)?;
            }
            "home" | "-nodad" | "nodad" | "mngtmpaddr" | "noprefixroute" | "autojoin" | "use_vmac" => {
                problems.push(words::later(option));
            }
            _ => return Err(words::unknown(option, "a virtual address")),
        }
    }
    Ok(read)
}

fn can_be_held(address: IpAddr, word: &Word) -> Result<(), Diagnostic> {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    if !address.is_unspecified() && !address.is_multicast() && !address.is_loopback() && !broadcast {
        return Ok(());
    }
    Err(Diagnostic::error(word.span, format!("{} cannot be a virtual address", quoted(&word.text)))
        .hint("write an address that one host can hold"))
}

fn label(word: &Word) -> Result<String, Diagnostic> {
    if (1..=LABEL).contains(&word.text.len()) {
        return Ok(word.text.clone());
    }
    Err(Diagnostic::error(word.span, format!("{} is not a label", quoted(&word.text)))
        .hint(format!("write one such as eth0:1, of at most {LABEL} characters")))
}

/// `+` is computed, `-` is none.
fn broadcast(word: &Word, address: IpAddr) -> Result<Option<Broadcast>, Diagnostic> {
    if address.is_ipv6() {
        return Err(Diagnostic::error(word.span, "IPv6 has no broadcast addresses").hint("remove `brd`"));
    }
    match word.text.as_str() {
        "+" => Ok(Some(Broadcast::Computed)),
        "-" => Ok(None),
        _ => match values::address(word)? {
            IpAddr::V4(address) => Ok(Some(Broadcast::Address(address))),
            IpAddr::V6(_) => Err(Diagnostic::error(word.span, "this is no IPv4 address")
                .hint("write an IPv4 address, or + to have it computed")),
        },
    }
}

#[cfg(test)]
mod tests {
    use crate::config::model::vrrp::{Broadcast, Scope, VirtualAddress};
    use crate::config::testing::{bare_instance, only, says};

    fn list(lines: &str) -> String {
        bare_instance(&format!("virtual_ipaddress {{\n {lines}\n }}"))
    }

    fn plain(address: &str, prefix: Option<u8>) -> VirtualAddress {
        let address = address.parse().unwrap();
        VirtualAddress { address, prefix, dev: None, label: None, scope: None, broadcast: None }
    }

    #[test]
    fn an_address_has_its_options() {
        let text = list(
            "10.0.0.1\n 10.0.0.2/24 brd + dev eth1 label eth1:1 scope link no_track\n 10.0.0.3/255.255.0.0 brd -\n \
             10.0.0.4/8 broadcast 10.9.9.9 scope 7",
        );
        says(&text, "t:7:2: warning: this netmask is read as the 16 bits it has; keepalived takes 32");
        let second = VirtualAddress {
            dev: Some("eth1".to_owned()),
            label: Some("eth1:1".to_owned()),
            scope: Some(Scope(253)),
            broadcast: Some(Broadcast::Computed),
            ..plain("10.0.0.2", Some(24))
        };
        let fourth = VirtualAddress {
            scope: Some(Scope(7)),
            broadcast: Some(Broadcast::Address("10.9.9.9".parse().unwrap())),
            ..plain("10.0.0.4", Some(8))
        };
        let expected = [plain("10.0.0.1", None), second, plain("10.0.0.3", Some(16)), fourth];
        assert_eq!(only(&text).virtual_addresses, expected);
    }

    #[test]
    fn options_without_effect_are_warned_of() {
        says(
            &list("10.0.0.1 preferred_lft 0 dev eth1"),
            "t:5:11: warning: `preferred_lft` is not yet in effect",
        );
        says(&list("fd00::1 -nodad"), "t:5:10: warning: `-nodad` is not yet in effect");
    }

    #[test]
    fn wrong_values_are_errors() {
        for (line, start) in [
            ("10.0.0.300", "t:5:2: error: `10.0.0.300` is not an IPv4 or IPv6 address"),
            ("10.0.0.1/33", "t:5:2: error: `33` is out of range for a prefix length"),
            ("224.0.0.1", "t:5:2: error: `224.0.0.1` cannot be a virtual address"),
            ("10.0.0.1 dev", "t:5:11: error: `dev` has no value"),
            ("10.0.0.1 scope far", "t:5:17: error: `far` is not a scope"),
            ("10.0.0.1 10.0.0.2", "t:5:11: error: `10.0.0.2` is not an option of a virtual address"),
            ("fd00::1 brd +", "t:5:14: error: IPv6 has no broadcast addresses"),
        ] {
            says(&list(line), start);
        }
    }
}
