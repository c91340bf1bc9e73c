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
    includes(
        "include {d/{a,x},c}.{conf,txt}",
        &files,
        "d / c",
        &["t:1:9: warning: there is no file `d/a.txt`"],
    );
    includes("include */a.conf", &files, "d", &[]);
}

#[test]
fn a_block_may_begin_in_one_file_and_end_in_another() {
    let files = [("/c/open", "v {\n $A=1"), ("/c/close", "${A}\n}")];
    includes("include open\nw\ninclude close\nx $A", &files, "v { / w / 1 / } / x 1", &[]);
    includes(
        "v { include close",
        &files,
        "v { / ${A} / }",
        &["/c/close:1:1: warning: `${A}` stays as it is"],
    );
}

#[test]
fn includes_are_made_of_variables_too() {
    let files = [("/c/a", "a ${N}")];
    includes(
        "$F=a\n$I=include $F\n@main include ${F}\n$I\n$N=3\n$I\nx include a",
        &files,
        "a ${N} / a ${N} / a 3 / x include a",
        &["/c/a:1:3: warning"],
    );
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
        ("", "EEEEEE"),
        ("a", "------"),
    ] {
        for (keyword, wanted) in
            ["include", "includer", "includem", "includew", "includeb", "includea"].iter().zip(errors.chars())
        {
            let files = [("/c/a", ""), ("/c/dir", "unfit")];
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
    let files = [
        ("/c/a", "include nosuch\ninclude_check -match -wildcard_match"),
        ("/c/b", "include_check\ninclude nosuch*"),
    ];
    let missing = "error: there is no file `nosuch`";
    let demanding = "include_check +match\n";
    includes(
        &format!("{demanding}include a\ninclude nosuch"),
        &files,
        "include_check +match / include_check -match -wildcard_match",
        &[&format!("/c/a:1:9: {missing}"), &format!("t:3:9: {missing}")],
    );
    includes(
        "include b\ninclude nosuch",
        &files,
        "include_check",
        &["/c/b:2:9: error: no file fits `nosuch*`", "t:2:9: warning: there is no file"],
    );
    includes("include_check readable\ninclude nosuch", &[], "include_check readable", &["t:2:9: warning"]);
    includes("include_check mach", &[], "include_check mach", &["t:1:1: warning: `mach` is nothing"]);
}

#[test]
fn a_loop_is_an_error_that_shows_its_way() {
    let files = [("/c/a", "a\ninclude b"), ("/c/b", "include a"), ("/c/self", "x\ninclude self")];
    includes(
        "include a\nz",
        &files,
        "",
        &["/c/b:1:9: error: a file includes itself: /c/a includes /c/b includes /c/a"],
    );
    includes(
        "include self",
        &files,
        "",
        &["/c/self:2:9: error: a file includes itself: /c/self includes /c/self"],
    );
    includes("include t", &[("/c/t", "")], "", &["t:1:9: error: a file includes itself: /c/t includes /c/t"]);
}
