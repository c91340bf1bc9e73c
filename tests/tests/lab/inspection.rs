//! What an operator sees with the system's own tools.

use anyhow::{Context as _, Result, anyhow};
use lb_tests::{Plan, with_lab};
use serde_json::Value;

#[test]
fn the_program_is_attached_in_driver_mode() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        let status = lab.balance(&lab.http_on_all("rr"), 1)?;
        assert_eq!(status.mode, "native");
        let service = status.service()?;
        assert_eq!((&service.instance, service.active), (&None, true), "it belongs to no virtual router");
        let net = lab.director.bpftool_net()?;
        assert!(net.lines().any(|line| line.starts_with("lan0(") && line.contains("driver")), "{net}");
        assert_eq!(lab.director.netns().xdp_links()?, [("lan0".to_owned(), 1)]);
        Ok(())
    })
}

#[test]
fn maps_show_named_fields() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        // A dump shows every slot of the flow table.
        lab.director.set_options(&["--flow-slots", "1024"]);
        lab.balance(&lab.http_on_all("rr"), 2)?;
        lab.client().sequence(lab.service(), 4)?;
        let pins = lab.director.pins();
        for name in [
            "services",
            "leases",
            "servers",
            "members",
            "cursors",
            "flows4",
            "loads",
            "timeouts",
            "server_stats",
            "counters",
            "link_lan0",
        ] {
            assert!(pins.iter().any(|pin| pin.starts_with(name)), "{name} is not among {pins:?}");
        }
        let dump = lab.director.dump("services")?;
        let services = slots(&dump)?;
        assert_eq!(services.iter().filter(|slot| slot["info"]["port"] == 80).count(), 1, "{services:?}");

        let dump = lab.director.dump("leases")?;
        let endless =
            serde_json::json!({"until_ns": u64::MAX, "vrid": 0, "reserved": [0, 0, 0, 0, 0], "vmac": [0, 0]});
        let nobodys =
            serde_json::json!({"until_ns": 0, "vrid": 0, "reserved": [0, 0, 0, 0, 0], "vmac": [0, 0]});
        let leases = values(&dump)?;
        assert_eq!(*leases[0], endless);
        assert!(
            leases[1..].iter().all(|lease| **lease == nobodys),
            "no virtual router is configured: {leases:?}"
        );

        let dump = lab.director.dump("servers")?;
        let mut servers = values(&dump)?;
        servers.retain(|server| server["info"]["state"] != 0);
        let addresses: Vec<_> = servers.iter().map(|server| server["rip"]["octets"][15].as_u64()).collect();
        assert_eq!(addresses, [Some(11), Some(12)], "{servers:?}");

        let dump = lab.director.dump("loads")?;
        let servers = values(&dump)?[0].as_array().context("loads of servers")?.iter();
        for load in servers.take(2) {
            assert_eq!(
                load["active"].as_u64().zip(load["inactive"].as_u64()).map(|(a, i)| a + i),
                Some(2),
                "{load}"
            );
        }

        let dump = lab.director.dump("flows4")?;
        let flows = slots(&dump)?;
        let client = serde_json::json!([10, 77, 0, 9]);
        assert_eq!(flows.iter().filter(|slot| slot["key"]["client"] == client).count(), 4);
        Ok(())
    })
}

#[test]
fn only_root_may_use_the_control_socket() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    with_lab(&Plan::servers(1), |lab| {
        lab.balance(&lab.http_on_all("rr"), 1)?;
        let socket = lab.dir().join("director/state/control.sock");
        assert_eq!(std::fs::metadata(socket)?.permissions().mode() & 0o777, 0o600);
        Ok(())
    })
}

/// The rows of a dump with the names of their fields, as bpftool knows them from BTF.
fn values(dump: &Value) -> Result<Vec<&Value>> {
    let rows = dump.as_array().ok_or_else(|| anyhow!("not a list: {dump}"))?;
    rows.iter()
        .map(|row| row.pointer("/formatted/value").ok_or_else(|| anyhow!("no named fields in {row}")))
        .collect()
}

/// The slots of all buckets.
fn slots(dump: &Value) -> Result<Vec<&Value>> {
    let buckets = values(dump)?.into_iter().map(|bucket| {
        bucket["slots"].as_array().ok_or_else(|| anyhow!("a bucket without named slots: {bucket}"))
    });
    Ok(buckets.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}
