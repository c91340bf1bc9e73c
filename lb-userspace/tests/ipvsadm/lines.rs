//! Command lines from the grammar: some that hold, some that nearly do, some that are mangled.

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};

use crate::pools::{ADDRESSES, COMMANDS, FLAGS, NUMBERS, SCHEDULERS, SERVERS, SERVICES, SWITCHES, VALUED};

/// The words of a command line, and what it finds on its standard input.
pub(crate) struct Line {
    pub(crate) words: Vec<String>,
    pub(crate) input: String,
}

pub(crate) fn line(rng: &mut StdRng) -> Line {
    let words = words(rng);
    let input = if words.first().is_some_and(|word| word == "-R" || word == "--restore") {
        script(rng)
    } else {
        String::new()
    };
    Line { words, input }
}

fn script(rng: &mut StdRng) -> String {
    let mut input = String::new();
    for _ in 0..rng.random_range(0..5) {
        if rng.random_bool(0.2) {
            input.push_str(
                ["\n", " \n", "# \n", "ipvsadm ", "\t", "\"\" ", "x\0y "].choose(rng).expect("some"),
            );
        }
        input.push_str(&words(rng).join(["\t", " ", "  ", " "].choose(rng).expect("some")));
        input.push_str(["\n", "\n", "\r\n", " \n", ""].choose(rng).expect("some"));
    }
    input
}

fn words(rng: &mut StdRng) -> Vec<String> {
    let mut words = match rng.random_range(0..14) {
        0..4 => command_of_service(rng),
        4..8 => command_of_server(rng),
        8..11 => listing(rng),
        11 => daemon(rng),
        12 => simple(rng),
        _ => anything(rng),
    };
    if rng.random_bool(0.25) {
        for _ in 0..rng.random_range(1..3) {
            let place = rng.random_range(0..=words.len());
            words.splice(place..place, option(rng));
        }
    }
    if rng.random_bool(0.2) {
        mangle(&mut words, rng);
    }
    words
}

fn pick(from: &[&str], rng: &mut StdRng) -> String {
    (*from.choose(rng).expect("there is something to pick")).to_owned()
}

fn service(rng: &mut StdRng) -> Vec<String> {
    if rng.random_bool(0.1) {
        let (option, values) = VALUED[rng.random_range(0..4)];
        return vec![option.to_owned(), pick(values, rng)];
    }
    SERVICES.choose(rng).expect("some").iter().map(|word| (*word).to_owned()).collect()
}

fn command_of_service(rng: &mut StdRng) -> Vec<String> {
    let mut words = vec![pick(&["-A", "-A", "-A", "-E", "-D", "-Z"], rng)];
    let mut options = vec![service(rng)];
    if words[0] == "-A" || words[0] == "-E" {
        let mut maybe = |option: &str, values: &[&str], chance: f64| {
            if rng.random_bool(chance) {
                options.push(vec![option.to_owned(), pick(values, rng)]);
            }
        };
        maybe("-s", SCHEDULERS, 0.5);
        maybe("-p", &["50", "300", "0"], 0.3);
        maybe("-M", &["255.255.255.0", "64", "24"], 0.2);
        maybe("-b", FLAGS, 0.2);
        maybe("--pe", &["sip"], 0.1);
        if rng.random_bool(0.2) {
            options.push(vec![pick(&["-o", "--ops", "-p"], rng)]);
        }
    }
    if rng.random_bool(0.5) {
        options.shuffle(rng);
    }
    words.extend(options.concat());
    words
}

fn command_of_server(rng: &mut StdRng) -> Vec<String> {
    let mut words = vec![pick(&["-a", "-a", "-a", "-e", "-d"], rng)];
    let mut options = vec![service(rng)];
    let server = if rng.random_bool(0.1) { pick(ADDRESSES, rng) } else { pick(SERVERS, rng) };
    options.push(vec!["-r".to_owned(), server]);
    if words[0] != "-d" {
        let mut maybe = |words: &[&str], values: &[&str], chance: f64| {
            if rng.random_bool(chance) {
                let mut option = vec![pick(words, rng)];
                if !values.is_empty() {
                    option.push(pick(values, rng));
                }
                options.push(option);
            }
        };
        maybe(&["-g", "-i", "-m"], &[], 0.6);
        maybe(&["-w", "--weight"], &["0", "1", "100", "65536"], 0.5);
        maybe(&["-x"], &["0", "5", "10"], 0.2);
        maybe(&["-y"], &["0", "5", "10"], 0.2);
        maybe(&["--tun-type"], &["ipip", "gue", "gre"], 0.2);
        maybe(&["--tun-port"], &["6080", "1"], 0.15);
        maybe(&["--tun-nocsum", "--tun-csum", "--tun-remcsum"], &[], 0.15);
    }
    if rng.random_bool(0.5) {
        options.shuffle(rng);
    }
    words.extend(options.concat());
    words
}

