//! Owns the step from words to a [`Command`] and to the [`User`] who runs it. Looks up neither programs nor users.

use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::escape;
use crate::config::model::vrrp::{Command, User};
use crate::config::source::Span;
use crate::config::tree::{Statement, Word};

/// As system(3) has it.
const SHELL: &str = "/bin/sh";

/// The program and arguments that all of `words` make; the first word is split at its spaces.
///
/// A line that begins with `</` is no program but asks whether a file, or behind `/dev/tcp` a port, can be opened: that a
/// shell does, as under keepalived.
pub(in crate::config) fn whole(words: &[Word], place: Span) -> Result<Command, Diagnostic> {
    let line = words.iter().map(|word| word.text.trim()).collect::<Vec<_>>().join(" ");
    if line.strip_prefix('<').is_some_and(|file| file.trim_start().starts_with('/')) {
        let words = vec![SHELL.to_owned(), "-c".to_owned(), line];
        return Ok(Command { words, user: None });
    }
    let mut parts = words.first().map_or(Ok(Vec::new()), split)?;
    if parts.first().is_none_or(String::is_empty) {
        return Err(Diagnostic::error(place, "no program is named here")
            .hint("write its path and its arguments in one pair of quotes"));
    }
    parts.extend(words.iter().skip(1).map(|word| word.text.clone()));
    Ok(Command { words: parts, user: None })
}

/// The command of a keyword such as `notify_master`: the program with its arguments is one word, and behind it stand
/// the user and the group who run it.
pub(in crate::config) fn with_user(
    setting: &Statement,
    problems: &mut Vec<Diagnostic>,
) -> Result<Command, Diagnostic> {
    let (program, rest) = setting.arguments.split_at(1.min(setting.arguments.len()));
    let place = setting.header();
    if rest.is_empty() {
        return whole(program, place);
    }
    if rest.len() <= 2 && rest.iter().all(|word| can_be_a_user(&word.text)) {
        return Ok(Command { user: user(rest), ..whole(program, place)? });
    }
    let message =
        format!("what stands behind the program of {} is read as its arguments", quoted(setting.name()));
    let span = rest[0].span.to(rest[rest.len() - 1].span);
    problems.push(Diagnostic::ours(span, message).hint(
        "put the program and its arguments in one pair of quotes; behind it stands the user who runs it",
    ));
    whole(&setting.arguments, place)
}

/// `USER [[:]GROUP]`.
pub(in crate::config) fn user(words: &[Word]) -> Option<User> {
    let mut names =
        words.iter().map(|word| word.text.trim_start_matches(':')).filter(|name| !name.is_empty());
    Some(User { name: names.next()?.to_owned(), group: names.next().map(str::to_owned) })
}

/// Not an option or a path, and not one of the states that people forget to quote.
fn can_be_a_user(text: &str) -> bool {
    let name = text.strip_prefix(':').unwrap_or(text);
    let states = ["master", "backup", "fault", "stop"];
    !name.starts_with('-')
        && name.chars().all(|letter| letter.is_alphanumeric() || "_-.$@".contains(letter))
        && !states.iter().any(|state| name.eq_ignore_ascii_case(state))
}

