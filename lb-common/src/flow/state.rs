//! What a slot of the flow table can hold.

use crate::layout::Load;

/// What a slot holds. From [`State::None`] on it holds a flow that lookups find.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Nothing.
    #[default]
    Free = 0,
    /// A CPU is writing the key.
    Claimed = 1,
    /// The key stands; whether this slot or another keeps the flow is being decided.
    Tentative = 2,
    /// TCP: nothing seen.
    None = 3,
    /// TCP: established.
    Established = 4,
    /// TCP: the director's side opened.
    SynSent = 5,
    /// TCP: SYN seen.
    SynRecv = 6,
    /// TCP: FIN seen.
    FinWait = 7,
    /// TCP: both sides are done.
    TimeWait = 8,
    /// TCP: reset or closed.
    Close = 9,
    /// TCP: the other side is done.
    CloseWait = 10,
    /// TCP: the last acknowledgement is awaited.
    LastAck = 11,
    /// TCP: listening.
    Listen = 12,
    /// TCP: begun by a segment from its middle, and no other seen: as little as a SYN says. (To IPVS a SYN cookie sent, which
    /// a director of the client's half never sees.)
    Midway = 13,
    /// UDP, more than one packet seen.
    Udp = 14,
    /// UDP, one packet seen: as little as a SYN says about whether there will be another.
    UdpFirst = 15,
    /// SCTP: nothing seen.
    SctpNone = 16,
    /// SCTP: the first INIT seen.
    SctpInit1 = 17,
    /// SCTP: INIT seen again.
    SctpInit = 18,
    /// SCTP: the server's INIT ACK was sent.
    SctpCookieSent = 19,
    /// SCTP: COOKIE ECHO seen.
    SctpCookieReplied = 20,
    /// SCTP: the server's side opened.
    SctpCookieWait = 21,
    /// SCTP: the client's INIT ACK seen.
    SctpCookie = 22,
    /// SCTP: the server's COOKIE ECHO was sent.
    SctpCookieEchoed = 23,
    /// SCTP: established.
    SctpEstablished = 24,
    /// SCTP: the server's SHUTDOWN was sent.
    SctpShutdownSent = 25,
    /// SCTP: SHUTDOWN seen.
    SctpShutdownReceived = 26,
    /// SCTP: the server's SHUTDOWN ACK was sent.
    SctpShutdownAckSent = 27,
    /// SCTP: refused.
    SctpRejected = 28,
    /// SCTP: closed.
    SctpClosed = 29,
    /// Persistence: a client's real server, for the connections it will open.
    Template = 30,
    /// The same, and none of the client's connections has got beyond its first packet.
    TemplateFirst = 31,
}

/// States as bits by their numbers: asking whether one is among them needs no branch, of which the verifier would have
/// to follow both sides.
#[derive(Clone, Copy)]
struct Set(u32);

impl Set {
    const fn of(states: &[State]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < states.len() {
            bits |= 1 << states[at] as u32;
            at += 1;
        }
        Self(bits)
    }

    /// 1 if it has the state, else 0.
    #[inline(always)]
    const fn has(self, state: State) -> u64 {
        (self.0 >> state as u32) as u64 & 1
    }
}

const ACTIVE: Set =
    Set::of(&[State::Established, State::SynSent, State::SynRecv, State::Midway, State::SctpEstablished]);
const CLOSING: Set = Set::of(&[
    State::FinWait,
    State::TimeWait,
    State::Close,
    State::CloseWait,
    State::LastAck,
    State::SctpRejected,
    State::SctpClosed,
]);
const STEADY: Set = Set::of(&[State::Established, State::Udp]);
const TEMPLATES: Set = Set::of(&[State::Template, State::TemplateFirst]);
/// Every other flow.
const INACTIVE: Set =
    Set(!(ACTIVE.0 | TEMPLATES.0 | Set::of(&[State::Free, State::Claimed, State::Tentative]).0));

impl State {
    /// The state with this number, of which the low five bits count.
    #[inline(always)]
    pub const fn from_number(number: u8) -> Self {
        // SAFETY: every number below 32 is a state.
        unsafe { core::mem::transmute(number & super::STATE_MASK) }
    }

    /// The name that IPVS has for it (`ip_vs_proto_*.c`, and `ip_vs_conn.c` for templates).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free
            | Self::Claimed
            | Self::Tentative
            | Self::None
            | Self::SctpNone
            | Self::TemplateFirst => "NONE",
            // It counts for less than others until a second segment comes; for IPVS it is one of them.
            Self::Established | Self::Midway | Self::SctpEstablished => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait => "FIN_WAIT",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::Udp | Self::UdpFirst => "UDP",
            Self::SctpInit1 => "INIT1",
            Self::SctpInit => "INIT",
            Self::SctpCookieSent => "C-SENT",
            Self::SctpCookieReplied => "C-REPLIED",
            Self::SctpCookieWait => "C-WAIT",
            Self::SctpCookie => "COOKIE",
            Self::SctpCookieEchoed => "C-ECHOED",
            Self::SctpShutdownSent => "S-SENT",
            Self::SctpShutdownReceived => "S-RECEIVED",
            Self::SctpShutdownAckSent => "S-ACK-SENT",
            Self::SctpRejected => "REJECTED",
            Self::SctpClosed => "CLOSED",
            Self::Template => "ASSURED",
        }
    }

    /// Does a slot in this state hold a flow?
    #[inline(always)]
    pub const fn is_living(self) -> bool {
        self as u8 > Self::Tentative as u8
    }

    /// Is it a template of persistence and no flow?
    #[inline(always)]
    pub const fn is_template(self) -> bool {
        TEMPLATES.has(self) != 0
    }

    /// What a flow in this state is in the word of its real server's [`Load`]. Active are the states that IPVS counts
    /// so; UDP never is, and templates are not counted.
    #[inline(always)]
    pub const fn load(self) -> u64 {
        ACTIVE.has(self) * Load::ONE_ACTIVE + INACTIVE.has(self) * Load::ONE_INACTIVE
    }

    /// Is it left only by segments that open or end a connection, or never while packets come? (Of SCTP none is counted so: what
    /// chunks do is not told by flags.)
    #[inline(always)]
    pub const fn is_steady(self) -> bool {
        STEADY.has(self) != 0
    }

    /// A SYN on a connection in this state opens a new one. (With IPVS's `conn_reuse_mode` in two of them only.)
    #[inline(always)]
    pub const fn is_closing(self) -> bool {
        CLOSING.has(self) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_a_state_and_every_flow_is_one_connection() {
        for number in 0..32 {
            let state = State::from_number(number);
            assert_eq!(state as u8, number);
            let connections = ACTIVE.has(state) + INACTIVE.has(state);
            assert_eq!(connections, u64::from(state.is_living() && !state.is_template()), "{state:?}");
        }
        assert_eq!(State::TemplateFirst as u8, 31);
    }

    #[test]
    fn names_are_those_of_a_recorded_listing() {
        let names = [State::FinWait, State::Template, State::TemplateFirst, State::Udp].map(State::name);
        assert_eq!(names, ["FIN_WAIT", "ASSURED", "NONE", "UDP"]);
        assert!((0..32).all(|number| State::from_number(number).name().len() <= 11));
    }
}
