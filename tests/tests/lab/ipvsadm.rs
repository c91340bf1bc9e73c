//! ipvsadm's commands on a running director: what they list, what they change, and what a reload leaves of that.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Result, ensure};
use lb_tests::client::tally;
use lb_tests::{Lab, Plan, wait, with_lab};

const BOUND: Duration = Duration::from_secs(15);

#[test]
fn ipvsadm_lists_what_is_balanced() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        lab.balance(&lab.http_on_all("rr"), 2)?;
        let service = lab.service();
        let (first, second) = (lab.servers[0].address, lab.servers[1].address);
        let saved = |servers: &[_]| {
            let line = |server| format!("-a -t {service} -r {server}:80 -g -w 1\n");
            let servers: String = servers.iter().map(line).collect::<Vec<_>>().concat();
            format!("-A -t {service} -s rr\n{servers}")
        };
        assert_eq!(lab.director.ipvsadm(&["-Sn"])?, saved(&[first, second]));

        lab.client().sequence(service, 4)?;
        let stats = lab.director.ipvsadm(&["-Ln", "--stats"])?;
        let connections: Vec<_> = stats.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
        assert_eq!(connections[connections.len() - 3..], ["4", "2", "2"], "{stats}");

        lab.servers[1].stop()?;
        lab.director.wait_status("its server to be out", Duration::from_secs(15), |status| {
            status.server(second).is_ok_and(|server| server.state == "down")
        })?;
        assert_eq!(lab.director.ipvsadm(&["-Sn"])?, saved(&[first]));
        Ok(())
    })
}

/// Runs a line as it is typed, with the addresses of the lab in place of the line's, and gives what it prints.
fn typed(lab: &Lab, line: &str) -> Result<String> {
    let words: Vec<String> = line
        .replace("192.168.1.63", &lab.vip().to_string())
        .replace("192.168.1.62", &lab.servers[0].address.to_string())
        .replace("192.168.1.64", &lab.servers[1].address.to_string())
        .replace("ens33", &lab.director.interfaces()[0])
        .split_whitespace()
        .skip(1)
        .map(str::to_owned)
        .collect();
    lab.director.ipvsadm(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

fn shares(lab: &Lab, requests: usize) -> Result<Vec<usize>> {
    let answers = tally(&lab.client().sequence(lab.service(), requests)?);
    Ok(["rs1", "rs2"].map(|name| answers.get(name).copied().unwrap_or(0)).to_vec())
}

/// The columns of a listing's line about a real server, without its arrow.
fn columns(listing: &str, address: Ipv4Addr) -> Vec<String> {
    let at = format!("{address}:80");
    let line = listing.lines().find(|line| line.split_whitespace().nth(1) == Some(&at));
    line.map(|line| line.split_whitespace().skip(2).map(str::to_owned).collect()).unwrap_or_default()
}

#[test]
fn a_director_whose_file_says_nothing_is_driven_by_hand() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        lab.director.start("")?;
        let [first, second] = [0, 1].map(|index| lab.servers[index].address);
        typed(lab, "ipvsadm -C")?;
        typed(lab, "ipvsadm -A -t 192.168.1.63:80 -s rr")?;
        ensure!(lab.client().who(lab.service()).is_err(), "nobody is there yet");
        typed(lab, "ipvsadm -a -t 192.168.1.63:80 -r 192.168.1.62 -g")?;
        typed(lab, "ipvsadm -a -t 192.168.1.63:80 -r 192.168.1.64 -g")?;
        let saved = typed(lab, "ipvsadm -S -n")?;
        let service = lab.service();
        let expected = format!(
            "-A -t {service} -s rr\n-a -t {service} -r {first}:80 -g -w 1\n-a -t {service} -r {second}:80 -g -w 1\n"
        );
        assert_eq!(saved, expected);
        assert_eq!(columns(&typed(lab, "ipvsadm -L -n")?, first), ["Route", "1", "0", "0"]);
        assert_eq!(shares(lab, 8)?, [4, 4]);

        typed(lab, "ipvsadm -C")?;
        assert_eq!(typed(lab, "ipvsadm -S -n")?, "");
        ensure!(lab.client().who(lab.service()).is_err(), "nobody is there any more");
        typed(lab, "ipvsadm -A -t 192.168.1.63:80 -s wrr")?;
        typed(lab, "ipvsadm -a -t 192.168.1.63:80 -r 192.168.1.62 -g -w 10")?;
        typed(lab, "ipvsadm -a -t 192.168.1.63:80 -r 192.168.1.64 -g -w 20")?;
        assert_eq!(shares(lab, 9)?, [3, 6]);
        let stats = typed(lab, "ipvsadm -L -n --stats")?;
        assert_eq!([first, second].map(|rip| columns(&stats, rip)[0].clone()), ["3", "6"], "{stats}");

        typed(lab, "ipvsadm -C")?;
        typed(lab, "ipvsadm -A -t 192.168.1.63:80 -s wrr")?;
        typed(lab, "ipvsadm -a -t 192.168.1.63:80 -r 192.168.1.62 -g -w 0")?;
        typed(lab, "ipvsadm -a -t 192.168.1.63:80 -r 192.168.1.64 -g -w 20")?;
        assert_eq!(shares(lab, 8)?, [0, 8]);
        let stats = typed(lab, "ipvsadm -L -n --stats")?;
        assert_eq!([first, second].map(|rip| columns(&stats, rip)[0].clone()), ["0", "8"], "{stats}");
        wait_rate(lab, second)?;
        typed(lab, "ipvsadm -Z")?;
        let stats = typed(lab, "ipvsadm -L -n --stats")?;
        assert_eq!(columns(&stats, second), ["0"; 5], "{stats}");
        typed(lab, "ipvsadm -d -t 192.168.1.63:80 -r 192.168.1.64")?;
        let listing = typed(lab, "ipvsadm -L -n")?;
        ensure!(columns(&listing, second).is_empty() && !columns(&listing, first).is_empty(), "{listing}");
        typed(lab, "ipvsadm -C")?;

        for role in ["master", "backup"] {
            typed(lab, &format!("ipvsadm --start-daemon {role} --mcast-interface=ens33 --syncid 1"))?;
        }
        let daemons = typed(lab, "ipvsadm -L --daemon")?;
        ensure!(daemons.lines().count() == 2 && daemons.contains("master sync daemon (mcast="), "{daemons}");
        for role in ["master", "backup"] {
            typed(lab, &format!("ipvsadm --stop-daemon {role}"))?;
        }
        assert_eq!(typed(lab, "ipvsadm -L --daemon")?, "");
        Ok(())
    })
}

