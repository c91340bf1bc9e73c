//! The transition table, random operations, and a check beside a scripted server on one virtual clock.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const SETTINGS: Settings = Settings {
    delay_loop: Duration::from_secs(6),
    retry: 2,
    delay_before_retry: Duration::from_secs(1),
    timeout: Duration::from_secs(3),
    warmup: Duration::from_secs(6),
    steps: 1,
    pace: Pace::Loop,
    manner: Manner::Usual,
};

fn refused() -> Input {
    Input::Failed { reason: "connection refused".into() }
}

fn down() -> Verdict {
    Verdict::Down { reason: "connection refused".into() }
}

fn verdict(check: &mut Check) -> Option<Verdict> {
    match check.poll_output() {
        Some(Output::Verdict(verdict)) => Some(verdict),
        None => None,
        Some(probe @ Output::Probe { .. }) => panic!("unexpected {probe:?}"),
    }
}

fn in_standing(now: Instant, (standing, failures): (Standing, u32)) -> Check {
    let mut check = Check::new(now, SETTINGS, 0);
    check.handle_timeout(now);
    assert_eq!(check.poll_output(), Some(Output::Probe { step: 0, timeout: SETTINGS.timeout }));
    (check.standing, check.failures) = (standing, failures);
    check
}

#[test]
fn transition_table() {
    use Standing::{Down, Unknown, Up};
    let loop_ = SETTINGS.delay_loop;
    let retry = SETTINGS.delay_before_retry;
    let rows = [
        ((Unknown, 0), Input::Passed, (Up, 0), Some(Verdict::Up), loop_),
        ((Unknown, 0), refused(), (Down, 0), Some(down()), loop_),
        ((Unknown, 0), Input::Inconclusive, (Unknown, 0), None, loop_),
        ((Up, 0), Input::Passed, (Up, 0), None, loop_),
        ((Up, 0), refused(), (Up, 1), None, retry),
        ((Up, 1), refused(), (Up, 2), None, retry),
        ((Up, 2), refused(), (Down, 0), Some(down()), loop_),
        ((Up, 2), Input::Passed, (Up, 0), None, loop_),
        ((Up, 1), Input::Inconclusive, (Up, 1), None, loop_),
        ((Down, 0), Input::Passed, (Up, 0), Some(Verdict::Up), loop_),
        ((Down, 0), refused(), (Down, 0), None, loop_),
        ((Down, 0), Input::Inconclusive, (Down, 0), None, loop_),
    ];
    let now = Instant::now();
    for (before, input, after, said, rest) in rows {
        let row = format!("{before:?} + {input:?}");
        let mut check = in_standing(now, before);
        check.handle(now, input);
        assert_eq!((check.standing, check.failures), after, "{row}");
        assert_eq!(verdict(&mut check), said, "{row}");
        assert_eq!(check.next_deadline(), Some(now + rest), "{row}");
    }
}

#[test]
fn answers_while_resting_are_ignored() {
    let now = Instant::now();
    for input in [Input::Passed, refused(), Input::Inconclusive] {
        let mut check = Check::new(now, SETTINGS, u32::MAX);
        let before = check.next_deadline();
        check.handle(now, input);
        assert_eq!(check.standing, Standing::Unknown);
        assert_eq!(check.next_deadline(), before);
        assert_eq!(check.poll_output(), None);
    }
}

#[test]
fn a_timeout_too_early_or_while_probing_does_nothing() {
    let now = Instant::now();
    let mut check = Check::new(now, SETTINGS, 1 << 31);
    check.handle_timeout(now);
    assert_eq!(check.poll_output(), None);
    check.handle_timeout(now + SETTINGS.warmup);
    assert!(check.poll_output().is_some());
    check.handle_timeout(now + SETTINGS.warmup * 9);
    assert_eq!(check.poll_output(), None);
}

#[test]
fn the_first_probe_falls_within_the_warmup() {
    let now = Instant::now();
    let first = |random| Check::new(now, SETTINGS, random).next_deadline().unwrap() - now;
    assert_eq!(first(0), Duration::ZERO);
    assert_eq!(first(1 << 31), Duration::from_secs(3));
    assert!(first(u32::MAX) < Duration::from_secs(6) && first(u32::MAX) > Duration::from_millis(5999));
}

