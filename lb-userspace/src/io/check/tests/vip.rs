//! `vip_check` where nothing needs to be sent; with servers it is tested in the lab.

use std::net::IpAddr;

use super::*;
use crate::config::model::check::{VipProbe, VipTarget};
use crate::health::Input;
use crate::io::check::probe::Failure;
use crate::io::check::vip::{Direct, probe};
use crate::io::nexthop::Resolution;

const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LIMIT: Duration = Duration::from_secs(1);

fn of_vip(address: IpAddr) -> VipProbe {
    VipProbe { server: SERVER, targets: vec![VipTarget { address, port: Some(80) }] }
}

/// What comes of a probe where this is known of the way.
async fn along(way: Option<Resolution>, vip: IpAddr) -> Result<Input, Failure> {
    let known = way.map(|way| (SERVER, way)).into_iter().collect();
    probe(&of_vip(vip), 0, LIMIT, &Direct::new(watch::channel(known).1)).await
}

#[tokio::test]
async fn where_there_is_no_way_nothing_is_said_of_the_server() {
    let vip = IpAddr::from([10, 0, 0, 100]);
    assert_eq!(along(None, vip).await, Ok(Input::Inconclusive));
    let unresolved = Resolution::Unresolved { reason: "it does not answer ARP".to_owned() };
    assert_eq!(along(Some(unresolved), vip).await, Ok(Input::Inconclusive));
    assert_eq!(along(Some(Resolution::Local), vip).await, Ok(Input::Passed));
}

#[tokio::test]
async fn a_host_without_an_address_of_its_own_says_nothing_of_the_server() {
    let way = Resolution::Resolved { mac: [2; 6], ifindex: 1 };
    let said = along(Some(way), SERVER).await;
    let Err(Failure::Host(reason)) = said else { panic!("{said:?}") };
    assert!(reason.contains("no address of this host but 127.0.0.1, the virtual one"), "{reason}");
}

#[tokio::test]
async fn a_way_that_becomes_known_counts_from_the_next_probe_on() {
    let (ways, known) = watch::channel(Resolutions::new());
    let (checks, mut verdicts) = Checks::start(known).unwrap();
    set(&checks, vec![of(1, Probe::Vip(of_vip([10, 0, 0, 100].into())))]);
    tokio::time::timeout(Duration::from_millis(100), verdicts.recv())
        .await
        .expect_err("a verdict without a way");
    ways.send_modify(|known| drop(known.insert(SERVER, Resolution::Local)));
    assert_eq!(next(&mut verdicts).await, (1, Verdict::Up));
}
