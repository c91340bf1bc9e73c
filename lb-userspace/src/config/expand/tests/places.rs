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
    let text =
        format!("$ID=30${{X}}\n$X=0\nvrrp_instance A {{\n virtual_router_id ${{ID}} # é\n {INSTANCE}}}\n");
    let said = said(&text, &[]);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].starts_with("t:4:20: error: `300` is out of range"), "{said:#?}");
    assert!(
        said[0].ends_with("(`${X}` is `0` here, set in t:2:1; `${ID}` is `30${X}` here, set in t:1:1)"),
        "{said:#?}"
    );
}

#[test]
fn a_word_of_several_parts_is_pointed_to_whole() {
    let text = format!("$A=1\n$B=2\nvrrp_instance A {{\n virtual_router_id 9${{A}}x${{B}}y\n {INSTANCE}}}\n");
    let said = said(&text, &[]);
    assert!(said[0].starts_with("t:4:20: error: `91x2y` is not"), "{said:#?}");
    assert!(
        said[0].ends_with("(`${B}` is `2` here, set in t:2:1; `${A}` is `1` here, set in t:1:1)"),
        "{said:#?}"
    );
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
    let text = format!(
        "{text} {INSTANCE}}}\nvrrp_instance B {{\n virtual_router_id 2\n authentication {{\n auth_type PASS\n $LINE\n }}\n {INSTANCE}}}\n"
    );
    let files = Map(BTreeMap::new());
    let parsed = parse_in(testing::world(&files), "t", &text);
    let said = format!("{:?}", said(&text, &[])) + &crate::config::render(&parsed);
    assert!(said.contains("does not take a second word") && said.contains("`${PW}` is"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn another_line_of_another_file_is_named() {
    let files = [("/c/a", "\ninterface eth0\n")];
    let said =
        said(&format!("vrrp_instance A {{\n include a\n virtual_router_id 1\n {INSTANCE}}}\n"), &files);
    assert_eq!(
        said,
        [
            "t:4:2: warning: `interface` was given in line 2 already; the last one counts (that line is /c/a:2:1)"
        ]
    );
}
