//! Two nodes with a sync group on two networks, in virtual time.

use super::*;

/// What travels a millisecond.
struct Parcel {
    arrives: Instant,
    to: usize,
    router: RouterId,
    source: IpAddr,
    advert: Advert,
}

/// Two nodes, and a network for each router.
struct World {
    now: Instant,
    nodes: Vec<Option<Node>>,
    parcels: Vec<Parcel>,
    /// Whether a network carries anything.
    carries: [bool; 2],
    /// Until when each node may forward for each router.
    leases: [[Option<Instant>; 2]; 2],
    /// When nobody could forward for a router, in all.
    gaps: [Duration; 2],
    /// When both could.
    doubled: Duration,
}

/// How late a node wakes up for its timers.
const LATE: Duration = Duration::from_micros(50);

const SOURCES: [&str; 2] = ["192.0.2.1", "192.0.2.2"];

impl World {
    fn new(priorities: [u8; 2]) -> Self {
        let now = Instant::now();
        let mut world = Self {
            now,
            nodes: Vec::new(),
            parcels: Vec::new(),
            carries: [true; 2],
            leases: [[None; 2]; 2],
            gaps: [Duration::ZERO; 2],
            doubled: Duration::ZERO,
        };
        for priority in priorities {
            world.nodes.push(None);
            world.boot(world.nodes.len() - 1, priority);
        }
        world
    }

    fn boot(&mut self, place: usize, priority: u8) {
        let mut config = pair();
        for instance in &mut config.instances {
            instance.priority = priority;
        }
        let mut node = Node::booted(config, self.now);
        for (router, name) in ["eth1", "eth2"].into_iter().enumerate() {
            node.routers.handle(self.now, Input::Interface { name: name.to_owned(), up: true });
            let address = Some(ip(SOURCES[place]));
            node.routers.handle(self.now, Input::Source { router: RouterId(router), address });
        }
        self.nodes[place] = Some(node);
        self.perform(place);
    }

    fn reload(&mut self, place: usize, change: impl FnOnce(&mut Vrrp)) {
        if let Some(node) = &mut self.nodes[place] {
            change(&mut node.config);
            node.numbers = node.numbers.assign(&node.config);
            node.routers.reload(self.now, &node.config, &node.numbers);
        }
        self.perform(place);
    }

    fn tell(&mut self, place: usize, input: Input) {
        if let Some(node) = &mut self.nodes[place] {
            node.routers.handle(self.now, input);
        }
        self.perform(place);
    }

    fn link(&mut self, place: usize, name: &str, up: bool) {
        self.tell(place, Input::Interface { name: name.to_owned(), up });
    }

    /// The power fails.
    fn kill(&mut self, place: usize) {
        self.nodes[place] = None;
        self.leases[place] = [None; 2];
    }

