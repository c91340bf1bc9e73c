//! Owns the step from the text of a keepalived.conf to a typed model, and all that is to be said about the text.
//! Opens no file, and reads no clock and no socket.
//!
//! A text goes through `expand` (lines, with what they include and what their variables stand for), `lexer` (words and
//! braces), `tree` (statements and blocks), `check` (against the table in
//! `keywords`) and `assemble` (values and the rules between blocks). All problems of a text are found in one run,
//! except that one whose words or braces are wrong goes no further.

#[cfg(test)]
mod agreement;
mod assemble;
mod check;
mod checker;
mod diagnostics;
mod escape;
mod expand;
pub mod files;
mod keywords;
mod known;
mod lexer;
mod mail;
mod marks;
pub mod model;
mod part;
mod print;
mod real_server;
mod reference;
mod service;
mod source;
#[cfg(test)]
mod testing;
mod timing;
mod tls;
mod trail;
mod tree;
mod values;
mod vrrp;

use std::collections::BTreeSet;
use std::path::Path;

pub use diagnostics::{Diagnostic, Severity};
use expand::Expanded;
use files::{NoFiles, World};
pub use known::Known;
pub use model::Config;
pub use part::Part;
pub use source::{Location, Source, SourceId, Sources, Span};

/// What came of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The configuration; `None` when there is an error, so that a broken text never takes effect in part.
    pub config: Option<Config>,
    /// Everything to be said, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// The text itself, for showing places in it.
    pub sources: Sources,
    /// The tree, for saying where a value comes from.
    statements: Vec<tree::Statement>,
}

impl Parsed {
    /// Whether the text does not load.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Whether something in it was corrected that keepalived corrects too, and says so.
    pub fn is_corrected(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| !diagnostic.is_ours)
    }

    /// Adds what was found out by other means than reading.
    pub fn add(&mut self, found: impl IntoIterator<Item = Diagnostic>) {
        self.diagnostics.extend(found);
        self.diagnostics.sort_by_key(|diagnostic| diagnostic.span.place());
    }

    /// Takes the configuration away, for what is not wrong of the text.
    pub fn refuse(&mut self, problem: Diagnostic) {
        self.add([problem]);
        self.config = None;
    }

    /// The place of the last statement with this keyword in `global_defs`.
    pub fn place_of_global(&self, keyword: &str) -> Option<Span> {
        let blocks = self.statements.iter().filter(|statement| statement.name() == "global_defs");
        let mut settings = blocks.flat_map(tree::Statement::body);
        settings.rfind(|setting| setting.name() == keyword).map(tree::Statement::header)
    }

    /// How many diagnostics are of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }
}

/// Reads `text` by itself, which messages call `name`.
pub fn parse(name: &str, text: &str) -> Parsed {
    let world = World {
        id: "",
        demands_all: false,
        path: Path::new("/"),
        files: &NoFiles,
        environment: &|_| None,
        seed: 0,
    };
    parse_in(world, name, text)
}

/// Reads `text`, which messages call `name`, and what it includes.
pub fn parse_in(world: World<'_>, name: &str, text: &str) -> Parsed {
    parse_beside(world, name, text, &mut Known::default())
}

/// The same, but for blocks that are `known` from a text that was read before in this world: of those the configuration has
/// the very objects of before, with the places of before. Everything that is said is of this text. [`explain`] tells nothing
/// of such blocks.
pub fn parse_beside(world: World<'_>, name: &str, text: &str, known: &mut Known) -> Parsed {
    let Expanded { tokens, problems: mut diagnostics, sources, blocks } =
        expand::expand(name, text, world, known);
    let (mut statements, in_tree) = tree::grow(tokens);
    diagnostics.extend(in_tree);
    let mut config = None;
    if diagnostics.iter().all(|diagnostic| diagnostic.severity < Severity::Error) {
        check::check(&mut statements, &mut diagnostics);
        let read = assemble::read(&statements, &mut diagnostics);
        if !known.holds_within(read.timing) {
            *known = Known::default();
            return parse_beside(world, name, text, known);
        }
        *known = Known::of(read.timing, &blocks, &read.services, &diagnostics, &sources);
        config = Some(read.together(&mut diagnostics));
    }
    trail::annotate(&mut diagnostics, &sources);
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.place());
    // A line that is read several times is not complained of several times.
    let mut said = BTreeSet::new();
    diagnostics.retain(|problem| {
        said.insert((problem.span.place(), problem.message.clone(), problem.notes.clone()))
    });
    let parsed = Parsed { config, diagnostics, sources, statements };
    if parsed.has_errors() { Parsed { config: None, ..parsed } } else { parsed }
}

