use std::collections::BTreeMap;

use super::*;
use crate::config::lexer::TokenKind;
use crate::config::testing::{Map, world};

/// The words of `text` and what was said of it; `/` is the end of a line that has words.
fn expanded(text: &str, files: &[(&'static str, &'static str)]) -> (String, Vec<String>) {
    expanded_within(Budget::default(), text, files)
}

fn expanded_within(
    budget: Budget,
    text: &str,
    files: &[(&'static str, &'static str)],
) -> (String, Vec<String>) {
    let files = Map(files.iter().copied().collect::<BTreeMap<_, _>>());
    let Expanded { tokens, mut problems, sources } = expand_within(budget, "t", text, world(&files));
    super::super::trail::annotate(&mut problems, &sources);
    let mut words = String::new();
    for token in tokens {
        match token.kind {
            TokenKind::Word => words += &format!("{} ", token.text),
            TokenKind::Open => words += "{ ",
            TokenKind::Close => words += "} ",
            TokenKind::EndOfLine if words.ends_with("/ ") || words.is_empty() => {}
            TokenKind::EndOfLine => words += "/ ",
        }
    }
    let said = problems.iter().map(|problem| problem.one_line(&sources)).collect();
    (words.trim_end_matches("/ ").trim_end().to_owned(), said)
}

#[track_caller]
fn gives(text: &str, words: &str) {
    assert_eq!(expanded(text, &[]), (words.to_owned(), vec![]), "{text}");
}

/// Asserts that `text` gives these words and one thing to be said, which begins like this.
#[track_caller]
fn says(text: &str, words: &str, start: &str) {
    let (got, said) = expanded(text, &[]);
    assert_eq!(got, words, "{text}: {said:#?}");
    assert!(said.len() == 1 && said[0].starts_with(start), "wanted {start:?}, got {said:#?}");
}

#[track_caller]
fn includes(text: &str, files: &[(&'static str, &'static str)], words: &str, said: &[&str]) {
    let (got, problems) = expanded(text, files);
    assert_eq!(got, words, "{problems:#?}");
    assert_eq!(problems.len(), said.len(), "{problems:#?}");
    for (problem, start) in problems.iter().zip(said) {
        assert!(problem.starts_with(start), "wanted {start:?}, got {problems:#?}");
    }
}

mod conditions {
    use super::*;

    #[test]
    fn lines_are_for_one_id_or_for_all_others() {
        gives("@main a\n@other b\n@^main c\n@^other d\n  @main e f\nx @main g", "a / d / e f / x @main g");
        gives("@ a\n@^ b\n@main\nc", "b / c");
        gives("x { @main y\n@other z\n}", "x { / y / }");
    }

    #[test]
    fn a_condition_holds_for_the_whole_line_and_for_a_whole_definition() {
        gives("x {\n@other y {\n}", "x { / }");
        gives("@main $A=1\n@other $A=2\na ${A}", "a 1");
        gives("@other $A= \\\n b \\\n c\n@main $A= \\\n d \\\n e\n$A", "d / e");
        gives("@main @^other a\n@main @other b", "a");
    }

    #[test]
    fn a_variable_may_be_a_condition() {
        gives("$IF_MAIN=@main\n$IF_NOT=@^main\n$IF_MAIN priority 240\n$IF_NOT priority 3", "priority 240");
        gives("$V=main\n@${V} a\n@$V b", "");
    }
}

mod definitions {
    use super::*;

    #[test]
    fn a_use_is_a_name_in_braces_or_before_white_space() {
        gives("$A=one\na $A b\na ${A}b\n$A x\n${A}x", "a one b / a oneb / one x / onex");
        gives("$A=one\na$A)\na$A,\na \"${A} x\" \"$A y\"", "aone) / aone, / a one x one y");
        gives("$A=1\n$AB=2\n$AB ${A}B", "2 1B");
    }

    #[test]
    fn a_name_that_goes_on_is_left_as_it_is() {
        for rest in [".b", "/b", "}", ";", "$A", "\"\""] {
            let (words, said) = expanded(&format!("$A=one\nx $A{rest}"), &[]);
            assert!(words.starts_with("x $A"), "{words}");
            assert!(said[0].starts_with("t:2:3: warning: `$A` stays as it is: what follows"), "{said:#?}");
        }
    }

