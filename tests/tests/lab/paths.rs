//! The ways packets take: large transfers, the director's own stack, a second interface.

use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Result;
use lb_tests::client::tally;
use lb_tests::lab::{BIG_MEGABYTES, DIRECTOR};
use lb_tests::nginx::Nginx;
use lb_tests::{Plan, wait, with_lab};

#[test]
fn a_large_download_arrives_intact() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        lab.make_big_file()?;
        lab.balance(&lab.http_on_all("rr"), 1)?;
        let mut download = lab.client().download(lab.service(), "/big")?;
        download.advance_to(BIG_MEGABYTES)?;
        download.finish()
    })
}

#[test]
fn ping_of_the_vip_is_answered() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        lab.balance(&lab.http_on_all("rr"), 1)?;
        lab.client().ping(lab.vip())
    })
}

#[test]
fn a_real_server_on_the_director_itself_is_served_locally() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        let mut own = Nginx::prepare("director", &lab.dir().join("own"), &lab.dir().join("none"))?;
        own.start(lab.director.netns())?;
        let config = lab.http("rr").checked(DIRECTOR, 1).checked(lab.servers[0].address, 1);
        let status = lab.balance(&config, 2)?;
        assert!(status.server(DIRECTOR)?.local);
        assert!(!status.server(lab.servers[0].address)?.local);
        assert_eq!(lab.client().sequence(lab.service(), 8)?, ["rs1", "director"].repeat(4));
        assert_eq!(lab.director.status()?.server(DIRECTOR)?.connections, 4);
        Ok(())
    })
}

#[test]
fn frames_leave_by_the_other_interface_of_a_director_with_two() -> Result<()> {
    with_lab(&Plan::servers(2).two_legs(), |lab| {
        lab.make_big_file()?;
        let status = lab.balance(&lab.http_on_all("rr"), 2)?;
        let mut attached: Vec<_> =
            status.interfaces.iter().map(|interface| interface.name.as_str()).collect();
        attached.sort_unstable();
        assert_eq!(attached, ["lan0", "wan0"]);
        for server in &status.service()?.servers {
            assert_eq!(server.interface.as_deref(), Some("lan0"));
        }
        let answers = tally(&lab.client().sequence(lab.service(), 10)?);
        assert!(answers.len() == 2 && answers.values().all(|&count| count == 5), "{answers:?}");
        let mut download = lab.client().download(lab.service(), "/big")?;
        download.advance_to(BIG_MEGABYTES)?;
        download.finish()
    })
}

#[test]
fn another_mac_address_of_the_director_is_followed() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        lab.balance(&lab.http_on_all("rr"), 2)?;
        lab.client().sequence(lab.service(), 2)?;
        let counted = lab.director.status()?.service()?.packets;

        lab.director.netns().ip("link set dev lan0 address 02:00:00:00:77:02")?;
        lab.client().netns().ip("neigh flush dev net0")?;
        wait::until("the program to know its new address", Duration::from_secs(10), || {
            // Until then the director's own stack refuses.
            Ok(match lab.client().who(lab.service()) {
                Ok(_) => ControlFlow::Break(()),
                Err(error) => ControlFlow::Continue(format!("{error:#}")),
            })
        })?;
        assert!(lab.director.status()?.service()?.packets > counted);
        assert_eq!(lab.director.netns().xdp_links()?, [("lan0".to_owned(), 1)]);
        assert_eq!(tally(&lab.client().sequence(lab.service(), 10)?).len(), 2);
        Ok(())
    })
}
