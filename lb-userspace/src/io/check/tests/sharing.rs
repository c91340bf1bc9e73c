//! Equal checks are one, and stay what they are when the others change.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::http::page;
use super::*;
use crate::config::model::check::{HttpProbe, Url};
use crate::health::Pace;

/// A server that counts its connections.
async fn counting() -> (SocketAddr, mpsc::Receiver<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (counted, count) = mpsc::channel(1024);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            if counted.send(()).await.is_err() {
                return;
            }
        }
    });
    (address, count)
}

fn slow(id: u32, address: SocketAddr) -> CheckSpec {
    CheckSpec { settings: Settings { delay_loop: Duration::from_mins(10), ..FAST }, ..spec(id, address) }
}

#[tokio::test]
async fn equal_checks_are_made_once_and_all_hear_of_it() {
    let (address, mut count) = counting().await;
    let (checks, mut verdicts) = start();
    // What is logged of them makes no difference.
    let logged = |id| CheckSpec { log_all_failures: id % 2 == 0, ..slow(id, address) };
    set(&checks, (0..300).map(logged).collect());
    let mut said = std::collections::BTreeSet::new();
    while said.len() < 300 {
        let (id, verdict) = next(&mut verdicts).await;
        assert_eq!(verdict, Verdict::Up);
        assert!(said.insert(id), "check {id} spoke twice");
    }
    // One that comes hears what the others know, and nobody is asked again.
    set(&checks, (0..301).map(|id| slow(id, address)).collect());
    assert_eq!(next(&mut verdicts).await, (300, Verdict::Up));
    count.recv().await.unwrap();
    assert!(count.try_recv().is_err(), "there were more connections than one");
}

#[tokio::test]
async fn a_check_that_leaves_the_others_keeps_what_is_known() {
    let (closed, address) = refusing();
    let (checks, mut verdicts) = start();
    set(&checks, vec![slow(1, address), slow(2, address)]);
    let both = [next(&mut verdicts).await, next(&mut verdicts).await];
    assert_eq!(both, [1, 2].map(|id| (id, down("connection refused"))));
    let _listener = closed.listen(16).unwrap();
    // With another timing it is asked again soon, and speaks because something changed.
    set(&checks, vec![slow(1, address), spec(2, address)]);
    assert_eq!(next(&mut verdicts).await, (2, Verdict::Up));
    // When it is as the others again it hears what they know.
    set(&checks, vec![slow(1, address), slow(2, address)]);
    assert_eq!(next(&mut verdicts).await, (2, down("connection refused")));
}

#[tokio::test]
async fn a_check_of_several_steps_takes_one_after_the_other() {
    let (asked, mut count) = mpsc::channel(16);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let is_first = request.starts_with(b"GET /a ");
            let status = if is_first { "200 OK" } else { "500 Error" };
            stream.write_all(format!("HTTP/1.0 {status}\r\n\r\n").as_bytes()).await.unwrap();
            asked.send(is_first).await.unwrap();
        }
    });
    let url = |path: &str| Url { path: path.to_owned(), ..page() };
    let http = HttpProbe { urls: vec![url("/a"), url("/b")], ..http::of(address, page()) };
    let (checks, mut verdicts) = start();
    let settings = Settings { steps: 2, pace: Pace::AtOnce, ..FAST };
    set(&checks, vec![CheckSpec { settings, ..of(1, Probe::Http(http)) }]);
    assert_eq!(next(&mut verdicts).await, (1, down("/b: HTTP status 500, wanted 200-299")));
    assert_eq!([count.recv().await, count.recv().await], [Some(true), Some(false)]);
}

#[tokio::test]
async fn a_check_that_rests_keeps_what_is_known_and_asks_nobody() {
    let (closed, address) = refusing();
    let (checks, mut verdicts) = start();
    let resting = |id, is_resting| CheckSpec { is_resting, ..spec(id, address) };
    set(&checks, vec![resting(1, false)]);
    assert_eq!(next(&mut verdicts).await, (1, down("connection refused")));
    set(&checks, vec![resting(1, true), resting(2, true)]);
    assert_eq!(
        next(&mut verdicts).await,
        (2, down("connection refused")),
        "the newcomer hears what is known"
    );
    let _listener = closed.listen(16).unwrap();
    let (other, mut count) = counting().await;
    set(&checks, vec![resting(1, true), resting(2, true), spec(3, other)]);
    assert_eq!(next(&mut verdicts).await, (3, Verdict::Up));
    for _ in 0..3 {
        count.recv().await.unwrap();
    }
    assert!(verdicts.try_recv().is_err(), "others were asked three times and it was not");
    assert_eq!(checks.account().checks(), 1);
    // The other keeps resting.
    set(&checks, vec![resting(1, false), resting(2, true), spec(3, other)]);
    assert_eq!(next(&mut verdicts).await, (1, Verdict::Up));
    set(&checks, vec![resting(1, false), resting(2, false), spec(3, other)]);
    assert_eq!(next(&mut verdicts).await, (2, Verdict::Up));
}

#[tokio::test]
async fn a_check_that_goes_to_rest_does_not_take_what_another_knew_before() {
    let (closed, address) = refusing();
    let (checks, mut verdicts) = start();
    let resting = |id, is_resting| CheckSpec { is_resting, ..spec(id, address) };
    set(&checks, vec![resting(1, false)]);
    assert_eq!(next(&mut verdicts).await, (1, down("connection refused")));
    set(&checks, vec![resting(1, true)]);
    while checks.account().checks() != 0 {
        tokio::task::yield_now().await;
    }
    let _listener = closed.listen(16).unwrap();
    // The other is awake, and knows better.
    set(&checks, vec![resting(1, true), resting(2, false)]);
    assert_eq!(next(&mut verdicts).await, (2, Verdict::Up));
    set(&checks, vec![resting(1, true), resting(2, true)]);
    let (other, _count) = counting().await;
    set(&checks, vec![resting(1, true), resting(2, true), spec(3, other)]);
    assert_eq!(next(&mut verdicts).await, (3, Verdict::Up), "nobody has heard anything of the second");
    set(&checks, vec![resting(1, true), resting(2, false), spec(3, other)]);
    set(&checks, vec![resting(1, false), resting(2, false), spec(3, other)]);
    assert_eq!(next(&mut verdicts).await, (1, Verdict::Up));
    assert!(verdicts.try_recv().is_err());
}
