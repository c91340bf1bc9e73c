//! What is read beside what is known is held to what is read alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::Known;
use crate::config::testing::{Map, instance, service, world};
use crate::config::{Config, Parsed, parse_beside, parse_in};

const SERVER: &str = "real_server 10.0.0.2 80 {\n weight 1\n TCP_CHECK {\n connect_timeout 2\n }\n }\n";

/// A virtual server with this last octet that nothing is to be said of; `inner` begins in its line 5.
fn block(octet: u8, inner: &str) -> String {
    service(inner).replace("10.0.0.1", &format!("10.0.1.{octet}"))
}

/// `text` read beside what is known, which is as if it were read alone.
#[track_caller]
fn read_among(files: &[(&'static str, &'static str)], text: &str, known: &mut Known) -> Parsed {
    let files = Map(files.iter().copied().collect::<BTreeMap<_, _>>());
    let alone = parse_in(world(&files), "t", text);
    let beside = parse_beside(world(&files), "t", text, known);
    assert_eq!(beside.diagnostics, alone.diagnostics, "{text}");
    assert_eq!(beside.sources, alone.sources, "{text}");
    let said = |parsed: &Parsed| parsed.config.clone().map(Config::without_places);
    assert_eq!(said(&beside), said(&alone), "{text}");
    beside
}

#[track_caller]
fn read(text: &str, known: &mut Known) -> Parsed {
    read_among(&[], text, known)
}

/// Which virtual servers of `after` are objects of `before`.
fn shared(before: &Parsed, after: &Parsed) -> Vec<bool> {
    let services = |parsed: &Parsed| parsed.config.clone().unwrap_or_default().virtual_servers;
    let before = services(before);
    let is_one = |service| before.iter().any(|before| Arc::ptr_eq(before, service));
    services(after).iter().map(is_one).collect()
}

/// Whether the virtual server of `text` is known when a line was put before it.
#[track_caller]
fn is_known(text: &str) -> bool {
    let known = &mut Known::default();
    let before = read(text, known);
    assert!(before.config.is_some(), "{:#?}", before.diagnostics);
    shared(&before, &read(&format!("! moved\n{text}"), known)) == [true]
}

#[test]
fn what_is_the_same_is_not_read_again_wherever_it_stands() {
    let known = &mut Known::default();
    let [one, two, three] = [1, 2, 3].map(|octet| block(octet, SERVER));
    let before = read(&format!("{one}{two}{three}"), known);
    let changed = two.replace("weight 1", "weight 2");
    let after = read(&format!("! more\n\n{three}{changed}{one}"), known);
    assert_eq!(shared(&before, &after), [true, false, true]);
    assert_eq!(shared(&after, &read(&format!("{one}{changed}"), known)), [true, true]);
}

#[test]
fn servers_of_one_address_and_port_are_known_each() {
    let known = &mut Known::default();
    let tcp = block(1, SERVER);
    let udp = tcp.replace("protocol TCP", "protocol UDP");
    let text = format!("{tcp}{udp}");
    let before = read(&text, known);
    assert!(before.config.is_some(), "{:#?}", before.diagnostics);
    assert_eq!(shared(&before, &read(&format!("! moved\n{text}"), known)), [true, true]);
}

#[test]
fn all_lines_of_it_must_be_there() {
    let known = &mut Known::default();
    let text = block(1, SERVER);
    let before = read(&text, known);
    for other in [
        text.replace("}\n}\n", "}\n} x\n"),
        text.replace("}\n}\n", "}\n} global_defs {\n}\n"),
        text.replace("}\n}\n", "}\n}}\n"),
        text.replace("}\n}\n", "}\n"),
        text.replacen("weight 1", "weight 1 ! why", 1),
        format!("global_defs {{\n{text}}}\n"),
        format!("$A= \\\n{text}"),
        format!("@^main {text}"),
    ] {
        assert!(!shared(&before, &read(&other, known)).contains(&true), "{other}");
        read(&text, known);
    }
    let (known, text) = (&mut Known::default(), text.trim_end());
    assert_eq!(shared(&read(text, known), &read(&format!("{text}\r\n{text}"), known)), [false]);
    assert_eq!(shared(&read(text, known), &read(&format!("{text}\n\n"), known)), [true]);
}

