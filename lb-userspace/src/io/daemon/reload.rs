//! The order of a reload: read, compare, let what is new be found first, change what forwards, then everything around it.
//! Until the file is understood and the program has its maps, nothing is touched; what does not change never is.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use lb_common::layout::Stats;
use tracing::{error, info, warn};

use super::{
    Daemon, Effective, Inputs, bpf_log, effective, leases, links, marks, names, owned, resting, timeouts, way,
};
use crate::{
    adm,
    config::Config,
    control::{Director, News, Way},
    event::What,
    io::{
        check::Credentials,
        collector::Collector,
        datapath::{Prepared, Settings},
        links::Link,
        parking::EarlyFragments,
        report,
        source::{Loaded, Refusal, Source},
    },
    plan::{Allocation, Difference, ServiceKey, Wanted, changes},
    status::{Configuration, Failure, Reload},
    vrrp::{self, Numbers},
};

/// Lines about changes that go to the log; the answer to `xlvs reload` has all of them.
const LOGGED: usize = 50;

/// Which configuration is in force, and what came of the last try to change it.
#[derive(Debug)]
pub(super) struct InForce {
    since: Instant,
    reloads: u64,
    failures: u64,
    failed: Option<(Instant, Failure)>,
}

impl InForce {
    pub(super) fn now() -> Self {
        Self { since: Instant::now(), reloads: 0, failures: 0, failed: None }
    }

    /// For the status of this moment.
    pub(super) fn configuration(&self, source: &Source) -> Configuration {
        let failure = self
            .failed
            .as_ref()
            .map(|(at, failure)| Failure { seconds: at.elapsed().as_secs(), ..failure.clone() });
        Configuration {
            file: source.path().display().to_string(),
            seconds: self.since.elapsed().as_secs(),
            reloads: self.reloads,
            failures: self.failures,
            failure,
        }
    }

    fn note(&mut self, reload: &Reload, is_another: bool) {
        self.failed = reload.failure.clone().map(|failure| (Instant::now(), failure));
        self.failures += u64::from(reload.failure.is_some());
        if reload.failure.is_none() && is_another {
            self.since = Instant::now();
            self.reloads += 1;
        }
    }
}

/// What is to be in force.
struct Next {
    config: Config,
    numbers: Numbers,
    effective: Effective,
    /// From the services that run.
    difference: Difference,
    allocation: Allocation,
    /// None if they stay.
    interfaces: Option<Vec<Link>>,
}

impl Daemon {
    /// Reads the file again and puts into force what it says; where that fails, everything stays as it is.
    pub(super) async fn reload(&mut self, inputs: &mut Inputs) -> Reload {
        let begin = Instant::now();
        let (reload, is_another) = match self.source.load() {
            Ok(Loaded { config, diagnostics }) => {
                let mut reload = Reload { diagnostics, ..Reload::default() };
                let config = config.sharing(&self.file);
                let next = adm::merge(&self.file, &self.config, config.clone());
                let is_another = next != self.config;
                match self.adopt(next, &config, inputs, &mut reload).await {
                    Ok(()) => self.file = config,
                    Err(error) => {
                        let reason = format!("{error:#}");
                        reload = Reload { diagnostics: reload.diagnostics, ..failed(reason, false) };
                    }
                }
                (reload, is_another)
            }
            Err(Refusal { reason, diagnostics }) => (Reload { diagnostics, ..failed(reason, true) }, false),
        };
        self.in_force.note(&reload, is_another);
        log(&reload, begin.elapsed());
        inputs.teller.event(told(&reload, self.source.path().display().to_string()));
        reload
    }

    /// Puts a configuration into force that was read, and reads its credentials, which may be others though it says the same.
    async fn adopt(
        &mut self,
        next: Config,
        file: &Config,
        inputs: &mut Inputs,
        reload: &mut Reload,
    ) -> anyhow::Result<()> {
        // The first probe of a check that comes is to show them, and those before are kept should it not come into force.
        let before = self.checks.show(Credentials::load(&next, file)?);
        if next == self.config {
            return Ok(());
        }
        let was = self.config.clone();
        let put = self.put_into_force(next, file.clone(), inputs, reload).await;
        if self.config != was {
            inputs.teller.check(&self.config);
        } else if let Some(before) = before {
            self.checks.show(before);
        }
        put
    }

