//! Random operations: what must hold after every one of them, however they come.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Operation {
    /// Time passes without a call, longer than any lease or not.
    Wait(Duration),
    /// The timer is called now.
    Timer,
    /// The timer is called as soon as it is due.
    Due,
    Event(Event),
}

fn events() -> impl Strategy<Value = Event> {
    let source = prop::sample::select(vec![LOWER, OWN, HIGHER]);
    let priority = prop::sample::select(vec![0, 1, 50, 99, 100, 101, 200, 255]);
    let interval = prop::sample::select(vec![10, 1000, 1000, 1000, 40_950]);
    let address = prop::sample::select(vec![VIP, VIP, VIP, "192.0.2.101"]);
    let advert = (source, priority, interval, address).prop_map(|(source, priority, interval, address)| {
        heard_with(source, priority, |advert| {
            advert.interval = ms(interval);
            advert.addresses[0] = ip(address);
        })
    });
    let fault = prop::option::of(Just("a script failed".to_owned()));
    let state = prop::sample::select(vec![State::Master, State::Backup, State::Fault]);
    prop_oneof![
        8 => advert,
        4 => Just(Event::Sent),
        1 => Just(Event::Start),
        1 => prop::option::weighted(0.7, prop::sample::select(vec![OWN, "192.0.2.21"]))
            .prop_map(|source| Event::Source(source.map(ip))),
        1 => any::<u8>().prop_map(Event::Priority),
        1 => fault.prop_map(Event::Fault),
        1 => state.prop_map(Event::Force),
        1 => Just(Event::GroupGivenWay),
        1 => Just(Event::GroupHeardLower),
        1 => Just(Event::Refused { source: Some(ip(LOWER)), reason: Refusal::Checksum }),
        1 => Just(Event::Stop),
    ]
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let operation = prop_oneof![
        2 => (0..900_u64).prop_map(|wait| Operation::Wait(ms(wait))),
        1 => (900..9000_u64).prop_map(|wait| Operation::Wait(ms(wait))),
        1 => Just(Operation::Timer),
        6 => Just(Operation::Due),
        8 => events().prop_map(Operation::Event),
    ];
    prop::collection::vec(operation, 1..120)
}

fn instances() -> impl Strategy<Value = VrrpInstance> {
    let priority = prop::sample::select(vec![100, 100, 255]);
    (priority, any::<bool>(), any::<bool>(), 0..3_u64, 1..5_u8).prop_map(
        |(priority, preempt, answers, delay, adverts)| {
            with(|instance| {
                instance.priority = priority;
                instance.preempt = preempt;
                instance.preempt_delay = SECOND * u32::try_from(delay).unwrap();
                instance.higher_prio_send_advert = answers;
                instance.lower_prio_no_advert = answers;
                instance.skip_check_addresses = answers;
                instance.down_timer_adverts = adverts;
            })
        },
    )
}

/// What the actions so far add up to.
#[derive(Debug, Default, PartialEq)]
struct World {
    state: State,
    lease: Option<Instant>,
    holds: bool,
    /// Adverts that were asked for and not answered with [`Event::Sent`].
    asked: Vec<Instant>,
}

impl World {
    fn take(&mut self, now: Instant, action: &Action) {
        match action {
            Action::Advert { .. } => self.asked.push(now),
            Action::Lease(until) => self.lease = *until,
            Action::Hold(hold) => self.holds = *hold,
            Action::Changed { from, to, .. } => {
                assert_eq!(*from, self.state, "a change from another state");
                assert_ne!(from, to, "a change of nothing");
                self.state = *to;
            }
            Action::Burst { repeat } => assert!(*repeat > 0),
            Action::HeardLower | Action::Refused { .. } | Action::Stopped => {}
        }
    }
}

