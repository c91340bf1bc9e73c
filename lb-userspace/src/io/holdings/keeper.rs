//! The loop of the thread: what the [`Book`] wants, done by netlink.

use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Duration, sleep_until};
use tracing::{debug, error, info, warn};

use super::Command;
use super::book::{Added, Book, Urgency};
use super::item::{Item, Present, Resolved};
use super::promotion::Promotion;
use crate::io::links::Link;
use crate::io::netlink::{Error, Event, Events, Group, Requests, RouteChange};

/// From a failure of netlink itself to the next try.
const REOPEN_DELAY: Duration = Duration::from_secs(1);
/// As many failures of netlink while nobody can command any more end the thread.
const LAST_TRIES: u32 = 3;

/// The sockets and the book.
pub(super) struct Keeper {
    sockets: Sockets,
    book: Book,
}

struct Sockets {
    events: Events,
    requests: Requests,
}

impl Sockets {
    fn open() -> Result<Self, Error> {
        Ok(Self { events: Events::open(Group::Host)?, requests: Requests::open_filtering()? })
    }
}

/// What the host has now.
struct Host {
    links: Vec<Link>,
    present: Present,
}

impl Keeper {
    /// Opens the sockets, in the network namespace of the calling thread.
    pub(super) fn open() -> Result<Self, Error> {
        Ok(Self { sockets: Sockets::open()?, book: Book::default() })
    }

    /// Runs until nobody can command any more and everything that was commanded is done or was refused.
    ///
    /// # Errors
    /// When netlink fails at the end, so that something may not be done.
    pub(super) async fn run(mut self, mut commands: UnboundedReceiver<Command>) -> Result<(), Error> {
        let mut last_tries = LAST_TRIES;
        loop {
            let Err(failure) = self.follow(&mut commands).await else { return Ok(()) };
            if commands.is_closed() {
                last_tries -= 1;
            }
            if last_tries == 0 {
                return Err(failure);
            }
            error!(error = %failure, "addresses, routes and rules may not be as they should; trying again in 1 s");
            tokio::time::sleep(REOPEN_DELAY).await;
            match Sockets::open() {
                Ok(sockets) => self.sockets = sockets,
                Err(error) => error!(%error, "holding addresses"),
            }
            self.book.wake(Instant::now(), Urgency::Soon);
        }
    }

    /// Runs until nobody can command any more, or until netlink fails.
    async fn follow(&mut self, commands: &mut UnboundedReceiver<Command>) -> Result<(), Error> {
        loop {
            self.remove().await?;
            self.look().await?;
            // The look gave back what could not be removed before.
            self.remove().await?;
            let next_look = self.book.next_look();
            tokio::select! {
                biased;
                command = commands.recv() => {
                    let Some(command) = command else { return Ok(()) };
                    self.book.take(Instant::now(), command);
                    while let Ok(command) = commands.try_recv() {
                        self.book.take(Instant::now(), command);
                    }
                }
                event = self.sockets.events.next() => {
                    if let Some(urgency) = urgency(&self.book, &event?) {
                        self.book.wake(Instant::now(), urgency);
                    }
                }
                () = until(next_look) => {}
            }
        }
    }

    /// Removes what is to go.
    async fn remove(&mut self) -> Result<(), Error> {
        if self.book.removal().is_none() {
            return Ok(());
        }
        let host = self.host(|book, kind| book.removes(kind)).await?;
        while let Some(item) = self.book.removal() {
            let mut failure = None;
            for there in
                item.resolve(&host.links).into_iter().flat_map(|wanted| wanted.found_in(&host.present))
            {
                let spared = host.spare_others(&there);
                let removed = self.sockets.requests.remove(&there).await;
                drop(spared);
                match removed {
                    Ok(()) => info!("{item} removed"),
                    Err(error) if is_gone(&error) => debug!(%item, "is gone already"),
                    Err(error) if error.errno().is_some() => failure = Some(item.advice(&error)),
                    Err(error) => return Err(error),
                }
            }
            match failure {
                None => self.book.removed(),
                Some(why) => {
                    error!(%why, "{item} cannot be removed; trying again in 10 s");
                    self.book.removal_failed(Instant::now());
                }
            }
        }
        Ok(())
    }

