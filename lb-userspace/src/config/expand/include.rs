//! Owns `include` and its kin: which files they mean, and what it means that one is missing.

use std::collections::BTreeSet;
use std::path::Path;

use super::frame::{Frame, TextFrame};
use super::line::Line;
use super::{Reader, Stop};
use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::files::{Text, Unreadable};
use crate::config::source::Span;

/// Files include each other at most this deep.
const MAX_DEPTH: usize = 32;
/// The kernel's `PATH_MAX`.
const MAX_NAME: usize = 4096;
/// The alternatives that the braces of one name make.
const MAX_ALTERNATIVES: usize = 1000;
/// The keywords, and what each demands besides what `include_check` does.
const KEYWORDS: [(&str, &[Demand]); 6] = [
    ("include", &[]),
    ("includer", &[Demand::Readable]),
    ("includem", &[Demand::Readable, Demand::Found]),
    ("includew", &[Demand::Readable, Demand::Fitting]),
    ("includeb", &[Demand::Readable, Demand::Alternatives]),
    ("includea", &Demand::ALL),
];

/// Something that is an error where it is demanded, and at most a warning where not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Demand {
    /// A file that is there is used.
    Readable,
    /// A name without a wildcard is that of a file.
    Found,
    /// A name is that of a file, and one with wildcards fits one.
    Fitting,
    /// Each alternative in braces is the name of a file.
    Alternatives,
}

impl Demand {
    const ALL: [Self; 4] = [Self::Readable, Self::Found, Self::Fitting, Self::Alternatives];

    /// As `include_check` names it.
    fn named(word: &str) -> Option<Self> {
        match word {
            "readable" => Some(Self::Readable),
            "match" => Some(Self::Found),
            "wildcard_match" => Some(Self::Fitting),
            "brace_match" => Some(Self::Alternatives),
            _ => None,
        }
    }
}

/// What is demanded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Demands(BTreeSet<Demand>);

impl Demands {
    /// All of them, or none.
    pub(super) fn of(all: bool) -> Self {
        if all { Self::default().and(&Demand::ALL) } else { Self::default() }
    }

    fn has(&self, demand: Demand) -> bool {
        self.0.contains(&demand)
    }

    fn and(mut self, more: &[Demand]) -> Self {
        self.0.extend(more);
        self
    }

    /// What `include_check` with these words makes of it, or the word that means nothing.
    pub(super) fn changed<'a>(self, words: &[&'a str]) -> Result<Self, &'a str> {
        if words.is_empty() {
            return Ok(self.and(&Demand::ALL));
        }
        let changes = words.iter().any(|word| word.starts_with(['+', '-']));
        let mut demands = if changes { self } else { Self::default() };
        for word in words {
            let demand = Demand::named(word.trim_start_matches(['+', '-'])).ok_or(*word)?;
            if word.starts_with('-') {
                demands.0.remove(&demand);
            } else {
                demands.0.extend([demand, Demand::Readable]);
            }
        }
        Ok(demands)
    }
}

/// What the keyword that `text` begins with demands, and its length.
pub(super) fn keyword(text: &str) -> Option<(&'static [Demand], usize)> {
    // It is asked for every line.
    if !text.trim_start().starts_with(KEYWORDS[0].0) {
        return None;
    }
    let word = text.split_whitespace().next()?;
    KEYWORDS.iter().find(|(keyword, _)| *keyword == word).map(|(keyword, demands)| (*demands, keyword.len()))
}

