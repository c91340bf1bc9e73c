//! Owns the comparison of a tree with the keyword table: unknown and misplaced keywords, missing and surplus values,
//! blocks where none belong, keywords that stand twice, and what is known but does nothing yet. Reads no values.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use super::diagnostics::{Diagnostic, Say, quoted};
use super::expand;
use super::keywords::{self, BlockKind, Body, Effect, Keyword, Repeat};
use super::source::Span;
use super::tree::{Statement, Word};

/// Everything there is to say about the keywords of `statements`, of which those are taken away that an earlier one
/// makes void.
pub(super) fn check(statements: &mut Vec<Statement>, problems: &mut Vec<Diagnostic>) {
    Checker { problems, globals: BTreeMap::new(), unknown: BTreeSet::new() }
        .level(statements, BlockKind::Root);
}

/// The place of each keyword that counts so far of those that a block has one of.
type Given = BTreeMap<&'static str, Span>;

struct Checker<'a> {
    problems: &'a mut Vec<Diagnostic>,
    /// All blocks of `global_defs` are one.
    globals: Given,
    /// What was said to be unknown, and where: a line may be read very often.
    unknown: BTreeSet<(String, BlockKind, (u32, usize, usize))>,
}

impl Checker<'_> {
    fn level(&mut self, statements: &mut Vec<Statement>, kind: BlockKind) {
        if kind == BlockKind::GlobalDefs {
            let mut given = mem::take(&mut self.globals);
            statements.retain_mut(|statement| self.statement(statement, kind, &mut given));
            self.globals = given;
        } else {
            let mut given = Given::new();
            statements.retain_mut(|statement| self.statement(statement, kind, &mut given));
        }
    }

    /// Whether it counts.
    fn statement(&mut self, statement: &mut Statement, kind: BlockKind, given: &mut Given) -> bool {
        if statement.known.is_some() {
            return true;
        }
        if let Some(problem) = language(statement) {
            self.problems.push(problem);
            return true;
        }
        let Some(keyword) = keywords::lookup(kind, statement.name()) else {
            if self.unknown.insert((statement.name().to_owned(), kind, statement.header().place())) {
                self.problems.push(unknown(statement, kind));
            }
            return true;
        };
        arguments(statement, keyword, self.problems);
        self.body(statement, keyword);
        if keyword.effect == Effect::Later {
            let message = format!("{} is not yet in effect", quoted(keyword.name));
            self.problems.push(
                Diagnostic::ours(statement.header(), message).hint("it is read, and nothing is done with it"),
            );
        }
        self.repeated(statement, keyword, given)
    }

    /// Whether it counts beside those of its keyword that were given already.
    fn repeated(&mut self, statement: &Statement, keyword: &Keyword, given: &mut Given) -> bool {
        let stays = match keyword.repeat {
            Repeat::Each => return true,
            Repeat::Last if keyword.effect != Effect::Now => return true,
            Repeat::Last => false,
            Repeat::First => true,
            Repeat::Keeps(value) => {
                let is_it = statement.arguments.first().is_some_and(|word| word.text == value);
                // Only the place of one with this value is kept in mind under it.
                let kept = given.get(value).copied();
                if is_it {
                    given.entry(value).or_insert(statement.keyword.span);
                }
                kept.is_some() && !is_it
            }
        };
        let place = statement.keyword.span;
        let first = *given.entry(keyword.name).or_insert(place);
        if first == place {
            return true;
        }
        let message = format!("{} was given in line {} already", quoted(keyword.name), first.line);
        let (say, hint) = if stays {
            (Diagnostic::warning as Say, "the first one counts")
        } else {
            (Diagnostic::ours as Say, "the last one counts")
        };
        self.problems.push(say(statement.header(), message).beside(first).hint(hint));
        !stays
    }

    fn body(&mut self, statement: &mut Statement, keyword: &Keyword) {
        let header = statement.header();
        let problem = match (&mut statement.block, keyword.body) {
            (Some(block), Body::Block(kind)) => return self.level(&mut block.statements, kind),
            (Some(block), Body::Lines | Body::MaybeLines) => {
                return self.problems.extend(block.statements.iter().filter_map(language));
            }
            (None, Body::None | Body::MaybeLines) => return,
            (None, Body::Block(_) | Body::Lines) => {
                Diagnostic::error(header, format!("{} has no block", quoted(keyword.name)))
                    .hint("write `{` behind it, its contents, and `}`")
            }
            (Some(block), Body::None) => {
                Diagnostic::error(block.open, format!("{} takes no block", quoted(keyword.name)))
                    .hint("remove the braces, or write the block's own keyword before them")
            }
        };
        self.problems.push(problem);
    }
}

