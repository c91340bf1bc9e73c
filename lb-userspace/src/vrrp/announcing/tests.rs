use proptest::prelude::*;

use super::*;

const NONE: Spacing = Spacing { garp: Duration::ZERO, gna: Duration::ZERO };
const MS: Duration = Duration::from_millis(1);

fn v4(last: u8) -> IpAddr {
    IpAddr::from([192, 168, 56, last])
}

fn v6(last: u16) -> IpAddr {
    IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last])
}

fn drain(queue: &mut Queue, now: Instant) -> Vec<(usize, IpAddr)> {
    std::iter::from_fn(|| queue.pop(now)).map(|(router, address)| (router.0, address)).collect()
}

#[test]
fn every_address_is_announced_once_before_any_is_again() {
    let now = Instant::now();
    let mut queue = Queue::default();
    queue.push(now, RouterId(0), "eth0", &[v4(1), v4(2)], 2, NONE);
    queue.push(now, RouterId(1), "eth1", &[v4(3), v6(4)], 3, NONE);
    assert_eq!(queue.next_deadline(), Some(now));
    let round = [(0, v4(1)), (0, v4(2)), (1, v4(3)), (1, v6(4))];
    let expected = [&round[..], &round[..], &round[2..]].concat();
    assert_eq!(drain(&mut queue, now), expected);
    assert_eq!(queue.next_deadline(), None);
}

#[test]
fn messages_of_one_kind_on_one_interface_keep_their_distance() {
    let start = Instant::now();
    let mut queue = Queue::default();
    let spacing = Spacing { garp: MS * 10, gna: MS * 25 };
    queue.push(start, RouterId(0), "eth0", &[v4(1), v6(1)], 2, spacing);
    queue.push(start, RouterId(1), "eth0", &[v4(2)], 1, spacing);
    let mut sent = Vec::new();
    while let Some(at) = queue.next_deadline() {
        for message in drain(&mut queue, at) {
            sent.push(((at - start).as_millis(), message));
        }
    }
    let expected = [(0, (0, v4(1))), (0, (0, v6(1))), (10, (1, v4(2))), (20, (0, v4(1))), (25, (0, v6(1)))];
    assert_eq!(sent, expected);
}

#[test]
fn the_distance_counts_from_a_burst_that_is_over() {
    let start = Instant::now();
    let mut queue = Queue::default();
    let spacing = Spacing { garp: MS * 10, gna: Duration::ZERO };
    queue.push(start, RouterId(0), "eth0", &[v4(1)], 1, spacing);
    assert_eq!(drain(&mut queue, start).len(), 1);
    queue.push(start + MS, RouterId(0), "eth0", &[v4(1)], 1, spacing);
    assert_eq!(drain(&mut queue, start + MS), []);
    assert_eq!(queue.next_deadline(), Some(start + MS * 10));
}

#[test]
fn a_late_caller_gets_one_message_and_not_those_it_missed() {
    let start = Instant::now();
    let mut queue = Queue::default();
    queue.push(start, RouterId(0), "eth0", &[v4(1)], 5, Spacing { garp: MS * 10, gna: Duration::ZERO });
    assert_eq!(drain(&mut queue, start + MS * 500).len(), 1);
    assert_eq!(queue.next_deadline(), Some(start + MS * 510));
}

#[test]
fn a_new_burst_replaces_what_is_left_of_the_old_one() {
    let now = Instant::now();
    let mut queue = Queue::default();
    queue.push(now, RouterId(0), "eth0", &[v4(1), v4(2)], 5, NONE);
    assert!(queue.pop(now).is_some());
    queue.push(now, RouterId(0), "eth0", &[v4(1), v4(2)], 1, NONE);
    assert_eq!(drain(&mut queue, now), [(0, v4(1)), (0, v4(2))]);
}

#[test]
fn a_router_that_stops_holding_says_no_more() {
    let now = Instant::now();
    let mut queue = Queue::default();
    queue.push(now, RouterId(0), "eth0", &[v4(1), v6(1)], 5, NONE);
    queue.push(now, RouterId(1), "eth0", &[v4(2)], 1, NONE);
    queue.cancel(RouterId(0));
    assert_eq!(drain(&mut queue, now), [(1, v4(2))]);
}

proptest! {
    #[test]
    fn each_lane_keeps_its_distance_and_a_burst_is_sent_whole(
        bursts in prop::collection::vec((0_usize..4, prop::collection::vec(0_u8..4, 0..4), 0_u32..4, 0_u64..30), 0..20),
    ) {
        let mut now = Instant::now();
        let mut queue = Queue::default();
        let spacing = Spacing { garp: MS * 10, gna: MS * 10 };
        let mut last: Option<Instant> = None;
        let mut sent = 0;
        let mut owed: BTreeMap<usize, usize> = BTreeMap::new();
        for (router, addresses, repeat, millis) in bursts {
            let addresses: Vec<_> = addresses.into_iter().map(v4).collect();
            queue.push(now, RouterId(router), "eth0", &addresses, repeat, spacing);
            if !addresses.is_empty() {
                owed.insert(router, addresses.len() * repeat as usize);
            }
            now += MS * u32::try_from(millis).unwrap();
            while let Some((router, _)) = queue.pop(now) {
                prop_assert!(last.is_none_or(|last| now >= last + spacing.garp));
                last = Some(now);
                *owed.get_mut(&router.0).unwrap() -= 1;
                sent += 1;
            }
        }
        let left: usize = owed.values().sum();
        for _ in 0..left {
            now = now.max(queue.next_deadline().unwrap());
            prop_assert!(queue.pop(now).is_some());
            sent += 1;
        }
        prop_assert_eq!(queue.next_deadline(), None, "after {} messages", sent);
    }
}
