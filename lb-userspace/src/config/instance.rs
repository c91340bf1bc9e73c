//! Owns the step from a `vrrp_instance` block to a [`VrrpInstance`].

use super::diagnostics::Diagnostic;
use super::model::vrrp::{VirtualAddress, VrrpInstance};
use super::tree::{Statement, Word};
use super::values;

/// The authentication field of an advert holds this many bytes.
const PASSWORD: usize = 8;

/// The instance that `statement` describes; without one, `problems` has gained an error.
pub(super) fn read(statement: &Statement, problems: &mut Vec<Diagnostic>) -> Option<VrrpInstance> {
    let name = statement.arguments.first()?.text.clone();
    let mut virtual_router_id = None;
    let mut instance = VrrpInstance::new(name, statement.header());
    for setting in statement.body() {
        let value = setting.arguments.first();
        match (setting.name(), value) {
            ("interface", Some(word)) => instance.interface = Some(word.text.clone()),
            ("virtual_router_id", Some(word)) => virtual_router_id = Some(word),
            ("virtual_ipaddress", _) => instance.virtual_addresses.extend(addresses(setting, problems)),
            ("virtual_ipaddress_excluded", _) => {
                instance.excluded_addresses.extend(addresses(setting, problems));
            }
            ("authentication", _) => authentication(setting, problems),
            _ => {}
        }
    }
    let Some(word) = virtual_router_id else {
        let message = format!("the vrrp_instance {} has no `virtual_router_id`", instance.name);
        problems.push(Diagnostic::error(instance.span, message).hint("write a number from 1 to 255"));
        return None;
    };
    match values::number(word, "a virtual router id", 1..=u8::MAX) {
        Ok(id) => Some(VrrpInstance { virtual_router_id: id, ..instance }),
        Err(problem) => {
            problems.push(problem);
            None
        }
    }
}

fn addresses(list: &Statement, problems: &mut Vec<Diagnostic>) -> Vec<VirtualAddress> {
    let mut addresses = Vec::new();
    for line in list.body() {
        match virtual_address(line) {
            Ok(address) => addresses.push(address),
            Err(problem) => problems.push(problem),
        }
    }
    addresses
}

fn virtual_address(line: &Statement) -> Result<VirtualAddress, Diagnostic> {
    let text = line.name();
    let part = |text: &str| Word { text: text.to_owned(), span: line.keyword.span };
    let (address, prefix) =
        text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address = values::address(&part(address))?;
    let prefix = prefix.map(|prefix| values::prefix(&part(prefix), values::width(address))).transpose()?;
    let dev = line.arguments.windows(2).find(|pair| pair[0].text == "dev").map(|pair| pair[1].text.clone());
    Ok(VirtualAddress { address, prefix, dev, label: None, scope: None, broadcast: None })
}

fn authentication(block: &Statement, problems: &mut Vec<Diagnostic>) {
    for setting in block.body().iter().filter(|setting| setting.name() == "auth_pass") {
        let Some(word) = setting.arguments.first().filter(|word| word.text.len() > PASSWORD) else {
            continue;
        };
        let message = format!("`auth_pass` is longer than {PASSWORD} characters; the rest is cut off");
        problems.push(
            Diagnostic::warning(word.span, message).hint("the other routers of the group cut it as well"),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{config, said, says};

    fn instance(inner: &str) -> String {
        format!("vrrp_instance VI_1 {{\n interface eth0\n virtual_router_id 51\n{inner}\n}}\n")
    }

    #[test]
    fn an_instance_has_its_addresses() {
        let text = instance(
            "virtual_ipaddress {\n 10.0.0.1\n 10.0.0.2/24 brd + dev eth1 label eth1:1\n 10.0.0.3/255.255.0.0\n }\n \
             virtual_ipaddress_excluded {\n 2001:db8::1/64\n }",
        );
        let config = config(&text);
        let read = &config.vrrp.instances[0];
        assert_eq!((read.name.as_str(), read.virtual_router_id), ("VI_1", 51));
        let addresses: Vec<_> = read
            .virtual_addresses
            .iter()
            .map(|owned| (owned.address.to_string(), owned.prefix, owned.dev.as_deref()))
            .collect();
        assert_eq!(
            addresses,
            [
                ("10.0.0.1".to_owned(), None, None),
                ("10.0.0.2".to_owned(), Some(24), Some("eth1")),
                ("10.0.0.3".to_owned(), Some(16), None),
            ]
        );
        assert!(read.owns("2001:db8::1".parse().unwrap()));
        assert_eq!(config.interfaces().into_iter().collect::<Vec<_>>(), ["eth0"]);
    }

    #[test]
    fn a_long_password_is_cut_with_a_warning() {
        let said = said(&instance("authentication {\n auth_type PASS\n auth_pass 123456789\n }"));
        assert!(said[1].starts_with("t:6:12: warning: `auth_pass` is longer than 8 characters"), "{said:#?}");
    }

    #[test]
    fn wrong_values_are_errors() {
        let said = said(&instance("virtual_ipaddress {\n 10.0.0.300\n 10.0.0.1/33\n }"));
        assert!(
            said[1].starts_with("t:5:2: error: `10.0.0.300` is not an IPv4 or IPv6 address"),
            "{said:#?}"
        );
        assert!(said[2].starts_with("t:6:2: error: `33` is out of range for a prefix length"), "{said:#?}");
        says(
            &instance("").replace("51", "256"),
            "t:3:20: error: `256` is out of range for a virtual router id",
        );
        says("vrrp_instance A {\n}\n", "t:1:1: error: the vrrp_instance A has no `virtual_router_id`");
    }
}
