//! What an operator sees with the system's own tools.

use anyhow::{Result, anyhow};
use lb_tests::{Plan, with_lab};
use serde_json::Value;

#[test]
fn the_program_is_attached_in_driver_mode() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        let status = lab.balance(&lab.http_on_all("rr"), 1)?;
        assert_eq!(status.mode, "native");
        let net = lab.director.bpftool_net()?;
        assert!(net.lines().any(|line| line.starts_with("lan0(") && line.contains("driver")), "{net}");
        assert_eq!(lab.director.netns().xdp_links()?, [("lan0".to_owned(), 1)]);
        Ok(())
    })
}

#[test]
fn maps_show_named_fields() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        lab.balance(&lab.http_on_all("rr"), 2)?;
        lab.client().sequence(lab.service(), 4)?;
        let pins = lab.director.pins();
        for name in
            ["services", "servers", "members", "cursors", "flows4", "server_stats", "counters", "link_lan0"]
        {
            assert!(pins.iter().any(|pin| pin.starts_with(name)), "{name} is not among {pins:?}");
        }
        for map in ["services", "servers", "flows4"] {
            let dump = lab.director.dump(map)?;
            let rows = dump.as_array().ok_or_else(|| anyhow!("{map}: not a list"))?;
            assert!(!rows.is_empty(), "{map} is empty");
            for row in rows {
                let value = &row["formatted"]["value"];
                assert!(has_names(value), "{map} without named fields: {value}");
            }
        }
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

fn has_names(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(values) => values.iter().any(has_names),
        _ => false,
    }
}
