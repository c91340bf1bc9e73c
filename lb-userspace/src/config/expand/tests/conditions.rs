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
