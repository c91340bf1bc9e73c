//! Owns what trackers do to a router: its effective priority, and why it is in fault. Refuses to look at the host:
//! what is up is told to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::config::model::vrrp::{Family, SyncGroup, Track, Tracks, Vrrp, VrrpInstance, VrrpScript};

#[cfg(test)]
mod tests;

/// The priority of the owner of the addresses, which no tracker moves (RFC 5798 section 5.2.4).
const OWNER: u8 = 255;
/// From here down, what a file says means fault.
const FILE_FAULT: i64 = -254;
/// No file adds more.
const FILE_MOST: i64 = 253;

/// What is known of everything that is tracked.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    interfaces: BTreeMap<String, bool>,
    /// Without a value before the first result.
    scripts: BTreeMap<String, Option<bool>>,
    files: BTreeMap<String, i32>,
    processes: BTreeMap<String, bool>,
}

impl Observed {
    /// Nothing is known yet: interfaces are absent, files have 0, processes are up, and scripts are down with `init_fail`.
    /// Without it their result is waited for where it decides between fault and none, and else counts for nothing.
    pub fn new(config: &Vrrp) -> Self {
        let mut observed = Self::default();
        observed.reload(config);
        observed
    }

    /// Forgets what the configuration no longer names. Scripts that are new begin as in [`Self::new`]; what is known of one
    /// that is another now holds until its first result.
    pub fn reload(&mut self, config: &Vrrp) {
        let mut known = std::mem::take(&mut self.scripts);
        let begins = |script: &VrrpScript| script.init_fail.then_some(false);
        let mut result = |script: &VrrpScript| known.remove(&script.name).flatten().or(begins(script));
        self.scripts = config.scripts.iter().map(|script| (script.name.clone(), result(script))).collect();
        let interfaces = config.interfaces();
        self.interfaces.retain(|name, _| interfaces.contains(name));
        self.files.retain(|name, _| config.files.iter().any(|file| file.name == *name));
        self.processes.retain(|name, _| config.processes.iter().any(|process| process.name == *name));
    }

    /// Whether an interface is up.
    pub fn interface(&mut self, name: String, up: bool) {
        self.interfaces.insert(name, up);
    }

    /// Whether a script is up.
    pub fn script(&mut self, name: String, up: bool) {
        self.scripts.insert(name, Some(up));
    }

    /// The number in a file.
    pub fn file(&mut self, name: String, value: i32) {
        self.files.insert(name, value);
    }

    /// Whether a process is up.
    pub fn process(&mut self, name: String, up: bool) {
        self.processes.insert(name, up);
    }

    fn is_known(&self, kind: Kind, name: &str) -> bool {
        match kind {
            Kind::Interface => self.interfaces.contains_key(name),
            Kind::Script => self.scripts.get(name).copied().flatten().is_some(),
            Kind::File => self.files.contains_key(name),
            Kind::Process => self.processes.contains_key(name),
        }
    }

    fn interface_is_up(&self, name: &str) -> bool {
        self.interfaces.get(name).copied().unwrap_or(false)
    }
}

/// What trackers make of a router at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The effective priority.
    pub priority: u8,
    /// Why it is in fault, sentences for people; empty if it is not.
    pub faults: Vec<String>,
}

/// What one router tracks: its own trackers, and those of its sync group that it has not got itself.
#[derive(Clone, Debug)]
pub struct Tracker {
    priority: u8,
    interface: String,
    interface_matters: bool,
    source: SourceRule,
    tracks: Tracks,
    /// What a reload added before anything was known of it: until it is, it changes nothing for a router that runs.
    late: BTreeSet<(Kind, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Interface,
    Script,
    File,
    Process,
}

/// Which missing source address is a fault.
#[derive(Clone, Debug)]
enum SourceRule {
    /// The interface has no address of this family.
    AnyOf(Family),
    /// This one is not on the host, and that is tracked.
    This(IpAddr),
    /// None: an address is configured and not tracked.
    Ignored,
}

impl Tracker {
    /// The tracker of an instance that has an interface.
    pub fn new(instance: &VrrpInstance, interface: &str, group: Option<&SyncGroup>) -> Self {
        let mut tracks = instance.tracks.clone();
        if let Some(group) = group {
            add_missing(&mut tracks.interfaces, &group.tracks.interfaces);
            add_missing(&mut tracks.scripts, &group.tracks.scripts);
            add_missing(&mut tracks.files, &group.tracks.files);
            add_missing(&mut tracks.processes, &group.tracks.processes);
        }
        Self {
            priority: instance.priority,
            interface: interface.to_owned(),
            interface_matters: !instance.dont_track_primary,
            source: match instance.source {
                None => SourceRule::AnyOf(instance.family),
                Some(address) if instance.track_source => SourceRule::This(address),
                Some(_) => SourceRule::Ignored,
            },
            tracks,
            late: BTreeSet::new(),
        }
    }