fn run(instance: &VrrpInstance, operations: Vec<Operation>) {
    let mut now = Instant::now();
    let mut machine = Machine::new(instance);
    let mut world = World::default();
    let begin = [Event::Source(Some(ip(OWN))), Event::Start].map(Operation::Event);
    for operation in begin.into_iter().chain(operations) {
        let before = World { asked: Vec::new(), ..world };
        let called = match operation {
            Operation::Wait(wait) => {
                now += wait;
                continue;
            }
            Operation::Timer => None,
            Operation::Due => {
                now = machine.next_deadline().map_or(now, |at| at.max(now));
                None
            }
            Operation::Event(event) => Some(event),
        };
        if let Some(event) = called.clone() {
            machine.handle(now, event);
        } else {
            machine.handle_timeout(now);
            assert!(machine.next_deadline().is_none_or(|at| at >= now), "a timer in the past");
        }
        let actions = drain(&mut machine);
        if called == Some(Event::Sent) {
            assert!(
                machine.lease()
                    <= world.asked.last().map(|&asked| asked + SECOND * instance.down_timer_adverts.into())
                    || machine.lease() == before.lease,
                "a lease without an advert"
            );
            world.asked.clear();
        } else {
            assert!(machine.lease() <= before.lease, "a lease that nothing gave");
        }
        for action in &actions {
            world.take(now, action);
        }
        holds_after(now, instance, &machine, &before, &world, &actions);
    }
}

fn holds_after(
    now: Instant,
    instance: &VrrpInstance,
    machine: &Machine,
    before: &World,
    world: &World,
    actions: &[Action],
) {
    let masters = matches!(machine.phase, Phase::Master(_));
    assert_eq!(world.state, machine.state());
    assert_eq!(world.lease, machine.lease(), "the lease that was told");
    assert!(world.lease.is_none_or(|until| until > now), "a lease that has ended");
    assert!(world.lease.is_none() || world.state == State::Master, "a lease without mastership");
    assert!(!world.holds || world.state == State::Master, "addresses without mastership");
    assert!(world.holds || !masters, "mastership without addresses");
    assert_eq!(machine.next_deadline().is_some(), matches!(world.state, State::Backup | State::Master));
    for action in actions {
        match action {
            Action::Advert { priority: 0, .. } => {
                assert!(before.state == State::Master && !masters, "priority 0 from no master that leaves");
            }
            Action::Advert { priority, .. } => {
                let last_word = before.state == State::Master && instance.higher_prio_send_advert;
                assert!(masters || last_word, "an advert from no master");
                assert_eq!(*priority, machine.priority());
            }
            Action::Burst { .. } => assert!(masters, "announced by no master"),
            _ => {}
        }
    }
    if before.lease.is_some_and(|until| until <= now) {
        assert_eq!(actions.first(), Some(&Action::Lease(None)), "an overdue master did not give up first");
        let to = actions.iter().find_map(|action| match action {
            Action::Changed { from: State::Master, to, .. } => Some(*to),
            _ => None,
        });
        assert!(matches!(to, Some(State::Backup | State::Initialize)), "{actions:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn random_operations(instance in instances(), operations in operations()) {
        run(&instance, operations);
    }

    #[test]
    fn what_is_polled_late_adds_up_to_the_same(
        instance in instances(),
        operations in operations(),
        polls in prop::collection::vec(any::<bool>(), 120),
    ) {
        let mut now = Instant::now();
        let mut machine = Machine::new(&instance);
        let mut world = World::default();
        machine.handle(now, Event::Source(Some(ip(OWN))));
        machine.handle(now, Event::Start);
        for (operation, poll) in operations.into_iter().zip(polls) {
            match operation {
                Operation::Wait(wait) => now += wait,
                Operation::Timer => machine.handle_timeout(now),
                Operation::Due => {
                    now = machine.next_deadline().map_or(now, |at| at.max(now));
                    machine.handle_timeout(now);
                }
                Operation::Event(event) => machine.handle(now, event),
            }
            if poll {
                let actions = drain(&mut machine);
                assert!(actions.len() <= outbox::CHANGES + 20);
                for action in &actions {
                    world.take(now, action);
                }
                assert_eq!((world.state, world.lease), (machine.state(), machine.lease()));
                assert!(world.holds || !matches!(machine.phase, Phase::Master(_)));
                assert!(!world.holds || machine.state() == State::Master);
            }
        }
    }
}
