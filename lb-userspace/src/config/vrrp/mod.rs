//! Owns the step from the VRRP blocks of a file to [`Vrrp`], and the rules between these blocks.

mod addresses;
mod announcing;
mod authentication;
pub(super) mod command;
mod conflicts;
mod election;
mod globals;
mod group;
mod instance;
mod notify;
mod routes;
mod rules;
mod strict;
#[cfg(test)]
mod tests;
mod trackers;
pub(super) mod tracking;
mod transport;
mod weights;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostics::{Diagnostic, quoted};
use super::model::vrrp::{Vrrp, VrrpInstance};
use super::source::Span;
use super::tree::Statement;
use tracking::Trackers;
pub(super) use tracking::definition;
use weights::Why;

/// The owner of the addresses, RFC 5798 section 5.2.4.
const OWNER: u8 = 255;

/// What the blocks among `statements` say; only to be used when `problems` has no error.
pub(super) fn read(statements: &[Statement], problems: &mut Vec<Diagnostic>) -> Vrrp {
    let globals = globals::read(statements, problems);
    let mut vrrp = Vrrp::default();
    let mut known = Trackers::default();
    read_trackers(statements, &mut vrrp, &mut known, problems);
    let mut seen = BTreeMap::new();
    for block in blocks(statements, &["vrrp_instance"]) {
        if is_new(block, &mut seen, problems) {
            vrrp.instances.extend(instance::read(block, &globals, &known, problems));
        }
    }
    for instance in vrrp.instances.iter_mut().filter(|instance| instance.priority == OWNER) {
        weights::settle(instance, Why::Owner, problems);
    }
    let (mut seen, mut taken) = (BTreeMap::new(), BTreeMap::new());
    for block in blocks(statements, &["vrrp_sync_group"]) {
        if is_new(block, &mut seen, problems) {
            let instances = &mut vrrp.instances;
            vrrp.sync_groups.extend(group::read(block, &globals, &known, instances, &mut taken, problems));
        }
    }
    conflicts::distinguish(&mut vrrp.instances, &globals.vmac_prefix);
    conflicts::find(&vrrp.instances, problems);
    drop_unused(&mut vrrp, problems);
    vrrp.globals = globals.all;
    vrrp
}

fn read_trackers(
    statements: &[Statement],
    vrrp: &mut Vrrp,
    known: &mut Trackers,
    problems: &mut Vec<Diagnostic>,
) {
    let mut seen = BTreeMap::new();
    for block in blocks(statements, &["vrrp_script"]) {
        if is_new(block, &mut seen, problems)
            && let Some((script, weight)) = trackers::script(block, problems)
        {
            known.scripts.insert(script.name.clone(), weight);
            vrrp.scripts.push(script);
        }
    }
    seen.clear();
    for block in blocks(statements, &["track_file", "vrrp_track_file"]) {
        if is_new(block, &mut seen, problems)
            && let Some((file, weight)) = trackers::file(block, problems)
        {
            known.files.insert(file.name.clone(), weight);
            vrrp.files.push(file);
        }
    }
    seen.clear();
    for block in blocks(statements, &["vrrp_track_process"]) {
        if is_new(block, &mut seen, problems)
            && let Some((process, weight)) = trackers::process(block, problems)
        {
            known.processes.insert(process.name.clone(), weight);
            vrrp.processes.push(process);
        }
    }
}

fn blocks<'a>(statements: &'a [Statement], names: &'a [&str]) -> impl Iterator<Item = &'a Statement> {
    statements.iter().filter(|statement| names.contains(&statement.name()) && statement.block.is_some())
}

/// Whether no block of this kind had the name of `block` before; the first one counts.
fn is_new<'a>(
    block: &'a Statement,
    seen: &mut BTreeMap<&'a str, Span>,
    problems: &mut Vec<Diagnostic>,
) -> bool {
    let Some(name) = block.arguments.first() else { return false };
    let Some(first) = seen.get(name.text.as_str()) else {
        seen.insert(&name.text, block.header());
        return true;
    };
    let message = format!(
        "the {} {} is there already in line {}; this one is ignored",
        block.name(),
        quoted(&name.text),
        first.line
    );
    // keepalived passes over what is only tracked in silence.
    let is_told = ["vrrp_instance", "vrrp_sync_group"].contains(&block.name());
    let say = if is_told { Diagnostic::warning } else { Diagnostic::ours };
    let problem = say(block.header(), message).beside(*first);
    problems.push(problem.hint("give it another name"));
    false
}

/// A script that nothing tracks is not run.
fn drop_unused(vrrp: &mut Vrrp, problems: &mut Vec<Diagnostic>) {
    let tracks = vrrp
        .instances
        .iter()
        .map(|instance: &VrrpInstance| &instance.tracks)
        .chain(vrrp.sync_groups.iter().map(|group| &group.tracks));
    let used: BTreeSet<_> =
        tracks.flat_map(|tracks| &tracks.scripts).map(|track| track.name.clone()).collect();
    vrrp.scripts.retain(|script| {
        let is_used = used.contains(&script.name);
        if !is_used {
            let message =
                format!("the vrrp_script {} is tracked by nothing and not run", quoted(&script.name));
            problems.push(Diagnostic::note(script.span, message).hint("name it in a `track_script` block"));
        }
        is_used
    });
}
