//! Too few real servers, and what is told of it: quorum, sorry server, checks that count from their beginning, the end.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lb_tests::client::tally;
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::lab::{BIG_MEGABYTES, DIRECTOR};
use lb_tests::nginx::Nginx;
use lb_tests::post::Post;
use lb_tests::record::Record;
use lb_tests::{Lab, Plan, process, with_lab};

const BOUND: Duration = Duration::from_secs(15);
const MAIL: &str = "notification_email {\n root@localhost\n }\n notification_email_from lvs@localhost\n \
                    smtp_server 127.0.0.1\n router_id LAB1\n";

fn globals(record: &Record) -> String {
    format!("global_defs {{\n {}{MAIL}}}\n", record.globals())
}

/// The checker of a server with the scripts that are told of it.
fn with_scripts(check: &str, record: &Record, name: &str) -> String {
    let [up, down] = ["up", "down"].map(|state| record.command(&format!("{state} {name}")));
    format!("{check}\n notify_up {up}\n notify_down {down}")
}

/// A service of the first servers of the lab, whose last is the sorry server.
fn service(lab: &Lab, record: &Record, check: impl Fn(usize) -> String) -> VirtualServer {
    let (sorry, servers) = lab.servers.split_last().expect("a lab has servers");
    let service = lab
        .http("rr")
        .line(&format!("sorry_server {} 80", sorry.address))
        .line(&format!("quorum_up {}", record.command("quorum_up")))
        .line(&format!("quorum_down {}", record.command("quorum_down")));
    servers.iter().enumerate().fold(service, |service, (number, server)| {
        service.checked_by(server.address, 1, &with_scripts(&check(number), record, server.name()))
    })
}

fn tcp(_: usize) -> String {
    "TCP_CHECK {\n connect_timeout 1\n }".to_owned()
}

fn number_of(lab: &Lab, name: &str) -> Result<usize> {
    lab.servers.iter().position(|server| server.name() == name).context("an unknown server")
}

/// Waits until new connections go to the sorry server alone.
fn wait_sorry(lab: &Lab) -> Result<()> {
    let address = lab.servers.last().context("no server")?.address;
    lab.director.wait_status("the sorry server to be alone", BOUND, |status| {
        let servers = status.services.iter().flat_map(|service| &service.servers);
        let mut eligible = servers.filter(|server| server.eligible).map(|server| server.address);
        eligible.next() == Some(address.into()) && eligible.next().is_none()
    })?;
    Ok(())
}

/// Makes sure that the status tells programs and people of the sorry server, and whether the quorum of 2 is lost.
fn shows(lab: &Lab, is_lost: bool) -> Result<()> {
    let status = lab.director.status()?;
    let service = status.service()?;
    assert_eq!((service.quorum, service.quorum_lost), (2, is_lost));
    let sorry: Vec<_> = service.servers.iter().map(|server| server.sorry).collect();
    assert_eq!(sorry, [false, false, false, true]);
    let text = process::output(&mut lab.director.ask(&[]))?;
    assert_eq!(text.contains(", without its quorum of 2: "), is_lost, "{text}");
    assert_eq!(text.matches("  sorry server").count(), 1, "{text}");
    Ok(())
}