    #[test]
    fn what_is_not_defined_is_left_as_it_is() {
        says("x $A", "x $A", "t:1:3: warning: `$A` stays as it is: it is not defined");
        says("x ${A}b\n$A=1", "x ${A}b", "t:1:3: warning: `${A}` stays as it is: it is not defined");
        gives("x $ $1 ${ ${} ${a b} a$", "x $ $1 $ { / ${} $ { / a b } a$");
        says("auth_pass a$bc", "auth_pass a$bc", "t:1:12: warning: a variable here stays as it is");
    }

    #[test]
    fn a_value_is_what_it_is_when_it_is_used() {
        gives("$B=10.2.${S}\n$S=0\n${B}.1\n$S=10\n${B}.1", "10.2.0.1 / 10.2.10.1");
        gives("$A=X\n$X=ok\na ${${A}}", "a ok");
    }

    #[test]
    fn a_value_is_the_rest_of_the_line() {
        gives("$A=  two words # c\na ${A}z\n$A=x=y\n$A", "a two wordsz / x=y");
        gives("$A=\na ${A}b $A c\n$A\n$A d\n$Q=\"\"\n$Q", "a b c / d /");
        gives("$A=\"a # b\" # c\n$A\n$B={\nx $B\n}", "a # b / x { / }");
        gives("  $A=1\nx {\n $A=2\n}\n$A", "x { / } / 2");
    }

    #[test]
    fn what_is_no_name_is_not_defined() {
        gives("$1=2\n$a-b=3", "$1=2 / $a-b=3");
        says("$_X=1\n${_X}", "1", "t:1:1: warning: the names that begin with `_` are keepalived's own");
    }

    #[test]
    fn a_value_of_several_lines_is_lines() {
        let text = "$M= \\\n a ${N} \\\n b { \\\n  c \\\n } \\\n d\n$N=1\n$M\n$N=2\nx $M\n";
        gives(text, "a 1 / b { / c / } / d / x a 2 / b { / c / } / d");
        gives("$M=a \\\nb \\\nc\n$M\nz", "a / b / c / z");
        gives("$M= \\\na \\\n# comment\nb ! c \\\nd\n$M", "a / b / d");
        gives("$M= \\\na \\\n\nb\n$M", "b / a");
        gives("$M= \\\r\na \\\r\nb\r\n$M\r\n", "a / b");
        gives("$M= \\\na\nx $M y", "x a y");
    }

    #[test]
    fn lines_of_variables_define_and_nest() {
        let text = "$R= \\\nr ${V}.${N} { \\\nw 1 \\\n}\n$S= \\\ns ${V} { \\\n$N=1 \\\n$R \\\n$N=2 \\\n$R \\\n@other x \\\n}\n";
        let text = format!("{text}$V=7\n$S\n$V=8\n$S");
        let one = |v: u8| format!("s {v} {{ / r {v}.1 {{ / w 1 / }} / r {v}.2 {{ / w 1 / }} / }}");
        gives(&text, &format!("{} / {}", one(7), one(8)));
        gives("$M= \\\na \\\nb\n$N=$M\n$N\n$O=x $M\n$O\n$P= \\\nc $M \\\n$M \\\nd\n$P", "a / b / x a / b / c a / b / a / b / d");
    }

    #[test]
    fn nothing_stands_behind_a_variable_of_several_lines() {
        let start = "t:4:1: warning: `$M` stays as it is: it has several lines";
        says("$M= \\\na \\\nb\n$M c", "$M c", start);
        gives("$M= \\\na \\\nb\nx { $M\n}", "x { / a / b / }");
    }

    #[test]
    fn a_backslash_means_nothing_elsewhere() {
        gives("a \\\nb", "a \\ / b");
    }
}

mod builtin_variables {
    use super::*;

    #[test]
    fn builtins_are_there() {
        gives("a ${_PWD}/x $_INSTANCE ${_HASH}b ${_BANG} ${_ENV HOME}", "a /c/x main #b ! /root");
        gives("$A=a${_HASH} # b\n$A", "a#");
    }

