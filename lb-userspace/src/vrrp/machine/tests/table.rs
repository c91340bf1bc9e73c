//! Every state and every event. Times are milliseconds from the event on.

use std::fmt::Write as _;

use super::*;

const PHASES: [&str; 5] = ["Initialize", "Backup", "Master", "Leaving", "Fault"];

/// A machine of that phase and the moment of the event.
fn in_phase(phase: &str, now: Instant) -> (Machine, Instant) {
    let (mut master, led) = master(now, &instance());
    match phase {
        "Initialize" => {
            let mut machine = Machine::new(&instance());
            machine.handle(now, Event::Source(Some(ip(OWN))));
            (machine, now)
        }
        "Backup" => (backup(now, &instance()), now + ms(1000)),
        "Master" => (master, led + ms(500)),
        "Leaving" => {
            does(&mut master, led + ms(500), Event::Stop);
            (master, led + ms(600))
        }
        "Fault" => {
            let mut machine = backup(now, &instance());
            does(&mut machine, now, Event::Fault(Some("eth0 is down".into())));
            (machine, now + ms(1000))
        }
        _ => panic!("no phase {phase}"),
    }
}

const fn phase(machine: &Machine) -> &'static str {
    match machine.phase {
        Phase::Initialize => "Initialize",
        Phase::Backup(_) => "Backup",
        Phase::Master(_) => "Master",
        Phase::Leaving(_) => "Leaving",
        Phase::Fault => "Fault",
    }
}

/// What happens; without an event it is a call of the timer, so long after it was due.
fn events() -> Vec<(&'static str, Result<Event, Duration>)> {
    vec![
        ("Start", Ok(Event::Start)),
        ("Heard 0", Ok(heard(LOWER, 0))),
        ("Heard 99", Ok(heard(HIGHER, 99))),
        ("Heard 100 lower", Ok(heard(LOWER, 100))),
        ("Heard 100 higher", Ok(heard(HIGHER, 100))),
        ("Heard 101", Ok(heard(LOWER, 101))),
        ("Heard other", Ok(heard_with(HIGHER, 101, |advert| advert.addresses[0] = ip("192.0.2.101")))),
        ("Refused", Ok(Event::Refused { source: Some(ip(LOWER)), reason: Refusal::Checksum })),
        ("Sent", Ok(Event::Sent)),
        ("Source other", Ok(Event::Source(Some(ip("192.0.2.21"))))),
        ("Source none", Ok(Event::Source(None))),
        ("Priority 50", Ok(Event::Priority(50))),
        ("Fault", Ok(Event::Fault(Some("eth0 is down".into())))),
        ("Fault none", Ok(Event::Fault(None))),
        ("Force Master", Ok(Event::Force(State::Master))),
        ("Force Backup", Ok(Event::Force(State::Backup))),
        ("Force Fault", Ok(Event::Force(State::Fault))),
        ("Group given way", Ok(Event::GroupGivenWay)),
        ("Group lower", Ok(Event::GroupHeardLower)),
        ("Stop", Ok(Event::Stop)),
        ("timer due", Err(Duration::ZERO)),
        ("timer late", Err(ms(500))),
        ("timer frozen", Err(ms(60_000))),
    ]
}

fn said(action: &Action, now: Instant) -> String {
    match action {
        Action::Advert { priority, .. } => format!("advert {priority}"),
        Action::Lease(Some(until)) => format!("lease {}", (*until - now).as_millis()),
        Action::Lease(None) => "no lease".into(),
        Action::Hold(true) => "hold".into(),
        Action::Hold(false) => "release".into(),
        Action::Burst { repeat } => format!("burst {repeat}"),
        Action::Changed { from, to, .. } => format!("{from}>{to}"),
        Action::HeardLower => "heard lower".into(),
        Action::Refused { reason, .. } => format!("refused {reason}"),
        Action::Stopped => "stopped".into(),
    }
}

