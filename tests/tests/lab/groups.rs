//! `virtual_server_group`: several addresses and a firewall mark that one set of real servers serves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Result, ensure};
use lb_tests::client::tally;
use lb_tests::lab::HTTP;
use lb_tests::post::Post;
use lb_tests::record::Record;
use lb_tests::{Family, Lab, Plan, with_lab};

const BOUND: Duration = Duration::from_secs(15);

/// The range of the group, and the address that its mark is for.
fn addresses(lab: &Lab) -> Vec<Ipv4Addr> {
    (0..4).map(|more| Ipv4Addr::from_bits(lab.vip().to_bits() + more)).collect()
}

/// Lets the director be found at all addresses, and the servers take them.
fn take_addresses(lab: &Lab) -> Result<()> {
    for address in &addresses(lab)[1..] {
        lab.director.netns().ip(&format!("addr add {address}/32 dev {}", lab.director.interfaces()[0]))?;
        for server in &lab.servers {
            server.netns().ip(&format!("addr add {address}/32 dev lo"))?;
        }
    }
    Ok(())
}

fn configuration(lab: &Lab, record: &Record) -> String {
    let (vips, marked) = (format!("{}-102", lab.vip()), addresses(lab)[3]);
    let servers = lab.servers.iter().map(|server| {
        let down = record.command(&format!("down {}", server.name()));
        let address = server.address;
        format!(
            "real_server {address} 80 {{\n TCP_CHECK {{\n connect_timeout 1\n }}\n notify_down {down}\n }}\n"
        )
    });
    let servers: String = servers.collect();
    format!(
        "global_defs {{\n {}notification_email {{\n root@localhost\n }}\n smtp_server 127.0.0.1\n router_id LAB1\n}}\n\
         fwmark_rules {{\n mark 3 {{\n destination {marked}\n protocol tcp\n }}\n}}\n\
         virtual_server_group G1 {{\n {vips} 80\n fwmark 3\n}}\n\
         virtual_server group G1 {{\n delay_loop 1\n lb_algo rr\n lb_kind DR\n protocol TCP\n quorum 2\n smtp_alert\n \
         quorum_down {}\n {servers}}}\n",
        record.globals(),
        record.command("quorum_down")
    )
}

#[test]
fn all_addresses_and_the_mark_have_the_same_servers_and_one_voice() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        take_addresses(lab)?;
        let record = Record::new(lab.dir())?;
        let post = Post::open(lab.director.netns(), lab.dir())?;
        lab.director.start(&configuration(lab, &record))?;
        lab.wait_eligible(8)?;
        let addresses = addresses(lab);
        for address in &addresses {
            let answers = lab.client().sequence(SocketAddrV4::new(*address, HTTP), 4)?;
            assert_eq!(tally(&answers).into_values().collect::<Vec<_>>(), [2, 2], "{address}: {answers:?}");
        }

        lab.servers[1].stop()?;
        let status = lab.wait_eligible(4)?;
        let gone = lab.servers[1].address;
        ensure!(status.services.len() == 4, "{status:?}");
        for service in &status.services {
            let is_gone = |address| address == std::net::IpAddr::from(gone);
            ensure!(service.servers.iter().all(|server| server.eligible != is_gone(server.address)));
        }
        for address in &addresses {
            assert_eq!(lab.client().sequence(SocketAddrV4::new(*address, HTTP), 3)?, ["rs1"; 3], "{address}");
        }
        let letters = post.wait(3, BOUND)?;
        let mut subjects: Vec<_> = letters.iter().map(|letter| letter.subject.as_str()).collect();
        subjects.sort_unstable();
        let down = format!("[LAB1] Realserver [{gone}]:tcp:80 of virtual server [G1]:tcp:80 - DOWN");
        let [lost, held] = ["DOWN", "UP"].map(|state| format!("[LAB1] Virtualserver [G1]:tcp:80 - {state}"));
        assert_eq!(subjects, [&down, &lost, &held]);
        let (words, lines) = record.wait(2, 3, BOUND)?;
        assert_eq!(words, ["down rs2", "quorum_down"]);
        let down = format!("RS [{gone}]:tcp:80 [G1]:tcp:80 DOWN");
        assert_eq!(lines, ["VS [G1]:tcp:80 UP", &down, "VS [G1]:tcp:80 DOWN"]);
        // Time in which a second voice would speak.
        lab.servers[1].start()?;
        lab.wait_eligible(8)?;
        let letters = post.wait(5, BOUND)?;
        ensure!(letters[3..].iter().all(|letter| letter.subject.ends_with("- UP")), "{letters:#?}");
        assert_eq!(record.words().len(), 2);
        Ok(())
    })
}

/// The range of the group in IPv6, and the address that its mark is for.
fn v6_addresses(lab: &Lab) -> Vec<Ipv6Addr> {
    let IpAddr::V6(first) = lab.vip_in(Family::V6) else { return Vec::new() };
    (0..4).map(|more| Ipv6Addr::from_bits(first.to_bits() + more)).collect()
}

#[test]
fn an_ipv6_group_has_one_set_of_servers() -> Result<()> {
    with_lab(&Plan::servers(2).dual_stack(), |lab| {
        let addresses = v6_addresses(lab);
        for address in &addresses[1..] {
            let director = &lab.director.interfaces()[0];
            lab.director
                .netns()
                .ip(&format!("addr add {address}/128 dev {director} nodad preferred_lft 0"))?;
            for server in &lab.servers {
                server.netns().ip(&format!("addr add {address}/128 dev lo nodad"))?;
            }
        }
        let check = "TCP_CHECK {\n connect_timeout 1\n }";
        let server = |address| format!("real_server {address} 80 {{\n {check}\n }}\n");
        let servers: String = lab.servers.iter().map(|one| server(one.address_in(Family::V6))).collect();
        let (first, last, marked) = (addresses[0], addresses[2].segments()[7], addresses[3]);
        lab.director.start(&format!(
            "fwmark_rules {{\n mark 3 {{\n destination {marked}\n protocol tcp\n }}\n}}\n\
             virtual_server_group G1 {{\n {first}-{last:x} 80\n fwmark 3 inet6\n}}\n\
             virtual_server group G1 {{\n delay_loop 1\n lb_algo rr\n lb_kind DR\n protocol TCP\n {servers}}}\n"
        ))?;
        lab.wait_eligible(8)?;
        for address in &addresses {
            let answers = lab.client().sequence(SocketAddr::from((*address, HTTP)), 4)?;
            assert_eq!(tally(&answers).into_values().collect::<Vec<_>>(), [2, 2], "{address}: {answers:?}");
        }
        lab.servers[1].stop()?;
        let status = lab.wait_eligible(4)?;
        ensure!(status.services.len() == 4, "{status:?}");
        for address in &addresses {
            let answers = lab.client().sequence(SocketAddr::from((*address, HTTP)), 3)?;
            assert_eq!(answers, ["rs1"; 3], "{address}");
        }
        lab.servers[1].start()?;
        lab.wait_eligible(8).map(drop)
    })
}
