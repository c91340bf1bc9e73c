//! What `xlvs events` tells of servers and configurations.

use anyhow::Result;
use lb_tests::{Plan, with_lab};

use crate::schemas::holds;

#[test]
fn who_follows_is_told_of_servers_files_and_changes_by_hand() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let config = lab.http_on_all("rr");
        lab.balance(&config, 2)?;
        let events = lab.director.follow()?;
        let service = format!("TCP {}", lab.service());

        lab.servers[1].stop()?;
        let dead = format!("{}:80", lab.servers[1].address);
        let down = events.wait("server", |event| event["up"] == false)?;
        assert_eq!([&down["service"], &down["server"], &down["cause"]], [&service, &dead, "check"]);
        let reason = down["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("refused"), "{down}");
        assert!(down["time"].as_f64().is_some_and(|time| time > 1.7e9), "{down}");
        lab.servers[1].start()?;
        let up = events.wait("server", |event| event["up"] == true)?;
        assert_eq!((&up["server"], &up["reason"]), (&dead.into(), &serde_json::Value::Null));

        let text = config.to_string();
        assert!(!lab.director.reload("virtual_server 10.0.0.1 {\n")?.status.success());
        let refused = events.wait("configuration_refused", |_| true)?;
        assert_eq!(refused["in_file"], true, "{refused}");
        assert!(lab.director.reload(&text.replace("lb_algo rr", "lb_algo wrr"))?.status.success());
        let loaded = events.wait("configuration_loaded", |_| true)?;
        assert!(loaded["changes"][0].as_str().is_some_and(|change| change.contains(&service)), "{loaded}");

        lab.director.ipvsadm(&["-E", "-t", &lab.service().to_string(), "-s", "lc"])?;
        let by_hand = events.wait("by_hand", |_| true)?;
        assert!(by_hand["changes"][0].as_str().is_some_and(|change| change.contains(&service)), "{by_hand}");

        lab.director.term()?;
        let all = events.end()?;
        assert!(all.iter().all(|event| event["event"] != "lost"), "{all:?}");
        all.iter().try_for_each(|event| holds("events.schema.json", event))?;
        Ok(())
    })
}
