//! Where things stand in the file, which does not count when two configurations are compared. Reads no text.

use std::sync::Arc;

use super::{Config, VirtualServer};
use crate::config::source::Span;

impl Config {
    /// The same with no place in it, to compare what two texts say.
    #[must_use]
    pub fn without_places(mut self) -> Self {
        let nowhere = Span::default();
        for rule in &mut self.mark_rules {
            rule.span = nowhere;
        }
        self.tls.iter_mut().for_each(|files| files.span = nowhere);
        for service in &mut self.virtual_servers {
            Arc::make_mut(service).forget_places();
        }
        let vrrp = &mut self.vrrp;
        vrrp.scripts.iter_mut().for_each(|script| script.span = nowhere);
        vrrp.files.iter_mut().for_each(|file| file.span = nowhere);
        vrrp.processes.iter_mut().for_each(|process| process.span = nowhere);
        vrrp.sync_groups.iter_mut().for_each(|group| group.span = nowhere);
        for instance in &mut vrrp.instances {
            instance.span = nowhere;
            instance.routes.iter_mut().for_each(|route| route.span = nowhere);
            instance.rules.iter_mut().for_each(|rule| rule.span = nowhere);
        }
        self
    }
}

impl VirtualServer {
    /// Whether both say the same, wherever they stand.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let [mut one, mut other] = [self, other].map(Self::clone);
        one.forget_places();
        other.forget_places();
        one == other
    }

    fn forget_places(&mut self) {
        let nowhere = Span::default();
        self.span = nowhere;
        self.sorry.iter_mut().for_each(|sorry| sorry.span = nowhere);
        for server in &mut self.real_servers {
            server.span = nowhere;
            for checker in &mut server.checkers {
                checker.span = nowhere;
                checker.parts.fill(nowhere);
            }
        }
    }
}
