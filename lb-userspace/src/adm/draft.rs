//! What the options of a command line have said so far; an option that depends on another sees only what stood before it.

use std::ops::RangeInclusive;

use super::{
    names::Names,
    options::Opt,
    parse::{Refusal, timeout},
    permitted::{Kind, Seen, check_tunnel},
    state::{
        Daemon, Family, Forwarding, Netmask, Protocol, Role, SchedulerFlags, Server, ServerId, Service,
        ServiceId, Tunnel, TunnelChecksum, TunnelType,
    },
    values,
};

/// What clients get who are told to stay and not for how long, in seconds.
const PERSISTENCE: u32 = 360;
/// The scheduler of a service that names none.
const SCHEDULER: &str = "wlc";
/// The interface of a daemon that names none.
const INTERFACE: &str = "eth0";
/// How many bytes of names are kept.
const SCHEDULER_LENGTH: usize = 15;
const ENGINE_LENGTH: usize = 16;
const INTERFACE_LENGTH: usize = 15;
/// The longest message of a daemon: a datagram without its headers.
const MAX_LENGTH: u16 = 65507;
/// Weights and thresholds.
const LIMITS: RangeInclusive<u32> = 0..=i32::MAX as u32;

/// All that options may say.
pub(super) struct Draft {
    pub(super) id: Option<ServiceId>,
    pub(super) server_id: Option<ServerId>,
    pub(super) daemon: Daemon,
    scheduler: String,
    named_flags: String,
    flags: SchedulerFlags,
    persistence: Option<u32>,
    netmask: Option<Netmask>,
    engine: String,
    one_packet: bool,
    forwarding: Forwarding,
    tunnel: Tunnel,
    weight: u32,
    upper_threshold: u32,
    lower_threshold: u32,
}

impl Draft {
    pub(super) fn new(role: Role) -> Self {
        let interface = INTERFACE.to_owned();
        Self {
            id: None,
            server_id: None,
            daemon: Daemon {
                role,
                interface,
                sync_id: 0,
                max_length: None,
                group: None,
                port: None,
                ttl: None,
            },
            scheduler: String::new(),
            named_flags: String::new(),
            flags: SchedulerFlags::default(),
            persistence: None,
            netmask: None,
            engine: String::new(),
            one_packet: false,
            forwarding: Forwarding::Route,
            tunnel: Tunnel::default(),
            weight: 1,
            upper_threshold: 0,
            lower_threshold: 0,
        }
    }

    /// Takes in what an option says that is no command.
    pub(super) fn take(
        &mut self,
        option: Opt,
        value: Option<&str>,
        names: &impl Names,
    ) -> Result<(), Refusal> {
        let text = value.unwrap_or_default();
        match option {
            Opt::TcpService => self.take_service(Protocol::Tcp, text, names)?,
            Opt::UdpService => self.take_service(Protocol::Udp, text, names)?,
            Opt::SctpService => self.take_service(Protocol::Sctp, text, names)?,
            Opt::FwmarkService => {
                let mark = values::number(text, &(1..=u32::MAX));
                let mark = mark.ok_or_else(|| format!("invalid fwmark value `{text}' specified"))?;
                self.id = Some(ServiceId::Mark { mark, family: Family::V4 });
            }
            Opt::Ipv6 => match &mut self.id {
                Some(ServiceId::Mark { family, .. }) => {
                    *family = Family::V6;
                    self.netmask = None;
                }
                // The empty line behind it is ipvsadm's.
                _ => return Err("-6 used before -f\n".into()),
            },
            Opt::Scheduler => self.scheduler = cut(text, SCHEDULER_LENGTH),
            Opt::SchedFlags => text.clone_into(&mut self.named_flags),
            Opt::Persistent => {
                self.persistence = Some(value.map_or(Ok(PERSISTENCE), |text| timeout(text, 1))?);
            }
            Opt::Netmask => self.netmask = Some(self.netmask_of(text)?),
            Opt::Pe => self.engine = cut(text, ENGINE_LENGTH),
            Opt::Ops => self.one_packet = true,
            Opt::RealServer => self.take_server(text, names)?,
            Opt::Masquerading => self.forwarding = Forwarding::Masquerading,
            Opt::Ipip => self.forwarding = Forwarding::Tunnel,
            Opt::Gatewaying => self.forwarding = Forwarding::Route,
            Opt::Weight => self.weight = number(text, &LIMITS, "weight")?,
            Opt::UThreshold => self.upper_threshold = number(text, &LIMITS, "u_threshold")?,
            Opt::LThreshold => self.lower_threshold = number(text, &LIMITS, "l_threshold")?,
            _ => self.take_rest(option, text)?,
        }
        Ok(())
    }

