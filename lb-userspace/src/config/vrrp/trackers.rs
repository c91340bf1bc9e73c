//! Owns the step from `vrrp_script`, `track_file` and `vrrp_track_process` blocks to what they define.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::command;
use super::tracking::Weight;
use crate::config::diagnostics::{Diagnostic, Severity, quoted};
use crate::config::model::vrrp::{Command, Overwrite, ParamMatch, TrackFile, TrackProcess, VrrpScript};
use crate::config::tree::{Statement, Word};
use crate::config::values;

/// A day; what takes longer serves nobody.
const LONGEST: Duration = Duration::from_hours(24);
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(1)..=LONGEST;
const DELAYS: RangeInclusive<Duration> = Duration::ZERO..=LONGEST;

/// A `vrrp_script` and its weight; without one, `problems` has gained an error.
pub(super) fn script(block: &Statement, problems: &mut Vec<Diagnostic>) -> Option<(VrrpScript, Weight)> {
    let name = block.arguments.first()?.text.clone();
    let nothing = Command { words: Vec::new(), user: None };
    let mut timeout = None;
    let mut script = VrrpScript {
        name,
        weight: 0,
        reverse: false,
        command: nothing,
        interval: Duration::from_secs(1),
        timeout: Duration::ZERO,
        rise: 1,
        fall: 1,
        init_fail: false,
        span: block.header(),
    };
    let mut weight = Weight::default();
    for setting in block.body() {
        if let Err(problem) = set_script(&mut script, &mut timeout, &mut weight, setting, problems) {
            problems.push(problem);
        }
    }
    (script.weight, script.reverse) = (weight.weight, weight.reverse);
    script.timeout = timeout.unwrap_or(script.interval);
    if !block.body().iter().any(|setting| setting.name() == "script") {
        say_has_no(block, "script", "write what is to be run", problems);
    }
    Some((script, weight))
}

fn set_script(
    script: &mut VrrpScript,
    timeout: &mut Option<Duration>,
    weight: &mut Weight,
    setting: &Statement,
    problems: &mut Vec<Diagnostic>,
) -> Result<(), Diagnostic> {
    match (setting.name(), setting.arguments.first()) {
        ("script", _) => {
            let lines = setting.body().iter().flat_map(Statement::words);
            let words: Vec<_> = setting.arguments.iter().chain(lines).cloned().collect();
            script.command.words = command::whole(&words, setting.header())?.words;
        }
        ("interval", Some(word)) => script.interval = values::seconds(word, INTERVALS)?,
        ("timeout", Some(word)) => {
            let mut given = values::seconds(word, DELAYS)?;
            if given.is_zero() {
                given = Duration::from_secs(1);
                problems.push(
                    Diagnostic::warning(word.span, "a run must be given some time; `timeout` becomes 1 s")
                        .hint("write how long it may take"),
                );
            }
            *timeout = Some(given);
        }
        ("rise", Some(word)) => script.rise = values::number(word, "a number of runs", 1..=u32::MAX)?,
        ("fall", Some(word)) => script.fall = values::number(word, "a number of runs", 1..=u32::MAX)?,
        ("weight", _) => *weight = Weight::read(&setting.arguments, 253)?,
        ("user", _) => script.command.user = command::user(&setting.arguments),
        ("init_fail", value) => script.init_fail = values::switch(value)?,
        _ => {}
    }
    Ok(())
}

/// A `track_file` and its weight.
pub(super) fn file(block: &Statement, problems: &mut Vec<Diagnostic>) -> Option<(TrackFile, Weight)> {
    let name = block.arguments.first()?.text.clone();
    let mut file =
        TrackFile { name, weight: 0, reverse: false, path: PathBuf::new(), init: None, span: block.header() };
    let mut weight = Weight { weight: 1, reverse: false };
    for setting in block.body() {
        let result = match setting.name() {
            "file" => {
                file.path =
                    setting.arguments.first().map(|word| PathBuf::from(&word.text)).unwrap_or_default();
                Ok(())
            }
            "weight" => Weight::read(&setting.arguments, i32::MAX).map(|read| weight = read),
            "init_file" => init(&setting.arguments).map(|read| file.init = Some(read)),
            _ => Ok(()),
        };
        problems.extend(result.err());
    }
    (file.weight, file.reverse) = (weight.weight, weight.reverse);
    if file.path.as_os_str().is_empty() {
        say_has_no(block, "file", "write the path of the file", problems);
    }
    Some((file, weight))
}

/// `[VALUE] [overwrite]`.
fn init(words: &[Word]) -> Result<(i32, Overwrite), Diagnostic> {
    let mut read = (0, Overwrite::No);
    for word in words {
        if word.text == "overwrite" {
            read.1 = Overwrite::Yes;
        } else {
            read.0 = values::signed(word, "a value", i32::MIN..=i32::MAX)?;
        }
    }
    Ok(read)
}

