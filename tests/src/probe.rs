//! Asks an address for an echo every two milliseconds, or a server to send a datagram back, and says for how long nobody
//! answered.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::forge::checksum;
use crate::netns::Netns;
use crate::socket::{self, Socket};
use crate::wait;

/// From one request to the next.
pub const PERIOD: Duration = Duration::from_millis(2);

/// How long after the last request an answer is waited for.
const SETTLING: Duration = Duration::from_millis(200);
/// Requests that are remembered: ten minutes.
const ROOM: u32 = 300_000;

/// A running probe.
#[derive(Debug)]
pub struct Probe {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU32>,
    thread: JoinHandle<Result<Vec<Sample>>>,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
enum Question {
    Echo(IpAddr),
    Datagram,
}

/// One request.
#[derive(Debug, Clone, Copy)]
struct Sample {
    sent: SystemTime,
    answered: Option<SystemTime>,
}

/// What a probe saw.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    /// The longest time without an answer.
    pub longest: Duration,
    /// When that began: the answer before.
    pub began: SystemTime,
    /// Requests that were never answered.
    pub lost: usize,
    /// Requests.
    pub sent: usize,
    /// How late a request left at worst: for as long the machine had no time for the probe.
    pub late: Duration,
}

impl Probe {
    /// Begins to ask `address` from `netns`, and waits for the first answer.
    ///
    /// # Errors
    /// When there is no way to it, or none comes.
    pub fn start(netns: &Netns, address: IpAddr) -> Result<Self> {
        let socket = netns.enter(|| Socket::icmp(address))?;
        Self::spawn(socket, Question::Echo(address)).with_context(|| address.to_string())
    }

    /// Begins to send datagrams of one flow to `server`, which sends them back, and waits for the first answer.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn datagrams(netns: &Netns, server: SocketAddr) -> Result<Self> {
        let socket = netns.enter(|| Socket::udp(server))?;
        Self::spawn(socket, Question::Datagram).with_context(|| server.to_string())
    }

    fn spawn(socket: Socket, question: Question) -> Result<Self> {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let (flag, count) = (Arc::clone(&stop), Arc::clone(&answered));
        let thread = std::thread::spawn(move || ask(&socket, question, &flag, &count));
        let probe = Self { stop, answered, thread };
        probe.wait_answers(1, Duration::from_secs(5))?;
        Ok(probe)
    }

    /// Waits for `count` more answers.
    ///
    /// # Errors
    /// When they do not come in time.
    pub fn wait_answers(&self, count: u32, bound: Duration) -> Result<()> {
        let goal = self.answered.load(Ordering::Relaxed) + count;
        wait::until(&format!("{count} answers"), bound, || {
            ensure!(!self.thread.is_finished(), "the probe has ended");
            let answered = self.answered.load(Ordering::Relaxed);
            Ok(if answered >= goal {
                std::ops::ControlFlow::Break(())
            } else {
                std::ops::ControlFlow::Continue(format!("{} are missing", goal - answered))
            })
        })
    }

    /// Stops asking and says for how long nobody answered.
    ///
    /// # Errors
    /// As [`Self::finish`].
    pub fn longest_gap(self) -> Result<Duration> {
        Ok(self.finish()?.longest)
    }

    /// Stops asking and says what it saw.
    ///
    /// # Errors
    /// When it could not ask, or was never answered.
    pub fn finish(self) -> Result<Outage> {
        self.finish_since(SystemTime::UNIX_EPOCH)
    }

    /// The same, where only what ended after `since` counts.
    ///
    /// # Errors
    /// As [`Self::finish`].
    pub fn finish_since(self, since: SystemTime) -> Result<Outage> {
        self.stop.store(true, Ordering::Relaxed);
        let samples = self.thread.join().map_err(|_| anyhow!("the probe panicked"))??;
        outage(&samples, since).context("no request was answered")
    }
}

