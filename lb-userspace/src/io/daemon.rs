//! The director's loop: waits for netlink, checks, questions and signals, and lets `control` decide.

mod by_hand;
mod reload;
mod told;
mod ways;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Instant,
};

use anyhow::anyhow;
use lb_common::layout::Stats;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    time::MissedTickBehavior,
};
use tracing::{error, info, warn};

use self::{
    reload::InForce,
    ways::{addresses, first_resolutions, names, way},
};
use super::{
    adm::{Kept, SLICES, Sight},
    background::Start,
    bpf_log::{self, Forwarding},
    check::{Checks, Credentials, Ruling},
    collector::Collector,
    datapath::{Datapath, Mode, OBJECT, Prepared, Settings},
    descriptors,
    effective::{self, Effective, leases, marks, owned, resting, timeouts},
    links::{self, Link, LinkChange},
    metrics::{self, Exporter},
    nexthop::{NextHops, Resolution, Resolutions},
    parking::EarlyFragments,
    report,
    roles::{Roles, Turn},
    socket::{self, Ask},
    source::Source,
    tell::Teller,
};
use crate::{
    adm,
    config::Config,
    control::{Action, Director, Event},
    health::Delays,
    plan::ServiceKey,
    vrrp::Numbers,
};

/// What a director is started with.
#[derive(Debug)]
pub struct Options {
    /// Where the configuration comes from, now and at a reload.
    pub source: Source,
    /// The configuration.
    pub config: Config,
    /// Interfaces to forward through; those of the configuration if it is empty.
    pub interfaces: Vec<String>,
    /// How the program is attached.
    pub mode: Mode,
    /// Directory of the control socket.
    pub state_dir: PathBuf,
    /// Directory of the pinned maps.
    pub pin_dir: PathBuf,
    /// Flows that the table holds at most.
    pub flow_slots: u32,
    /// Where monitoring reads, if it does.
    pub metrics: Option<SocketAddr>,
    /// The program logs its decisions.
    pub debug_bpf: bool,
    /// Who waits until it is ready.
    pub start: Start,
}

/// Runs a director until TERM or INT.
///
/// # Errors
/// Whatever keeps it from starting; then the program is not attached.
pub async fn run(mut options: Options) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    // On these keepalived writes what it knows to files.
    let mut asked = [
        signal(SignalKind::user_defined1())?,
        signal(SignalKind::user_defined2())?,
        signal(SignalKind::from_raw(libc::SIGRTMIN() + 2))?,
        signal(SignalKind::from_raw(libc::SIGRTMAX() - 1))?,
    ];
    let start = std::mem::take(&mut options.start);
    let (mut daemon, mut inputs) = Daemon::start(options).await?;
    info!(interfaces = ?daemon.names(), mode = %daemon.mode, services = daemon.director.services.len(), "ready");
    start.tell();
    inputs.teller.services_changed(daemon.director.take_news());
    let mut failure = None;
    // Nothing is heard of real servers any more.
    let mut is_blind = false;
    let mut samples = tokio::time::interval(adm::SAMPLE / SLICES);
    samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = terminate.recv() => if inputs.roles.stop() { break },
            _ = interrupt.recv() => if inputs.roles.stop() { break },
            () = any(&mut asked) => info!("what this signal asks for tells `xlvs status`, or `xlvs status --json`"),
            _ = hangup.recv() => drop(daemon.reload(&mut inputs).await),
            news = inputs.roles.next() => match inputs.roles.handle(news, &inputs.teller).await {
                Ok(Turn::Running) => daemon.rest_checks(&inputs.roles),
                Ok(Turn::Stopped) => break,
                Err(error) => {
                    failure.get_or_insert(error);
                    break;
                }
            },
            // Of a forgotten address something may still be in the channel.
            Some((address, resolution)) = inputs.ways.recv() => if daemon.director.names(address) {
                daemon.way(address, resolution);
                inputs.teller.services_changed(daemon.director.take_news());
            },
            ruling = inputs.rulings.recv(), if !is_blind => if let Some(ruling) = ruling {
                daemon.ruling(ruling);
                inputs.teller.services_changed(daemon.director.take_news());
            } else {
                is_blind = true;
                let gone = anyhow!("the thread that checks real servers is gone");
                error!("stopping, so that another node takes over: {gone}");
                failure.get_or_insert(gone);
                if inputs.roles.stop() {
                    break;
                }
            },
            Some(change) = inputs.links.recv() => if let Err(error) = daemon.link(&change) {
                error!("stopping, so that another node takes over: {error:#}");
                failure.get_or_insert(error);
                inputs.roles.stop();
            },
            Some(ask) = inputs.asks.recv() => daemon.answer(ask, &mut inputs).await,
            _ = samples.tick() => daemon.sample(),
        }
    }
    inputs.teller.services_end(&daemon.director);
    inputs.roles.finish(inputs.teller).await;
    daemon.stop();
    info!("stopped");
    failure.map_or(Ok(()), Err)
}

