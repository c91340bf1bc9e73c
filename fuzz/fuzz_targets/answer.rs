//! Arbitrary bytes as answers to `vip_check`: nothing panics, and the question that an answer names can be asked.

#![no_main]

use libfuzzer_sys::fuzz_target;
use xlvs::vip_probe::parse;

fuzz_target!(|packet: &[u8]| {
    let Some((question, _)) = parse(packet) else {
        return;
    };
    let asked = question.packet().expect("its addresses are of one family");
    assert_eq!(parse(&asked), None, "a question is no answer");
    let farewell = question.farewell().expect("its addresses are of one family");
    assert_eq!(farewell.as_deref().and_then(parse), None, "nor is a farewell");
});
