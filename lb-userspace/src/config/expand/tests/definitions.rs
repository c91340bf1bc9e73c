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
    gives(
        "$M= \\\na \\\nb\n$N=$M\n$N\n$O=x $M\n$O\n$P= \\\nc $M \\\n$M \\\nd\n$P",
        "a / b / x a / b / c a / b / a / b / d",
    );
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