    #[test]
    fn random_numbers_are_in_their_range_and_new_with_each_use() {
        let (words, said) = expanded(&"$R=${_RANDOM 5 7}\n${R} ${_RANDOM} ${_RANDOM 32767}\n".repeat(200), &[]);
        assert_eq!(said, Vec::<String>::new());
        let mut seen = [false; 3];
        for line in words.split(" / ") {
            let numbers: Vec<usize> = line.split(' ').map(|word| word.parse().unwrap()).collect();
            seen[numbers[0] - 5] = true;
            assert!(numbers[1] <= 32767 && numbers[2] == 32767, "{line}");
        }
        assert_eq!(seen, [true; 3]);
        let seeded = |seed: u8| expanded(&format!("random_seed {seed}\n${{_RANDOM}}"), &[]).0;
        assert_eq!(seeded(3), seeded(3));
        assert_ne!(seeded(3), seeded(4));
    }

    #[test]
    fn what_cannot_be_had_is_an_error() {
        for (text, what) in [
            ("${_RANDOM 7 6}", "asks for a number from 7 to 6"),
            ("${_RANDOM -1}", "has -1 where a whole number belongs"),
            ("${_RANDOM 1 2 3}", "is not of a form that is known"),
            ("${_ENV NOPE}", "the environment has no such variable"),
            ("${_ENV}", "is not of a form that is known"),
        ] {
            let (_, said) = expanded(&format!("x {text}"), &[]);
            assert!(said.len() == 1 && said[0].starts_with("t:1:3: error: `${_") && said[0].contains(what), "{said:#?}");
        }
    }
}

mod lists {
    use super::*;

    #[test]
    fn a_sequence_repeats_its_line() {
        for (list, numbers) in [
            ("~SEQ(A,0,3)", "0 / 1 / 2 / 3"),
            ("~SEQ(A,3)", "1 / 2 / 3"),
            ("~SEQ(A,-3)", "-1 / -2 / -3"),
            ("~SEQ(A,0)", "1 / 0"),
            ("~SEQ(A,1,2,6)", "1 / 3 / 5"),
            ("~SEQ(A,5,3)", "5 / 4 / 3"),
            ("~SEQ(A,6,-2,1)", "6 / 4 / 2"),
            ("~SEQ(A,0x10,0x11)", "16 / 17"),
            ("~SEQ(A,010,012)", "8 / 9 / 10"),
            ("~SEQ ( A , 1 , 2 )", "1 / 2"),
            ("~SEQ(A,4,4)", "4"),
            ("~SEQx(A,8,12)", "8 / 9 / a / b / c"),
            ("~SEQx(A, 0x90, 0x10, 0xc0)", "90 / a0 / b0 / c0"),
            ("~SEQ(A,9223372036854775806,9223372036854775807)", "9223372036854775806 / 9223372036854775807"),
            ("~LST(A, a.b, 10.0.0.1,fe80::1)", "a.b / 10.0.0.1 / fe80::1"),
            ("~LST({A},{1},{2})", "1 / 2"),
        ] {
            gives(&format!("{list} ${{A}}"), numbers);
        }
    }

    #[test]
    fn lists_of_several_variables_and_lists_in_lists() {
        gives("~LST({B,C},{1,2},{ 3 , 4 },{5}) ${B}-${C}", "1-2 / 3-4 / 5-");
        gives("~LST(F,1,2) ~SEQ(G,3,4) ${F}${G}", "13 / 14 / 23 / 24");
        gives("$N=2\n~SEQ(A,1,$N) a${A}\n~SEQ(A,1,${N})b${A}\na${A}", "a1 / a2 / b1 / b2 / a2");
        gives("$S=~SEQ(X,1,2) x${X}\n$S\n$T=~LST(Y,1,2)\n$T y${Y}", "x1 / x2 / y1 / y2");
        gives("@main ~SEQ(A,1,2) @^other a${A}\n~SEQ(A,1,2) $D=v${A}\n$D", "a1 / a2 / v2");
    }

    #[test]
    fn blocks_are_repeated() {
        gives("~SEQ(A,1,2) a${A} { b${A} }", "a1 { / b1 } / a2 { / b2 }");
        gives("x {\n~SEQ(A,1,2) 10.0.0.${A}\n}", "x { / 10.0.0.1 / 10.0.0.2 / }");
        let block = "$B= \\\nb${N} { \\\n ~SEQ(K,1,2) ${N}k${K} \\\n}\n~LST(N,1,2) $B\n~SEQ(N,3,4) x $B";
        let one = |n: u8| format!("b{n} {{ / {n}k1 / {n}k2 / }}");
        gives(block, &format!("{} / {} / x {} / x {}", one(1), one(2), one(3), one(4)));
    }

