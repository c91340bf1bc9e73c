//! Mail servers that hang, refuse or talk nonsense: checks and adverts go on in time, and letters come when one is back.

use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::post::Post;
use lb_tests::rude::{Rude, Speech, Then};
use lb_tests::{wait, with_site};

use crate::pair::Program::Xlvs;
use crate::pair::{INTERFACE, Pair, VIP, router};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 11);
/// A loop of a second, one more try after another, and a slow machine.
const CHECKED: Duration = Duration::from_secs(8);
/// The pauses of letters become longer while the server is away.
const DELIVERED: Duration = Duration::from_mins(2);
const ROUNDS: usize = 3;
const MAIL: u16 = 25;

fn configuration() -> String {
    let globals = "global_defs {\n notification_email {\n root@localhost\n }\n notification_email_from lvs@localhost\n \
                   smtp_server 127.0.0.1\n smtp_connect_timeout 2\n router_id R1\n}\n";
    let service = VirtualServer::new(VIP, 80, Protocol::Tcp, "rr").checked(SERVER, 1);
    format!("{globals}{}{service}", router(100))
}

/// By a mail server that says this; without, by none.
fn undisturbed_by(speech: Option<Speech>) -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let host = site.host("rs1", INTERFACE, &[&format!("{SERVER}/24")])?;
        let mut web = host.serve(&[VIP])?;
        let capture = pair.capture(site)?;
        let start = |speech| Rude::tcp(pair.first.netns(), (Ipv4Addr::LOCALHOST, MAIL), speech);
        let rude = speech.map(start).transpose()?;
        let daemon = Xlvs.start(&pair.first, &configuration())?;
        pair.first.wait_held(VIP)?;
        let begun = SystemTime::now();
        let wait_up = |is_up: bool| -> Result<Duration> {
            let asked = Instant::now();
            wait::until(&format!("the server to be up: {is_up}"), CHECKED, || {
                let status = daemon.status()?;
                let is_so = status.server(SERVER)?.eligible == is_up;
                Ok(if is_so { ControlFlow::Break(()) } else { ControlFlow::Continue(String::new()) })
            })?;
            Ok(asked.elapsed())
        };
        wait_up(true)?;
        for _ in 0..ROUNDS {
            web.stop()?;
            wait_up(false)?;
            web.start(host.netns())?;
            wait_up(true)?;
        }
        let adverts = capture.adverts(&pair.first)?;
        let times: Vec<SystemTime> = adverts.iter().map(|(at, _)| *at).filter(|at| *at > begun).collect();
        let gaps = times.windows(2).filter_map(|pair| pair[1].duration_since(pair[0]).ok());
        let longest = gaps.max().unwrap_or_default();
        ensure!(
            times.len() >= ROUNDS && longest < Duration::from_millis(1500),
            "{longest:?} between adverts"
        );
        assert_eq!(daemon.instance("VI_1")?.masterships, 1);

        drop(rude);
        let post = Post::open(pair.first.netns(), pair.first.dir())?;
        let letters = post.wait(2 * ROUNDS, DELIVERED)?;
        let mut subjects: Vec<&str> = letters.iter().map(|letter| letter.subject.as_str()).collect();
        subjects.sort_unstable();
        let subject =
            |state| format!("[R1] Realserver [{SERVER}]:tcp:80 of virtual server [{VIP}]:tcp:80 - {state}");
        let expected = [vec![subject("DOWN"); ROUNDS], vec![subject("UP"); ROUNDS]].concat();
        assert_eq!(subjects, expected);
        assert_eq!(daemon.instance("VI_1")?.masterships, 1);
        Ok(())
    })
}

#[test]
fn one_that_hangs() -> Result<()> {
    undisturbed_by(Some(Speech::default()))
}

#[test]
fn one_that_refuses() -> Result<()> {
    undisturbed_by(None)
}

#[test]
fn one_that_talks_nonsense() -> Result<()> {
    let first = b"\0\xff banana\r\n".repeat(500);
    undisturbed_by(Some(Speech { first, ..Speech::default() }))
}

#[test]
fn one_that_talks_without_end() -> Result<()> {
    let then = Then::Repeats(vec![b'2'; 65536]);
    undisturbed_by(Some(Speech { then, ..Speech::default() }))
}