    fn perform(&mut self, place: usize) {
        let Some(node) = &mut self.nodes[place] else { return };
        while let Some(output) = node.routers.poll_output() {
            match output {
                Output::Advert { router, priority, .. } => {
                    node.routers.handle(self.now, Input::Sent(router));
                    if self.carries[router.0] {
                        self.parcels.push(Parcel {
                            arrives: self.now + MS,
                            to: 1 - place,
                            router,
                            source: ip(SOURCES[place]),
                            advert: advert(&node.config.instances[router.0], priority),
                        });
                    }
                }
                Output::Lease { router, until } => self.leases[place][router.0] = until,
                _ => {}
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let timers = self.nodes.iter().flatten().filter_map(|node| node.routers.next_deadline());
            let timers = timers.map(|at| at.max(self.now) + LATE);
            let next = timers.chain(self.parcels.iter().map(|parcel| parcel.arrives)).min();
            let next = next.map_or(end, |at| at.max(self.now));
            self.pass(next.min(end));
            if next > end || self.now == end {
                return;
            }
            let (due, later) =
                std::mem::take(&mut self.parcels).into_iter().partition(|parcel| parcel.arrives <= next);
            self.parcels = later;
            for Parcel { to, router, source, advert, .. } in due {
                self.tell(to, Input::Heard { router, source, advert });
            }
            for place in 0..self.nodes.len() {
                if let Some(node) = &mut self.nodes[place] {
                    node.routers.handle_timeout(self.now);
                }
                self.perform(place);
            }
        }
    }

    /// Time passes without events; what nobody may forward meanwhile is added up.
    fn pass(&mut self, to: Instant) {
        for router in 0..2 {
            let both = self.leases.iter().map(|leases| leases[router]).min().flatten();
            self.doubled +=
                both.map_or(Duration::ZERO, |until| until.min(to).saturating_duration_since(self.now));
            let covered = self.leases.iter().filter_map(|leases| leases[router]).max();
            let from = covered.map_or(self.now, |until| until.max(self.now));
            self.gaps[router] += to.saturating_duration_since(from);
        }
        self.now = to;
    }

    fn forwards(&self, place: usize) -> [bool; 2] {
        self.leases[place].map(|until| until.is_some_and(|until| until > self.now))
    }

    fn assert_master(&self, place: usize) {
        assert_eq!((self.forwards(place), self.forwards(1 - place)), ([true; 2], [false; 2]));
        let states = self.nodes[place].as_ref().map(Node::states);
        assert_eq!(states, Some(vec![State::Master; 2]));
    }

    fn gap(&mut self) -> Duration {
        let gap = self.gaps.into_iter().max().unwrap_or_default();
        self.gaps = [Duration::ZERO; 2];
        gap
    }
}

#[test]
fn a_group_moves_as_a_whole() {
    let mut world = World::new([150, 100]);
    world.run(5 * SECOND);
    world.assert_master(0);
    world.gap();

    world.link(0, "eth2", false);
    world.run(5 * SECOND);
    world.assert_master(1);
    assert!(world.gap() < SECOND * 17 / 10, "one network heard nothing, and all waited an advert for it");

    world.link(0, "eth2", true);
    world.run(5 * SECOND);
    world.assert_master(0);
    assert!(world.gap() < 10 * MS, "preempted without a pause");

    world.kill(0);
    world.run(5 * SECOND);
    world.assert_master(1);
    assert!(world.gap() < SECOND * 37 / 10);

    world.boot(0, 150);
    world.run(5 * SECOND);
    world.assert_master(0);
    world.gap();

    world.tell(0, Input::Stop);
    world.run(2 * SECOND);
    world.assert_master(1);
    assert_eq!(world.gap(), Duration::ZERO, "the one that leaves forwards until its heir does");
}

#[test]
fn a_network_that_carries_nothing_does_not_tear_the_group_apart() {
    let mut world = World::new([150, 100]);
    world.run(5 * SECOND);
    world.gap();
    world.carries[1] = false;
    for _ in 0..30 {
        world.run(SECOND);
        world.assert_master(0);
    }
    assert_eq!(world.gap(), Duration::ZERO);
    world.carries[1] = true;
    world.run(10 * SECOND);
    world.assert_master(0);
}

#[test]
fn after_both_networks_carry_again_one_node_is_master_of_both() {
    let mut world = World::new([150, 100]);
    world.carries = [false; 2];
    world.run(6 * SECOND);
    assert_eq!((world.forwards(0), world.forwards(1)), ([true; 2], [true; 2]), "nobody can know");
    world.carries = [true; 2];
    world.run(3 * SECOND);
    world.assert_master(0);
}

/// Both take a configuration, one so long after the other, and nobody who forwards notices.
fn takes_over_nowhere(first: usize, pause: Duration, change: impl Fn(&mut Vrrp)) {
    let mut world = World::new([150, 100]);
    world.run(5 * SECOND + 300 * MS);
    world.gap();
    world.doubled = Duration::ZERO;
    world.reload(first, &change);
    world.run(pause);
    world.assert_master(0);
    world.reload(1 - first, &change);
    for _ in 0..20 {
        world.run(SECOND);
        world.assert_master(0);
    }
    assert_eq!((world.gap(), world.doubled), (Duration::ZERO, Duration::ZERO), "{first} {pause:?}");
}

#[test]
fn a_reload_of_one_node_after_the_other_changes_no_master() {
    let one_more = |config: &mut Vrrp| config.instances[0].virtual_addresses.push(owned("203.0.113.200"));
    let one_less = |config: &mut Vrrp| drop(config.instances[0].virtual_addresses.pop());
    let slower = |config: &mut Vrrp| {
        config.instances.iter_mut().for_each(|instance| instance.advert_interval = 3 * SECOND);
    };
    let faster = |config: &mut Vrrp| {
        config.instances.iter_mut().for_each(|instance| instance.advert_interval = SECOND / 4);
    };
    let nothing = |_: &mut Vrrp| {};
    let older = |config: &mut Vrrp| {
        config.instances.iter_mut().for_each(|instance| instance.version = Version::V2);
    };
    for first in [0, 1] {
        // Who still has the old one does not understand the other: it waits as long as for a silent master.
        for pause in [Duration::ZERO, 700 * MS, 1500 * MS] {
            takes_over_nowhere(first, pause, one_more);
            takes_over_nowhere(first, pause, one_less);
            takes_over_nowhere(first, pause, older);
        }
        for pause in [Duration::ZERO, 700 * MS, 60 * SECOND] {
            takes_over_nowhere(first, pause, slower);
            takes_over_nowhere(first, pause, faster);
            takes_over_nowhere(first, pause, nothing);
        }
    }
}

#[test]
fn a_backup_with_new_addresses_hears_the_master_with_the_old_ones_for_as_long_as_it_takes() {
    let one_more = |config: &mut Vrrp| config.instances[1].virtual_addresses.push(owned("203.0.113.200"));
    takes_over_nowhere(1, 60 * SECOND, one_more);
    let slower = |config: &mut Vrrp| {
        for instance in &mut config.instances {
            (instance.version, instance.advert_interval) = (Version::V2, 2 * SECOND);
        }
    };
    let mut world = World::new([150, 100]);
    for place in [0, 1] {
        world.reload(place, |config| {
            config.instances.iter_mut().for_each(|instance| instance.version = Version::V2);
        });
    }
    world.run(5 * SECOND);
    world.assert_master(0);
    world.reload(1, slower);
    world.run(60 * SECOND);
    world.assert_master(0);
    world.reload(0, slower);
    world.run(60 * SECOND);
    world.assert_master(0);
}

#[test]
fn a_removed_router_goes_to_the_other_node_without_a_pause() {
    let mut world = World::new([150, 100]);
    for place in [0, 1] {
        world.reload(place, |config| config.sync_groups.clear());
    }
    world.run(5 * SECOND);
    world.assert_master(0);
    world.gap();
    world.reload(0, |config| config.instances[1].interface = None);
    world.run(5 * SECOND);
    assert_eq!((world.forwards(0), world.forwards(1)), ([true, false], [false, true]));
    assert_eq!((world.gap(), world.gaps), (Duration::ZERO, [Duration::ZERO; 2]));
}
