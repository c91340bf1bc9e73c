//! Owns the addresses, routes and rules that masters hold on this host: puts them there, puts them back when
//! something else takes them away, removes them. Refuses to decide who is master, and announces nothing.

use std::net::IpAddr;
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;

use anyhow::Context as _;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tracing::debug;

use self::item::{Item, items};
use self::keeper::Keeper;
use crate::config::model::vrrp::{Broadcast, Scope, VirtualAddress, VirtualRoute, VirtualRule, VrrpInstance};

mod book;
mod item;
mod keeper;
mod promotion;

/// What one owner holds. Addresses are put there before routes and routes before rules, in this order; they are
/// removed in the opposite order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Addresses.
    pub addresses: Vec<HeldAddress>,
    /// Routes, with the protocol number that VRRP has for them (18).
    pub routes: Vec<VirtualRoute>,
    /// Policy rules, with the same protocol number.
    pub rules: Vec<VirtualRule>,
}

impl Held {
    /// All that an instance holds while it is master. An address that names no interface goes to the instance's
    /// virtual one if it has one, else to its own; without any it is left out.
    pub fn of(instance: &VrrpInstance) -> Self {
        let own = instance.vmac.as_ref().map(|vmac| &vmac.name).or(instance.interface.as_ref());
        let addresses = instance
            .owned()
            .filter_map(|owned| Some(HeldAddress::new(owned.dev.as_ref().or(own)?.clone(), owned)));
        Self {
            addresses: addresses.collect(),
            routes: instance.routes.clone(),
            rules: instance.rules.clone(),
        }
    }
}

/// An address and the interface it is put on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldAddress {
    /// The interface.
    pub interface: String,
    /// The address. One of IPv6 is usable at once, without duplicate address detection; with a prefix of 128 bits
    /// the host does not choose it as the source of what it sends of its own.
    pub address: IpAddr,
    /// The length of its prefix; without it the address stands alone.
    pub prefix: Option<u8>,
    /// Its label; IPv4 only.
    pub label: Option<String>,
    /// Its scope; IPv4 only, global without one.
    pub scope: Option<Scope>,
    /// Its broadcast address; IPv4 only, none without one.
    pub broadcast: Option<Broadcast>,
}

impl HeldAddress {
    /// An instance's address, put on `interface`.
    pub fn new(interface: String, owned: &VirtualAddress) -> Self {
        Self {
            interface,
            address: owned.address,
            prefix: owned.prefix,
            label: owned.label.clone(),
            scope: owned.scope,
            broadcast: owned.broadcast,
        }
    }

    fn prefix_length(&self) -> u8 {
        self.prefix.unwrap_or(if self.address.is_ipv4() { 32 } else { 128 })
    }
}

/// The thread that holds; see [`Self::hold`].
#[derive(Debug)]
pub struct Holdings {
    // Unbounded, because the caller is the thread of VRRP, which must neither wait nor lose one. What can be in it is
    // bounded by what feeds it: a command per change of state, and a change takes at least a third of an advert
    // interval, while the kernel needs microseconds for an address.
    commands: UnboundedSender<Command>,
    thread: JoinHandle<anyhow::Result<()>>,
}

/// What the thread is told.
#[derive(Debug)]
enum Command {
    Hold { owner: String, items: Vec<Item> },
    Release { owner: String, items: Vec<Item> },
}

impl Holdings {
    /// Starts the thread, in the network namespace of the calling one. It holds nothing yet.
    ///
    /// # Errors
    /// When the thread or its netlink sockets cannot be made.
    pub fn start() -> anyhow::Result<Self> {
        let (commands, reader) = mpsc::unbounded_channel();
        let (ready, started) = std_mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("xlvs-holdings".to_owned())
            .spawn(move || run(reader, &ready))
            .context("starting the thread that holds addresses")?;
        if started.recv().is_err() {
            join(thread)?;
            anyhow::bail!("the thread that holds addresses has ended at once");
        }
        Ok(Self { commands, thread })
    }

    /// From now on `owner` holds exactly this. What it held before and is not in `held` is removed, the rest stays
    /// untouched. Every failure is logged and tried again: at once when interfaces or addresses change, else after
    /// ten seconds; the other items are held regardless.
    ///
    /// What something else removes is put back at once, but one item at most four times a second. Several owners
    /// may hold the same.
    pub fn hold(&self, owner: &str, held: Held) {
        self.command(Command::Hold { owner: owner.to_owned(), items: items(held) });
    }

    /// `owner` holds nothing any more, and all that it held and all of `held` is removed, whoever put it there: an
    /// earlier daemon that was killed, or an operator. What another owner holds stays. Of routes and rules, only those
    /// with the protocol number of VRRP are removed. A refusal is logged and tried again every ten seconds.
    pub fn release(&self, owner: &str, held: Held) {
        self.command(Command::Release { owner: owner.to_owned(), items: items(held) });
    }

    /// Whether the thread has panicked, so that nothing is held any more and [`Self::finish`] fails.
    pub fn has_ended(&self) -> bool {
        self.commands.is_closed()
    }

    /// Waits until all that was said is done or was refused, and ends the thread. What is held stays on the host.
    ///
    /// # Errors
    /// When netlink has failed and some of it may not be done.
    pub fn finish(self) -> anyhow::Result<()> {
        drop(self.commands);
        join(self.thread)
    }

    fn command(&self, command: Command) {
        // See `has_ended`.
        let _ended = self.commands.send(command);
    }
}

fn join(thread: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    thread
        .join()
        .unwrap_or_else(|_panic| Err(anyhow::anyhow!("the thread that holds addresses has panicked")))
}

fn run(commands: UnboundedReceiver<Command>, ready: &std_mpsc::SyncSender<()>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("making the runtime of the thread that holds addresses")?;
    if let Err(error) = come_first() {
        debug!(%error, "addresses wait for their turn like everything else on a busy host");
    }
    runtime.block_on(async {
        let keeper = Keeper::open().context("holding addresses")?;
        ready.send(()).context("nobody waits for the thread that holds addresses")?;
        keeper.run(commands).await.context("holding addresses")
    })
}

/// Lets this thread run before others: a router that is announced as master without its address answers nobody.
fn come_first() -> nix::Result<()> {
    // SAFETY: the call takes numbers only; Linux gives every thread a priority of its own.
    let outcome = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
    nix::errno::Errno::result(outcome).map(drop)
}
