//! Two and three machines: who forwards, and for how long two do or none does.

use super::lab::{BAD, GOOD, Lab, Network, address};
use super::*;

const SEEDS: u64 = 100;
/// The longest way of a packet through [`GOOD`].
const WAY: Duration = ms(50);
/// At once and without loss.
const WIRE: Network = Network {
    delay: (ms(1), ms(0)),
    lost_percent: 0,
    repeated_percent: 0,
    lost_in_a_row: 0,
    reorders: false,
};

fn of(priority: u8) -> VrrpInstance {
    with(|instance| instance.priority = priority)
}

fn patient(priority: u8) -> VrrpInstance {
    with(|instance| {
        instance.priority = priority;
        instance.preempt = false;
    })
}

fn skew(priority: u32) -> Duration {
    SECOND * (256 - priority) / 256
}

#[test]
fn the_higher_priority_becomes_the_only_master() {
    for seed in 0..SEEDS {
        let mut lab = Lab::new(seed, GOOD, &[of(100), of(200), of(150)]);
        lab.run(SECOND * 60);
        assert_eq!(lab.forwards(), [1], "seed {seed}");
        assert_eq!(lab.doubled.total, Duration::ZERO, "seed {seed}");
        assert_eq!(lab.machine(0).master(), Some(address(1)));
    }
}

#[test]
fn of_equal_priorities_the_higher_address_wins_when_both_are_master() {
    for seed in 0..SEEDS {
        let mut lab = Lab::new(seed, GOOD, &[of(100), of(100), of(100)]);
        lab.run(SECOND * 10);
        assert_eq!(lab.forwards(), [2], "seed {seed}");
        assert!(lab.doubled.longest <= WAY, "seed {seed}: {:?}", lab.doubled);
    }
}

#[test]
fn of_equal_priorities_the_first_stays() {
    let mut lab = Lab::new(1, WIRE, &[of(100), of(100)]);
    lab.kill(1);
    lab.run(SECOND * 10);
    lab.start(1);
    lab.run(SECOND * 10);
    assert_eq!(lab.forwards(), [0]);
    assert_eq!(lab.doubled.total, Duration::ZERO);
}

#[test]
fn a_killed_master_is_followed_when_its_lease_has_ended() {
    for seed in 0..SEEDS {
        let mut lab = Lab::new(seed, GOOD, &[of(200), of(150), of(100)]);
        lab.run(SECOND * 10 + ms(seed * 7));
        lab.measure();
        lab.kill(0);
        lab.run_until(|lab| lab.forwards() == [1]);
        assert_eq!(lab.doubled.total, Duration::ZERO, "seed {seed}");
        assert!(lab.silent.longest <= skew(150) + WAY, "seed {seed}: {:?}", lab.silent);
        lab.run(SECOND * 10);
        assert_eq!(lab.forwards(), [1], "seed {seed}");
    }
}

#[test]
fn a_frozen_master_is_followed_when_its_lease_has_ended_and_comes_back_as_backup() {
    for seed in 0..SEEDS {
        let mut lab = Lab::new(seed, GOOD, &[patient(200), patient(100)]);
        lab.run(SECOND * 10 + ms(seed * 7));
        lab.measure();
        lab.freeze(0);
        lab.run(SECOND * 4 + ms(seed * 31));
        assert_eq!(lab.forwards(), [1], "seed {seed}");
        assert_eq!(lab.machine(0).state(), State::Master, "it does not know yet");
        lab.thaw(0);
        assert_eq!(lab.machine(0).state(), State::Backup, "seed {seed}");
        lab.run(SECOND * 10);
        assert_eq!(lab.forwards(), [1], "seed {seed}");
        assert_eq!(lab.doubled.total, Duration::ZERO, "seed {seed}");
    }
}

#[test]
fn the_shortest_interval_is_as_safe() {
    let quick = |priority| {
        with(|instance| {
            instance.priority = priority;
            instance.preempt = false;
            instance.advert_interval = ms(10);
        })
    };
    for seed in 0..SEEDS {
        let mut lab = Lab::new(seed, Network { delay: (ms(0), ms(1)), ..GOOD }, &[quick(200), quick(100)]);
        lab.run(SECOND + ms(seed));
        lab.measure();
        lab.freeze(0);
        let followed = lab.run_until(|lab| lab.forwards() == [1]);
        assert!(followed <= ms(38), "seed {seed}: {followed:?}");
        lab.thaw(0);
        lab.run(SECOND);
        lab.stop(1);
        lab.run_until(|lab| lab.stopped(1));
        assert_eq!((lab.forwards(), lab.orphaned.total), (vec![0], Duration::ZERO), "seed {seed}");
    }
}