/// Waits for one of several signals.
async fn any(signals: &mut [Signal; 4]) {
    let [one, two, three, four] = signals;
    tokio::select! {
        _ = one.recv() => {}
        _ = two.recv() => {}
        _ = three.recv() => {}
        _ = four.recv() => {}
    }
}

/// Everything the loop waits for. Each channel is bounded; what happens when it is full stands at its sender.
struct Inputs {
    ways: mpsc::Receiver<(IpAddr, Resolution)>,
    rulings: mpsc::Receiver<Ruling>,
    links: mpsc::Receiver<LinkChange>,
    asks: mpsc::Receiver<Ask>,
    roles: Roles,
    teller: Teller,
}

struct Daemon {
    source: Source,
    /// What the file said when it was read last.
    file: Config,
    /// What is in force: what the file says, with what was changed by hand.
    config: Config,
    kept: Kept,
    in_force: InForce,
    numbers: Numbers,
    director: Director,
    datapath: Datapath,
    /// What the services' real servers had counted that are gone.
    retired: BTreeMap<ServiceKey, Stats>,
    /// Those that were named on the command line.
    named: Vec<String>,
    interfaces: Vec<Link>,
    /// Those of them that are not there.
    gone: BTreeSet<String>,
    /// The program is not made for the interfaces as they are.
    is_outdated: bool,
    mode: Mode,
    since: Instant,
    socket: PathBuf,
    next_hops: NextHops,
    /// What is known of the real servers' addresses; the checks see it too.
    resolutions: watch::Sender<Resolutions>,
    checks: Checks,
    effective: Effective,
    /// How long after a ruling the maps were as it wants.
    effect: Delays,
    /// The services whose checks rest.
    resting: BTreeSet<ServiceKey>,
    /// None while the program's place is taken by another, and should that fail.
    collector: Option<Collector>,
    /// Likewise.
    early_fragments: Option<EarlyFragments>,
    /// The program's log, where it was asked for.
    log: Option<Forwarding>,
    /// It ends with the daemon.
    _exporter: Option<Exporter>,
}

impl Daemon {
    async fn start(options: Options) -> anyhow::Result<(Self, Inputs)> {
        descriptors::raise();
        let credentials = Credentials::load(&options.config, &options.config)?;
        let metrics = options.metrics.map(metrics::bind).transpose()?;
        let numbers = Numbers::default().assign(&options.config.vrrp);
        let (wanted, effective) = effective::effective(&options.config, &numbers, &Effective::default());
        let mut interfaces = Vec::new();
        for name in names(&options.source, &options.interfaces, &options.config)? {
            interfaces.push(links::find(&name).await?);
        }
        let addresses = addresses(&wanted);
        let links = links::watch(interfaces.iter().map(|link| link.name.clone()))?;
        let (next_hops, mut ways) = NextHops::start(addresses.iter().copied())?;

        let settings = Settings {
            object: OBJECT,
            pins: options.pin_dir,
            mode: options.mode,
            flow_slots: options.flow_slots,
            debug: options.debug_bpf,
            interfaces: interfaces.clone(),
            leases: leases(&options.config, &numbers),
            marks: marks(&options.config),
            owned: owned(&options.config, &numbers),
        };
        let mut prepared = Prepared::new(settings, &wanted)?;
        let mut director = Director::new(&wanted, &prepared.allocation);
        let resolutions: Resolutions = first_resolutions(&mut ways, addresses).await.into_iter().collect();
        for (address, resolution) in &resolutions {
            director.handle(&Event::Way(*address, way(&interfaces, resolution)));
        }
        director.everything().iter().for_each(|action| prepared.apply(action));
        let mut datapath = prepared.attach()?;
        datapath.set_timeouts(&timeouts(&options.config, datapath.timeouts()));
        let log = if options.debug_bpf {
            Some(bpf_log::forward(datapath.ebpf_mut()).inspect_err(|_| datapath.stop())?)
        } else {
            None
        };
        let (resolutions, known) = watch::channel(resolutions);
        let (checks, rulings) = Checks::start(known).inspect_err(|_| datapath.stop())?;
        checks.show(credentials);
        let resting = resting(&options.config, &numbers, |_| false);
        checks.set(effective.checklist.specs_while(&resting), &options.config.vrrp.globals);
        let collector = datapath.flows().and_then(Collector::start).inspect_err(|_| datapath.stop())?;
        let early_fragments =
            datapath.early().and_then(EarlyFragments::start).inspect_err(|_| datapath.stop())?;
        let (asking, asks) = socket::questions();
        let exporter = metrics.map(|listener| Exporter::start(listener, asking.clone()));
        let exporter = exporter.transpose().inspect_err(|_| datapath.stop())?;
        socket::listen(&options.state_dir, asking).inspect_err(|_| datapath.stop())?;
        let retired = BTreeMap::new();
        let kept = Kept::new(&Sight { director: &director, datapath: &datapath, retired: &retired });
        let mut daemon = Self {
            in_force: InForce::now(),
            source: options.source,
            file: options.config.clone(),
            config: options.config,
            kept,
            numbers,
            director,
            datapath,
            retired,
            named: options.interfaces,
            interfaces,
            gone: BTreeSet::new(),
            is_outdated: false,
            mode: options.mode,
            since: Instant::now(),
            socket: socket::path(&options.state_dir),
            next_hops,
            resolutions,
            checks,
            effective,
            effect: Delays::default(),
            resting,
            collector: Some(collector),
            early_fragments: Some(early_fragments),
            log,
            _exporter: exporter,
        };
        let started = Teller::start(&daemon.config).and_then(|teller| {
            let roles = Roles::start(&daemon.config.vrrp, &daemon.numbers, daemon.datapath.leases())?;
            Ok((roles, teller))
        });
        match started {
            Ok((roles, teller)) => Ok((daemon, Inputs { ways, rulings, links, asks, roles, teller })),
            Err(error) => {
                daemon.stop();
                Err(error)
            }
        }
    }

