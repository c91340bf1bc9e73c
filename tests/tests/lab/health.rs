//! Real servers that die, come back, or were never there.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lb_tests::client::tally;
use lb_tests::{Lab, Plan, wait, with_lab};

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

/// Waits until the first server is down for a reason like this.
fn wait_down(lab: &Lab, reason: &str) -> Result<()> {
    let server = lab.servers[0].address;
    let what = format!("rs1 to be down: {reason}");
    let is_so = |said: &Option<String>| said.as_deref().is_some_and(|said| said.contains(reason));
    lab.director.wait_status(&what, BOUND, |status| {
        status.server(server).is_ok_and(|server| server.state == "down" && is_so(&server.reason))
    })?;
    Ok(())
}

/// Waits until the first server is up with this weight.
fn wait_weight(lab: &Lab, weight: u32) -> Result<()> {
    let server = lab.servers[0].address;
    lab.director.wait_status(&format!("rs1 to be up with weight {weight}"), BOUND, |status| {
        status.server(server).is_ok_and(|server| server.state == "up" && server.weight == weight)
    })?;
    Ok(())
}

/// Starts a director whose first server this checker watches; the second has none.
fn watch(lab: &mut Lab, check: &str, globals: &str) -> Result<()> {
    let [first, second] = [0, 1].map(|index| lab.servers[index].address);
    let service = lab.http("wrr").checked_by(first, 1, check).unchecked(second, 1);
    lab.balance(&format!("{globals}{service}"), 2)?;
    wait_weight(lab, 1)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| path.display().to_string())
}

#[test]
fn pages_that_are_not_as_they_should_be_take_a_server_out() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let [first, second] = ["a", "b"].map(|name| lab.servers[0].nginx().uploaded(name));
        write(&first, "state: up\n")?;
        write(&second, "")?;
        let check = "HTTP_GET {
            connect_timeout 1
            delay_loop 0.2
            delay_before_retry 0.2
            fast_recovery
            url {
                path /uploads/a
                regex \"^state: (up|fine)$\"
            }
            url {
                path /uploads/b
                status_code 200-204
            }
        }";
        watch(lab, check, "")?;
        write(&first, "state: down\n")?;
        wait_down(lab, "/uploads/a: the pattern `^state: (up|fine)$` is not in the page")?;
        assert_eq!(lab.client().sequence(lab.service(), 2)?, ["rs2", "rs2"]);
        write(&first, "state: fine\n")?;
        wait_weight(lab, 1)?;
        fs::remove_file(&second)?;
        wait_down(lab, "/uploads/b: HTTP status 404, wanted 200-204")?;
        write(&second, "")?;
        wait_weight(lab, 1)?;
        lab.servers[0].stop()?;
        wait_down(lab, "connection refused")
    })
}

#[test]
fn pages_over_tls_have_their_sums() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        lab.servers[0].nginx().offer_tls()?;
        lab.servers[0].stop()?;
        lab.servers[0].start()?;
        let page = lab.servers[0].nginx().uploaded("a");
        write(&page, "abc")?;
        let check = "SSL_GET {
            connect_port 443
            enable_sni
            virtualhost www.example.com
            connect_timeout 2
            http_protocol 1.1
            url {
                path /uploads/a
                digest 900150983cd24fb0d6963f7d28e17f72
            }
        }";
        watch(lab, check, "")?;
        write(&page, "abd")?;
        wait_down(lab, "differs from 900150983cd24fb0d6963f7d28e17f72")?;
        write(&page, "abc")?;
        wait_weight(lab, 1)
    })
}

#[test]
fn a_program_decides_and_gives_weights() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let code = lab.dir().join("code");
        write(&code, "0")?;
        let check = format!(
            "MISC_CHECK {{
            misc_path \"/bin/sh -c 'exit $(cat {})'\"
            misc_timeout 5
            misc_dynamic
        }}",
            code.display()
        );
        watch(lab, &check, "global_defs {\n enable_script_security\n script_user root\n}\n")?;
        write(&code, "5")?;
        wait_weight(lab, 3)?;
        let answers = tally(&lab.client().sequence(lab.service(), 8)?);
        assert_eq!(answers.into_iter().collect::<Vec<_>>(), [("rs1".into(), 6), ("rs2".into(), 2)]);
        write(&code, "1")?;
        wait_down(lab, "its program ended with exit status: 1")?;
        write(&code, "0")?;
        wait_weight(lab, 1)
    })
}

#[test]
fn a_server_that_echoes_no_more_is_down() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        watch(lab, "PING_CHECK {\n connect_timeout 0.3\n retry 0\n }", "")?;
        lab.servers[0].netns().sysctl("ipv4/icmp_echo_ignore_all", "1")?;
        wait_down(lab, "no echo within 0.3 s")?;
        lab.servers[0].netns().sysctl("ipv4/icmp_echo_ignore_all", "0")?;
        wait_weight(lab, 1)
    })
}

#[test]
fn an_unreachable_udp_port_takes_a_server_out() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let address = (lab.servers[0].address, 7777);
        let bind = || wait::bound("UDP port 7777", || UdpSocket::bind(address));
        let bind = |lab: &Lab| lab.servers[0].netns().enter(bind);
        let socket = bind(lab)?;
        watch(lab, "UDP_CHECK {\n connect_port 7777\n connect_timeout 0.3\n retry 0\n }", "")?;
        drop(socket);
        wait_down(lab, "port unreachable")?;
        let _socket = bind(lab)?;
        wait_weight(lab, 1)
    })
}

#[test]
fn a_number_in_a_file_is_added_to_the_weight() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let file = lab.dir().join("more");
        write(&file, "0")?;
        let globals = format!("track_file more {{\n file {}\n weight 2\n}}\n", file.display());
        watch(lab, "FILE_CHECK {\n track_file more\n }", &globals)?;
        write(&file, "3")?;
        wait_weight(lab, 7)?;
        write(&file, "-1")?;
        lab.wait_eligible(1)?;
        write(&file, "0")?;
        wait_weight(lab, 1)
    })
}
