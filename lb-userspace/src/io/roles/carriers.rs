//! Owns that the virtual interfaces of `use_vmac` are there while the interface that carries them is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::config::model::vrrp::Vrrp;
use crate::io::vmac::{Error, Vmacs, virtual_mac};

/// From a failure to the next try.
const RETRY: Duration = Duration::from_secs(10);

/// The virtual interfaces that the configuration asks for.
#[derive(Debug)]
pub(super) struct Carriers {
    vmacs: Vmacs,
    /// By name.
    wanted: BTreeMap<String, Wanted>,
    /// The interfaces that there are.
    present: BTreeSet<String>,
    retry_at: Option<Instant>,
}

#[derive(Debug)]
struct Wanted {
    instance: String,
    parent: String,
    mac: [u8; 6],
    /// Why there is none, as it was logged.
    trouble: Option<String>,
}

impl Wanted {
    fn link(&self) -> (&str, [u8; 6]) {
        (&self.parent, self.mac)
    }
}

/// By name, what the configuration asks for.
fn wanted(config: &Vrrp) -> impl Iterator<Item = (String, Wanted)> {
    config.instances.iter().filter_map(|instance| {
        let wanted = Wanted {
            instance: instance.name.clone(),
            parent: instance.interface.clone()?,
            mac: virtual_mac(instance.family, instance.virtual_router_id),
            trouble: None,
        };
        Some((instance.vmac.as_ref()?.name.clone(), wanted))
    })
}

impl Carriers {
    pub(super) fn new(config: &Vrrp) -> Self {
        let (vmacs, present) = (Vmacs::default(), BTreeSet::new());
        Self { vmacs, wanted: wanted(config).collect(), present, retry_at: None }
    }

    /// Takes another configuration: makes what is new, removes what is not wanted any more, and leaves the rest. Those that
    /// are `busy` stay as they are, until this is called again without them.
    pub(super) async fn change(&mut self, config: &Vrrp, busy: &[String]) {
        let mut wanted: BTreeMap<_, _> = wanted(config).collect();
        wanted.retain(|name, _| !busy.contains(name));
        let is_other = |name: &String, old: &Wanted| {
            !busy.contains(name) && wanted.get(name).is_none_or(|new| new.link() != old.link())
        };
        let gone: Vec<_> = self.wanted.extract_if(.., |name, old| is_other(name, old)).collect();
        for (name, _) in gone {
            if let Err(error) = self.vmacs.remove(&name).await {
                warn!(%error, "a virtual interface stays");
            }
        }
        for (name, new) in wanted {
            if let Some(old) = self.wanted.get_mut(&name) {
                old.instance = new.instance;
            } else {
                self.wanted.insert(name.clone(), new);
                self.make(|other, _| other == name).await;
            }
        }
    }

    /// Takes note of an interface. One that came gets its virtual interfaces: they are gone with one that was made anew.
    /// A virtual one that something else removed is made again.
    pub(super) async fn interface(&mut self, name: &str, is_there: bool) {
        if is_there {
            self.present.insert(name.to_owned());
            self.make(|_, wanted| wanted.parent == name).await;
        } else {
            self.present.remove(name);
            self.make(|virtual_name, _| virtual_name == name).await;
        }
    }

    /// When [`Self::retry`] is to be called.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Makes what is missing.
    pub(super) async fn retry(&mut self) {
        self.retry_at = None;
        self.make(|_, wanted| wanted.trouble.is_some()).await;
    }

    pub(super) async fn remove_all(mut self) {
        self.vmacs.remove_all().await;
    }

    async fn make(&mut self, which: impl Fn(&str, &Wanted) -> bool) {
        for (name, wanted) in self.wanted.iter_mut().filter(|(name, wanted)| which(name, wanted)) {
            if !self.present.contains(&wanted.parent) {
                continue;
            }
            match self.vmacs.ensure(&wanted.parent, name, wanted.mac).await {
                // Its coming is told.
                Ok(_) | Err(Error::NoParent { .. }) => wanted.trouble = None,
                Err(error) => {
                    let trouble = error.to_string();
                    if wanted.trouble.as_ref() != Some(&trouble) {
                        warn!(instance = wanted.instance, "{trouble}; trying again every 10 s");
                    }
                    wanted.trouble = Some(trouble);
                    self.retry_at = Some(Instant::now() + RETRY);
                }
            }
        }
    }
}
