//! Owns the step from `vrrp_sync_group` blocks to [`SyncGroup`]s, and what being in one changes for an instance.

use std::collections::BTreeMap;

use super::globals::Globals;
use super::notify;
use super::tracking::Trackers;
use super::weights::{self, Why};
use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::keywords::{self, BlockKind};
use crate::config::model::vrrp::{Notify, SyncGroup, Tracks, VrrpInstance};
use crate::config::tree::{Statement, Word};
use crate::config::values;

/// The group that `block` describes, with members among `instances` that are not yet `taken` by another group.
pub(super) fn read(
    block: &Statement,
    globals: &Globals,
    trackers: &Trackers,
    instances: &mut [VrrpInstance],
    taken: &mut BTreeMap<String, String>,
    problems: &mut Vec<Diagnostic>,
) -> Option<SyncGroup> {
    let name = block.arguments.first()?.text.clone();
    let notify = Notify { priority_changes: globals.priority_changes, ..Notify::default() };
    let mut group = SyncGroup {
        name,
        members: Vec::new(),
        tracking_weight: false,
        tracks: Tracks::default(),
        notify,
        smtp_alert: None,
        span: block.header(),
    };
    let known = |setting: &&Statement| keywords::lookup(BlockKind::VrrpSyncGroup, setting.name()).is_some();
    for setting in block.body().iter().filter(known) {
        if setting.name() == "group" {
            let names = setting.body().iter().flat_map(Statement::words);
            names.for_each(|word| add(&mut group, word, instances, taken, problems));
        }
        trackers.take(&mut group.tracks, setting, problems);
        if let Err(problem) = take(&mut group, setting, problems) {
            problems.push(problem);
        }
    }
    for instance in instances
        .iter_mut()
        .filter(|instance| !group.tracking_weight && group.members.contains(&instance.name))
    {
        weights::settle(instance, Why::Group(&group.name), problems);
    }
    let message = match group.members.len() {
        0 => format!("the vrrp_sync_group {} has no members; it is ignored", group.name),
        1 => format!("the vrrp_sync_group {} has one member only", group.name),
        _ => return Some(group),
    };
    problems
        .push(Diagnostic::warning(group.span, message).hint("write the names of its instances into `group`"));
    (!group.members.is_empty()).then_some(group)
}

fn take(
    group: &mut SyncGroup,
    setting: &Statement,
    problems: &mut Vec<Diagnostic>,
) -> Result<(), Diagnostic> {
    let value = setting.arguments.first();
    notify::take(&mut group.notify, setting, problems)?;
    match setting.name() {
        "smtp_alert" => group.smtp_alert = Some(values::switch(value)?),
        "sync_group_tracking_weight" => group.tracking_weight = values::switch(value)?,
        "global_tracking" => problems.push(
            Diagnostic::warning(setting.header(), "`global_tracking` has no effect")
                .hint("write what is tracked into the vrrp_sync_group itself"),
        ),
        _ => {}
    }
    Ok(())
}

fn add(
    group: &mut SyncGroup,
    word: &Word,
    instances: &[VrrpInstance],
    taken: &mut BTreeMap<String, String>,
    problems: &mut Vec<Diagnostic>,
) {
    let name = &word.text;
    let names = || instances.iter().map(|instance| instance.name.as_str());
    if !names().any(|known| known == name) {
        let message = format!("there is no vrrp_instance {}; it is ignored", quoted(name));
        let hint = match keywords::nearest_of(names(), name) {
            Some(nearest) => format!("the nearest one is {}", quoted(nearest)),
            None => "write the name of a vrrp_instance".to_owned(),
        };
        problems.push(Diagnostic::warning(word.span, message).hint(hint));
    } else if let Some(other) = taken.get(name) {
        let message = format!(
            "the vrrp_instance {} is in the vrrp_sync_group {} already; it is ignored here",
            quoted(name),
            quoted(other)
        );
        problems.push(Diagnostic::warning(word.span, message).hint("have each instance in one group, once"));
    } else {
        taken.insert(name.clone(), group.name.clone());
        group.members.push(name.clone());
    }
}
