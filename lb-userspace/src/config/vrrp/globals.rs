//! Owns what `global_defs` says about VRRP: for the daemon as a whole, and for every instance that says nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::announcing::Garps;
use super::{addresses, command, election, transport};
use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::model::vrrp::{
    Checksum, Fifo, FifoLines, MULTICAST_V4, MULTICAST_V6, Version, VrrpGlobals,
};
use crate::config::tree::{Statement, Word};
use crate::config::values;

const STARTUP_DELAYS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);

/// An interface's name without what stands behind the prefix, as in `vrrp6.255`, and with room for a number.
const VMAC_PREFIX: usize = 8;

/// What counts in an instance that says nothing else, and [`Self::all`], which counts for all.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a keyword of its own and they do not depend on each other"
)]
pub(super) struct Globals {
    pub(super) all: VrrpGlobals,
    pub(super) version: Version,
    pub(super) down_timer_adverts: Option<u8>,
    pub(super) garps: Garps,
    pub(super) group_v4: Ipv4Addr,
    pub(super) group_v6: Ipv6Addr,
    pub(super) default_interface: Option<String>,
    pub(super) check_unicast_src: bool,
    pub(super) skip_check_addresses: bool,
    pub(super) strict: bool,
    pub(super) checksum: Checksum,
    pub(super) lower_prio_no_advert: bool,
    pub(super) higher_prio_send_advert: bool,
    pub(super) priority_changes: bool,
    pub(super) vmac_prefix: String,
}

impl Default for Globals {
    fn default() -> Self {
        Self {
            all: VrrpGlobals::default(),
            version: Version::default(),
            down_timer_adverts: None,
            garps: Garps::default(),
            group_v4: MULTICAST_V4,
            group_v6: MULTICAST_V6,
            default_interface: None,
            check_unicast_src: false,
            skip_check_addresses: false,
            strict: false,
            checksum: Checksum::default(),
            lower_prio_no_advert: false,
            higher_prio_send_advert: false,
            priority_changes: false,
            vmac_prefix: "vrrp".to_owned(),
        }
    }
}

/// What all `global_defs` blocks among `statements` say.
pub(super) fn read(statements: &[Statement], problems: &mut Vec<Diagnostic>) -> Globals {
    let mut globals = Globals::default();
    let blocks = statements.iter().filter(|statement| statement.name() == "global_defs");
    let settings: Vec<_> = blocks.flat_map(Statement::body).collect();
    for setting in &settings {
        if let Err(problem) = globals.take(setting) {
            problems.push(problem);
        }
    }
    for lines in FifoLines::ALL {
        let name = lines.keyword();
        let script = format!("{name}_script");
        let script = script.as_str();
        let last = |name: &str| settings.iter().rfind(|setting| setting.name() == name).copied();
        let Some(fifo) = fifo(lines, last(name), last(script), problems) else { continue };
        if globals.all.fifos.iter().any(|other| other.path == fifo.path) {
            let message = format!("{} names the FIFO of `notify_fifo`; it is ignored", quoted(name));
            let span = last(name).map(Statement::header).unwrap_or_default();
            problems.push(Diagnostic::ours(span, message).hint("write another path, or remove it"));
        } else {
            globals.all.fifos.push(fifo);
        }
    }
    globals
}

impl Globals {
    fn take(&mut self, setting: &Statement) -> Result<(), Diagnostic> {
        let value = setting.arguments.first();
        match setting.name() {
            "enable_script_security" => self.all.script_security = true,
            "script_user" => self.all.script_user = command::user(&setting.arguments),
            "vrrp_check_unicast_src" => self.check_unicast_src = values::switch(value)?,
            "vrrp_skip_check_adv_addr" => self.skip_check_addresses = values::switch(value)?,
            "vrrp_strict" => self.strict = values::switch(value)?,
            "v3_checksum_as_v2" => self.checksum = transport::checksum(value)?,
            "vrrp_lower_prio_no_advert" => self.lower_prio_no_advert = values::switch(value)?,
            "vrrp_higher_prio_send_advert" => self.higher_prio_send_advert = values::switch(value)?,
            "vrrp_notify_priority_changes" => self.priority_changes = values::switch(value)?,
            _ => {}
        }
        if let Some(name) = setting.name().strip_prefix("vrrp_") {
            self.garps.take(name, value)?;
        }
        value.map_or(Ok(()), |word| self.take_value(setting.name(), word))
    }

    fn take_value(&mut self, name: &str, word: &Word) -> Result<(), Diagnostic> {
        match name {
            "vrrp_version" => self.version = election::version(word)?,
            "vrrp_down_timer_adverts" => self.down_timer_adverts = Some(election::adverts(word)?),
            "vrrp_mcast_group4" => match addresses::multicast(word)? {
                IpAddr::V4(group) => self.group_v4 = group,
                IpAddr::V6(_) => return Err(wrong_family(word, "vrrp_mcast_group6")),
            },
            "vrrp_mcast_group6" => match addresses::multicast(word)? {
                IpAddr::V6(group) => self.group_v6 = group,
                IpAddr::V4(_) => return Err(wrong_family(word, "vrrp_mcast_group4")),
            },
            "default_interface" => self.default_interface = Some(values::interface(word)?),
            "vmac_prefix" => self.vmac_prefix = vmac_prefix(word)?,
            "vrrp_startup_delay" => self.all.startup_delay = values::seconds(word, STARTUP_DELAYS)?,
            "vrrp_delay_after_boot" => self.all.delay_after_boot = values::seconds(word, STARTUP_DELAYS)?,
            "vrrp_rt_priority" => {
                self.all.rt_priority = Some(values::number(word, "a real-time priority", 1..=99)?);
            }
            _ => {}
        }
        Ok(())
    }
}

