//! Owns which weights of trackers count where priorities are not to move apart: in a sync group, and at the owner of
//! the addresses. What is done with each kind of tracker is what keepalived does.

use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::model::vrrp::{Track, VrrpInstance};
use crate::config::source::Span;

/// Why an instance has no weights.
#[derive(Clone, Copy)]
pub(super) enum Why<'a> {
    /// It is in the sync group of this name, whose members need one priority.
    Group(&'a str),
    /// Its priority is 255, which nothing moves.
    Owner,
}

/// Takes the weights from the trackers of `instance`: scripts are no longer tracked, files make a fault in place of
/// another priority, and so do interfaces in a group, while the owner no longer tracks them.
pub(super) fn settle(instance: &mut VrrpInstance, why: Why<'_>, problems: &mut Vec<Diagnostic>) {
    let place = Place { name: &instance.name, span: instance.span, why };
    let tracks = &mut instance.tracks;
    place.drop(&mut tracks.scripts, problems);
    place.weigh_nothing(&mut tracks.files, problems);
    match why {
        Why::Group(_) => place.weigh_nothing(&mut tracks.interfaces, problems),
        Why::Owner => place.drop(&mut tracks.interfaces, problems),
    }
}

struct Place<'a> {
    name: &'a str,
    span: Span,
    why: Why<'a>,
}

impl Place<'_> {
    fn drop(&self, tracks: &mut Vec<Track>, problems: &mut Vec<Diagnostic>) {
        for track in tracks.iter().filter(|track| track.weight != 0) {
            problems.push(self.warning(track, "is not tracked"));
        }
        tracks.retain(|track| track.weight == 0);
    }

    fn weigh_nothing(&self, tracks: &mut [Track], problems: &mut Vec<Diagnostic>) {
        for track in tracks.iter_mut().filter(|track| track.weight != 0) {
            problems.push(self.warning(track, "is tracked with `weight 0`: down means fault"));
            track.weight = 0;
        }
    }

    fn warning(&self, track: &Track, what: &str) -> Diagnostic {
        let (why, hint) = match self.why {
            Why::Group(group) => (
                format!("is in the vrrp_sync_group {group}"),
                "track it in the vrrp_sync_group, or write `weight 0`",
            ),
            Why::Owner => ("has priority 255".to_owned(), "write `weight 0`, or a priority below 255"),
        };
        let message = format!("the vrrp_instance {} {why}: {} {what}", self.name, quoted(&track.name));
        Diagnostic::warning(self.span, message).hint(hint)
    }
}
