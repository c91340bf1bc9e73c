use super::super::{Held, HeldAddress};
use super::*;
use crate::config::Span;
use crate::config::model::vrrp::{Family, VirtualRule};
use crate::io::holdings::item::items;

fn address(text: &str) -> HeldAddress {
    HeldAddress {
        interface: "eth0".to_owned(),
        address: text.parse().unwrap(),
        prefix: None,
        label: None,
        scope: None,
        broadcast: None,
    }
}

fn addresses(texts: &[&str]) -> Held {
    Held { addresses: texts.iter().map(|text| address(text)).collect(), ..Held::default() }
}

fn hold(owner: &str, held: Held) -> Command {
    Command::Hold { owner: owner.to_owned(), items: items(held) }
}

fn release(owner: &str, held: Held) -> Command {
    Command::Release { owner: owner.to_owned(), items: items(held) }
}

fn names(items: impl IntoIterator<Item = Item>) -> Vec<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}

fn removals(book: &mut Book) -> Vec<String> {
    let mut removals = Vec::new();
    while let Some(item) = book.removal() {
        removals.push(item.to_string());
        book.removed();
    }
    removals
}

const ONE: &str = "address 10.0.0.1/32 dev eth0";
const TWO: &str = "address 10.0.0.2/32 dev eth0";

/// A book with [`ONE`], which was put there.
fn holding_one(now: Instant) -> Book {
    let mut book = Book::default();
    book.take(now, hold("A", addresses(&["10.0.0.1"])));
    assert_eq!(names(book.look(now)), [ONE]);
    assert!(book.may_try(now, ONE));
    assert_eq!(book.added(now, ONE, Some(2)), Added::First);
    book
}

#[test]
fn addresses_come_first_and_go_last() {
    let now = Instant::now();
    let rule = VirtualRule {
        family: Family::V4,
        from: None,
        to: None,
        iif: None,
        oif: None,
        fwmark: None,
        preference: None,
        table: 7,
        span: Span::default(),
    };
    let mut book = Book::default();
    book.take(now, hold("A", Held { rules: vec![rule.clone()], ..Held::default() }));
    book.take(now, hold("B", addresses(&["10.0.0.1"])));
    assert_eq!(names(book.look(now)), [ONE, "rule table 7"]);
    book.take(now, release("A", Held { rules: vec![rule], ..addresses(&["10.0.0.2"]) }));
    assert_eq!(removals(&mut book), ["rule table 7", TWO]);
}

#[test]
fn what_another_owner_holds_stays() {
    let now = Instant::now();
    let mut book = holding_one(now);
    book.take(now, hold("B", addresses(&["10.0.0.1", "10.0.0.2"])));
    book.take(now, release("A", addresses(&["10.0.0.1"])));
    assert_eq!(removals(&mut book), [""; 0]);
    book.take(now, hold("B", addresses(&["10.0.0.2"])));
    assert_eq!(removals(&mut book), [ONE]);
    assert_eq!(names(book.look(now)), [TWO]);
}

#[test]
fn what_is_held_again_is_not_removed() {
    let now = Instant::now();
    let mut book = holding_one(now);
    book.take(now, release("A", addresses(&["10.0.0.1"])));
    book.take(now, hold("A", addresses(&["10.0.0.1"])));
    assert_eq!(removals(&mut book), [""; 0]);
    assert_eq!(names(book.look(now)), [ONE]);
}

#[test]
fn a_fight_is_four_times_a_second() {
    let now = Instant::now();
    let mut book = holding_one(now);
    book.wake(now, Urgency::Soon);
    assert_eq!(book.next_look(), Some(now + GAP));
    book.look(now + GAP);
    assert!(!book.may_try(now + GAP, ONE));
    assert_eq!(book.next_look(), Some(now + PAUSE));
    book.look(now + PAUSE);
    assert!(book.may_try(now + PAUSE, ONE));
}

#[test]
fn a_burst_of_events_is_one_look() {
    let now = Instant::now();
    let mut book = holding_one(now);
    let later = now + WIDE_GAP * 2;
    book.wake(later, Urgency::Someday);
    assert_eq!(book.next_look(), Some(later));
    book.look(later);
    book.wake(later, Urgency::Someday);
    book.wake(later, Urgency::Someday);
    assert_eq!(book.next_look(), Some(later + WIDE_GAP));
    book.wake(later, Urgency::Soon);
    assert_eq!(book.next_look(), Some(later + GAP));
    assert!(!book.look_is_due(later));
    assert!(book.look_is_due(later + GAP));
}

#[test]
fn an_event_that_comes_too_early_is_two_looks() {
    let now = Instant::now();
    let mut book = holding_one(now);
    book.wake(now, Urgency::Twice);
    book.look(now + GAP);
    assert_eq!(book.next_look(), Some(now + GAP + WIDE_GAP));
    book.look(now + GAP + WIDE_GAP);
    assert_eq!(book.next_look(), None);
}

#[test]
fn a_failure_is_news_once_and_tried_again() {
    let now = Instant::now();
    let mut book = Book::default();
    book.take(now, hold("A", addresses(&["10.0.0.1"])));
    book.look(now);
    assert!(book.failed(now, ONE, "why"));
    assert!(book.waits());
    assert_eq!(book.next_look(), Some(now + RETRY));
    assert!(!book.failed(now, ONE, "why"));
    assert!(book.failed(now, ONE, "another reason"));
    assert_eq!(book.added(now + RETRY, ONE, Some(2)), Added::AtLast);
    assert!(!book.waits());
}

#[test]
fn what_is_put_back_is_told_once_a_minute() {
    let now = Instant::now();
    let mut book = holding_one(now);
    assert_eq!(book.added(now, ONE, Some(2)), Added::Again { recreated: false });
    assert_eq!(book.added(now + PAUSE, ONE, Some(2)), Added::StillAgain);
    assert_eq!(book.added(now + PAUSE + CALM, ONE, Some(3)), Added::Again { recreated: true });
}

#[test]
fn a_removal_that_fails_is_tried_again() {
    let now = Instant::now();
    let mut book = holding_one(now);
    book.take(now, release("A", addresses(&["10.0.0.1"])));
    book.look(now);
    book.removal_failed(now);
    assert!(book.removal().is_none());
    assert_eq!(book.next_look(), Some(now + RETRY));
    book.look(now + RETRY);
    assert_eq!(removals(&mut book), [ONE]);
}

#[test]
fn a_removal_that_failed_is_forgotten_when_it_is_held_again() {
    let now = Instant::now();
    let mut book = holding_one(now);
    book.take(now, release("A", addresses(&["10.0.0.1"])));
    book.removal_failed(now);
    book.take(now, hold("A", addresses(&["10.0.0.1"])));
    book.look(now);
    assert!(book.removal().is_none());
}
