//! One counter for every way a packet can leave the program.
//!
//! The table below is the only list: the map row with its named fields, the enum the program counts with, and
//! the names and explanations that `xlvs status` prints all come from it.

use bytemuck::{Pod, Zeroable};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident $field:ident,)+) => {
        /// The row of the per-CPU map `counters`, packets each.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
        pub struct Counters { $($(#[doc = $doc])+ pub $field: u64,)+ }

        /// Why a packet left the program: the index of its counter in [`Counters`].
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter { $($(#[doc = $doc])+ $variant,)+ }

        impl Counter {
            /// Every counter in the order of the row.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The field's name in the map's BTF and in the status.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($field),)+ }
            }

            /// What it counts, one sentence.
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// Its value in a row.
            pub const fn of(self, row: &Counters) -> u64 {
                match self { $(Self::$variant => row.$field,)+ }
            }
        }
    };
}

counters! {
    /// Sent to a real server out of the interface it came in by (`XDP_TX`).
    ForwardedTx forwarded_tx,
    /// Sent to a real server out of another interface (`XDP_REDIRECT`).
    ForwardedRedirect forwarded_redirect,
    /// Given to the stack because the chosen real server is this host.
    Local local,
    /// Passed: not addressed to this interface's MAC nor to the service's virtual MAC
    /// (broadcast, multicast, or meant for another host).
    PassOtherHost pass_other_host,
    /// Passed: neither IPv4 nor IPv6 (ARP, LLDP, more than two VLAN tags).
    PassNotIp pass_not_ip,
    /// Passed: an IP protocol other than TCP, UDP and SCTP (VRRP), or ICMP that is no error about a connection known here.
    PassProtocol pass_protocol,
    /// Passed: a fragment whose datagram's first fragment was passed, that is for an address without a virtual service, or of
    /// ICMP; or one that came before its first while too many others did.
    PassFragment pass_fragment,
    /// Passed: a fragment that came before the first of its datagram. A copy waits for that for a second, and when it is sent
    /// after it, it is counted once more as forwarded.
    PassEarlyFragment pass_early_fragment,
    /// Passed: no virtual service has this address, port and protocol.
    PassNoService pass_no_service,
    /// Passed: this node is not master of the virtual router that owns the service's address.
    PassNotMaster pass_not_master,
    /// Passed: a TCP segment other than SYN, or an SCTP packet other than INIT, that belongs to no connection known here, or
    /// any from FTP's data port.
    PassNoFlow pass_no_flow,
    /// Passed: a segment of a connection whose real server is gone, which the stack resets, or an ICMP error about one.
    PassServerGone pass_server_gone,
    /// Answered: the service has no real server that may take a new connection (ICMP port unreachable).
    AnswerNoServer answer_no_server,
    /// Answered: its TTL or hop limit ends here (ICMP time exceeded).
    AnswerTtl answer_ttl,
    /// Answered: longer than the MTU of the interface towards the real server (ICMP fragmentation needed, packet too big).
    AnswerTooBig answer_too_big,
    /// Dropped: shorter than its Ethernet or VLAN header says.
    DropTruncatedLink drop_truncated_link,
    /// Dropped: shorter than its IP header or its IP length says.
    DropTruncatedIp drop_truncated_ip,
    /// Dropped: shorter than its TCP, UDP or SCTP header.
    DropTruncatedTransport drop_truncated_transport,
    /// Dropped: an IP header with a wrong version or length, or more IPv6 extension headers than are read.
    DropBadHeader drop_bad_header,
    /// Dropped: longer than the MTU of the interface towards the real server, and fragmentation, which its sender
    /// allowed (DF is not set), is not done here.
    DropTooBig drop_too_big,
    /// Dropped: an answer was due, but an ICMP error, a later fragment, and a packet from or to an address that is no single
    /// host's get none.
    DropNoAnswer drop_no_answer,
    /// Dropped: an answer was due, but there are too many of them in a second.
    DropAnswerLimit drop_answer_limit,
    /// Dropped: an answer was due, but the driver left no room for it before the frame.
    DropAnswerFailed drop_answer_failed,
    /// Dropped: a fragment whose datagram's first fragment was dropped or answered, or went to a real server that is gone.
    DropFragment drop_fragment,
    /// Dropped: the buckets in which the flow may lie hold established connections only, so a new one cannot be recorded.
    DropFlowTableFull drop_flow_table_full,
    /// Dropped: the real server of this connection has no known MAC address at the moment.
    DropUnresolved drop_unresolved,
    /// Dropped: the interface towards the real server is not one this program may send through.
    DropNoPort drop_no_port,
}

impl Counters {
    /// The sum of rows, one per CPU.
    pub fn sum<'a>(rows: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut total = Self::default();
        for row in rows {
            let words = bytemuck::must_cast_mut::<Self, [u64; Counter::ALL.len()]>(&mut total);
            for (sum, add) in
                words.iter_mut().zip(bytemuck::must_cast_ref::<Self, [u64; Counter::ALL.len()]>(row))
            {
                *sum = sum.wrapping_add(*add);
            }
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_a_counter_is_the_place_of_its_field() {
        for (place, counter) in Counter::ALL.iter().enumerate() {
            let mut words = [0u64; Counter::ALL.len()];
            words[*counter as usize] = 7;
            assert_eq!(place, *counter as usize);
            assert_eq!(counter.of(&bytemuck::must_cast(words)), 7, "{}", counter.name());
            assert!(counter.explanation().ends_with('.'), "{}", counter.name());
        }
    }

    #[test]
    fn rows_of_several_cpus_add_up() {
        let one = Counters { forwarded_tx: 3, answer_ttl: 1, ..Counters::default() };
        let two = Counters { forwarded_tx: 4, ..Counters::default() };
        let sum = Counters::sum([&one, &two]);
        assert_eq!((sum.forwarded_tx, sum.answer_ttl, sum.local), (7, 1, 0));
    }
}
