//! Owns where adverts go and come from: multicast groups, unicast peers, source addresses and virtual MAC addresses.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use super::addresses;
use super::globals::Globals;
use super::words::{self, Words};
use crate::config::diagnostics::{Diagnostic, Say, quoted};
use crate::config::model::vrrp::{Checksum, Family, Transport, Vmac, VrrpInstance};
use crate::config::source::Span;
use crate::config::tree::{Statement, Word};
use crate::config::values;

/// The keywords of this kind that an instance has.
#[derive(Debug, Default)]
pub(super) struct Said {
    peers: Vec<(IpAddr, Span)>,
    wrong_peers: bool,
    /// The block of peers, or another keyword that only unicast has.
    unicast: Option<Span>,
    source: Option<(IpAddr, Span)>,
    track_source: Option<Span>,
    group: Option<(IpAddr, Span)>,
    ttl: Option<u8>,
    only_peers: Option<bool>,
    fault_without_peers: Option<Span>,
    checksum: Option<Checksum>,
    old_unicast: bool,
    vmac: Option<(Option<String>, Span)>,
    xmit_base: Option<Span>,
}

impl Said {
    /// Takes `setting` if it is one of these.
    pub(super) fn take(
        &mut self,
        setting: &Statement,
        problems: &mut Vec<Diagnostic>,
    ) -> Result<(), Diagnostic> {
        let header = setting.header();
        let value = setting.arguments.first();
        let on = |value| Ok(values::switch(value)?.then_some(header));
        match (setting.name(), value) {
            ("unicast_peer", _) => {
                self.unicast = Some(header);
                setting.body().iter().for_each(|line| self.take_peers(line, problems));
            }
            ("unicast_src_ip", Some(word)) => {
                self.unicast.get_or_insert(header);
                self.source = Some((values::host(word, problems)?, word.span));
            }
            ("mcast_src_ip", Some(word)) => self.source = Some((values::host(word, problems)?, word.span)),
            ("mcast_dst_ip", Some(word)) => self.group = Some((addresses::multicast(word)?, header)),
            ("unicast_ttl", Some(word)) => {
                self.unicast.get_or_insert(header);
                self.ttl = Some(values::number(word, "a time to live", 0..=u8::MAX)?);
            }
            ("check_unicast_src", value) => {
                self.unicast.get_or_insert(header);
                self.only_peers = Some(values::switch(value)?);
            }
            ("unicast_fault_no_peer", value) => self.fault_without_peers = on(value)?,
            ("track_src_ip", value) => self.track_source = on(value)?,
            ("old_unicast_checksum", value) => {
                self.unicast.get_or_insert(header);
                self.old_unicast = value.is_none_or(|word| word.text != "never");
            }
            ("v3_checksum_as_v2", value) => self.checksum = Some(checksum(value)?),
            ("use_vmac", _) => self.vmac = Some((vmac(&setting.arguments, problems)?, header)),
            ("vmac_xmit_base", value) => self.xmit_base = on(value)?,
            _ => {}
        }
        Ok(())
    }

    /// `ADDRESS [min_ttl NUMBER] [max_ttl NUMBER]`.
    fn take_peers(&mut self, line: &Statement, problems: &mut Vec<Diagnostic>) {
        let mut words = Words::new(line);
        while let Some(word) = words.take() {
            let taken = match word.text.as_str() {
                "min_ttl" | "max_ttl" => {
                    self.only_peers = Some(true);
                    let limit = words.value(word);
                    limit.and_then(|limit| values::number(limit, "a time to live", 0..=u8::MAX)).map(|_| {
                        problems.push(words::later(word));
                    })
                }
                _ => values::host(word, problems).map(|address| self.add_peer(address, word, problems)),
            };
            self.wrong_peers |= taken.is_err();
            problems.extend(taken.err());
        }
    }

