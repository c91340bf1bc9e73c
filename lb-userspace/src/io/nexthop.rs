//! Owns where frames to each real server go: the MAC address and the link, kept current by netlink.
//! Refuses to decide what an unresolved server means for forwarding, and writes no map.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tracing::{debug, error, warn};

use self::table::{Output, Table};
use super::netlink::facts::Route;
use super::netlink::{Error, Event, Events, Group, Requests};

mod table;

/// Changes that may wait for the reader. When it is full, each address waits with its newest resolution and those
/// between are never reported.
const CHANGE_QUEUE: usize = 256;

/// From a failure of netlink itself to the next try.
const REOPEN_DELAY: Duration = Duration::from_secs(1);

/// Where frames to an address go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// Nowhere: the address is this host's own.
    Local,
    /// To a neighbour, which is the address itself or its gateway.
    Resolved {
        /// The neighbour's Ethernet address.
        mac: [u8; 6],
        /// The link on which it is.
        ifindex: u32,
    },
    /// It is not known.
    Unresolved {
        /// Why, for people: `10.0.0.9 does not answer ARP on eth0`.
        reason: String,
    },
}

/// What is known of several addresses.
pub type Resolutions = BTreeMap<IpAddr, Resolution>;

/// The resolutions that are kept current; ends when this or the receiver is dropped.
#[derive(Debug)]
pub struct NextHops {
    wanted: watch::Sender<Wanted>,
}

/// The addresses of interest, each with the number of its coming: one that went and comes again is known by that, however
/// late somebody looks.
#[derive(Debug, Default)]
struct Wanted {
    addresses: BTreeMap<IpAddr, u64>,
    changes: u64,
}

impl Wanted {
    fn change(&mut self, come: &BTreeSet<IpAddr>, go: &BTreeSet<IpAddr>) {
        self.changes += 1;
        for address in come {
            self.addresses.entry(*address).or_insert(self.changes);
        }
        for address in go {
            self.addresses.remove(address);
        }
    }
}

impl NextHops {
    /// Begins to resolve `addresses`. Each resolution is sent once it is known first, and then when it changes.
    ///
    /// Needs a Tokio runtime with time and I/O. The sockets are opened in the network namespace of the calling
    /// thread; should netlink break, they are opened again on the thread that runs the task.
    ///
    /// # Errors
    /// When the netlink sockets cannot be made.
    pub fn start(
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Result<(Self, mpsc::Receiver<(IpAddr, Resolution)>), Error> {
        let sockets = Sockets::open()?;
        let mut first = Wanted::default();
        first.change(&addresses.into_iter().collect(), &BTreeSet::new());
        let (wanted, changes) = watch::channel(first);
        let (reports, reader) = mpsc::channel(CHANGE_QUEUE);
        tokio::spawn(run(sockets, changes, reports));
        Ok((Self { wanted }, reader))
    }

    /// Takes in addresses that come, and forgets those that go. A new one is reported as at the start, though it was there
    /// before; nothing more is said about one that is gone, except what is in the channel already.
    pub fn change(&self, come: &BTreeSet<IpAddr>, go: &BTreeSet<IpAddr>) {
        if come.is_empty() && go.is_empty() {
            return;
        }
        self.wanted.send_modify(|wanted| wanted.change(come, go));
    }
}

struct Sockets {
    events: Events,
    requests: Requests,
}

impl Sockets {
    fn open() -> Result<Self, Error> {
        Ok(Self { events: Events::open(Group::All)?, requests: Requests::open()? })
    }
}

async fn run(
    sockets: Sockets,
    mut wanted: watch::Receiver<Wanted>,
    reports: mpsc::Sender<(IpAddr, Resolution)>,
) {
    let mut table = Table::default();
    table.set(&wanted.borrow_and_update().addresses);
    let mut sockets = Ok(sockets);
    loop {
        let ended = match sockets {
            Ok(mut sockets) => follow(&mut sockets, &mut table, &mut wanted, &reports).await,
            Err(error) => Err(error),
        };
        let Err(error) = ended else { return };
        error!(%error, "next hops may be out of date; trying again in 1 s");
        tokio::time::sleep(REOPEN_DELAY).await;
        sockets = Sockets::open();
    }
}

/// Runs until nobody wants to know any more, or until netlink fails.
async fn follow(
    sockets: &mut Sockets,
    table: &mut Table,
    wanted: &mut watch::Receiver<Wanted>,
    reports: &mpsc::Sender<(IpAddr, Resolution)>,
) -> Result<(), Error> {
    table.replace(sockets.requests.snapshot().await?);
    loop {
        table.handle_timeout(Instant::now());
        while let Some(output) = table.poll_output() {
            perform(&sockets.requests, table, output).await?;
        }
        let changed = table.has_change();
        tokio::select! {
            event = sockets.events.next() => match event? {
                Event::Overrun => {
                    warn!("kernel events were lost; looking at all links and neighbours again");
                    table.replace(sockets.requests.snapshot().await?);
                }
                event => table.handle(Instant::now(), event),
            },
            set = wanted.changed() => {
                if set.is_err() {
                    return Ok(());
                }
                table.set(&wanted.borrow_and_update().addresses);
            }
            permit = reports.reserve(), if changed => {
                let Ok(permit) = permit else { return Ok(()) };
                if let Some((address, resolution)) = table.take_change() {
                    debug!(%address, ?resolution, "next hop");
                    permit.send((address, resolution));
                }
            }
            () = reports.closed() => return Ok(()),
            () = sleep_until(table.next_deadline()) => {}
        }
    }
}

/// Asks the kernel what the table wants to know. A refusal is an answer; only a broken socket is an error.
async fn perform(requests: &Requests, table: &mut Table, output: Output) -> Result<(), Error> {
    match output {
        Output::LookUp(address) => {
            let route = match requests.route(address).await {
                Ok(route) => route,
                Err(error) if error.errno().is_some() => {
                    warn!(%address, %error, "no route");
                    Route::None("the kernel refuses to look it up")
                }
                Err(error) => return Err(error),
            };
            table.routed(address, route);
        }
        Output::Solicit { ifindex, neighbour } => match requests.solicit(ifindex, neighbour).await {
            Ok(Some(entry)) => table.handle(Instant::now(), Event::Neighbour(entry)),
            Ok(None) => {}
            // The link may have gone since; its event follows.
            Err(error) if error.errno().is_some() => debug!(%neighbour, ifindex, %error, "not asked for"),
            Err(error) => return Err(error),
        },
    }
    Ok(())
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