    #[test]
    fn a_list_that_is_none_is_an_error() {
        for list in [
            "~SEQ(A)",
            "~SEQ()",
            "~SEQ(A,1,2,3,4)",
            "~SEQ(A,x,3)",
            "~SEQ(A,1,3",
            "~SEQ(1A,1,3)",
            "~SEQ(A,1,,3)",
            "~SEQ(A,1,-1,3)",
            "~SEQ(A,1,0,3)",
            "~SEQ(A,+-1)",
            "~SEQ(A,99999999999999999999)",
            "~LST(A)",
            "~LST(A, x y)",
            "~LST(A,{1,2})",
            "~LST({A,B},{1,2,3})",
            "~LST({A,B,{1,2})",
            "~LST(A,{1} 2)",
        ] {
            let (words, said) = expanded(&format!("{list} a\nz"), &[]);
            assert_eq!(words, "z", "{list}");
            assert!(said.len() == 1 && said[0].starts_with("t:1:1: error: "), "{list}: {said:#?}");
        }
        gives("x ~SEQ(A,1,2)", "x ~SEQ(A,1,2)");
    }
}

mod inclusion {
    use super::*;

    #[test]
    fn files_are_found_from_the_one_that_includes_them() {
        let files = [("/c/d/a", "a ${_PWD}\ninclude e/b\na2"), ("/c/d/e/b", "b ${_PWD}")];
        includes("x\ninclude d/a # c\ny ${_PWD}", &files, "x / a /c/d / b /c/d/e / a2 / y /c", &[]);
        includes("include /c/d/e/b\n\tinclude   d/e/b  ", &files, "b /c/d/e / b /c/d/e", &[]);
    }

    #[test]
    fn wildcards_and_braces_make_several() {
        let files = [("/c/a.conf", "a"), ("/c/b.conf", "b"), ("/c/c.txt", "c"), ("/c/d/a.conf", "d")];
        includes("include *.conf", &files, "a / b", &[]);
        includes("include [bc].*", &files, "b / c", &[]);
        includes("include {d/{a,x},c}.{conf,txt}", &files, "d / c", &["t:1:9: warning: there is no file `d/a.txt`"]);
        includes("include */a.conf", &files, "d", &[]);
    }

    #[test]
    fn a_block_may_begin_in_one_file_and_end_in_another() {
        let files = [("/c/open", "v {\n $A=1"), ("/c/close", "${A}\n}")];
        includes("include open\nw\ninclude close\nx $A", &files, "v { / w / 1 / } / x 1", &[]);
        includes("v { include close", &files, "v { / ${A} / }", &["/c/close:1:1: warning: `${A}` stays as it is"]);
    }

    #[test]
    fn includes_are_made_of_variables_too() {
        let files = [("/c/a", "a ${N}")];
        includes("$F=a\n$I=include $F\n@main include ${F}\n$I\n$N=3\n$I\nx include a", &files,
            "a ${N} / a ${N} / a 3 / x include a", &["/c/a:1:3: warning", "/c/a:1:3: warning"]);
        includes("~SEQ(N,1,2) include a", &files, "a 1 / a 2", &[]);
        includes("$M= \\\ninclude a \\\nz\n$N=1\n$M", &files, "a 1 / z", &[]);
    }

    #[test]
    fn what_is_missing_is_an_error_where_it_is_demanded() {
        // In the order of include, includer, includem, includew, includeb, includea.
        for (name, errors) in [
            ("nosuch", "wwEEwE"),
            ("nosuch*", "---E-E"),
            ("*/nosuch", "wwEEwE"),
            ("{a,nosuch}", "wwwwEE"),
            ("{a,nosuch*}", "------"),
            ("{no,nosuch}", "wwwwEE"),
            ("dir", "wEEEEE"),
            ("di*", "wEEEEE"),
            ("bytes", "EEEEEE"),
            ("", "EEEEEE"),
            ("a", "------"),
        ] {
            for (keyword, wanted) in ["include", "includer", "includem", "includew", "includeb", "includea"].iter().zip(errors.chars()) {
                let files = [("/c/a", ""), ("/c/dir", "unfit"), ("/c/bytes", "no text")];
                let (_, said) = expanded(&format!("{keyword} {name}"), &files);
                let got = match said.as_slice() {
                    [] => '-',
                    [one] if one.contains(": warning: ") => 'w',
                    [one] if one.contains(": error: ") => 'E',
                    more => panic!("{more:#?}"),
                };
                assert_eq!(got, wanted, "{keyword} {name}: {said:#?}");
            }
        }
    }

