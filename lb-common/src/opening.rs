//! What a packet does to its connection: with which one begins and ends, and what becomes of it by the real server's row.

use crate::{
    flow::State,
    layout::{MARK_PROTOCOL, Policy, ServerInfo, ServerState},
    sched::Method,
    sctp::{self, chunk},
    tcp::{self, flag},
};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The port FTP's active data connections come from.
pub const FTP_DATA: u16 = 20;
/// The first port that anybody may listen on, as Linux has it by default.
const UNPRIVILEGED: u16 = 1024;

/// May a packet to this port, for which there is no service, be FTP's data?
#[inline(always)]
pub const fn may_be_ftp(protocol: u8, port: u16) -> bool {
    protocol == TCP && (port == FTP_DATA || port >= UNPRIVILEGED)
}

/// Does a packet open a connection? Any of UDP does, of SCTP an INIT, of TCP a SYN, also with ACK: that is how a client
/// answers an FTP server that opens the data connection. `flags` are TCP's, or the type of the SCTP chunk that decides.
#[inline(always)]
pub const fn opens(protocol: u8, flags: u8) -> bool {
    match protocol {
        TCP => flags & (flag::SYN | flag::RST) == flag::SYN,
        UDP => true,
        _ => flags == chunk::INIT,
    }
}

/// The same, and is one of a connection hardly ever anything else? A datagram is.
#[inline(always)]
pub const fn opens_alone(protocol: u8, flags: u8) -> bool {
    protocol != UDP && opens(protocol, flags)
}

/// Does a packet open a connection anew where there is one in this state? Any datagram would, but no flow of UDP is in such a
/// state.
#[inline(always)]
pub const fn reopens(state: State, protocol: u8, flags: u8) -> bool {
    opens_alone(protocol, flags) && state.is_closing()
}

/// Does it end its connection at once?
#[inline(always)]
pub const fn resets(protocol: u8, flags: u8) -> bool {
    match protocol {
        TCP => flags & flag::RST != 0,
        UDP => false,
        _ => flags == chunk::ABORT,
    }
}

/// The state of a flow that begins with it.
#[inline(always)]
pub const fn first(protocol: u8, flags: u8) -> State {
    match protocol {
        TCP => tcp::first(flags),
        UDP => State::UdpFirst,
        _ => sctp::next(State::SctpNone, flags),
    }
}

/// The state of a flow after one more packet.
#[inline(always)]
pub const fn after(state: State, protocol: u8, flags: u8) -> State {
    match protocol {
        TCP => tcp::next(state, flags),
        UDP => State::Udp,
        _ => sctp::next(state, flags),
    }
}

/// Is it scheduled by itself, so that no flow is recorded?
#[inline(always)]
pub const fn is_alone(policy: &Policy, protocol: u8) -> bool {
    policy.has(Policy::ONE_PACKET) && protocol == UDP
}

/// What a service's byte in `services` says besides its [`Method`]: the flow table has nothing to say to datagrams, for each
/// goes where its hash leads, and the next one with the same hash leads to the same server.
pub const BY_RING: u8 = 0x20;

/// The same: its policy has nothing to say to what opens a connection.
const PLAIN: u8 = 0x10;

/// A service's byte in `services`; `protocol` is its own.
#[inline(always)]
pub const fn service_byte(method: Method, policy: &Policy, protocol: u8) -> u8 {
    let is_alone = is_alone(policy, UDP) && (protocol == UDP || protocol == MARK_PROTOCOL);
    let is_by_ring = is_alone && policy.persistence == 0 && method.scheduler.is_by_hash();
    let is_plain = policy.persistence == 0 && !policy.has(Policy::ONE_PACKET);
    method.number() | if is_by_ring { BY_RING } else { 0 } | if is_plain { PLAIN } else { 0 }
}

/// Does a packet begin a connection to a service with this byte, whose policy need not be asked? [`begins`] says so too.
#[inline(always)]
pub const fn begins_plainly(scheduler: u8, (protocol, flags): (u8, u8), client_port: u16) -> bool {
    scheduler & PLAIN != 0 && client_port != FTP_DATA && opens(protocol, flags)
}

/// Are all flows of a service with this byte with the server that its ring names, but for those from before its last change?
#[inline(always)]
pub const fn follows_ring(scheduler: u8) -> bool {
    match Method::from_number(scheduler) {
        Some(method) => scheduler & PLAIN != 0 && method.scheduler.is_by_hash() && !method.flags.fallback,
        None => false,
    }
}

/// Is a packet of this protocol sent by the ring alone, to a service with this byte?
#[inline(always)]
pub const fn is_by_ring(scheduler: u8, protocol: u8) -> bool {
    scheduler & BY_RING != 0 && protocol == UDP
}

/// May a connection begin with it? With one that opens it; under a scheduler by hash with any segment that does not end it,
/// for all directors place it alike, and so where the service asks for it, unless it is of a connection whose server is gone.
/// Never with one from FTP's data port (`ip_vs_schedule`).
#[inline(always)]
pub const fn begins(
    method: Option<Method>,
    policy: &Policy,
    (protocol, flags): (u8, u8),
    client_port: u16,
    is_gone: bool,
) -> bool {
    let is_by_hash = protocol == TCP
        && match method {
            Some(method) => method.scheduler.is_by_hash(),
            None => false,
        };
    let is_sloppy = policy.has(Policy::SLOPPY) && !is_gone;
    client_port != FTP_DATA
        && (opens(protocol, flags) || ((is_by_hash || is_sloppy) && !resets(protocol, flags)))
}

