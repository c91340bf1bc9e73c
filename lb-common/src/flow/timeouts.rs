//! After what silence a flow is forgotten: IPVS's timeouts, and the three of them that can be set.

use bytemuck::{Pod, Zeroable};

use super::{State, TICK_SHIFT};

/// The states that a number in a slot can name.
const STATES: usize = 32;

/// SCTP's longest time for a retransmission, 60 s, and one more.
const SCTP_SECONDS: u32 = 61;

/// The row of `timeouts`. A change holds for the flows there are at once.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Timeouts {
    /// By the number of a [`State`]: after how many seconds without a packet a flow in it is forgotten. Templates have
    /// their service's time instead.
    pub seconds: [u32; STATES],
}

impl Default for Timeouts {
    /// IPVS's.
    fn default() -> Self {
        use State::{
            Close, CloseWait, Established, FinWait, LastAck, Listen, SctpEstablished, SctpInit1, SctpNone,
            SctpRejected, SynRecv, SynSent, TimeWait, Udp,
        };
        let mut timeouts = Self { seconds: [2; STATES] };
        let mut sctp = SctpInit1 as u8;
        while sctp <= State::SctpClosed as u8 {
            timeouts.set(State::from_number(sctp), SCTP_SECONDS);
            sctp += 1;
        }
        timeouts.set(SctpNone, 2);
        timeouts.set(SctpEstablished, 900);
        for state in [SctpInit1, SctpRejected] {
            timeouts.set(state, 4);
        }
        timeouts.set(Established, 900);
        timeouts.set(Udp, 300);
        for state in [SynSent, FinWait, TimeWait, Listen] {
            timeouts.set(state, 120);
        }
        for state in [SynRecv, CloseWait] {
            timeouts.set(state, 60);
        }
        timeouts.set(LastAck, 30);
        timeouts.set(Close, 10);
        timeouts
    }
}

impl Timeouts {
    /// Sets a state's timeout; UDP has one for both of its states, and so have established connections of TCP, whether one
    /// or more segments were seen.
    pub const fn set(&mut self, state: State, seconds: u32) {
        self.seconds[state as usize] = seconds;
        let other = match state {
            State::Udp => State::UdpFirst,
            State::UdpFirst => State::Udp,
            State::Established => State::Midway,
            State::Midway => State::Established,
            _ => return,
        };
        self.seconds[other as usize] = seconds;
    }

    /// A state's timeout in seconds.
    pub const fn of(&self, state: State) -> u32 {
        self.seconds[state as usize]
    }

    /// A state's ticks in the row at `row`, which somebody may change meanwhile.
    ///
    /// # Safety
    /// `row` is valid.
    #[inline(always)]
    pub unsafe fn at(row: *const Self, state: State) -> u32 {
        // SAFETY: the contract.
        ticks(unsafe { Self::seconds_at(row, state) })
    }

    /// The same in seconds.
    ///
    /// # Safety
    /// As for [`Self::at`].
    #[inline(always)]
    pub(super) unsafe fn seconds_at(row: *const Self, state: State) -> u32 {
        // SAFETY: the contract; a state's number is below STATES.
        unsafe {
            (&raw const (*row).seconds).cast::<u32>().add(state as usize & (STATES - 1)).read_volatile()
        }
    }
}

/// The ticks that are over when `seconds` are: never fewer.
#[inline(always)]
pub const fn ticks(seconds: u32) -> u32 {
    ((seconds as u64 * 1_000_000_000) >> TICK_SHIFT) as u32 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_ipvs() {
        let seconds = [
            (State::None, 2),
            (State::Established, 900),
            (State::SynSent, 120),
            (State::SynRecv, 60),
            (State::FinWait, 120),
            (State::TimeWait, 120),
            (State::Close, 10),
            (State::CloseWait, 60),
            (State::LastAck, 30),
            (State::Listen, 120),
            (State::Midway, 900),
            (State::Udp, 300),
            (State::UdpFirst, 300),
            (State::SctpInit1, 4),
            (State::SctpCookieEchoed, 61),
            (State::SctpEstablished, 900),
            (State::SctpClosed, 61),
        ];
        let timeouts = Timeouts::default();
        for (state, seconds) in seconds {
            assert_eq!(timeouts.of(state), seconds, "{state:?}");
            // SAFETY: a reference.
            assert_eq!(unsafe { Timeouts::at(&raw const timeouts, state) }, ticks(seconds), "{state:?}");
        }
    }

    #[test]
    fn a_timeout_is_never_cut_short() {
        for seconds in [0, 1, 2, 10, 900, 31 * 86_400] {
            // Seen at the very end of a tick, and more than so many ticks ago.
            assert!(
                u64::from(ticks(seconds)) << TICK_SHIFT >= u64::from(seconds) * 1_000_000_000,
                "{seconds}"
            );
        }
    }
}
