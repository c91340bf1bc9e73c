//! What an explanation reads.

use lb_common::{
    flow::{Parts, State, TemplateForm},
    layout::{Address, CursorRow, Lease, Limit, Load, MarkRule, Members, PRESENCE, Policy, Server, Service},
};

use crate::plan::ServiceKey;

/// The rows of the maps of this moment, and the program's constants.
pub trait Maps {
    /// Bits of [`lb_common::layout::feature`].
    fn features(&self) -> u32;
    /// What stands in `services` for an address, a port and a protocol.
    fn service(&self, vip: &Address, port: u16, protocol: u8) -> Option<Service>;
    /// All services.
    fn services(&self) -> Vec<ServiceKey>;
    /// The rules for firewall marks, in their order.
    fn mark_rules(&self) -> &[MarkRule];
    /// A row of `leases`.
    fn lease(&self, row: u16) -> Option<Lease>;
    /// A row of `policies`.
    fn policy(&self, id: u16) -> Policy;
    /// A row of `servers`.
    fn server(&self, row: u16) -> Option<Server>;
    /// A row of `members`.
    fn members(&self, row: u32) -> Option<Members>;
    /// A row of `cursors`.
    fn cursor(&self, id: u16) -> Option<CursorRow>;
    /// A row of `joined`.
    fn joined(&self, server: u16) -> u32;
    /// A row of `loads`.
    fn load(&self, server: u16) -> Load;
    /// A row of `limits`.
    fn limit(&self, server: u16) -> Limit;
    /// What the flow table of the family has of a flow.
    fn flow(&self, parts: &Parts, is_v6: bool) -> Option<Kept>;
    /// What it has of the template that the flow goes by.
    fn template(&self, parts: &Parts, is_v6: bool, form: &TemplateForm) -> Option<Kept>;
    /// Whether a flow that it has not would find a place.
    fn has_room(&self, parts: &Parts, is_v6: bool) -> bool;
    /// The name of an interface by its row of `ports`.
    fn interface(&self, port: u16) -> Option<String>;
    /// The program's clock.
    fn now_ns(&self) -> u64;

    /// What says that an address is a VIP.
    fn presence(&self, vip: &Address) -> Option<Service> {
        self.service(vip, 0, PRESENCE)
    }
}

/// A flow or a template of the flow table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// How it stands.
    pub state: State,
    /// Row of `servers`.
    pub server: u16,
    /// That row's generation when it was recorded.
    pub generation: u16,
    /// Seconds since it was seen.
    pub idle: u32,
    /// Seconds that are left of it if nothing comes.
    pub left: u32,
    /// It lies in the bucket of its hash.
    pub is_home: bool,
}
