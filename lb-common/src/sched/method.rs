//! The schedulers' names, numbers and flags.

/// A scheduler by its number in `services`.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheduler {
    /// Round robin.
    Rr = 1,
    /// Weighted round robin.
    Wrr = 2,
    /// Least connections.
    Lc = 3,
    /// Least connections for the weight.
    Wlc = 4,
    /// Shortest expected delay.
    Sed = 5,
    /// Never queue: an idle server, else as sed.
    Nq = 6,
    /// Source hashing.
    Sh = 7,
    /// Destination hashing.
    Dh = 8,
    /// Maglev hashing.
    Mh = 9,
    /// Weighted fail-over: the greatest weight.
    Fo = 10,
    /// Weighted overflow: the greatest weight that has fewer connections.
    Ovf = 11,
    /// The better of two chosen at random.
    Twos = 12,
    /// Locality-based least connections.
    Lblc = 13,
    /// The same with several servers for a destination.
    Lblcr = 14,
}

impl Scheduler {
    /// The bits of a [`Method`]'s number that are its scheduler's; those between are not a method's
    /// ([`crate::opening::BY_RING`]).
    pub const MASK: u8 = 0x0f;
    /// All of them, by their numbers.
    pub const ALL: [Self; 14] = [
        Self::Rr,
        Self::Wrr,
        Self::Lc,
        Self::Wlc,
        Self::Sed,
        Self::Nq,
        Self::Sh,
        Self::Dh,
        Self::Mh,
        Self::Fo,
        Self::Ovf,
        Self::Twos,
        Self::Lblc,
        Self::Lblcr,
    ];

    /// The scheduler with this number.
    #[inline(always)]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Rr),
            2 => Some(Self::Wrr),
            3 => Some(Self::Lc),
            4 => Some(Self::Wlc),
            5 => Some(Self::Sed),
            6 => Some(Self::Nq),
            7 => Some(Self::Sh),
            8 => Some(Self::Dh),
            9 => Some(Self::Mh),
            10 => Some(Self::Fo),
            11 => Some(Self::Ovf),
            12 => Some(Self::Twos),
            13 => Some(Self::Lblc),
            14 => Some(Self::Lblcr),
            _ => None,
        }
    }

    /// The name in `lb_algo` and in ipvsadm's `-s`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Sed => "sed",
            Self::Nq => "nq",
            Self::Sh => "sh",
            Self::Dh => "dh",
            Self::Mh => "mh",
            Self::Fo => "fo",
            Self::Ovf => "ovf",
            Self::Twos => "twos",
            Self::Lblc => "lblc",
            Self::Lblcr => "lblcr",
        }
    }

    /// It picks by a hash of the packet: sh, dh, mh.
    #[inline(always)]
    pub const fn is_by_hash(self) -> bool {
        matches!(self, Self::Sh | Self::Dh | Self::Mh)
    }

    /// It looks at the connections the servers have.
    #[inline(always)]
    pub const fn is_by_load(self) -> bool {
        match self {
            Self::Lc
            | Self::Wlc
            | Self::Sed
            | Self::Nq
            | Self::Ovf
            | Self::Twos
            | Self::Lblc
            | Self::Lblcr => true,
            Self::Rr | Self::Wrr | Self::Sh | Self::Dh | Self::Mh | Self::Fo => false,
        }
    }
}

/// What ipvsadm's `-b` sets; each is read by sh and mh only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flags {
    /// `sh-port`, `mh-port`: the client's port is hashed with its address.
    pub port: bool,
    /// `sh-fallback`, `mh-fallback`: where the server of the bucket takes nobody, another one does.
    pub fallback: bool,
}

/// How a service picks: a scheduler with its flags, one byte in `services`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method {
    /// The scheduler.
    pub scheduler: Scheduler,
    /// Its flags.
    pub flags: Flags,
}

const PORT: u8 = 0x40;
const FALLBACK: u8 = 0x80;
impl Method {
    /// The method with this number, whatever else a service's byte says.
    #[inline(always)]
    pub const fn from_number(number: u8) -> Option<Self> {
        let Some(scheduler) = Scheduler::from_number(number & Scheduler::MASK) else { return None };
        let flags = Flags { port: number & PORT != 0, fallback: number & FALLBACK != 0 };
        Some(Self { scheduler, flags })
    }

    /// Its number in `services`.
    pub const fn number(self) -> u8 {
        self.scheduler as u8
            | if self.flags.port { PORT } else { 0 }
            | if self.flags.fallback { FALLBACK } else { 0 }
    }
}

impl From<Scheduler> for Method {
    fn from(scheduler: Scheduler) -> Self {
        Self { scheduler, flags: Flags::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_methods_agree() {
        for scheduler in Scheduler::ALL {
            assert_eq!(Scheduler::from_number(scheduler as u8), Some(scheduler));
            for (port, fallback) in [(false, false), (true, false), (false, true), (true, true)] {
                let method = Method { scheduler, flags: Flags { port, fallback } };
                assert_eq!(Method::from_number(method.number()), Some(method));
            }
        }
        assert_eq!(Method::from_number(0), None);
        assert_eq!(Method::from_number(15), None);
        assert_eq!(
            Method::from_number(Scheduler::Mh as u8 | crate::opening::BY_RING),
            Some(Scheduler::Mh.into())
        );
    }
}