#[test]
fn what_depends_on_more_than_its_lines_is_read_each_time() {
    assert!(is_known(&block(1, SERVER)));
    assert!(is_known(&block(1, SERVER).replace("{\n lb_algo", "{ lb_algo")));
    assert!(is_known(&block(1, SERVER).replace(" }\n}\n", " } }\n")));
    assert!(is_known(&(instance("") + &block(1, SERVER))), "what is said is of the rules between blocks");
    for other in [
        format!("$A=1\n{}", block(1, &SERVER.replace("weight 1", "weight $A"))),
        block(1, &SERVER.replace("weight 1", "@main weight 1")),
        block(1, &format!("~LST(A, 2) delay_loop 7\n{SERVER}")),
        block(1, &format!("include x\n{SERVER}")),
        block(1, &format!("random_seed 7\n{SERVER}")),
        block(1, &SERVER.replace("weight 1", "wieght 1")),
        block(1, &SERVER.replace("TCP_CHECK {\n connect_timeout 2", "FILE_CHECK {\n track_file f"))
            + "track_file f {\n file /f\n}\n",
        block(1, SERVER).replace("10.0.1.1 80", "group g") + "virtual_server_group g {\n 10.0.0.9 80\n}\n",
        block(1, SERVER).replace("TCP\n real", "TCP } virtual_server 10.0.1.1 80 {\n real"),
    ] {
        assert!(!is_known(&other), "{other}");
    }
}

#[test]
fn a_file_that_is_included_is_as_well_known() {
    const ONE: &str = "virtual_server 10.0.1.1 80 {\n lb_algo rr\n lb_kind DR\n protocol TCP\n real_server 10.0.0.2 80 {\n }\n}\n";
    let known = &mut Known::default();
    let files = [("/c/one", ONE)];
    let before = read_among(&files, "include one\n", known);
    assert_eq!(before.config.as_ref().map(|config| config.virtual_servers.len()), Some(1));
    let two = block(2, SERVER);
    let after = read_among(&files, &format!("{two}include one\n"), known);
    assert_eq!(shared(&before, &after), [false, true]);
    let after = read_among(&files, &format!("include one\n{two}include one\n"), known);
    assert_eq!(shared(&before, &after), [true, false]);
    assert_eq!(after.diagnostics.len(), 1, "{:#?}", after.diagnostics);
    assert_eq!(shared(&before, &read(&format!("{two}{ONE}"), known)), [false, true]);
}

#[test]
fn how_checks_are_timed_around_it_counts() {
    let known = &mut Known::default();
    let text = block(1, SERVER);
    let globals = |retry: u32| format!("global_defs {{\n checker_log_all_failures {}\n}}\n", retry % 2 == 1);
    let before = read(&text, known);
    let after = read(&(globals(1) + &text), known);
    assert_eq!(shared(&before, &after), [false]);
    assert_eq!(shared(&after, &read(&(globals(1) + "\n" + &text), known)), [true]);
    assert_eq!(shared(&after, &read(&(globals(2) + &text), known)), [false]);
}

#[test]
fn rules_between_blocks_name_the_places_of_now() {
    let known = &mut Known::default();
    let text = block(1, SERVER);
    read(&text, known);
    let twice = read(&format!("\n{text}\n{text}{}", instance("")), known);
    let said: Vec<_> = twice.diagnostics.iter().map(|said| said.one_line(&twice.sources)).collect();
    assert!(said.iter().any(|said| said.contains("there already in line 2")), "{said:#?}");
}

#[test]
fn the_budget_is_that_of_who_reads() {
    use crate::config::expand::{Budget, expand_within};
    let text = block(1, SERVER);
    let known = &mut Known::default();
    read(&text, known);
    let files = Map(BTreeMap::new());
    for words in 0..60 {
        let budget = Budget { words, ..Budget::default() };
        let said = |known: &Known| expand_within(budget, "t", &text, world(&files), known).problems;
        assert_eq!(said(known), said(&Known::default()), "{words}");
    }
}