#[test]
fn without_a_quorum_the_sorry_server_answers_and_what_runs_goes_on() -> Result<()> {
    with_lab(&Plan::servers(4), |lab| {
        lab.make_big_file()?;
        let record = Record::new(lab.dir())?;
        let post = Post::open(lab.director.netns(), lab.dir())?;
        let config = service(lab, &record, tcp).line("quorum 2").line("hysteresis 0").line("smtp_alert");
        lab.balance(&format!("{}{config}", globals(&record)), 3)?;
        record.wait(1, 1, BOUND)?;
        let in_turn = lab.client().sequence(lab.service(), 3)?;
        ensure!(tally(&in_turn).len() == 3 && !in_turn.iter().any(|name| name == "rs4"), "{in_turn:?}");
        let mut download = lab.client().download(lab.service(), "/big")?;
        download.advance_to(1)?;

        let [first, second] = [number_of(lab, &in_turn[1])?, number_of(lab, &in_turn[2])?];
        lab.servers[first].stop()?;
        lab.wait_eligible(2)?;
        assert_eq!(tally(&lab.client().sequence(lab.service(), 4)?).len(), 2);
        record.wait(2, 2, BOUND)?;
        lab.servers[second].stop()?;
        wait_sorry(lab)?;
        assert_eq!(lab.client().sequence(lab.service(), 6)?, ["rs4"; 6]);
        download.advance_to(BIG_MEGABYTES)?;
        download.finish()?;
        shows(lab, true)?;
        let (words, lines) = record.wait(4, 4, BOUND)?;
        let vip = format!("[{}]:tcp:80", lab.vip());
        let [rs_a, rs_b] = [first, second].map(|number| format!("[{}]:tcp:80", lab.servers[number].address));
        assert_eq!(
            lines,
            [
                format!("VS {vip} UP"),
                format!("RS {rs_a} {vip} DOWN"),
                format!("RS {rs_b} {vip} DOWN"),
                format!("VS {vip} DOWN")
            ]
        );
        let mut expected = [&in_turn[1], &in_turn[2]].map(|name| format!("down {name}")).to_vec();
        expected.extend(["quorum_down", "quorum_up"].map(str::to_owned));
        expected.sort();
        assert_eq!(words, expected);

        lab.servers[first].start()?;
        lab.wait_eligible(2)?;
        let answers = tally(&lab.client().sequence(lab.service(), 6)?);
        ensure!(answers.len() == 2 && !answers.contains_key("rs4"), "{answers:?}");
        shows(lab, false)?;
        let (words, lines) = record.wait(6, 6, BOUND)?;
        expected.extend(["quorum_up".to_owned(), format!("up {}", in_turn[1])]);
        expected.sort();
        assert_eq!(words, expected);
        assert_eq!(lines[4..], [format!("RS {rs_a} {vip} UP"), format!("VS {vip} UP")]);

        let subject = |what: &str| format!("[LAB1] {what}");
        let mut expected = [
            subject(&format!("Realserver {rs_a} of virtual server {vip} - DOWN")),
            subject(&format!("Realserver {rs_b} of virtual server {vip} - DOWN")),
            subject(&format!("Virtualserver {vip} - DOWN")),
            subject(&format!("Realserver {rs_a} of virtual server {vip} - UP")),
            subject(&format!("Virtualserver {vip} - UP")),
            subject(&format!("Virtualserver {vip} - UP")),
        ];
        expected.sort();
        let mut letters = post.wait(6, BOUND)?;
        letters.sort_by(|one, other| one.subject.cmp(&other.subject));
        assert_eq!(
            letters.iter().map(|letter| &letter.subject).collect::<Vec<_>>(),
            expected.iter().collect::<Vec<_>>()
        );
        let mut bodies: Vec<&str> = letters[3..].iter().map(|letter| letter.body.as_str()).collect();
        bodies.sort_unstable();
        let expected = [
            "=> Gained quorum 2+0=2 <= 2 <=",
            "=> Lost quorum 2-0=2 > 1 <=",
            "=> Starting with quorum up 2+0=2 <= 3 <=",
        ];
        assert_eq!(bodies, expected);
        Ok(())
    })
}

/// Stops or starts a server and waits until it is known.
fn set(lab: &mut Lab, number: usize, is_up: bool) -> Result<()> {
    if is_up {
        lab.servers[number].start()?;
    } else {
        lab.servers[number].stop()?;
    }
    let (server, state) = (lab.servers[number].address, if is_up { "up" } else { "down" });
    lab.director.wait_status(&format!("{server} to be {state}"), BOUND, |status| {
        status.server(server).is_ok_and(|server| server.state == state)
    })?;
    Ok(())
}

