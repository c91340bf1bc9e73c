//! Owns the comments that say where a value comes from. What a block says is looked for in the tree, and what it does
//! not say by the heritage and the default that the keyword table has.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use super::Node;
use crate::config::keywords::{self, Absent, BlockKind, Body, Heritage, Keyword};
use crate::config::source::{Sources, Span};
use crate::config::tree::{Statement, Word};
use crate::config::vrrp::definition;

/// Puts a comment on each of `nodes`, which are of the outermost level, and on all in them.
pub(super) fn annotate(nodes: &mut [Node], statements: &[Statement], sources: &Sources) {
    let mut places = BTreeMap::new();
    index(statements, &mut places);
    let root = Scope { kind: BlockKind::Root, statements: statements.iter().collect() };
    let globals = Scope { kind: BlockKind::GlobalDefs, statements: root.bodies("global_defs") };
    let explainer = Explainer { places, globals, sources };
    explainer.level(nodes, &mut vec![root]);
}

/// Every statement with a block, by its place.
fn index<'a>(statements: &'a [Statement], places: &mut BTreeMap<Span, &'a Statement>) {
    for statement in statements.iter().filter(|statement| statement.block.is_some()) {
        places.insert(statement.header(), statement);
        index(statement.body(), places);
    }
}

/// A block, or several that count as one.
struct Scope<'a> {
    kind: BlockKind,
    statements: Vec<&'a Statement>,
}

impl<'a> Scope<'a> {
    /// The last statement that is `keyword` or another word for it.
    fn find(&self, keyword: &Keyword) -> Option<&'a Statement> {
        let canonical = keywords::lookup(self.kind, keyword.name)?.canonical();
        let words: Vec<_> = keywords::of(self.kind)
            .filter(|other| other.canonical() == canonical)
            .map(|other| other.name)
            .collect();
        self.statements.iter().rfind(|statement| words.contains(&statement.name())).copied()
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &'a Statement> {
        self.statements.iter().filter(move |statement| statement.name() == name).copied()
    }

    fn bodies(&self, name: &str) -> Vec<&'a Statement> {
        self.named(name).flat_map(Statement::body).collect()
    }
}