/// What the language has besides keywords, where it means nothing: to pass over it would change what the file says.
fn language(statement: &Statement) -> Option<Diagnostic> {
    let name = statement.name();
    let begins_list = |word: &&Word| {
        let list = word.text.strip_prefix('~');
        list.is_some_and(|list| ["SEQ(", "SEQx(", "LST("].iter().any(|kind| list.starts_with(kind)))
    };
    let is_misplaced =
        expand::is_include(name) || name.starts_with('@') || (name.starts_with('$') && name.contains('='));
    let misplaced =
        if is_misplaced { Some(&statement.keyword) } else { statement.words().find(begins_list) }?;
    let message = format!("{} does not begin a line here", quoted(&misplaced.text));
    Some(Diagnostic::error(misplaced.span, message).hint("put it on a line of its own"))
}

fn unknown(statement: &Statement, kind: BlockKind) -> Diagnostic {
    let name = statement.name();
    let what = if statement.block.is_some() { "block" } else { "keyword" };
    let homes = keywords::homes(name);
    if let Some((first, rest)) = homes.split_first() {
        let homes = rest.iter().fold(first.to_string(), |homes, home| format!("{homes}, {home}"));
        let message = format!("the {what} {} does not belong in {kind}; it is ignored", quoted(name));
        return Diagnostic::warning(statement.header(), message).hint(format!("it belongs in {homes}"));
    }
    let message = format!("unknown {what} {} in {kind}; it is ignored", quoted(name));
    let problem = Diagnostic::warning(statement.keyword.span, message);
    if name.starts_with('$') && statement.arguments.first().is_some_and(|word| word.text.starts_with('=')) {
        return problem.hint("write a definition without white space before the `=`");
    }
    match keywords::nearest(kind, name) {
        Some(nearest) => problem.hint(format!("the nearest known one is `{nearest}`")),
        None => problem.hint("remove it, or check its spelling"),
    }
}

fn arguments(statement: &Statement, keyword: &Keyword, problems: &mut Vec<Diagnostic>) {
    let given = statement.arguments.len();
    let (fewest, most) = keyword.arguments;
    if given < fewest {
        let message = format!("{} has no value", quoted(keyword.name));
        problems.push(Diagnostic::error(statement.keyword.span, message).hint("write the value behind it"));
    }
    if given > most
        && let Some(surplus) = statement.arguments.get(most)
    {
        let names = [BlockKind::VrrpInstance, BlockKind::VrrpSyncGroup];
        if names.into_iter().any(|kind| keyword.body == Body::Block(kind)) {
            let message = format!("the name of a {} is one word", keyword.name);
            problems.push(
                Diagnostic::error(surplus.span, message)
                    .hint("remove this one, or join the two without a space"),
            );
            return;
        }
        let (what, hint) = match most {
            _ if keywords::hides(keyword.name) => ("a second word".to_owned(), "put all of it in quotes"),
            0 => (quoted(&surplus.text), "it takes no value"),
            _ => (quoted(&surplus.text), "one statement stands on a line"),
        };
        let message = format!("{} does not take {what}; it is ignored", quoted(keyword.name));
        problems.push(Diagnostic::ours(surplus.span, message).hint(hint));
    }
}

#[cfg(test)]
mod tests {
    use crate::config::model::vrrp::InitialState;
    use crate::config::parse;
    use crate::config::testing::{config, instance, only, said, says, server, service};

    const SERVER: &str = "real_server 10.0.0.2 80 {\n }\n";

    #[test]
    fn an_unknown_keyword_is_warned_of_with_the_nearest_one() {
        let text = server("wieght 1");
        says(
            &text,
            "t:6:2: warning: unknown keyword `wieght` in real_server; it is ignored; the nearest known one is `weight`",
        );
        assert_eq!(config(&text).served().count(), 1);
        says(
            "frobnicate\n",
            "t:1:1: warning: unknown keyword `frobnicate` in the outermost level; it is ignored",
        );
    }

    #[test]
    fn an_unknown_block_is_passed_over_whole() {
        let text = server("FOO_CHECK {\n weight 1\n nonsense {\n }\n }");
        says(&text, "t:6:2: warning: unknown block `FOO_CHECK` in real_server");
        assert_eq!(config(&text).served().count(), 1);
    }

