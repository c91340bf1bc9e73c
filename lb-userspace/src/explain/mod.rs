//! What the program would do with a packet now, and why: its stages once more, in their order, on the same rows and by the
//! same rules of `lb-common`, without a change of anything.
//!
//! A packet here is short, whole, not at its last hop and sent to the interface's own MAC address. What is not asked about are
//! fragments and ICMP.

mod account;
mod maps;
mod opening;
mod pick;
mod question;
mod text;

use lb_common::{
    counters::Counter,
    flow::FTP,
    icmp::{QUOTE4, QUOTE6, may_answer4, may_answer6},
    layout::{Address, MARK_PROTOCOL, NextHop, Service, feature},
    opening::{may_be_ftp, reach},
};

use self::{account::Account, opening::Served, question::Packet};
pub use self::{
    account::{
        Action, Candidate, Explanation, FoundBy, FoundService, KnownFlow, KnownLease, Outcome, Picked,
        PickedBy, RealServer, Scheduling, Stands, Verdict,
    },
    maps::{Kept, Maps},
    question::{Question, Segment},
};
use crate::plan::{ServiceKey, unmapped};

/// How many services are told where none is found.
const NEAR: usize = 8;

/// What becomes of the packet that `question` is about, which comes in by the interface in row `ingress` of `ports`.
pub fn explain(maps: &impl Maps, question: &Question, ingress: u16) -> Explanation {
    let packet = Packet::of(question);
    let mut account = Account::default();
    let outcomes = match stages(maps, &packet, &mut account) {
        Ok(served) => {
            account.by = Some(served.by);
            let send = |&row| send(maps, row, ingress);
            served.rows.iter().map(send).collect()
        }
        Err(counter) => vec![Outcome { server: None, verdict: verdict(counter, &packet) }],
    };
    let Account { service, near, lease, flow, template, scheduling, by, records } = account;
    Explanation {
        packet: question.clone(),
        interface: maps.interface(ingress).unwrap_or_default(),
        service,
        near,
        lease,
        flow,
        template,
        scheduling,
        by,
        records,
        outcomes,
    }
}

/// The stages up to the real servers that the packet may go to, of which there is one unless chance decides.
fn stages(maps: &impl Maps, packet: &Packet, account: &mut Account) -> Result<Served, Counter> {
    let Some((service, by)) = find(maps, packet) else {
        account.near = near(maps, packet);
        return Err(Counter::PassNoService);
    };
    let key = ServiceKey { vip: service.vip, protocol: service.info.protocol, port: service.info.port };
    account.service = Some(FoundService { service: key.to_string(), by });
    lease(maps, service.info.lease, account)?;
    opening::serve(maps, &service, packet, account)
}

/// The service that the packet is for, and by what.
fn find(maps: &impl Maps, packet: &Packet) -> Option<(Service, FoundBy)> {
    let Packet { parts, is_v6, .. } = packet;
    let (vip, port, protocol) = (&parts.vip, parts.vip_port, parts.protocol);
    if *is_v6 && vip.is_v4() {
        return None;
    }
    let has = |part| maps.features() & part != 0;
    if has(feature::MARKS)
        && let Some(mark) = mark(maps, packet)
        && let Some(mut service) = maps.service(&Address::mark(*is_v6, mark), 0, MARK_PROTOCOL)
    {
        // Whoever owns the address decides.
        if let Some(owned) = maps.presence(vip) {
            service.info.lease = owned.info.lease;
        }
        return Some((service, FoundBy::Mark(mark)));
    }
    if let Some(service) = maps.service(vip, port, protocol) {
        return Some((service, FoundBy::Address));
    }
    if has(feature::FTP)
        && may_be_ftp(protocol, port)
        && let Some(service) = maps.service(vip, FTP, protocol)
    {
        return Some((service, FoundBy::Ftp));
    }
    let every = if has(feature::EVERY_PORT) { maps.service(vip, 0, protocol) } else { None };
    every.map(|service| (service, FoundBy::EveryPort))
}

