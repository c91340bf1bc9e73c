//! `xlvs explain` of a running director: who is told is who answers.

use anyhow::{Context as _, Result, ensure};
use lb_tests::family::Family;
use lb_tests::{Plan, with_lab};
use serde_json::Value;

#[test]
fn the_server_that_is_told_is_the_one_that_answers() -> Result<()> {
    with_lab(&Plan::servers(3), |lab| {
        lab.balance(&lab.http_on_all("rr"), 3)?;
        let service = lab.service().to_string();
        let client = lab.client_in(Family::V4).to_string();
        for _ in 0..7 {
            let told: Value = serde_json::from_str(&lab.director.explain(&[&client, &service, "--json"])?)?;
            let outcome = &told["outcomes"][0];
            let address = outcome["server"]["address"].as_str().context("a server")?;
            let named = lab.servers.iter().position(|server| server.address.to_string() == address);
            let named = named.context("one of the lab's")?;
            assert_eq!(outcome["verdict"]["counter"], "forwarded_tx", "{told}");
            assert_eq!(lab.client().who(lab.service())?, format!("rs{}", named + 1));
        }
        let text = lab.director.explain(&[&format!("{client}:9"), &service, "--segment", "middle"])?;
        ensure!(text.contains("  flow       none\n") && text.contains("XDP_PASS, pass_no_flow\n"), "{text}");
        let text = lab.director.explain(&[&client, &format!("{}:81", lab.vip()), "--proto", "udp"])?;
        ensure!(text.contains(&format!("none; near it are TCP {service}\n")), "{text}");

        let refused =
            lab.director.explain(&[&client, &service, "--iface", "lan9"]).err().context("refused")?;
        ensure!(format!("{refused:#}").contains("name one of lan0"), "{refused:#}");
        Ok(())
    })
}
