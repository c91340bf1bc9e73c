//! Owns the step from the `SSL` block to [`TlsFiles`]. Opens none of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::diagnostics::{Diagnostic, quoted};
use super::model::TlsFiles;
use super::tree::Statement;

/// What the last `SSL` block among `statements` says: it takes the place of those before it.
pub(super) fn read(statements: &[Statement], problems: &mut Vec<Diagnostic>) -> Option<TlsFiles> {
    let mut blocks = statements.iter().filter(|statement| statement.name() == "SSL");
    let block = blocks.next_back()?;
    for earlier in blocks {
        let message =
            format!("this `SSL` block has no effect: that in line {} replaces it", block.header().line);
        let problem = Diagnostic::warning(earlier.header(), message).beside(block.header());
        problems.push(problem.hint("write one block"));
    }
    let mut files = TlsFiles { ca: None, certificate: None, key: None, span: block.header() };
    let mut given = BTreeMap::new();
    for setting in block.body() {
        let Some(word) = setting.arguments.first() else { continue };
        let path = Some(PathBuf::from(&word.text));
        match setting.name() {
            "ca" => files.ca = path,
            "certificate" => files.certificate = path,
            "key" => files.key = path,
            "password" => problems.push(
                Diagnostic::ours(
                    setting.header(),
                    "`password` has no effect: keys that are encrypted are not read",
                )
                .hint("decrypt the key, as with `openssl pkey -in OLD -out NEW`"),
            ),
            _ => continue,
        }
        if let Some(first) = given.insert(setting.name(), setting.header()) {
            let message = format!("{} was given in line {} already", quoted(setting.name()), first.line);
            let problem = Diagnostic::warning(setting.header(), message).beside(first);
            problems.push(problem.hint("the last one counts"));
        }
    }
    say_what_is_missing(&files, problems);
    Some(files)
}

fn say_what_is_missing(files: &TlsFiles, problems: &mut Vec<Diagnostic>) {
    let (given, missing) = match (&files.certificate, &files.key) {
        (Some(_), None) => ("certificate", "key"),
        (None, Some(_)) => ("key", "certificate"),
        (Some(_), Some(_)) | (None, None) => return,
    };
    let message = format!("`{given}` has no effect without `{missing}`");
    problems.push(Diagnostic::ours(files.span, message).hint(format!("add `{missing}`, or remove it")));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::testing::{config, said, says};

    #[test]
    fn the_last_block_and_the_last_of_its_words_count() {
        let text = "SSL {\n ca /a\n certificate /b\n key /c\n}\n";
        assert_eq!(said(text), Vec::<String>::new());
        let both = format!("{text}SSL {{\n ca /d\n ca /e\n}}\n");
        let files = config(&both).tls.expect("files");
        assert_eq!((files.ca.as_deref(), files.certificate, files.key), (Some(Path::new("/e")), None, None));
        let replaced =
            "t:1:1: warning: this `SSL` block has no effect: that in line 6 replaces it; write one block";
        let given = "t:8:2: warning: `ca` was given in line 7 already; the last one counts";
        assert_eq!(said(&both), [replaced, given]);
        assert_eq!(config("").tls, None);
    }

    #[test]
    fn what_does_nothing_is_warned_of() {
        says("SSL {\n password x\n}\n", "t:2:2: warning: `password` has no effect");
        says("SSL {\n certificate /c\n}\n", "t:1:1: warning: `certificate` has no effect without `key`");
        says("SSL {\n key /c\n}\n", "t:1:1: warning: `key` has no effect without `certificate`");
    }
}
