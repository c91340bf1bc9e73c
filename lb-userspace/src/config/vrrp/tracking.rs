//! Owns the step from `track_interface`, `track_script`, `track_file` and `track_process` to [`Tracks`]. What a line
//! does not say comes from the block that defines what is tracked.

use std::collections::BTreeMap;

use super::words::{self, Words};
use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::keywords;
use crate::config::model::vrrp::{Track, Tracks};
use crate::config::tree::{Statement, Word};
use crate::config::values;

/// What a tracker does to the priority where the instance says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::config) struct Weight {
    pub(in crate::config) weight: i32,
    pub(in crate::config) reverse: bool,
}

impl Weight {
    /// `NUMBER [reverse]` of a defining block.
    pub(in crate::config) fn read(words: &[Word], limit: i32) -> Result<Self, Diagnostic> {
        let Some((number, rest)) = words.split_first() else { return Ok(Self::default()) };
        let weight = values::signed(number, "a weight", -limit..=limit)?;
        match rest.first() {
            None => Ok(Self { weight, reverse: false }),
            Some(word) if word.text == "reverse" => Ok(Self { weight, reverse: true }),
            Some(word) => Err(words::unknown(word, "a weight")),
        }
    }
}

/// What there is to track, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Trackers {
    pub(super) scripts: BTreeMap<String, Weight>,
    pub(super) files: BTreeMap<String, Weight>,
    pub(super) processes: BTreeMap<String, Weight>,
}

impl Trackers {
    /// Takes `setting` into `tracks` if it is one of these blocks.
    pub(super) fn take(&self, tracks: &mut Tracks, setting: &Statement, problems: &mut Vec<Diagnostic>) {
        let (list, known, limit) = match setting.name() {
            "track_interface" => (&mut tracks.interfaces, None, 253),
            "track_script" => (&mut tracks.scripts, Some(&self.scripts), 253),
            "track_file" => (&mut tracks.files, Some(&self.files), 254),
            "track_process" => (&mut tracks.processes, Some(&self.processes), 254),
            _ => return,
        };
        let known = definition(setting.name()).zip(known);
        for line in setting.body() {
            match track(line, known, limit) {
                Ok(Some(track)) if list.iter().any(|other| other.name == track.name) => {
                    let message = format!("{} is tracked already; this line is ignored", quoted(&track.name));
                    problems.push(Diagnostic::warning(line.header(), message).hint("remove one of the two"));
                }
                Ok(Some(track)) => list.push(track),
                Ok(None) => problems.extend(known.map(|known| missing(&line.keyword, known))),
                Err(problem) => problems.push(problem),
            }
        }
    }
}

/// The block that defines what is tracked by the names in the block `list`.
pub(in crate::config) fn definition(list: &str) -> Option<&'static str> {
    match list {
        "track_script" => Some("vrrp_script"),
        "track_file" => Some("track_file"),
        "track_process" => Some("vrrp_track_process"),
        _ => None,
    }
}

type Known<'a> = Option<(&'static str, &'a BTreeMap<String, Weight>)>;

/// `NAME [weight NUMBER] [reverse|noreverse]`; `None` when nothing of that name is defined.
fn track(line: &Statement, known: Known<'_>, limit: i32) -> Result<Option<Track>, Diagnostic> {
    let usual = match known {
        None => Weight::default(),
        Some((_, known)) => match known.get(line.name()) {
            Some(usual) => *usual,
            None => return Ok(None),
        },
    };
    let name = if known.is_none() { values::interface(&line.keyword)? } else { line.name().to_owned() };
    let mut track = Track { name, weight: usual.weight, reverse: usual.reverse };
    let mut words = Words::new(line);
    words.take();
    while let Some(option) = words.take() {
        match option.text.as_str() {
            "weight" => {
                track.weight = values::signed(words.value(option)?, "a weight", -limit..=limit)?;
                track.reverse = false;
            }
            "reverse" => track.reverse = true,
            "noreverse" | "no_reverse" => track.reverse = false,
            _ => return Err(words::unknown(option, "a tracker")),
        }
    }
    Ok(Some(track))
}

