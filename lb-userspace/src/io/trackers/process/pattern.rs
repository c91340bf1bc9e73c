//! Owns which processes a `vrrp_track_process` means.

use crate::config::model::vrrp::{ParamMatch, TrackProcess};

/// The kernel cuts the names of processes to this many bytes.
const NAME: usize = 15;

/// What a process must be called.
#[derive(Debug)]
pub(super) struct Pattern {
    program: Vec<u8>,
    arguments: Vec<Vec<u8>>,
    params: ParamMatch,
    command_line: bool,
}

impl Pattern {
    /// Arguments can be compared only in the command line, so there the whole of it counts.
    pub(super) fn new(process: &TrackProcess) -> Self {
        let mut words = process.words.iter().map(|word| word.clone().into_bytes());
        Self {
            program: words.next().unwrap_or_default(),
            arguments: words.collect(),
            params: process.params,
            command_line: process.full_command || process.params != ParamMatch::None,
        }
    }

    /// Whether [`Self::matches`] looks at command lines, and not at names.
    pub(super) fn needs_command_line(&self) -> bool {
        self.command_line
    }

    /// Whether this is it: `name` as in `/proc/PID/comm`, `command_line` as in `/proc/PID/cmdline`.
    pub(super) fn matches(&self, name: &[u8], command_line: &[u8]) -> bool {
        if !self.command_line {
            return name == &self.program[..self.program.len().min(NAME)];
        }
        let command_line = command_line.strip_suffix(b"\0").unwrap_or(command_line);
        let mut words = command_line.split(|&byte| byte == 0);
        if words.next() != Some(&self.program[..]) {
            return false;
        }
        let arguments: Vec<_> = words.collect();
        match self.params {
            ParamMatch::None => true,
            ParamMatch::Exact => arguments == self.arguments,
            ParamMatch::Partial => begins(&arguments, &self.arguments),
            ParamMatch::Initial => self.arguments.split_last().is_none_or(|(last, others)| {
                begins(&arguments, others)
                    && arguments.get(others.len()).is_some_and(|word| word.starts_with(last))
            }),
        }
    }
}

fn begins(arguments: &[&[u8]], first: &[Vec<u8>]) -> bool {
    arguments.len() >= first.len() && arguments.iter().zip(first).all(|(argument, wanted)| argument == wanted)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Pattern;
    use crate::config::Span;
    use crate::config::model::vrrp::{ParamMatch, TrackProcess};

    #[test]
    fn a_name_is_compared_as_far_as_the_kernel_keeps_it() {
        let short = pattern(&["nginx"], ParamMatch::None, false);
        assert!(short.matches(b"nginx", b"/usr/sbin/nginx\0-g\0"));
        assert!(!short.matches(b"nginx-debug", b""));
        let long = pattern(&["a-name-beyond-fifteen"], ParamMatch::None, false);
        assert!(long.matches(b"a-name-beyond-f", b""));
        assert!(!long.matches(b"a-name-beyond-", b""));
    }

    #[test]
    fn a_full_command_is_the_first_word_of_the_command_line() {
        let full = pattern(&["/usr/sbin/nginx"], ParamMatch::None, true);
        assert!(full.matches(b"anything", b"/usr/sbin/nginx\0-g\0"));
        assert!(full.matches(b"anything", b"/usr/sbin/nginx\0"));
        assert!(!full.matches(b"nginx", b"nginx\0"));
        assert!(!full.matches(b"nginx", b""));
    }

    #[test]
    fn parameters_are_compared_as_asked_for() {
        let cases: [(&[u8], [bool; 3]); 6] = [
            (b"p\0-a\0-bc\0", [true, true, true]),
            (b"p\0-a\0-bc\0-d\0", [false, true, true]),
            (b"p\0-a\0-bcd\0", [false, false, true]),
            (b"p\0-a\0", [false, false, false]),
            (b"p\0", [false, false, false]),
            (b"q\0-a\0-bc\0", [false, false, false]),
        ];
        for (line, expected) in cases {
            let found = [ParamMatch::Exact, ParamMatch::Partial, ParamMatch::Initial]
                .map(|params| pattern(&["p", "-a", "-bc"], params, false).matches(b"", line));
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(line));
        }
        let none = pattern(&["p"], ParamMatch::Exact, false);
        assert!(none.matches(b"", b"p\0"));
        assert!(!none.matches(b"", b"p\0-a\0"));
    }

    fn pattern(words: &[&str], params: ParamMatch, full_command: bool) -> Pattern {
        Pattern::new(&TrackProcess {
            weight: 0,
            reverse: false,
            name: "p".to_owned(),
            words: words.iter().map(|&word| word.to_owned()).collect(),
            params,
            full_command,
            quorum: 1,
            quorum_max: None,
            fork_delay: Duration::ZERO,
            terminate_delay: Duration::ZERO,
            span: Span::default(),
        })
    }
}
