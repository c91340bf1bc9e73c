//! `FILE_CHECK`.

use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::model::check::FileProbe;
use crate::config::model::vrrp::TrackFile;
use crate::config::tree::Statement;
use crate::config::vrrp::tracking::Weight;

/// The check that `statement` describes, of one of `files`; without one, `problems` says why.
pub(super) fn read(
    statement: &Statement,
    files: &[TrackFile],
    problems: &mut Vec<Diagnostic>,
) -> Option<FileProbe> {
    let (mut file, mut weight) = (None, None);
    for setting in statement.body() {
        match (setting.name(), setting.arguments.first()) {
            ("track_file", Some(word)) => file = Some(word),
            ("weight", Some(_)) => match Weight::read(&setting.arguments, i32::MAX) {
                Ok(read) => weight = Some(read),
                Err(problem) => problems.push(problem),
            },
            _ => {}
        }
    }
    let Some(word) = file else {
        let message = "`FILE_CHECK` names no file; it counts as passed";
        problems.push(Diagnostic::warning(statement.header(), message).hint("write `track_file` and a name"));
        return None;
    };
    let Some(file) = files.iter().find(|file| file.name == word.text) else {
        let message = format!("there is no track_file {}; the check counts as passed", quoted(&word.text));
        problems.push(Diagnostic::warning(word.span, message).hint("define it in a `track_file` block"));
        return None;
    };
    let Weight { weight, reverse } = weight.unwrap_or(Weight { weight: file.weight, reverse: file.reverse });
    Some(FileProbe { name: file.name.clone(), path: file.path.clone(), weight, reverse })
}
