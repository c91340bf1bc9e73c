//! One call of the program: what it prints, and its exit status.

use std::fmt::{Display, Write as _};

use super::{
    by_hand::Impossible,
    command::Command,
    help::help,
    names::Names,
    parse::{Refusal, parse},
    print::{VERSION, list, save},
    table::Table,
};

/// What a C program's -1 is to who called it.
const FAILED: u8 = 255;
/// A command line that cannot be.
const ILLEGAL: u8 = 2;
/// A service that was to be listed and is not there.
const UNLISTED: u8 = 1;

/// What a call leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit status.
    pub status: u8,
    /// The commands that changed something, or would have had anything been there.
    pub changes: Vec<Command>,
}

/// Whether a command that the table allows may be followed.
type Allow = fn(&Command) -> Result<(), Impossible>;

/// Does what `ipvsadm`, called by the name `program`, does to `table`; `input` is its standard input, which only `-R` reads.
pub fn run(program: &str, words: &[String], input: &str, table: &mut Table, names: &impl Names) -> Outcome {
    run_for(program, words, input, table, names, |_| Ok(()))
}

/// The same where not everything is allowed that the kernel would do.
pub fn run_for(
    program: &str,
    words: &[String],
    input: &str,
    table: &mut Table,
    names: &impl Names,
    allow: Allow,
) -> Outcome {
    let mut call = Call { program, table, names, allow, outcome: Outcome::default() };
    match parse(program, words, names) {
        Ok(Command::Restore) => call.restore(input),
        Ok(command) => _ = call.execute(&command),
        Err(refusal) => _ = call.refuse(&refusal),
    }
    call.outcome
}

/// Whether lines that follow are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    End,
}

struct Call<'a, N> {
    program: &'a str,
    table: &'a mut Table,
    names: &'a N,
    allow: Allow,
    outcome: Outcome,
}

impl<N: Names> Call<'_, N> {
    /// Every line is a command of its own, and the last one's status is that of all.
    fn restore(&mut self, input: &str) {
        for line in input.split('\n') {
            let words = words(line);
            if words.is_empty() {
                continue;
            }
            let flow = match parse(self.program, &words, self.names) {
                Ok(Command::Restore) => self.refuse(&Refusal::NoCommand(self.program.to_owned())),
                Ok(command) => self.execute(&command),
                Err(refusal) => self.refuse(&refusal),
            };
            if flow == Flow::End {
                return;
            }
        }
    }

    fn execute(&mut self, command: &Command) -> Flow {
        self.outcome.status = 0;
        if let Err(impossible) = (self.allow)(command) {
            self.complain(&impossible);
            self.outcome.status = FAILED;
            return Flow::On;
        }
        let out = &mut self.outcome.stdout;
        let done = match command {
            Command::Help => {
                out.push_str(&help(self.program));
                return Flow::End;
            }
            Command::Version => {
                out.push_str(VERSION);
                out.push('\n');
                return Flow::End;
            }
            Command::List(listing) => list(self.table, listing, self.names).map(|text| out.push_str(&text)),
            Command::Save { numeric } => {
                out.push_str(&save(self.table, *numeric, self.names));
                Ok(())
            }
            change => self.table.apply(change).map(|()| self.outcome.changes.push(change.clone())),
        };
        let Err(denial) = done else { return Flow::On };
        self.complain(&denial);
        if matches!(command, Command::List(_)) {
            self.outcome.status = UNLISTED;
            return Flow::End;
        }
        self.outcome.status = FAILED;
        Flow::On
    }

    fn complain(&mut self, what: &impl Display) {
        let _infallible = writeln!(self.outcome.stderr, "{what}");
    }

    fn refuse(&mut self, refusal: &Refusal) -> Flow {
        self.complain(refusal);
        let (status, flow) = match refusal {
            Refusal::NoCommand(_) => (FAILED, Flow::End),
            Refusal::NoOption { .. } => (FAILED, Flow::On),
            Refusal::Illegal(_) => (ILLEGAL, Flow::End),
        };
        self.outcome.status = status;
        flow
    }
}

/// The words of a line of `-R`: there are no quotes and no comments, and the program's name is no word.
fn words(line: &str) -> Vec<String> {
    let words = line.split([' ', '\t', '\r']).filter(|word| !word.is_empty() && *word != "ipvsadm");
    // A word ends for C where it has a zero.
    words.map(|word| word.split('\0').next().unwrap_or_default().to_owned()).collect()
}
