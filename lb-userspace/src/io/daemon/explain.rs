//! What would become of a packet: the program's stages on the maps of this moment, and what is known here of the virtual router.

use super::Daemon;
use crate::{
    explain::{Explanation, Question},
    io::clock,
    vrrp::RouterReport,
};

impl Daemon {
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