    fn take_rest(&mut self, option: Opt, text: &str) -> Result<(), Refusal> {
        match option {
            Opt::TunType => {
                let kind = TunnelType::ALL.into_iter().find(|kind| kind.name() == text);
                self.tunnel.kind = kind.ok_or("illegal tunnel type specified")?;
            }
            Opt::TunPort => self.tunnel.port = number(text, &(1..=u16::MAX), "tunnel port")?,
            Opt::TunNocsum => self.tunnel.checksum = TunnelChecksum::None,
            Opt::TunCsum => self.tunnel.checksum = TunnelChecksum::Local,
            Opt::TunRemcsum => self.tunnel.checksum = TunnelChecksum::Remote,
            Opt::McastInterface if !text.is_empty() => self.daemon.interface = cut(text, INTERFACE_LENGTH),
            Opt::SyncId => self.daemon.sync_id = number(text, &(0..=u8::MAX), "syncid")?,
            Opt::SyncMaxlen => {
                self.daemon.max_length = Some(number(text, &(1..=MAX_LENGTH), "sync-maxlen")?);
            }
            Opt::McastGroup => {
                let no_group = |family| format!("invalid {family} mcast-group `{text}'");
                self.daemon.group = Some(values::group(text).map_err(no_group)?);
            }
            Opt::McastPort => self.daemon.port = Some(number(text, &(1..=u16::MAX), "mcast-port")?),
            Opt::McastTtl => self.daemon.ttl = Some(number(text, &(1..=u8::MAX), "mcast-ttl")?),
            // What a listing shows is no more than that it was there.
            _ => {}
        }
        Ok(())
    }

    fn take_service(&mut self, protocol: Protocol, text: &str, names: &impl Names) -> Result<(), Refusal> {
        let endpoint = values::endpoint(text, Some(protocol), names);
        let (address, port) = endpoint.ok_or("illegal virtual server address[:port] specified")?;
        if address.is_ipv6() {
            self.netmask = None;
        }
        self.id = Some(ServiceId::Address { protocol, address, port: port.unwrap_or(0) });
        Ok(())
    }

    /// A server without a port has that of the service.
    fn take_server(&mut self, text: &str, names: &impl Names) -> Result<(), Refusal> {
        let protocol = self.id.map(|id| id.protocol());
        let endpoint = values::endpoint(text, protocol, names);
        let (address, port) = endpoint.ok_or("illegal real server address[:port] specified")?;
        self.server_id = Some(ServerId { address, port: port.unwrap_or_else(|| self.port()) });
        Ok(())
    }

    fn port(&self) -> u16 {
        match self.id {
            Some(ServiceId::Address { port, .. }) => port,
            Some(ServiceId::Mark { .. }) | None => 0,
        }
    }

    fn netmask_of(&self, text: &str) -> Result<Netmask, Refusal> {
        match self.id.map(|id| id.family()) {
            Some(Family::V6) => {
                Ok(Netmask::V6(values::prefix(text).ok_or("illegal ipv6 netmask specified")?))
            }
            Some(Family::V4) | None => {
                let mask = values::dotted(text).ok_or("illegal virtual server persistent mask specified")?;
                Ok(Netmask::V4(mask))
            }
        }
    }

    /// Flags are the scheduler's, which may stand behind them.
    pub(super) fn take_flags(&mut self) -> Result<(), Refusal> {
        self.flags = values::flags(&self.named_flags, &self.scheduler).map_err(|error| error.to_string())?;
        Ok(())
    }

    /// The service that is to be.
    pub(super) fn service(self) -> Result<Service, Refusal> {
        let id = self.id.ok_or("the service-address is missing")?;
        if let ServiceId::Address { protocol, port, .. } = id {
            if port == 0 && self.persistence.is_none() {
                return Err("Zero port specified for non-persistent service".into());
            }
            if self.one_packet && protocol != Protocol::Udp {
                return Err("One-Packet Scheduling is only for UDP virtual services".into());
            }
        }
        let scheduler = if self.scheduler.is_empty() { SCHEDULER.to_owned() } else { self.scheduler };
        Ok(Service {
            id,
            scheduler,
            flags: self.flags,
            persistence: self.persistence,
            netmask: self.netmask.unwrap_or_else(|| Netmask::whole(id.family())),
            engine: self.engine,
            one_packet: self.one_packet,
        })
    }

    /// The server that is to be.
    pub(super) fn server(&self, seen: Seen) -> Result<Server, Refusal> {
        let id = self.server_id.ok_or("the real-server is missing")?;
        let family = self.id.map(|id| id.family());
        if self.forwarding != Forwarding::Tunnel && family != Some(Family::of(id.address)) {
            return Err("Different address family is allowed only for tunneling servers".into());
        }
        if self.forwarding == Forwarding::Tunnel {
            check_tunnel(self.tunnel.kind, seen)?;
        } else if seen.any(&[Kind::TunType, Kind::TunPort, Kind::TunNocsum, Kind::TunCsum, Kind::TunRemcsum])
        {
            return Err("Tunnel options conflict with forward method".into());
        }
        Ok(Server {
            id: ServerId { port: self.server_port(id.port), ..id },
            forwarding: self.forwarding,
            tunnel: self.tunnel,
            weight: self.weight,
            upper_threshold: self.upper_threshold,
            lower_threshold: self.lower_threshold,
        })
    }

    /// Only address translation changes ports.
    fn server_port(&self, own: u16) -> u16 {
        match (self.id, self.forwarding) {
            (Some(ServiceId::Address { port, .. }), Forwarding::Route | Forwarding::Tunnel) => port,
            _ => own,
        }
    }
}

fn number<T: TryFrom<i64> + PartialOrd>(
    text: &str,
    limits: &RangeInclusive<T>,
    what: &str,
) -> Result<T, Refusal> {
    Ok(values::number(text, limits).ok_or_else(|| format!("illegal {what} specified"))?)
}

/// As much of a name as there is room for.
fn cut(text: &str, length: usize) -> String {
    text[..text.floor_char_boundary(length)].to_owned()
}
