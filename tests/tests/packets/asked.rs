//! Who is looked up where a pool is settled: whoever is asked after, and of datagrams those of flows that were not seen lately, but
//! where there are many.

use aya::util::nr_cpus;
use lb_common::{
    flow::{Bucket, Key4, Looks, Slot, State},
    sched::Scheduler,
};

use crate::{
    beginnings::{TCP, UDP, resolved},
    bench::{self, Bench, array, pin_to, service},
    settled::{
        CLIENTS, FEW, THREE, acknowledges, age, all, asks, director, forget_moment, in_one_spell, opens,
        settle, settled, talk,
    },
};

/// A CPU that had so many packets in the last tick that it looks for few of them, unless so many flows began, and had some in this one.
fn busy(begun: u32, packets: usize) -> Looks {
    let (mut looks, now) = (Looks::default(), bench::tick().expect("a clock"));
    let mut had = |tick, packets| (0..packets).filter(|_packet| looks.is_due(tick)).count();
    had(now - 1, 1 << 18);
    had(now, packets);
    (0..begun).for_each(|_flow| looks.begun());
    looks
}

fn set_looks(bench: &Bench, looks: Looks) -> anyhow::Result<()> {
    let mut rows = array::<{ size_of::<Looks>() }>(bench.ebpf(), "looks")?;
    let cpus = nr_cpus().map_err(|(_file, error)| error)?;
    (0..cpus).try_for_each(|cpu| Ok(rows.set(cpu as u32, bytemuck::cast::<_, [u8; _]>(looks), 0)?))
}

#[test]
fn where_there_are_many_packets_and_hardly_a_flow_begins_few_are_looked_for() {
    in_one_spell(|| {
        let mut bench = director(&[service(UDP, 53, Scheduler::Mh, THREE)]);
        let servers = talk(&bench, asks);
        settle(&bench);
        assert_eq!(settled(&bench), 1);
        let forget_all = |bench: &Bench| {
            bench.clear::<8>("lately").expect("a map");
            bench.clear::<{ size_of::<Bucket<Key4>>() }>("flows4").expect("maps");
        };
        let send = |bench: &mut Bench, looks: Looks| {
            forget_moment(bench);
            set_looks(bench, looks).expect("the row of each CPU");
            assert_eq!(all(bench, asks), servers, "by the ring");
        };
        let recorded = |bench: &mut Bench, looks: Looks| {
            send(bench, looks);
            bench.count_slots(|_| true).expect("maps")
        };
        forget_all(&bench);
        let first = recorded(&mut bench, busy(0, 0));
        assert!(first < FEW, "{first} were looked for");
        let mut had = 0;
        let mut go_on = || {
            had += CLIENTS.len();
            busy(0, had)
        };
        let are_all = (1..40).any(|_several| {
            (1..10).for_each(|_round| send(&mut bench, go_on()));
            recorded(&mut bench, go_on()) == CLIENTS.len()
        });
        assert!(are_all, "one is never looked for");
        // Between two ticks, after which what the CPU knows is another.
        let are_asked_after = (0..20).filter(|_round| {
            forget_all(&bench);
            let begun = recorded(&mut bench, go_on());
            send(&mut bench, go_on());
            let steady = bench.count_slots(|slot| slot.state() == State::Udp).expect("maps");
            (1..=steady).contains(&begun)
        });
        assert!(are_asked_after.count() > 10, "who begins is not asked after");
        forget_all(&bench);
        assert_eq!(
            recorded(&mut bench, busy(1 << 13, 0)),
            CLIENTS.len(),
            "where flows begin each is looked for"
        );
    });
}

#[test]
fn where_few_are_looked_for_the_silent_are_asked_after() {
    let rows = [
        (true, 0, 0..FEW),
        (true, 200, 0..FEW),
        // But for those that are looked for.
        (true, 215, CLIENTS.len() - 2..CLIENTS.len() + 1),
        (false, 215, 0..FEW),
    ];
    for (is_busy, silence, expected) in rows {
        let looks = || if is_busy { busy(0, 1) } else { Looks::default() };
        let found = in_one_spell(|| {
            let mut bench = director(&[service(UDP, 53, Scheduler::Mh, THREE)]);
            settle(&bench);
            talk(&bench, asks);
            all(&bench, asks);
            age(&bench, silence).expect("maps");
            set_looks(&bench, looks()).expect("the row of each CPU");
            let flows = bench.flows().expect("maps");
            flows.collect(0..flows.rows(), bench::tick().expect("a clock"));
            forget_moment(&mut bench);
            bench.clear::<{ size_of::<Bucket<Key4>>() }>("flows4").expect("maps");
            set_looks(&bench, busy(0, 0)).expect("the row of each CPU");
            all(&bench, asks);
            bench.count_slots(|_| true).expect("maps")
        });
        assert!(expected.contains(&found), "{found} were looked up after {silence} ticks");
    }
}

