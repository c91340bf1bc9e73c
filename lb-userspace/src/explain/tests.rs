//! Explanations over rows of the test's. That they are what the program does, `--test packets explained` holds.

use std::array;

use lb_common::{
    flow::{Parts, State, TemplateForm},
    layout::{
        Address, CursorRow, Lease, Limit, Load, MarkRule, Member, Members, NO_VMAC, NextHop, Policy, Pool,
        Server, ServerInfo, ServerState, Service, ServiceInfo,
    },
    sched::{Cursor, Scheduler},
};

use super::*;
use crate::config::model::Protocol;

const VIP: Address = Address::v4([192, 0, 2, 100]);
const NOW: u64 = 5_000_000_000;

/// A director with one service on port 80 and two real servers.
struct World {
    scheduler: Scheduler,
    policy: Policy,
    lease: Option<Lease>,
    flow: Option<Kept>,
    template: Option<Kept>,
    states: [ServerState; 2],
    has_room: bool,
}

impl Default for World {
    fn default() -> Self {
        Self {
            scheduler: Scheduler::Wrr,
            policy: Policy::default(),
            lease: None,
            flow: None,
            template: None,
            states: [ServerState::Ready; 2],
            has_room: true,
        }
    }
}

impl Maps for World {
    fn features(&self) -> u32 {
        0
    }

    fn service(&self, vip: &Address, port: u16, protocol: u8) -> Option<Service> {
        let lease = u16::from(self.lease.is_some());
        let info = ServiceInfo { port, protocol, scheduler: self.scheduler as u8, id: 0, lease };
        let pool = Pool { base: 10, len: 2, epoch: 1 };
        ((vip.halves(), port, protocol) == (VIP.halves(), 80, 6)).then_some(Service { vip: VIP, info, pool })
    }

    fn services(&self) -> Vec<ServiceKey> {
        vec![ServiceKey { vip: VIP, protocol: 6, port: 80 }]
    }

    fn mark_rules(&self) -> &[MarkRule] {
        &[]
    }

    fn lease(&self, row: u16) -> Option<Lease> {
        if row == 0 { Some(Lease::ENDLESS) } else { self.lease }
    }

    fn policy(&self, _: u16) -> Policy {
        self.policy
    }

    fn server(&self, row: u16) -> Option<Server> {
        let state = *self.states.get(usize::from(row))?;
        let next_hop = NextHop { mac: [2, 0, 0, 0, 1, row as u8], port: row };
        let info = ServerInfo { generation: 7, weight: 10, state: state as u8, ..ServerInfo::default() };
        Some(Server { next_hop, info, rip: Address::v4([192, 0, 2, 21 + row as u8]) })
    }

    fn members(&self, row: u32) -> Option<Members> {
        (row == 10).then(|| array::from_fn(|place| Member { server: place as u16, weight: 1 }))
    }

    fn cursor(&self, _: u16) -> Option<CursorRow> {
        let cursor = Cursor { place: 1, threshold: 1, highest: 1, epoch: 1 };
        Some(CursorRow { cursor, ..CursorRow::default() })
    }

    fn joined(&self, _: u16) -> u32 {
        0
    }

    fn load(&self, server: u16) -> Load {
        Load { active: server.into(), inactive: 3 }
    }

    fn limit(&self, _: u16) -> Limit {
        Limit::default()
    }

    fn flow(&self, _: &Parts, _: bool) -> Option<Kept> {
        self.flow
    }

    fn template(&self, _: &Parts, _: bool, _: &TemplateForm) -> Option<Kept> {
        self.template
    }

    fn has_room(&self, _: &Parts, _: bool) -> bool {
        self.has_room
    }

    fn interface(&self, port: u16) -> Option<String> {
        ["lan0", "lan1"].get(usize::from(port)).map(|&name| name.to_owned())
    }

    fn now_ns(&self) -> u64 {
        NOW
    }
}

fn kept(state: State, server: u16, generation: u16) -> Kept {
    Kept { state, server, generation, idle: 4, left: 896, is_home: true }
}

fn ask(destination: &str, protocol: Protocol, segment: Segment) -> Question {
    Question {
        source: "198.51.100.7:40000".parse().expect("an address"),
        destination: destination.parse().expect("an address"),
        protocol,
        segment,
        interface: None,
    }
}

fn told(world: &World, segment: Segment) -> String {
    explain(world, &ask("192.0.2.100:80", Protocol::Tcp, segment), 0).to_text()
}