fn listing(rng: &mut StdRng) -> Vec<String> {
    let mut words = vec![pick(&["-L", "-l", "-Ln", "-ln", "-S", "-Sn", "--list", "-Lnc"], rng)];
    for _ in 0..rng.random_range(0..3) {
        words.push(pick(SWITCHES, rng));
    }
    if rng.random_bool(0.2) {
        words.extend(service(rng));
    }
    words
}

fn daemon(rng: &mut StdRng) -> Vec<String> {
    let mut words = vec![
        pick(&["--start-daemon", "--start-daemon", "--stop-daemon"], rng),
        pick(&["master", "backup", "master", "backup", "nosuch"], rng),
    ];
    if rng.random_bool(0.2) {
        words = vec![words.join("=")];
    }
    for _ in 0..rng.random_range(0..3) {
        let (option, values) = VALUED[VALUED.len() - 6..].choose(rng).expect("some");
        words.extend([(*option).to_owned(), pick(values, rng)]);
    }
    words
}

fn simple(rng: &mut StdRng) -> Vec<String> {
    match rng.random_range(0..5) {
        0 => vec![pick(COMMANDS, rng)],
        1 => vec![],
        2 => vec![pick(&["-Z", "-S", "-R", "-R", "-R"], rng)],
        _ => {
            let count = if rng.random_bool(0.8) { 3 } else { rng.random_range(0..5) };
            let mut words = vec!["--set".to_owned()];
            words.extend((0..count).map(|_| {
                if rng.random_bool(0.8) { pick(&["0", "60", "900"], rng) } else { pick(NUMBERS, rng) }
            }));
            words
        }
    }
}

fn anything(rng: &mut StdRng) -> Vec<String> {
    let mut words = if rng.random_bool(0.8) { vec![pick(COMMANDS, rng)] } else { Vec::new() };
    for _ in 0..rng.random_range(0..5) {
        words.extend(option(rng));
    }
    words
}

/// One option of any command, written in any of the ways.
fn option(rng: &mut StdRng) -> Vec<String> {
    if rng.random_bool(0.4) {
        return vec![pick(SWITCHES, rng)];
    }
    let (option, values) = VALUED.choose(rng).expect("some");
    let value = pick(values, rng);
    match rng.random_range(0..4) {
        0 => vec![format!("{option}={value}")],
        1 if !option.starts_with("--") => vec![format!("{option}{value}")],
        _ => vec![(*option).to_owned(), value],
    }
}

fn mangle(words: &mut Vec<String>, rng: &mut StdRng) {
    if words.is_empty() {
        words.push(pick(&["", "-", "--", "---", "-?", "foo", "--=", "-="], rng));
        return;
    }
    let place = rng.random_range(0..words.len());
    match rng.random_range(0..8) {
        0 => drop(words.remove(place)),
        1 => words.insert(place, words[place].clone()),
        2 => words.swap(0, place),
        3 => words.push(pick(&["", "-", "--", "foo", "-q", "--nosuch", "--stats=1", "-n=", "--num"], rng)),
        4 => words.insert(place, pick(&["-", "--", "foo", "--=x"], rng)),
        5 if place > 0 => {
            let word = words.remove(place);
            words[place - 1].push_str(word.trim_start_matches('-'));
        }
        _ => {
            let word = &mut words[place];
            let at = rng.random_range(0..=word.len());
            if at < word.len() && rng.random_bool(0.5) {
                word.remove(at);
            } else {
                word.insert(at, *['-', '=', 'n', '0', ':', ']', 'L', ' ', '.'].choose(rng).expect("some"));
            }
        }
    }
}