/// The files that keepalived's own check is run on too, and those that fuzzing begins with.
fn fixtures() -> Vec<String> {
    let of = |directory: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(directory);
        let entries = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_file()).collect::<Vec<_>>()
    };
    let paths = ["keepalived", "seeds"].into_iter().flat_map(of);
    paths.filter_map(|path| fs::read_to_string(path).ok()).collect()
}

#[test]
fn every_fixture_is_read_as_if_nothing_were_known() {
    let known = &mut Known::default();
    let (mut texts, mut kept) = (0, 0);
    for text in fixtures() {
        let text = format!("{text}\n{}", block(8, SERVER));
        let mut before = read(&text, known);
        let moved = format!("! moved\n{text}");
        let more = text.clone() + &block(9, SERVER);
        let lines: Vec<_> = text.lines().collect();
        let without = (0..lines.len()).step_by(5).map(|line| {
            let rest = lines.iter().enumerate().filter(|(at, _)| *at != line).map(|(_, line)| *line);
            rest.collect::<Vec<_>>().join("\n")
        });
        for other in [moved, more].into_iter().chain(without) {
            let after = read(&other, known);
            kept += shared(&before, &after).iter().filter(|is_shared| **is_shared).count();
            texts += 1;
            before = after;
        }
    }
    assert!(texts > 1000 && kept > 500, "{texts} texts, {kept} services");
}

/// A line of a text that is to become another.
#[derive(Clone, Debug)]
enum Edit {
    Remove(prop::sample::Index),
    Insert(prop::sample::Index, &'static str),
    Double(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
}

impl Edit {
    fn make(&self, lines: &mut Vec<String>) {
        let at = |index: &prop::sample::Index| index.index(lines.len().max(1)).min(lines.len());
        match self {
            _ if lines.is_empty() => {}
            Self::Remove(index) => drop(lines.remove(at(index))),
            Self::Insert(index, line) => lines.insert(at(index), (*line).to_owned()),
            Self::Double(index) => lines.insert(at(index), lines[at(index)].clone()),
            Self::Swap(one, other) => {
                let (one, other) = (at(one), at(other));
                lines.swap(one, other);
            }
        }
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let index = any::<prop::sample::Index>;
    let line = prop::sample::select(vec![
        "",
        "! x",
        "{",
        "}",
        "} }",
        "weight 3",
        "wieght 3",
        "$A=3",
        "$A",
        "weight ${A}",
        "include one",
        "@main weight 4",
        "@x weight 4",
        "virtual_server 10.0.1.2 80 {",
        "virtual_server 10.0.1.3 80",
        "global_defs {",
        "checker_log_all_failures",
        "real_server 10.0.0.7 80 {",
        "random_seed 3",
        "\"",
        "$B= \\",
        "x \\",
        "virtual_server_group g {",
        "vrrp_instance V {",
    ]);
    prop_oneof![
        index().prop_map(Edit::Remove),
        (index(), line).prop_map(|(index, line)| Edit::Insert(index, line)),
        index().prop_map(Edit::Double),
        (index(), index()).prop_map(|(one, other)| Edit::Swap(one, other)),
    ]
}

proptest! {
    #[test]
    fn edits_are_read_as_if_nothing_were_known(edits in prop::collection::vec(edit(), 1..12)) {
        let known = &mut Known::default();
        let text = format!("$A=2\n{}{}{}{}", block(1, SERVER), block(2, SERVER), instance(""), block(3, SERVER));
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let files = [("/c/one", "virtual_server 10.0.2.1 80 {\n lb_algo rr\n lb_kind DR\n protocol TCP\n real_server 10.0.0.2 80 {\n }\n}\n")];
        read_among(&files, &lines.join("\n"), known);
        for edit in edits {
            edit.make(&mut lines);
            read_among(&files, &lines.join("\n"), known);
        }
    }
}
