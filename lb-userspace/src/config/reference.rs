//! Owns the keyword table as a person reads it: one page of Markdown. Knows no keyword itself.

use std::fmt::Write as _;

use super::keywords::{self, Absent, BlockKind, Body, Effect, Form, Heritage, Keyword};

const HEAD: &str = "\
# The configuration

Every keyword of keepalived.conf that xlvs knows, block by block. `cargo xtask docs` writes this page from the table that
the parser reads by.

In effect: **yes** does what it says. **not yet** is read, warned of, and does nothing. **no** is read and does nothing,
because there is nothing for it to do here, or because it belongs to something that is not yet in effect. A number of
seconds may have up to six decimals. `[yes|no]` without a word is yes; on, true, off and false are understood too. Where a
keyword comes twice in a block, the last one counts.

A keyword that is unknown is warned of and passed over; a value that is out of range is an error, and nothing of the file is
used then. keepalived puts another value in its place and goes on.
";

/// The page.
pub(super) fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for kind in keywords::kinds() {
        let title = match kind {
            BlockKind::Root => "Outermost level".to_owned(),
            kind => format!("`{kind}`"),
        };
        let _ = write!(
            page,
            "\n## {title}\n\n| keyword | takes | without it | in effect | meaning | not as in keepalived |\n|---|---|---|---|---|---|\n"
        );
        for keyword in keywords::of(kind) {
            let Keyword { name, meaning, difference, .. } = keyword;
            let cells = [format!("`{name}`"), form(keyword), default(keyword)];
            let cells = cells.map(|cell| cell.replace('|', "\\|")).join(" | ");
            let _ = writeln!(
                page,
                "| {cells} | {} | {} | {} |",
                effect(keyword),
                meaning.trim_end_matches('.'),
                difference
            );
        }
    }
    page
}

fn form(keyword: &Keyword) -> String {
    match (keyword.form, keyword.body) {
        (Form::Number(least, most), _) => format!("{least} to {most}"),
        (Form::Seconds(least, most), _) => format!("{least} to {most} s"),
        (Form::Switch, _) => "`[yes|no]`".to_owned(),
        (Form::Text(text), _) => format!("`{text}`"),
        (Form::Nothing, Body::Block(_) | Body::Lines) => "`{ ... }`".to_owned(),
        (Form::Nothing, Body::None | Body::MaybeLines) => String::new(),
    }
}

/// What counts without the keyword, in the order in which it is looked for.
fn default(keyword: &Keyword) -> String {
    let heritage = match keyword.heritage {
        Heritage::None => None,
        Heritage::Around => Some("that of the block around".to_owned()),
        Heritage::Global(name) => Some(format!("`{name}` of `global_defs`")),
    };
    let beside = keyword.beside.map(|name| format!("`{name}`"));
    let default = match keyword.default {
        Absent::Nothing => None,
        Absent::Is(value) => Some(format!("`{value}`")),
        Absent::Says(text) => Some(text.to_owned()),
    };
    [heritage, beside, default].into_iter().flatten().collect::<Vec<_>>().join(", else ")
}

const fn effect(keyword: &Keyword) -> &'static str {
    match keyword.effect {
        Effect::Now => "yes",
        Effect::Later | Effect::Told => "not yet",
        Effect::Silent => "no",
    }
}
