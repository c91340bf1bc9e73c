//! Whatever comes in, and whenever: what always holds.

use proptest::prelude::*;

use super::told::Told;
use super::*;

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Freeze(u64),
    Hear { router: usize, priority: u8 },
    Interface { number: u8, up: bool },
    Source { router: usize, known: bool },
    File(i32),
    Stop,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u64..5000).prop_map(Step::Pass),
        1 => (0_u64..20_000).prop_map(Step::Freeze),
        6 => (0_usize..4, prop_oneof![Just(0), Just(50), Just(100), Just(200)])
            .prop_map(|(router, priority)| Step::Hear { router, priority }),
        2 => (1_u8..4, any::<bool>()).prop_map(|(number, up)| Step::Interface { number, up }),
        1 => (0_usize..4, any::<bool>()).prop_map(|(router, known)| Step::Source { router, known }),
        1 => (-300_i32..300).prop_map(Step::File),
        1 => Just(Step::Stop),
    ]
}

/// A pair in a group, and one alone, all of which track a file.
fn config() -> Vrrp {
    let mut config = pair();
    config.instances.push(instance(3));
    config.instances[0].tracks.files = vec![track("f", 1)];
    config.instances[2].tracks.files = vec![track("f", 0)];
    config.instances[1].preempt_delay = 3 * SECOND;
    for instance in &mut config.instances {
        instance.announcing.repeat = 3;
        instance.announcing.garp_interval = 700 * MS;
    }
    config
}

proptest! {
    #[test]
    fn a_group_is_never_torn_and_what_is_told_is_true(steps in prop::collection::vec(step(), 1..80)) {
        let mut node = Node::new(config());
        let mut told = Told::default();
        let mut stopping = false;
        told.check(&node.bring_up());
        for step in steps {
            let outputs = match step {
                Step::Pass(millis) => node.run(Duration::from_millis(millis)),
                Step::Freeze(millis) => node.freeze(Duration::from_millis(millis)),
                Step::Hear { router, priority } if router < 3 => node.hear(RouterId(router), priority),
                Step::Hear { .. } => node.tell(Input::Sent(RouterId(3))),
                Step::Interface { number, up } => node.interface(&format!("eth{number}"), up),
                Step::Source { router, known } => {
                    node.tell(Input::Source { router: RouterId(router), address: known.then(|| ip(OWN)) })
                }
                Step::File(value) => node.tell(Input::File { name: "f".to_owned(), value }),
                Step::Stop => {
                    stopping = true;
                    node.tell(Input::Stop)
                }
            };
            told.check(&outputs);
            told.check(&node.run(Duration::ZERO));
            for report in node.routers.report() {
                prop_assert_eq!(told.states.get(&report.router).copied().unwrap_or_default(), report.state);
                prop_assert!(report.lease.is_none() || report.state == State::Master);
            }
            prop_assert!(stopping || node.state(FIRST) == node.state(OTHER), "{:?}", node.states());
            prop_assert!(stopping || told.group == node.state(FIRST));
            prop_assert!(node.routers.next_deadline().is_none_or(|at| at > node.now));
        }
        told.check(&node.tell(Input::Stop));
        told.check(&node.run(5 * SECOND));
        prop_assert!(told.stopped);
        prop_assert_eq!(node.routers.next_deadline(), None);
    }
}