fn fifo(
    lines: FifoLines,
    path: Option<&Statement>,
    script: Option<&Statement>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Fifo> {
    let script = script.and_then(|setting| {
        command::with_user(setting, problems)
            .map_err(|problem| problems.push(problem))
            .ok()
            .map(|command| (command, setting))
    });
    let Some((path, setting)) = path.and_then(|setting| Some((setting.arguments.first()?, setting))) else {
        if let Some((_, setting)) = script {
            let fifo = setting.name().trim_end_matches("_script");
            let message = format!("{} has no effect without `{fifo}`", quoted(setting.name()));
            problems
                .push(Diagnostic::ours(setting.header(), message).hint(format!("write `{fifo}` and a path")));
        }
        return None;
    };
    let owner = command::user(&setting.arguments[1..]);
    Some(Fifo { lines, path: PathBuf::from(&path.text), owner, script: script.map(|(command, _)| command) })
}

/// Short enough for a name with the rest behind it.
fn vmac_prefix(word: &Word) -> Result<String, Diagnostic> {
    let prefix = values::interface(word)?;
    if prefix.len() <= VMAC_PREFIX {
        return Ok(prefix);
    }
    Err(Diagnostic::error(word.span, format!("{} is too long for the start of a name", quoted(&word.text)))
        .hint(format!("write at most {VMAC_PREFIX} characters")))
}

fn wrong_family(word: &Word, right: &str) -> Diagnostic {
    Diagnostic::error(word.span, format!("{} is of the other family", quoted(&word.text)))
        .hint(format!("write `{right}`"))
}

#[cfg(test)]
mod tests {
    use crate::config::model::vrrp::{Transport, Version};
    use crate::config::testing::{config, instance, only, said, says};

    fn globals(inner: &str) -> String {
        format!("global_defs {{\n {inner}\n}}\n")
    }

    #[test]
    fn what_counts_for_all_is_read() {
        let text = globals(
            "script_user nobody nogroup\n enable_script_security\n vrrp_startup_delay 5.5\n vrrp_delay_after_boot 60\n vrrp_rt_priority 50\n \
             notify_fifo /run/a\n notify_fifo_script \"/bin/a b\" root\n vrrp_notify_fifo /run/b nobody nogroup",
        );
        assert_eq!(said(&text), Vec::<String>::new());
        let read = config(&text).vrrp.globals;
        let user = read.script_user.unwrap();
        assert_eq!((user.name.as_str(), user.group.as_deref()), ("nobody", Some("nogroup")));
        assert!(read.script_security);
        assert_eq!((read.startup_delay.as_millis(), read.rt_priority), (5500, Some(50)));
        assert_eq!(read.delay_after_boot.as_secs(), 60);
        let fifos: Vec<_> = read.fifos.iter().map(|fifo| fifo.path.to_str().unwrap()).collect();
        assert_eq!(fifos, ["/run/a", "/run/b"]);
        let script = read.fifos[0].script.as_ref().unwrap();
        assert_eq!((script.words.join(" "), script.user.is_some()), ("/bin/a b".to_owned(), true));
        assert_eq!(read.fifos[0].owner, None);
        let owner = read.fifos[1].owner.as_ref().unwrap();
        assert_eq!((owner.name.as_str(), owner.group.as_deref()), ("nobody", Some("nogroup")));
    }

    #[test]
    fn an_instance_takes_what_it_does_not_say() {
        let inner = "vrrp_version 3\n vrrp_mcast_group4 224.0.0.33\n vrrp_skip_check_adv_addr\n vrrp_lower_prio_no_advert\n \
                     vrrp_higher_prio_send_advert\n vrrp_notify_priority_changes true\n vrrp_check_unicast_src\n \
                     vmac_prefix v";
        let text = format!("{}{}", globals(inner), instance("use_vmac"));
        assert_eq!(said(&text), Vec::<String>::new());
        let read = only(&text);
        assert_eq!(read.version, Version::V3);
        assert_eq!(read.transport, Transport::Multicast { group: "224.0.0.33".parse().unwrap() });
        assert!(read.skip_check_addresses && read.lower_prio_no_advert && read.higher_prio_send_advert);
        assert!(read.notify.priority_changes);
        assert_eq!(read.vmac.unwrap().name, "v.51");
        let own = "skip_check_adv_addr off\n lower_prio_no_advert no\n higher_prio_send_advert off\n notify_priority_changes no";
        let read = only(&format!("{}{}", globals(inner), instance(own)));
        assert!(!read.skip_check_addresses && !read.lower_prio_no_advert && !read.higher_prio_send_advert);
        assert!(!read.notify.priority_changes);
    }

    #[test]
    fn wrong_values_are_said() {
        says(
            &globals("vmac_prefix abcdefghi"),
            "t:2:14: error: `abcdefghi` is too long for the start of a name",
        );
        says(&globals("vrrp_mcast_group4 10.0.0.1"), "t:2:20: error: `10.0.0.1` is not a multicast address");
        says(&globals("vrrp_mcast_group4 ff02::12"), "t:2:20: error: `ff02::12` is of the other family");
        says(
            &globals("vrrp_rt_priority 100"),
            "t:2:19: error: `100` is out of range for a real-time priority",
        );
        says(
            &globals("notify_fifo_script /bin/a"),
            "t:2:2: warning: `notify_fifo_script` has no effect without",
        );
        let twice = globals("notify_fifo /run/a\n vrrp_notify_fifo /run/a");
        says(&twice, "t:3:2: warning: `vrrp_notify_fifo` names the FIFO of `notify_fifo`; it is ignored");
        assert_eq!(config(&twice).vrrp.globals.fifos.len(), 1);
    }
}