#[test]
fn transition_table() {
    let mut table = String::new();
    for from in PHASES {
        table.push('\n');
        for (name, event) in events() {
            let (mut machine, mut now) = in_phase(from, Instant::now());
            match event {
                Ok(event) => machine.handle(now, event),
                Err(late) => {
                    now = machine.next_deadline().unwrap_or(now) + late;
                    machine.handle_timeout(now);
                }
            }
            let to = phase(&machine);
            let actions: Vec<_> = drain(&mut machine).iter().map(|action| said(action, now)).collect();
            let timer =
                machine.next_deadline().map(|at| (at - now).as_millis().to_string()).unwrap_or_default();
            let row = format!("{from:10} | {name:16} | {to:10} | {timer:>4} | {}", actions.join(", "));
            writeln!(table, "{}", row.trim_end()).unwrap();
        }
    }
    assert_eq!(table, TABLE, "{table}");
}

/// State, event, next state, time to the next timer, actions.
const TABLE: &str = "
Initialize | Start            | Backup     | 3609 | STOP>BACKUP
Initialize | Heard 0          | Initialize |      |
Initialize | Heard 99         | Initialize |      |
Initialize | Heard 100 lower  | Initialize |      |
Initialize | Heard 100 higher | Initialize |      |
Initialize | Heard 101        | Initialize |      |
Initialize | Heard other      | Initialize |      |
Initialize | Refused          | Initialize |      |
Initialize | Sent             | Initialize |      |
Initialize | Source other     | Initialize |      |
Initialize | Source none      | Initialize |      |
Initialize | Priority 50      | Initialize |      |
Initialize | Fault            | Initialize |      |
Initialize | Fault none       | Initialize |      |
Initialize | Force Master     | Initialize |      |
Initialize | Force Backup     | Initialize |      |
Initialize | Force Fault      | Initialize |      |
Initialize | Group given way  | Initialize |      |
Initialize | Group lower      | Initialize |      |
Initialize | Stop             | Initialize |      | stopped
Initialize | timer due        | Initialize |      |
Initialize | timer late       | Initialize |      |
Initialize | timer frozen     | Initialize |      |

Backup     | Start            | Backup     | 2609 |
Backup     | Heard 0          | Backup     |  609 |
Backup     | Heard 99         | Backup     | 2609 |
Backup     | Heard 100 lower  | Backup     | 3609 |
Backup     | Heard 100 higher | Backup     | 3609 |
Backup     | Heard 101        | Backup     | 3609 |
Backup     | Heard other      | Backup     | 2609 | refused addresses
Backup     | Refused          | Backup     | 2609 | refused checksum
Backup     | Sent             | Backup     | 2609 |
Backup     | Source other     | Backup     | 2609 |
Backup     | Source none      | Fault      |      | BACKUP>FAULT
Backup     | Priority 50      | Backup     | 2804 |
Backup     | Fault            | Fault      |      | BACKUP>FAULT
Backup     | Fault none       | Backup     | 2609 |
Backup     | Force Master     | Master     | 1000 | advert 100, hold, burst 5, BACKUP>MASTER
Backup     | Force Backup     | Backup     | 2609 |
Backup     | Force Fault      | Backup     | 2609 |
Backup     | Group given way  | Backup     | 1609 |
Backup     | Group lower      | Backup     | 2609 |
Backup     | Stop             | Initialize |      | BACKUP>STOP, stopped
Backup     | timer due        | Master     | 1000 | advert 100, hold, burst 5, BACKUP>MASTER
Backup     | timer late       | Backup     |    0 |
Backup     | timer frozen     | Backup     | 3609 |