    pub(super) async fn put_into_force(
        &mut self,
        config: Config,
        file: Config,
        inputs: &mut Inputs,
        reload: &mut Reload,
    ) -> anyhow::Result<()> {
        let next = self.compare(config).await?;
        let of = |links: &Vec<Link>| links.iter().map(|link| link.name.clone()).collect::<Vec<_>>();
        let names = next.interfaces.as_ref().map(of);
        let links = names.clone().map(links::watch).transpose()?;
        self.find_out(&next.difference, inputs).await;
        // What may fail of the virtual routers comes first: with the services they change, or nothing does.
        let prepared = inputs.roles.prepare(&next.config.vrrp);
        let applied = prepared.and_then(|begun| self.apply(&next, reload).map(|()| begun));
        self.forget_ways(&next.difference);
        let begun = applied?;
        self.kept.forget(&next.difference);
        let [came, gone, other] = next.effective.checklist.difference(&self.effective.checklist);
        if [came, gone, other] != [0; 3] {
            reload.changes.push(format!("checks: {came} came, {gone} are gone, {other} changed"));
        }
        let resting = resting(&next.config, &next.numbers, |router| inputs.roles.is_master(router));
        let globals = &next.config.vrrp.globals;
        if [came, gone, other] != [0; 3] || (&resting, globals) != (&self.resting, &self.config.vrrp.globals)
        {
            self.checks.set(next.effective.checklist.specs_while(&resting), globals);
            self.resting = resting;
        }
        let was = self.datapath.timeouts();
        let is = timeouts(&next.config, was);
        if is != was {
            reload.changes.push("the timeouts of connections changed".to_owned());
            self.datapath.set_timeouts(&is);
        }
        if let (Some(interfaces), Some(names), Some(links)) = (next.interfaces, names, links) {
            reload.changes.push(format!("forwards through {}", names.join(", ")));
            (self.interfaces, inputs.links) = (interfaces, links);
            self.gone.clear();
        }
        self.effective = next.effective;
        let (before, now) =
            self.director.take_news().into_iter().partition(|news| matches!(news, News::Removed { .. }));
        // Who is gone stands in the configuration of before only.
        inputs.teller.services_changed(before);
        inputs.teller.change(&next.config);
        inputs.teller.services_changed(now);
        // Last, so that an address that comes finds its service.
        match inputs.roles.reload(&next.config.vrrp, &next.numbers, begun).await {
            Ok(later) => reload.warnings.extend(later),
            Err(error) => {
                // What is in force, for the next reload to begin from.
                self.config = Config { vrrp: self.config.vrrp.clone(), ..next.config };
                self.file = file;
                // Programs run as before, too.
                let globals = &self.config.vrrp.globals;
                self.checks.set(self.effective.checklist.specs_while(&self.resting), globals);
                inputs.teller.change(&self.config);
                return Err(error.context("the services are changed, and the virtual routers as they were"));
            }
        }
        reload.changes.extend(vrrp::changes(&self.config.vrrp, &next.config.vrrp));
        (self.config, self.numbers) = (next.config, next.numbers);
        Ok(())
    }

    /// What follows from a configuration, beside what runs.
    async fn compare(&self, config: Config) -> anyhow::Result<Next> {
        let numbers = self.numbers.assign(&config.vrrp);
        let (wanted, effective) = effective::effective(&config, &numbers, &self.effective);
        let difference = Difference::between(&self.director.services, wanted);
        let allocation = self.datapath.allocation().assign_beside(&difference)?;
        let names = names(&self.source, &self.named, &config)?;
        let interfaces = if names.iter().eq(self.interfaces.iter().map(|link| &link.name)) {
            None
        } else {
            let mut found = Vec::new();
            for name in &names {
                found.push(links::find(name).await?);
            }
            Some(found)
        };
        Ok(Next { config, numbers, effective, difference, allocation, interfaces })
    }

    /// Changes what forwards: in place if that can be done, and with another program otherwise.
    fn apply(&mut self, next: &Next, reload: &mut Reload) -> anyhow::Result<()> {
        let Next { difference, allocation, .. } = next;
        let begun = next.interfaces.as_ref().map(|interfaces| self.through(interfaces));
        let director = begun.as_ref().unwrap_or(&self.director);
        let interfaces = next.interfaces.as_ref().unwrap_or(&self.interfaces);
        let known = self.resolutions.borrow();
        let way = |rip: IpAddr| Some((rip, way(interfaces, known.get(&rip)?)));
        let come = difference.servers_that_come().filter_map(|(_, server)| way(server.rip));
        let ways: BTreeMap<IpAddr, Way> = come.collect();
        drop(known);
        let services = director.reload(difference, allocation, &ways);
        let settings = Settings {
            leases: leases(&next.config, &next.numbers),
            marks: marks(&next.config),
            owned: owned(&next.config, &next.numbers),
            interfaces: next
                .interfaces
                .clone()
                .unwrap_or_else(|| self.datapath.settings().interfaces.clone()),
            ..self.datapath.settings().clone()
        };
        let retired = self.retired_by(difference);
        reload.changes = changes(difference).iter().map(ToString::to_string).collect();
        match self.datapath.fits(&settings, difference, allocation) {
            Ok(()) => {
                self.datapath.change(settings, difference, allocation.clone(), &services.actions)?;
                self.director.adopt(difference, services);
                if is_other_persistence(difference) {
                    self.restart_collector();
                }
            }
            Err(why) => {
                anyhow::ensure!(
                    self.gone.is_empty() || next.interfaces.is_some(),
                    "this needs another XDP program ({why}), and an interface is gone: {:?}; reload when it is back",
                    self.gone
                );
                let mut director = director.clone();
                director.adopt(difference, services);
                let interfaces = interfaces.clone();
                self.replace(Settings { interfaces, ..settings }, next, &director)?;
                self.director = director;
                reload.replaced = Some(why.to_owned());
            }
        }
        self.retired.extend(retired);
        for gone in &difference.gone {
            self.retired.remove(&gone.key);
        }
        Ok(())
    }

