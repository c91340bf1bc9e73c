use super::*;

/// Asserts that `text` is refused for this reason, and that nothing of it is left.
#[track_caller]
fn refused(text: &str, what: &str) {
    let small = Budget { uses: 10_000, bytes: 1 << 20, words: 10_000 };
    let (words, said) = expanded_within(small, text, &[]);
    assert!(
        words.is_empty() && said.len() == 1 && said[0].contains(": error: ") && said[0].contains(what),
        "{said:#?}"
    );
}

#[test]
fn a_variable_in_itself_is_an_error() {
    refused("$A=${B}\n$B=x ${A}\ny ${A}", "more than 32 deep");
    refused("$A=$A 1\n$A", "more than 32 deep");
    refused("$M= \\\na \\\n$M\n$M", "more than 32 deep");
    refused("$M= \\\n$M \\\na\nx $M", "more than 32 deep");
    refused(&format!("x {}A{}", "${".repeat(200), "}".repeat(200)), "more than 32 deep");
    let chain: Vec<_> = (1..=30).map(|n| format!("$A{n}=${{A{}}}\n", n - 1)).collect();
    let chain = chain.concat();
    gives(&format!("$A0=x\n{chain}a ${{A30}}"), "a x");
}

#[test]
fn a_word_of_many_variables_is_not_deep() {
    gives(&format!("$A=x\n{}", "${A}".repeat(100)), &"x".repeat(100));
}

#[test]
fn a_few_lines_do_not_fill_the_memory() {
    let laughs: Vec<_> =
        (1..=20).map(|n| format!("$A{n}={}\n", format!("${{A{}}}", n - 1).repeat(10))).collect();
    let laughs = laughs.concat();
    refused(&format!("$A0=ha\n{laughs}x ${{A20}}"), "variables and lists are used too often");
    refused("~SEQ(A,1,1000) ~SEQ(B,1,1000) ~SEQ(C,1,1000)", "which is too much");
    refused("~SEQ(A,1,9999999999) x", "this repeats its line 9999999999 times");
    let lines: Vec<_> =
        (1..=20).map(|n| format!("$L{n}= \\\n{}z\n", format!("$L{} \\\n", n - 1).repeat(10))).collect();
    let lines = lines.concat();
    refused(&format!("$L0=y\n{lines}$L20"), "too many words");
    refused(&format!("$A={}\n~SEQ(N,1,2000) ${{A}}", "a".repeat(1000)), "make too much text");
    refused(&"a b c\n".repeat(3000), "too many words");
    refused(&"a".repeat((1 << 20) + 1), "this line is longer than");
    refused(&format!("include {}", "{a,b}".repeat(20)), "the braces of this name make more than");
}

#[test]
fn an_include_that_includes_twice_is_stopped() {
    let names: Vec<&'static str> = (0..40).map(|n| &*format!("/c/{n}").leak()).collect();
    let files: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(n, name)| (*name, &*format!("include {0}\ninclude {0}\n", n + 1).leak()))
        .collect();
    let (_, said) = expanded("include 0", &files);
    assert!(said.len() == 1 && said[0].contains("include each other more than 32 deep"), "{said:#?}");
}