#[test]
fn a_segment_is_looked_up_only_where_its_flow_is_asked_after() {
    let mut bench = director(&[service(TCP, 80, Scheduler::Mh, THREE)]);
    settle(&bench);
    all(&bench, opens);
    let servers = talk(&bench, acknowledges);
    let established = |slot: &Slot<Key4>| slot.state() == State::Established;
    assert_eq!(bench.count_slots(established).expect("maps"), CLIENTS.len(), "who began was asked after");
    let looked_up = |bench: &mut Bench| {
        forget_moment(bench);
        bench.clear::<{ size_of::<Bucket<Key4>>() }>("flows4").expect("maps");
        assert_eq!(all(bench, acknowledges), servers);
        bench.count_slots(|_| true).expect("maps")
    };
    let pass = |bench: &Bench| {
        let flows = bench.flows().expect("maps");
        flows.collect(0..flows.rows(), bench::tick().expect("a clock"));
    };
    for (silence, expected) in [(0, 0..FEW), (100, 0..FEW), (110, CLIENTS.len()..CLIENTS.len() + 1)] {
        forget_moment(&mut bench);
        bench.clear::<{ size_of::<Bucket<Key4>>() }>("flows4").expect("maps");
        all(&bench, opens);
        talk(&bench, acknowledges);
        age(&bench, silence).expect("maps");
        pass(&bench);
        let found = looked_up(&mut bench);
        assert!(expected.contains(&found), "{found} were looked up after {silence} ticks");
    }
    // Who is heard of is asked after no longer.
    forget_moment(&mut bench);
    all(&bench, opens);
    talk(&bench, acknowledges);
    age(&bench, 110).expect("maps");
    pass(&bench);
    forget_moment(&mut bench);
    talk(&bench, acknowledges);
    let is_heard_of = |slot: &Slot<Key4>| bench::tick().is_ok_and(|now| now - slot.seen < 110);
    assert_eq!(bench.count_slots(is_heard_of).expect("maps"), CLIENTS.len());
    let found = looked_up(&mut bench);
    assert!(found < FEW, "{found} were looked up though they had been");
}

/// A service of so few buckets that flows lie in others than their own, with room for all.
fn crowded() -> Bench {
    let spilled = |bucket: anyhow::Result<Bucket<Key4>>| bucket.expect("a map").slots[0].spilled;
    // Where flows lie is another each time.
    let benches = (0..100).map(|_time| {
        pin_to(0).expect("the CPU is there");
        let wanted = [service(UDP, 53, Scheduler::Mh, THREE)];
        let mut bench = resolved(Bench::with_flow_slots(&wanted, 128).expect("the program loads"));
        talk(&bench, asks);
        settle(&bench);
        forget_moment(&mut bench);
        bench
    });
    let is_such = |bench: &Bench| {
        bench.buckets().expect("a map").map(spilled).any(|flows| flows > 0)
            && bench.count_slots(|_| true).expect("maps") == CLIENTS.len()
    };
    benches.into_iter().find(is_such).expect("most of them are such")
}

#[test]
fn a_flow_in_another_bucket_is_not_taken_for_one_that_begins() {
    let mut bench = crowded();
    assert_eq!(settled(&bench), 1);
    let begun = |bench: &mut Bench| {
        bench.clear::<8>("lately").expect("a map");
        set_looks(bench, Looks::default()).expect("the row of each CPU");
        forget_moment(bench);
        all(bench, asks);
        let looks = bench.rows::<[u32; 16], { size_of::<Looks>() }>("looks").expect("a map");
        looks.iter().map(|[_tick, _seldom, _packets, begun, ..]| begun).sum::<u32>()
    };
    assert_eq!(begun(&mut bench), 0, "all are looked up and there");
    bench.clear::<{ size_of::<Bucket<Key4>>() }>("flows4").expect("maps");
    assert!(begun(&mut bench) > 0, "now they begin");
}