fn mark(maps: &impl Maps, packet: &Packet) -> Option<u32> {
    let parts = &packet.parts;
    let fits = maps
        .mark_rules()
        .iter()
        .find(|rule| rule.fits(&parts.client, &parts.vip, parts.vip_port, parts.protocol));
    fits.map(|rule| rule.mark)
}

/// The services that come nearest: those of the same address, else those of the same port.
fn near(maps: &impl Maps, packet: &Packet) -> Vec<String> {
    let parts = &packet.parts;
    let services = maps.services();
    let of = |is_near: &dyn Fn(&ServiceKey) -> bool| {
        let near = services.iter().filter(|key| key.mark().is_none() && is_near(key)).take(NEAR);
        near.map(ToString::to_string).collect::<Vec<_>>()
    };
    let same_address = of(&|key| key.vip == parts.vip);
    if !same_address.is_empty() {
        return same_address;
    }
    of(&|key| (key.port, key.protocol) == (parts.vip_port, parts.protocol))
}

/// May this node forward under this row of `leases`?
fn lease(maps: &impl Maps, row: u16, account: &mut Account) -> Result<(), Counter> {
    let lease = maps.lease(row).ok_or(Counter::PassNotMaster)?;
    let left = lease.until_ns.saturating_sub(maps.now_ns());
    if row != 0 {
        let known = KnownLease {
            row,
            virtual_router_id: lease.vrid,
            milliseconds: left / 1_000_000,
            ..KnownLease::default()
        };
        account.lease = Some(known);
    }
    if left == 0 { Err(Counter::PassNotMaster) } else { Ok(()) }
}

/// The way to a real server, and by it the verdict.
fn send(maps: &impl Maps, row: u16, ingress: u16) -> Outcome {
    let Some(server) = maps.server(row) else {
        return Outcome { server: None, verdict: Verdict::new(Action::Drop, Counter::DropUnresolved) };
    };
    let NextHop { mac, port } = server.next_hop;
    let reached = reach(server.info, None);
    let interface = maps.interface(port);
    let verdict = match reached {
        Err(_) => Verdict::new(Action::Drop, Counter::DropUnresolved),
        Ok(true) => Verdict::new(Action::Pass, Counter::Local),
        Ok(false) if interface.is_none() => Verdict::new(Action::Drop, Counter::DropNoPort),
        Ok(false) if port == ingress => Verdict::new(Action::Tx, Counter::ForwardedTx),
        Ok(false) => Verdict::new(Action::Redirect, Counter::ForwardedRedirect),
    };
    let has_way = reached == Ok(false);
    let server = RealServer {
        address: unmapped(server.rip),
        row,
        generation: server.info.generation,
        weight: server.info.weight,
        mac: has_way.then_some(mac),
        interface: interface.filter(|_| has_way),
    };
    Outcome { server: Some(server), verdict }
}

/// How a packet leaves that goes to no real server.
fn verdict(counter: Counter, packet: &Packet) -> Verdict {
    match counter {
        Counter::AnswerNoServer if may_answer(packet) => Verdict::new(Action::Answer, counter),
        Counter::AnswerNoServer => Verdict::new(Action::Drop, Counter::DropNoAnswer),
        // A counter's name begins with what is done.
        counter if counter.name().starts_with("drop") => Verdict::new(Action::Drop, counter),
        counter => Verdict::new(Action::Pass, counter),
    }
}

/// May its sender be told?
fn may_answer(packet: &Packet) -> bool {
    let parts = &packet.parts;
    if packet.is_v6 {
        let mut header = [0; QUOTE6];
        (header[0], header[6]) = (0x60, parts.protocol);
        header[8..24].copy_from_slice(&parts.client.octets);
        header[24..40].copy_from_slice(&parts.vip.octets);
        return may_answer6(&header, 48);
    }
    let mut header = [0; QUOTE4];
    (header[0], header[9]) = (0x45, parts.protocol);
    header[12..16].copy_from_slice(&parts.client.octets[12..]);
    header[16..20].copy_from_slice(&parts.vip.octets[12..]);
    may_answer4(&header, 28)
}

#[cfg(test)]
mod tests;
