//! Where real servers and clients may stand, each under a TCP and a UDP service: behind a gateway, behind an interface
//! without the program, at two virtual addresses, on the director itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Result, ensure};
use lb_tests::client::tally;
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::echo::UdpEcho;
use lb_tests::lab::{DIRECTOR, HTTP};
use lb_tests::netns::{self, Netns};
use lb_tests::nginx::Nginx;
use lb_tests::status::Server;
use lb_tests::{Lab, Plan, with_lab};

const ECHO: u16 = 5300;
/// Where real servers are that the director is not beside.
const FAR: Ipv4Addr = Ipv4Addr::new(10, 80, 0, 11);
const REQUESTS: usize = 8;

/// A TCP and a UDP service of `vip` with these real servers; those of TCP are checked.
fn services(vip: Ipv4Addr, servers: &[Ipv4Addr]) -> String {
    let http = VirtualServer::new(vip, HTTP, Protocol::Tcp, "rr");
    let echo = VirtualServer::new(vip, ECHO, Protocol::Udp, "rr");
    let (http, echo) = servers
        .iter()
        .fold((http, echo), |(http, echo), &server| (http.checked(server, 1), echo.unchecked(server, 1)));
    format!("{http}{echo}")
}

/// UDP servers at `vip` on every real server.
fn echoes(lab: &Lab, vip: Ipv4Addr) -> Result<Vec<UdpEcho>> {
    let service = SocketAddrV4::new(vip, ECHO);
    lab.servers.iter().map(|server| UdpEcho::start(server.netns(), service, server.name())).collect()
}

/// Who answers requests at `vip`, the same over TCP and UDP.
fn answers(lab: &Lab, vip: Ipv4Addr) -> Result<BTreeMap<String, usize>> {
    let tcp = tally(&lab.client().sequence(SocketAddrV4::new(vip, HTTP), REQUESTS)?);
    let udp = tally(&lab.client().datagrams(SocketAddrV4::new(vip, ECHO), REQUESTS)?);
    ensure!(tcp == udp, "TCP is answered by {tcp:?}, UDP by {udp:?}");
    Ok(tcp)
}

/// What two servers answer in turn.
fn both() -> BTreeMap<String, usize> {
    ["rs1", "rs2"].map(|name| (name.to_owned(), REQUESTS / 2)).into()
}

/// A cable between two namespaces; each end is an interface with an address.
fn cable(ends: [(&Netns, &str, &str); 2]) -> Result<()> {
    let [(netns, interface, _), (peer, end, _)] = ends;
    netns.ip(&format!("link add {interface} type veth peer name {end} netns {}", peer.name()))?;
    for (netns, interface, address) in ends {
        netns.ip(&format!("addr add {address} dev {interface}"))?;
        netns.ip(&format!("link set {interface} up"))?;
    }
    Ok(())
}

/// What the status says of a real server in each service.
fn entries(lab: &Lab, address: Ipv4Addr) -> Result<Vec<Server>> {
    let services = lab.director.status()?.services;
    let servers = services.into_iter().flat_map(|service| service.servers);
    Ok(servers.filter(|server| server.address == address).collect())
}

#[test]
fn a_real_server_behind_a_gateway_is_reached_by_the_gateways_mac_address() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let gateway = Netns::create(&format!("{}-gateway", netns::unique_name()))?;
        gateway.sysctl("ipv4/ip_forward", "1")?;
        lab.switch().plug("lan", "gateway", &gateway, "near0", &["10.77.0.3/24".to_owned()])?;
        let far = lab.servers[0].netns();
        far.ip("link set net0 down")?;
        cable([(&gateway, "far0", "10.80.0.3/24"), (far, "far0", &format!("{FAR}/24"))])?;
        far.ip("route add default via 10.80.0.3")?;
        // The gateway sends on what is for the virtual address.
        gateway.ip(&format!("route add {}/32 via {FAR}", lab.vip()))?;
        lab.director.netns().ip("route add 10.80.0.0/24 via 10.77.0.3")?;

        let _echoes = echoes(lab, lab.vip())?;
        lab.balance(&services(lab.vip(), &[FAR, lab.servers[1].address]), 4)?;
        assert_eq!(answers(lab, lab.vip())?, both());
        let mac = gateway.mac("near0")?.map(|byte| format!("{byte:02x}")).join(":");
        for server in entries(lab, FAR)? {
            assert_eq!(server.mac.as_deref(), Some(mac.as_str()));
            assert_eq!(server.interface.as_deref(), Some("lan0"));
            assert_eq!(server.connections, REQUESTS as u64 / 2);
        }
        Ok(())
    })
}

