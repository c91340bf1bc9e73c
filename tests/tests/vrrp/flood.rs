//! Ten thousand adverts a second that are random, cut short or wrong in one place: time and state stay as they were.

use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use lb_tests::config::VirtualRouter;
use lb_tests::forge::{Forged, GROUP, ethernet, ipv4};
use lb_tests::frame::{AH, Mac, VRRP};
use lb_tests::sender::Sender;
use lb_tests::{wait, with_site};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::pair::{INTERFACE, Pair, Program, VIP, VRID, router};

const INTERVAL: Duration = Duration::from_millis(100);
const FLOOD: Duration = Duration::from_secs(10);
const BEAT: Duration = Duration::from_millis(1);
/// In each beat; more than ten, for the beats that are late.
const FRAMES: usize = 12;
const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 66);
const TO: Mac = [1, 0, 0x5e, 0, 0, 18];

/// Makes adverts that nobody may believe.
struct Liar {
    random: SmallRng,
    right: Forged,
}

impl Liar {
    fn new(mac: Mac) -> Self {
        let right = Forged {
            mac,
            source: SOURCE,
            group: GROUP,
            ttl: 255,
            version: 3,
            vrid: VRID,
            priority: 255,
            interval: 10,
            password: None,
            addresses: vec![Ipv4Addr::new(10, 77, 0, 100)],
            checksum_error: 0,
        };
        Self { random: SmallRng::seed_from_u64(1), right }
    }

    fn frame(&mut self) -> Vec<u8> {
        match self.random.random_range(0..4) {
            0 => self.noise(),
            1 => self.cut_frame(),
            2 => self.cut_message(),
            _ => self.forged().frame(),
        }
    }

    /// Random bytes in a right packet.
    fn noise(&mut self) -> Vec<u8> {
        let mut message = vec![0; self.random.random_range(0..200)];
        self.random.fill(&mut *message);
        let protocol = if self.random.random() { VRRP } else { AH };
        ethernet(TO, self.right.mac, &ipv4(SOURCE, GROUP, protocol, 255, &message))
    }

    /// A right frame without its end.
    fn cut_frame(&mut self) -> Vec<u8> {
        let mut frame = self.right.frame();
        let length = self.random.random_range(14..frame.len());
        frame.truncate(length);
        frame
    }

    /// A right message without its end in a packet that knows.
    fn cut_message(&mut self) -> Vec<u8> {
        let frame = self.right.frame();
        let message = &frame[34..];
        let length = self.random.random_range(0..message.len());
        ethernet(TO, self.right.mac, &ipv4(SOURCE, GROUP, VRRP, 255, &message[..length]))
    }

    /// A right advert that lies in one place.
    fn forged(&mut self) -> Forged {
        let mut forged =
            Forged { priority: if self.random.random() { 255 } else { 0 }, ..self.right.clone() };
        match self.random.random_range(0..6) {
            0 => forged.ttl = self.random.random_range(0..255),
            1 => forged.checksum_error = self.random.random_range(1..u16::MAX),
            2 => forged.version = 2,
            3 => forged.vrid = self.random.random_range(1..VRID),
            4 => forged.addresses = vec![Ipv4Addr::from_bits(self.random.random()); 2],
            _ => forged.addresses = vec![Ipv4Addr::new(10, 77, 0, self.random.random_range(101..=255))],
        }
        forged
    }
}

#[test]
fn a_flood_of_wrong_adverts_moves_neither_time_nor_state() -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let capture = pair.capture(site)?;
        let config = |priority| router(priority).version3("0.1");
        let first = Program::Xlvs.start(&pair.first, &config(100))?;
        pair.first.wait_held(VIP)?;
        let second = Program::Xlvs.start(&pair.second, &config(90))?;
        pair.second.wait_released(VIP)?;
        capture.wait_adverts(&pair.first, SystemTime::now(), 6)?;
        capture.clear();

        let mut liar = Liar::new(pair.other.mac()?);
        let sender = Sender::start(pair.other.netns(), INTERFACE, BEAT, move |_| {
            (0..FRAMES).map(|_| liar.frame()).collect()
        })?;
        let end = Instant::now() + FLOOD;
        wait::until("the end of the flood", 2 * FLOOD, || {
            ensure!(pair.first.holds(VIP)? && !pair.second.holds(VIP)?, "the address moved");
            let left = end.saturating_duration_since(Instant::now());
            Ok(if left.is_zero() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(format!("{left:?} are left"))
            })
        })?;
        let adverts = capture.adverts(&pair.first)?;
        let sent = sender.finish()?;
        ensure!(sent.rate() >= 10_000.0, "only {} frames a second", sent.rate());

        ensure!(capture.adverts(&pair.second)?.is_empty(), "the backup spoke");
        ensure!(adverts.iter().all(|(_, advert)| advert.priority == 100));
        ensure!(adverts.len() as u128 > FLOOD.as_millis() / INTERVAL.as_millis() - 5);
        for two in adverts.windows(2) {
            let spacing = two[1].0.duration_since(two[0].0)?;
            ensure!(spacing.abs_diff(INTERVAL) <= INTERVAL / 4, "two adverts {spacing:?} apart");
        }
        for (daemon, state, masterships) in [(&first, "MASTER", 1), (&second, "BACKUP", 0)] {
            let instance = daemon.instance(VirtualRouter::NAME)?;
            assert_eq!((&*instance.state, instance.masterships), (state, masterships));
            let refused = instance.adverts_refused;
            ensure!(refused.len() >= 4, "few reasons to refuse: {refused:?}");
        }
        Ok(())
    })
}
