//! `vip_check`, which keepalived does not know. It is a line and no block: keepalived passes over a line that it does not know,
//! and over a block it stumbles.

use std::net::IpAddr;

use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::keywords::{self, BlockKind};
use crate::config::model::check::{Checker, Probe, VipProbe, VipTarget};
use crate::config::model::{Protocol, Selector};
use crate::config::source::Span;
use crate::config::timing::Timing;
use crate::config::tree::{Statement, Word};
use crate::config::values;

const KEYWORD: &str = "vip_check";
/// Its settings, and its defaults, are those of this kind of check.
const LIKE: BlockKind = BlockKind::TcpCheck;
const SETTINGS: [&str; 7] =
    ["connect_timeout", "retry", "delay_before_retry", "delay_loop", "warmup", "alpha", "log_all_failures"];

/// What a `vip_check` says.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Line {
    span: Span,
    /// Nothing where it is off.
    timing: Option<Timing>,
}

/// The `vip_check` that stands in a block, if one does that can be read, for servers of what `selectors` are for.
pub(in crate::config) fn line(
    block: &Statement,
    selectors: &[Selector],
    problems: &mut Vec<Diagnostic>,
) -> Option<Line> {
    let line = block.body().iter().rfind(|setting| setting.name() == KEYWORD)?;
    let span = line.header();
    let timing = timing(&line.arguments).map_err(|problem| problems.push(problem)).ok()?;
    if timing.is_some() && targets(selectors).is_empty() {
        let message = "`vip_check` does nothing here: a firewall mark has no address that could be asked for";
        let hint = "remove it, or write a `virtual_server` with the address";
        problems.push(Diagnostic::ours(span, message).hint(hint));
    }
    Some(Line { span, timing })
}

impl Line {
    /// The check of a real server, if it is to be checked and there is something to ask for; what is not said is as `around`.
    pub(in crate::config) fn check(
        self,
        server: IpAddr,
        around: Timing,
        selectors: &[Selector],
    ) -> Option<Checker> {
        let targets = targets(selectors);
        let timing = self.timing.filter(|_| !targets.is_empty())?.within(around).of(LIKE);
        let probe = Probe::Vip(VipProbe { server, targets });
        Some(Checker { probe, timing, span: self.span, parts: Vec::new() })
    }
}

/// What is asked for of each address: to open a connection costs a server next to nothing, and of other protocols nothing is
/// answered by all.
fn targets(selectors: &[Selector]) -> Vec<VipTarget> {
    let mut targets = Vec::new();
    for selector in selectors {
        let Selector::Address { address, port, protocol } = *selector else { continue };
        let port = Some(port).filter(|port| *port != 0 && protocol == Protocol::Tcp);
        let target = VipTarget { address, port };
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    targets
}

/// What the words behind the keyword say; nothing for off.
fn timing(words: &[Word]) -> Result<Option<Timing>, Diagnostic> {
    let (first, rest) = match words.split_first() {
        Some((first, rest)) if values::switch(Some(first)).is_ok() => (Some(first), rest),
        _ => (None, words),
    };
    if !values::switch(first)? {
        return match rest.first() {
            Some(word) => Err(Diagnostic::error(word.span, "nothing stands behind `vip_check off`")
                .hint("remove it, or remove `off`")),
            None => Ok(None),
        };
    }
    let mut timing = Timing::default();
    for (place, pair) in rest.chunks(2).enumerate() {
        let name = &pair[0];
        if !SETTINGS.contains(&name.text.as_str()) {
            return Err(unknown(name));
        }
        let Some(value) = pair.get(1) else {
            let message = format!("{} has no value", quoted(&name.text));
            return Err(Diagnostic::error(name.span, message).hint("write the value behind it"));
        };
        if rest.chunks(2).take(place).any(|before| before[0].text == name.text) {
            let message = format!("{} stands here twice", quoted(&name.text));
            return Err(Diagnostic::error(name.span, message).hint("remove one of the two"));
        }
        timing.set(&name.text, Some(value))?;
    }
    Ok(Some(timing))
}

fn unknown(word: &Word) -> Diagnostic {
    let message = format!("{} is no setting of `vip_check`", quoted(&word.text));
    let hint = match keywords::nearest_of(SETTINGS.into_iter(), &word.text) {
        Some(nearest) => format!("the nearest one is `{nearest}`"),
        None => format!("write one of {}, and its value", SETTINGS.join(", ")),
    };
    Diagnostic::error(word.span, message).hint(hint)
}
