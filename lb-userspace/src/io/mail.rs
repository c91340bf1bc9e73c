//! Owns the way of alerts to the mail server: a queue with a bound and one task that sends what is in it, one letter after
//! the other. Refuses to make anybody wait, and to decide who is told of what.

use std::collections::VecDeque;
use std::time::Duration;

use lettre::message::{Mailbox, header};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, Message};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use self::stream::Bounded;
use crate::alert::{Alert, Router};
use crate::config::Config;
use crate::config::model::Mail;

mod stream;
#[cfg(test)]
mod tests;

/// How long a server that has taken a letter may take to say good-bye.
const GOODBYE: Duration = Duration::from_secs(2);

const LIMITS: Limits = Limits {
    waiting: 256,
    first_pause: Duration::from_secs(2),
    longest_pause: Duration::from_mins(5),
    attempts: 12,
    finish: Duration::from_secs(5),
};

#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Letters that wait. When there are more, the oldest is not sent: what counts is how things are now.
    waiting: usize,
    /// From a failed attempt to the next; it doubles each time.
    first_pause: Duration,
    /// No pause is longer.
    longest_pause: Duration,
    /// How often one letter is tried; with these pauses over some twenty minutes.
    attempts: u32,
    /// How long letters may take at the end.
    finish: Duration,
}

/// Sends alerts by mail. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Mailer {
    queue: watch::Sender<Queue>,
    runtime: Handle,
    limits: Limits,
}

#[derive(Debug, Default)]
struct Queue {
    /// Who is to be told of what.
    mail: Mail,
    route: Option<Route>,
    waiting: VecDeque<Alert>,
    /// A task sends; it ends when nothing waits.
    is_working: bool,
    /// It does not rest any more after a failure.
    is_ending: bool,
}

/// How letters go, by the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Route {
    host: String,
    port: u16,
    helo: String,
    timeout: Duration,
    sender: Mailbox,
    recipients: Vec<Mailbox>,
    /// What stands in brackets before every subject.
    node: String,
}

impl Mailer {
    /// Begins with nothing to send. Must be called in a Tokio runtime with time and I/O; the other methods may be called
    /// from anywhere.
    ///
    /// # Errors
    /// Outside of a runtime.
    pub fn start(config: &Config) -> anyhow::Result<Self> {
        Self::limited(config, LIMITS)
    }

    fn limited(config: &Config, limits: Limits) -> anyhow::Result<Self> {
        let queue = Queue { mail: config.mail.clone(), route: Route::new(config), ..Queue::default() };
        Ok(Self { queue: watch::Sender::new(queue), runtime: Handle::try_current()?, limits })
    }

    /// Takes another server and other recipients, also for what waits.
    pub fn change(&self, config: &Config) {
        self.queue.send_modify(|queue| {
            queue.mail = config.mail.clone();
            queue.route = Route::new(config);
            if queue.route.is_none() {
                queue.waiting.clear();
            }
        });
    }

    /// Tells that a virtual router or group with this `smtp_alert` changed its state.
    pub fn router_changed(&self, router: Router<'_>, state: &str, own: Option<bool>) {
        let (tells, faults) = self.asks(|mail| (mail.tells_of_router(own), mail.faults));
        if tells
            && (faults || state != "FAULT")
            && let Some(alert) = Alert::of_router(router, state)
        {
            self.send(alert);
        }
    }

    /// Tells that a real server with this `smtp_alert` came up or went down, or one of its checks: `is_whole` says which.
    pub fn server_changed(&self, alert: impl FnOnce() -> Alert, own: Option<bool>, is_whole: bool) {
        if self.asks(|mail| mail.tells_of_server(own) && (is_whole || mail.checks)) {
            self.send(alert());
        }
    }

    /// Tells that the quorum of a virtual server with this `smtp_alert` was gained or lost.
    pub fn quorum_changed(&self, alert: impl FnOnce() -> Alert, own: Option<bool>) {
        if self.asks(|mail| mail.tells_of_quorum(own)) {
            self.send(alert());
        }
    }

    fn asks<T>(&self, what: impl FnOnce(&Mail) -> T) -> T {
        what(&self.queue.borrow().mail)
    }

    /// Has a letter sent, if the configuration names a server and somebody who gets it.
    fn send(&self, alert: Alert) {
        let mut is_idle = false;
        self.queue.send_modify(|queue| {
            if queue.route.is_none() {
                return;
            }
            queue.waiting.push_back(alert);
            if queue.waiting.len() > self.limits.waiting
                && let Some(lost) = queue.waiting.pop_front()
            {
                warn!("the mail {:?} is not sent: too many wait", lost.subject);
            }
            is_idle = !queue.is_working;
            queue.is_working = true;
        });
        if is_idle {
            self.runtime.spawn(work(self.queue.clone(), self.limits));
        }
    }

    /// Waits for the letters there are, in bounded time.
    pub async fn finish(self) {
        let mut queue = self.queue.subscribe();
        self.queue.send_modify(|queue| queue.is_ending = true);
        if timeout(self.limits.finish, queue.wait_for(|queue| !queue.is_working)).await.is_err() {
            let left = queue.borrow().waiting.len() + 1;
            warn!("mail could not be sent before the end: {left} letters are lost");
        }
    }
}

