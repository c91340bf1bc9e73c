//! Arbitrary bytes as a keepalived.conf: nothing panics, and what loads is printed and read again as the same model.

#![no_main]

use libfuzzer_sys::fuzz_target;
use xlvs::config::{Config, explain, parse, print, render};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let parsed = parse("fuzz", &text);
    let said = render(&parsed);
    assert_eq!(said.is_empty(), parsed.diagnostics.is_empty());
    let Some(explained) = explain(&parsed) else {
        assert!(parsed.has_errors());
        return;
    };
    let model = parsed.config.expect("what is explained loads").without_places();
    for text in [explained, print(&model)] {
        let again = parse("printed", &text);
        let said = render(&again);
        assert_eq!(again.config.map(Config::without_places).as_ref(), Some(&model), "{text}\n{said}");
    }
});
