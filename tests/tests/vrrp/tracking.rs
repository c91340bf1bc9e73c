//! The example with a tracked script and notify scripts: a flag file moves the address, and its removal brings it back.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Result, ensure};
use lb_tests::node::Node;
use lb_tests::requests::Requests;
use lb_tests::wait::TAKEOVER;
use lb_tests::{Site, wait, with_site};

use crate::pair::Program::{self, Keepalived, Xlvs};

pub(crate) const VIP: [u8; 4] = [192, 168, 7, 120];
pub(crate) const CONFIGS: [&str; 2] = [
    include_str!("../../../lb-userspace/tests/fixtures/seeds/003-dr1.conf"),
    include_str!("../../../lb-userspace/tests/fixtures/seeds/003-dr2.conf"),
];
const CHECK: &str = "#!/bin/bash\n[ ! -f /etc/keepalived/down ]\n";
/// In place of the mail the example sends.
const NOTIFY: &str = "#!/bin/bash\necho $1 >> /etc/keepalived/states\n";
const USER: &str = "keepalived_script";

/// The two directors with what their configuration wants to find on the machine, and two real servers.
pub(crate) fn directors(site: &mut Site) -> Result<[Arc<Node>; 2]> {
    let nodes = [
        site.director("dr1", "ens39", &["192.168.7.110/24"])?,
        site.director("dr2", "ens39", &["192.168.7.111/24"])?,
    ];
    for node in &nodes {
        let own = node.dir().join("etc");
        fs::create_dir(&own)?;
        for (name, text, mode) in
            [("chk_down.sh", CHECK, 0o755), ("notify.sh", NOTIFY, 0o755), ("states", "", 0o666)]
        {
            fs::write(own.join(name), text)?;
            fs::set_permissions(own.join(name), fs::Permissions::from_mode(mode))?;
        }
        node.put_in_place("etc", "/etc/keepalived")?;
        for (name, line) in [
            ("passwd", format!("{USER}:x:64999:64999::/:/usr/sbin/nologin\n")),
            ("group", format!("{USER}:x:64999:\n")),
        ] {
            let path = format!("/etc/{name}");
            let mut text = fs::read_to_string(&path)?;
            if !text.lines().any(|known| known.split(':').next() == Some(USER)) {
                text += &line;
            }
            fs::write(node.dir().join(name), text)?;
            node.put_in_place(name, &path)?;
        }
    }
    Ok(nodes)
}

/// Waits until the notify script was last told this.
fn wait_told(node: &Node, states: &[&str]) -> Result<()> {
    wait::until(&format!("{} to be told {states:?}", node.name()), TAKEOVER, || {
        let text = fs::read_to_string(node.dir().join("etc/states"))?;
        let told: Vec<&str> = text.lines().collect();
        Ok(if told.ends_with(states) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(format!("it was told {told:?}"))
        })
    })
}

/// The priority falls from 99 to 84 while the file is there, and the address moves to the one with 90.
fn floats(programs: [Program; 2]) -> Result<()> {
    let vip = IpAddr::from(VIP);
    with_site(|site| {
        let [dr1, dr2] = directors(site)?;
        let capture = site.capture(&[&dr1, &dr2])?;
        let _dr2 = programs[1].start(&dr2, &CONFIGS[1])?;
        let _dr1 = programs[0].start(&dr1, &CONFIGS[0])?;
        dr1.wait_held(vip)?;
        dr2.wait_released(vip)?;
        let elected = SystemTime::now();
        capture.wait_advert(&dr1, elected, |advert| advert.priority == 99)?;

        let flag = dr1.dir().join("etc/down");
        fs::write(&flag, "")?;
        dr2.wait_held(vip)?;
        dr1.wait_released(vip)?;
        let fell = capture.adverts(&dr1)?;
        ensure!(fell.iter().any(|(_, advert)| advert.priority == 84), "{fell:?}");
        ensure!(fell.iter().all(|(_, advert)| advert.destination == IpAddr::from([224, 0, 0, 33])));
        wait_told(&dr1, &["master", "backup"])?;
        wait_told(&dr2, &["master"])?;

        fs::remove_file(&flag)?;
        dr1.wait_held(vip)?;
        dr2.wait_released(vip)?;
        wait_told(&dr1, &["master", "backup", "master"])?;
        wait_told(&dr2, &["master", "backup"])?;
        let back = SystemTime::now();
        capture.wait_advert(&dr1, back, |advert| advert.priority == 99)?;
        capture.wait_adverts(&dr1, back, 4)?;
        let late = capture.adverts(&dr2)?;
        ensure!(late.iter().all(|(at, _)| *at < back), "two masters: {late:?}");
        Ok(())
    })
}

#[test]
fn xlvs_falls_below_keepalived_and_comes_back() -> Result<()> {
    floats([Xlvs, Keepalived])
}

#[test]
fn keepalived_falls_below_xlvs_and_comes_back() -> Result<()> {
    floats([Keepalived, Xlvs])
}

#[test]
fn requests_go_on_while_the_address_floats() -> Result<()> {
    let vip = IpAddr::from(VIP);
    with_site(|site| {
        let [dr1, dr2] = directors(site)?;
        let client = site.host("client", "ens39", &["192.168.7.9/24"])?;
        let _web = [
            site.host("rs125", "ens39", &["192.168.7.125/24"])?.serve(&[vip])?,
            site.host("rs126", "ens39", &["192.168.7.126/24"])?.serve(&[vip])?,
        ];
        let _dr1 = Xlvs.start(&dr1, &CONFIGS[0])?;
        dr1.wait_held(vip)?;
        let _dr2 = Xlvs.start(&dr2, &CONFIGS[1])?;
        let requests = Requests::start(client.netns(), SocketAddr::new(vip, 80))?;
        requests.wait_answers(20, TAKEOVER)?;
        let flag = dr1.dir().join("etc/down");
        fs::write(&flag, "")?;
        dr2.wait_held(vip)?;
        dr1.wait_released(vip)?;
        requests.wait_answers(20, TAKEOVER)?;
        fs::remove_file(&flag)?;
        dr1.wait_held(vip)?;
        dr2.wait_released(vip)?;
        requests.wait_answers(20, TAKEOVER)?;
        let answers = requests.answers();
        for server in ["rs125", "rs126"] {
            ensure!(answers.iter().any(|answer| answer.from == server), "{server} never answered");
        }
        Ok(())
    })
}