    fn add_peer(&mut self, address: IpAddr, word: &Word, problems: &mut Vec<Diagnostic>) {
        if self.peers.iter().any(|(other, _)| *other == address) {
            let message = format!("{} is a peer already; this one is ignored", quoted(&word.text));
            problems.push(Diagnostic::ours(word.span, message).hint("remove one of the two"));
        } else {
            self.peers.push((address, word.span));
        }
    }

    /// The family of the addresses that adverts come from and go to, if any is named.
    pub(super) fn family(&self) -> Option<Family> {
        let named = self.source.or(self.peers.first().copied()).or(self.group);
        named.map(|(address, _)| Family::of(address))
    }

    /// Whether `instance`, which is filled in, was not to run without peers and has none.
    pub(super) fn runs_nowhere(&self, instance: &VrrpInstance) -> bool {
        self.fault_without_peers.is_some() && matches!(instance.transport, Transport::Multicast { .. })
    }

    /// Fills `instance` in, whose family is known.
    pub(super) fn settle(
        &self,
        instance: &mut VrrpInstance,
        globals: &Globals,
        problems: &mut Vec<Diagnostic>,
    ) {
        instance.checksum = self.checksum.unwrap_or(globals.checksum);
        instance.source = self.settle_source(instance.family, problems);
        instance.track_source = self.track_source.is_some() && instance.source.is_some();
        if let (Some(span), None) = (self.track_source, instance.source) {
            problems.push(
                Diagnostic::ours(span, "`track_src_ip` has no effect without a source address")
                    .hint("write `unicast_src_ip` or `mcast_src_ip`"),
            );
        }
        instance.transport = self.settle_transport(instance, globals, problems);
        if self.old_unicast && matches!(instance.transport, Transport::Unicast { .. }) {
            instance.checksum = Checksum::OldUnicast;
        }
        instance.vmac = self.settle_vmac(instance, globals, problems);
    }

    fn settle_source(&self, family: Family, problems: &mut Vec<Diagnostic>) -> Option<IpAddr> {
        let (source, span) = self.source?;
        if Family::of(source) == family {
            return Some(source);
        }
        problems.push(other_family(source, span, "the source address"));
        None
    }

    fn settle_transport(
        &self,
        instance: &mut VrrpInstance,
        globals: &Globals,
        problems: &mut Vec<Diagnostic>,
    ) -> Transport {
        // keepalived turns to the multicast group, which its peers do not listen to.
        if let Some(problem) = self.only_others(instance) {
            problems.push(problem);
            return Transport::Multicast { group: self.settle_group(instance.family, globals, problems) };
        }
        let mut peers = Vec::new();
        for (peer, span) in &self.peers {
            if Family::of(*peer) != instance.family {
                problems.push(other_family(*peer, *span, "the peer"));
            } else if instance.source == Some(*peer) {
                problems.push(
                    Diagnostic::ours(*span, format!("the peer {peer} is this router itself; it is ignored"))
                        .hint("write the addresses of the other routers only"),
                );
            } else {
                peers.push(*peer);
            }
        }
        if !peers.is_empty() {
            if let Some((_, span)) = self.group {
                problems.push(
                    Diagnostic::warning(span, "`mcast_dst_ip` has no effect beside `unicast_peer`")
                        .hint("remove one of the two"),
                );
            }
            let only_peers = self.only_peers.unwrap_or(globals.check_unicast_src);
            return Transport::Unicast { peers, ttl: self.ttl.unwrap_or(u8::MAX), only_peers };
        }
        if let Some(span) = self.fault_without_peers.or(self.unicast).filter(|_| !self.wrong_peers) {
            let (say, what, hint) = if self.fault_without_peers.is_some() {
                // What has no interface does not run.
                instance.interface = None;
                (Diagnostic::ours as Say, "it does not run", "write the other routers into `unicast_peer`")
            } else {
                (
                    Diagnostic::warning as Say,
                    "its adverts go to the multicast group",
                    "write `unicast_peer`, or `mcast_src_ip` for the source alone",
                )
            };
            let message = format!("the vrrp_instance {} has no peer: {what}", instance.name);
            problems.push(say(span, message).hint(hint));
        }
        Transport::Multicast { group: self.settle_group(instance.family, globals, problems) }
    }