/// Can the server of a row be sent to, if it is still the one of `generation`? Says whether it is this host.
///
/// # Errors
/// The state it is in otherwise; Vacant for another server, Down for what else there may be.
#[inline(always)]
pub const fn reach(info: ServerInfo, generation: Option<u16>) -> Result<bool, ServerState> {
    const LOCAL: u8 = ServerState::Local as u8;
    const READY: u8 = ServerState::Ready as u8;
    const UNRESOLVED: u8 = ServerState::Unresolved as u8;
    if let Some(generation) = generation
        && generation != info.generation
    {
        return Err(ServerState::Vacant);
    }
    match info.state {
        LOCAL => Ok(true),
        READY => Ok(false),
        UNRESOLVED => Err(ServerState::Unresolved),
        _ => Err(ServerState::Down),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::Scheduler;

    const SCTP: u8 = 132;

    #[test]
    fn a_connection_is_opened_anew_where_it_is_closing() {
        let udp = [State::Udp, State::UdpFirst];
        assert!(udp.iter().all(|state| !state.is_closing()), "so UDP need not be asked");
        for state in (0..32).map(State::from_number) {
            for (protocol, flags) in [(TCP, flag::SYN), (TCP, flag::ACK), (SCTP, chunk::INIT), (SCTP, 0)] {
                let expected = opens(protocol, flags) && state.is_closing();
                assert_eq!(reopens(state, protocol, flags), expected, "{state:?} {protocol} {flags}");
            }
            assert!(!reopens(state, UDP, 0));
        }
    }

    #[test]
    fn what_opens_and_what_resets() {
        let rows = [
            (TCP, flag::SYN, true, false),
            (TCP, flag::SYN | flag::ACK, true, false),
            (TCP, flag::SYN | flag::RST, false, true),
            (TCP, flag::ACK, false, false),
            (UDP, 0, true, false),
            (SCTP, chunk::INIT, true, false),
            (SCTP, chunk::ABORT, false, true),
            (SCTP, 0, false, false),
        ];
        for (protocol, flags, is_opening, is_reset) in rows {
            assert_eq!(
                (opens(protocol, flags), resets(protocol, flags)),
                (is_opening, is_reset),
                "{protocol} {flags}"
            );
        }
    }

    #[test]
    fn connections_begin_in_their_middle_by_hash_or_where_asked_for() {
        let sloppy = Policy { flags: Policy::SLOPPY, ..Policy::default() };
        let plain = Policy::default();
        let middle = |scheduler: Scheduler, policy, flags, is_gone| {
            begins(Some(scheduler.into()), policy, (TCP, flags), 1024, is_gone)
        };
        assert!(!middle(Scheduler::Rr, &plain, flag::ACK, false));
        assert!(middle(Scheduler::Rr, &sloppy, flag::ACK, false));
        assert!(!middle(Scheduler::Rr, &sloppy, flag::ACK, true));
        assert!(!middle(Scheduler::Rr, &sloppy, flag::RST, false));
        assert!(middle(Scheduler::Mh, &plain, flag::ACK, true));
        assert!(!begins(None, &plain, (TCP, flag::SYN), FTP_DATA, false));
    }

    #[test]
    fn what_begins_plainly_begins_under_any_policy_that_is_not_asked() {
        let packets = [(TCP, flag::SYN), (TCP, flag::ACK), (UDP, 0), (SCTP, chunk::INIT), (SCTP, 0)];
        let policies = [0, Policy::ONE_PACKET, Policy::SLOPPY, Policy::EXPIRE_QUIESCENT]
            .map(|flags| [0, 300].map(|persistence| Policy { flags, persistence, ..Policy::default() }));
        let mut plain = 0;
        for policy in policies.as_flattened() {
            for (about, port) in packets.into_iter().flat_map(|about| [(about, 1024), (about, FTP_DATA)]) {
                let byte = service_byte(Scheduler::Rr.into(), policy, about.0);
                if begins_plainly(byte, about, port) {
                    plain += 1;
                    assert!(begins(Method::from_number(byte), policy, about, port, false));
                    assert!(policy.persistence == 0 && !is_alone(policy, about.0));
                }
            }
        }
        assert_eq!(plain, 3 * 3, "three packets open a connection, and three policies say nothing of it");
    }

    #[test]
    fn the_ring_alone_decides_for_single_datagrams_by_hash() {
        let alone = Policy { flags: Policy::ONE_PACKET, ..Policy::default() };
        let stays = Policy { persistence: 300, ..alone };
        for (by, policy, protocol, expected) in [
            (Scheduler::Mh, &alone, UDP, true),
            (Scheduler::Sh, &alone, MARK_PROTOCOL, true),
            (Scheduler::Dh, &alone, UDP, true),
            (Scheduler::Rr, &alone, UDP, false),
            (Scheduler::Mh, &alone, TCP, false),
            (Scheduler::Mh, &stays, UDP, false),
            (Scheduler::Mh, &Policy::default(), UDP, false),
        ] {
            let byte = service_byte(by.into(), policy, protocol);
            assert_eq!(Method::from_number(byte), Some(by.into()));
            assert_eq!(is_by_ring(byte, UDP), expected, "{by:?} {protocol}");
            assert!(!is_by_ring(byte, TCP));
        }
    }

    #[test]
    fn a_row_is_reached_by_its_state_and_generation() {
        let info =
            |state: ServerState| ServerInfo { generation: 7, state: state as u8, ..ServerInfo::default() };
        assert_eq!(reach(info(ServerState::Ready), Some(7)), Ok(false));
        assert_eq!(reach(info(ServerState::Local), None), Ok(true));
        assert_eq!(reach(info(ServerState::Ready), Some(8)), Err(ServerState::Vacant));
        assert_eq!(reach(info(ServerState::Unresolved), Some(7)), Err(ServerState::Unresolved));
        assert_eq!(reach(info(ServerState::Vacant), None), Err(ServerState::Down));
    }
}
