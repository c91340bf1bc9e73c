//! Changes by hand: ipvsadm's commands become a configuration, which is put into force as a file's is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    net::IpAddr,
    sync::Arc,
};

use tracing::info;

use super::{Daemon, Inputs};
use crate::{
    adm::{self, Command, Scope, Table},
    config::model::VirtualServer,
    event::What,
    io::{
        adm::{Kept, Sight},
        connections::Templates,
        effective,
    },
    plan::ServiceKey,
    status::Reload,
};

impl Daemon {
    /// What ipvsadm lists.
    pub(super) fn table(&self, templates: &Templates, scope: &Scope) -> Table {
        let Self { kept, director, datapath, retired, .. } = self;
        kept.table(&Sight { director, datapath, retired }, templates, scope)
    }

    /// Follows commands, all or none.
    ///
    /// # Errors
    /// Why none was followed, in one line.
    pub(super) async fn change(&mut self, commands: &[Command], inputs: &mut Inputs) -> Result<(), String> {
        let mut table = self.table(&Templates::new(), &Scope::of(commands));
        let mut config = self.config.clone();
        let nothing = |reason: &dyn Display| format!("nothing was changed: {reason}");
        for command in commands {
            table.apply(command).map_err(|denial| nothing(&denial))?;
            adm::change(&mut config, &self.file, command).map_err(|impossible| nothing(&impossible))?;
        }
        if config != self.config {
            let mut reload = Reload::default();
            let (before, file) = (self.config.clone(), self.file.clone());
            if let Err(error) = self.put_into_force(config, file, inputs, &mut reload).await {
                let error = format!("{error:#}");
                return Err(if self.config == before { nothing(&error) } else { error });
            }
            for change in &reload.changes {
                info!("by hand: {change}");
            }
            inputs.teller.event(What::ByHand { changes: super::reload::bounded(&reload.changes) });
        }
        let (kept, sight) = self.kept_and_sight();
        for command in commands {
            kept.keep(command, &table, &sight);
        }
        Ok(())
    }

    /// Services, and real servers of them, that are not as the file says.
    pub(super) fn by_hand(&self) -> BTreeSet<(ServiceKey, Option<IpAddr>)> {
        let made = adm::made_by_hand(&self.file, &self.config);
        made.into_iter().map(|(selector, server)| (effective::key(selector), server)).collect()
    }

    /// Real servers that are drained, with the weight that they get back.
    pub(super) fn draining(&self) -> BTreeMap<(ServiceKey, IpAddr), u16> {
        let of_service = |service: &Arc<VirtualServer>| {
            let key = effective::key(service.selector);
            let drained = service.pool().filter_map(|server| Some((server.address, server.drained?.0)));
            drained.map(|(address, weight)| ((key, address), weight)).collect::<Vec<_>>()
        };
        self.config.served().flat_map(of_service).collect()
    }

    /// Takes a part of a sample for what ipvsadm tells of rates.
    pub(super) fn sample(&mut self) {
        let (kept, sight) = self.kept_and_sight();
        kept.sample(&sight);
    }

    const fn kept_and_sight(&mut self) -> (&mut Kept, Sight<'_>) {
        let Self { kept, director, datapath, retired, .. } = self;
        (kept, Sight { director, datapath, retired })
    }
}
