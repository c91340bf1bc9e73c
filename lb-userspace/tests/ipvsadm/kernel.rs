//! The kernel that ipvsadm speaks with in these tests: a table that follows the rules of [`Table::apply`], behind the messages
//! of the real one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Mutex};

use xlvs::adm::state::{
    Counts, Daemon, Family, Forwarding, ListedServer, ListedService, Netmask, Protocol, Role, SchedulerFlags,
    Server, ServerId, Service, ServiceId, Timeouts, Tunnel, TunnelChecksum, TunnelType,
};
use xlvs::adm::{Command, Denial, Table};

use crate::netlink::{Attributes, Builder, Request};

/// What the kernel calls the family, by its number.
const FAMILY: u16 = 42;
/// The number of the family that knows the numbers.
const CONTROL: u16 = 16;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// Answers what comes to `path` until an empty message does.
pub(crate) fn serve(path: &Path, table: &Arc<Mutex<Table>>) {
    let socket = UnixDatagram::bind(path).expect("a socket can be made");
    let mut buffer = vec![0; 1 << 16];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).expect("the socket can be read");
        if length == 0 {
            return;
        }
        let request = Request::parse(&buffer[..length]);
        for message in answer(&request, &mut table.lock().expect("nobody panicked with it")) {
            // Who has asked may be gone.
            let _gone = socket.send_to_addr(&message, &from);
        }
    }
}

fn answer(request: &Request<'_>, table: &mut Table) -> Vec<Vec<u8>> {
    let messages = if request.kind == CONTROL {
        Ok(vec![Builder::default().put(1, &FAMILY.to_ne_bytes()).text(2, "IPVS").0])
    } else {
        respond(request, table)
    };
    let (messages, errno) = match messages {
        Ok(messages) => (messages, 0),
        Err(errno) => (Vec::new(), errno),
    };
    let mut answer: Vec<_> = messages.iter().map(|message| request.reply(message)).collect();
    answer.push(if request.is_dump() && errno == 0 { request.done() } else { request.acknowledge(errno) });
    answer
}

fn respond(request: &Request<'_>, table: &mut Table) -> Result<Vec<Vec<u8>>, i32> {
    let all = request.attributes;
    let id = || service_id(&all.nested(1).expect("a service"));
    Ok(match request.command {
        15 => {
            let version = 0x0001_0201u32.to_ne_bytes();
            vec![Builder::default().put(1, &version).put(2, &4096u32.to_ne_bytes()).0]
        }
        13 => {
            let Timeouts { tcp, tcp_fin, udp } = table.timeouts;
            let builder = Builder::default().put(4, &tcp.to_ne_bytes()).put(5, &tcp_fin.to_ne_bytes());
            vec![builder.put(6, &udp.to_ne_bytes()).0]
        }
        4 if request.is_dump() => table.services.iter().map(service_message).collect(),
        4 => vec![service_message(table.service(id()).ok_or(3)?)],
        8 => table.service(id()).ok_or(3)?.servers.iter().map(server_message).collect(),
        11 => Role::ALL
            .into_iter()
            .flat_map(|role| table.daemons.iter().filter(move |daemon| daemon.role == role))
            .map(daemon_message)
            .collect(),
        _ => {
            table.apply(&command(request)).map_err(errno)?;
            Vec::new()
        }
    })
}

fn errno(denial: Denial) -> i32 {
    match denial {
        Denial::NoServer | Denial::NoScheduler => 2,
        Denial::NoService | Denial::ServiceUndefined | Denial::NoDaemon => 3,
        Denial::ServiceExists | Denial::ServerExists | Denial::DaemonRuns => 17,
        Denial::Invalid => 22,
        Denial::Range => 34,
    }
}