/// Sends what waits, one after the other.
async fn work(queue: watch::Sender<Queue>, limits: Limits) {
    loop {
        let mut next = None;
        queue.send_modify(|queue| {
            next = queue.route.clone().zip(queue.waiting.pop_front());
            queue.is_working = next.is_some();
        });
        let Some((route, alert)) = next else { return };
        deliver(route, &alert, &queue, limits).await;
    }
}

/// Tries until the server has taken the letter or refused it for good; by the route of the moment.
async fn deliver(mut route: Route, alert: &Alert, queue: &watch::Sender<Queue>, limits: Limits) {
    let Limits { attempts, longest_pause, .. } = limits;
    let subject = &alert.subject;
    let mut pause = limits.first_pause;
    for attempt in 1..=attempts {
        match route.send(alert).await {
            Ok(()) => {
                debug!("the mail {subject:?} is sent");
                return;
            }
            Err(Failure::Final(error)) => {
                warn!("the mail {subject:?} is not sent: {}: {error}", route.host);
                return;
            }
            Err(Failure::Passing(error)) if attempt == 1 => {
                warn!("the mail {subject:?} is tried again: {} port {}: {error}", route.host, route.port);
            }
            Err(Failure::Passing(error)) => debug!("the mail {subject:?} is tried again: {error}"),
        }
        if attempt < attempts {
            if queue.borrow().is_ending {
                warn!("the mail {subject:?} is not sent: the director ends");
                return;
            }
            let mut ends = queue.subscribe();
            // At the end it is tried once more, at once.
            drop(timeout(pause, ends.wait_for(|queue| queue.is_ending)).await);
            pause = (pause * 2).min(longest_pause);
        }
        let Some(other) = queue.borrow().route.clone() else {
            info!("the mail {subject:?} is not sent: the configuration names no server any more");
            return;
        };
        route = other;
    }
    warn!("the mail {subject:?} is not sent: {attempts} attempts failed");
}

/// Why a letter was not taken.
#[derive(Debug)]
enum Failure {
    /// It will not be taken later either.
    Final(String),
    /// It may be.
    Passing(String),
}

impl Route {
    fn new(config: &Config) -> Option<Self> {
        let Mail { recipients, sender, server, helo, timeout, .. } = &config.mail;
        let (host, port) = server.clone()?;
        let name = host_name();
        let recipients: Vec<_> = recipients.iter().filter_map(|address| mailbox(address)).collect();
        if recipients.is_empty() {
            return None;
        }
        Some(Self {
            host,
            port,
            helo: helo.clone().unwrap_or_else(|| name.clone()),
            timeout: *timeout,
            sender: mailbox(&sender.clone().unwrap_or_else(|| format!("keepalived@{name}")))?,
            recipients,
            node: config.router_id.clone().unwrap_or(name),
        })
    }

    /// The server has so long for the connection, and three times as long for all.
    async fn send(&self, alert: &Alert) -> Result<(), Failure> {
        let letter = self.letter(alert).map_err(|error| Failure::Final(error.to_string()))?;
        let mut server = match timeout(self.timeout * 3, self.hand_over(&letter)).await {
            Ok(taken) => taken?,
            Err(_) => return Err(Failure::Passing(format!("no end after {:?}", self.timeout * 3))),
        };
        // It has taken the letter, whatever it says now.
        let _rude = timeout(GOODBYE.min(self.timeout), server.quit()).await;
        Ok(())
    }

    async fn hand_over(&self, letter: &Message) -> Result<AsyncSmtpConnection, Failure> {
        let connected = timeout(self.timeout, TcpStream::connect((self.host.as_str(), self.port))).await;
        let stream = match connected {
            Ok(connected) => connected.map_err(|error| Failure::Passing(error.to_string()))?,
            Err(_) => return Err(Failure::Passing(format!("no connection after {:?}", self.timeout))),
        };
        let judge = |error: lettre::transport::smtp::Error| {
            if error.is_permanent() {
                Failure::Final(reasons(&error))
            } else {
                Failure::Passing(reasons(&error))
            }
        };
        let name = ClientId::Domain(self.helo.clone());
        let stream = Box::new(Bounded::new(stream));
        let mut server = AsyncSmtpConnection::connect_with_transport(stream, &name).await.map_err(judge)?;
        server.send(letter.envelope(), &letter.formatted()).await.map_err(judge)?;
        Ok(server)
    }

    fn letter(&self, alert: &Alert) -> Result<Message, lettre::error::Error> {
        let mut letter = Message::builder().from(self.sender.clone());
        for recipient in &self.recipients {
            letter = letter.to(recipient.clone());
        }
        letter
            .subject(format!("[{}] {}", self.node, alert.subject))
            .user_agent("xlvs".to_owned())
            .header(header::ContentType::TEXT_PLAIN)
            .body(format!("{}\n", alert.body))
    }
}

/// An error with all that it comes from.
fn reasons(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// An address without a domain is one of the server's own.
fn mailbox(address: &str) -> Option<Mailbox> {
    let whole = if address.contains('@') { address.to_owned() } else { format!("{address}@localhost") };
    match whole.parse::<Address>() {
        Ok(address) => Some(Mailbox::new(None, address)),
        Err(error) => {
            warn!("nobody gets mail as {address}: {error}");
            None
        }
    }
}

fn host_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}
