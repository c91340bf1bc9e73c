//! Whatever is reloaded, and whenever: what always holds.

use proptest::prelude::*;

use super::super::told::Told;
use super::*;
use crate::config::model::vrrp::TrackFile;

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Hear { place: usize, priority: u8 },
    Interface { number: u8, up: bool },
    Tracked(Input),
    Reload(Vrrp),
}

fn step() -> impl Strategy<Value = Step> {
    let tracked = prop_oneof![
        (-300_i32..300).prop_map(|value| Input::File { name: "f".to_owned(), value }),
        any::<bool>().prop_map(|up| Input::Script { name: "chk".to_owned(), up }),
    ];
    prop_oneof![
        8 => (0_u64..5000).prop_map(Step::Pass),
        4 => (0_usize..4, prop_oneof![Just(0), Just(50), Just(100), Just(200)])
            .prop_map(|(place, priority)| Step::Hear { place, priority }),
        1 => (1_u8..4, any::<bool>()).prop_map(|(number, up)| Step::Interface { number, up }),
        1 => tracked.prop_map(Step::Tracked),
        4 => any_config().prop_map(Step::Reload),
    ]
}

fn any_instance(number: u8) -> impl Strategy<Value = VrrpInstance> {
    let election = (
        prop::sample::select(vec![1_u8, 50, 100, 200, 255]),
        prop::sample::select(vec![100_u64, 1000, 3000]),
        any::<(bool, bool)>(),
        0_u64..3,
        prop_oneof![4 => Just(0_u8), 1 => Just(10)],
    );
    let rest =
        (0_u8..3, any::<(bool, bool, bool)>(), 0_u64..2, prop_oneof![5 => Just(true), 1 => Just(false)]);
    (election, rest).prop_map(move |(election, rest)| {
        let (priority, interval, (preempt, older), delay, other_vrid) = election;
        let (more, (file, script, late), spacing, has_interface) = rest;
        let mut instance = instance(number);
        instance.priority = priority;
        instance.advert_interval = Duration::from_millis(interval);
        instance.preempt = preempt;
        instance.preempt_delay = Duration::from_secs(delay);
        instance.version = if older { Version::V2 } else { Version::V3 };
        instance.virtual_router_id += other_vrid;
        let address = |count: u8| owned(&format!("203.0.113.{}", number + 10 * (count + 1)));
        instance.virtual_addresses.extend((0..more).map(address));
        instance.tracks.files = file.then(|| track("f", 1)).into_iter().collect();
        instance.tracks.scripts = script.then(|| track("chk", 0)).into_iter().collect();
        instance.announcing.delay = if late { 2 * SECOND } else { Duration::ZERO };
        instance.announcing.garp_interval = Duration::from_millis(300 * spacing);
        instance.interface = instance.interface.filter(|_| has_interface);
        instance
    })
}

/// Up to three routers in any order, perhaps two of them in a group.
fn any_config() -> impl Strategy<Value = Vrrp> {
    let instances = (any_instance(1), any_instance(2), any_instance(3)).prop_map(|(a, b, c)| vec![a, b, c]);
    let some =
        instances.prop_shuffle().prop_flat_map(|all| prop::sample::subsequence(all, 0..=3).prop_shuffle());
    (some, any::<(bool, bool)>()).prop_map(|(instances, (grouped, init_fail))| {
        let mut group = group();
        group.members.retain(|member| instances.iter().any(|instance| instance.name == *member));
        let is_tracked = instances.iter().any(|instance| !instance.tracks.scripts.is_empty());
        Vrrp {
            files: vec![TrackFile {
                name: "f".to_owned(),
                weight: 0,
                reverse: false,
                path: "/f".into(),
                init: None,
                span: Span::default(),
            }],
            scripts: is_tracked.then(|| script("chk", init_fail)).into_iter().collect(),
            sync_groups: (grouped && group.members.len() == 2).then_some(group).into_iter().collect(),
            instances,
            ..Vrrp::default()
        }
    })
}

/// The same in another place of the file.
fn moved(config: &Vrrp) -> Vrrp {
    let span = Span { start: 77, ..Span::default() };
    let mut config = config.clone();
    config.instances.iter_mut().for_each(|instance| instance.span = span);
    config.scripts.iter_mut().for_each(|script| script.span = span);
    config.instances.reverse();
    config
}

/// Nothing is due and nothing waits to be polled.
fn settled(node: &mut Node) -> Vec<Output> {
    let mut outputs = Vec::new();
    loop {
        let more = node.run(Duration::ZERO);
        node.routers.handle_timeout(node.now);
        let more = [more, node.drain()].concat();
        if more.is_empty() {
            return outputs;
        }
        outputs.extend(more);
    }
}

fn take(node: &mut Node, step: Step) -> Vec<Output> {
    match step {
        Step::Pass(millis) => node.run(Duration::from_millis(millis)),
        Step::Hear { place, priority } => {
            let Some(instance) = node.config.instances.get(place) else { return Vec::new() };
            let Some(router) = node.numbers.of(&instance.name) else { return Vec::new() };
            let advert = advert(instance, priority);
            node.tell(Input::Heard { router, source: ip(PEER), advert })
        }
        Step::Interface { number, up } => {
            let name = format!("eth{number}");
            if node.config.interfaces().contains(&name) { node.interface(&name, up) } else { Vec::new() }
        }
        Step::Tracked(Input::Script { .. }) if node.config.scripts.is_empty() => Vec::new(),
        Step::Tracked(input) => node.tell(input),
        Step::Reload(config) => {
            let before = node.config.interfaces();
            let mut outputs = node.reload(config);
            for name in node.config.interfaces().difference(&before) {
                outputs.extend(node.interface(name, true));
            }
            for instance in node.config.instances.clone() {
                let router = node.numbers.of(&instance.name).unwrap();
                if !node.routers.ends(router) {
                    outputs.extend(node.tell(Input::Source { router, address: Some(ip(OWN)) }));
                }
            }
            outputs
        }
    }
}

proptest! {
    #[test]
    fn what_is_the_same_does_not_notice_and_what_is_told_is_true(
        config in any_config(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut node = Node::new(Vrrp { files: config.files.clone(), ..Vrrp::default() });
        let mut told = Told::of_reloads();
        told.check(&take(&mut node, Step::Reload(config)));
        for step in steps {
            told.check(&take(&mut node, step));
            told.check(&settled(&mut node));
            let before = format!("{:?}", node.routers);
            prop_assert_eq!(node.reload(moved(&node.config.clone())), []);
            prop_assert_eq!(format!("{:?}", node.routers), before);
            for report in node.routers.report() {
                prop_assert_eq!(told.states.get(&report.router).copied().unwrap_or_default(), report.state);
                prop_assert!(report.lease.is_none() || report.state == State::Master);
                prop_assert!(report.state == State::Master || !told.holds.contains(&report.router));
            }
            prop_assert!(node.routers.next_deadline().is_none_or(|at| at > node.now));
        }
        told.check(&node.tell(Input::Stop));
        told.check(&node.run(5 * SECOND));
        prop_assert!(told.stopped);
    }
}
