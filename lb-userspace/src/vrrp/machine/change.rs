//! Owns what becomes of a virtual router whose configuration is another while it runs.

use std::time::Instant;

use super::settings::Settings;
use super::{Machine, Phase};
use crate::config::model::vrrp::VrrpInstance;

/// What an instance holds, beside what it held before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belongings {
    /// It is the same.
    Same,
    /// Something is gone or another, but no address is new.
    Fewer,
    /// There are new addresses.
    More,
}

impl Machine {
    /// Takes the configuration of the same virtual router, its state and timers kept. What a master holds is to be held
    /// anew if it is another; who does not is to give it back. The effective priority comes with [`super::Event::Priority`].
    ///
    /// A master sends its next advert no later than a new one would, and no later than was planned. A backup waits as
    /// long as the adverts it has heard said. Adverts with the interval and addresses that were configured before count
    /// until one comes with those of now: other routers are reloaded later.
    pub fn reload(&mut self, now: Instant, instance: &VrrpInstance, belongings: Belongings) {
        let settings = Settings::of(instance).in_place_of(&self.settings);
        let before = std::mem::replace(&mut self.settings, settings);
        if (before.version, before.checksum) != (self.settings.version, self.settings.checksum) {
            self.checksum = self.settings.checksum;
        }
        match &mut self.phase {
            Phase::Master(master) => {
                master.advert_at = master.advert_at.min(now + self.settings.pace());
                if before.announcing.refresh != self.settings.announcing.refresh {
                    master.bursts.refresh(now, &self.settings.announcing);
                }
                if belongings == Belongings::More {
                    master.bursts.repeat(now, &self.settings.announcing);
                }
            }
            Phase::Backup(backup) => {
                backup.delay_preemption(before.preempt_delay, self.settings.preempt_delay);
            }
            Phase::Initialize | Phase::Leaving(_) | Phase::Fault => {}
        }
        if belongings != Belongings::Same {
            self.outbox.hold(matches!(self.phase, Phase::Master(_)));
        }
    }
}