    /// The same for a router that runs already, in place of its tracker `before`.
    #[must_use]
    pub fn in_place_of(mut self, before: &Self, observed: &Observed) -> Self {
        let is_late = |(kind, track): &(Kind, &Track)| {
            before.late.contains(&(*kind, track.name.clone()))
                || (!before.tracks(*kind).iter().any(|old| old.name == track.name)
                    && !observed.is_known(*kind, &track.name))
        };
        let kinds = [Kind::Interface, Kind::Script, Kind::File, Kind::Process];
        let all = kinds.into_iter().flat_map(|kind| self.tracks(kind).iter().map(move |track| (kind, track)));
        self.late = all.filter(is_late).map(|(kind, track)| (kind, track.name.clone())).collect();
        self
    }

    fn tracks(&self, kind: Kind) -> &[Track] {
        match kind {
            Kind::Interface => &self.tracks.interfaces,
            Kind::Script => &self.tracks.scripts,
            Kind::File => &self.tracks.files,
            Kind::Process => &self.tracks.processes,
        }
    }

    /// What counts of what it tracks.
    fn counting(&self, kind: Kind, observed: &Observed) -> impl Iterator<Item = &Track> {
        self.tracks(kind).iter().filter(move |track| {
            observed.is_known(kind, &track.name) || !self.late.contains(&(kind, track.name.clone()))
        })
    }

    /// What the trackers say while `observed` holds and the router's source address is `source`.
    pub fn assess(&self, observed: &Observed, source: Option<IpAddr>) -> Standing {
        let mut sum = Sum { weight: 0, faults: self.own_faults(observed, source) };
        for track in self.counting(Kind::Interface, observed) {
            let up = observed.interface_is_up(&track.name);
            sum.add(track, up, || format!("interface {} is {}", track.name, if up { "up" } else { "down" }));
        }
        for track in self.counting(Kind::Script, observed) {
            match observed.scripts.get(&track.name).copied().unwrap_or(Some(true)) {
                Some(up) => sum.add(track, up, || {
                    format!("script {} {}", track.name, if up { "succeeds" } else { "fails" })
                }),
                None if track.weight == 0 => {
                    sum.faults.insert(format!("script {} has given no result yet", track.name));
                }
                None => {}
            }
        }
        for track in self.counting(Kind::Process, observed) {
            let up = observed.processes.get(&track.name).copied().unwrap_or(true);
            sum.add(track, up, || format!("process {} is {}", track.name, if up { "up" } else { "down" }));
        }
        for track in self.counting(Kind::File, observed) {
            sum.add_file(track, observed.files.get(&track.name).copied().unwrap_or(0));
        }
        Standing { priority: effective(self.priority, sum.weight), faults: sum.faults.into_iter().collect() }
    }

    fn own_faults(&self, observed: &Observed, source: Option<IpAddr>) -> BTreeSet<String> {
        let mut faults = BTreeSet::new();
        if self.interface_matters && !observed.interface_is_up(&self.interface) {
            faults.insert(format!("interface {} is down", self.interface));
        } else if source.is_none() {
            faults.extend(match self.source {
                SourceRule::AnyOf(Family::V4) => {
                    Some(format!("interface {} has no IPv4 address", self.interface))
                }
                SourceRule::AnyOf(Family::V6) => {
                    Some(format!("interface {} has no IPv6 address", self.interface))
                }
                SourceRule::This(address) => Some(format!("source address {address} is not on this host")),
                SourceRule::Ignored => None,
            });
        }
        faults
    }
}

fn add_missing(own: &mut Vec<Track>, group: &[Track]) {
    for track in group {
        if own.iter().all(|known| known.name != track.name) {
            own.push(track.clone());
        }
    }
}

/// An owner stays the owner; no other becomes one, and none gets 0, which would give the mastership away.
fn effective(base: u8, weight: i64) -> u8 {
    if base == OWNER {
        return OWNER;
    }
    u8::try_from((i64::from(base) + weight).clamp(1, 254)).unwrap_or(base)
}

struct Sum {
    weight: i64,
    /// A set, because the router's own interface may be tracked twice.
    faults: BTreeSet<String>,
}

impl Sum {
    /// `reverse` on a weight changes the sign of what it does, not when: as keepalived has it, 10 takes 10 off while
    /// up and -10 adds 10 while down.
    fn add(&mut self, track: &Track, up: bool, state: impl FnOnce() -> String) {
        let acts = match track.weight {
            0 => false,
            weight => (weight > 0) == up,
        };
        if track.weight == 0 && up == track.reverse {
            self.faults.insert(state());
        }
        if acts {
            self.weight += signed(track, i64::from(track.weight));
        }
    }

    /// With weight 0 any number but 0 is a fault; with `reverse`, 0 is.
    fn add_file(&mut self, track: &Track, value: i32) {
        let says = signed(track, i64::from(track.weight) * i64::from(value));
        let fault = if track.weight == 0 { (value == 0) == track.reverse } else { says <= FILE_FAULT };
        if fault {
            self.faults.insert(format!("file {} says {value}", track.name));
        } else {
            self.weight += says.min(FILE_MOST);
        }
    }
}

fn signed(track: &Track, amount: i64) -> i64 {
    if track.reverse { -amount } else { amount }
}
