//! One test for each rule that the table does not show.

use super::*;

#[test]
fn the_skew_is_in_seconds_in_version_2_and_in_intervals_in_version_3() {
    let now = Instant::now();
    for (version, interval, priority, waits) in [
        (Version::V2, 1, 100, 3_609_375_000),
        (Version::V2, 10, 100, 30_609_375_000),
        (Version::V2, 1, 254, 3_007_812_500),
        (Version::V3, 10, 100, 36_093_750_000),
        (Version::V3, 10, 1, 39_960_937_500),
    ] {
        let machine = backup(
            now,
            &with(|instance| {
                instance.version = version;
                instance.advert_interval = SECOND * interval;
                instance.priority = priority;
            }),
        );
        assert_eq!(
            machine.next_deadline().unwrap() - now,
            Duration::from_nanos(waits),
            "{version:?} {interval}"
        );
    }
}

#[test]
fn two_priorities_never_have_the_same_skew_however_short_the_interval() {
    let now = Instant::now();
    let ends = |priority| {
        let short = with(|instance| {
            instance.advert_interval = ms(10);
            instance.priority = priority;
        });
        backup(now, &short).next_deadline().unwrap()
    };
    assert!((1..254).all(|priority| ends(priority) > ends(priority + 1)));
}

#[test]
fn version_3_learns_the_interval_of_its_master() {
    let now = Instant::now();
    let mut machine = backup(now, &instance());
    does(&mut machine, now, heard_with(HIGHER, 200, |advert| advert.interval = ms(100)));
    assert_eq!(machine.next_deadline().unwrap() - now, ms(300) + SKEW / 10);
    machine.handle_timeout(machine.next_deadline().unwrap());
    assert_eq!(machine.state(), State::Master);
    drain(&mut machine);
    assert_eq!(
        machine.next_deadline().unwrap() - now,
        ms(1300) + SKEW / 10,
        "its own adverts keep its own interval"
    );
}

#[test]
fn the_form_of_the_checksum_is_that_heard_last() {
    let now = Instant::now();
    let mut machine = backup(now, &instance());
    does(&mut machine, now, heard_with(LOWER, 99, |advert| advert.checksum = Checksum::MessageOnly));
    machine.handle_timeout(machine.next_deadline().unwrap());
    assert_eq!(
        machine.poll_action(),
        Some(Action::Advert { priority: 100, checksum: Checksum::MessageOnly })
    );
}

#[test]
fn an_owner_begins_as_master_and_preempts_always() {
    let now = Instant::now();
    let owner = with(|instance| {
        instance.priority = 255;
        instance.preempt = false;
    });
    let mut machine = backup(now, &owner);
    assert_eq!(machine.state(), State::Master);
    machine.handle(now, Event::Priority(10));
    assert_eq!(machine.priority(), 255);
    assert_eq!(
        does(&mut machine, now, heard_with(HIGHER, 255, |advert| advert.addresses.clear())),
        [Action::Refused { source: ip(HIGHER), reason: Refusal::AddressCount }]
    );
    does(&mut machine, now, Event::Fault(Some("eth0 is down".into())));
    does(&mut machine, now, Event::Fault(None));
    assert_eq!(machine.state(), State::Backup);
    does(&mut machine, now + SECOND, heard(HIGHER, 254));
    assert_eq!(machine.next_deadline().unwrap() - now, SECOND * 3 + SECOND / 256);
}

#[test]
fn state_master_begins_as_backup_and_waits_for_nobody() {
    let now = Instant::now();
    let insisting = with(|instance| {
        instance.state = InitialState::Master;
        instance.preempt = false;
        instance.preempt_delay = SECOND * 60;
    });
    let mut machine = backup(now, &insisting);
    assert_eq!(machine.state(), State::Backup);
    does(&mut machine, now + SECOND, heard(HIGHER, 99));
    assert_eq!(machine.next_deadline().unwrap() - now, LEASE + SKEW, "a lower priority is not listened to");
}

