//! Each situation on a host of its own, all at the same time and of every row; what came of it is read from one log.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow};
use lb_tests::bad_cable::BadCable;
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::{Family, Plan, timed, wait, with_lab};

use super::host::{Host, write_program};
use super::journal::{Journal, LEVEL, Tail};
use super::judge::{Judge, Window};
use super::rows::{Outcome, ROWS, Row, STAYS, Whose};

/// The longest loop, timeout and retries of a row, and a slow machine.
const BOUND: Duration = Duration::from_secs(20);
/// Frames in the air come to an end: longer than any timeout of a row with packets.
const SILENCE: Duration = Duration::from_millis(700);
/// Each way, while a server is slow but in time.
const SLOW: Duration = Duration::from_millis(100);
/// Each way, while it is too slow.
const TOO_SLOW: Duration = Duration::from_millis(350);
/// Three probes of each row.
const FINE: Duration = Duration::from_secs(4);
/// More than any loop, and less than what any row forgives.
const FLAP: Duration = Duration::from_millis(1300);
/// Probes pass in between.
const BETWEEN_FLAPS: Duration = Duration::from_millis(2500);
/// Two probes of each row.
const LEAST: Duration = Duration::from_millis(2700);
const ROUNDS: usize = 3;

/// What is expected of every row while something lasts.
enum Expected {
    /// What it finds.
    Finds(fn(&Row) -> Outcome),
    /// That servers return which had left for this.
    Recovers(fn(&Row) -> Outcome),
    /// That failures are forgiven.
    Forgives,
}

/// A situation of one host that is over.
struct Scene {
    whose: Whose,
    name: &'static str,
    window: Window,
    /// There and back, of packets of probes that pass before it or in it.
    trip: Duration,
    expected: Expected,
}

/// One host, its cable, and what has happened to it.
struct Stage<'a> {
    host: Host<'a>,
    cable: BadCable,
    tail: &'a Mutex<Tail<'a>>,
    scenes: Vec<Scene>,
}

