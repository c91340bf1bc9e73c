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
