//! SCTP association states as a director in direct routing sees them: the client's half only.
//!
//! The transitions are those of IPVS's input-only table (`net/netfilter/ipvs/ip_vs_proto_sctp.c`).

use crate::flow::State;

/// Chunk types (RFC 9260, section 3.2).
pub mod chunk {
    /// Opens an association.
    pub const INIT: u8 = 1;
    /// Answers an INIT.
    pub const INIT_ACK: u8 = 2;
    /// Ends the association at once.
    pub const ABORT: u8 = 6;
    /// No more data.
    pub const SHUTDOWN: u8 = 7;
    /// Answers a SHUTDOWN.
    pub const SHUTDOWN_ACK: u8 = 8;
    /// Something was wrong.
    pub const ERROR: u8 = 9;
    /// Sends the cookie of an INIT ACK back.
    pub const COOKIE_ECHO: u8 = 10;
    /// Answers a COOKIE ECHO.
    pub const COOKIE_ACK: u8 = 11;
    /// Ends a shutdown.
    pub const SHUTDOWN_COMPLETE: u8 = 14;
}

use State::{
    SctpClosed as CL, SctpCookie as CO, SctpCookieEchoed as CE, SctpCookieReplied as CR,
    SctpCookieSent as CS, SctpCookieWait as CW, SctpEstablished as ES, SctpInit as IN, SctpInit1 as I1,
    SctpNone as NO, SctpRejected as RJ, SctpShutdownAckSent as SA, SctpShutdownReceived as SR,
    SctpShutdownSent as SS,
};

/// States of SCTP, in the order of the columns below.
const COLUMNS: [State; 14] = [NO, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL];

/// The next states, four bits each by the place of the state before, as for TCP.
#[derive(Clone, Copy)]
struct Row(u64);

impl Row {
    const DATA: Self = Self::new([ES, I1, IN, CS, CR, ES, CO, CE, ES, SS, SR, SA, RJ, CL]);
    const INIT: Self = Self::new([I1, IN, IN, IN, IN, IN, CO, CE, ES, SS, SR, SA, IN, IN]);
    const INIT_ACK: Self = Self::new([CE, CE, CE, CE, CE, CE, CO, CE, ES, SS, SR, SA, RJ, CL]);
    const COOKIE_ECHO: Self = Self::new([ES, ES, ES, ES, ES, ES, CO, CE, ES, SS, SR, SA, RJ, CL]);
    const COOKIE_ACK: Self = Self::new([ES, I1, IN, ES, ES, CW, ES, ES, ES, SS, SR, SA, RJ, CL]);
    const SHUTDOWN: Self = Self::new([SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL]);
    const SHUTDOWN_ACK: Self = Self::new([CL, IN, IN, CS, CR, CW, CO, CE, CL, CL, SR, CL, RJ, CL]);
    const SHUTDOWN_COMPLETE: Self = Self::new([CL, CL, CL, CL, CL, CW, CO, CE, ES, SS, CL, CL, RJ, CL]);
    const ERROR: Self = Self::new([CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL]);
    const ABORT: Self = Self::new([CL, CL, CL, CL, CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL]);

    const fn new(next: [State; 14]) -> Self {
        let (mut row, mut at) = (0, 0);
        while at < next.len() {
            assert!(COLUMNS[at] as u8 == NO as u8 + at as u8);
            row |= ((next[at] as u64) - NO as u64) << (4 * at);
            at += 1;
        }
        Self(row)
    }
}

/// The state after a packet from the client that begins with a chunk of this type.
#[inline(always)]
pub const fn next(state: State, chunk: u8) -> State {
    let row = match chunk {
        chunk::INIT => Row::INIT,
        chunk::INIT_ACK => Row::INIT_ACK,
        chunk::ABORT => Row::ABORT,
        chunk::SHUTDOWN => Row::SHUTDOWN,
        chunk::SHUTDOWN_ACK => Row::SHUTDOWN_ACK,
        chunk::ERROR => Row::ERROR,
        chunk::COOKIE_ECHO => Row::COOKIE_ECHO,
        chunk::COOKIE_ACK => Row::COOKIE_ACK,
        chunk::SHUTDOWN_COMPLETE => Row::SHUTDOWN_COMPLETE,
        _ => Row::DATA,
    };
    let place = (state as u8).wrapping_sub(NO as u8) & 15;
    State::from_number(NO as u8 + ((row.0 >> (4 * place as u32)) as u8 & 15))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the chunk's type: the states that follow NO I1 IN CS CR CW CO CE ES SS SR SA RJ CL.
    const TABLE: [(u8, &str); 10] = [
        (0, "ES I1 IN CS CR ES CO CE ES SS SR SA RJ CL"),
        (chunk::INIT, "I1 IN IN IN IN IN CO CE ES SS SR SA IN IN"),
        (chunk::INIT_ACK, "CE CE CE CE CE CE CO CE ES SS SR SA RJ CL"),
        (chunk::COOKIE_ECHO, "ES ES ES ES ES ES CO CE ES SS SR SA RJ CL"),
        (chunk::COOKIE_ACK, "ES I1 IN ES ES CW ES ES ES SS SR SA RJ CL"),
        (chunk::SHUTDOWN, "SR I1 IN CS CR CW CO CE SR SS SR SA RJ CL"),
        (chunk::SHUTDOWN_ACK, "CL IN IN CS CR CW CO CE CL CL SR CL RJ CL"),
        (chunk::SHUTDOWN_COMPLETE, "CL CL CL CL CL CW CO CE ES SS CL CL RJ CL"),
        (chunk::ERROR, "CL I1 IN CS CR CW CO CE ES SS SR SA RJ CL"),
        (chunk::ABORT, "CL CL CL CL CL RJ CL CL CL CL CL CL CL CL"),
    ];
    const NAMES: &str = "NO I1 IN CS CR CW CO CE ES SS SR SA RJ CL";

    fn state(name: &str) -> State {
        let place = NAMES.split(' ').position(|other| other == name).expect("a state");
        COLUMNS[place]
    }

    #[test]
    fn the_whole_table() {
        for (chunk, row) in TABLE {
            for (from, to) in NAMES.split(' ').zip(row.split(' ')) {
                assert_eq!(next(state(from), chunk), state(to), "{from} with chunk {chunk}");
            }
        }
    }

    #[test]
    fn an_association_opens_and_closes() {
        let mut now = State::SctpNone;
        for (chunk, then) in [
            (chunk::INIT, "I1"),
            (chunk::COOKIE_ECHO, "ES"),
            (0, "ES"),
            (chunk::SHUTDOWN, "SR"),
            (chunk::SHUTDOWN_COMPLETE, "CL"),
            (chunk::INIT, "IN"),
        ] {
            now = next(now, chunk);
            assert_eq!(now, state(then), "chunk {chunk}");
        }
    }
}