#[test]
fn retuning_keeps_the_standing_and_shortens_a_rest() {
    let now = Instant::now();
    let mut check = in_standing(now, (Standing::Down, 0));
    check.handle(now, refused());
    check.retune(Settings { delay_loop: Duration::from_secs(2), ..SETTINGS });
    assert_eq!(check.standing, Standing::Down);
    assert_eq!(check.next_deadline(), Some(now + Duration::from_secs(2)));
    check.retune(SETTINGS);
    assert_eq!(check.next_deadline(), Some(now + Duration::from_secs(2)));
}

/// A server that answers `true` or `false` from given seconds on.
fn run(script: &[(u64, bool)], settings: Settings, seconds: u64) -> Vec<(u64, Verdict)> {
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let mut check = Check::new(start, settings, 0);
    let mut now = start;
    let mut said = Vec::new();
    while let Some(at) = check.next_deadline().filter(|at| *at <= end) {
        now = now.max(at);
        check.handle_timeout(now);
        while let Some(output) = check.poll_output() {
            match output {
                Output::Verdict(verdict) => said.push(((now - start).as_secs(), verdict)),
                Output::Probe { timeout, .. } => {
                    let at = (now - start).as_secs();
                    let alive = script.iter().rev().find(|(from, _)| *from <= at).is_some_and(|(_, up)| *up);
                    if !alive {
                        now += timeout;
                    }
                    check.handle(now, if alive { Input::Passed } else { refused() });
                }
            }
        }
    }
    said
}

#[test]
fn a_server_that_dies_and_returns_on_the_virtual_clock() {
    // Probes at 0, 6, 12 pass; 18 (+3 lost), 22 (+3), 26 (+3) fail: down at 29. Next at 35, which passes.
    let said = run(&[(0, true), (13, false), (30, true)], SETTINGS, 60);
    assert_eq!(said, [(0, Verdict::Up), (29, down()), (35, Verdict::Up)]);
}

#[test]
fn a_server_that_is_dead_at_start_goes_down_at_once() {
    let said = run(&[(0, false)], SETTINGS, 600);
    assert_eq!(said, [(3, down())]);
}

#[test]
fn losses_within_the_retries_are_forgiven() {
    let said = run(&[(0, true), (6, false), (13, true)], SETTINGS, 60);
    assert_eq!(said, [(0, Verdict::Up)]);
}

/// The steps that are probed with these answers, each with the seconds to the next, and what is said.
fn steps(settings: Settings, answers: &[Input]) -> (Vec<(u32, u64)>, Vec<Verdict>) {
    let mut now = Instant::now();
    let mut check = Check::new(now, settings, 0);
    let (mut steps, mut said) = (Vec::new(), Vec::new());
    for answer in answers {
        check.handle_timeout(now);
        while let Some(output) = check.poll_output() {
            match output {
                Output::Verdict(verdict) => said.push(verdict),
                Output::Probe { step, .. } => {
                    check.handle(now, answer.clone());
                    let next = check.next_deadline().expect("it rests");
                    steps.push((step, (next - now).as_secs()));
                    now = next;
                }
            }
        }
    }
    (steps, said)
}

#[test]
fn a_round_of_several_steps_goes_on_while_they_pass() {
    let three = Settings { steps: 3, ..SETTINGS };
    let passed = || Input::Passed;
    let (probed, said) = steps(three, &[passed(), passed(), passed(), passed(), refused(), passed()]);
    assert_eq!(probed, [(0, 6), (1, 6), (2, 6), (0, 6), (1, 1), (1, 6)]);
    assert_eq!(
        said,
        [Verdict::Up],
        "a step that passes forgets its failures, and nothing is known before all pass"
    );
    let (probed, said) = steps(three, &[passed(), refused(), passed()]);
    assert_eq!(
        (probed, said),
        (vec![(0, 6), (1, 6), (1, 6)], vec![down()]),
        "the first failure decides alone"
    );
    let answers =
        [passed(), passed(), passed(), refused(), refused(), refused(), passed(), refused(), passed()];
    let (probed, said) = steps(three, &answers);
    let rests = [(0, 6), (1, 6), (2, 6), (0, 1), (0, 1), (0, 6), (0, 6), (0, 6), (0, 6)];
    assert_eq!((probed.as_slice(), said), (&rests[..], vec![Verdict::Up, down()]), "down, it begins anew");
}