/// Waits until connections per second are told of a server.
fn wait_rate(lab: &Lab, server: Ipv4Addr) -> Result<()> {
    wait::until("a rate", BOUND, || {
        let rates = typed(lab, "ipvsadm -L -n --rate")?;
        let is_told = columns(&rates, server).first().is_some_and(|rate| rate != "0");
        Ok(if is_told { ControlFlow::Break(()) } else { ControlFlow::Continue(rates) })
    })
}

/// What is by hand, as the status says: the service, and its real servers in their order.
fn by_hand(lab: &Lab) -> Result<(bool, Vec<bool>)> {
    let status = lab.director.status()?;
    let service = status.service()?;
    Ok((service.by_hand, service.servers.iter().map(|server| server.by_hand).collect()))
}

#[test]
fn by_hand_and_by_the_file_live_together() -> Result<()> {
    with_lab(&Plan::servers(3), |lab| {
        let [first, second, third] = [0, 1, 2].map(|index| lab.servers[index].address);
        let plain = lab.http("wrr");
        let file = move |weight| plain.clone().checked(first, weight).checked(second, 1).to_string();
        lab.director.start(&file(1))?;
        lab.wait_eligible(2)?;
        let service = lab.service();
        lab.director.ipvsadm(&["-e", "-t", &service.to_string(), "-r", &first.to_string(), "-w", "3"])?;
        lab.director.ipvsadm(&["-a", "-t", &service.to_string(), "-r", &third.to_string(), "-w", "4"])?;
        lab.wait_eligible(3)?;
        let answers = || -> Result<Vec<usize>> {
            Ok(tally(&lab.client().sequence(service, 16)?).into_values().collect())
        };
        assert_eq!(answers()?, [6, 2, 8]);
        assert_eq!(by_hand(lab)?, (false, vec![true, false, true]));

        let same = lab.director.reload(&format!("! a comment\n{}", file(1)))?;
        ensure!(same.status.success(), "{same:?}");
        assert_eq!(answers()?, [6, 2, 8], "the file says what it said");

        // The check of a server that was edited is still made.
        lab.servers[0].stop()?;
        lab.wait_eligible(2)?;
        ensure!(!lab.director.ipvsadm(&["-Sn"])?.contains(&format!("{first}:80")), "it is out");
        lab.servers[0].start()?;
        lab.wait_eligible(3)?;

        ensure!(lab.director.reload(&file(7))?.status.success());
        assert_eq!(by_hand(lab)?, (false, vec![false, false, true]));
        let saved = lab.director.ipvsadm(&["-Sn"])?;
        ensure!(saved.contains(&format!("-r {first}:80 -g -w 7\n")), "the file changed it: {saved}");
        ensure!(saved.contains(&format!("-r {third}:80 -g -w 4\n")), "{saved}");

        let refused = lab.director.ipvsadm(&["-a", "-t", &service.to_string(), "-r", "10.77.0.99:80", "-m"]);
        let said = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(said.contains("direct routing only"), "{said}");
        assert_eq!(lab.director.ipvsadm(&["-Sn"])?, saved, "nothing was changed");
        lab.director.ipvsadm(&["-C"])?;
        assert_eq!(lab.director.status()?.services.len(), 0);
        Ok(())
    })
}

#[test]
fn what_was_saved_is_restored_in_one_change() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        lab.balance(&lab.http_on_all("rr"), 2)?;
        let mut lines = lab.director.ipvsadm(&["-Sn"])?;
        let (vip, server) = (lab.vip(), lab.servers[0].address);
        for port in 1000..1050 {
            writeln!(lines, "-A -u {vip}:{port} -s sh -p 60 -M 255.255.255.0 -b sh-port")?;
            writeln!(lines, "-a -u {vip}:{port} -r {server}:{port} -g -w 2 -x 9 -y 5")?;
        }
        lab.director.ipvsadm(&["-C"])?;
        let restored = lab.director.ipvsadm_with(&["-R"], &lines)?;
        assert_eq!(restored, "");
        let saved = lab.director.ipvsadm(&["-Sn"])?;
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(|line| line.replace(" -x 9 -y 5", "")).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&saved), sorted(&lines));
        let limits = lab.director.ipvsadm(&["-Ln", "--thresholds", "-u", &format!("{}:1000", lab.vip())])?;
        ensure!(limits.contains(" 9          5 "), "{limits}");
        assert_eq!(shares(lab, 8)?, [4, 4]);
        Ok(())
    })
}
