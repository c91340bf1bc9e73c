//! The connections as ipvsadm lists those that the program has made.

use lb_common::{
    layout::{Address, MarkRule, Policy},
    sched::Scheduler,
    tcp::flag,
};
use xlvs::{
    adm::{Nameless, connection_line},
    io::connections::listed,
    plan::{ServiceKey, Wanted},
};

use crate::{
    beginnings::{CLIENT, TCP, UDP, VIP, datagram, resolved, segment},
    bench::{Bench, now_ns, service, service6},
    both::{Family, PORT, serve},
};

/// What is listed, without the times that are left, in the order of the lines; and these times, in seconds.
fn listing(bench: &Bench) -> (Vec<String>, Vec<u32>) {
    let now = now_ns();
    let mut all = Vec::new();
    let maps = bench.flows().expect("maps").maps();
    maps.look(0..maps.rows(), now, &mut |flow| {
        let connection = listed(flow);
        let line = connection_line(&connection, false, true, &Nameless);
        let (before, behind) = (line[..4].trim(), line[11..].trim_end());
        all.push((format!("{before} {behind}"), connection.expires));
    });
    all.sort();
    all.into_iter().unzip()
}

fn persistent(service: Wanted, persistence: u32, prefix: u8) -> Wanted {
    Wanted { policy: Policy { persistence, mask: Address::mask(prefix), ..Policy::default() }, ..service }
}

fn run(bench: &Bench, frame: &[u8]) {
    bench.run(frame).expect("the program runs");
}

#[test]
fn states_and_times_are_those_of_the_flows() {
    let services = [
        service(TCP, 80, Scheduler::Rr, &[(1, 1)]),
        service(UDP, 53, Scheduler::Rr, &[(1, 1)]),
        service6(TCP, PORT, Scheduler::Rr, &[(1, 1)]),
    ];
    let bench = resolved(Bench::new(&services).expect("the program loads"));
    for (client, flags) in
        [(1, vec![flag::SYN]), (2, vec![flag::SYN, flag::ACK]), (3, vec![flag::SYN, flag::ACK, flag::FIN])]
    {
        for flags in flags {
            run(&bench, &segment((CLIENT, client), (VIP, 80), flags));
        }
    }
    run(&bench, &datagram((CLIENT, 4), 53));
    serve(&bench, &Family::V6.asks(TCP, 5, flag::SYN)).expect("it is forwarded");
    let (lines, left) = listing(&bench);
    assert_eq!(
        lines,
        [
            "TCP ESTABLISHED 192.0.2.7:2        10.0.0.100:80      10.0.0.1:80",
            "TCP FIN_WAIT    192.0.2.7:3        10.0.0.100:80      10.0.0.1:80",
            "TCP SYN_RECV    192.0.2.7:1        10.0.0.100:80      10.0.0.1:80",
            "TCP SYN_RECV    [2001:db8:7::7]:5  [2001:db8::100]:80 [2001:db8::1]:80",
            "UDP UDP         192.0.2.7:4        10.0.0.100:53      10.0.0.1:53",
        ]
    );
    for (left, timeout) in left.into_iter().zip([900, 120, 60, 60, 300]) {
        assert!((timeout - 5..=timeout).contains(&left), "{left} of {timeout}");
    }
}

#[test]
fn templates_are_listed_and_those_of_marks_by_their_mark() {
    let of_mark = |is_v6| Wanted {
        key: ServiceKey::of_mark(is_v6, 7),
        ..if is_v6 {
            service6(TCP, 0, Scheduler::Rr, &[(2, 1)])
        } else {
            service(TCP, 0, Scheduler::Rr, &[(2, 1)])
        }
    };
    let all = MarkRule { ports: [8000, 8999], mark: 7, ..MarkRule::default() };
    let services = [
        persistent(service(TCP, 80, Scheduler::Rr, &[(1, 1)]), 300, 96 + 24),
        persistent(of_mark(false), 50, 128),
        persistent(of_mark(true), 50, 64),
    ];
    let bench = resolved(Bench::with_marks(&services, &[all], &[]).expect("the program loads"));
    run(&bench, &segment((CLIENT, 1), (VIP, 80), flag::SYN));
    let template = |listing: (Vec<String>, Vec<u32>)| listing.0.into_iter().find(|line| line.contains(":0 "));
    let ends = "192.0.2.0:0        10.0.0.100:80      10.0.0.1:80";
    assert_eq!(template(listing(&bench)), Some(format!("TCP NONE        {ends}")));
    run(&bench, &segment((CLIENT, 1), (VIP, 80), flag::ACK));
    assert_eq!(template(listing(&bench)), Some(format!("TCP ASSURED     {ends}")));

    run(&bench, &segment((CLIENT, 2), (VIP, 8443), flag::SYN));
    let (lines, left) = listing(&bench);
    assert_eq!(
        lines,
        [
            "IP NONE        192.0.2.7:0        0.0.0.7:0          10.0.0.2:0",
            "TCP ASSURED     192.0.2.0:0        10.0.0.100:80      10.0.0.1:80",
            "TCP ESTABLISHED 192.0.2.7:1        10.0.0.100:80      10.0.0.1:80",
            "TCP SYN_RECV    192.0.2.7:2        10.0.0.100:8443    10.0.0.2:8443",
        ]
    );
    assert!((45..=50).contains(&left[0]) && (295..=300).contains(&left[1]), "{left:?}");
}

#[test]
fn a_connection_whose_server_is_gone_is_not_listed() {
    let with = |servers: &[(u8, u16)]| [service(TCP, 80, Scheduler::Rr, servers)];
    let mut bench = resolved(Bench::new(&with(&[(1, 1), (2, 1)])).expect("the program loads"));
    for client in 1..=4 {
        run(&bench, &segment((CLIENT, client), (VIP, 80), flag::SYN));
    }
    assert_eq!(listing(&bench).0.len(), 4);
    bench.reassign(&with(&[(1, 1)])).expect("one fewer");
    let (lines, _) = listing(&bench);
    assert!(lines.len() == 2 && lines.iter().all(|line| line.ends_with(" 10.0.0.1:80")), "{lines:?}");
}
