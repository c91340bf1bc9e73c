//! More flows at once than a CPU has near places for find room as soon as a pass of the collector has seen that.

use std::{ops::ControlFlow, time::Duration};

use lb_common::{
    flow::{Bucket, Key4},
    sched::Scheduler,
};
use lb_tests::wait;

use crate::{
    beginnings::{UDP, datagram, resolved},
    bench::{self, Bench, action, pin_to, service},
};

/// Half as many again as there are near places, and less than half of all.
const FLOWS: u16 = 36_000;
const SLOTS: u32 = 1 << 17;
/// A CPU that found next to nothing in a moment rests for eight seconds.
const LONG: Duration = Duration::from_mins(2);

fn send(bench: &Bench) {
    let program = bench.program().expect("loaded");
    for flow in 0..FLOWS {
        let [high, low] = flow.to_be_bytes();
        let frame = datagram(([192, 0, high, low], 4000), 53);
        let (action, _frame) = bench::run(program, &frame).expect("the frame runs");
        assert_eq!(action, action::TX, "flow {flow}");
    }
}

/// The part of the flows for which a moment has no room, so that they are looked for in the table; none if it was over too soon.
fn without_room(bench: &Bench) -> Option<f64> {
    let moment = bench::tick().expect("a clock");
    // Opened, looked up, and kept where there is room.
    (0..3).for_each(|_packet| send(bench));
    bench.clear::<{ size_of::<Bucket<Key4>>() }>("flows4").expect("a map");
    send(bench);
    let recorded = bench.count_slots(|_| true).expect("a map");
    (bench::tick().expect("a clock") == moment).then(|| recorded as f64 / f64::from(FLOWS))
}

#[test]
fn a_crowd_of_flows_is_given_room() {
    pin_to(0).expect("the CPU is there");
    let wanted = [service(UDP, 53, Scheduler::Rr, &[(1, 1), (2, 1)])];
    let bench = resolved(Bench::with_flow_slots(&wanted, SLOTS).expect("the program loads"));
    let flows = bench.flows().expect("maps");
    // Until a pass has been made nothing changes.
    for (what, expected, is_collected) in [
        ("a moment that has no room for many flows", 0.25..0.45, false),
        ("room for nearly all of them", 0.0..0.05, true),
    ] {
        let found = wait::until(what, LONG, || {
            let part = without_room(&bench);
            if is_collected {
                flows.collect(0..flows.rows(), bench::tick()?);
            }
            Ok(match part {
                Some(part) if expected.contains(&part) => ControlFlow::Break(()),
                part => ControlFlow::Continue(format!("found no room: {part:?}")),
            })
        });
        found.unwrap_or_else(|error| panic!("{error:#}"));
    }
}