    /// Puts there what is missing, if it is time to look.
    async fn look(&mut self) -> Result<(), Error> {
        if !self.book.look_is_due(Instant::now()) {
            return Ok(());
        }
        let items = self.book.look(Instant::now());
        if items.is_empty() {
            return Ok(());
        }
        let host = self.host(|book, kind| book.holds(kind)).await?;
        for item in items {
            match item.resolve(&host.links) {
                Ok(wanted) if wanted.is_in(&host.present) => {
                    self.book.present(&item.to_string(), wanted.index());
                }
                Ok(wanted) => self.add(&item, &wanted, &host).await?,
                Err(why) => self.failed(&item, &why),
            }
        }
        Ok(())
    }

    async fn add(&mut self, item: &Item, wanted: &Resolved, host: &Host) -> Result<(), Error> {
        let name = item.to_string();
        if !self.book.may_try(Instant::now(), &name) {
            return Ok(());
        }
        for useless in wanted.useless_in(&host.present) {
            let removed = self.sockets.requests.remove(&useless).await;
            debug!(item = name, ?removed, "was there, but not usable");
        }
        match self.sockets.requests.add(wanted).await {
            Ok(()) => {
                let added = self.book.added(Instant::now(), &name, wanted.index());
                log(item, added);
                Ok(())
            }
            Err(error) if error.errno().is_some() => {
                self.failed(item, &item.advice(&error));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn failed(&mut self, item: &Item, why: &str) {
        if self.book.failed(Instant::now(), &item.to_string(), why) {
            warn!(why, "{item} cannot be added");
        } else {
            debug!(why, "{item} still cannot be added");
        }
    }

    /// The links, and what else there is of the kinds that matter.
    async fn host(&self, matters: impl Fn(&Book, fn(&Item) -> bool) -> bool) -> Result<Host, Error> {
        let requests = &self.sockets.requests;
        let mut present = Present::default();
        if matters(&self.book, Item::is_address) {
            present.addresses = requests.addresses().await?;
        }
        if matters(&self.book, Item::is_route) {
            present.routes = requests.vrrp_routes().await?;
        }
        if matters(&self.book, Item::is_rule) {
            present.rules = requests.vrrp_rules().await?;
        }
        Ok(Host { links: requests.links().await?, present })
    }
}

impl Host {
    /// While the answer lives, removing an address does not take others with it.
    fn spare_others(&self, item: &Resolved) -> Option<Promotion> {
        let Resolved::Address(address) = item else { return None };
        let interface = self.links.iter().find(|link| link.index == address.index)?;
        Promotion::needed(address, &self.present.addresses).then(|| Promotion::allow(&interface.name))
    }
}

impl Requests {
    async fn add(&self, item: &Resolved) -> Result<(), Error> {
        match item {
            Resolved::Address(address) => self.add_address(address).await,
            Resolved::Route(route) => self.add_route(route).await,
            Resolved::Rule(rule) => self.add_rule(rule).await,
        }
    }

    async fn remove(&self, item: &Resolved) -> Result<(), Error> {
        match item {
            Resolved::Address(address) => self.remove_address(address).await,
            Resolved::Route(route) => self.remove_route(route).await,
            Resolved::Rule(rule) => self.remove_rule(rule).await,
        }
    }
}

async fn until(look: Option<Instant>) {
    match look {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Whether an event is a reason to look. The kernel says nothing of routes that vanish with their interface or an
/// address, so changes of those are reasons as well; with an address they vanish after its event.
fn urgency(book: &Book, event: &Event) -> Option<Urgency> {
    match event {
        Event::Link(_) | Event::LinkGone { .. } | Event::Overrun => Some(Urgency::Soon),
        Event::AddressGone(_) => Some(Urgency::Twice),
        Event::Address(address) => (address.doubtful || book.waits()).then_some(Urgency::Soon),
        Event::Routes(RouteChange::Lost) => book.holds(|item| !item.is_address()).then_some(Urgency::Soon),
        Event::Routes(RouteChange::Replaced) => book.holds(Item::is_route).then_some(Urgency::Someday),
        Event::Routes(RouteChange::Other) => book.waits().then_some(Urgency::Someday),
        Event::Neighbour(_) | Event::NeighbourGone { .. } => None,
    }
}

fn is_gone(error: &Error) -> bool {
    matches!(
        error.errno(),
        Some(libc::EADDRNOTAVAIL | libc::ENODEV | libc::ENOENT | libc::ESRCH | libc::ENXIO)
    )
}

fn log(item: &Item, added: Added) {
    match added {
        Added::First => info!("{item} added"),
        Added::AtLast => info!("{item} added at last"),
        Added::Again { recreated: true } => warn!("{item} added again: its interface was made anew"),
        Added::Again { recreated: false } => warn!("{item} added again: something else had removed it"),
        Added::StillAgain => debug!("{item} added again"),
    }
}