type Play = fn(&mut Stage<'_>) -> Result<()>;

/// A play for each host.
const PLAYS: [Play; 6] = [stays_healthy, goes_and_returns, falls_silent, is_slow, is_wrong, flaps];

fn stays_healthy(stage: &mut Stage<'_>) -> Result<()> {
    stage.lasts("healthy", 3 * FINE, Duration::ZERO, |_| Ok(()))
}

fn goes_and_returns(stage: &mut Stage<'_>) -> Result<()> {
    for _ in 0..ROUNDS {
        stage.breaks("gone", |row| row.refused, Duration::ZERO, |stage| stage.host.stop())?;
        stage.recovers("back", |row| row.refused, Duration::ZERO, |stage| stage.host.start())?;
    }
    Ok(())
}

fn falls_silent(stage: &mut Stage<'_>) -> Result<()> {
    for _ in 0..2 {
        stage.breaks("silent", |row| row.lost, Duration::ZERO, lose(true))?;
        stage.recovers("heard again", |row| row.lost, Duration::ZERO, lose(false))?;
    }
    Ok(())
}

fn is_slow(stage: &mut Stage<'_>) -> Result<()> {
    stage.lasts("slow", FINE, 2 * SLOW, hold(SLOW))?;
    stage.breaks("too slow", |row| row.late, 2 * SLOW, hold(TOO_SLOW))?;
    // What is in the air would come with the times of before.
    stage.cable.lose(true);
    thread::sleep(SILENCE);
    stage.cable.hold(SLOW);
    stage.recovers("slow again", |row| row.late, 2 * SLOW, lose(false))
}

fn is_wrong(stage: &mut Stage<'_>) -> Result<()> {
    stage.breaks("wrong", |row| row.wrong[0], Duration::ZERO, |stage| stage.host.be_wrong(false))?;
    stage.recovers("right", |row| row.wrong[0], Duration::ZERO, |stage| stage.host.be_right())?;
    stage.breaks(
        "wrong in another way",
        |row| row.wrong[1],
        Duration::ZERO,
        |stage| stage.host.be_wrong(true),
    )?;
    stage.recovers("right again", |row| row.wrong[1], Duration::ZERO, |stage| stage.host.be_right())
}

fn flaps(stage: &mut Stage<'_>) -> Result<()> {
    for _ in 0..ROUNDS {
        wait::check_interrupt()?;
        let began = SystemTime::now();
        stage.cable.lose(true);
        thread::sleep(FLAP);
        stage.cable.lose(false);
        let done = SystemTime::now();
        thread::sleep(BETWEEN_FLAPS);
        let window = Window { began, done, ended: SystemTime::now() };
        stage.note("flapping", window, Duration::ZERO, Expected::Forgives);
    }
    Ok(())
}

fn lose(loses: bool) -> impl FnOnce(&mut Stage<'_>) -> Result<()> {
    move |stage| {
        stage.cable.lose(loses);
        Ok(())
    }
}

fn hold(one_way: Duration) -> impl FnOnce(&mut Stage<'_>) -> Result<()> {
    move |stage| {
        stage.cable.hold(one_way);
        Ok(())
    }
}

impl Stage<'_> {
    /// Makes something so that no row minds, for a while.
    fn lasts(
        &mut self,
        name: &'static str,
        lasts: Duration,
        trip: Duration,
        make: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let began = SystemTime::now();
        make(self)?;
        let done = SystemTime::now();
        thread::sleep(lasts);
        let window = Window { began, done, ended: SystemTime::now() };
        self.note(name, window, trip, Expected::Finds(|_| STAYS));
        Ok(())
    }

    /// Makes something so, until every row has found it that minds.
    fn breaks(
        &mut self,
        name: &'static str,
        outcome: fn(&Row) -> Outcome,
        trip: Duration,
        make: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.until_all_are(false, name, outcome, trip, Expected::Finds(outcome), make)
    }

    /// The same until all have returned that had left for it.
    fn recovers(
        &mut self,
        name: &'static str,
        outcome: fn(&Row) -> Outcome,
        trip: Duration,
        make: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.until_all_are(true, name, outcome, trip, Expected::Recovers(outcome), make)
    }

    fn until_all_are(
        &mut self,
        is_in: bool,
        name: &'static str,
        outcome: fn(&Row) -> Outcome,
        trip: Duration,
        expected: Expected,
        make: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let began = SystemTime::now();
        make(self)?;
        let done = SystemTime::now();
        let whose = &self.host.whose;
        wait::until(&format!("{} to be {name}", whose.host), BOUND, || {
            let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
            tail.read()?;
            let concerned = ROWS.iter().filter(|row| outcome(row).reason.is_some());
            let mut missing =
                concerned.filter(|row| tail.journal.is_in(&row.name(whose), began) != Some(is_in));
            Ok(match missing.next() {
                Some(row) => ControlFlow::Continue(row.subject(whose)),
                None if done.elapsed().unwrap_or_default() < LEAST => {
                    ControlFlow::Continue("it was to last longer".to_owned())
                }
                None => ControlFlow::Break(()),
            })
        })?;
        self.note(name, Window { began, done, ended: SystemTime::now() }, trip, expected);
        Ok(())
    }

    fn note(&mut self, name: &'static str, window: Window, trip: Duration, expected: Expected) {
        self.scenes.push(Scene { whose: self.host.whose.clone(), name, window, trip, expected });
    }
}

impl Scene {
    /// What is not as it should be, and how many failures were forgiven.
    fn judge(&self, row: &Row, journal: &Journal) -> (Result<(), String>, usize) {
        let subject = row.subject(&self.whose);
        let timing = row.timing();
        let judge = |outcome| Judge {
            probes: journal.probes(&subject),
            moves: journal.moves(&row.name(&self.whose)),
            timing: &timing,
            takes: row.takes(outcome, self.trip),
            window: self.window,
        };
        let mut forgiven = 0;
        let judged = match self.expected {
            Expected::Finds(outcome) => match outcome(row).reason {
                Some(reason) => judge(outcome(row)).leaves(&self.whose.fill(row.family, reason)),
                None => judge(outcome(row)).stays(),
            },
            Expected::Recovers(outcome) if outcome(row).reason.is_some() => judge(outcome(row)).returns(),
            Expected::Recovers(_) => Ok(()),
            // A machine that did not wake the test in time has made a fault of it.
            Expected::Forgives if self.is_fault(row) => Ok(()),
            Expected::Forgives => judge(row.lost).forgives().map(|failures| forgiven = failures),
        };
        (judged.map_err(|problem| format!("{}, {subject}: {problem}", self.name)), forgiven)
    }