#[test]
fn with_a_hysteresis_a_quorum_is_lost_late_and_gained_late() -> Result<()> {
    with_lab(&Plan::servers(4), |lab| {
        let record = Record::new(lab.dir())?;
        let config = service(lab, &record, tcp).line("quorum 2").line("hysteresis 1");
        lab.balance(&format!("global_defs {{\n {}}}\n{config}", record.globals()), 3)?;
        for (down, left) in [(0, 2), (1, 1)] {
            set(lab, down, false)?;
            assert_eq!(tally(&lab.client().sequence(lab.service(), 4)?).len(), left, "still a quorum");
        }
        set(lab, 2, false)?;
        wait_sorry(lab)?;
        assert_eq!(lab.client().sequence(lab.service(), 2)?, ["rs4"; 2]);
        for up in [0, 1] {
            set(lab, up, true)?;
            assert_eq!(lab.client().sequence(lab.service(), 2)?, ["rs4"; 2], "{} of 3 are up", up + 1);
        }
        set(lab, 2, true)?;
        lab.wait_eligible(3)?;
        assert_eq!(tally(&lab.client().sequence(lab.service(), 6)?).len(), 3);
        let lines = record.wait(9, 9, BOUND)?.1;
        let quorums: Vec<_> = lines.iter().filter(|line| line.starts_with("VS ")).collect();
        assert_eq!(quorums.len(), 3, "up, down, up: {lines:#?}");
        assert!(lines[4].ends_with(" DOWN") && lines[8].ends_with(" UP"), "{lines:#?}");
        Ok(())
    })
}

#[test]
fn the_common_fifo_tells_of_servers_too_and_of_the_first_where_it_is_asked_to() -> Result<()> {
    with_lab(&Plan::servers(3), |lab| {
        let record = Record::new(lab.dir())?;
        let config = service(lab, &record, tcp);
        let globals = record.globals_by("notify_fifo");
        lab.balance(&format!("global_defs {{\n {globals}rs_init_notifies\n}}\n{config}"), 2)?;
        let (words, lines) = record.wait(3, 3, BOUND)?;
        assert_eq!(words, ["quorum_up", "up rs1", "up rs2"]);
        let vip = format!("[{}]:tcp:80", lab.vip());
        let of = |lab: &Lab, number: usize, state: &str| {
            format!("RS [{}]:tcp:80 {vip} {state}", lab.servers[number].address)
        };
        assert_eq!(lines, [of(lab, 0, "UP"), of(lab, 1, "UP"), format!("VS {vip} UP")]);
        set(lab, 0, false)?;
        assert_eq!(record.wait(4, 4, BOUND)?.1[3..], [of(lab, 0, "DOWN")]);
        Ok(())
    })
}

#[test]
fn who_is_inhibited_keeps_the_connections_that_it_has() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        lab.make_big_file()?;
        let record = Record::new(lab.dir())?;
        let page = lab.servers[0].nginx().uploaded("fine");
        fs::write(&page, "")?;
        let check = |_| {
            "inhibit_on_failure\n HTTP_GET {\n connect_timeout 1\n retry 0\n url {\n path /uploads/fine\n \
             status_code 200\n }\n }"
                .to_owned()
        };
        let config = service(lab, &record, check).line("sorry_server_inhibit");
        lab.balance(&format!("{}{config}", globals(&record)), 1)?;
        let mut of_server = lab.client().download(lab.service(), "/big")?;
        of_server.advance_to(1)?;

        fs::remove_file(&page)?;
        wait_sorry(lab)?;
        assert_eq!(lab.client().sequence(lab.service(), 3)?, ["rs2"; 3]);
        let mut of_sorry = lab.client().download(lab.service(), "/big")?;
        of_sorry.advance_to(1)?;
        of_server.advance_to(BIG_MEGABYTES)?;
        of_server.finish()?;

        fs::write(&page, "")?;
        record.wait(5, 5, BOUND)?;
        assert_eq!(lab.client().sequence(lab.service(), 3)?, ["rs1"; 3]);
        of_sorry.advance_to(BIG_MEGABYTES)?;
        of_sorry.finish()?;
        assert_eq!(record.words(), ["down rs1", "quorum_down", "quorum_up", "quorum_up", "up rs1"]);
        Ok(())
    })
}

/// A checker that comes to no verdict before the file is there.
fn gated(gate: &Path) -> String {
    format!(
        "MISC_CHECK {{\n misc_path \"/bin/sh -c 'while [ ! -e {} ]; do sleep 0.1; done'\"\n misc_timeout 60\n }}",
        gate.display()
    )
}

