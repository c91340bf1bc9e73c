use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn settings(rise: u32, fall: u32) -> Settings {
    Settings { interval: SECOND, timeout: SECOND, rise, fall, init_fail: false }
}

/// Runs a script once for each result, each taking a tenth of a second, and collects the changes.
fn changes(script: &mut Script, now: &mut Instant, results: &[Input]) -> Vec<Option<Output>> {
    results
        .iter()
        .map(|&result| {
            *now = (*now).max(script.next_deadline().unwrap());
            script.handle_timeout(*now);
            assert!(matches!(script.poll_output(), Some(Output::Run { .. })));
            *now += SECOND / 10;
            script.handle(*now, result);
            script.poll_output()
        })
        .collect()
}

use Input::{Failed, Inconclusive, Passed};
use Output::{Down, Up};

#[test]
fn it_goes_down_after_fall_failures_and_up_after_rise_successes_in_a_row() {
    let mut now = Instant::now();
    let mut script = Script::new(now, settings(2, 3));
    let results = [
        Passed,
        Failed,
        Failed,
        Passed,
        Failed,
        Failed,
        Inconclusive,
        Failed,
        Passed,
        Failed,
        Passed,
        Passed,
    ];
    let expected = [Some(Up), None, None, None, None, None, None, Some(Down), None, None, None, Some(Up)];
    assert_eq!(changes(&mut script, &mut now, &results), expected);
}

#[test]
fn the_first_result_decides_alone() {
    let mut now = Instant::now();
    let mut script = Script::new(now, settings(5, 5));
    assert_eq!(changes(&mut script, &mut now, &[Failed]), [Some(Down)]);
    let mut script = Script::new(now, settings(5, 5));
    assert_eq!(changes(&mut script, &mut now, &[Passed]), [Some(Up)]);
}

#[test]
fn one_that_begins_failed_needs_all_its_successes() {
    let mut now = Instant::now();
    let mut script = Script::new(now, Settings { init_fail: true, ..settings(2, 1) });
    assert_eq!(changes(&mut script, &mut now, &[Failed, Passed, Passed]), [None, None, Some(Up)]);
}

#[test]
fn starts_keep_in_step_whatever_a_run_takes() {
    let start = Instant::now();
    let mut script = Script::new(start, settings(1, 1));
    assert_eq!(script.next_deadline(), Some(start));
    script.handle_timeout(start);
    assert_eq!(script.next_deadline(), None, "it runs");
    script.handle(start + SECOND / 4, Passed);
    assert_eq!(script.next_deadline(), Some(start + SECOND));
    script.handle_timeout(start + SECOND);
    script.handle(start + SECOND * 7 / 2, Failed);
    assert_eq!(script.next_deadline(), Some(start + SECOND * 4), "the starts it ran through are left out");
}

#[test]
fn a_late_start_does_not_shift_those_after_it() {
    let start = Instant::now();
    let mut script = Script::new(start, settings(1, 1));
    script.handle_timeout(start + SECOND / 2);
    script.handle(start + SECOND * 3 / 4, Passed);
    assert_eq!(script.next_deadline(), Some(start + SECOND));
}

#[test]
fn a_run_is_asked_for_once_and_answered_once() {
    let now = Instant::now();
    let mut script = Script::new(now, settings(1, 1));
    script.handle(now, Failed);
    assert_eq!(script.poll_output(), None, "nothing runs");
    script.handle_timeout(now);
    script.handle_timeout(now + SECOND * 5);
    assert_eq!(script.poll_output(), Some(Output::Run { timeout: SECOND }));
    assert_eq!(script.poll_output(), None);
    script.handle(now + SECOND, Failed);
    script.handle(now + SECOND, Passed);
    assert_eq!(script.poll_output(), Some(Down));
    assert_eq!(script.poll_output(), None);
}

proptest! {
    #[test]
    fn it_never_runs_twice_at_once_and_changes_alternate(
        rise in 0_u32..4, fall in 0_u32..4, init_fail: bool, interval in 0_u64..3000,
        steps in prop::collection::vec((0_u8..4, 0_u64..5000), 0..60),
    ) {
        let mut now = Instant::now();
        let mut script = Script::new(now, Settings { interval: Duration::from_millis(interval), init_fail, ..settings(rise, fall) });
        let (mut running, mut last) = (false, if init_fail { Some(Down) } else { None });
        for (step, millis) in steps {
            now += Duration::from_millis(millis);
            match step {
                0 => script.handle_timeout(now),
                1 => script.handle(now, Passed),
                2 => script.handle(now, Failed),
                _ => script.handle(now, Inconclusive),
            }
            running &= step == 0;
            while let Some(output) = script.poll_output() {
                if let Output::Run { .. } = output {
                    prop_assert!(!running);
                    running = true;
                } else {
                    prop_assert_ne!(Some(output), last);
                    last = Some(output);
                }
            }
            prop_assert_eq!(script.next_deadline().is_none(), running);
        }
    }
}