#[test]
fn nopreempt_listens_to_every_master() {
    let now = Instant::now();
    let mut machine = backup(now, &with(|instance| instance.preempt = false));
    does(&mut machine, now + SECOND, heard(LOWER, 1));
    assert_eq!(machine.next_deadline().unwrap() - now, SECOND + LEASE + SKEW);
    assert_eq!(machine.master(), Some(ip(LOWER)));
}

#[test]
fn a_preempt_delay_counts_from_the_first_lower_priority() {
    let now = Instant::now();
    let mut machine = backup(now, &with(|instance| instance.preempt_delay = ms(2500)));
    for second in 1..=5 {
        does(&mut machine, now + SECOND * second, heard(LOWER, 99));
    }
    assert_eq!(machine.next_deadline().unwrap() - now, SECOND * 3 + LEASE + SKEW, "listened to until 3.5 s");
    does(&mut machine, now + SECOND * 6, heard(HIGHER, 100));
    does(&mut machine, now + SECOND * 7, heard(LOWER, 99));
    assert_eq!(machine.next_deadline().unwrap() - now, SECOND * 7 + LEASE + SKEW, "the delay begins anew");
}

#[test]
fn a_timer_that_comes_late_leaves_time_for_what_waits() {
    let now = Instant::now();
    let mut machine = backup(now, &instance());
    let at = machine.next_deadline().unwrap() + ms(20);
    machine.handle_timeout(at);
    assert_eq!((machine.state(), machine.next_deadline()), (State::Backup, Some(at)));
    machine.handle_timeout(at + ms(200));
    assert_eq!((machine.state(), machine.next_deadline()), (State::Backup, Some(at + ms(200))), "late again");
    let mut hearing = machine.clone();
    hearing.handle(at + ms(200), heard(HIGHER, 200));
    assert_eq!(hearing.next_deadline(), Some(at + ms(200) + LEASE + SKEW));
    machine.handle_timeout(at + ms(201));
    assert_eq!(machine.state(), State::Master);
}

#[test]
fn priorities_are_held_within_their_range() {
    let mut machine = Machine::new(&instance());
    for (given, becomes) in [(0, 1), (1, 1), (254, 254), (255, 254)] {
        machine.handle(Instant::now(), Event::Priority(given));
        assert_eq!(machine.priority(), becomes);
    }
}

#[test]
fn without_a_source_it_begins_in_fault() {
    let now = Instant::now();
    let mut machine = Machine::new(&instance());
    machine.handle(now, Event::Start);
    assert_eq!(machine.state(), State::Fault);
    machine.handle(now, Event::Fault(Some("a script failed".into())));
    machine.handle(now, Event::Source(Some(ip(OWN))));
    assert_eq!(machine.state(), State::Fault, "a script is in its way as well");
    machine.handle(now, Event::Fault(None));
    assert_eq!(machine.state(), State::Backup);
}

#[test]
fn only_an_advert_that_left_gives_a_lease_and_from_when_it_was_asked_for() {
    let now = Instant::now();
    let mut machine = backup(now, &instance());
    let at = machine.next_deadline().unwrap();
    machine.handle_timeout(at);
    machine.handle(at, Event::Sent);
    assert_eq!(machine.lease(), None, "nobody was asked to send it yet");
    drain(&mut machine);
    machine.handle(at + ms(20), Event::Sent);
    assert_eq!(machine.lease(), Some(at + LEASE));
    machine.handle(at + ms(30), Event::Sent);
    assert_eq!((machine.lease(), machine.adverts()), (Some(at + LEASE), (1, 0)), "it left only once");
    assert_eq!(drain(&mut machine), [Action::Lease(Some(at + LEASE))]);
}

#[test]
fn where_it_cannot_be_told_which_of_two_adverts_left_it_was_the_first() {
    let now = Instant::now();
    let (mut machine, at) = master(now, &instance());
    for second in 1..=2 {
        machine.handle_timeout(at + SECOND * second);
        assert!(matches!(drain(&mut machine)[..], [Action::Advert { .. }]));
    }
    machine.handle(at + SECOND * 2, Event::Sent);
    assert_eq!(machine.lease(), Some(at + SECOND + LEASE));
}

