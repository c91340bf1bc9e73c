use super::*;

#[test]
fn builtins_are_there() {
    gives("a ${_PWD}/x $_INSTANCE \"${_HASH}b ${_BANG}\" ${_ENV HOME}", "a /c/x main #b ! /root");
    gives("$A=\"a${_HASH}\" # b\n$A", "a#");
    says(
        "x \"y\" ${_BANG}z",
        "x y !z",
        "t:1:7: warning: `${_BANG}` outside of quotes starts a comment in keepalived 2.2",
    );
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
        assert!(
            said.len() == 1 && said[0].starts_with("t:1:3: error: `${_") && said[0].contains(what),
            "{said:#?}"
        );
    }
}