    /// Whether it lasted so long that servers leave.
    fn is_fault(&self, row: &Row) -> bool {
        let lasted = self.window.done.duration_since(self.window.began).unwrap_or_default();
        lasted >= *row.timing().leaving(row.takes(row.lost, self.trip)).after_probe.start()
    }
}

fn configuration(hosts: &[Host<'_>]) -> String {
    let files: String = hosts.iter().map(Host::track_file).collect();
    let checked = |row: &Row, service: VirtualServer, host: &Host<'_>| {
        service.checked_by(host.whose.address(row.family), 1, &row.check(&host.whose))
    };
    let service = |row: &Row| {
        let vip = hosts[0].whose.vip(row.family);
        let service = VirtualServer::new(vip, row.port, Protocol::Tcp, "rr");
        hosts.iter().fold(service, |service, host| checked(row, service, host)).to_string()
    };
    let services: String = ROWS.iter().map(service).collect();
    format!("global_defs {{\n script_user root\n}}\n{files}{services}")
}

/// Waits until every server has been probed and counts as up by that: the first probe is not retried.
fn wait_probed(tail: &Mutex<Tail<'_>>, hosts: &[Host<'_>]) -> Result<()> {
    wait::until("all servers to be probed", BOUND, || {
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.read()?;
        let both = hosts.iter().flat_map(|host| ROWS.iter().map(move |row| row.subject(&host.whose)));
        let passed = |subject: &String| {
            tail.journal.probes(subject).last().is_some_and(|probe| probe.failure.is_none())
        };
        let missing = both.filter(|subject| !passed(subject)).collect::<Vec<_>>();
        Ok(if missing.is_empty() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(missing.join(", "))
        })
    })
}

/// Plays all at once.
fn play(stages: &mut [Stage<'_>]) -> Result<()> {
    thread::scope(|scope| {
        let spawn = |(stage, play): (&mut Stage<'_>, Play)| play(stage);
        let plays: Vec<_> =
            stages.iter_mut().zip(PLAYS).map(|both| scope.spawn(move || spawn(both))).collect();
        let ends = plays.into_iter().map(|play| play.join().map_err(|_| anyhow!("a play panicked"))?);
        ends.collect::<Vec<_>>().into_iter().collect()
    })
}

/// Everything that is not as it should be.
fn problems(scenes: &[Scene], journal: &Journal) -> Vec<String> {
    let mut problems = Vec::new();
    for row in ROWS.iter() {
        let judged: Vec<_> = scenes.iter().map(|scene| scene.judge(row, journal)).collect();
        let forgiven: usize = judged.iter().map(|(_, forgiven)| forgiven).sum();
        if forgiven == 0 && row.lost.reason.is_some() {
            let Row { family, port, .. } = row;
            problems.push(format!("no failure of the {family:?} service on port {port} was forgiven"));
        }
        problems.extend(judged.into_iter().filter_map(|(judged, _)| judged.err()));
    }
    problems
}

#[test]
fn every_checker_finds_every_fault_in_time() -> Result<()> {
    timed::on_time(all_found)
}

/// Plays all rows; gives what is not as it should be.
fn all_found() -> Result<String> {
    let mut found = Vec::new();
    with_lab(&Plan::servers(PLAYS.len()).without_offload().dual_stack(), |lab| {
        let (dir, vips) = (lab.dir().to_owned(), Family::BOTH.map(|family| lab.vip_in(family)));
        write_program(&dir)?;
        let cables: Vec<BadCable> = lab
            .servers
            .iter()
            .map(|server| BadCable::insert(lab.switch(), "lan", server.name()))
            .collect::<Result<_>>()?;
        let hosts: Vec<Host<'_>> =
            lab.servers.iter_mut().map(|server| Host::open(server, &dir, vips)).collect::<Result<_>>()?;
        lab.director.set_options(&LEVEL);
        lab.director.start(&configuration(&hosts))?;
        let tail = Mutex::new(Tail::new(&lab.director));
        wait_probed(&tail, &hosts)?;
        let stage = |(host, cable)| Stage { host, cable, tail: &tail, scenes: Vec::new() };
        let mut stages: Vec<Stage<'_>> = hosts.into_iter().zip(cables).map(stage).collect();
        play(&mut stages)?;

        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.read()?;
        let scenes: Vec<Scene> = stages.iter_mut().flat_map(|stage| stage.scenes.drain(..)).collect();
        found = problems(&scenes, &tail.journal);
        Ok(())
    })?;
    Ok(found.join("\n"))
}