    #[test]
    fn include_check_makes_demands_for_its_file_and_what_that_includes() {
        let files = [("/c/a", "include nosuch\ninclude_check -match -wildcard_match"), ("/c/b", "include_check\ninclude nosuch*")];
        let missing = "error: there is no file `nosuch`";
        let demanding = "include_check +match\n";
        includes(&format!("{demanding}include a\ninclude nosuch"), &files, "include_check +match / include_check -match -wildcard_match",
            &[&format!("/c/a:1:9: {missing}"), &format!("t:3:9: {missing}")]);
        includes("include b\ninclude nosuch", &files, "include_check",
            &["/c/b:2:9: error: no file fits `nosuch*`", "t:2:9: warning: there is no file"]);
        includes("include_check readable\ninclude nosuch", &[], "include_check readable", &["t:2:9: warning"]);
        includes("include_check mach", &[], "include_check mach", &["t:1:1: warning: `mach` is nothing"]);
    }

    #[test]
    fn a_loop_is_an_error_that_shows_its_way() {
        let files = [("/c/a", "a\ninclude b"), ("/c/b", "include a"), ("/c/self", "x\ninclude self")];
        includes("include a\nz", &files, "", &["/c/b:1:9: error: a file includes itself: /c/a includes /c/b includes /c/a"]);
        includes("include self", &files, "", &["/c/self:2:9: error: a file includes itself: /c/self includes /c/self"]);
        includes("include t", &[("/c/t", "")], "", &["t:1:9: error: a file includes itself: /c/t includes /c/t"]);
    }
}

mod places {
    use super::*;
    use crate::config::{parse_in, testing};

    fn said(text: &str, files: &[(&'static str, &'static str)]) -> Vec<String> {
        let files = Map(files.iter().copied().collect());
        let parsed = parse_in(testing::world(&files), "t", text);
        parsed.diagnostics.iter().map(|problem| problem.one_line(&parsed.sources)).collect()
    }

    const INSTANCE: &str = "interface eth0\n virtual_ipaddress {\n 10.0.0.1\n }\n";

    #[test]
    fn a_value_is_pointed_to_where_it_is_used_and_told() {
        let text = format!("$ID=30${{X}}\n$X=0\nvrrp_instance A {{\n virtual_router_id ${{ID}} # é\n {INSTANCE}}}\n");
        let said = said(&text, &[]);
        assert_eq!(said.len(), 1, "{said:#?}");
        assert!(said[0].starts_with("t:4:20: error: `300` is out of range"), "{said:#?}");
        assert!(said[0].ends_with("(`${X}` is `0` here, set in t:2:1; `${ID}` is `30${X}` here, set in t:1:1)"), "{said:#?}");
    }

    #[test]
    fn a_word_of_several_parts_is_pointed_to_whole() {
        let text = format!("$A=1\n$B=2\nvrrp_instance A {{\n virtual_router_id 9${{A}}x${{B}}y\n {INSTANCE}}}\n");
        let said = said(&text, &[]);
        assert!(said[0].starts_with("t:4:20: error: `91x2y` is not"), "{said:#?}");
        assert!(said[0].ends_with("(`${B}` is `2` here, set in t:2:1; `${A}` is `1` here, set in t:1:1)"), "{said:#?}");
    }

    #[test]
    fn lines_of_a_value_are_pointed_to_where_they_are_written() {
        let block = "$V= \\\nvrrp_instance A${N} { \\\n virtual_router_id ${N} \\\n interface eth${N} \\\n nonsense \\\n virtual_ipaddress { \\\n 10.0.0.${N} \\\n } \\\n}\n";
        let said = said(&format!("{block}~LST(N, 1, 256) $V\n"), &[]);
        assert_eq!(said.len(), 2, "{said:#?}");
        assert!(said[0].starts_with("t:3:20: error: `256` is out of range"), "{said:#?}");
        assert!(said[0].ends_with("(`${N}` is `256` here, set in t:10:1; `$V` is used in t:10:17)"), "{said:#?}");
        assert!(said[1].starts_with("t:5:2: warning: unknown keyword `nonsense`"), "{said:#?}");
    }