#[test]
fn a_repeated_priority_0_puts_nothing_off() {
    let now = Instant::now();
    let mut machine = backup(now, &instance());
    machine.handle(now + ms(100), heard(HIGHER, 0));
    machine.handle(now + ms(300), heard(HIGHER, 0));
    assert_eq!(machine.next_deadline(), Some(now + ms(100) + SKEW));
    let mut machine = backup(now, &instance());
    machine.handle(now + LEASE + ms(100), heard(HIGHER, 0));
    assert_eq!(machine.next_deadline(), Some(now + LEASE + SKEW));
}

#[test]
fn stopped_before_its_first_advert_left_it_only_takes_back() {
    let now = Instant::now();
    let mut machine = backup(now, &instance());
    machine.handle_timeout(machine.next_deadline().unwrap());
    machine.handle(now + LEASE + SKEW, Event::Stop);
    let actions = drain(&mut machine);
    assert!(
        matches!(
            actions[..],
            [
                Action::Changed { to: State::Master, .. },
                Action::Advert { priority: 0, .. },
                Action::Lease(None),
                Action::Hold(false),
                Action::Changed { to: State::Initialize, .. },
                Action::Stopped,
            ]
        ),
        "{actions:?}"
    );
}

#[test]
fn a_lease_comes_before_the_addresses_it_is_for() {
    let now = Instant::now();
    let mut machine = backup(now, &instance());
    let at = machine.next_deadline().unwrap();
    machine.handle_timeout(at);
    assert!(matches!(machine.poll_action(), Some(Action::Advert { priority: 100, .. })));
    machine.handle(at, Event::Sent);
    let actions = drain(&mut machine);
    assert!(
        matches!(
            actions[..],
            [Action::Lease(Some(_)), Action::Hold(true), Action::Burst { repeat: 5 }, Action::Changed { .. }]
        ),
        "{actions:?}"
    );
}

#[test]
fn a_master_whose_adverts_do_not_leave_gives_up_when_its_lease_ends() {
    let now = Instant::now();
    let (mut machine, at) = master(now, &instance());
    for _ in 0..2 {
        let due = machine.next_deadline().unwrap();
        machine.handle_timeout(due);
        assert!(matches!(drain(&mut machine)[..], [Action::Advert { .. }]));
    }
    assert_eq!(machine.next_deadline(), Some(at + LEASE));
    machine.handle_timeout(at + LEASE);
    let actions = drain(&mut machine);
    let [Action::Lease(None), Action::Hold(false), Action::Changed { reason, .. }] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(reason, "its adverts do not leave");
    machine.handle(at + LEASE, Event::Sent);
    assert_eq!(machine.lease(), None, "what was sent before does not count any more");
}

#[test]
fn with_one_advert_to_miss_the_next_one_leaves_before_the_lease_ends() {
    let now = Instant::now();
    let (mut machine, at) = master(now, &with(|instance| instance.down_timer_adverts = 1));
    assert_eq!((machine.lease(), machine.next_deadline()), (Some(at + SECOND), Some(at + ms(750))));
    until(&mut machine, at, at + SECOND * 10);
    assert_eq!((machine.state(), machine.adverts()), (State::Master, (14, 0)));
}

#[test]
fn others_are_answered_once_between_two_adverts() {
    let now = Instant::now();
    let (mut machine, at) = master(now, &instance());
    let adverts =
        |actions: &[Action]| actions.iter().filter(|action| matches!(action, Action::Advert { .. })).count();
    assert_eq!(adverts(&does(&mut machine, at + ms(100), heard(LOWER, 50))), 1);
    assert_eq!(adverts(&does(&mut machine, at + ms(200), heard(LOWER, 50))), 0);
    assert_eq!(does(&mut machine, at + ms(300), heard(LOWER, 50)), [], "told once too");
    machine.handle_timeout(at + ms(1100));
    assert_eq!(adverts(&drain(&mut machine)), 1);
    assert_eq!(adverts(&does(&mut machine, at + ms(1200), heard(LOWER, 0))), 1);
    assert_eq!(does(&mut machine, at + ms(1300), heard(LOWER, 50)), [Action::HeardLower]);
}