#[test]
fn whatever_is_reloaded_and_whenever_a_lease_ends_before_another_forwards() {
    for seed in 0..SEEDS {
        let mut lab = Lab::new(seed, GOOD, &[patient(200), patient(150), patient(100)]);
        lab.run(SECOND * 10);
        lab.measure();
        for _ in 0..40 {
            let node = usize::try_from(lab.random.below(3)).unwrap();
            let (interval, priority) =
                (ms(500 + 500 * lab.random.below(8)), 50 + lab.random.below(150) as u8);
            // Whoever preempts does not wait for the lease of a master that hangs in that moment.
            let other = VrrpInstance { advert_interval: interval, ..patient(priority) };
            match lab.random.below(6) {
                0 => lab.freeze(node),
                1 => lab.thaw(node),
                _ => lab.reload(node, &other),
            }
            lab.run_below(ms(7000));
        }
        assert_eq!(lab.orphaned.total, Duration::ZERO, "seed {seed}");
        assert!(lab.doubled.longest <= WAY, "seed {seed}: {:?}", lab.doubled);
        (0..3).for_each(|node| lab.thaw(node));
        lab.run(SECOND * 20);
        lab.measure();
        lab.run(SECOND * 20);
        assert_eq!(lab.forwards().len(), 1, "seed {seed}");
        assert_eq!((lab.doubled.total, lab.silent.total), (Duration::ZERO, Duration::ZERO), "seed {seed}");
    }
}

#[test]
fn whoever_is_frozen_or_killed_and_whenever_its_lease_ends_before_another_forwards() {
    for seed in 0..SEEDS {
        let mut lab = Lab::new(seed, GOOD, &[patient(200), patient(150), patient(100)]);
        for _ in 0..40 {
            let node = usize::try_from(lab.random.below(3)).unwrap();
            match lab.random.below(5) {
                0 => {
                    lab.kill(node);
                    lab.run_below(ms(6000));
                    lab.start(node);
                }
                1 | 2 => lab.freeze(node),
                _ => lab.thaw(node),
            }
            lab.run_below(ms(5000));
        }
        assert_eq!(lab.orphaned.total, Duration::ZERO, "seed {seed}");
        // Two backups may end their timers at once where one of them heard the last advert late.
        assert!(lab.doubled.longest <= WAY, "seed {seed}: {:?}", lab.doubled);
        (0..3).for_each(|node| lab.thaw(node));
        lab.run(SECOND * 10);
        lab.measure();
        lab.run(SECOND * 10);
        assert_eq!(lab.forwards().len(), 1, "seed {seed}");
        assert_eq!((lab.doubled.total, lab.silent.total), (Duration::ZERO, Duration::ZERO), "seed {seed}");
    }
}

#[test]
fn a_backup_that_was_frozen_does_not_take_over_from_a_living_master() {
    for seed in 0..SEEDS {
        let mut lab = Lab::new(seed, GOOD, &[of(200), of(100)]);
        lab.run(SECOND * 10);
        lab.measure();
        for _ in 0..20 {
            lab.freeze(1);
            lab.run_below(ms(8000));
            lab.thaw(1);
            lab.run_below(ms(2000));
        }
        assert_eq!((lab.doubled.total, lab.silent.total), (Duration::ZERO, Duration::ZERO), "seed {seed}");
    }
}

#[test]
fn where_adverts_get_lost_two_forward_only_until_one_gets_through() {
    let bound = SECOND * (BAD.lost_in_a_row + 1) + BAD.delay.1;
    let mut doubled = 0;
    for seed in 0..SEEDS {
        let mut lab = Lab::new(seed, BAD, &[of(200), of(100), of(100)]);
        lab.run(SECOND * 100);
        assert!(lab.doubled.longest <= bound, "seed {seed}: {:?}", lab.doubled);
        doubled += u32::from(!lab.doubled.total.is_zero());
        lab.network = GOOD;
        lab.run(SECOND * 10);
        lab.measure();
        lab.run(SECOND * 10);
        assert_eq!(lab.forwards(), [0], "seed {seed}");
        assert_eq!((lab.doubled.total, lab.silent.total), (Duration::ZERO, Duration::ZERO), "seed {seed}");
    }
    assert!(doubled > 0, "nothing was tried");
}

#[test]
fn two_halves_have_a_master_each_and_one_when_they_are_joined() {
    for seed in 0..SEEDS {
        let mut lab = Lab::new(seed, GOOD, &[of(100), of(200), of(150)]);
        lab.run(SECOND * 10);
        lab.cut(1);
        lab.run(SECOND * 20);
        assert_eq!(lab.forwards(), [1, 2], "seed {seed}");
        lab.mend(1);
        let joined = lab.run_until(|lab| lab.forwards().len() == 1);
        assert!(joined <= SECOND + WAY + ms(1), "seed {seed}: {joined:?}");
        assert_eq!(lab.forwards(), [1], "seed {seed}");
    }
}

#[test]
fn a_clean_stop_hands_over_without_a_gap() {
    for seed in 0..SEEDS {
        let mut lab = Lab::new(seed, GOOD, &[of(200), of(150), of(100)]);
        lab.run(SECOND * 10 + ms(seed * 7));
        lab.measure();
        lab.stop(0);
        let followed = lab.run_until(|lab| lab.forwards().contains(&1));
        assert!(followed <= skew(150) + WAY + ms(1), "seed {seed}: {followed:?}");
        let stopped = followed + lab.run_until(|lab| lab.stopped(0));
        assert!(stopped <= SECOND, "seed {seed}: {stopped:?}");
        lab.run(SECOND * 5);
        assert_eq!(lab.forwards(), [1], "seed {seed}");
        assert_eq!(lab.silent.total, Duration::ZERO, "seed {seed}");
        assert!(lab.doubled.total <= WAY + ms(100), "seed {seed}: {:?}", lab.doubled);
    }
}

