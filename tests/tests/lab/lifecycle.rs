//! Clean ends, unclean ends, and what the next daemon finds.

use anyhow::Result;
use lb_tests::client::tally;
use lb_tests::lab::BIG_MEGABYTES;
use lb_tests::{Lab, Plan, with_lab};

const NONE: [String; 0] = [];

#[test]
fn term_leaves_nothing_behind() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        assert_eq!(lab.director.traces()?, NONE);
        lab.balance(&lab.http_on_all("rr"), 1)?;
        lab.client().who(lab.service())?;
        assert_eq!(lab.director.traces()?.len(), 3, "program, pins and socket while it runs");

        let exit = lab.director.term()?;
        assert_eq!(exit.code(), Some(0));
        assert_eq!(lab.director.traces()?, NONE);
        assert!(lab.director.status().is_err(), "nobody answers after the end");
        Ok(())
    })
}

#[test]
fn a_killed_daemon_is_taken_over_without_losing_a_connection() -> Result<()> {
    with_lab(&Plan::servers(3), |lab| {
        lab.make_big_file()?;
        let config = lab.http_on_all("rr");
        lab.balance(&config, 3)?;
        let mut download = lab.client().download(lab.service(), "/big")?;
        download.advance_to(1)?;
        let pins = lab.director.pins();

        lab.director.kill9()?;
        download.advance_to(BIG_MEGABYTES / 4)?;
        assert_eq!(tally(&lab.client().sequence(lab.service(), 9)?).len(), 3, "traffic without a daemon");

        let before = lab.balance(&config, 3)?;
        assert_eq!(lab.director.pins(), pins);
        download.advance_to(BIG_MEGABYTES / 2)?;
        assert_eq!(
            tally(&lab.client().sequence(lab.service(), 9)?).len(),
            3,
            "traffic with the second daemon"
        );
        let counted = lab.director.status()?.service()?.connections - before.service()?.connections;
        assert_eq!(counted, 9);
        download.advance_to(BIG_MEGABYTES)?;
        download.finish()?;

        assert_eq!(lab.director.term()?.code(), Some(0));
        assert_eq!(lab.director.traces()?, NONE);
        Ok(())
    })
}

#[test]
fn a_flow_table_of_another_size_is_told_with_what_is_lost() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        let config = lab.http_on_all("rr");
        lab.director.set_options(&["--flow-slots", "4096"]);
        lab.balance(&config, 1)?;
        lab.director.kill9()?;
        lab.director.set_options(&["--flow-slots", "8192"]);
        lab.balance(&config, 1)?;
        let log = lab.director.log();
        let told: Vec<_> = log.lines().filter(|line| line.contains("flow table")).collect();
        let [line] = told[..] else { anyhow::bail!("{log}") };
        let says = "the flow table of IPv4 held 4096 flows and holds 8192 now; the connections";
        assert!(line.contains("WARN") && line.contains("took over from") && line.contains(says), "{line}");
        assert!(!log.contains("took over the connections"), "{log}");
        Ok(())
    })
}

#[test]
fn counts_go_on_for_a_server_that_stays_and_begin_anew_for_one_that_comes() -> Result<()> {
    with_lab(&Plan::servers(3), |lab| {
        let own: Vec<_> = lab.servers.iter().map(|server| server.address).collect();
        let on = |servers: &[usize]| {
            servers.iter().fold(lab.http("rr"), |service, &server| service.checked(own[server], 1))
        };
        let (first, same_size, larger) = (on(&[0, 1]), on(&[0, 2]), on(&[0, 1, 2]));
        let counts = |lab: &Lab, servers: &[usize]| -> Result<Vec<u64>> {
            let status = lab.director.status()?;
            servers.iter().map(|&server| Ok(status.server(own[server])?.connections)).collect()
        };

        lab.balance(&first, 2)?;
        lab.client().sequence(lab.service(), 4)?;
        assert_eq!(counts(lab, &[0, 1])?, [2, 2]);
        lab.director.kill9()?;
        lab.balance(&same_size, 2)?;
        assert_eq!(counts(lab, &[0, 2])?, [2, 0], "the row of rs2 is that of rs3 now");
        lab.client().sequence(lab.service(), 4)?;
        lab.director.kill9()?;
        lab.balance(&larger, 3)?;
        assert_eq!(counts(lab, &[0, 1, 2])?, [4, 0, 2], "in a larger map");
        Ok(())
    })
}

#[test]
fn a_daemon_that_starts_again_after_a_clean_end_serves_again() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let config = lab.http_on_all("rr");
        for _ in 0..2 {
            lab.balance(&config, 2)?;
            assert_eq!(lab.client().sequence(lab.service(), 4)?, ["rs2", "rs1"].repeat(2));
            assert_eq!(lab.director.term()?.code(), Some(0));
            assert_eq!(lab.director.traces()?, NONE);
        }
        Ok(())
    })
}