    /// What is wrong where there are peers of another family only.
    fn only_others(&self, instance: &VrrpInstance) -> Option<Diagnostic> {
        let VrrpInstance { name, family, source, .. } = instance;
        let is_other = |peer: &IpAddr| Family::of(*peer) != *family;
        let (peer, span) = self.peers.iter().find(|(peer, _)| is_other(peer))?;
        if self.peers.iter().any(|(peer, _)| !is_other(peer) && *source != Some(*peer)) {
            return None;
        }
        let message =
            format!("the vrrp_instance {name} is {family} and no peer is: {peer} would not hear it");
        Some(Diagnostic::error(*span, message).hint("write peers of the family of its addresses"))
    }

    fn settle_group(&self, family: Family, globals: &Globals, problems: &mut Vec<Diagnostic>) -> IpAddr {
        match self.group {
            Some((group, _)) if Family::of(group) == family => return group,
            Some((group, span)) => problems.push(other_family(group, span, "the group")),
            None => {}
        }
        match family {
            Family::V4 => globals.group_v4.into(),
            Family::V6 => globals.group_v6.into(),
        }
    }

    fn settle_vmac(
        &self,
        instance: &VrrpInstance,
        globals: &Globals,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Vmac> {
        let Some((name, span)) = &self.vmac else {
            if let Some(span) = self.xmit_base {
                problems.push(
                    Diagnostic::warning(span, "`vmac_xmit_base` has no effect without `use_vmac`")
                        .hint("write `use_vmac`, or remove it"),
                );
            }
            return None;
        };
        let unicast = matches!(instance.transport, Transport::Unicast { .. });
        if unicast && self.xmit_base.is_none() {
            problems.push(
                Diagnostic::warning(
                    *span,
                    "unicast with `use_vmac` needs `vmac_xmit_base`, which is taken to be there",
                )
                .hint("write `vmac_xmit_base`"),
            );
        }
        let usual = || vmac_name(&globals.vmac_prefix, "", instance);
        let name = name.clone().unwrap_or_else(usual);
        Some(Vmac { name, xmit_base: unicast || self.xmit_base.is_some() })
    }
}

/// What the interface of `instance` is called that has no name of its own.
pub(super) fn vmac_name(prefix: &str, number: &str, instance: &VrrpInstance) -> String {
    let six = if instance.family == Family::V6 { "6" } else { "" };
    format!("{prefix}{six}{number}.{}", instance.virtual_router_id)
}

/// Nothing or yes: as in version 2.
pub(super) fn checksum(value: Option<&Word>) -> Result<Checksum, Diagnostic> {
    Ok(if values::switch(value)? { Checksum::MessageOnly } else { Checksum::WithPseudoHeader })
}

/// `[NAME] [MAC]`.
fn vmac(words: &[Word], problems: &mut Vec<Diagnostic>) -> Result<Option<String>, Diagnostic> {
    let mut name = None;
    for word in words {
        if word.text.matches(':').count() >= 4 {
            problems.push(
                Diagnostic::ours(
                    word.span,
                    "another MAC address than that of the virtual router is not yet in effect",
                )
                .hint("remove it: 00:00:5e:00:01 and the virtual_router_id are used"),
            );
        } else if name.is_none() {
            name = Some(values::interface(word)?);
        } else {
            return Err(words::unknown(word, "`use_vmac`"));
        }
    }
    Ok(name)
}

fn other_family(address: IpAddr, span: Span, what: &str) -> Diagnostic {
    let message = format!("{what} {address} is not of the family of the virtual addresses; it is ignored");
    Diagnostic::warning(span, message).hint("write an address of the same family")
}
