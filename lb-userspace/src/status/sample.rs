//! A status for tests, in which most things are not as they should be.

use std::{collections::BTreeMap, net::IpAddr};

use super::*;

pub(crate) fn status() -> Status {
    let server = RealServer {
        address: IpAddr::from([10, 0, 0, 1]),
        port: 80,
        weight: 1,
        upper_threshold: 100,
        lower_threshold: 75,
        state: ServerState::Down,
        reason: Some("connection refused".into()),
        eligible: false,
        local: false,
        sorry: false,
        by_hand: false,
        draining: None,
        checks: vec![Check { kind: "TCP_CHECK".into(), failure: Some("connection refused".into()) }],
        mac: Some("02:00:00:00:00:01".into()),
        interface: Some("eth1".into()),
        connections: 3,
        active_connections: 17,
        inactive_connections: 41,
        packets: 12,
        bytes: 900,
        rates: Rates { connections: 1, packets: 4, bytes: 300 },
    };
    Status {
        version: "1.2.3".into(),
        pid: 7,
        uptime_seconds: 60,
        mode: "native".into(),
        configuration: Configuration {
            file: "k.conf".into(),
            seconds: 60,
            reloads: 1,
            failures: 0,
            failure: None,
        },
        interfaces: vec![Interface { name: "eth1".into(), index: 2 }],
        vrrp_answers: true,
        instances: vec![Instance {
            name: "VI_1".into(),
            group: Some("both".into()),
            interface: "eth1".into(),
            virtual_router_id: 51,
            state: "BACKUP".into(),
            seconds: 9,
            priority: 99,
            master: Some(IpAddr::from([10, 0, 0, 3])),
            source: None,
            lease_milliseconds: None,
            addresses: vec![IpAddr::from([10, 0, 0, 100])],
            faults: Vec::new(),
            masterships: 0,
            transitions: BTreeMap::from([("BACKUP".into(), 1)]),
            adverts_sent: 0,
            adverts_received: 9,
            adverts_refused: BTreeMap::from([("checksum".into(), 2)]),
        }],
        services: vec![Service {
            address: IpAddr::from([10, 0, 0, 100]),
            port: 80,
            protocol: "TCP".into(),
            fwmark: None,
            scheduler: "rr".into(),
            scheduler_flags: Vec::new(),
            persistence: None,
            one_packet: false,
            sloppy: false,
            instance: Some("VI_1".into()),
            active: false,
            quorum: 1,
            quorum_lost: false,
            by_hand: false,
            connections: 3,
            active_connections: 17,
            inactive_connections: 41,
            packets: 12,
            bytes: 900,
            rates: Rates { connections: 1, packets: 4, bytes: 300 },
            servers: vec![server],
        }],
        checks: Checks {
            count: 3,
            distinct: 2,
            lateness: delays([7, 2, 1]),
            lateness_microseconds: 1_250_000,
            effect: delays([0, 0, 0]),
            effect_microseconds: 0,
        },
        flows: Flows { ipv4: FlowTable { entries: 58, capacity: 1024 }, ipv6: FlowTable::default() },
        counters: BTreeMap::from([("forwarded_tx".into(), 12), ("answer_ttl".into(), 0)]),
    }
}

fn delays(counts: [u64; 3]) -> Vec<Delay> {
    let classes = [Some(1), Some(50), None].into_iter().zip(counts);
    classes.map(|(within, count)| Delay { within, count }).collect()
}