    #[test]
    fn a_keyword_in_the_wrong_block_is_told_where_it_belongs() {
        let text = service(&format!("advert_int 3\n {SERVER}"));
        says(
            &text,
            "t:5:2: warning: the keyword `advert_int` does not belong in virtual_server; it is ignored; it belongs in vrrp_instance",
        );
    }

    #[test]
    fn known_words_without_effect_yet_are_warned_of() {
        let text = service(&format!("persistence_engine sip\n {SERVER}"));
        says(&text, "t:5:2: warning: `persistence_engine` is not yet in effect");
    }

    #[test]
    fn values_are_counted() {
        says(&service(&format!("delay_loop\n {SERVER}")), "t:5:2: error: `delay_loop` has no value");
        says(
            &service(&format!("delay_loop 6 7\n {SERVER}")),
            "t:5:15: warning: `delay_loop` does not take `7`",
        );
        let text = service(&format!("delay_loop 6\n delay_loop 7\n {SERVER}"));
        says(&text, "t:6:2: warning: `delay_loop` was given in line 5 already; the last one counts");
        assert_eq!(config(&text).virtual_servers[0].delay_loop.as_secs(), 7);
    }

    #[test]
    fn of_what_there_is_one_of_the_last_counts() {
        let text = instance("priority 90\n priority 91\n preempt\n preempt");
        says(&text, "t:5:2: warning: `priority` was given in line 4 already; the last one counts");
        assert_eq!(only(&text).priority, 91);
        says(
            "vrrp_track_process p {\n process a\n weight 1 reverse 2\n}\n",
            "t:3:19: warning: `weight` does not take `2`",
        );
    }

    #[test]
    fn where_keepalived_takes_the_first_it_counts() {
        let text = "global_defs {\n notify_fifo /run/a\n}\nglobal_defs {\n notify_fifo /run/b nobody\n}\n";
        says(text, "t:5:2: warning: `notify_fifo` was given in line 2 already; the first one counts");
        assert_eq!(config(text).vrrp.globals.fifos[0].path.to_str(), Some("/run/a"));
        assert!(parse("t", text).is_corrected());
        let text = instance("notify /a\n notify /b");
        says(&text, "t:5:2: warning: `notify` was given in line 4 already; the first one counts");
        assert_eq!(only(&text).notify.any.unwrap().words, ["/a"]);
    }

    #[test]
    fn who_begins_as_master_once_does_so() {
        let states = |states: &[&str]| {
            let lines: Vec<_> = states.iter().map(|state| format!("state {state}\n ")).collect();
            let lines = lines.concat();
            let text = instance(&format!("{lines}priority 90"));
            (only(&text).state, parse("t", &text).is_corrected())
        };
        assert_eq!(states(&["MASTER", "BACKUP"]), (InitialState::Master, true));
        assert_eq!(states(&["BACKUP", "MASTER", "BACKUP"]), (InitialState::Master, true));
        assert_eq!(states(&["BACKUP", "MASTER"]), (InitialState::Master, false));
        assert_eq!(states(&["MASTER", "MASTER"]), (InitialState::Master, false));
    }

    #[test]
    fn a_name_is_one_word() {
        says(
            &instance("").replace("VI_1 {", "VI_1 b {"),
            "t:1:20: error: the name of a vrrp_instance is one word",
        );
        says("track_file a b {\n file /f\n}\n", "t:1:14: warning: `track_file` does not take `b`");
    }

    #[test]
    fn blocks_stand_where_they_belong() {
        says(
            &service(&format!("delay_loop 6 {{\n a b\n }}\n {SERVER}")),
            "t:5:15: error: `delay_loop` takes no block",
        );
        assert!(
            said("virtual_server 10.0.0.1 80\n")[0]
                .starts_with("t:1:1: error: `virtual_server` has no block")
        );
    }

    #[test]
    fn what_begins_a_line_is_not_passed_over_elsewhere() {
        for rest in
            ["include x.conf", "includea x", "$A=1", "@one router_id X", "~SEQ(i, 1, 3) x", "x ~LST(i, 1)"]
        {
            let said = said(&format!("global_defs {{\n vrrp_strict {{\n }} {rest}\n}}\n"));
            let misplaced = said.iter().filter(|line| line.contains("does not begin a line here"));
            assert_eq!(misplaced.count(), 1, "{rest}: {said:#?}");
        }
        let said = said("$A = 1\n");
        assert!(said.iter().any(|line| line.contains("without white space before the `=`")), "{said:#?}");
    }
}
