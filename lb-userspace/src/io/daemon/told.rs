//! What the daemon tells of itself, and of what would become of a packet.

use super::Daemon;
use crate::{
    explain::{Explanation, Question},
    io::{
        clock,
        collector::Collector,
        report::{self, Subjects},
    },
    status::Status,
    vrrp::RouterReport,
};

impl Daemon {
    /// What `xlvs status` prints; of virtual routers that do not answer, that they do not.
    pub(super) fn status(&self, routers: Option<&[RouterReport]>) -> Status {
        report::status(&Subjects {
            director: &self.director,
            datapath: &self.datapath,
            retired: &self.retired,
            kept: &self.kept,
            interfaces: &self.interfaces,
            instances: &self.config.vrrp.instances,
            numbers: &self.numbers,
            configuration: self.in_force.configuration(&self.source),
            by_hand: self.by_hand(),
            checklist: &self.effective.checklist,
            draining: self.draining(),
            checks: self.checks.account(),
            effect: &self.effect,
            routers,
            fill: self.collector.as_ref().map(Collector::fill),
            mode: self.mode,
            since: self.since,
        })
    }

    /// The program's stages on the maps of this moment, and what is known here of the virtual router.
    ///
    /// # Errors
    /// Why that cannot be told, in a line.
    pub(super) fn explain(
        &self,
        question: &Question,
        routers: &[RouterReport],
    ) -> Result<Explanation, String> {
        let flows = self.collector.as_ref().ok_or("the flow tables are not there: see the log")?.maps();
        let mut explanation = self.datapath.explain(&flows, question, clock::program_ns())?;
        if let Some(lease) = &mut explanation.lease {
            let owner = self.numbers.owner_of_row(lease.row);
            let router = routers.iter().find(|router| Some(router.name.as_str()) == owner);
            lease.instance = owner.map(str::to_owned);
            lease.state = router.map(|router| router.state.name().to_owned());
        }
        Ok(explanation)
    }
}