impl Reader<'_> {
    /// Goes on with the files that `line` names, and comes back behind it.
    pub(super) fn include(&mut self, line: &Line, demands: &[Demand], keyword: usize) -> Result<(), Stop> {
        let text = line.text();
        let name = text[keyword..].trim();
        let start = text.len() - text[keyword..].trim_start().len();
        let place = line.span(start..start + name.len());
        if name.is_empty() {
            let problem = Diagnostic::error(
                line.span(0..keyword),
                format!("{} names no file", quoted(&text[..keyword])),
            );
            self.problems.push(problem.hint("write the name of the file behind it"));
            return Ok(());
        }
        if name.len() > MAX_NAME {
            return self.stop(place, format!("this name is longer than {MAX_NAME} bytes"));
        }
        let demands = self.demands().and(demands);
        let Some(names) = alternatives(name) else {
            return self
                .stop(place, format!("the braces of this name make more than {MAX_ALTERNATIVES} names"));
        };
        let mut missing = None;
        let mut any = false;
        let mut frames = Vec::new();
        for name in &names {
            let paths = if has_wildcard(name) {
                self.world.files.find(&self.directory(), name)
            } else {
                vec![self.directory().join(name)]
            };
            if paths.is_empty() && !has_wildcard(name.rsplit('/').next().unwrap_or(name)) {
                missing.get_or_insert(name.as_str());
            }
            for path in paths {
                let read = self.world.files.read(&path);
                any |= !matches!(read, Err(Unreadable::Missing));
                match read {
                    Ok(text) => frames.push(self.open(text, &path, place)?),
                    Err(Unreadable::Missing) => {
                        missing.get_or_insert(name.as_str());
                    }
                    Err(Unreadable::Unfit(why)) => {
                        let message = format!("{} is not included: {why}", path.display());
                        let hint = "give a readable, regular file that is not executable";
                        self.report(place, demands.has(Demand::Readable), message, hint);
                    }
                }
            }
        }
        if let Some(missing) = missing {
            let is_error = if names.len() > 1 {
                demands.has(Demand::Alternatives)
            } else {
                demands.has(Demand::Found) || demands.has(Demand::Fitting)
            };
            self.report_missing(place, is_error, format!("there is no file {} to include", quoted(missing)));
        } else if !any && demands.has(Demand::Fitting) {
            self.report_missing(place, true, format!("no file fits {}", quoted(name)));
        }
        self.frames.extend(frames.into_iter().rev());
        Ok(())
    }

    fn report_missing(&mut self, place: Span, is_error: bool, message: String) {
        let hint = format!("it is looked for in {}", self.directory().display());
        self.report(place, is_error, message, &hint);
    }

    fn report(&mut self, place: Span, is_error: bool, message: String, hint: &str) {
        let problem =
            if is_error { Diagnostic::error(place, message) } else { Diagnostic::ours(place, message) };
        self.problems.push(problem.hint(hint));
    }

    /// A frame for a file, if it does not come back to itself.
    fn open(&mut self, found: Text, path: &Path, place: Span) -> Result<Frame, Stop> {
        let open: Vec<_> = self.frames.iter().filter_map(Frame::as_text).collect();
        if let Some(first) = open.iter().position(|frame| frame.path == found.path) {
            let names = open[first..].iter().map(|frame| frame.path.display().to_string());
            let chain: Vec<_> = names.chain([found.path.display().to_string()]).collect();
            let message = format!("a file includes itself: {}", chain.join(" includes "));
            return self.stop_with(Diagnostic::error(place, message).hint("remove one of these lines"));
        }
        if open.len() >= MAX_DEPTH {
            return self.stop(place, format!("files include each other more than {MAX_DEPTH} deep"));
        }
        self.spend(place, found.text.len())?;
        let known = self.known.get(&found.path).copied();
        let (source, text) = match known {
            Some(source) => (source, found.text.into()),
            None => self.sources.add(&path.display().to_string(), &found.text),
        };
        self.known.insert(found.path.clone(), source);
        Ok(Frame::Text(TextFrame::new(source, text, found.path, self.demands())))
    }
}

fn has_wildcard(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// The names that `{a,b}` in a name make, as csh does it; `None` if they are too many.
fn alternatives(name: &str) -> Option<Vec<String>> {
    let mut done = Vec::new();
    let mut open = vec![name.to_owned()];
    while let Some(name) = open.pop() {
        let Some((before, choices, behind)) = first_braces(&name) else {
            done.push(name);
            continue;
        };
        open.extend(choices.into_iter().rev().map(|choice| format!("{before}{choice}{behind}")));
        if open.len() + done.len() > MAX_ALTERNATIVES {
            return None;
        }
    }
    Some(done)
}

/// What stands before the first pair of braces that has a comma, its alternatives, and what stands behind it.
fn first_braces(name: &str) -> Option<(&str, Vec<&str>, &str)> {
    let mut from = 0;
    while let Some(open) = name[from..].find('{').map(|at| from + at) {
        let mut depth = 0_usize;
        let mut commas = Vec::new();
        for (at, byte) in name.bytes().enumerate().skip(open + 1) {
            match byte {
                b'{' => depth += 1,
                b',' if depth == 0 => commas.push(at),
                b'}' if depth > 0 => depth -= 1,
                b'}' => {
                    if commas.is_empty() {
                        break;
                    }
                    let starts = [open].into_iter().chain(commas.iter().copied());
                    let ends = commas.iter().copied().chain([at]);
                    let choices = starts.zip(ends).map(|(start, end)| &name[start + 1..end]).collect();
                    return Some((&name[..open], choices, &name[at + 1..]));
                }
                _ => {}
            }
        }
        from = open + 1;
    }
    None
}