fn missing(word: &Word, (block, known): (&str, &BTreeMap<String, Weight>)) -> Diagnostic {
    let message = format!("there is no {block} {}; it is not tracked", quoted(&word.text));
    let problem = Diagnostic::warning(word.span, message);
    match keywords::nearest_of(known.keys().map(String::as_str), &word.text) {
        Some(nearest) => problem.hint(format!("the nearest one is {}", quoted(nearest))),
        None => problem.hint(format!("write a block `{block} {}`, or remove the line", word.text)),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::model::vrrp::Track;
    use crate::config::testing::{config, instance, only, said, says};

    const DEFINED: &str = "vrrp_script s {\n script /s\n weight -15\n}\nvrrp_script r {\n script /r\n weight 3 reverse\n}\n\
                           track_file f {\n file /f\n}\nvrrp_track_process p {\n process p\n}\n";

    fn tracked(inner: &str) -> String {
        format!("{}{DEFINED}", instance(inner))
    }

    fn track(name: &str, weight: i32, reverse: bool) -> Track {
        Track { name: name.to_owned(), weight, reverse }
    }

    #[test]
    fn what_a_line_does_not_say_comes_from_the_definition() {
        let text = tracked(
            "track_interface {\n eth1\n eth2 weight -5 reverse\n }\n track_script {\n s\n r\n }\n \
             track_file {\n f\n }\n track_process {\n p\n }",
        );
        assert_eq!(said(&text), Vec::<String>::new());
        let tracks = only(&text).tracks;
        assert_eq!(tracks.interfaces, [track("eth1", 0, false), track("eth2", -5, true)]);
        assert_eq!(tracks.scripts, [track("s", -15, false), track("r", 3, true)]);
        assert_eq!(tracks.files, [track("f", 1, false)]);
        assert_eq!(tracks.processes, [track("p", 0, false)]);
    }

    #[test]
    fn a_line_may_say_something_else() {
        let text = tracked(
            "track_script {\n s weight 9\n r noreverse\n }\n track_file {\n f weight 254 reverse\n }",
        );
        assert_eq!(said(&text), Vec::<String>::new());
        let tracks = only(&text).tracks;
        assert_eq!(tracks.scripts, [track("s", 9, false), track("r", 3, false)]);
        assert_eq!(tracks.files, [track("f", 254, true)]);
    }

    #[test]
    fn a_name_that_nothing_has_is_not_tracked() {
        let text = tracked("track_script {\n s\n r\n chk\n }\n track_process {\n pp\n }");
        let said = said(&text);
        assert_eq!(said.len(), 2, "{said:#?}");
        assert!(said[0].starts_with("t:7:2: warning: there is no vrrp_script `chk`; it is not tracked"));
        assert!(
            said[1]
                .ends_with("there is no vrrp_track_process `pp`; it is not tracked; the nearest one is `p`")
        );
        assert!(only(&text).tracks.processes.is_empty());
    }

    #[test]
    fn wrong_values_are_said() {
        for (inner, start) in [
            ("track_interface {\n eth1 weight 254\n }", "t:5:14: error: `254` is out of range for a weight"),
            ("track_interface {\n eth1 wieght 2\n }", "t:5:7: error: `wieght` is not an option of a tracker"),
            ("track_interface {\n eth1 weight\n }", "t:5:7: error: `weight` has no value"),
            ("track_interface {\n a/b\n }", "t:5:2: error: `a/b` is not the name of an interface"),
            ("track_interface {\n eth1\n eth1\n }", "t:6:2: warning: `eth1` is tracked already"),
        ] {
            says(&instance(inner), start);
        }
    }

    #[test]
    fn a_script_that_nothing_tracks_is_not_run() {
        let text = format!("vrrp_script s {{\n script /s\n}}\n{}", instance(""));
        says(&text, "t:1:1: note: the vrrp_script `s` is tracked by nothing and not run");
        assert!(config(&text).vrrp.scripts.is_empty());
    }
}