#[test]
fn a_real_server_behind_an_interface_without_the_program_gets_nothing_and_the_status_says_why() -> Result<()>
{
    with_lab(&Plan::servers(2), |lab| {
        let director = lab.director.netns();
        cable([(director, "side0", "10.80.0.2/24"), (lab.servers[0].netns(), "far0", &format!("{FAR}/24"))])?;
        let _echoes = echoes(lab, lab.vip())?;
        lab.balance(&services(lab.vip(), &[FAR, lab.servers[1].address]), 2)?;
        assert_eq!(answers(lab, lab.vip())?, BTreeMap::from([("rs2".to_owned(), REQUESTS)]));
        let servers = entries(lab, FAR)?;
        assert_eq!(servers.len(), 2);
        for server in servers {
            assert_eq!((server.state.as_str(), server.eligible), ("unresolved", false));
            let reason = server.reason.unwrap_or_default();
            assert!(reason.contains("side0, which xlvs does not run on"), "{reason}");
            assert_eq!(server.connections, 0);
        }
        Ok(())
    })
}

#[test]
fn the_same_real_servers_serve_two_virtual_addresses() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let second = Ipv4Addr::new(10, 77, 0, 101);
        lab.director.netns().ip(&format!("addr add {second}/32 dev lan0"))?;
        for server in &lab.servers {
            server.netns().ip(&format!("addr add {second}/32 dev lo"))?;
        }
        let servers: Vec<_> = lab.servers.iter().map(|server| server.address).collect();
        let mut config = String::new();
        for vip in [lab.vip(), second] {
            write!(config, "{}", services(vip, &servers))?;
        }
        lab.balance(&config, 8)?;
        for vip in [lab.vip(), second] {
            let _echoes = echoes(lab, vip)?;
            assert_eq!(answers(lab, vip)?, both());
        }
        // None at the other's expense.
        for service in lab.director.status()?.services {
            assert_eq!(service.connections, REQUESTS as u64, "{service:?}");
        }
        Ok(())
    })
}

/// Its packets do not come in by an interface, so the program does not see them.
#[test]
fn a_director_that_asks_its_own_virtual_address_asks_itself() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let _echoes = echoes(lab, lab.vip())?;
        let mut servers: Vec<_> = lab.servers.iter().map(|server| server.address).collect();
        lab.balance(&services(lab.vip(), &servers), 4)?;
        let [http, echo] = [HTTP, ECHO].map(|port| SocketAddrV4::new(lab.vip(), port));
        lab.director.netns().enter(|| {
            let refused = TcpStream::connect(http).expect_err("nobody listens on the director");
            ensure!(refused.kind() == ErrorKind::ConnectionRefused, "TCP: {refused}");
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.set_read_timeout(Some(Duration::from_secs(5)))?;
            socket.connect(echo)?;
            socket.send(b"who")?;
            let refused = socket.recv(&mut [0; 16]).expect_err("nobody listens on the director");
            ensure!(refused.kind() == ErrorKind::ConnectionRefused, "UDP: {refused}");
            Ok(())
        })?;
        lab.director.term()?;

        // As a real server it serves itself, and others as the scheduler says.
        let mut own = Nginx::prepare("director", &lab.dir().join("own"), &lab.dir().join("none"))?;
        own.start(lab.director.netns())?;
        let _own = UdpEcho::start(lab.director.netns(), echo, "director")?;
        servers.push(DIRECTOR);
        lab.balance(&services(lab.vip(), &servers), 6)?;
        for _ in 0..3 {
            assert_eq!(lab.director.netns().enter(|| lb_tests::http::get(http.into(), "/"))?, "director");
        }
        assert!(lab.director.status()?.services.iter().all(|service| service.connections == 0));
        assert_eq!(tally(&lab.client().sequence(http, 6)?).len(), 3);
        assert_eq!(tally(&lab.client().datagrams(echo, 6)?).len(), 3);
        Ok(())
    })
}
