//! Owns the VRRP thread: its sockets, its clock, and the outputs of [`crate::vrrp::Routers`]. Nothing else runs on that
//! thread, so that no check, no reload and no slow disk delays an advert; for the same reason it writes no log.
//!
//! Refuses to decide: the machines in [`crate::vrrp`] do.

mod announcer;
mod channel;
mod realtime;
mod refusals;
mod reports;
mod sockets;
mod station;
mod worker;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use self::worker::Worker;
use super::datapath::Leases;
use super::holdings::Holdings;
use crate::config::model::vrrp::{Family, SyncGroup, Vrrp as Config, VrrpInstance};
use crate::vrrp::wire::Refusal;
use crate::vrrp::{Input, Numbers, Output, RouterReport};

/// Commands that may wait for the thread, which takes them all at every turn; whoever has one more waits.
const COMMANDS: usize = 256;
/// Events that may wait for the daemon. When it is full, they wait in the thread, the oldest dropped first.
const EVENTS: usize = 256;
/// How long a report may take before the daemon goes on without one.
const REPORT: Duration = Duration::from_secs(1);
/// Between two looks whether there is room for a question.
const ROOM: Duration = Duration::from_millis(10);
/// How long the thread may take to hear of a reload.
const RELOAD: Duration = Duration::from_secs(5);

/// What the daemon tells the thread.
#[derive(Debug)]
enum Command {
    /// Something that the machines are to know.
    Input(Input),
    /// An interface as it is now; without an index it is gone.
    Interface { name: String, up: bool, index: Option<u32>, mac: Option<[u8; 6]> },
    /// The host's own address on an interface, by family.
    Source { interface: String, family: Family, address: Option<IpAddr> },
    /// Whether an address is on the host.
    HostAddress { address: IpAddr, present: bool },
    /// A question for `status`.
    Report(oneshot::Sender<Vec<RouterReport>>),
    /// Another configuration.
    Reload(Box<Reload>),
}

#[derive(Debug)]
struct Reload {
    config: Config,
    numbers: Numbers,
    /// Gets the instances that are about to end.
    done: oneshot::Sender<Vec<Arc<VrrpInstance>>>,
}

/// What the thread tells the daemon.
#[derive(Debug)]
pub(super) enum Event {
    /// The routers changed; only what concerns scripts and the log.
    Output(Output, Whom),
    /// An advert was refused; said once a minute for each router and reason.
    Refused {
        /// Whose.
        instance: Arc<VrrpInstance>,
        /// Who sent it.
        source: IpAddr,
        /// Why.
        reason: Refusal,
        /// How many more were refused for this reason and not told of.
        others: u64,
    },
    /// Something could not be sent or opened; said once until it works again.
    Trouble(String),
    /// The thread ended with everything given back, or because of an error.
    Ended(Result<(), String>),
}

/// Whom an output is about, as it was configured then.
#[derive(Debug, Clone)]
pub(super) enum Whom {
    /// An instance.
    Instance(Arc<VrrpInstance>),
    /// A sync group.
    Group(Arc<SyncGroup>),
}

/// What the thread works with besides its configuration.
pub(super) struct Means {
    /// The rows of the data plane's map.
    pub(super) leases: Leases,
    /// Who puts addresses on interfaces.
    pub(super) holdings: Holdings,
}

/// The thread, from the daemon's side.
#[derive(Debug)]
pub(super) struct Vrrp {
    commands: SyncSender<Command>,
    wake: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
    /// Where the answer will be to a question that was not answered in time; closed if it could not be asked.
    unanswered: Option<oneshot::Receiver<Vec<RouterReport>>>,
}