/// What a message says as a command line would.
fn command(request: &Request<'_>) -> Command {
    let all = request.attributes;
    let service = || service(&all.nested(1).expect("a service"));
    let id = || service_id(&all.nested(1).expect("a service"));
    let server = || server(&all.nested(2).expect("a server"));
    match request.command {
        1 => Command::AddService(service()),
        2 => Command::EditService(service()),
        3 => Command::DeleteService(id()),
        5 => Command::AddServer(id(), server()),
        6 => Command::EditServer(id(), server()),
        7 => Command::DeleteServer(id(), server().id),
        9 => Command::StartDaemon(daemon(&all.nested(3).expect("a daemon"))),
        10 => Command::StopDaemon(role(&all.nested(3).expect("a daemon"))),
        12 => {
            let word = |number| all.word(number).expect("a timeout");
            Command::SetTimeouts(Timeouts { tcp: word(4), tcp_fin: word(5), udp: word(6) })
        }
        16 => Command::Zero(all.nested(1).map(|service| service_id(&service))),
        17 => Command::Flush,
        other => panic!("ipvsadm sends the command {other}"),
    }
}

fn address(family: u16, bytes: &[u8]) -> IpAddr {
    if family == AF_INET {
        IpAddr::from(<[u8; 4]>::try_from(&bytes[..4]).expect("four bytes"))
    } else {
        IpAddr::from(<[u8; 16]>::try_from(&bytes[..16]).expect("sixteen bytes"))
    }
}

fn address_bytes(address: IpAddr) -> (u16, [u8; 16]) {
    match address {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            (AF_INET, bytes)
        }
        IpAddr::V6(v6) => (AF_INET6, v6.octets()),
    }
}

fn service_id(all: &Attributes<'_>) -> ServiceId {
    let family = all.half(1).expect("a family");
    if let Some(mark) = all.word(5) {
        let family = if family == AF_INET6 { Family::V6 } else { Family::V4 };
        return ServiceId::Mark { mark, family };
    }
    let protocol = match all.half(2).expect("a protocol") {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        132 => Protocol::Sctp,
        other => panic!("no protocol of a service: {other}"),
    };
    let port = all.half(4).expect("a port").to_be();
    ServiceId::Address { protocol, address: address(family, all.get(3).expect("an address")), port }
}

fn service(all: &Attributes<'_>) -> Service {
    let id = service_id(all);
    let flags = all.word(7).expect("flags");
    let netmask = all.get(9).expect("a netmask");
    let netmask = match id.family() {
        Family::V4 => Netmask::V4(Ipv4Addr::from(<[u8; 4]>::try_from(netmask).expect("four bytes"))),
        Family::V6 => Netmask::V6(all.word(9).expect("a netmask")),
    };
    Service {
        id,
        scheduler: all.text(6).expect("a scheduler"),
        flags: SchedulerFlags([8, 16, 32].map(|flag| flags & flag != 0)),
        persistence: (flags & 1 != 0).then(|| all.word(8).expect("a timeout")),
        netmask,
        engine: all.text(11).unwrap_or_default(),
        one_packet: flags & 4 != 0,
    }
}

fn service_message(listed: &ListedService) -> Vec<u8> {
    let Service { id, scheduler, flags, persistence, netmask, engine, one_packet } = &listed.service;
    let family = if id.family() == Family::V6 { AF_INET6 } else { AF_INET };
    let mut builder = Builder::default().put(1, &family.to_ne_bytes());
    builder = match id {
        ServiceId::Mark { mark, .. } => builder.put(5, &mark.to_ne_bytes()),
        ServiceId::Address { protocol, address, port } => builder
            .put(2, &u16::from(protocol.number()).to_ne_bytes())
            .put(3, &address_bytes(*address).1)
            .put(4, &port.to_be_bytes()),
    };
    let own =
        [8u32, 16, 32].iter().zip(flags.0).filter(|(_, is_set)| *is_set).map(|(flag, _)| flag).sum::<u32>();
    let bits = own | 2 | u32::from(persistence.is_some()) | (u32::from(*one_packet) * 4);
    let bits: Vec<u8> = [bits, u32::MAX].into_iter().flat_map(u32::to_ne_bytes).collect();
    let netmask = match netmask {
        Netmask::V4(mask) => mask.octets(),
        Netmask::V6(length) => length.to_ne_bytes(),
    };
    builder = builder.text(6, scheduler);
    if !engine.is_empty() {
        builder = builder.text(11, engine);
    }
    builder = builder.put(7, &bits).put(8, &persistence.unwrap_or(0).to_ne_bytes()).put(9, &netmask);
    let attributes = builder.put(12, &stats(&listed.counts, &listed.rates)).0;
    Builder::default().put(1, &attributes).0
}