    /// The counts of the real servers that are gone of services that stay, where some go.
    fn retired_by(&self, difference: &Difference) -> Vec<(ServiceKey, Stats)> {
        let mut retired = BTreeMap::new();
        for (key, gone) in difference.servers_that_go() {
            let Some(service) = self.director.services.get(&key) else { continue };
            for server in service.servers.iter().filter(|server| server.rip == gone.rip) {
                let before = self.retired.get(&key).copied().unwrap_or_default();
                let sum = retired.entry(key).or_insert(before);
                *sum = sum.plus(report::stats(&self.datapath, server));
            }
        }
        retired.into_iter().collect()
    }

    /// Puts another program in the place of the running one, with everything that the director knows in its maps.
    fn replace(&mut self, settings: Settings, next: &Next, director: &Director) -> anyhow::Result<()> {
        let is_debugged = settings.debug;
        let mut prepared =
            Prepared::beside(&self.datapath, settings, &next.difference.after, next.allocation.clone())
                .context("preparing another XDP program")?;
        director.everything().iter().for_each(|action| prepared.apply(action));
        // It knows the rows of the program that runs until now, and would take flows of new servers for lost ones.
        self.collector = None;
        self.early_fragments = None;
        let attached = prepared.attach_over(&mut self.datapath);
        self.restart_collector();
        self.restart_early_fragments();
        attached?;
        self.is_outdated = false;
        if is_debugged {
            let log = bpf_log::forward(self.datapath.ebpf_mut());
            self.log = log.inspect_err(|error| warn!("the XDP program's log is not shown: {error:#}")).ok();
        }
        Ok(())
    }

    fn restart_collector(&mut self) {
        self.collector = None;
        let collector = self.datapath.flows().and_then(Collector::start);
        let failed =
            |error: &anyhow::Error| error!("expired connections are not collected any more: {error:#}");
        self.collector = collector.inspect_err(failed).ok();
    }

    pub(super) fn restart_early_fragments(&mut self) {
        self.early_fragments = None;
        let started = self.datapath.early().and_then(EarlyFragments::start);
        let failed = |error: &anyhow::Error| {
            error!("fragments that come before the first of their datagram do not wait any more: {error:#}");
        };
        self.early_fragments = started.inspect_err(failed).ok();
    }
}

/// Is what the collector knows of services another?
fn is_other_persistence(difference: &Difference) -> bool {
    let of = |service: &Wanted| (service.policy.persistence != 0).then_some((service.key, service.policy));
    let before = difference.others.iter().filter_map(|(old, _)| old.as_ref()).chain(&difference.gone);
    let (before, after) = (before.filter_map(of), difference.next().filter_map(of));
    before.collect::<BTreeMap<_, _>>() != after.collect::<BTreeMap<_, _>>()
}

fn failed(reason: String, is_in_file: bool) -> Reload {
    Reload { failure: Some(Failure { seconds: 0, is_in_file, reason }), ..Reload::default() }
}

/// What those are told who follow events.
fn told(reload: &Reload, file: String) -> What {
    let Reload { changes, warnings, replaced, failure, .. } = reload;
    match failure {
        Some(Failure { is_in_file, reason, .. }) => {
            What::ConfigurationRefused { file, in_file: *is_in_file, reason: reason.clone() }
        }
        None => What::ConfigurationLoaded {
            file,
            changes: bounded(changes),
            warnings: bounded(warnings),
            replaced: replaced.clone(),
        },
    }
}

/// As many lines as are logged, and how many more there are: a thousand events may wait for a reader.
pub(super) fn bounded(lines: &[String]) -> Vec<String> {
    let more = lines.len().saturating_sub(LOGGED);
    let more = (more > 0).then(|| format!("and {more} more"));
    lines.iter().take(LOGGED).cloned().chain(more).collect()
}

fn log(reload: &Reload, took: Duration) {
    let Reload { changes, warnings, replaced, failure, .. } = reload;
    if let Some(Failure { reason, .. }) = failure {
        warn!("the reload failed, and the configuration from before stays in force: {reason}");
        return;
    }
    for warning in warnings {
        warn!("{warning}");
    }
    for change in bounded(changes) {
        info!("{change}");
    }
    let replaced = replaced.as_deref();
    info!(changes = changes.len(), replaced, ?took, "reloaded");
}