/// A `vrrp_track_process` and its weight.
pub(super) fn process(block: &Statement, problems: &mut Vec<Diagnostic>) -> Option<(TrackProcess, Weight)> {
    let name = block.arguments.first()?.text.clone();
    let mut process = TrackProcess {
        name,
        weight: 0,
        reverse: false,
        words: Vec::new(),
        params: ParamMatch::None,
        full_command: false,
        quorum: 1,
        quorum_max: None,
        fork_delay: Duration::ZERO,
        terminate_delay: Duration::ZERO,
        span: block.header(),
    };
    let mut weight = Weight::default();
    for setting in block.body() {
        if let Err(problem) = set_process(&mut process, &mut weight, setting) {
            problems.push(problem);
        }
    }
    (process.weight, process.reverse) = (weight.weight, weight.reverse);
    if process.words.is_empty() {
        say_has_no(block, "process", "write the name of the program", problems);
    }
    settle_process(&mut process, problems);
    Some((process, weight))
}

fn set_process(
    process: &mut TrackProcess,
    weight: &mut Weight,
    setting: &Statement,
) -> Result<(), Diagnostic> {
    match (setting.name(), setting.arguments.first()) {
        ("process", _) => process.words = setting.arguments.iter().map(|word| word.text.clone()).collect(),
        ("param_match", value) => process.params = params(value)?,
        ("weight", _) => *weight = Weight::read(&setting.arguments, 254)?,
        ("quorum", Some(word)) => process.quorum = quorum(word)?,
        ("quorum_max", Some(word)) => process.quorum_max = Some(quorum(word)?),
        ("fork_delay", Some(word)) => process.fork_delay = values::seconds(word, DELAYS)?,
        ("terminate_delay", Some(word)) => process.terminate_delay = values::seconds(word, DELAYS)?,
        ("delay", Some(word)) => {
            process.fork_delay = values::seconds(word, DELAYS)?;
            process.terminate_delay = process.fork_delay;
        }
        ("full_command", _) => process.full_command = true,
        _ => {}
    }
    Ok(())
}

/// Parameters can only be compared in the full command, and are compared whole where nothing else is said.
fn settle_process(process: &mut TrackProcess, problems: &mut Vec<Diagnostic>) {
    if process.params == ParamMatch::None && process.words.len() > 1 {
        process.params = ParamMatch::Exact;
    }
    process.full_command |= process.params != ParamMatch::None;
    if process.quorum_max == Some(0) {
        process.quorum = 0;
    }
    if process.quorum_max.is_some_and(|most| most < process.quorum) {
        let message = format!(
            "the vrrp_track_process {} is never up: its `quorum_max` is below its `quorum`",
            quoted(&process.name)
        );
        problems
            .push(Diagnostic::error(process.span, message).hint("write a `quorum_max` that is not below"));
    }
}

/// In the file `partial` means the first parameters and `initial` that the last may go on.
fn params(value: Option<&Word>) -> Result<ParamMatch, Diagnostic> {
    match value.map(|word| (word, word.text.as_str())) {
        None => Ok(ParamMatch::Exact),
        Some((_, "partial")) => Ok(ParamMatch::Partial),
        Some((_, "initial")) => Ok(ParamMatch::Initial),
        Some((word, other)) => {
            Err(Diagnostic::error(word.span, format!("{} is not a way to compare parameters", quoted(other)))
                .hint("write initial or partial, or nothing for all of them"))
        }
    }
}

fn quorum(word: &Word) -> Result<u32, Diagnostic> {
    values::number(word, "a number of processes", 0..=u32::MAX)
}