/// Where a value comes from.
enum Origin<'a> {
    Here(&'a Statement),
    /// The block of this kind that the one it counts in inherits from.
    Inherited(BlockKind, &'a Statement),
    /// The same value as another keyword of the block.
    Beside(&'static str),
    Nowhere,
}

struct Explainer<'a> {
    places: BTreeMap<Span, &'a Statement>,
    globals: Scope<'a>,
    sources: &'a Sources,
}

impl<'a> Explainer<'a> {
    fn level(&self, nodes: &mut [Node], scopes: &mut Vec<Scope<'a>>) {
        for node in nodes {
            let Some(scope) = scopes.last() else { return };
            let Some(keyword) = keywords::lookup(scope.kind, &node.keyword) else { continue };
            match (keyword.body, &mut node.body) {
                (Body::Block(kind), Some(_)) => self.block(node, kind, scopes),
                (_, Some(lines)) => {
                    for line in lines {
                        line.comment = self.line(line, keyword.name, scopes);
                    }
                }
                (_, None) => node.comment = self.setting(node, keyword, scopes),
            }
        }
    }

    fn block(&self, node: &mut Node, kind: BlockKind, scopes: &mut Vec<Scope<'a>>) {
        let there: Vec<_> = match node.place {
            Some(place) => self.places.get(&place).copied().into_iter().collect(),
            None => scopes.last().map(|scope| scope.named(&node.keyword).collect()).unwrap_or_default(),
        };
        if node.place.is_some() {
            let lines =
                there.iter().map(|statement| self.place(statement.header()) + &written(node, statement));
            node.comment = lines.collect::<Vec<_>>().join(" and ");
        }
        if let Some(remark) = node.remark {
            let _ = write!(node.comment, ", {remark}");
        }
        scopes.push(Scope { kind, statements: there.into_iter().flat_map(Statement::body).collect() });
        self.level(node.body.as_deref_mut().unwrap_or_default(), scopes);
        scopes.pop();
    }

    fn setting(&self, node: &Node, keyword: &Keyword, scopes: &[Scope<'a>]) -> String {
        let heir = node.heir_of.and_then(|name| keywords::lookup(BlockKind::GlobalDefs, name));
        let heritage = heir.map_or(keyword.heritage, |heir| Heritage::Global(heir.name));
        let origin = self.origin(keyword, heritage, scopes);
        let default = heir.unwrap_or(keyword).default;
        if node.is_unset {
            return match (origin, default) {
                (Origin::Here(statement), _) => format!("{}, without effect", self.place(statement.header())),
                (_, Absent::Nothing) => "not set".to_owned(),
                (_, Absent::Is(default) | Absent::Says(default)) => format!("default: {default}"),
            };
        }
        match origin {
            Origin::Here(statement) if statement.name() != node.keyword => {
                format!("{}, written as {}", self.place(statement.header()), words(statement))
            }
            Origin::Here(statement) => self.place(statement.header()) + &written(node, statement),
            Origin::Inherited(kind, statement) => {
                format!(
                    "inherited from {kind}, {}{}",
                    self.place(statement.header()),
                    written(node, statement)
                )
            }
            Origin::Beside(name) => format!("as {name}"),
            Origin::Nowhere => match default {
                Absent::Is(default) if agrees(&node.arguments, [default]) => "default".to_owned(),
                Absent::Says(default) => format!("default: {default}"),
                Absent::Is(_) | Absent::Nothing if is_usual(keyword, scopes) => "default".to_owned(),
                Absent::Is(_) | Absent::Nothing => "follows from the rest".to_owned(),
            },
        }
    }

    fn origin(&self, keyword: &Keyword, heritage: Heritage, scopes: &[Scope<'a>]) -> Origin<'a> {
        let Some((own, around)) = scopes.split_last() else { return Origin::Nowhere };
        if let Some(statement) = own.find(keyword) {
            return Origin::Here(statement);
        }
        if heritage == Heritage::Around {
            let outer = around.iter().rev().find_map(|scope| Some((scope.kind, scope.find(keyword)?)));
            if let Some((kind, statement)) = outer {
                return Origin::Inherited(kind, statement);
            }
        }
        if let Some(beside) = keyword.beside {
            return Origin::Beside(beside);
        }
        if let Heritage::Global(name) = heritage {
            return self.global(name);
        }
        Origin::Nowhere
    }

    /// What `global_defs` says by this keyword, or by the one whose value counts in its place.
    fn global(&self, name: &str) -> Origin<'a> {
        let Some(keyword) = keywords::lookup(BlockKind::GlobalDefs, name) else { return Origin::Nowhere };
        match (self.globals.find(keyword), keyword.beside) {
            (Some(statement), _) => Origin::Inherited(BlockKind::GlobalDefs, statement),
            (None, Some(beside)) => self.global(beside),
            (None, None) => Origin::Nowhere,
        }
    }

    /// A line of a block of values.
    fn line(&self, line: &Node, list: &str, scopes: &[Scope<'a>]) -> String {
        let Some(scope) = scopes.last() else { return String::new() };
        let lines = scope.bodies(list);
        let found = match line.place {
            Some(place) => lines.into_iter().find(|statement| statement.header() == place),
            None => {
                lines.into_iter().find(|statement| statement.words().any(|word| is_for(word, &line.keyword)))
            }
        };
        let Some(found) = found else { return "follows from the rest".to_owned() };
        let place = self.place(found.header());
        if list.starts_with("track_") { place + &self.weight(line, found, list, scopes) } else { place }
    }

    /// Where the weight of something tracked comes from, if not from its line.
    fn weight(&self, line: &Node, found: &Statement, list: &str, scopes: &[Scope<'a>]) -> String {
        let is_said =
            |word: &Word| ["weight", "reverse", "noreverse", "no_reverse"].contains(&word.text.as_str());
        if found.arguments.iter().any(is_said) || line.arguments.is_empty() {
            return written(line, found);
        }
        let (Some(block), Some(root)) = (definition(list), scopes.first()) else { return String::new() };
        let is_it = |statement: &&&Statement| {
            let keyword = keywords::lookup(root.kind, statement.name());
            keyword.is_some_and(|keyword| keyword.canonical() == block)
                && statement.arguments.first().is_some_and(|name| name.text == line.keyword)
        };
        let said = root.statements.iter().find(is_it);
        let said = said.and_then(|defined| defined.body().iter().rfind(|setting| setting.name() == "weight"));
        match said {
            Some(said)
                if agrees(&line.arguments[1..], said.arguments.iter().map(|word| word.text.as_str())) =>
            {
                format!(", weight inherited from {block}, {}", self.place(said.header()))
            }
            Some(_) => ", weight follows from the rest".to_owned(),
            None => String::new(),
        }
    }

    /// The line, and the file if it is not the first.
    fn place(&self, span: Span) -> String {
        if span.is_beside(Span::default()) {
            return format!("line {}", span.line);
        }
        let name = self.sources.get(span.source).map_or("?", |source| &source.name);
        format!("line {} of {}", span.line, printable(name))
    }
}

/// How `statement` says it, if it says another value than `node` has.
fn written(node: &Node, statement: &Statement) -> String {
    let arguments = || statement.arguments.iter().map(|word| word.text.as_str());
    let both_say_yes = statement.arguments.is_empty() && agrees(&node.arguments, ["yes"]);
    if both_say_yes || agrees(&node.arguments, arguments()) {
        String::new()
    } else if keywords::hides(statement.name()) {
        ", written longer".to_owned()
    } else {
        format!(", written as {}", words(statement))
    }
}

fn words(statement: &Statement) -> String {
    let words: Vec<_> = statement.words().map(|word| word.text.as_str()).collect();
    printable(&words.join(" "))
}

/// `text` as a comment may hold it: on one line, and nothing that a terminal obeys.
fn printable(text: &str) -> String {
    let escape = |letter: char| letter.is_control().then(|| letter.escape_debug());
    text.chars()
        .map(|letter| escape(letter).map_or_else(|| letter.to_string(), |escaped| escaped.to_string()))
        .collect()
}

/// Whether both are the same words, or mean the same as numbers or switches.
fn agrees<'w>(printed: &[String], written: impl IntoIterator<Item = &'w str>) -> bool {
    let same = |(one, other): (&String, &str)| match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => one.total_cmp(&other).is_eq(),
        _ => one == other || meaning(one).is_some_and(|one| meaning(other) == Some(one)),
    };
    let written: Vec<_> = written.into_iter().collect();
    printed.len() == written.len() && printed.iter().zip(written).all(same)
}

/// Of a switch, or of an address that can be written in several ways.
fn meaning(word: &str) -> Option<String> {
    match word {
        "on" | "true" | "yes" => Some("yes".to_owned()),
        "off" | "false" | "no" => Some("no".to_owned()),
        word => word.parse::<IpAddr>().ok().map(|address| address.to_string()),
    }
}

/// Whether `word` is `name`, or the same address perhaps with a prefix.
fn is_for(word: &Word, name: &str) -> bool {
    let address = |text: &str| text.split('/').next().and_then(|text| text.parse::<IpAddr>().ok());
    word.text == name || address(&word.text).is_some_and(|own| address(name) == Some(own))
}

/// Whether `keyword` is that of a pair of flags which counts where neither is written.
fn is_usual(keyword: &Keyword, scopes: &[Scope<'_>]) -> bool {
    let other = |kind| keywords::of(kind).any(|other| other.alias == Some(keyword.name));
    keyword.arguments == (0, 0) && scopes.last().is_some_and(|scope| other(scope.kind))
}