fn stats(counts: &Counts, rates: &Counts) -> Vec<u8> {
    let numbers = |of: &Counts| [of.connections, of.in_packets, of.out_packets, of.in_bytes, of.out_bytes];
    let numbers = (1..).zip([numbers(counts), numbers(rates)].concat());
    numbers.fold(Builder::default(), |all, (place, number)| all.put(place, &number.to_ne_bytes())).0
}

fn server(all: &Attributes<'_>) -> Server {
    let family = all.half(11).expect("a family");
    let port = all.half(2).expect("a port").to_be();
    let word = |number| all.word(number).unwrap_or_default();
    Server {
        id: ServerId { address: address(family, all.get(1).expect("an address")), port },
        forwarding: match word(3) {
            0 => Forwarding::Masquerading,
            2 => Forwarding::Tunnel,
            _ => Forwarding::Route,
        },
        tunnel: Tunnel {
            kind: TunnelType::ALL[usize::from(all.byte(13).unwrap_or_default())],
            port: all.half(14).unwrap_or_default().to_be(),
            checksum: match all.half(15).unwrap_or_default() {
                0 => TunnelChecksum::None,
                1 => TunnelChecksum::Local,
                _ => TunnelChecksum::Remote,
            },
        },
        weight: word(4),
        upper_threshold: word(5),
        lower_threshold: word(6),
    }
}

fn server_message(listed: &ListedServer) -> Vec<u8> {
    let ListedServer { server, connections, counts, rates } = listed;
    let (family, address) = address_bytes(server.id.address);
    let way: u32 = match server.forwarding {
        Forwarding::Masquerading => 0,
        Forwarding::Local => 1,
        Forwarding::Tunnel => 2,
        Forwarding::Route => 3,
    };
    let checksum: u16 = match server.tunnel.checksum {
        TunnelChecksum::None => 0,
        TunnelChecksum::Local => 1,
        TunnelChecksum::Remote => 2,
    };
    let words = [
        (3, way),
        (4, server.weight),
        (5, server.upper_threshold),
        (6, server.lower_threshold),
        (7, connections.active),
        (8, connections.inactive),
        (9, connections.persistent),
    ];
    let builder = Builder::default().put(1, &address).put(2, &server.id.port.to_be_bytes());
    let builder = words.into_iter().fold(builder, |all, (number, word)| all.put(number, &word.to_ne_bytes()));
    let builder = builder
        .put(13, &[server.tunnel.kind as u8])
        .put(14, &server.tunnel.port.to_be_bytes())
        .put(15, &checksum.to_ne_bytes());
    let attributes = builder.put(12, &stats(counts, rates)).put(11, &family.to_ne_bytes()).0;
    Builder::default().put(2, &attributes).0
}

fn role(all: &Attributes<'_>) -> Role {
    if all.word(1) == Some(1) { Role::Master } else { Role::Backup }
}

fn daemon(all: &Attributes<'_>) -> Daemon {
    let group = all.get(5).map(|bytes| address(AF_INET, bytes));
    Daemon {
        role: role(all),
        interface: all.text(2).expect("an interface"),
        sync_id: all.word(3).expect("an identity") as u8,
        max_length: all.half(4),
        group: group.or_else(|| all.get(6).map(|bytes| address(AF_INET6, bytes))),
        port: all.half(7),
        ttl: all.byte(8),
    }
}

fn daemon_message(daemon: &Daemon) -> Vec<u8> {
    let role: u32 = if daemon.role == Role::Master { 1 } else { 2 };
    let mut builder = Builder::default()
        .put(1, &role.to_ne_bytes())
        .text(2, &daemon.interface)
        .put(3, &u32::from(daemon.sync_id).to_ne_bytes());
    if let Some(length) = daemon.max_length {
        builder = builder.put(4, &length.to_ne_bytes());
    }
    builder = match daemon.group {
        Some(IpAddr::V4(group)) => builder.put(5, &group.octets()),
        Some(IpAddr::V6(group)) => builder.put(6, &Ipv6Addr::octets(&group)),
        None => builder,
    };
    if let Some(port) = daemon.port {
        builder = builder.put(7, &port.to_ne_bytes());
    }
    if let Some(ttl) = daemon.ttl {
        builder = builder.put(8, &[ttl]);
    }
    Builder::default().put(3, &builder.0).0
}