#[test]
fn with_alpha_nobody_serves_before_a_check_has_passed() -> Result<()> {
    with_lab(&Plan::servers(3), |lab| {
        let record = Record::new(lab.dir())?;
        let gates = [lab.dir().join("gate0"), lab.dir().join("gate1")];
        let config = service(lab, &record, |number| gated(&gates[number])).line("alpha");
        lab.director.start(&format!("{}{config}", globals(&record)))?;
        wait_sorry(lab)?;
        assert_eq!(lab.client().sequence(lab.service(), 20)?, ["rs3"; 20]);
        assert_eq!(lab.servers[0].nginx().served() + lab.servers[1].nginx().served(), 0);
        let (words, lines) = record.wait(1, 1, BOUND)?;
        assert_eq!(
            (words, lines),
            (vec!["quorum_down".to_owned()], vec![format!("VS [{}]:tcp:80 DOWN", lab.vip())])
        );

        fs::write(&gates[1], "")?;
        record.wait(3, 3, BOUND)?;
        assert_eq!(lab.client().sequence(lab.service(), 4)?, ["rs2"; 4]);
        fs::write(&gates[0], "")?;
        lab.wait_eligible(2)?;
        assert_eq!(tally(&lab.client().sequence(lab.service(), 4)?).len(), 2);
        assert_eq!(record.wait(4, 4, BOUND)?.0, ["quorum_down", "quorum_up", "up rs1", "up rs2"]);
        Ok(())
    })
}

#[test]
fn with_alpha_and_without_a_sorry_server_nobody_answers_at_first() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        let gate = lab.dir().join("gate");
        let config = lab.http("rr").line("alpha").checked_by(lab.servers[0].address, 1, &gated(&gate));
        lab.director.start(&format!("global_defs {{\n script_user root\n}}\n{config}"))?;
        let refused = lab.client().who(lab.service());
        ensure!(refused.is_err(), "somebody answered: {refused:?}");
        assert_eq!(lab.servers[0].nginx().served(), 0);
        fs::write(&gate, "")?;
        lab.wait_eligible(1)?;
        assert_eq!(lab.client().who(lab.service())?, "rs1");
        Ok(())
    })
}

#[test]
fn with_omega_the_end_is_told_as_the_end_of_all_servers() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let record = Record::new(lab.dir())?;
        let other = VirtualServer::new(lab.vip(), 8080, Protocol::Tcp, "rr").checked_by(
            lab.servers[0].address,
            1,
            &with_scripts("TCP_CHECK {\n connect_port 80\n connect_timeout 1\n }", &record, "other"),
        );
        let config = service(lab, &record, tcp).line("omega");
        lab.balance(&format!("{}{config}{other}", globals(&record)), 2)?;
        lab.client().who(lab.service())?;
        assert_eq!(lab.director.term()?.code(), Some(0));
        let (words, lines) = record.wait(3, 4, BOUND)?;
        assert_eq!(words, ["down rs1", "quorum_down", "quorum_up"]);
        let (vip, server) = (lab.vip(), lab.servers[0].address);
        let expected =
            [format!("RS [{server}]:tcp:80 [{vip}]:tcp:80 DOWN"), format!("VS [{vip}]:tcp:80 DOWN")];
        assert_eq!(lines[2..], expected, "behind what was told of both services at the start");
        Ok(())
    })
}

#[test]
fn the_sorry_server_may_be_the_director_itself() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        let mut own = Nginx::prepare("director", &lab.dir().join("own"), &lab.dir().join("none"))?;
        own.start(lab.director.netns())?;
        let config = lab.http_on_all("rr").line(&format!("sorry_server {DIRECTOR} 80"));
        lab.balance(&config, 1)?;
        assert_eq!(lab.client().sequence(lab.service(), 3)?, ["rs1"; 3]);
        lab.servers[0].stop()?;
        lab.director.wait_status("the director to serve", BOUND, |status| {
            status.server(DIRECTOR).is_ok_and(|server| server.eligible && server.local && server.sorry)
        })?;
        assert_eq!(lab.client().sequence(lab.service(), 3)?, ["director"; 3]);
        lab.servers[0].start()?;
        lab.director.wait_status("the real server to serve", BOUND, |status| {
            status.server(DIRECTOR).is_ok_and(|server| !server.eligible)
        })?;
        assert_eq!(lab.client().sequence(lab.service(), 3)?, ["rs1"; 3]);
        Ok(())
    })
}