#[test]
fn a_step_that_failed_must_pass_before_all_do() {
    let two = |pace| Settings { steps: 2, pace, retry: 0, ..SETTINGS };
    let passed = || Input::Passed;
    let answers = [passed(), refused(), refused(), passed(), passed(), passed()];
    let (probed, said) = steps(two(Pace::Loop), &answers);
    assert_eq!(probed, [(0, 6), (1, 6), (1, 6), (1, 6), (0, 6), (1, 6)]);
    assert_eq!(said, [down(), Verdict::Up]);
    let (probed, said) = steps(two(Pace::FastRecovery), &answers);
    assert_eq!(probed, [(0, 0), (1, 6), (1, 6), (1, 0), (0, 0), (1, 6)]);
    assert_eq!(said, [down(), Verdict::Up]);
    let (probed, said) = steps(two(Pace::AtOnce), &[passed(), refused(), passed(), passed()]);
    assert_eq!((probed, said), (vec![(0, 0), (1, 6), (0, 0), (1, 6)], vec![down(), Verdict::Up]));
}

/// The seconds from each probe to the next.
fn rests(settings: Settings, answers: &[Input]) -> (Vec<u64>, Vec<Verdict>) {
    let (probed, said) = steps(settings, answers);
    (probed.into_iter().map(|(_, rest)| rest).collect(), said)
}

#[test]
fn each_kind_has_its_own_way_while_a_server_is_down() {
    let of = |manner| Settings { manner, ..SETTINGS };
    let from_start = [refused(), refused(), refused(), refused(), Input::Passed, Input::Passed];
    let both = vec![down(), Verdict::Up];
    assert_eq!(rests(of(Manner::Usual), &from_start), (vec![6, 6, 6, 6, 6, 6], both.clone()));
    assert_eq!(rests(of(Manner::Bursts), &from_start), (vec![6, 1, 1, 6, 6, 6], both.clone()));
    assert_eq!(rests(of(Manner::BurstsFromStart), &from_start), (vec![1, 1, 6, 1, 6, 6], both.clone()));
    let slow = Settings { delay_before_retry: Duration::from_secs(9), retry: 1, ..of(Manner::Pages) };
    let answers = [Input::Passed, refused(), refused(), refused(), Input::Passed, refused()];
    assert_eq!(rests(slow, &answers), (vec![6, 9, 9, 9, 6, 9], vec![Verdict::Up, down()]));
    let answers = [refused(), Input::Passed, Input::Passed, refused(), Input::Passed];
    assert_eq!(rests(slow, &answers), (vec![9, 6, 6, 9, 6], both));
    let fast = Settings { pace: Pace::FastRecovery, ..slow };
    assert_eq!(rests(fast, &[refused(), Input::Passed, Input::Passed]).0, [9, 0, 6]);
}

#[test]
fn a_program_is_run_again_so_long_after_its_beginning() {
    let start = Instant::now();
    let mut check = Check::new(start, Settings { manner: Manner::Programs, ..SETTINGS }, 0);
    let mut run = |begin: u64, end: u64, input| {
        check.handle_timeout(start + Duration::from_secs(begin));
        check.handle(start + Duration::from_secs(end), input);
        check.next_deadline().map(|at| (at - start).as_secs())
    };
    assert_eq!(run(0, 2, Input::Passed), Some(6));
    assert_eq!(run(6, 20, Input::Passed), Some(20), "at once where it took longer");
    assert_eq!(run(20, 22, refused()), Some(22), "a retry too");
}

#[test]
fn the_pace_between_steps_is_another_where_it_is_wanted() {
    let two = |pace| Settings { steps: 2, pace, ..SETTINGS };
    let passed = [Input::Passed, Input::Passed, Input::Passed, Input::Passed];
    assert_eq!(steps(two(Pace::FastRecovery), &passed).0, [(0, 0), (1, 6), (0, 6), (1, 6)]);
    assert_eq!(steps(two(Pace::AtOnce), &passed).0, [(0, 0), (1, 6), (0, 0), (1, 6)]);
}

