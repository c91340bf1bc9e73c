//! Whether enough real servers of a service are up, and whose turn it is where they are not.

use super::{News, VirtualService};

/// Whether there is a quorum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quorum {
    /// Nothing was counted yet.
    #[default]
    Unknown,
    /// There is.
    Held,
    /// There is none.
    Lost,
}

impl Quorum {
    /// After the weights that are up were counted: lost at 0 and below `least - hysteresis`, gained, also in the beginning,
    /// at `least + hysteresis`.
    #[must_use]
    pub fn after(self, weight: u32, least: u32, hysteresis: u32) -> Self {
        let threshold = match self {
            Self::Held => least.saturating_sub(hysteresis),
            Self::Unknown | Self::Lost => least.saturating_add(hysteresis),
        };
        if weight >= threshold.max(1) { Self::Held } else { Self::Lost }
    }
}

impl VirtualService {
    /// Counts who is up, and calls the real servers or the sorry server; gives what is to be told of that.
    pub(super) fn call(&mut self) -> Option<News> {
        let (least, hysteresis) = (self.wanted.quorum, self.wanted.hysteresis);
        let servers = self.servers.iter().filter(|server| !server.is_sorry && server.failures.is_empty());
        let weight = servers.map(|server| u32::from(server.quorum_weight())).sum();
        let before = self.quorum;
        self.quorum = before.after(weight, least, hysteresis);
        let has_sorry = self.servers.iter().any(|server| server.is_sorry);
        let is_held = self.quorum == Quorum::Held;
        let mut sorry = None;
        for server in &mut self.servers {
            let is_called = if server.is_sorry { !is_held } else { is_held || !has_sorry };
            if std::mem::replace(&mut server.is_called, is_called) != is_called && server.is_sorry {
                sorry = Some(server.rip);
            }
        }
        // In the beginning a loss is told only where it has a consequence.
        let is_first = before == Quorum::Unknown;
        let is_news = before != self.quorum && (!is_first || is_held || has_sorry);
        is_news.then(|| News::Quorum {
            service: self.wanted.key,
            is_up: is_held,
            is_first,
            sorry,
            rule: rule(is_held, least, hysteresis, weight),
        })
    }
}

