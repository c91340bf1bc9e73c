//! What the verifier makes of the program, against a budget: a number that depends on the kernel's version and not on how busy
//! the machine is. It grows before the program becomes slow, and long before a kernel refuses it. The budget is that of
//! Linux 6.18, whose verifier follows more than that of 6.1.

use std::collections::BTreeMap;

use lb_common::{layout::MarkRule, sched::Scheduler};
use xlvs::plan::Wanted;

use crate::{
    bench::{Bench, service, service6},
    frame::{TCP, UDP},
    marks::ALL,
    persistence::persistent,
};

/// The instructions that the verifier may follow, by what the services need.
const BUDGET: &str = include_str!("../../fixtures/budget.json");

/// Services that need nothing of what others do not pay for.
fn plain() -> Vec<Wanted> {
    vec![service(UDP, 53, Scheduler::Rr, &[(1, 1)]), service6(TCP, 80, Scheduler::Wlc, &[(1, 1)])]
}

/// Services, and a rule for marks, that together need all of it.
fn everything() -> (Vec<Wanted>, [MarkRule; 1]) {
    let mut limited = service(TCP, 81, Scheduler::Lc, &[(1, 1)]);
    limited.servers[0].thresholds = [8, 4];
    let services = [
        plain(),
        vec![
            persistent(service(TCP, 21, Scheduler::Rr, &[(1, 1)]), 60),
            persistent(service(TCP, 0, Scheduler::Rr, &[(1, 1)]), 60),
            limited,
        ],
    ];
    (services.concat(), [MarkRule { mark: 1, ..ALL }])
}

fn verified(bench: &Bench) -> u32 {
    let program = bench.ebpf().program("xlvs").expect("the object has it");
    let info = program.info().expect("it is loaded");
    info.verified_instruction_count().expect("since Linux 5.16 it is told")
}

#[test]
fn the_verifier_follows_no_more_instructions_than_budgeted() {
    let budget: BTreeMap<String, u32> = serde_json::from_str(BUDGET).expect("the fixture is JSON");
    let (services, rules) = everything();
    let found = BTreeMap::from([
        ("plain".to_owned(), verified(&Bench::new(&plain()).expect("the program loads"))),
        (
            "everything".to_owned(),
            verified(&Bench::with_marks(&services, &rules, &[]).expect("the program loads")),
        ),
    ]);
    println!("instructions that the verifier followed: {found:?}");
    assert_eq!(budget.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
    for (what, most) in &budget {
        assert!(
            found[what] <= *most,
            "{what}: the verifier followed {} instructions, {most} are budgeted: find out what made the program larger, or \
             raise tests/fixtures/budget.json and say why",
            found[what]
        );
    }
}