#[test]
fn a_first_packet_is_scheduled() {
    assert_eq!(
        told(&World::default(), Segment::First),
        "\
TCP 198.51.100.7:40000 -> 192.0.2.100:80, SYN by lan0
  service    TCP 192.0.2.100:80
  lease      no virtual router owns the address
  flow       none
  scheduler  wrr over 2 real servers, goes on at place 1 with weight 1 or more
                192.0.2.21 weight 1, 0 active, 3 inactive
             -> 192.0.2.22 weight 1, 1 active, 3 inactive
  server     192.0.2.22, the scheduler's pick; weight 10; to 02:00:00:00:01:01 by lan1
  verdict    XDP_REDIRECT, forwarded_redirect
             Sent to a real server out of another interface (`XDP_REDIRECT`).
  recorded   flow
"
    );
}

#[test]
fn what_is_for_nobody_is_told_what_is_near() {
    let text = |destination, protocol| {
        explain(&World::default(), &ask(destination, protocol, Segment::First), 0).to_text()
    };
    for (destination, protocol, service) in [
        ("192.0.2.100:81", Protocol::Tcp, "none; near it are TCP 192.0.2.100:80"),
        ("192.0.2.9:80", Protocol::Tcp, "none; near it are TCP 192.0.2.100:80"),
        ("192.0.2.9:81", Protocol::Udp, "none, and none near it"),
    ] {
        let text = text(destination, protocol);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lines[0], format!("  service    {service}"));
        assert_eq!(lines[1], "  verdict    XDP_PASS, pass_no_service", "{text}");
    }
}

#[test]
fn a_lease_that_is_over_ends_it() {
    let until =
        |until_ns| World { lease: Some(Lease { until_ns, ..Lease::none(51, NO_VMAC) }), ..World::default() };
    let over = told(&until(NOW), Segment::First);
    assert!(over.contains("  lease      VRID 51: this node may not forward\n"), "{over}");
    assert!(over.contains("pass_not_master"), "{over}");
    let alive = told(&until(NOW + 2_000_000_000), Segment::First);
    assert!(
        alive.contains("this node may forward for 2000 ms\n") && alive.contains("forwarded_redirect"),
        "{alive}"
    );
}

#[test]
fn flows_say_whose_a_packet_is() {
    let of = |flow, states| World { flow: Some(flow), states, ..World::default() };
    let [ready, unresolved] = [ServerState::Ready, ServerState::Unresolved];
    let established = kept(State::Established, 0, 7);
    let text = told(&of(established, [ready; 2]), Segment::Middle);
    assert!(text.contains("  flow       ESTABLISHED, seen 4 s ago, 896 s left; to 192.0.2.21\n"), "{text}");
    assert!(text.contains("192.0.2.21, its flow's") && text.contains("XDP_TX, forwarded_tx"), "{text}");
    assert!(!text.contains("recorded"), "{text}");
    for (flow, states, segment, counter) in [
        (established, [unresolved, ready], Segment::Middle, "drop_unresolved"),
        (kept(State::Established, 0, 6), [ready; 2], Segment::Middle, "pass_server_gone"),
        (kept(State::Established, 0, 6), [ready; 2], Segment::First, "forwarded_redirect"),
        (kept(State::TimeWait, 0, 7), [ready; 2], Segment::First, "forwarded_redirect"),
    ] {
        let text = told(&of(flow, states), segment);
        assert!(text.contains(counter), "{counter}: {text}");
    }
    assert!(told(&World::default(), Segment::Middle).contains("XDP_PASS, pass_no_flow"));
    let full = World { has_room: false, ..World::default() };
    assert!(told(&full, Segment::First).contains("XDP_DROP, drop_flow_table_full"));
}

#[test]
fn a_client_stays_with_its_server() {
    let policy = Policy { persistence: 300, mask: Address::mask(128), ..Policy::default() };
    let fresh = World { policy, ..World::default() };
    let text = told(&fresh, Segment::First);
    assert!(text.contains("  template   none\n") && text.contains("  recorded   template, flow\n"), "{text}");
    let known = World { template: Some(kept(State::Template, 0, 7)), ..fresh };
    let text = told(&known, Segment::First);
    assert!(text.contains("  template   ASSURED, ") && text.contains("192.0.2.21, its client's"), "{text}");
    assert!(text.contains("  recorded   flow\n"), "{text}");
}

#[test]
fn where_chance_decides_all_that_may_be_are_told() {
    let chance = World { scheduler: Scheduler::Twos, ..World::default() };
    let told = explain(&chance, &ask("192.0.2.100:80", Protocol::Tcp, Segment::First), 0);
    let actions: Vec<Action> = told.outcomes.iter().map(|outcome| outcome.verdict.action).collect();
    assert_eq!(actions, [Action::Tx, Action::Redirect]);
    let text = told.to_text();
    assert_eq!(text.matches("?> ").count(), 2, "{text}");
    assert_eq!(text.matches(", if chance has it so").count(), 2, "{text}");
    let document = serde_json::to_string(&told).expect("it can be written");
    assert_eq!(serde_json::from_str::<Explanation>(&document).expect("it can be read"), told);
}