impl Vrrp {
    /// Starts the thread in the network namespace of the caller. Every lease is void until its router is master.
    ///
    /// # Errors
    /// Without the right to open raw sockets, or without threads.
    pub(super) fn start(
        config: &Config,
        numbers: &Numbers,
        means: Means,
    ) -> anyhow::Result<(Self, mpsc::Receiver<Event>)> {
        let wake =
            EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC).context("an eventfd")?;
        let wake = Arc::new(wake);
        let (commands, inbox) = sync_channel(COMMANDS);
        let (events, reader) = mpsc::channel(EVENTS);
        let worker = Worker::new(config, numbers, means, inbox, Arc::clone(&wake), events)?;
        let thread = std::thread::Builder::new()
            .name("xlvs-vrrp".to_owned())
            .spawn(move || worker.run())
            .context("starting the VRRP thread")?;
        Ok((Self { commands, wake, thread: Some(thread), unanswered: None }, reader))
    }

    /// Tells the machines something.
    pub(super) fn input(&self, input: Input) {
        self.command(Command::Input(input));
    }

    /// Tells what an interface is like now.
    pub(super) fn interface(&self, name: String, up: bool, index: Option<u32>, mac: Option<[u8; 6]>) {
        self.command(Command::Interface { name, up, index, mac });
    }

    /// Tells the host's own address on an interface.
    pub(super) fn source(&self, interface: String, family: Family, address: Option<IpAddr>) {
        self.command(Command::Source { interface, family, address });
    }

    /// Tells whether the host has an address.
    pub(super) fn host_address(&self, address: IpAddr, present: bool) {
        self.command(Command::HostAddress { address, present });
    }

    /// Asks for the state of every router. Nothing, after a second, from a thread that does not answer; and then nothing at
    /// once until it does.
    pub(super) async fn report(&mut self) -> Option<Vec<RouterReport>> {
        let has_waited = match self.unanswered.as_mut().map(oneshot::Receiver::try_recv) {
            // More questions would fill the channel, and whoever has another command would wait for room.
            Some(Err(TryRecvError::Empty)) => return None,
            // There was no room for the last one.
            Some(Err(TryRecvError::Closed)) => true,
            // What came late is of an earlier moment.
            Some(Ok(_)) | None => false,
        };
        let (answer, mut reader) = oneshot::channel();
        let asked = async {
            let mut command = Command::Report(answer);
            // Whoever waited for room as for other commands would hang with a thread that hangs.
            while let Err(TrySendError::Full(back)) = self.commands.try_send(command) {
                if has_waited {
                    return None;
                }
                command = back;
                tokio::time::sleep(ROOM).await;
            }
            let _already_awake = self.wake.write(1);
            (&mut reader).await.ok()
        };
        let report = tokio::time::timeout(REPORT, asked).await.ok().flatten();
        self.unanswered = report.is_none().then_some(reader);
        report
    }

    /// Has the thread take another configuration, and waits until it has. Gives the instances that do not go on as they
    /// are; each ends with [`Output::Ended`].
    ///
    /// # Errors
    /// When the thread is gone or hangs.
    pub(super) async fn reload(
        &self,
        config: &Config,
        numbers: &Numbers,
    ) -> anyhow::Result<Vec<Arc<VrrpInstance>>> {
        let (done, answer) = oneshot::channel();
        let (config, numbers) = (config.clone(), numbers.clone());
        self.command(Command::Reload(Box::new(Reload { config, numbers, done })));
        let answer = tokio::time::timeout(RELOAD, answer).await.context("the VRRP thread does not answer")?;
        answer.context("the VRRP thread is gone")
    }

    /// Commands it no more. A thread that has not ended after [`Output::Stopped`] ends its leases, gives back what it
    /// holds, and ends.
    pub(super) fn close(&mut self) {
        let (closed, _) = sync_channel(0);
        drop(std::mem::replace(&mut self.commands, closed));
        let _already_awake = self.wake.write(1);
    }

    fn command(&self, command: Command) {
        // A thread that has ended needs no commands, and has said so.
        if self.commands.send(command).is_ok() {
            let _already_awake = self.wake.write(1);
        }
    }
}

impl Drop for Vrrp {
    /// Waits for the thread. Its events must be read until they end, or nobody must be there to read them.
    fn drop(&mut self) {
        self.close();
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Receiver;
    use std::time::Instant;

    use super::*;

    fn hanging(room: usize) -> (Vrrp, Receiver<Command>) {
        let (commands, inbox) = sync_channel(room);
        let wake = Arc::new(EventFd::new().expect("an eventfd"));
        (Vrrp { commands, wake, thread: None, unanswered: None }, inbox)
    }

    fn question(inbox: &Receiver<Command>) -> oneshot::Sender<Vec<RouterReport>> {
        let Ok(Command::Report(answer)) = inbox.try_recv() else { panic!("no question") };
        answer
    }

    fn other(number: u8) -> Command {
        Command::HostAddress { address: IpAddr::from([192, 0, 2, number]), present: true }
    }

    #[tokio::test]
    async fn a_thread_that_hangs_is_asked_once() {
        let (mut vrrp, inbox) = hanging(2);
        assert_eq!(vrrp.report().await, None, "it does not answer");
        let begun = Instant::now();
        for _ in 0..4 {
            assert_eq!(vrrp.report().await, None, "it still has not");
        }
        assert!(begun.elapsed() < REPORT, "nobody waits again");
        vrrp.commands.try_send(other(1)).expect("there is room for another command");

        question(&inbox).send(Vec::new()).expect("whoever asked hears of it");
        assert!(matches!(inbox.try_recv(), Ok(Command::HostAddress { .. })), "there was no other question");
        let (report, ()) = tokio::join!(vrrp.report(), async {
            question(&inbox).send(Vec::new()).expect("it is asked anew");
        });
        assert_eq!(report, Some(Vec::new()));
    }

    #[tokio::test]
    async fn without_room_and_without_a_thread_nothing_is_reported() {
        let (mut vrrp, inbox) = hanging(1);
        vrrp.command(other(1));
        assert_eq!(vrrp.report().await, None, "there is no room for a question");
        let begun = Instant::now();
        assert_eq!(vrrp.report().await, None, "there still is none");
        assert!(begun.elapsed() < REPORT, "nobody waits again");
        inbox.try_recv().expect("the other command");
        inbox.try_recv().expect_err("and no question");
        let (report, ()) = tokio::join!(vrrp.report(), async {
            question(&inbox).send(Vec::new()).expect("there is room now");
        });
        assert_eq!(report, Some(Vec::new()));
        drop(inbox);
        assert_eq!(vrrp.report().await, None, "it has ended");
    }
}
