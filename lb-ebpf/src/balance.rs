//! The way of a packet, stage by stage.

use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::debug;
use lb_common::counters::Counter;
use network_types::eth::EtherType;

use crate::{
    family::{Family, V4},
    flow::{Known, Place},
    lease,
    link::{self, Link},
    maps, pick, rewrite, service,
    verdict::{Verdict, pass},
};

/// From the frame to its verdict.
#[inline(always)]
pub(crate) fn balance(ctx: &XdpContext) -> Result<Verdict, Verdict> {
    let link = link::parse(ctx)?;
    if link.protocol == EtherType::Ipv4 as u16 {
        network::<V4>(ctx, &link)
    } else {
        Err(pass(Counter::PassNotIp))
    }
}

/// The stages behind the link layer, for any address family.
#[inline(always)]
fn network<F: Family>(ctx: &XdpContext, link: &Link) -> Result<Verdict, Verdict> {
    let packet = F::parse(ctx, link.offset)?;
    let service = service::find(&packet)?;
    let coarse_ns = lease::coarse_ns();
    lease::check(&service, link, coarse_ns)?;
    let place = Place::<F>::of(&packet, coarse_ns)?;
    let (target, is_new) = match place.look_up(&packet)? {
        Known::Served(target) => (target, false),
        Known::Opens(stale) => pick::schedule(&service, &packet, &place, stale)?,
    };
    if is_new && maps::debug() {
        debug!(ctx, "service {} takes a new connection to server {}", service.info.id, target.row);
    }
    maps::count_server(target.row, packet.bytes, is_new);
    rewrite::send::<F>(ctx, link.port, packet.offset, packet.bytes, &target)
}