#[test]
fn another_weight_is_said_once_and_so_is_its_end() {
    let weighs = |share| Input::PassedWith(share);
    let answers =
        [weighs(Share::To(7)), weighs(Share::To(7)), weighs(Share::By(-3)), Input::Passed, Input::Passed];
    let (_, said) = steps(SETTINGS, &answers);
    assert_eq!(said, [Verdict::UpWith(Share::To(7)), Verdict::UpWith(Share::By(-3)), Verdict::Up]);
}

#[derive(Debug, Clone)]
enum Operation {
    Wait(u64),
    Answer(Input),
    Retune(u64, u32),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (0..10_000u64).prop_map(Operation::Wait),
        prop_oneof![Just(Input::Passed), Just(refused()), Just(Input::Inconclusive)]
            .prop_map(Operation::Answer),
        (0..10_000u64, 0..4u32).prop_map(|(delay, retry)| Operation::Retune(delay, retry)),
    ]
}

proptest! {
    #[test]
    fn random_operations(random: u32, operations in prop::collection::vec(operation(), 1..200)) {
        let mut now = Instant::now();
        let mut check = Check::new(now, SETTINGS, random);
        let mut settings = SETTINGS;
        let mut probing = false;
        let mut failures = 0;
        let mut last: Option<Verdict> = None;
        for operation in operations {
            match operation {
                Operation::Wait(millis) => now += Duration::from_millis(millis),
                Operation::Answer(input) => {
                    match &input {
                        Input::Passed if probing => failures = 0,
                        Input::Failed { .. } if probing => failures += 1,
                        _ => {}
                    }
                    check.handle(now, input);
                    probing = false;
                }
                Operation::Retune(delay, retry) => {
                    settings = Settings { delay_loop: Duration::from_millis(delay), retry, ..settings };
                    check.retune(settings);
                }
            }
            let due = check.next_deadline().is_some_and(|at| at <= now);
            check.handle_timeout(now);
            while let Some(output) = check.poll_output() {
                match output {
                    Output::Probe { .. } => {
                        prop_assert!(due && !probing, "only a due probe, and one at a time");
                        probing = true;
                    }
                    Output::Verdict(verdict) => {
                        prop_assert_ne!(last.as_ref(), Some(&verdict), "verdicts alternate");
                        match &verdict {
                            Verdict::Up => prop_assert_eq!(failures, 0),
                            Verdict::UpWith(_) => prop_assert!(false, "nobody wants another weight"),
                            Verdict::Down { .. } => prop_assert!(last.is_none() || failures > settings.retry),
                        }
                        last = Some(verdict);
                    }
                }
            }
            prop_assert_eq!(check.next_deadline().is_none(), probing, "a deadline or a probe, never neither");
            if let Some(at) = check.next_deadline() {
                let longest = settings.delay_loop.max(SETTINGS.delay_loop).max(Duration::from_secs(10));
                prop_assert!(at <= now + longest);
            }
        }
    }
}

#[test]
fn a_suspension_keeps_what_is_known_and_the_beat() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut check = in_standing(start, (Standing::Up, 0));
    check.handle(start, refused());
    check.suspend();
    assert_eq!(check.next_deadline(), None);
    check.handle_timeout(at(1));
    assert_eq!(check.poll_output(), None, "the retry due at 1 s is not made");
    // Put off from 1 s by the 6 s between two rounds, and again.
    check.resume(at(8));
    assert_eq!(check.next_deadline(), Some(at(13)));
    check.resume(at(9));
    assert_eq!(check.next_deadline(), Some(at(13)), "it is awake already");
    check.handle_timeout(at(13));
    assert!(check.poll_output().is_some());
    // What is under way when it is suspended counts, here as the second of two that are forgiven.
    check.suspend();
    check.handle(at(13), refused());
    assert_eq!((check.failures, check.poll_output()), (2, None));
    check.resume(at(14));
    assert_eq!(check.next_deadline(), Some(at(14)), "due just now");
    check.handle_timeout(at(14));
    assert!(check.poll_output().is_some());
    check.handle(at(14), refused());
    assert_eq!(verdict(&mut check), Some(down()));
}
