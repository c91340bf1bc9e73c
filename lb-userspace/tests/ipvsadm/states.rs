//! Tables with something in them.

use std::fmt::Write as _;
use std::net::IpAddr;

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use xlvs::adm::Table;
use xlvs::adm::state::{
    Connection, Connections, Counts, Daemon, Family, Forwarding, ListedServer, ListedService, Netmask,
    Protocol, Role, SchedulerFlags, Server, ServerId, Service, ServiceId, Timeouts, Tunnel, TunnelChecksum,
    TunnelType,
};

const ADDRESSES: [&str; 12] = [
    "192.0.2.80",
    "192.0.2.81",
    "10.0.0.1",
    "10.0.0.2",
    "200.0.0.1",
    "200.0.0.9",
    "100.100.100.100",
    "255.0.0.1",
    "2001:db8::80",
    "2001:db8::1",
    "9001:db8::1",
    "2001:db8:1234:5678:9abc:def0:1234:5678",
];

pub(crate) fn table(rng: &mut StdRng) -> Table {
    let mut table = Table::default();
    for _ in 0..rng.random_range(0..6) {
        let listed = service(rng);
        if table.service(listed.service.id).is_none() {
            table.services.push(listed);
        }
    }
    table.services.sort_by_key(|listed| matches!(listed.service.id, ServiceId::Mark { .. }));
    if rng.random_bool(0.3) {
        table.timeouts = Timeouts { tcp: rng.random_range(1..99999), tcp_fin: 20, udp: rng.random() };
        table.timeouts.udp >>= 1;
    }
    table.daemons = Role::ALL.into_iter().filter(|_| rng.random_bool(0.3)).map(daemon).collect();
    table.connections = (0..rng.random_range(0..4)).map(|_| connection(rng)).collect();
    table
}

fn address(rng: &mut StdRng) -> IpAddr {
    ADDRESSES.choose(rng).expect("some").parse().expect("an address")
}

fn port(rng: &mut StdRng) -> u16 {
    *[0, 53, 80, 81, 2905, 65535].choose(rng).expect("some")
}

fn protocol(rng: &mut StdRng) -> Protocol {
    *[Protocol::Tcp, Protocol::Udp, Protocol::Sctp].choose(rng).expect("some")
}

fn counts(rng: &mut StdRng) -> Counts {
    let mut number = || rng.random::<u64>() >> rng.random_range(0..64);
    Counts {
        connections: number(),
        in_packets: number(),
        out_packets: number(),
        in_bytes: number(),
        out_bytes: number(),
    }
}

fn service(rng: &mut StdRng) -> ListedService {
    let family = if rng.random_bool(0.3) { Family::V6 } else { Family::V4 };
    let id = if rng.random_bool(0.3) {
        ServiceId::Mark { mark: rng.random::<u32>() >> rng.random_range(0..32) | 1, family }
    } else {
        ServiceId::Address { protocol: protocol(rng), address: address(rng), port: port(rng) }
    };
    let netmask = match id.family() {
        _ if rng.random_bool(0.5) => Netmask::whole(id.family()),
        Family::V4 => Netmask::V4([255, 255, 0, rng.random()].into()),
        Family::V6 => Netmask::V6(rng.random_range(1..=128)),
    };
    let service = Service {
        id,
        scheduler: (*["rr", "sh", "mh", "wlc", "none"].choose(rng).expect("some")).to_owned(),
        flags: SchedulerFlags([(); 3].map(|()| rng.random_bool(0.2))),
        persistence: rng.random_bool(0.5).then(|| rng.random_range(1..100_000)),
        netmask,
        engine: if rng.random_bool(0.2) { "sip".to_owned() } else { String::new() },
        one_packet: rng.random_bool(0.2),
    };
    let mut servers: Vec<ListedServer> = Vec::new();
    for _ in 0..rng.random_range(0..5) {
        let listed = server(rng, id.family());
        if servers.iter().all(|other| other.server.id != listed.server.id) {
            servers.push(listed);
        }
    }
    ListedService { service, counts: counts(rng), rates: counts(rng), servers }
}

