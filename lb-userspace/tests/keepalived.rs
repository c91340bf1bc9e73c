//! `xlvs check` beside `keepalived -t` on the same files: they agree, or docs/differences.md says why not. Needs root, and
//! keepalived.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may panic; clippy only knows the test functions themselves"
)]

#[expect(dead_code, reason = "each test needs a part of it")]
mod netns;

use std::collections::BTreeMap;
use std::num::NonZero;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{fmt, fs, thread};

const SIGSEGV: i32 = 11;

/// What a test of a file comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    Corrected,
    Insecure,
    Unusable,
}

impl Verdict {
    const ALL: [Self; 4] = [Self::Fine, Self::Corrected, Self::Insecure, Self::Unusable];

    /// Of keepalived 2.2.7, whose manual has other numbers.
    fn of_keepalived(output: &Output) -> Self {
        match output.status.code() {
            Some(0) => Self::Fine,
            Some(5) => Self::Corrected,
            Some(6) if text(&output.stderr).contains("SECURITY VIOLATION") => Self::Insecure,
            // A keyword without its value; nothing to run; a file to be included that is not there.
            Some(2 | 4 | 6) => Self::Unusable,
            None if output.status.signal() == Some(SIGSEGV) => Self::Unusable,
            _ => panic!("not an end of `keepalived -t` that is known: {output:?}"),
        }
    }

    fn of_xlvs(output: &Output) -> Self {
        match output.status.code() {
            Some(0) => Self::Fine,
            Some(4) => Self::Corrected,
            Some(5) => Self::Insecure,
            Some(6) => Self::Unusable,
            _ => panic!("not an end of `xlvs check` that is known: {output:?}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fine => "fine",
            Self::Corrected => "corrected",
            Self::Insecure => "insecure",
            Self::Unusable => "unusable",
        })
    }
}

/// The verdicts on one file, keepalived's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Both(Verdict, Verdict);

impl fmt::Display for Both {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keepalived {}, xlvs {}", self.0, self.1)
    }
}

#[test]
fn every_file_has_the_verdict_of_keepalived_or_a_reason_not_to() {
    let host = netns::Pair::new();
    host.director("link add eth1 type veth peer name eth2");
    let judged = judge_all(&host.director, &files());
    let mut listed = listed();
    let mut wrong = Vec::new();
    for (name, (pair, said)) in judged {
        match listed.remove(&name) {
            Some(known) if known != pair => wrong.push(format!("{name}: {pair}; listed: {known}\n{said}")),
            None if pair.0 != pair.1 => wrong.push(format!("{name}: {pair}; not listed\n{said}")),
            _ => {}
        }
    }
    wrong.extend(listed.into_keys().map(|name| format!("{name}: listed, and there is no such file")));
    let version =
        text(&run("keepalived", &["-v"], None).stderr).lines().next().unwrap_or_default().to_owned();
    assert!(wrong.is_empty(), "beside {version}, docs/differences.md is wrong of\n{}", wrong.join("\n"));
}

#[test]
fn a_line_of_xlvs_alone_is_passed_over() {
    let host = netns::Pair::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keepalived/both_vip_check.conf");
    let said = netns::enter(&host.director, || run("keepalived", &["-t", "-f"], Some(&file)));
    let said = text(&said.stderr);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines.iter().all(|line| line.ends_with("Unknown keyword 'vip_check'")), "{said}");
}

/// Every file, in order; each says in its first line what it shows.
fn files() -> Vec<PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keepalived");
    let entries = fs::read_dir(place).expect("the files are there");
    let paths = entries.map(|entry| entry.expect("the directory can be read").path());
    let mut files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "conf")).collect();
    files.sort();
    assert!(!files.is_empty(), "there is nothing to compare");
    for path in &files {
        let bytes = fs::read(path).expect("the file can be read");
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
        assert!(bytes.starts_with(b"! "), "{}: say first what it shows", path.display());
    }
    files
}

/// The verdicts on each file, by its name, and what was said of it.
fn judge_all(namespace: &str, files: &[PathBuf]) -> BTreeMap<String, (Both, String)> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let judge = |part: &[PathBuf]| {
        netns::enter(namespace, || part.iter().map(|file| judge(file)).collect::<Vec<_>>())
    };
    thread::scope(|scope| {
        let parts = files.chunks(files.len().div_ceil(workers));
        let running: Vec<_> = parts.map(|part| scope.spawn(move || judge(part))).collect();
        running.into_iter().flat_map(|part| part.join().expect("each file gets a verdict")).collect()
    })
}

fn judge(file: &Path) -> (String, (Both, String)) {
    let theirs = run("keepalived", &["-t", "-f"], Some(file));
    let ours = run(env!("CARGO_BIN_EXE_xlvs"), &["check"], Some(file));
    let pair = Both(Verdict::of_keepalived(&theirs), Verdict::of_xlvs(&ours));
    let name = file.file_stem().expect("it has a name").to_string_lossy().into_owned();
    (name, (pair, format!("{}{}", text(&theirs.stderr), text(&ours.stderr))))
}

fn run(program: &str, arguments: &[&str], file: Option<&Path>) -> Output {
    Command::new(program).args(arguments).args(file).output().unwrap_or_else(|error| {
        panic!("{program} cannot be run: {error}; `cargo xtask setup --level lab` installs what is missing")
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What docs/differences.md has, by the name of the file.
fn listed() -> BTreeMap<String, Both> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/differences.md");
    let page = fs::read_to_string(page).expect("docs/differences.md can be read");
    let mut listed = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, theirs, ours, reason] = cells[..] else { panic!("not four cells: {line}") };
        let pair = Both(verdict(theirs, line), verdict(ours, line));
        assert!(pair.0 != pair.1, "no difference: {line}");
        assert!(!reason.is_empty(), "no reason: {line}");
        let earlier = listed.insert(name.trim_matches('`').to_owned(), pair);
        assert!(earlier.is_none(), "twice: {line}");
    }
    listed
}

fn verdict(word: &str, line: &str) -> Verdict {
    let known = Verdict::ALL.into_iter().find(|verdict| verdict.to_string() == word);
    known.unwrap_or_else(|| panic!("`{word}` is no verdict: {line}"))
}
