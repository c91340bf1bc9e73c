//! Starts that must fail: one clear line, an exit code, nothing left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use anyhow::Result;
use lb_tests::{Lab, Plan, with_lab};

fn assert_refused(lab: &Lab, output: &Output, mentions: &[&str]) -> Result<()> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr.trim_end().lines().count(), 1, "one line, not: {stderr}");
    assert!(output.status.code().is_some_and(|code| code != 0), "{}: {stderr}", output.status);
    assert!(stderr.starts_with("xlvs: "), "{stderr}");
    for mention in mentions {
        assert!(stderr.contains(mention), "{stderr:?} does not mention {mention:?}");
    }
    assert_eq!(lab.director.traces()?, [] as [String; 0]);
    Ok(())
}

#[test]
fn a_malformed_configuration_is_refused_with_its_place() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        let text = lab.http_on_all("rr").to_string();
        let unclosed = text.trim_end().trim_end_matches('}');
        let config = lab.director.write_config(unclosed)?;
        let place = format!("{}:", config.display());
        assert_refused(lab, &lab.director.refused(&config, &["lan0"])?, &[&place])?;

        let config = lab.director.write_config(&text.replace(&lab.vip().to_string(), "10.77.0.300"))?;
        assert_refused(
            lab,
            &lab.director.refused(&config, &["lan0"])?,
            &[&format!("{place}1:"), "10.77.0.300"],
        )
    })
}

#[test]
fn a_missing_configuration_is_refused() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        let output = lab.director.refused(Path::new("/nonexistent/keepalived.conf"), &["lan0"])?;
        assert_refused(lab, &output, &["/nonexistent/keepalived.conf"])
    })
}

#[test]
fn a_missing_interface_is_refused() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        let config = lab.director.write_config(&lab.http_on_all("rr").to_string())?;
        assert_refused(lab, &lab.director.refused(&config, &["ens99"])?, &["ens99"])?;
        // The interface that does exist must be left as it was.
        assert_refused(lab, &lab.director.refused(&config, &["lan0", "ens99"])?, &["ens99"])
    })
}

#[test]
fn an_interface_without_native_xdp_is_refused_and_named() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        // A bridge's driver has no XDP of its own.
        lab.director.netns().ip("link add plain0 type bridge")?;
        lab.director.netns().ip("link set plain0 up")?;
        let config = lab.director.write_config(&lab.http_on_all("rr").to_string())?;
        let output = lab.director.refused(&config, &["plain0"])?;
        assert_refused(lab, &output, &["plain0", "native", "--mode generic"])?;
        let output = lab.director.refused(&config, &["lan0", "plain0"])?;
        assert_refused(lab, &output, &["plain0"])
    })
}

#[test]
fn a_start_without_root_is_refused() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        // Everything on the way must be readable, or the refusal would be about files.
        for dir in [lab.dir().to_owned(), lab.dir().join("director")] {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
        }
        let config = lab.director.write_config(&lab.http_on_all("rr").to_string())?;
        let daemon = lab.director.command(&config, &["lan0".to_owned()])?;
        let copy = lab.dir().join("xlvs");
        fs::copy(daemon.get_program(), &copy)?;
        let mut command = lab.director.netns().command("setpriv")?;
        command
            .args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"])
            .arg(copy)
            .args(daemon.get_args());
        assert_refused(lab, &lab.director.finished(command)?, &["root"])
    })
}

/// Without the counts of what is on the wire by itself.
const MAPS: [&str; 8] =
    ["layout", "leases", "limits", "members", "server_stats", "servers", "services", "timeouts"];

#[test]
fn a_second_daemon_with_the_same_maps_is_refused_and_touches_none() -> Result<()> {
    with_lab(&Plan::servers(3), |lab| {
        let on = |servers: &[usize]| {
            let all = servers.iter().map(|server| lab.servers[*server].address);
            all.fold(lab.http("rr"), |service, own| service.checked(own, 1))
        };
        let (of_first, of_second) = (on(&[0, 1]), on(&[0, 2]).to_string());
        lab.balance(&of_first, 2)?;
        lab.client().sequence(lab.service(), 6)?;
        let told = || -> Result<_> {
            let status = lab.director.status()?;
            let counts = status.service()?.servers.iter().map(|server| (server.address, server.connections));
            let maps = MAPS.iter().map(|map| lab.director.dump(map)).collect::<Result<Vec<_>>>()?;
            Ok((status.pid, counts.collect::<Vec<_>>(), maps))
        };
        let before = told()?;
        assert!(before.1.iter().all(|(_, connections)| *connections == 3), "{:?}", before.1);

        // What it would change: rs3 has the row of rs2 in its place.
        let config = lab.dir().join("second.conf");
        fs::write(&config, of_second)?;
        let state = lab.dir().join("second");
        let first = lab.director.command(&config, &["lan0".to_owned()])?;
        let mut command = lab.director.netns().command(first.get_program())?;
        let mut is_state = false;
        for argument in first.get_args() {
            let own = std::mem::replace(&mut is_state, argument == "--state-dir");
            command.arg(if own { state.as_os_str() } else { argument });
        }
        let output = lab.director.finished(command)?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr.lines().last().unwrap_or_default();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(last.starts_with("xlvs: ") && last.contains("another xlvs runs with this pin"), "{stderr}");
        assert_eq!(told()?, before);
        assert_eq!(lab.client().sequence(lab.service(), 2)?, ["rs2", "rs1"]);
        Ok(())
    })
}

#[test]
fn a_second_daemon_for_the_same_state_is_refused_and_the_first_goes_on() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        lab.balance(&lab.http_on_all("rr"), 2)?;
        let config = lab.director.write_config(&lab.http_on_all("rr").to_string())?;
        let output = lab.director.refused(&config, &["lan0"])?;
        assert!(!output.status.success());
        assert_eq!(lab.client().sequence(lab.service(), 4)?, ["rs2", "rs1"].repeat(2));
        assert_eq!(Some(lab.director.status()?.pid), lab.director.pid());
        Ok(())
    })
}