/// A configuration in keepalived's language, with every value written out; [`parse`] makes the same one of it.
pub fn print(config: &Config) -> String {
    print::text(config)
}

/// The same with a comment behind each line that says where its value comes from; `None` when the text does not load.
/// Secrets are in it.
pub fn explain(parsed: &Parsed) -> Option<String> {
    Some(print::explained(parsed.config.as_ref()?, &parsed.statements, &parsed.sources))
}

/// Every keyword with what it takes and means and whether it is in effect, as a page of Markdown.
pub fn reference() -> String {
    reference::markdown()
}

/// Every diagnostic with the line it speaks of, for a person to read; empty when there is none.
pub fn render(parsed: &Parsed) -> String {
    diagnostics::render(&parsed.diagnostics, &parsed.sources)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::time::ClockId;
    use proptest::prelude::*;

    use super::testing::{said, server};
    use super::*;

    #[test]
    fn nothing_is_a_configuration() {
        assert_eq!(parse("t", "").config, Some(Config::default()));
        assert_eq!(render(&parse("t", "\n! nothing\n")), "");
    }

    #[test]
    fn all_problems_are_found_in_one_run_and_in_order() {
        let text = server("weight x\n TCP_CHECK {\n connect_port 0\n retyr 1\n }").replace("rr", "rrr");
        let places: Vec<_> =
            said(&text).iter().map(|line| line.split(": ").next().unwrap().to_owned()).collect();
        assert_eq!(places, ["t:2:10", "t:6:9", "t:8:15", "t:9:2"]);
        assert_eq!(parse("t", &text).config, None);
    }

    #[test]
    fn wrong_braces_do_not_bring_a_flood() {
        let text = server("weight x").replacen('}', "", 1) + &server("weight x");
        assert_eq!(said(&text).len(), 1, "{:#?}", said(&text));
    }

    #[test]
    fn line_ends_and_a_byte_order_mark_do_not_matter() {
        let text = server("weight 3");
        let other = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        let weight = |text: &str| parse("t", text).config.unwrap().virtual_servers[0].real_servers[0].weight;
        assert_eq!(weight(&text), weight(&other));
        assert_eq!(said(&other), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_configuration_is_an_error() {
        let deep = "virtual_server 10.0.0.1 80 {\n".repeat(100_000);
        let huge = format!("virtual_server 10.0.0.1 {} {{\n}}\n", "9".repeat(100_000));
        for text in
            ["virtual_server 10.0.0.1 80 {\n", "}\n", "{", "\0", "a\0b", "\"", deep.as_str(), huge.as_str()]
        {
            let parsed = parse("t", text);
            assert!(parsed.has_errors() && parsed.config.is_none(), "{text:.40}");
            assert!(render(&parsed).contains("t:"), "{text:.40}");
        }
    }

    /// Words of the language in any order come further than random bytes.
    fn soup() -> impl Strategy<Value = String> {
        let words = "virtual_server real_server TCP_CHECK vrrp_instance virtual_ipaddress global_defs weight lb_algo rr \
                     lb_kind DR protocol 10.0.0.1 10.0.0.2/24 ::1 80 0 -1 1.5 { } { } \" ' # $A ${B} include @x nat_mask \
                     255.255.255.0 fwmark fwmark_rules mark destination port ops ip_family inet6 lvs_timeouts tcp 99999999999999999999 nb_get_retry persistence_timeout dev é \\ \
                     interface virtual_router_id eth0 virtual_routes virtual_rules via table from unicast_peer \
                     track_script track_interface reverse use_vmac authentication auth_pass vrrp_script script \
                     vrrp_sync_group group notify_master vrrp_track_process process advert_int default max_ttl $A=1 $A= $A=${B} $B=$A ${A}${B} ${A}.1 @main @^main \\ \
                     ~SEQ(A,1,3) ~SEQx(B,10) ~SEQ(A ~LST(A,1,{2}) ~LST({A,B},{1,2},{x}) ${_RANDOM ${_RANDOM} 5} ${_PWD} ${_X} \
                     ${${A}} include_check +match random_seed misc_path HTTP_GET SSL_GET url path regex ( [a regex_min_offset status_code 1-2 digest payload require_reply xx UDP_CHECK DNS_CHECK type MISC_CHECK FILE_CHECK SMTP_CHECK host virtualhost \\x41";
        let breaks = ["\n", "\n", "\n", "\\\n", "\t", "\r", "\u{1b}[2J"];
        let words: Vec<_> = words.split_whitespace().chain(breaks).collect();
        prop::collection::vec(prop::sample::select(words), 0..60).prop_map(|words| words.join(" "))
    }

    /// The processor time it takes to parse `text`, the least of three; other processes do not count.
    fn time_of(text: &str) -> Duration {
        let now =
            || Duration::from(ClockId::CLOCK_THREAD_CPUTIME_ID.now().expect("every Linux has this clock"));
        let times = (0..3).map(|_| {
            let started = now();
            parse("t", text);
            now().saturating_sub(started)
        });
        times.min().unwrap_or_default()
    }

    #[test]
    fn eight_times_the_text_takes_eight_times_the_time() {
        let services = |count: u32| -> String {
            let one =
                |n: u32| server("weight 1").replace("10.0.0.1", &std::net::Ipv4Addr::from(n).to_string());
            (1..=count).map(one).collect()
        };
        let made = |count: u32| {
            let block = "$V= \\\nvirtual_server 10.${A}.${B}.1 80 { \\\n lb_kind DR \\\n real_server 10.0.0.2 80 { \\\n } \\\n}\n";
            format!("{block}~SEQ(A,1,{}) ~SEQ(B,0,9) $V\n", count / 10)
        };
        let wrong = |count: u32| services(count).replace("weight", "wieght");
        let instances = |count: u32| {
            let one = |n: u32| {
                let start = format!("vrrp_instance V{n} {{\n interface e{n}\n virtual_router_id 5\n");
                let address = std::net::Ipv4Addr::from(n + (10 << 24));
                format!("{start} virtual_ipaddress {{\n {address}\n }}\n}}\n")
            };
            (1..=count).map(one).collect::<Vec<_>>().concat()
        };
        let long_lines = |count: u32| {
            format!("x{}\n$A=1\nx{}\n", " a { }".repeat(4), " ${A}b".repeat(count as usize * 10))
        };
        let shapes: [(&str, &dyn Fn(u32) -> String); 5] = [
            ("services", &services),
            ("made", &made),
            ("wrong", &wrong),
            ("instances", &instances),
            ("long_lines", &long_lines),
        ];
        for (name, text) in shapes {
            let (little, much) = (time_of(&text(100)), time_of(&text(800)));
            // It would take 64 times the time were it quadratic.
            assert!(much < little * 24, "{name}: {little:?}, {much:?}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let parsed = parse("t", &String::from_utf8_lossy(&bytes));
            render(&parsed);
            prop_assert_eq!(parsed.has_errors(), parsed.config.is_none());
        }

        #[test]
        fn random_words_never_panic(text in soup()) {
            let parsed = parse("t", &text);
            let said = render(&parsed);
            prop_assert_eq!(parsed.has_errors(), parsed.config.is_none());
            for diagnostic in &parsed.diagnostics {
                prop_assert!(diagnostic.hint.is_some(), "{}", diagnostic.message);
                let place = format!("{}\n", parsed.sources.locate(diagnostic.span));
                prop_assert!(said.contains(&place) || said.contains(" more\n"), "{}{}", place, said);
                prop_assert!(text.get(diagnostic.span.start..diagnostic.span.end).is_some());
            }
        }
    }
}