Master     | Start            | Master     |  500 |
Master     | Heard 0          | Master     | 1000 | advert 100
Master     | Heard 99         | Master     | 1000 | advert 100, heard lower, burst 5
Master     | Heard 100 lower  | Master     | 1000 | advert 100, heard lower, burst 5
Master     | Heard 100 higher | Backup     | 3609 | no lease, release, MASTER>BACKUP
Master     | Heard 101        | Backup     | 3609 | no lease, release, MASTER>BACKUP
Master     | Heard other      | Master     |  500 | refused addresses
Master     | Refused          | Master     |  500 | refused checksum
Master     | Sent             | Master     |  500 |
Master     | Source other     | Master     |  500 |
Master     | Source none      | Fault      |      | no lease, release, MASTER>FAULT
Master     | Priority 50      | Master     |  500 |
Master     | Fault            | Fault      |      | advert 0, no lease, release, MASTER>FAULT
Master     | Fault none       | Master     |  500 |
Master     | Force Master     | Master     |  500 |
Master     | Force Backup     | Backup     | 3609 | advert 0, no lease, release, MASTER>BACKUP
Master     | Force Fault      | Master     |  500 |
Master     | Group given way  | Master     |  500 |
Master     | Group lower      | Master     |  500 | burst 5
Master     | Stop             | Leaving    | 1000 | advert 0, lease 1000
Master     | timer due        | Master     | 1000 | advert 100
Master     | timer late       | Master     | 1000 | advert 100
Master     | timer frozen     | Backup     | 3609 | no lease, release, MASTER>BACKUP

Leaving    | Start            | Leaving    |  900 |
Leaving    | Heard 0          | Leaving    |  900 |
Leaving    | Heard 99         | Leaving    |  100 | release, lease 100
Leaving    | Heard 100 lower  | Leaving    |  100 | release, lease 100
Leaving    | Heard 100 higher | Leaving    |  100 | release, lease 100
Leaving    | Heard 101        | Leaving    |  100 | release, lease 100
Leaving    | Heard other      | Leaving    |  900 | refused addresses
Leaving    | Refused          | Leaving    |  900 | refused checksum
Leaving    | Sent             | Leaving    |  900 |
Leaving    | Source other     | Leaving    |  900 |
Leaving    | Source none      | Initialize |      | no lease, release, MASTER>STOP, stopped
Leaving    | Priority 50      | Leaving    |  900 |
Leaving    | Fault            | Initialize |      | no lease, release, MASTER>STOP, stopped
Leaving    | Fault none       | Leaving    |  900 |
Leaving    | Force Master     | Leaving    |  900 |
Leaving    | Force Backup     | Leaving    |  900 |
Leaving    | Force Fault      | Leaving    |  900 |
Leaving    | Group given way  | Leaving    |  900 |
Leaving    | Group lower      | Leaving    |  900 |
Leaving    | Stop             | Leaving    |  900 |
Leaving    | timer due        | Initialize |      | no lease, release, MASTER>STOP, stopped
Leaving    | timer late       | Initialize |      | no lease, release, MASTER>STOP, stopped
Leaving    | timer frozen     | Initialize |      | no lease, release, MASTER>STOP, stopped

Fault      | Start            | Fault      |      |
Fault      | Heard 0          | Fault      |      |
Fault      | Heard 99         | Fault      |      |
Fault      | Heard 100 lower  | Fault      |      |
Fault      | Heard 100 higher | Fault      |      |
Fault      | Heard 101        | Fault      |      |
Fault      | Heard other      | Fault      |      |
Fault      | Refused          | Fault      |      |
Fault      | Sent             | Fault      |      |
Fault      | Source other     | Fault      |      |
Fault      | Source none      | Fault      |      |
Fault      | Priority 50      | Fault      |      |
Fault      | Fault            | Fault      |      |
Fault      | Fault none       | Backup     | 3609 | FAULT>BACKUP
Fault      | Force Master     | Fault      |      |
Fault      | Force Backup     | Fault      |      |
Fault      | Force Fault      | Fault      |      |
Fault      | Group given way  | Fault      |      |
Fault      | Group lower      | Fault      |      |
Fault      | Stop             | Initialize |      | FAULT>STOP, stopped
Fault      | timer due        | Fault      |      |
Fault      | timer late       | Fault      |      |
Fault      | timer frozen     | Fault      |      |
";
