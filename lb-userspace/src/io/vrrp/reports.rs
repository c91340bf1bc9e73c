//! Owns what the thread tells the daemon. Refuses to wait for it.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::{Sender, error::TrySendError};

use super::refusals::Refusals;
use super::{Event, Whom};
use crate::config::model::vrrp::VrrpInstance;
use crate::vrrp::wire::Refusal;
use crate::vrrp::{Output, RouterId};

/// Events that wait for the daemon in this thread.
const BACKLOG: usize = 1024;

/// What was told, and what waits to be.
pub(super) struct Reports {
    events: Sender<Event>,
    backlog: VecDeque<Event>,
    /// What fails, so that it is said once.
    troubles: BTreeMap<String, String>,
    refusals: Refusals,
}

impl Reports {
    pub(super) fn new(events: Sender<Event>) -> Self {
        Self { events, backlog: VecDeque::new(), troubles: BTreeMap::new(), refusals: Refusals::default() }
    }

    /// Tells what became of a router. That it heard a lower priority is said again with the next advert, and so does
    /// not wait for a daemon that has no time.
    pub(super) fn output(&mut self, output: Output, whom: Whom) {
        if matches!(output, Output::HeardLower(_)) && self.waits() {
            return;
        }
        self.tell(Event::Output(output, whom));
    }

    /// Tells of a refused advert, now and then.
    pub(super) fn refused(
        &mut self,
        router: RouterId,
        instance: &Arc<VrrpInstance>,
        (source, reason): (IpAddr, Refusal),
        now: Instant,
    ) {
        if let Some(others) = self.refusals.count(router, reason, now) {
            self.tell(Event::Refused { instance: Arc::clone(instance), source, reason, others });
        }
    }

    /// Tells something for the log.
    pub(super) fn trouble(&mut self, what: String) {
        self.tell(Event::Trouble(what));
    }

    /// Tells of something that fails, if that is news.
    pub(super) fn fails(&mut self, what: &str, error: &str) {
        let before = self.troubles.insert(what.to_owned(), error.to_owned());
        if before.as_deref() != Some(error) {
            self.trouble(format!("{what}: {error}"));
        }
    }

    /// Tells that it works again, if it failed.
    pub(super) fn works(&mut self, what: &str) {
        if self.troubles.remove(what).is_some() {
            self.trouble(format!("{what}: works again"));
        }
    }

    /// Whether something failed that was not said to work again.
    pub(super) fn has_troubles(&self) -> bool {
        !self.troubles.is_empty()
    }

    /// Whether the daemon has not yet taken everything.
    pub(super) fn waits(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Hands over what the daemon has room for.
    pub(super) fn flush(&mut self) {
        while let Some(event) = self.backlog.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.backlog.push_front(event);
                    return;
                }
                // Without a daemon the commands end too, and with them the thread.
                Err(TrySendError::Closed(_)) => return,
            }
        }
    }

    /// Hands over the rest and this. Waits for the daemon, as long as there is one.
    pub(super) fn end(mut self, last: Event) {
        self.backlog.push_back(last);
        for event in self.backlog {
            let _nobody_listens = self.events.blocking_send(event);
        }
    }

    fn tell(&mut self, event: Event) {
        // That a router has ended is said once and waited for.
        let is_lost = |event: &Event| !matches!(event, Event::Output(Output::Ended(_), _));
        if self.backlog.len() >= BACKLOG
            && let Some(oldest) = self.backlog.iter().position(is_lost)
        {
            self.backlog.remove(oldest);
        }
        self.backlog.push_back(event);
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Span;
    use crate::vrrp::State;

    fn changed(router: usize) -> Output {
        Output::Changed {
            router: RouterId(router),
            from: State::Backup,
            to: State::Master,
            priority: 100,
            reason: String::new(),
        }
    }

    fn whom() -> Whom {
        Whom::Instance(Arc::new(VrrpInstance::new("VI_1".to_owned(), Span::default())))
    }

    fn told(reader: &mut tokio::sync::mpsc::Receiver<Event>) -> Vec<Event> {
        std::iter::from_fn(|| reader.try_recv().ok()).collect()
    }

    #[test]
    fn a_daemon_without_time_loses_no_change_of_state() {
        let (events, mut reader) = tokio::sync::mpsc::channel(1);
        let mut reports = Reports::new(events);
        for router in 0..3 {
            reports.output(changed(router), whom());
            reports.output(Output::HeardLower(RouterId(router)), whom());
        }
        let mut seen = Vec::new();
        while reports.waits() {
            seen.extend(told(&mut reader));
            reports.flush();
        }
        seen.extend(told(&mut reader));
        let seen: Vec<_> = seen
            .iter()
            .map(|event| match event {
                Event::Output(Output::Changed { router, .. }, _) => (router.0, "changed"),
                Event::Output(Output::HeardLower(router), _) => (router.0, "heard a lower priority"),
                other => panic!("{other:?}"),
            })
            .collect();
        let changes = [1, 2].map(|router| (router, "changed"));
        assert_eq!(seen, [&[(0, "changed"), (0, "heard a lower priority")][..], &changes].concat());
    }

    #[test]
    fn a_trouble_is_said_once_until_it_works() {
        let (events, mut reader) = tokio::sync::mpsc::channel(9);
        let mut reports = Reports::new(events);
        reports.works("it");
        reports.fails("it", "is down");
        reports.fails("it", "is down");
        reports.fails("it", "is gone");
        reports.works("it");
        reports.fails("it", "is gone");
        let said: Vec<_> = told(&mut reader)
            .into_iter()
            .map(|event| match event {
                Event::Trouble(what) => what,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(said, ["it: is down", "it: is gone", "it: works again", "it: is gone"]);
    }
}