fn ask(socket: &Socket, question: Question, stop: &AtomicBool, answered: &AtomicU32) -> Result<Vec<Sample>> {
    let mut samples: Vec<Sample> = Vec::new();
    let mut next = Instant::now();
    let mut end = None;
    loop {
        let now = Instant::now();
        if stop.load(Ordering::Relaxed) && end.is_none() {
            end = Some(now + SETTLING);
        }
        match end {
            Some(end) if now >= end => return Ok(samples),
            None if now >= next => {
                let number = samples.len() as u32;
                ensure!(number < ROOM, "the probe has run for too long");
                samples.push(Sample { sent: SystemTime::now(), answered: None });
                // While the neighbour is not known the kernel may refuse: no answer either.
                let _ = match question {
                    Question::Echo(address) => socket.send(&request(address, number)),
                    Question::Datagram => socket.send(&number.to_be_bytes()),
                };
                // After a delay the next request comes a period later, not at once.
                next = (next + PERIOD).max(now);
            }
            _ => {}
        }
        socket::wait(&[socket.as_fd()], next.saturating_duration_since(Instant::now()).min(PERIOD))?;
        let mut buffer = [0; 256];
        while let Some((length, at)) = socket.receive(&mut buffer)? {
            let number = match question {
                Question::Echo(address) => answer(address, &buffer[..length]),
                Question::Datagram => buffer[..length].try_into().ok().map(u32::from_be_bytes),
            };
            let Some(number) = number else { continue };
            if let Some(sample) = samples.get_mut(number as usize)
                && sample.answered.is_none()
            {
                sample.answered = Some(at);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// An echo request with its number behind the header.
fn request(address: IpAddr, number: u32) -> [u8; 12] {
    let mut message = [0; 12];
    message[0] = if address.is_ipv4() { 8 } else { 128 };
    message[4..6].copy_from_slice(&IDENTIFIER);
    message[8..].copy_from_slice(&number.to_be_bytes());
    if address.is_ipv4() {
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

const IDENTIFIER: [u8; 2] = *b"xp";

/// The number in an echo reply to [`request`].
fn answer(address: IpAddr, bytes: &[u8]) -> Option<u32> {
    let (message, reply) = match address {
        IpAddr::V4(_) => (bytes.get(4 * usize::from(*bytes.first()? & 0x0f)..)?, 0),
        IpAddr::V6(_) => (bytes, 129),
    };
    let known = *message.first()? == reply && message.get(4..6)? == IDENTIFIER;
    known.then(|| message.get(8..12)?.try_into().ok()).flatten().map(u32::from_be_bytes)
}

/// The longest time from one answer to the next that ended after `since`, the end of the probe included.
fn outage(samples: &[Sample], since: SystemTime) -> Option<Outage> {
    let mut answers: Vec<SystemTime> = samples.iter().filter_map(|sample| sample.answered).collect();
    let lost = samples.len() - answers.len();
    answers.sort();
    answers.push(samples.last()?.sent.max(*answers.last()?));
    let passed = |two: &[SystemTime]| two[1].duration_since(two[0]).unwrap_or_default();
    let gaps = answers.windows(2).filter(|two| two[1] >= since).map(|two| (passed(two), two[0]));
    let (longest, began) = gaps.max()?;
    let sent: Vec<SystemTime> = samples.iter().map(|sample| sample.sent).collect();
    let pauses = sent.windows(2).filter(|two| two[1] >= since).map(passed);
    let late = pauses.max().unwrap_or_default().saturating_sub(PERIOD);
    Some(Outage { longest, began, lost, sent: samples.len(), late })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(sent: u64, answered: Option<u64>) -> Sample {
        let at = |milliseconds| SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds);
        Sample { sent: at(sent), answered: answered.map(at) }
    }

    #[test]
    fn the_longest_gap_is_between_answers() {
        let samples = [sample(0, Some(1)), sample(2, Some(3)), sample(4, None), sample(6, Some(9))];
        let outage = outage(&samples, SystemTime::UNIX_EPOCH).expect("answers");
        assert_eq!((outage.longest, outage.lost, outage.sent), (Duration::from_millis(6), 1, 4));
    }

    #[test]
    fn a_probe_that_ends_without_answers_counts_to_its_end() {
        let samples = [sample(0, Some(1)), sample(2, None), sample(50, None)];
        let outage = outage(&samples, SystemTime::UNIX_EPOCH).expect("an answer");
        assert_eq!((outage.longest, outage.late), (Duration::from_millis(49), Duration::from_millis(46)));
    }

    #[test]
    fn what_ended_before_does_not_count() {
        let samples = [sample(0, Some(1)), sample(20, Some(21)), sample(22, Some(24)), sample(24, Some(25))];
        let since = SystemTime::UNIX_EPOCH + Duration::from_millis(22);
        let outage = outage(&samples, since).expect("answers");
        assert_eq!((outage.longest, outage.late), (Duration::from_millis(3), Duration::ZERO));
    }

    #[test]
    fn nothing_answered_is_no_outage() {
        assert!(outage(&[sample(0, None)], SystemTime::UNIX_EPOCH).is_none());
        assert!(outage(&[], SystemTime::UNIX_EPOCH).is_none());
    }

    #[test]
    fn a_reply_carries_the_number_of_its_request() {
        let address = IpAddr::from([10, 0, 0, 1]);
        let mut reply = [&[0x45; 20][..], &request(address, 77)].concat();
        assert_eq!(answer(address, &reply), None, "a request is no reply");
        reply[20] = 0;
        assert_eq!(answer(address, &reply), Some(77));
        assert_eq!(answer(address, &reply[..25]), None);
    }
}
