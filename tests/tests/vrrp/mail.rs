//! What people are told by mail: of real servers, and of virtual routers in the words of keepalived.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lb_tests::forge::{Forged, GROUP};
use lb_tests::post::{Letter, Post};
use lb_tests::requests::Requests;
use lb_tests::sender::Sender;
use lb_tests::switch::Link;
use lb_tests::{Site, with_site};

use crate::pair::Program::{self, Keepalived, Xlvs};
use crate::pair::{Pair, VIP, VRID, router};
use crate::seeds::wait_served_by;
use crate::tracking;

/// Three more tries with three seconds between them, the loop before them and after, and a slow machine.
const CHECKED: Duration = Duration::from_secs(40);
const SOON: Duration = Duration::from_secs(15);

fn wait_letter(post: &Post, number: usize) -> Result<Letter> {
    post.wait(number, CHECKED)?.pop().context("no letter")
}

#[test]
fn seed_003_root_gets_mail_when_a_server_goes_and_comes_back() -> Result<()> {
    let vip = tracking::VIP.into();
    with_site(|site| {
        let [dr1, dr2] = tracking::directors(site)?;
        let client = site.host("client", "ens39", &["192.168.7.9/24"])?;
        let [rs1, rs2] = [("rs1", "192.168.7.125/24"), ("rs2", "192.168.7.126/24")]
            .map(|(name, address)| site.host(name, "ens39", &[address]));
        let (rs1, _web2) = (rs1?, rs2?.serve(&[vip])?);
        let mut web1 = rs1.serve(&[vip])?;
        let posts = [Post::open(dr1.netns(), dr1.dir())?, Post::open(dr2.netns(), dr2.dir())?];
        let _dr1 = Xlvs.start(&dr1, &tracking::CONFIGS[0])?;
        dr1.wait_held(vip)?;
        let _dr2 = Xlvs.start(&dr2, &tracking::CONFIGS[1])?;
        let requests = Requests::start(client.netns(), (vip, 80).into())?;
        wait_served_by(&requests, &["rs1", "rs2"])?;

        for (number, state) in [(1, "DOWN"), (2, "UP")] {
            match state {
                "DOWN" => web1.stop()?,
                _ => web1.start(rs1.netns())?,
            }
            for (post, router) in posts.iter().zip(["keepalivedR1", "keepalivedR2"]) {
                let letter = wait_letter(post, number)?;
                let expected = format!(
                    "[{router}] Realserver [192.168.7.125]:tcp:80 of virtual server [192.168.7.120]:tcp:80 - {state}"
                );
                assert_eq!(letter.subject, expected);
                assert_eq!(letter.from, "keepalived@localhost");
                assert_eq!([&*letter.to, &*letter.recipient], ["root@localhost"; 2]);
            }
            wait_served_by(&requests, if state == "DOWN" { &["rs2"] } else { &["rs1", "rs2"] })?;
        }
        let letters = posts[0].letters()?;
        ensure!(letters[0].body.starts_with("=> CHECK failed on service : "), "{letters:#?}");
        assert_eq!(letters[1].body, "=> CHECK succeed on service <=");
        assert_eq!(posts.map(|post| post.letters().map_or(0, |letters| letters.len())), [2, 2]);
        Ok(())
    })
}

fn configuration() -> String {
    let globals = "global_defs {\n notification_email {\n root@localhost\n }\n notification_email_from lvs@localhost\n \
                   smtp_server 127.0.0.1\n smtp_connect_timeout 5\n router_id R7\n smtp_alert\n}\n";
    let group = "vrrp_sync_group G1 {\n group {\n VI_1\n }\n}\n";
    format!("{globals}{group}{}", router(100))
}

/// One round of `program` through all states; gives what was written of each step, in the order of the alphabet.
fn walk(site: &Site, pair: &Pair, program: Program) -> Result<Vec<Vec<String>>> {
    let mut post = Post::open(pair.first.netns(), &pair.first.dir().join(format!("{program:?}")))?;
    let mut steps = Vec::new();
    let mut seen = 0;
    let mut step = |expected: usize| -> Result<()> {
        let letters = post.wait(seen + expected, SOON)?;
        let mut told: Vec<String> = letters[seen..].iter().map(describe).collect();
        told.sort();
        steps.push(told);
        seen += expected;
        Ok(())
    };
    let mut daemon = program.start(&pair.first, &configuration())?;
    pair.first.wait_held(VIP)?;
    step(4)?;
    let sender = preempt(pair)?;
    pair.first.wait_released(VIP)?;
    step(2)?;
    sender.finish()?;
    pair.first.wait_held(VIP)?;
    step(2)?;
    site.set_link(&pair.first, Link::Down)?;
    step(2)?;
    site.set_link(&pair.first, Link::Up)?;
    pair.first.wait_held(VIP)?;
    step(4)?;
    daemon.stop_clean()?;
    if program == Xlvs {
        step(2)?;
    }
    post.stop()?;
    Ok(steps)
}

fn describe(letter: &Letter) -> String {
    let Letter { subject, from, to, body, .. } = letter;
    format!("{from} -> {to}: {subject}: {body}")
}

/// Adverts of a higher priority until the sender is finished.
fn preempt(pair: &Pair) -> Result<Sender> {
    let advert = Forged {
        mac: pair.other.mac()?,
        source: [10, 77, 0, 66].into(),
        group: GROUP,
        ttl: 255,
        version: 2,
        vrid: VRID,
        priority: 200,
        interval: 1,
        password: None,
        addresses: vec![[10, 77, 0, 100].into()],
        checksum_error: 0,
    };
    let frame = advert.frame();
    Sender::start(pair.other.netns(), "eth0", Duration::from_millis(500), move |_| vec![frame.clone()])
}

#[test]
fn virtual_routers_write_as_keepalived_does() -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let theirs = walk(site, &pair, Keepalived)?;
        let mut ours = walk(site, &pair, Xlvs)?;
        // keepalived ends before its own have gone.
        let last = ours.pop().context("no step")?;
        for (told, who) in last.iter().zip(["Group G1", "Instance VI_1"]) {
            ensure!(told.contains(&format!("[R7] VRRP {who} - Stopping: ")), "{last:?}");
        }
        assert_eq!(ours, theirs);
        ensure!(
            theirs[0].iter().any(|told| told.contains("[R7] VRRP Instance VI_1 - Entering MASTER state"))
        );
        Ok(())
    })
}
