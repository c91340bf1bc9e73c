//! The way of a packet, stage by stage.

use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::debug;
use lb_common::{counters::Counter, flow::TICK_SHIFT};
use network_types::eth::EtherType;

use crate::{
    access::Frame,
    clock, connection,
    family::{self, Family, Piece, V4, V6},
    flow::Target,
    fragment, lease,
    link::{self, Link},
    maps, rewrite, service,
    verdict::{Outcome, Verdict, drop, pass},
};

/// From the frame to the action by which it leaves for its real server, counted, or to another verdict.
#[inline(always)]
pub(crate) fn balance(frame: &Frame) -> Result<u32, Verdict> {
    let link = link::parse(frame)?;
    if link.protocol == EtherType::Ipv4 as u16 {
        network::<V4>(frame, &link)
    } else if link.protocol == EtherType::Ipv6 as u16 {
        network::<V6>(frame, &link)
    } else {
        Err(pass(Counter::PassNotIp))
    }
}

/// The stages behind the link layer, for any address family.
#[inline(always)]
fn network<F: Family>(frame: &Frame, link: &Link) -> Result<u32, Verdict> {
    let head = F::head(frame, link.offset)?;
    let (target, is_new) = if head.piece != Piece::Whole {
        served(fragment::follow::<F>(frame, &head, link.vmac))?
    } else if head.protocol == F::ICMP {
        served(F::related(frame, &head, link.vmac))?
    } else {
        let packet = family::packet::<F>(frame, &head)?;
        let coarse_ns = clock::coarse_ns();
        let now = (coarse_ns >> TICK_SHIFT) as u32;
        match connection::known::<F>(&packet, now) {
            Some((target, lease)) => {
                lease::check(lease, link.vmac, coarse_ns)?;
                (target, false)
            }
            None => {
                let service = service::find::<F>(&packet)?;
                lease::check(service.info.lease, link.vmac, coarse_ns)?;
                connection::serve::<F>(&service, &packet, now)?
            }
        }
    };
    if is_new && maps::debug() {
        debug!(&XdpContext::new(frame.ctx), "a new connection to server {}", target.row);
    }
    maps::count_server(target.row, head.bytes as u64, is_new);
    rewrite::send::<F>(frame, link.port, head.offset, head.bytes as u64, &target)
}

/// Whom an exported function has found for a packet, and whether it opens its connection.
#[inline(always)]
fn served(outcome: u64) -> Result<(Target, bool), Verdict> {
    let (row, is_new) = Outcome::from_word(outcome).served()?;
    // It was reachable a moment ago.
    Ok((Target::new(row, None).map_err(|_| drop(Counter::DropUnresolved))?, is_new))
}