    #[test]
    fn an_included_file_is_named() {
        let files = [("/c/d/x", "virtual_router_id 0\n")];
        let said = said(&format!("vrrp_instance A {{\n include d/x\n {INSTANCE}}}\n"), &files);
        assert!(said.len() == 1 && said[0].starts_with("/c/d/x:1:19: error: `0` is out of range"), "{said:#?}");
    }

    #[test]
    fn a_secret_is_not_told() {
        let text = "$PW=s3cret x\n$LINE=auth_pass s3cret y\nvrrp_instance A {\n virtual_router_id 1\n authentication {\n auth_type PASS\n auth_pass ${PW}\n }\n";
        let text = format!("{text} {INSTANCE}}}\nvrrp_instance B {{\n virtual_router_id 2\n authentication {{\n auth_type PASS\n $LINE\n }}\n {INSTANCE}}}\n");
        let files = Map(BTreeMap::new());
        let parsed = parse_in(testing::world(&files), "t", &text);
        let said = format!("{:?}", said(&text, &[])) + &crate::config::render(&parsed);
        assert!(said.contains("does not take a second word") && said.contains("`${PW}` is"), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
}

mod limits {
    use super::*;

    /// Asserts that `text` is refused for this reason, and that nothing of it is left.
    #[track_caller]
    fn refused(text: &str, what: &str) {
        let small = Budget { uses: 10_000, bytes: 1 << 20, words: 10_000 };
        let (words, said) = expanded_within(small, text, &[]);
        assert!(words.is_empty() && said.len() == 1 && said[0].contains(": error: ") && said[0].contains(what), "{said:#?}");
    }

    #[test]
    fn a_variable_in_itself_is_an_error() {
        refused("$A=${B}\n$B=x ${A}\ny ${A}", "more than 32 deep");
        refused("$A=$A 1\n$A", "more than 32 deep");
        refused("$M= \\\na \\\n$M\n$M", "more than 32 deep");
        refused("$M= \\\n$M \\\na\nx $M", "more than 32 deep");
        refused(&format!("x {}A{}", "${".repeat(200), "}".repeat(200)), "more than 32 deep");
        let chain: String = (1..=30).map(|n| format!("$A{n}=${{A{}}}\n", n - 1)).collect();
        gives(&format!("$A0=x\n{chain}a ${{A30}}"), "a x");
    }

    #[test]
    fn a_word_of_many_variables_is_not_deep() {
        gives(&format!("$A=x\n{}", "${A}".repeat(100)), &"x".repeat(100));
    }

    #[test]
    fn a_few_lines_do_not_fill_the_memory() {
        let laughs: String = (1..=20).map(|n| format!("$A{n}={}\n", format!("${{A{}}}", n - 1).repeat(10))).collect();
        refused(&format!("$A0=ha\n{laughs}x ${{A20}}"), "variables and lists are used too often");
        refused("~SEQ(A,1,1000) ~SEQ(B,1,1000) ~SEQ(C,1,1000)", "which is too much");
        refused("~SEQ(A,1,9999999999) x", "this repeats its line 9999999999 times");
        let lines: String =
            (1..=20).map(|n| format!("$L{n}= \\\n{}z\n", format!("$L{} \\\n", n - 1).repeat(10))).collect();
        refused(&format!("$L0=y\n{lines}$L20"), "used too often");
        refused(&format!("$A={}\n~SEQ(N,1,2000) ${{A}}", "a".repeat(1000)), "make too much text");
        refused(&"a b c\n".repeat(3000), "too many words");
        refused(&"a".repeat((1 << 20) + 1), "this line is longer than");
        refused(&format!("include {}", "{a,b}".repeat(20)), "the braces of this name make more than");
    }

    #[test]
    fn an_include_that_includes_twice_is_stopped() {
        let names: Vec<&'static str> = (0..40).map(|n| &*format!("/c/{n}").leak()).collect();
        let files: Vec<_> = names.iter().enumerate().map(|(n, name)| (*name, &*format!("include {0}\ninclude {0}\n", n + 1).leak())).collect();
        let (_, said) = expanded("include 0", &files);
        assert!(said.len() == 1 && said[0].contains("include each other more than 32 deep"), "{said:#?}");
    }
}
