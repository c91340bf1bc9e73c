//! A `url` of an HTTP check: a page, and how it should be.

use std::ops::RangeInclusive;

use hyper::http::uri::PathAndQuery;

use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::model::check::{PagePattern, PatternOption, Url};
use crate::config::tree::{Statement, Word};
use crate::config::values;

const STATUS_CODES: RangeInclusive<u16> = 100..=599;
/// The most bytes that a pattern is looked for behind.
const OFFSETS: RangeInclusive<u32> = 0..=u32::MAX;

/// The page that `block` describes, of `virtualhost` if it names no other; only to be used when `problems`
/// has no error.
pub(super) fn read(block: &Statement, virtualhost: Option<&str>, problems: &mut Vec<Diagnostic>) -> Url {
    let mut url = Url {
        path: String::new(),
        virtualhost: virtualhost.map(str::to_owned),
        status: Vec::new(),
        digest: None,
        regex: None,
    };
    for setting in block.body() {
        if let Err(problem) = set(&mut url, setting, problems) {
            problems.push(problem);
        }
    }
    url.regex = pattern(block, problems);
    let has_path = block.body().iter().any(|setting| setting.name() == "path");
    if !has_path {
        let problem = Diagnostic::error(block.header(), "`url` has no `path`");
        problems.push(problem.hint("write `path /`"));
    }
    url
}

fn set(url: &mut Url, setting: &Statement, problems: &mut Vec<Diagnostic>) -> Result<(), Diagnostic> {
    match (setting.name(), setting.arguments.first()) {
        ("path", Some(word)) => url.path = path(word, problems)?,
        ("virtualhost", Some(word)) => url.virtualhost = Some(host(word)?),
        ("digest", Some(word)) => url.digest = Some(digest(word)?),
        ("status_code", Some(_)) => {
            url.status = setting.arguments.iter().map(status).collect::<Result<_, _>>()?;
        }
        _ => {}
    }
    Ok(())
}

/// The name of a host as a header has it.
pub(super) fn host(word: &Word) -> Result<String, Diagnostic> {
    let is_fit = |letter: char| letter.is_ascii_graphic() && !"/\\@".contains(letter);
    if !word.text.is_empty() && word.text.chars().all(is_fit) {
        return Ok(word.text.clone());
    }
    Err(Diagnostic::error(word.span, format!("{} is not the name of a host", quoted(&word.text)))
        .hint("write a name such as www.example.com"))
}

fn path(word: &Word, problems: &mut Vec<Diagnostic>) -> Result<String, Diagnostic> {
    let path = if word.text.starts_with('/') {
        word.text.clone()
    } else {
        let message = format!("{} does not begin with a slash; one is put before it", quoted(&word.text));
        problems.push(Diagnostic::ours(word.span, message).hint("write the slash"));
        format!("/{}", word.text)
    };
    match PathAndQuery::try_from(path.as_str()) {
        Ok(read) if read.as_str() == path => Ok(path),
        _ => {
            let message = format!("{} is not a path that can be asked for", quoted(&word.text));
            Err(Diagnostic::error(word.span, message)
                .hint("write letters that HTTP does not take as % and two digits, and no `#`"))
        }
    }
}

/// `N` or `N-N`.
fn status(word: &Word) -> Result<RangeInclusive<u16>, Diagnostic> {
    let (first, last) = word.text.split_once('-').unwrap_or((&word.text, &word.text));
    let code = |text: &str| {
        let part = Word { text: text.to_owned(), span: word.span };
        values::number(&part, "a status code", STATUS_CODES)
    };
    let (first, last) = (code(first)?, code(last)?);
    if first > last {
        let message = format!("{} begins above its end", quoted(&word.text));
        return Err(Diagnostic::error(word.span, message).hint(format!("write {last}-{first}")));
    }
    Ok(first..=last)
}

fn digest(word: &Word) -> Result<[u8; 16], Diagnostic> {
    let value = (word.text.len() == 32 && word.text.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then(|| u128::from_str_radix(&word.text, 16).ok())
        .flatten();
    value.map(u128::to_be_bytes).ok_or_else(|| {
        Diagnostic::error(word.span, format!("{} is not an MD5 sum", quoted(&word.text)))
            .hint("write 32 hexadecimal digits, as `md5sum` does")
    })
}

fn pattern(block: &Statement, problems: &mut Vec<Diagnostic>) -> Option<PagePattern> {
    let mut read = PagePattern {
        pattern: String::new(),
        no_match: false,
        options: Vec::new(),
        stack: None,
        min_offset: 0,
        max_offset: None,
    };
    let mut place = None;
    let mut stray = None;
    for setting in block.body().iter().filter(|setting| setting.name().starts_with("regex")) {
        if setting.name() == "regex" {
            place = setting.arguments.first().map(|word| word.span);
        } else {
            stray.get_or_insert(setting.header());
        }
        if let Err(problem) = set_pattern(&mut read, setting, problems) {
            problems.push(problem);
        }
    }
    let Some(place) = place else {
        if let Some(stray) = stray {
            let message = "this says how to look for a pattern, and there is no `regex`";
            problems.push(Diagnostic::ours(stray, message).hint("write the pattern behind `regex`"));
        }
        return None;
    };
    if let Some(max) = read.max_offset.take_if(|max| *max < read.min_offset) {
        let message = format!(
            "`regex_max_offset` {max} is before `regex_min_offset` {}; it is ignored",
            read.min_offset
        );
        problems.push(Diagnostic::ours(place, message).hint("exchange the two"));
    }
    if let Err(error) = read.compile() {
        let message = format!("this pattern cannot be used: {error}");
        problems.push(Diagnostic::error(place, message).hint("pcre2pattern(3) has what may stand here"));
    }
    Some(read)
}

fn set_pattern(
    read: &mut PagePattern,
    setting: &Statement,
    problems: &mut Vec<Diagnostic>,
) -> Result<(), Diagnostic> {
    let offset = |word| values::number(word, "a number of bytes", OFFSETS).map(|bytes: u32| bytes as usize);
    match (setting.name(), setting.arguments.as_slice()) {
        ("regex", [word, ..]) => read.pattern.clone_from(&word.text),
        ("regex_no_match", _) => read.no_match = true,
        ("regex_min_offset", [word, ..]) => read.min_offset = offset(word)?,
        ("regex_max_offset", [word, ..]) => read.max_offset = Some(offset(word)?),
        ("regex_stack", [start, max, ..]) => {
            let (first, most) = (offset(start)?, offset(max)?);
            if first == 0 || first > most {
                let message = "the stack begins with at least one byte and not with more than its maximum";
                return Err(Diagnostic::error(setting.header(), message)
                    .hint("write the size at the beginning, then the maximum"));
            }
            read.stack = Some((first, most));
        }
        ("regex_stack", _) => {
            return Err(Diagnostic::error(setting.header(), "`regex_stack` takes two values")
                .hint("write the size at the beginning, then the maximum"));
        }
        ("regex_options", words) => {
            for word in words {
                let known = PatternOption::ALL.into_iter().find(|option| option.keyword() == word.text);
                match known {
                    Some(option) if !read.options.contains(&option) => read.options.push(option),
                    Some(_) => {}
                    None => {
                        let message = format!("the option {} is not yet in effect", quoted(&word.text));
                        let hint = "it changes nothing; the pattern itself may begin with (*...) or (?...)";
                        problems.push(Diagnostic::ours(word.span, message).hint(hint));
                    }
                }
            }
        }
        _ => {}
    }
    Ok(())
}
