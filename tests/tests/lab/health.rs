//! Real servers that die, come back, or were never there.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Result;
use lb_tests::client::tally;
use lb_tests::{Plan, with_lab};

const BOUND: Duration = Duration::from_secs(15);

#[test]
fn a_dead_server_leaves_and_comes_back() -> Result<()> {
    with_lab(&Plan::servers(3), |lab| {
        lab.balance(&lab.http_on_all("rr"), 3)?;
        assert_eq!(tally(&lab.client().sequence(lab.service(), 6)?).len(), 3);

        lab.servers[1].stop()?;
        let dead = lab.servers[1].address;
        let status = lab.director.wait_status("rs2 to be down", BOUND, |status| {
            status.server(dead).is_ok_and(|server| server.state == "down")
        })?;
        let server = status.server(dead)?;
        assert!(!server.eligible);
        let reason = server.reason.as_deref().unwrap_or_default();
        assert!(reason.contains("refused"), "reason: {reason:?}");
        let answers = tally(&lab.client().sequence(lab.service(), 10)?);
        assert_eq!(answers.into_iter().collect::<Vec<_>>(), [("rs1".into(), 5), ("rs3".into(), 5)]);

        lab.servers[1].start()?;
        let status = lab.wait_eligible(3)?;
        let server = status.server(dead)?;
        assert_eq!((server.state.as_str(), &server.reason), ("up", &None));
        let answers = tally(&lab.client().sequence(lab.service(), 9)?);
        assert!(answers.len() == 3 && answers.values().all(|&count| count == 3), "{answers:?}");
        Ok(())
    })
}

#[test]
fn a_server_that_does_not_answer_arp_is_unresolved_and_gets_nothing() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let absent = Ipv4Addr::new(10, 77, 0, 99);
        let [one, two] = [0, 1].map(|index| lab.servers[index].address);
        let config = lab.http("rr").unchecked(one, 1).unchecked(absent, 1).unchecked(two, 1);
        let status = lab.balance(&config, 2)?;
        let server = status.server(absent)?;
        assert_eq!((server.state.as_str(), server.eligible, &server.mac), ("unresolved", false, &None));
        assert!(server.reason.as_ref().is_some_and(|reason| !reason.is_empty()), "{server:?}");

        assert_eq!(lab.client().sequence(lab.service(), 8)?, ["rs2", "rs1"].repeat(4));
        assert_eq!(lab.director.status()?.server(absent)?.connections, 0);
        Ok(())
    })
}

#[test]
fn a_server_that_begins_to_answer_arp_is_taken_in() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let late = &lab.servers[0];
        late.netns().ip("link set net0 down")?;
        let config = lab.http("rr").unchecked(late.address, 1).unchecked(lab.servers[1].address, 1);
        lab.balance(&config, 1)?;
        assert_eq!(lab.client().sequence(lab.service(), 2)?, ["rs2", "rs2"]);

        lab.servers[0].netns().ip("link set net0 up")?;
        lab.wait_eligible(2)?;
        assert_eq!(tally(&lab.client().sequence(lab.service(), 4)?).len(), 2);
        Ok(())
    })
}