/// The words of a quoted command line: split at spaces, except inside quotes; a backslash begins an escape.
fn split(line: &Word) -> Result<Vec<String>, Diagnostic> {
    let mut words = Vec::new();
    let mut current: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut rest = line.text.as_str();
    while let Some(letter) = rest.chars().next() {
        let behind = &rest[letter.len_utf8()..];
        let mut taken = 0;
        match (quote, letter) {
            (Some(end), letter) if letter == end => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                current.get_or_insert_default();
            }
            (None, letter) if letter.is_whitespace() => words.extend(current.take()),
            (_, '\\') => taken = escape::take(behind, current.get_or_insert_default()),
            (_, letter) => {
                current.get_or_insert_default().extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        rest = &behind[taken..];
    }
    if let Some(quote) = quote {
        return Err(Diagnostic::error(line.span, format!("a {quote} in this command is not closed"))
            .hint(format!("end the argument with {quote}")));
    }
    words.extend(current);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok().filter(|word| !word.contains('\0'));
    words.into_iter().map(text).collect::<Option<_>>().ok_or_else(|| {
        Diagnostic::error(line.span, "the escapes in this command make what is no text")
            .hint("write the letters themselves, in UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::Sources;

    fn word(text: &str) -> Word {
        let (source, _) = Sources::default().add("t", text);
        Word { text: text.to_owned(), span: Span { source, start: 0, end: text.len(), line: 1, column: 1 } }
    }

    fn parts(words: &[&str]) -> Result<Vec<String>, Diagnostic> {
        let words: Vec<_> = words.iter().map(|text| word(text)).collect();
        whole(&words, Span::default()).map(|command| command.words)
    }

    fn notify(words: &[&str]) -> (Vec<String>, Option<User>, usize) {
        let arguments = words.iter().map(|text| word(text)).collect();
        let setting = Statement { keyword: word("notify_master"), arguments, block: None, known: None };
        let mut problems = Vec::new();
        let command = with_user(&setting, &mut problems).unwrap();
        (command.words, command.user, problems.len())
    }

    #[test]
    fn a_command_is_split_with_its_quotes_honoured() {
        assert_eq!(parts(&["/a/b.sh"]).unwrap(), ["/a/b.sh"]);
        assert_eq!(parts(&["/a/b.sh master  x"]).unwrap(), ["/a/b.sh", "master", "x"]);
        assert_eq!(parts(&["/bin/sh -c 'echo \"a b\"'"]).unwrap(), ["/bin/sh", "-c", "echo \"a b\""]);
        assert_eq!(parts(&[r#"/a\ b "c \" d" e\q\x41 '\\'"#]).unwrap(), ["/a b", "c \" d", "eqA", "\\"]);
        assert_eq!(parts(&["/a ''"]).unwrap(), ["/a", ""]);
        assert_eq!(parts(&["/a", "b c", "d"]).unwrap(), ["/a", "b c", "d"]);
    }

    #[test]
    fn what_only_opens_a_file_is_for_a_shell() {
        for line in ["</dev/tcp/10.0.0.1/80", " < /etc/passwd", "</a && /b 'c d'"] {
            assert_eq!(parts(&[line]).unwrap(), ["/bin/sh", "-c", line.trim()]);
        }
        assert_eq!(parts(&["</etc/passwd", "x"]).unwrap(), ["/bin/sh", "-c", "</etc/passwd x"]);
        assert_eq!(parts(&["<etc"]).unwrap(), ["<etc"]);
    }

    #[test]
    fn nothing_is_no_command() {
        for nothing in [&[][..], &[""], &["  "], &["''"], &["/a 'b"]] {
            assert!(parts(nothing).is_err(), "{nothing:?}");
        }
    }

    #[test]
    fn a_user_stands_behind_the_program() {
        let user = |name: &str, group: Option<&str>| {
            Some(User { name: name.to_owned(), group: group.map(str::to_owned) })
        };
        assert_eq!(notify(&["/a b"]), (vec!["/a".to_owned(), "b".to_owned()], None, 0));
        assert_eq!(notify(&["/a", "nobody"]), (vec!["/a".to_owned()], user("nobody", None), 0));
        assert_eq!(notify(&["/a b", "u", ":g"]).1, user("u", Some("g")));
        assert_eq!(notify(&["/a", "u", "g"]).1, user("u", Some("g")));
    }

    #[test]
    fn arguments_without_quotes_are_arguments_with_a_warning() {
        for words in [&["/a", "MASTER"][..], &["/a", "--x"], &["/a", "b", "c", "d"], &["/a", "/b"]] {
            let (read, user, warnings) = notify(words);
            assert_eq!((read, user, warnings), (words.iter().map(ToString::to_string).collect(), None, 1));
        }
    }
}
