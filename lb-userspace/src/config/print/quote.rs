//! Owns how a word is written so that it is read as the same word.

use crate::config::model::vrrp::{Command, User};

/// How a `$` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dollar {
    /// As it is: no variable is defined, and none that is there without a definition is named.
    Plain,
    /// As a variable of that name.
    Variable,
}

impl Dollar {
    /// The definition of the variable.
    pub(super) const DEFINITION: &str = "$DOLLAR=$\n";

    /// How it is written where `words` are.
    pub(super) fn of<'a>(mut words: impl Iterator<Item = &'a str>) -> Self {
        let is_builtin = |word: &str| word.contains("$_") || word.contains("${_");
        if words.any(is_builtin) { Self::Variable } else { Self::Plain }
    }
}

/// `word`, in quotes if it would not be one word without. Only where it `is_command` do escapes mean something.
pub(super) fn word(word: &str, is_command: bool, dollar: Dollar) -> String {
    let written = quoted(word, is_command);
    match dollar {
        Dollar::Plain => written,
        Dollar::Variable => written.replace('$', "${DOLLAR}"),
    }
}

fn quoted(word: &str, is_command: bool) -> String {
    let is_plain = |letter: char| !letter.is_whitespace() && !"{}#!\"'\\$".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) && !word.starts_with('\u{feff}') {
        return word.to_owned();
    }
    if is_command {
        return format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""));
    }
    format!("\"{word}\"")
}

/// The words behind a keyword that takes a command: program and arguments as one word, then user and group.
pub(super) fn command(command: &Command) -> Vec<String> {
    let line = line(&command.words);
    [line].into_iter().chain(command.user.iter().flat_map(user)).collect()
}

/// Program and arguments as one word.
pub(super) fn line(words: &[String]) -> String {
    words.iter().map(|word| part(word)).collect::<Vec<_>>().join(" ")
}

/// The name of a user and perhaps a group.
pub(super) fn user(user: &User) -> Vec<String> {
    [Some(&user.name), user.group.as_ref()].into_iter().flatten().cloned().collect()
}

/// A word of a command line, which is split at spaces once more.
fn part(word: &str) -> String {
    let needs = |letter: char| letter.is_whitespace() || "\"'\\".contains(letter);
    if !word.is_empty() && !word.contains(needs) {
        return word.to_owned();
    }
    if !word.contains(['\'', '\\']) {
        return format!("'{word}'");
    }
    word.chars().flat_map(|letter| needs(letter).then_some('\\').into_iter().chain([letter])).collect()
}

/// A password as its first bytes say it. A letter of which only a part fitted is filled up, and cut again when read.
pub(super) fn password(bytes: [u8; 8]) -> String {
    let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let given = &bytes[..length];
    // What may follow the first byte of a letter depends on it, RFC 3629 section 4.
    for fill in [0x80, 0xa0, 0x90] {
        for missing in 0..4 {
            let whole = [given, &[fill; 4][..missing]].concat();
            if let Ok(text) = String::from_utf8(whole) {
                return text;
            }
        }
    }
    String::from_utf8_lossy(given).into_owned()
}
