//! SCTP associations: what opens one, makes it active, closes it.

use lb_common::sctp::chunk;

use crate::{
    bench::Bench,
    both::{Either, Family, PORT, serve},
    frame::SCTP,
};

/// What an association is for.
const DATA: u8 = 0;
/// Asks whether the other side is there.
const HEARTBEAT: u8 = 4;

fn sends(bench: &Bench, family: Family, chunk: u8) -> Result<u8, &'static str> {
    serve(bench, &family.asks(SCTP, 1, chunk))
}

/// The loads of servers 1 and 2.
fn loads(bench: &Bench, family: Family) -> [(u32, u32); 2] {
    [1, 2].map(|last| {
        match family {
            Family::V4 => bench.load(PORT, SCTP, last),
            Family::V6 => bench.load6(PORT, SCTP, last),
        }
        .expect("a row")
    })
}

const ACTIVE: [(u32, u32); 2] = [(0, 0), (1, 0)];
const INACTIVE: [(u32, u32); 2] = [(0, 0), (0, 1)];
const MOVED: [(u32, u32); 2] = [(0, 1), (0, 0)];

#[test]
fn an_association_opens_is_active_and_closes() {
    for family in Family::BOTH {
        let bench = family.director();
        for (chunk, load) in [
            (chunk::INIT, INACTIVE),
            (chunk::INIT, INACTIVE),
            (chunk::COOKIE_ECHO, ACTIVE),
            (DATA, ACTIVE),
            (HEARTBEAT, ACTIVE),
            (chunk::INIT, ACTIVE),
            (chunk::ERROR, ACTIVE),
            (chunk::SHUTDOWN, INACTIVE),
            (DATA, INACTIVE),
            (chunk::SHUTDOWN_COMPLETE, INACTIVE),
            (DATA, INACTIVE),
        ] {
            assert_eq!(sends(&bench, family, chunk), Ok(2), "{family:?}, chunk {chunk}");
            assert_eq!(loads(&bench, family), load, "{family:?}, chunk {chunk}");
        }
        assert_eq!(sends(&bench, family, chunk::INIT), Ok(1), "{family:?}: another turn");
        assert_eq!(loads(&bench, family), MOVED);
    }
}

#[test]
fn an_abort_closes_at_once_whatever_the_state() {
    for family in Family::BOTH {
        for before in [
            &[][..],
            &[chunk::COOKIE_ECHO],
            &[chunk::COOKIE_ECHO, DATA],
            &[chunk::COOKIE_ECHO, chunk::SHUTDOWN],
            &[chunk::INIT_ACK],
        ] {
            let bench = family.director();
            assert_eq!(sends(&bench, family, chunk::INIT), Ok(2));
            for &chunk in before {
                assert_eq!(sends(&bench, family, chunk), Ok(2));
            }
            assert_eq!(sends(&bench, family, chunk::ABORT), Ok(2), "the server is told");
            assert_eq!(loads(&bench, family), INACTIVE, "{family:?}, {before:?}");
            assert_eq!(sends(&bench, family, chunk::INIT), Ok(1), "{family:?}, {before:?}");
        }
    }
}

#[test]
fn nothing_but_an_init_opens_an_association() {
    for family in Family::BOTH {
        let bench = family.director();
        for chunk in (0..=255).filter(|&chunk| chunk != chunk::INIT) {
            assert_eq!(sends(&bench, family, chunk), Err("pass_no_flow"), "{family:?}, chunk {chunk}");
        }
        assert_eq!(loads(&bench, family), [(0, 0); 2]);
        assert_eq!(sends(&bench, family, chunk::INIT), Ok(2), "no turn was spent");
    }
}

/// A chunk with `data` bytes, padded, and another behind it.
fn bundle(family: Family, first: u8, data: usize, second: u8) -> Either {
    let padding = vec![0; data.wrapping_neg() % 4];
    family.asks(SCTP, 1, first).with_data(data, &[&padding[..], &[second, 0, 0, 4]].concat())
}

#[test]
fn an_abort_behind_a_cookie_counts() {
    for family in Family::BOTH {
        for (first, data, second, load) in [
            (chunk::COOKIE_ECHO, 0, chunk::ABORT, INACTIVE),
            (chunk::COOKIE_ECHO, 100, chunk::ABORT, INACTIVE),
            (chunk::COOKIE_ECHO, 101, chunk::ABORT, INACTIVE),
            (chunk::COOKIE_ECHO, 103, chunk::ABORT, INACTIVE),
            (chunk::COOKIE_ECHO, 1300, chunk::ABORT, INACTIVE),
            (chunk::COOKIE_ACK, 0, chunk::ABORT, INACTIVE),
            (chunk::COOKIE_ECHO, 100, DATA, ACTIVE),
            (chunk::COOKIE_ECHO, 100, chunk::SHUTDOWN, ACTIVE),
            (DATA, 100, chunk::ABORT, ACTIVE),
        ] {
            let bench = family.director();
            assert_eq!(sends(&bench, family, chunk::INIT), Ok(2));
            assert_eq!(sends(&bench, family, chunk::COOKIE_ECHO), Ok(2));
            assert_eq!(serve(&bench, &bundle(family, first, data, second)), Ok(2));
            let what = format!("{family:?}: {second} behind {first} with {data} bytes");
            assert_eq!(loads(&bench, family), load, "{what}");
        }
    }
}

#[test]
fn an_abort_beyond_the_packet_does_not_count() {
    for family in Family::BOTH {
        let bench = family.director();
        assert_eq!(sends(&bench, family, chunk::INIT), Ok(2));
        // Bytes behind the packet that look like one.
        let cookie = family.asks(SCTP, 1, chunk::COOKIE_ECHO).with_data(40, &[]);
        let frame = [cookie.frame(), vec![chunk::ABORT, 0, 0, 4]].concat();
        assert_eq!(bench.run(&frame).expect("the program runs").counted, [("forwarded_tx", 1)]);
        assert_eq!(loads(&bench, family), ACTIVE, "{family:?}");
    }
}
