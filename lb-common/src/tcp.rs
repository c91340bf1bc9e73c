//! TCP connection states as a director in direct routing sees them: the client's half only.
//!
//! The transitions and timeouts are those of IPVS's input-only table (`net/netfilter/ipvs/ip_vs_proto_tcp.c`).

use crate::flow::State;

/// The bits of the TCP flags byte that decide (RFC 9293, section 3.1).
pub mod flag {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgement field counts.
    pub const ACK: u8 = 0x10;
}

/// The state after a segment with `flags` from the client; RST decides before SYN, FIN and ACK.
#[inline(always)]
pub const fn next(state: State, flags: u8) -> State {
    use State::{
        Close, CloseWait, Established, FinWait, LastAck, Listen, SynAck, SynRecv, SynSent, TimeWait,
    };
    if flags & flag::RST != 0 {
        match state {
            SynRecv => SynRecv,
            LastAck => LastAck,
            Listen => Listen,
            _ => Close,
        }
    } else if flags & flag::SYN != 0 {
        match state {
            Established | SynSent => Established,
            _ => SynRecv,
        }
    } else if flags & flag::FIN != 0 {
        match state {
            Established | FinWait => FinWait,
            SynSent => SynSent,
            SynRecv | TimeWait | SynAck => TimeWait,
            CloseWait => CloseWait,
            LastAck => LastAck,
            Listen => Listen,
            _ => Close,
        }
    } else if flags & flag::ACK != 0 {
        match state {
            SynSent => SynSent,
            FinWait => FinWait,
            TimeWait => TimeWait,
            Close | LastAck => Close,
            CloseWait => CloseWait,
            Listen => Listen,
            _ => Established,
        }
    } else {
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows syn, fin, ack, rst over the columns NO ES SS SR FW TW CL CW LA LI SA.
    const TABLE: [(u8, &str); 4] = [
        (flag::SYN, "SR ES ES SR SR SR SR SR SR SR SR"),
        (flag::FIN, "CL FW SS TW FW TW CL CW LA LI TW"),
        (flag::ACK, "ES ES SS ES FW TW CL CW CL LI ES"),
        (flag::RST, "CL CL CL SR CL CL CL CL LA LI CL"),
    ];

    fn state(name: &str) -> State {
        match name {
            "NO" => State::None,
            "ES" => State::Established,
            "SS" => State::SynSent,
            "SR" => State::SynRecv,
            "FW" => State::FinWait,
            "TW" => State::TimeWait,
            "CL" => State::Close,
            "CW" => State::CloseWait,
            "LA" => State::LastAck,
            "LI" => State::Listen,
            "SA" => State::SynAck,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_whole_table() {
        for (flags, row) in TABLE {
            for (from, to) in "NO ES SS SR FW TW CL CW LA LI SA".split(' ').zip(row.split(' ')) {
                assert_eq!(next(state(from), flags), state(to), "{from} with flags {flags:#x}");
            }
        }
    }

    #[test]
    fn the_first_of_several_flags_decides() {
        use flag::{ACK, FIN, RST, SYN};
        assert_eq!(next(State::Established, RST | FIN | ACK), State::Close);
        assert_eq!(next(State::FinWait, SYN | FIN), State::SynRecv);
        assert_eq!(next(State::Established, FIN | ACK), State::FinWait);
        assert_eq!(next(State::Established, 0), State::Established);
    }
}