fn server(rng: &mut StdRng, family: Family) -> ListedServer {
    let forwarding = [Forwarding::Route, Forwarding::Masquerading, Forwarding::Tunnel, Forwarding::Local];
    let mut address = address(rng);
    while Family::of(address) != family {
        address = self::address(rng);
    }
    let server = Server {
        id: ServerId { address, port: port(rng) },
        forwarding: *forwarding.choose(rng).expect("some"),
        tunnel: Tunnel {
            kind: *TunnelType::ALL.choose(rng).expect("some"),
            port: rng.random(),
            checksum: *[TunnelChecksum::None, TunnelChecksum::Local, TunnelChecksum::Remote]
                .choose(rng)
                .expect("some"),
        },
        weight: *[0, 1, 65535, 65536, i32::MAX as u32].choose(rng).expect("some"),
        upper_threshold: rng.random(),
        lower_threshold: rng.random_range(0..100),
    };
    let mut number = || rng.random::<u32>() >> rng.random_range(0..32);
    let connections = Connections { active: number(), inactive: number(), persistent: number() };
    ListedServer { server, connections, counts: short(counts(rng)), rates: shorter(counts(rng)) }
}

/// Of a server ipvsadm shows the low half of connections and packets, and of each rate: beyond that it is no measure.
fn short(counts: Counts) -> Counts {
    let low = |number: u64| number & u64::from(u32::MAX);
    let Counts { connections, in_packets, out_packets, .. } = counts;
    Counts {
        connections: low(connections),
        in_packets: low(in_packets),
        out_packets: low(out_packets),
        ..counts
    }
}

fn shorter(rates: Counts) -> Counts {
    let low = |number: u64| number & u64::from(u32::MAX);
    Counts { in_bytes: low(rates.in_bytes), out_bytes: low(rates.out_bytes), ..short(rates) }
}

fn daemon(role: Role) -> Daemon {
    let interface = "eth0".to_owned();
    let group = Some(IpAddr::from([224, 0, 0, 81]));
    Daemon { role, interface, sync_id: 7, max_length: Some(1472), group, port: Some(8848), ttl: Some(1) }
}

fn connection(rng: &mut StdRng) -> Connection {
    let is_v6 = rng.random_bool(0.3);
    let mut place = || loop {
        let address = address(rng);
        if address.is_ipv6() == is_v6 {
            return (address, port(rng));
        }
    };
    let (client, service, server) = (place(), place(), place());
    let engine = rng.random_bool(0.3).then(|| ("sip".to_owned(), "call-1".to_owned()));
    Connection {
        protocol: (*["TCP", "UDP", "IP"].choose(rng).expect("some")).to_owned(),
        expires: rng.random_range(0..100_000),
        state: (*["ESTABLISHED", "FIN_WAIT", "UDP", "ASSURED"].choose(rng).expect("some")).to_owned(),
        client,
        service,
        server,
        engine,
    }
}

/// The connections as the kernel's file has them.
pub(crate) fn file(table: &Table) -> String {
    let mut text =
        "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n".to_owned();
    for connection in &table.connections {
        let place = |(address, port): (IpAddr, u16)| match address {
            IpAddr::V4(v4) => format!("{:08X} {port:04X}", v4.to_bits()),
            IpAddr::V6(v6) => {
                let groups: Vec<String> = v6.segments().iter().map(|group| format!("{group:04x}")).collect();
                format!("{} {port:04X}", groups.join(":"))
            }
        };
        let engine =
            connection.engine.as_ref().map_or_else(String::new, |(name, data)| format!(" {name} {data}"));
        writeln!(
            text,
            "{:<3} {} {} {} {:<11} {:7}{engine}",
            connection.protocol,
            place(connection.client),
            place(connection.service),
            place(connection.server),
            connection.state,
            connection.expires
        )
        .expect("text can be written");
    }
    text
}
