//! What monitoring reads of a director, beside what `xlvs status` says of the same.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lb_tests::config::VirtualRouter;
use lb_tests::hung::HungThread;
use lb_tests::{Lab, Plan, process, wait, with_lab};

use crate::schemas::holds;

const BOUND: Duration = Duration::from_secs(15);
const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0";

fn scrape(lab: &Lab, accept: &str) -> Result<String> {
    let accept = format!("accept: {accept}");
    lab.director.netns().run("curl", &["-sSf", "-H", &accept, "http://127.0.0.1:9100/metrics"])
}

/// Values by names with labels.
fn samples(page: &str) -> Result<BTreeMap<String, f64>> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
        Ok((name.to_owned(), value.parse().with_context(|| line.to_owned())?))
    };
    lines.map(sample).collect()
}

#[test]
fn metrics_are_what_the_status_says() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        lab.director.set_options(&["--metrics", "9100"]);
        lab.balance(&lab.http_on_all("rr"), 2)?;
        lab.client().sequence(lab.service(), 10)?;
        lab.servers[1].stop()?;
        let service = format!(r#"service="TCP {}""#, lab.service());
        let of = |name: &str, index: usize| {
            let server = &lab.servers[index];
            format!(r#"xlvs_real_server_{name}{{{service},server="{}:80"}}"#, server.address)
        };
        let metrics =
            wait::until("the metrics to say that rs2 is down, and of ten connections", BOUND, || {
                let metrics = samples(&scrape(lab, OPEN_METRICS)?)?;
                // Connections are counted when the collector comes by.
                let is_told = metrics.get(&of("up", 1)) == Some(&0.0)
                    && metrics.get(r#"xlvs_flow_table_entries{family="ipv4"}"#) == Some(&10.0);
                Ok(if is_told {
                    ControlFlow::Break(metrics)
                } else {
                    ControlFlow::Continue(format!("{metrics:?}"))
                })
            })?;

        let json = process::output(&mut lab.director.ask(&["--json"]))?;
        holds("status.schema.json", &serde_json::from_str(&json)?)?;
        let status = lab.director.status()?;
        let told = status.service()?;
        assert_eq!(told.connections, 10);
        let mut wanted = vec![
            (format!("xlvs_service_connections_total{{{service}}}"), told.connections),
            (format!("xlvs_service_packets_total{{{service}}}"), told.packets),
            (format!("xlvs_service_bytes_total{{{service}}}"), told.bytes),
            (format!("xlvs_service_inactive_connections{{{service}}}"), told.inactive_connections.into()),
            (
                r#"xlvs_packets_total{action="forwarded",reason="tx"}"#.to_owned(),
                status.counters["forwarded_tx"],
            ),
            (r#"xlvs_flow_table_capacity{family="ipv4"}"#.to_owned(), 1 << 20),
            ("xlvs_checks".to_owned(), status.checks.count as u64),
            ("xlvs_configuration_last_reload_successful".to_owned(), 1),
            (format!(r#"xlvs_build_info{{version="{}"}}"#, status.version), 1),
        ];
        for (index, server) in told.servers.iter().enumerate() {
            wanted.extend([
                (of("up", index), u64::from(server.state == "up")),
                (of("eligible", index), server.eligible.into()),
                (of("failing_checks", index), u64::from(index == 1)),
                (of("weight", index), server.weight.into()),
                (of("connections_total", index), server.connections),
                (of("packets_total", index), server.packets),
                (of("bytes_total", index), server.bytes),
                (of("active_connections", index), server.active_connections.into()),
            ]);
        }
        for (name, value) in wanted {
            assert_eq!(metrics.get(&name), Some(&(value as f64)), "{name} of {metrics:#?}");
        }
        Ok(())
    })
}

#[test]
fn virtual_routers_that_do_not_answer_are_told_as_that() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        lab.director.set_options(&["--metrics", "9100"]);
        let router = VirtualRouter::new("lan0", 51, 100, &format!("{}/32", lab.vip()));
        lab.balance(&format!("{router}{}", lab.http_on_all("rr")), 1)?;
        let series = |lab: &Lab| -> Result<(Option<f64>, usize)> {
            let samples = samples(&scrape(lab, OPEN_METRICS)?)?;
            let of_routers = samples.keys().filter(|name| name.contains("{vrrp_instance=")).count();
            Ok((samples.get("xlvs_vrrp_answers").copied(), of_routers))
        };
        let (answers, of_routers) = series(lab)?;
        ensure!(answers == Some(1.0) && of_routers > 0, "{answers:?}, {of_routers}");

        let hung = HungThread::stop(lab.director.pid().context("no daemon")?, "xlvs-vrrp")?;
        let status = lab.director.status()?;
        ensure!(!status.vrrp_answers && status.instances.is_empty(), "{status:?}");
        let text = process::output(&mut lab.director.ask(&[]))?;
        ensure!(text.contains("the virtual routers do not answer"), "{text}");
        // A page lasts for two seconds.
        wait::until("the page to say it", BOUND, || {
            Ok(match series(lab)? {
                (Some(0.0), 0) => ControlFlow::Break(()),
                told => ControlFlow::Continue(format!("{told:?}")),
            })
        })?;
        drop(hung);
        lab.director.wait_status("the virtual routers to answer", BOUND, |status| {
            status.vrrp_answers && status.instances.len() == 1
        })?;
        Ok(())
    })
}

#[test]
fn promtool_has_nothing_to_say() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        lab.director.set_options(&["--metrics", "127.0.0.1:9100"]);
        lab.balance(&lab.http_on_all("rr"), 1)?;
        let page = scrape(lab, "text/plain")?;
        let path = lab.dir().join("metrics");
        fs::write(&path, &page)?;
        let mut promtool = Command::new("promtool");
        process::output(promtool.args(["check", "metrics"]).stdin(File::open(&path)?)).context(page)?;
        Ok(())
    })
}

#[test]
fn without_an_option_nobody_listens_and_with_a_port_only_this_host_is_heard() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        let listening = |lab: &Lab| lab.director.netns().run("ss", &["-Htln"]);
        let config = lab.http_on_all("rr");
        lab.balance(&config, 1)?;
        assert_eq!(listening(lab)?, "");
        lab.director.term()?;
        lab.director.set_options(&["--metrics", "9100"]);
        lab.balance(&config, 1)?;
        let there = listening(lab)?;
        assert!(there.contains(" 127.0.0.1:9100 ") && there.lines().count() == 1, "{there}");
        Ok(())
    })
}