    fn names(&self) -> Vec<&str> {
        self.interfaces.iter().map(|link| link.name.as_str()).collect()
    }

    /// Has the checks rest or go on of services whose addresses come and go with a mastership.
    fn rest_checks(&mut self, roles: &Roles) {
        let resting = resting(&self.config, &self.numbers, |router| roles.is_master(router));
        if resting != self.resting {
            self.checks.set(self.effective.checklist.specs_while(&resting), &self.config.vrrp.globals);
            self.resting = resting;
        }
    }

    fn way(&mut self, address: IpAddr, resolution: Resolution) {
        let way = way(&self.interfaces, &resolution);
        self.resolutions.send_modify(|known| drop(known.insert(address, resolution)));
        self.event(&Event::Way(address, way));
    }

    fn ruling(&mut self, Ruling { check, verdict, at }: Ruling) {
        self.event(&Event::Check(check, verdict));
        self.effect.note(at.elapsed());
    }

    fn event(&mut self, event: &Event) {
        let mut changed = BTreeSet::new();
        for action in self.director.handle(event) {
            self.datapath.apply(&action);
            if let Action::Server { row, .. } = action {
                changed.insert(row);
            }
        }
        if !changed.is_empty() {
            report::servers_changed(self.director.concerned(event), &changed);
        }
    }

    async fn answer(&mut self, ask: Ask, inputs: &mut Inputs) {
        // A client that went away meanwhile needs no answer; what it wants changed is changed.
        match ask {
            Ask::Status(answer) if answer.is_closed() => {}
            Ask::Status(answer) => {
                let routers = inputs.roles.report().await;
                let _gone = answer.send(self.status(routers.as_deref()));
            }
            Ask::Events(answer) => {
                let _gone = answer.send(inputs.teller.follow());
            }
            Ask::Reload(answer) => {
                let _gone = answer.send(self.reload(inputs).await);
            }
            Ask::Table(templates, scope, answer) => {
                let _gone = answer.send(self.table(&templates, &scope));
            }
            Ask::Explain(question, answer) => {
                let routers = inputs.roles.report().await.unwrap_or_default();
                let _gone = answer.send(self.explain(&question, &routers));
            }
            Ask::Flows(answer) => {
                let _gone = answer.send(self.collector.as_ref().map(Collector::maps));
            }
            Ask::Change(commands, answer) => {
                let _gone = answer.send(self.change(&commands, inputs).await);
            }
        }
    }

    fn stop(&mut self) {
        self.datapath.stop();
        if let Err(error) = std::fs::remove_file(&self.socket) {
            warn!("{}: {error}", self.socket.display());
        }
    }
}
