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

use State::{
    Close as CL, CloseWait as CW, Established as ES, FinWait as FW, LastAck as LA, Listen as LI,
    Midway as SA, None as NO, SynRecv as SR, SynSent as SS, TimeWait as TW,
};

/// The next states, four bits each by the number of the state before: looking one up needs no branch, of which the
/// verifier would have to follow both sides.
#[derive(Clone, Copy)]
struct Row(u64);

impl Row {
    const COLUMNS: [State; 11] = [NO, ES, SS, SR, FW, TW, CL, CW, LA, LI, SA];
    /// Nothing that decides is set.
    const SAME: Self = Self(0xfedc_ba98_7654_3210);
    const SYN: Self = Self::new([SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR]);
    const FIN: Self = Self::new([CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW]);
    const ACK: Self = Self::new([ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES]);
    const RST: Self = Self::new([CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL]);

    const fn new(next: [State; 11]) -> Self {
        let (mut row, mut at) = (Self::SAME.0, 0);
        while at < next.len() {
            let shift = 4 * Self::COLUMNS[at] as u32;
            row = row & !(0xf << shift) | (next[at] as u64) << shift;
            at += 1;
        }
        Self(row)
    }
}

/// The state of a connection that begins with a segment with `flags`. Where it is one from the middle, another must come
/// before the connection counts as established, or a flood of such segments would fill the flow table with what must stay.
#[inline(always)]
pub const fn first(flags: u8) -> State {
    match next(NO, flags) {
        ES => SA,
        state => state,
    }
}

/// The state after a segment with `flags` from the client; RST decides before SYN, FIN and ACK. A segment with none of them
/// changes nothing; to IPVS it closes the connection.
#[inline(always)]
pub const fn next(state: State, flags: u8) -> State {
    let row = if flags & flag::RST != 0 {
        Row::RST
    } else if flags & flag::SYN != 0 {
        Row::SYN
    } else if flags & flag::FIN != 0 {
        Row::FIN
    } else if flags & flag::ACK != 0 {
        Row::ACK
    } else {
        Row::SAME
    };
    State::from_number((row.0 >> (4 * (state as u32 & 15))) as u8 & 15)
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
            "SA" => State::Midway,
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
    fn a_connection_from_its_middle_is_established_by_the_second_segment() {
        use flag::{ACK, FIN, SYN};
        assert_eq!([SYN, SYN | ACK, FIN | ACK, ACK].map(first), [SR, SR, CL, SA]);
        assert_eq!(next(first(ACK), ACK), ES);
    }

    #[test]
    fn a_slot_that_is_no_connection_stays_what_it_is() {
        for number in [0, 1, 2, 14, 15] {
            for (flags, _) in TABLE {
                assert_eq!(next(State::from_number(number), flags) as u8, number, "flags {flags:#x}");
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
