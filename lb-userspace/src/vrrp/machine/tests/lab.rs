//! Several machines on one virtual clock and a network that loses, repeats, delays and perhaps reorders. A node is a machine,
//! a data plane that forwards while its lease lasts, whatever becomes of the machine, and a socket that fills up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;

/// `SplitMix64`: the same numbers for the same seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Clone, Copy)]
pub(super) struct Network {
    /// The least, and how much more there may be.
    pub(super) delay: (Duration, Duration),
    pub(super) lost_percent: u64,
    pub(super) repeated_percent: u64,
    /// So many in a row are lost at most on the way from one node to another.
    pub(super) lost_in_a_row: u32,
    /// One packet overtakes another.
    pub(super) reorders: bool,
}

/// Nothing is lost.
pub(super) const GOOD: Network = Network {
    delay: (ms(1), ms(49)),
    lost_percent: 0,
    repeated_percent: 20,
    lost_in_a_row: 0,
    reorders: false,
};
/// A third is lost.
pub(super) const BAD: Network = Network {
    delay: (ms(0), ms(80)),
    lost_percent: 33,
    repeated_percent: 20,
    lost_in_a_row: 5,
    reorders: true,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Runs,
    /// Gets no calls; what comes in waits in its socket.
    Frozen,
    Dead,
}

struct Node {
    instance: VrrpInstance,
    machine: Machine,
    life: Life,
    lease: Option<Instant>,
    holds: bool,
    stopped: bool,
    socket: VecDeque<(IpAddr, Advert)>,
}

/// How long something was so in all, and at most without a break.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spell {
    pub(super) total: Duration,
    pub(super) longest: Duration,
    running: Duration,
}

impl Spell {
    fn last(&mut self, time: Duration, so: bool) {
        self.running = if so { self.running + time } else { Duration::ZERO };
        self.total += if so { time } else { Duration::ZERO };
        self.longest = self.longest.max(self.running);
    }
}

pub(super) struct Lab {
    pub(super) now: Instant,
    pub(super) network: Network,
    pub(super) random: Random,
    /// Two or more nodes forward.
    pub(super) doubled: Spell,
    /// Two or more do, and one of them does not run.
    pub(super) orphaned: Spell,
    /// None does.
    pub(super) silent: Spell,
    nodes: Vec<Node>,
    on_the_way: BTreeMap<(Instant, u64), (usize, IpAddr, Advert)>,
    packets: u64,
    lost: BTreeMap<(usize, usize), u32>,
    last: BTreeMap<(usize, usize), Instant>,
    cut: BTreeSet<usize>,
}

impl Lab {
    pub(super) fn new(seed: u64, network: Network, instances: &[VrrpInstance]) -> Self {
        let now = Instant::now();
        let node = |instance: &VrrpInstance| Node {
            instance: instance.clone(),
            machine: Machine::new(instance),
            life: Life::Dead,
            lease: None,
            holds: false,
            stopped: false,
            socket: VecDeque::new(),
        };
        let mut lab = Self {
            now,
            network,
            random: Random(seed),
            doubled: Spell::default(),
            orphaned: Spell::default(),
            silent: Spell::default(),
            nodes: instances.iter().map(node).collect(),
            on_the_way: BTreeMap::new(),
            packets: 0,
            lost: BTreeMap::new(),
            last: BTreeMap::new(),
            cut: BTreeSet::new(),
        };
        (0..instances.len()).for_each(|node| lab.start(node));
        lab
    }

    /// The daemon is started; what an earlier one left forwarding it ends.
    pub(super) fn start(&mut self, node: usize) {
        let fresh = Machine::new(&self.nodes[node].instance);
        let started = &mut self.nodes[node];
        (started.machine, started.life, started.stopped) = (fresh, Life::Runs, false);
        (started.lease, started.holds) = (None, false);
        started.socket.clear();
        self.handle(node, Event::Source(Some(address(node))));
        self.handle(node, Event::Start);
    }

    /// SIGKILL: nothing takes the lease back.
    pub(super) fn kill(&mut self, node: usize) {
        self.nodes[node].life = Life::Dead;
    }

    /// SIGSTOP.
    pub(super) fn freeze(&mut self, node: usize) {
        if self.nodes[node].life == Life::Runs {
            self.nodes[node].life = Life::Frozen;
        }
    }

    /// SIGCONT: the timer and what waits in the socket come in either order.
    pub(super) fn thaw(&mut self, node: usize) {
        if self.nodes[node].life != Life::Frozen {
            return;
        }
        self.nodes[node].life = Life::Runs;
        if self.random.percent(50) {
            self.timer(node);
        }
        while let Some((source, advert)) = self.nodes[node].socket.pop_front() {
            self.handle(node, Event::Heard { source, advert });
        }
    }

    /// The node reads another configuration; one that does not run does so when it does again.
    pub(super) fn reload(&mut self, node: usize, instance: &VrrpInstance) {
        let reloaded = &mut self.nodes[node];
        if reloaded.life != Life::Runs {
            return;
        }
        reloaded.instance = instance.clone();
        reloaded.machine.handle_timeout(self.now);
        reloaded.machine.reload(self.now, instance, Belongings::More);
        self.handle(node, Event::Priority(instance.priority));
    }

    pub(super) fn stop(&mut self, node: usize) {
        self.handle(node, Event::Stop);
    }

    /// Nothing comes from there or gets there.
    pub(super) fn cut(&mut self, node: usize) {
        self.cut.insert(node);
    }

