//! What the services need of the program: how large its maps are, and which of its parts are not left out.

use aya::EbpfLoader;
use lb_common::{
    flow::{FTP, SLOTS},
    layout::{MarkRule, feature},
};

use super::{Settings, publish};
use crate::plan::{Allocation, ServiceTable, Wanted};

/// Gives every map whose size is not fixed as many rows as are needed.
pub(super) fn size_maps(
    loader: &mut EbpfLoader<'_>,
    settings: &Settings,
    wanted: &[Wanted],
    allocation: &Allocation,
    table: &ServiceTable,
    flow_rows: [usize; 2],
) {
    let (servers, services) = (allocation.server_rows(), allocation.service_rows());
    for (name, rows) in [
        ("services", table.buckets.len()),
        ("leases", settings.leases.len() + 1),
        ("members", publish::member_rows(wanted)),
        ("cursors", services),
        ("policies", services),
        ("servers", servers),
        ("loads", servers),
        ("limits", servers),
        ("joined", servers),
        ("server_stats", servers),
        ("mark_rules", settings.marks.len().max(1)),
        ("flows4", flow_rows[0]),
        ("flows6", flow_rows[1]),
    ] {
        loader.map_max_entries(name, rows as u32);
    }
}

/// Buckets of the tables of IPv4 and of IPv6: a family without a service needs none.
pub(super) fn flow_rows(slots: u32, wanted: &[Wanted]) -> [usize; 2] {
    let rows = (slots as usize).div_ceil(SLOTS).next_power_of_two();
    let is_v6 = |service: &Wanted| service.key.is_v6();
    let of = |is_needed| if is_needed { rows } else { 1 };
    let v6 = wanted.iter().any(is_v6);
    [of(!v6 || !wanted.iter().all(is_v6)), of(v6)]
}

/// What the services need that others do not pay for.
pub(super) fn features(wanted: &[Wanted], marks: &[MarkRule]) -> u32 {
    let any = |is: &dyn Fn(&Wanted) -> bool, feature: u32| if wanted.iter().any(is) { feature } else { 0 };
    let is_marked = |service: &Wanted| service.key.mark().is_some();
    any(&|service| is_marked(service) && !marks.is_empty(), feature::MARKS)
        | any(&|service| service.key.protocol == 6 && service.key.port == FTP, feature::FTP)
        | any(&|service| service.key.port == 0 && !is_marked(service), feature::EVERY_PORT)
        | any(&|service| service.policy.persistence != 0, feature::PERSISTENCE)
        | any(&|service| service.servers.iter().any(|server| server.thresholds[0] != 0), feature::LIMITED)
}