fn rule(is_held: bool, least: u32, hysteresis: u32, weight: u32) -> String {
    let (least, hysteresis) = (i64::from(least), i64::from(hysteresis));
    if is_held {
        format!("{least}+{hysteresis}={} <= {weight}", least + hysteresis)
    } else {
        format!("{least}-{hysteresis}={} > {weight}", least - hysteresis)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::IpAddr;

    use lb_common::layout::{Address, NextHop, ServerState};
    use lb_common::sched::Scheduler;

    use super::*;
    use crate::control::{Action, Director, Event, Way};
    use crate::health::Verdict;
    use crate::plan::{Allocation, Difference, ServiceKey, Wanted, WantedServer};

    const KEY: ServiceKey = ServiceKey { vip: Address::v4([10, 0, 0, 100]), protocol: 6, port: 80 };

    #[test]
    fn a_quorum_is_lost_below_and_gained_above() {
        let walk = |least, hysteresis, weights: &[u32]| {
            let mut quorum = Quorum::default();
            let mut step = |weight: &u32| {
                quorum = quorum.after(*weight, least, hysteresis);
                quorum == Quorum::Held
            };
            weights.iter().map(&mut step).collect::<Vec<_>>()
        };
        assert_eq!(walk(1, 0, &[2, 1, 0, 1]), [true, true, false, true]);
        assert_eq!(walk(4, 1, &[5, 3, 2, 3, 4, 5, 4]), [true, true, false, false, false, true, true]);
        assert_eq!(walk(4, 1, &[3, 4, 5]), [false, false, true]);
        assert_eq!(walk(0, 0, &[0, 1, 0]), [false, true, false], "nobody is nobody");
    }

    fn rip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    /// Real servers 1 and 2 of weight 2 each and the sorry server 9.
    fn wanted(inhibit: bool, alpha: bool) -> [Wanted; 1] {
        let server = |last: u8| WantedServer {
            inhibit_on_failure: inhibit,
            checks: if last == 9 { Vec::new() } else { vec![u32::from(last)] },
            alpha: if alpha && last != 9 { vec![u32::from(last)] } else { Vec::new() },
            is_sorry: last == 9,
            ..WantedServer::new(rip(last), 2)
        };
        let servers = [1, 2, 9].map(server).to_vec();
        [Wanted { quorum: 3, ..Wanted::new(KEY, Scheduler::Wrr.into(), servers) }]
    }

    fn director(wanted: &[Wanted]) -> Director {
        let allocation = Allocation::default().assign(wanted).expect("small");
        let mut director = Director::new(wanted, &allocation);
        for last in [1, 2, 9] {
            let hop = NextHop { mac: [2, 0, 0, 0, 0, last], port: 0 };
            director.handle(&Event::Way(rip(last), Way::Through(hop)));
        }
        director
    }

    fn failed(check: u32) -> Event {
        Event::Check(check, Verdict::Down { reason: "connection refused".to_owned() })
    }

    fn pool(actions: &[Action]) -> Option<&[(u16, u16)]> {
        actions.iter().find_map(|action| match action {
            Action::Pool(_, list) => Some(list.as_slice()),
            _ => None,
        })
    }

    #[test]
    fn the_sorry_server_takes_the_place_of_all() {
        let mut director = director(&wanted(false, false));
        assert_eq!(pool(&director.everything()), Some(&[(1, 2), (0, 2)][..]));
        let actions = director.handle(&failed(1));
        let kinds: Vec<_> = actions
            .iter()
            .map(|action| match action {
                Action::Server { row, info, .. } => (Some(*row), info.state, info.quiescent),
                _ => (None, 0, 0),
            })
            .collect();
        let (ready, down) = (ServerState::Ready as u8, ServerState::Down as u8);
        let in_order = [(Some(2), ready, 0), (None, 0, 0), (Some(0), down, 1), (Some(1), ready, 1)];
        assert_eq!(kinds, in_order, "who is up keeps its flows");
        assert_eq!(pool(&actions), Some(&[(2, 2)][..]));
        let actions = director.handle(&Event::Check(1, Verdict::Up));
        assert_eq!(pool(&actions), Some(&[(1, 2), (0, 2)][..]));
        assert_eq!(director.handle(&Event::Check(1, Verdict::Up)), []);
    }

    #[test]
    fn who_is_drained_counts_as_before() {
        let mut director = director(&wanted(false, false));
        director.take_news();
        let mut drained = wanted(false, false);
        let server = &mut drained[0].servers_mut()[0];
        (server.weight, server.drained) = (0, Some(2));
        let allocation = Allocation::default().assign(&drained).expect("small");
        let difference = Difference::between(&director.services, drained.to_vec());
        let next = director.reload(&difference, &allocation, &BTreeMap::new());
        let steps = director.adopt(&difference, next);
        assert_eq!(director.services[&KEY].quorum, Quorum::Held, "4 of 3 are up: {steps:?}");
        director.handle(&failed(1));
        assert_eq!(director.services[&KEY].quorum, Quorum::Lost, "it has failed as well");
    }

    #[test]
    fn who_is_inhibited_stays_in_the_list_with_weight_0() {
        let mut director = director(&wanted(true, false));
        assert_eq!(pool(&director.everything()), Some(&[(2, 0), (1, 2), (0, 2)][..]));
        assert_eq!(pool(&director.handle(&failed(1))), Some(&[(2, 2), (1, 0), (0, 0)][..]));
        let listed = director.services[&KEY].listed().map(|(server, _)| server.listed_weight());
        assert_eq!(listed.collect::<Vec<_>>(), [2, 0, 0], "who is not called is listed without a weight");
        let actions = director.handle(&Event::Check(1, Verdict::Up));
        assert_eq!(pool(&actions), Some(&[(2, 0), (1, 2), (0, 2)][..]));
    }

    #[test]
    fn with_alpha_all_are_down_until_they_have_passed_and_nobody_is_told_that() {
        let mut director = director(&wanted(false, true));
        assert_eq!(pool(&director.everything()), Some(&[(2, 2)][..]));
        let rule = "3-0=3 > 0".to_owned();
        let sorry = Some(rip(9));
        let lost = News::Quorum { service: KEY, is_up: false, is_first: true, sorry, rule };
        assert_eq!(director.take_news(), [lost]);
        director.handle(&failed(1));
        director.handle(&failed(2));
        assert_eq!(director.take_news(), []);
        director.handle(&Event::Check(1, Verdict::Up));
        let told = |server| News::Check {
            service: KEY,
            server: rip(server),
            is_up: true,
            reason: String::new(),
            is_whole: true,
        };
        assert_eq!(director.take_news(), [told(1)]);
        let actions = director.handle(&Event::Check(2, Verdict::Up));
        assert_eq!(pool(&actions), Some(&[(1, 2), (0, 2)][..]));
        let rule = "3+0=3 <= 4".to_owned();
        let gained = News::Quorum { service: KEY, is_up: true, is_first: false, sorry, rule };
        assert_eq!(director.take_news(), [told(2), gained]);
    }

    #[test]
    fn each_change_is_told_once() {
        let mut director = director(&wanted(false, false));
        let rule = "3+0=3 <= 4".to_owned();
        let added = |last| News::Added { service: KEY, server: rip(last) };
        let held = News::Quorum { service: KEY, is_up: true, is_first: true, sorry: None, rule };
        assert_eq!(director.take_news(), [added(1), added(2), held]);
        for _ in 0..2 {
            director.handle(&failed(2));
        }
        let reason = "connection refused".to_owned();
        let down = News::Check { service: KEY, server: rip(2), is_up: false, reason, is_whole: true };
        let (sorry, rule) = (Some(rip(9)), "3-0=3 > 2".to_owned());
        let lost = News::Quorum { service: KEY, is_up: false, is_first: false, sorry, rule };
        assert_eq!(director.take_news(), [down, lost]);
        assert_eq!(director.take_news(), []);
    }
}
