//! What the generator sends.

use lb_tests::config::Protocol;

/// Bytes of the row that says what is sent.
pub(super) const ROW: usize = 28;

/// What the generator sends, and so what the sink expects.
pub(super) struct Load {
    /// The interface to send into.
    pub(super) ifindex: u32,
    /// The number of the first flow.
    pub(super) first: u32,
    /// Number of flows.
    pub(super) flows: u32,
    /// Whether they come by their numbers, or no two near ones together.
    pub(super) is_in_order: bool,
    /// Destination address.
    pub(super) vip: [u8; 4],
    /// Destination MAC address, and the source of what comes back.
    pub(super) to: [u8; 6],
    /// Source MAC address, and the destination of what comes back; its last two bytes may differ there.
    pub(super) from: [u8; 6],
    /// First destination port.
    pub(super) port: u16,
    /// Number of ports, a power of two; flows have them by turns.
    pub(super) ports: u16,
    /// Datagrams, or segments.
    pub(super) protocol: Protocol,
    /// What segments are.
    pub(super) segment: Segment,
    /// Whether what comes back may have the destination address of the real server.
    pub(super) is_translated: bool,
}

/// What a TCP segment is for.
#[derive(Clone, Copy)]
pub(super) enum Segment {
    /// SYN
    Opening,
    /// ACK
    Going,
}

impl Load {
    /// The row that says so to the generator and the sink.
    pub(super) fn row(&self) -> [u8; ROW] {
        let protocol = match self.protocol {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        };
        let tcp_flags = match self.segment {
            Segment::Opening => 0x02,
            Segment::Going => 0x10,
        };
        let mut row = [0; ROW];
        let fields: [&[u8]; 7] = [
            &self.ifindex.to_ne_bytes(),
            &self.vip,
            &self.to,
            &self.from,
            &self.port.to_be_bytes(),
            &(self.ports - 1).to_ne_bytes(),
            &[protocol, tcp_flags, u8::from(self.is_translated), 0],
        ];
        row.copy_from_slice(&fields.concat());
        row
    }

    /// The rows that tell so many CPUs of their flows: the first, how many, from one to the next, and how far the first one sent
    /// is behind the first.
    pub(super) fn parts(&self, cpus: u32) -> impl Iterator<Item = [u32; 4]> + use<> {
        let (first, is_in_order) = (self.first, self.is_in_order);
        let (flows, parts) = (u64::from(self.flows), u64::from(cpus));
        (0..parts).map(move |part| {
            let [begin, end] = [part, part + 1].map(|part| (flows * part / parts) as u32);
            let own = end - begin;
            let step = if is_in_order { u32::from(own > 1) } else { step(own) };
            [first.wrapping_add(begin), own, step, 0]
        })
    }
}

/// Visiting flows so far apart shows no two near ones together, as memory laid out by arrival would like.
fn step(flows: u32) -> u32 {
    let golden = u64::from(flows) * 618 / 1000;
    (golden as u32..flows).find(|&step| gcd(step, flows) == 1).unwrap_or(0)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(first: u32, flows: u32, is_in_order: bool) -> Load {
        Load {
            ifindex: 1,
            first,
            flows,
            is_in_order,
            vip: [10, 0, 0, 1],
            to: [2; 6],
            from: [4; 6],
            port: 80,
            ports: 1,
            protocol: Protocol::Udp,
            segment: Segment::Going,
            is_translated: false,
        }
    }

    #[test]
    fn a_round_of_all_cpus_visits_every_flow_once() {
        for (flows, cpus, is_in_order) in [1, 2, 3, 7, 10, 100, 10_000, 65_536]
            .map(|flows| [1, 2, 3].map(|cpus| (flows, cpus)))
            .concat()
            .into_iter()
            .flat_map(|(flows, cpus)| [true, false].map(|order| (flows, cpus, order)))
        {
            let mut seen = vec![false; flows as usize];
            for [first, own, step, next] in load(5, flows, is_in_order).parts(cpus) {
                let mut at = next;
                for _ in 0..own {
                    let flow = (first + at - 5) as usize;
                    assert!(
                        !std::mem::replace(&mut seen[flow], true),
                        "{flows} flows, {cpus} CPUs, step {step}"
                    );
                    at = (at + step) % own;
                }
            }
            assert!(seen.iter().all(|&seen| seen), "{flows} flows, {cpus} CPUs");
        }
    }

    #[test]
    fn cpus_that_open_flows_open_no_others() {
        let rows: Vec<_> = load(u32::MAX, u32::MAX, true).parts(2).collect();
        assert_eq!(rows, [[u32::MAX, u32::MAX / 2, 1, 0], [u32::MAX / 2 - 1, u32::MAX / 2 + 1, 1, 0]]);
    }
}