#[test]
fn a_lone_master_stops_after_one_interval() {
    let mut lab = Lab::new(1, WIRE, &[of(200)]);
    lab.run(SECOND * 10);
    lab.stop(0);
    assert_eq!(lab.run_until(|lab| lab.stopped(0)), SECOND);
    assert!(lab.forwards().is_empty());
}

#[test]
fn a_higher_priority_preempts_at_once_later_or_never() {
    let delayed = with(|instance| {
        instance.priority = 200;
        instance.preempt_delay = SECOND * 10;
    });
    for (instance, takes) in
        [(of(200), Some(LEASE + skew(200))), (delayed, Some(SECOND * 10)), (patient(200), None)]
    {
        let mut lab = Lab::new(1, WIRE, &[instance, of(100)]);
        lab.kill(0);
        lab.run(SECOND * 10);
        lab.start(0);
        lab.measure();
        let Some(takes) = takes else {
            lab.run(SECOND * 60);
            assert_eq!((lab.forwards(), lab.doubled.total), (vec![1], Duration::ZERO));
            continue;
        };
        let taken = lab.run_until(|lab| lab.forwards() == [0]);
        assert!((takes..takes + SECOND * 4).contains(&taken), "{taken:?}, not {takes:?}");
        assert!(lab.doubled.total <= ms(1) && lab.silent.total.is_zero(), "{:?}", lab.doubled);
    }
}

#[test]
fn a_priority_that_falls_below_the_others_gives_the_mastership_away() {
    let mut lab = Lab::new(1, WIRE, &[of(200), of(150)]);
    lab.run(SECOND * 10);
    lab.handle(0, Event::Priority(100));
    let taken = lab.run_until(|lab| lab.forwards() == [1]);
    assert!(taken <= LEASE + skew(150) + ms(2), "{taken:?}");
    lab.handle(0, Event::Priority(200));
    let taken = lab.run_until(|lab| lab.forwards() == [0]);
    assert!(taken <= LEASE + skew(200) + ms(2), "{taken:?}");
}

#[test]
fn a_fault_is_followed_after_the_skew() {
    let mut lab = Lab::new(1, WIRE, &[of(200), of(150)]);
    lab.run(SECOND * 10);
    lab.measure();
    lab.handle(0, Event::Fault(Some("a script failed".into())));
    lab.run_until(|lab| lab.forwards() == [1]);
    assert_eq!(lab.doubled.total, Duration::ZERO);
    assert!(lab.silent.total <= skew(150) + ms(2), "{:?}", lab.silent);
}

#[test]
fn an_owner_is_master_from_the_beginning_and_comes_back() {
    let mut lab = Lab::new(1, WIRE, &[of(255), of(254)]);
    assert_eq!(lab.forwards(), [0]);
    lab.run(SECOND * 10);
    lab.kill(0);
    lab.run(SECOND * 10);
    assert_eq!(lab.forwards(), [1]);
    lab.start(0);
    lab.run(ms(2));
    assert_eq!(lab.forwards(), [0]);
}

#[test]
fn in_version_3_nodes_of_different_intervals_agree_on_the_masters() {
    let quick = with(|instance| {
        instance.priority = 100;
        instance.advert_interval = ms(100);
    });
    let mut lab = Lab::new(1, WIRE, &[of(200), quick]);
    lab.run(SECOND * 10);
    lab.measure();
    lab.run(SECOND * 60);
    assert_eq!(
        (lab.forwards(), lab.doubled.total),
        (vec![0], Duration::ZERO),
        "the quick one waits for the slow one"
    );
    lab.kill(0);
    lab.run_until(|lab| lab.forwards() == [1]);
    assert_eq!(lab.doubled.total, Duration::ZERO);
    lab.start(0);
    lab.run(SECOND * 10);
    lab.kill(0);
    lab.start(0);
    lab.run(SECOND * 10);
    assert_eq!(lab.forwards(), [0]);
}

#[test]
fn in_version_2_nodes_of_different_intervals_refuse_each_other() {
    let v2 = |interval| {
        with(|instance| {
            instance.version = Version::V2;
            instance.advert_interval = interval;
        })
    };
    let mut lab = Lab::new(1, WIRE, &[v2(SECOND), v2(SECOND * 2)]);
    lab.run(SECOND * 30);
    assert_eq!(lab.forwards(), [0, 1]);
    assert!((0..2).all(|node| lab.machine(node).refused()[&Refusal::Interval] > 10));
    let mut lab = Lab::new(1, WIRE, &[v2(SECOND * 2), v2(SECOND * 2)]);
    lab.run(SECOND * 30);
    assert_eq!(lab.forwards(), [1]);
}