fn say_has_no(block: &Statement, keyword: &str, hint: &str, problems: &mut Vec<Diagnostic>) {
    // What follows from an error is not worth saying beside it.
    let whole = block.whole();
    if problems.iter().any(|problem| problem.severity == Severity::Error && whole.contains(problem.span)) {
        return;
    }
    let name = block.arguments.first().map_or("", |word| &word.text);
    let message = format!("the {} {} has no `{keyword}`", block.name(), quoted(name));
    problems.push(Diagnostic::error(block.header(), message).hint(hint));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::vrrp::Vrrp;
    use crate::config::testing::{config, instance, said, says};

    /// The blocks of `text`, whose scripts are tracked by their names `s`.
    fn read(text: &str) -> Vrrp {
        config(&format!("{text}{}", instance("track_script {\n s\n }"))).vrrp
    }

    #[test]
    fn a_script_has_its_values() {
        let text = "vrrp_script s {\n script \"/bin/chk -a 'b c'\"\n interval 2\n timeout 1.5\n rise 3\n fall 2\n \
                    user nobody nogroup\n init_fail\n weight 5\n}\n";
        let script = &read(text).scripts[0];
        assert_eq!(script.command.words, ["/bin/chk", "-a", "b c"]);
        let user = script.command.user.as_ref().unwrap();
        assert_eq!((user.name.as_str(), user.group.as_deref()), ("nobody", Some("nogroup")));
        assert_eq!((script.interval.as_secs(), script.timeout.as_millis()), (2, 1500));
        assert_eq!((script.rise, script.fall, script.init_fail), (3, 2, true));
    }

    #[test]
    fn a_script_has_defaults() {
        let script = &read("vrrp_script s {\n script /bin/chk a b\n interval 3\n}\n").scripts[0];
        assert_eq!(script.command.words, ["/bin/chk", "a", "b"]);
        assert_eq!((script.interval, script.timeout), (Duration::from_secs(3), Duration::from_secs(3)));
        let text =
            format!("vrrp_script s {{\n script /s\n timeout 0\n}}\n{}", instance("track_script {\n s\n }"));
        says(&text, "t:3:10: warning: a run must be given some time; `timeout` becomes 1 s");
        assert_eq!(config(&text).vrrp.scripts[0].timeout, Duration::from_secs(1));
        assert_eq!((script.rise, script.fall, script.init_fail), (1, 1, false));
        let script = &read("vrrp_script s {\n script {\n /bin/chk a\n b\n }\n}\n").scripts[0];
        assert_eq!(script.command.words, ["/bin/chk", "a", "b"]);
    }

    #[test]
    fn a_file_has_its_values() {
        let file = |inner: &str| config(&format!("track_file f {{\n {inner}\n}}\n")).vrrp.files.remove(0);
        assert_eq!(file("file /run/f").init, None);
        assert_eq!(file("file /run/f").path, PathBuf::from("/run/f"));
        assert_eq!(file("file /f\n init_file").init, Some((0, Overwrite::No)));
        assert_eq!(file("file /f\n init_file -3 overwrite").init, Some((-3, Overwrite::Yes)));
        let old = config("vrrp_track_file f {\n file \"/a b\"\n weight -2\n}\n").vrrp.files.remove(0);
        assert_eq!(old.path, PathBuf::from("/a b"));
    }

    #[test]
    fn a_process_has_its_values() {
        let process = |inner: &str| {
            config(&format!("vrrp_track_process p {{\n {inner}\n}}\n")).vrrp.processes.remove(0)
        };
        let plain = process("process haproxy");
        assert_eq!((plain.words.len(), plain.params, plain.full_command), (1, ParamMatch::None, false));
        assert_eq!((plain.quorum, plain.quorum_max), (1, None));
        let with = process(
            "process \"/a b\" c \"d e\"\n quorum 2\n quorum_max 4\n fork_delay 0.5\n terminate_delay 2",
        );
        assert_eq!(with.words, ["/a b", "c", "d e"]);
        assert_eq!((with.params, with.full_command), (ParamMatch::Exact, true));
        assert_eq!((with.quorum, with.quorum_max), (2, Some(4)));
        assert_eq!((with.fork_delay.as_millis(), with.terminate_delay.as_secs()), (500, 2));
        assert_eq!(process("process a b\n param_match partial").params, ParamMatch::Partial);
        assert_eq!(process("process a b\n param_match initial").params, ParamMatch::Initial);
        assert_eq!(process("process a\n param_match").params, ParamMatch::Exact);
        assert_eq!(process("process a\n quorum_max 0").quorum, 0);
        assert_eq!(process("process a\n delay 3").terminate_delay, Duration::from_secs(3));
    }

    #[test]
    fn wrong_values_are_errors() {
        for (text, start) in [
            ("vrrp_script s {\n interval 2\n}\n", "t:1:1: error: the vrrp_script `s` has no `script`"),
            ("track_file f {\n weight 2\n}\n", "t:1:1: error: the track_file `f` has no `file`"),
            ("vrrp_track_process p {\n}\n", "t:1:1: error: the vrrp_track_process `p` has no `process`"),
            (
                "vrrp_script s {\n script /s\n rise 0\n}\n",
                "t:3:7: error: `0` is out of range for a number of runs",
            ),
            (
                "vrrp_script s {\n script /s\n weight 254\n}\n",
                "t:3:9: error: `254` is out of range for a weight",
            ),
            (
                "vrrp_script s {\n script /s\n weight 2 revers\n}\n",
                "t:3:11: error: `revers` is not an option",
            ),
            ("track_file f {\n file /f\n init_file x\n}\n", "t:3:12: error: `x` is not a value"),
            (
                "vrrp_track_process p {\n process a\n quorum 2\n quorum_max 1\n}\n",
                "t:1:1: error: the vrrp_track_process `p` is never up",
            ),
            (
                "vrrp_track_process p {\n process a\n param_match x\n}\n",
                "t:3:14: error: `x` is not a way to compare",
            ),
        ] {
            let said: Vec<_> = said(text).into_iter().filter(|line| line.contains(" error: ")).collect();
            assert!(said.len() == 1 && said[0].starts_with(start), "{said:#?}");
        }
    }

    #[test]
    fn a_name_counts_once() {
        let twice = "track_file f {\n file /a\n}\nvrrp_track_file f {\n file /b\n}\n";
        says(
            twice,
            "t:4:1: warning: the vrrp_track_file `f` is there already in line 1; this one is ignored",
        );
        assert_eq!(config(twice).vrrp.files[0].path, PathBuf::from("/a"));
    }
}