#[test]
fn a_priority_0_is_answered_before_anybodys_skew_is_over_and_a_flood_of_them_not_each() {
    let now = Instant::now();
    for (version, interval) in [(Version::V2, SECOND), (Version::V2, SECOND * 10), (Version::V3, ms(10))] {
        let instance = with(|instance| {
            instance.version = version;
            instance.advert_interval = interval;
        });
        let (mut machine, at) = master(now, &instance);
        let zero = heard_with(LOWER, 0, |advert| {
            advert.version = version;
            advert.interval = interval;
        });
        let mut adverts = 0;
        for _ in 0..100 {
            let actions = does(&mut machine, at, zero.clone());
            adverts += actions.iter().filter(|action| matches!(action, Action::Advert { .. })).count();
        }
        assert_eq!(adverts, 1);
        let rival = with(|rival| {
            rival.version = version;
            rival.advert_interval = interval;
            rival.priority = 254;
        });
        let mut rival = backup(at, &rival);
        rival.handle(at, zero);
        assert!(machine.next_deadline() < rival.next_deadline(), "{version:?} {interval:?}");
    }
}

#[test]
fn whether_the_last_word_is_said_is_configured() {
    let now = Instant::now();
    let reticent = with(|instance| instance.lower_prio_no_advert = true);
    let (mut machine, at) = master(now, &reticent);
    assert_eq!(does(&mut machine, at, heard(LOWER, 50)), [Action::HeardLower, Action::Burst { repeat: 5 }]);
    let talkative = with(|instance| instance.higher_prio_send_advert = true);
    let (mut machine, at) = master(now, &talkative);
    assert!(matches!(
        does(&mut machine, at, heard(LOWER, 150))[..],
        [
            Action::Advert { priority: 100, .. },
            Action::Lease(None),
            Action::Hold(false),
            Action::Changed { to: State::Backup, .. }
        ]
    ));
    machine.handle(at, Event::Sent);
    assert_eq!(machine.lease(), None);
}

#[test]
fn bursts_come_at_once_after_a_delay_at_every_refresh_and_after_a_lower_priority() {
    let now = Instant::now();
    let (mut machine, at) = master(
        now,
        &with(|instance| {
            instance.announcing.refresh = SECOND * 8;
            instance.announcing.refresh_repeat = 2;
            instance.announcing.lower_prio_repeat = 3;
        }),
    );
    let bursts = |machine: &mut Machine, to: u32| -> Vec<(u128, u32)> {
        let actions = until(machine, at, at + SECOND * to);
        let bursts = actions.iter().filter_map(|(after, action)| match action {
            Action::Burst { repeat } => Some((after.as_millis(), *repeat)),
            _ => None,
        });
        bursts.collect()
    };
    assert_eq!(bursts(&mut machine, 10), [(5000, 5), (8000, 2)]);
    let at_once = does(&mut machine, at + ms(10_100), heard(LOWER, 50));
    assert!(at_once.contains(&Action::Burst { repeat: 3 }), "{at_once:?}");
    machine.handle(at + ms(10_200), heard(LOWER, 50));
    assert_eq!(bursts(&mut machine, 17), [(15_100, 3), (16_000, 2)]);
}

#[test]
fn actions_that_nobody_polls_do_not_pile_up() {
    let now = Instant::now();
    let mut machine = backup(now, &instance());
    for round in 0..1000 {
        let at = now + ms(round);
        machine.handle(at, Event::Force(State::Master));
        machine.handle(at, heard(LOWER, 50));
        machine.handle(at, heard(OWN, 50));
        machine.handle(at, Event::Force(State::Backup));
    }
    let actions = drain(&mut machine);
    assert!(actions.len() <= outbox::CHANGES + 20, "{}", actions.len());
    let mut state = State::Backup;
    for action in &actions {
        if let Action::Changed { from, to, .. } = action {
            assert_eq!(*from, state);
            state = *to;
        }
    }
    assert_eq!(state, machine.state());
}