    pub(super) fn mend(&mut self, node: usize) {
        self.cut.remove(&node);
    }

    pub(super) fn handle(&mut self, node: usize, event: Event) {
        self.nodes[node].machine.handle(self.now, event);
        self.perform(node);
    }

    pub(super) fn machine(&self, node: usize) -> &Machine {
        &self.nodes[node].machine
    }

    pub(super) fn stopped(&self, node: usize) -> bool {
        self.nodes[node].stopped
    }

    /// Who forwards.
    pub(super) fn forwards(&self) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|&node| self.nodes[node].lease.is_some_and(|until| until > self.now))
            .collect()
    }

    /// Forgets what was measured.
    pub(super) fn measure(&mut self) {
        (self.doubled, self.orphaned, self.silent) = <_>::default();
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let packet = self.on_the_way.first_key_value().map(|((at, _), _)| *at);
            let running = self.nodes.iter().enumerate().filter(|(_, node)| node.life == Life::Runs);
            let timers = running.filter_map(|(place, node)| Some((node.machine.next_deadline()?, place)));
            let timer = timers.min();
            match (packet, timer) {
                (Some(at), timer) if at <= end && timer.is_none_or(|(due, _)| at <= due) => {
                    self.pass(at);
                    self.deliver();
                }
                (_, Some((due, node))) if due <= end => {
                    self.pass(due);
                    self.timer(node);
                }
                _ => break,
            }
        }
        self.pass(end);
    }

    /// Runs for a random time.
    pub(super) fn run_below(&mut self, most: Duration) {
        let time = self.random.below(u64::try_from(most.as_nanos()).unwrap());
        self.run(Duration::from_nanos(time));
    }

    /// Runs until it is so, for a minute at most.
    pub(super) fn run_until(&mut self, so: impl Fn(&Self) -> bool) -> Duration {
        let from = self.now;
        while !so(self) {
            assert!(self.now - from < SECOND * 60, "it never happens");
            self.run(ms(1));
        }
        self.now - from
    }

    fn timer(&mut self, node: usize) {
        self.nodes[node].machine.handle_timeout(self.now);
        self.perform(node);
    }

    fn deliver(&mut self) {
        let Some((_, (node, source, advert))) = self.on_the_way.pop_first() else { return };
        match self.nodes[node].life {
            Life::Runs => self.handle(node, Event::Heard { source, advert }),
            Life::Frozen if self.nodes[node].socket.len() < 100 => {
                self.nodes[node].socket.push_back((source, advert));
            }
            Life::Frozen | Life::Dead => {}
        }
    }

    /// Time passes, in which leases may end.
    fn pass(&mut self, to: Instant) {
        while self.now < to {
            let ends = self.nodes.iter().filter_map(|node| node.lease.filter(|&until| until > self.now));
            let next = ends.min().map_or(to, |until| until.min(to));
            let forward = self.forwards();
            let runs = forward.iter().all(|&node| self.nodes[node].life == Life::Runs);
            self.doubled.last(next - self.now, forward.len() > 1);
            self.orphaned.last(next - self.now, forward.len() > 1 && !runs);
            self.silent.last(next - self.now, forward.is_empty());
            self.now = next;
        }
    }

    fn perform(&mut self, node: usize) {
        while let Some(action) = self.nodes[node].machine.poll_action() {
            match action {
                Action::Advert { priority, checksum } => {
                    self.send(node, priority, checksum);
                    self.nodes[node].machine.handle(self.now, Event::Sent);
                }
                Action::Lease(until) => self.nodes[node].lease = until,
                Action::Hold(hold) => self.nodes[node].holds = hold,
                Action::Stopped => (self.nodes[node].stopped, self.nodes[node].life) = (true, Life::Dead),
                Action::Burst { .. } => assert!(self.nodes[node].holds),
                Action::Changed { .. } | Action::HeardLower | Action::Refused { .. } => {}
            }
        }
    }

    fn send(&mut self, from: usize, priority: u8, checksum: Checksum) {
        let instance = &self.nodes[from].instance;
        let advert = Advert {
            version: instance.version,
            vrid: instance.virtual_router_id,
            priority,
            interval: instance.advert_interval,
            addresses: instance.virtual_addresses.iter().map(|owned| owned.address).collect(),
            checksum,
        };
        for to in (0..self.nodes.len()).filter(|&to| to != from) {
            let lost = self.lost.entry((from, to)).or_default();
            let lose = self.random.percent(self.network.lost_percent) && *lost < self.network.lost_in_a_row;
            *lost = if lose { *lost + 1 } else { 0 };
            if lose || self.cut.contains(&from) || self.cut.contains(&to) {
                continue;
            }
            let copies = 1 + u32::from(self.random.percent(self.network.repeated_percent));
            for _ in 0..copies {
                let (least, more) = self.network.delay;
                let spread = u64::try_from(more.as_nanos()).unwrap();
                let mut at = self.now + least + Duration::from_nanos(self.random.below(spread + 1));
                let last = self.last.entry((from, to)).or_insert(at);
                at = if self.network.reorders { at } else { at.max(*last) };
                *last = at;
                self.packets += 1;
                self.on_the_way.insert((at, self.packets), (to, address(from), advert.clone()));
            }
        }
    }
}

/// The address a node sends from; a later one has a higher address.
pub(super) fn address(node: usize) -> IpAddr {
    ip(["192.0.2.11", "192.0.2.12", "192.0.2.13"][node])
}
