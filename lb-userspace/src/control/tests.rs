//! What happens to a service of three servers.

use lb_common::{
    layout::{Address, ServerState},
    sched::Scheduler,
};

use super::*;
use crate::{health::Share, plan::WantedServer};

const KEY: ServiceKey = ServiceKey { vip: Address::v4([10, 0, 0, 100]), protocol: 6, port: 80 };

fn rip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn director(inhibit_on_failure: bool) -> Director {
    let server = |last: u8| WantedServer {
        inhibit_on_failure,
        checks: vec![u32::from(last)],
        ..WantedServer::new(rip(last), last.into())
    };
    let servers = (1..=3).map(server).collect();
    let wanted = [Wanted::new(KEY, Scheduler::Wrr.into(), servers)];
    let allocation = Allocation::default().assign(&wanted).expect("small");
    let mut director = Director::new(&wanted, &allocation);
    for last in 1..=3 {
        director.handle(&resolved(last));
    }
    director
}

fn resolved(last: u8) -> Event {
    Event::Way(rip(last), Way::Through(NextHop { mac: [2, 0, 0, 0, 0, last], port: 0 }))
}

fn failed(last: u8) -> Event {
    Event::Check(u32::from(last), Verdict::Down { reason: "connection refused".to_owned() })
}

fn pool(actions: &[Action]) -> Option<Vec<(u16, u16)>> {
    actions.iter().find_map(|action| match action {
        Action::Pool(_, list) => Some(list.clone()),
        _ => None,
    })
}

fn states(actions: &[Action]) -> Vec<(u16, u8)> {
    let state = |action: &Action| match action {
        Action::Server { row, info, .. } => Some((*row, info.state)),
        _ => None,
    };
    actions.iter().filter_map(state).collect()
}

#[test]
fn the_list_is_in_ipvs_order() {
    assert_eq!(pool(&director(false).everything()), Some(vec![(2, 3), (1, 2), (0, 1)]));
}

#[test]
fn a_failed_server_leaves_and_comes_back_at_the_head() {
    let mut director = director(false);
    let actions = director.handle(&failed(2));
    assert_eq!(pool(&actions), Some(vec![(2, 3), (0, 1)]));
    assert_eq!(states(&actions), [(1, ServerState::Down as u8)]);
    assert_eq!(director.handle(&failed(2)), [], "nothing new");
    let actions = director.handle(&Event::Check(2, Verdict::Up));
    assert_eq!(pool(&actions), Some(vec![(1, 2), (2, 3), (0, 1)]));
    assert_eq!(states(&actions), [(1, ServerState::Ready as u8)]);
}

#[test]
fn an_inhibited_server_keeps_its_place_and_its_flows() {
    let mut director = director(true);
    let actions = director.handle(&failed(2));
    assert_eq!(pool(&actions), Some(vec![(2, 3), (1, 0), (0, 1)]));
    assert_eq!(states(&actions), [(1, ServerState::Ready as u8)], "its flows go on");
}

#[test]
fn checks_may_want_another_weight() {
    let mut director = director(false);
    let weighs = |share| Event::Check(2, Verdict::UpWith(share));
    let of = |weight: u16| Some(vec![(2, 3), (1, weight), (0, 1)]);
    assert_eq!(pool(&director.handle(&weighs(Share::To(9)))), of(9));
    assert_eq!(director.handle(&weighs(Share::To(9))), []);
    assert_eq!(pool(&director.handle(&weighs(Share::By(-1)))), of(1));
    let actions = director.handle(&weighs(Share::By(-7)));
    assert_eq!(pool(&actions), of(0));
    assert_eq!(states(&actions), [(1, ServerState::Ready as u8)], "its flows go on");
    assert_eq!(pool(&director.handle(&weighs(Share::By(i64::MAX)))), of(u16::MAX));
    director.handle(&failed(2));
    let actions = director.handle(&Event::Check(2, Verdict::Up));
    assert_eq!(pool(&actions), Some(vec![(1, 2), (2, 3), (0, 1)]), "as configured again");
}

#[test]
fn a_weight_is_told_and_ends_with_the_check_that_gave_it() {
    let mut director = director(false);
    let mut told = |event: Event| {
        director.take_news();
        director.handle(&event);
        director.take_news()
    };
    let weighs = || Event::Check(2, Verdict::UpWith(Share::To(9)));
    let weight = News::Weight { service: KEY, server: rip(2), from: 2, to: 9 };
    assert_eq!(told(weighs()), std::slice::from_ref(&weight));
    assert_eq!(told(weighs()), []);
    assert!(!told(failed(2)).iter().any(|news| matches!(news, News::Weight { .. })));
    assert_eq!(told(weighs()).first(), Some(&weight), "it was the one configured again");
}

#[test]
fn an_unresolved_server_keeps_its_place_and_gets_nothing() {
    let mut director = director(false);
    let actions = director.handle(&Event::Way(rip(3), Way::None("no answer".to_owned())));
    assert_eq!(pool(&actions), Some(vec![(2, 0), (1, 2), (0, 1)]));
    assert_eq!(states(&actions), [(2, ServerState::Unresolved as u8)]);
    assert_eq!(pool(&director.handle(&resolved(3))), Some(vec![(2, 3), (1, 2), (0, 1)]));
}

#[test]
fn a_way_is_told_of_when_it_is_lost_and_when_it_is_found_again() {
    let mut director = director(false);
    director.take_news();
    let mut told = |way| {
        director.handle(&Event::Way(rip(3), way));
        director.take_news()
    };
    let lost = |reason: &str| Way::None(reason.to_owned());
    let news = |lost: Option<&str>| {
        let lost = lost.map(str::to_owned);
        vec![News::Way { service: KEY, server: rip(3), lost }]
    };
    let found = Way::Through(NextHop { mac: [6; 6], port: 0 });
    assert_eq!(told(lost("no answer")), news(Some("no answer")));
    assert_eq!(told(lost("another reason")), []);
    assert_eq!(told(found.clone()), news(None));
    assert_eq!(told(Way::Local), [], "another way is a way");
}

#[test]
fn another_mac_address_changes_the_row_only() {
    let mut director = director(false);
    let moved = Event::Way(rip(1), Way::Through(NextHop { mac: [6; 6], port: 1 }));
    let actions = director.handle(&moved);
    assert_eq!((states(&actions), pool(&actions)), (vec![(0, ServerState::Ready as u8)], None));
    assert_eq!(director.handle(&moved), []);
}

#[test]
fn events_of_strangers_change_nothing() {
    let mut director = director(false);
    assert_eq!(director.handle(&failed(9)), []);
    assert_eq!(director.handle(&resolved(9)), []);
}
