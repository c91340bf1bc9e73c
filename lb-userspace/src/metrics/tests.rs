use std::collections::BTreeSet;

use super::*;
use crate::status::sample;

fn page(status: Status, format: Format) -> String {
    Metrics::of(status).page(format)
}

#[test]
fn a_page_is_as_it_was() {
    let mut status = sample::status();
    status.instances[0].lease_milliseconds = Some(2853);
    insta::assert_snapshot!(page(status, Format::OpenMetrics));
}

#[test]
fn virtual_routers_that_do_not_answer_are_told_as_that() {
    let status = Status { vrrp_answers: false, instances: Vec::new(), ..sample::status() };
    let page = page(status, Format::Text);
    let samples: Vec<&str> = page.lines().filter(|line| line.starts_with("xlvs_vrrp_")).collect();
    assert_eq!(samples, ["xlvs_vrrp_answers 0"]);
}

#[test]
fn both_formats_have_the_same_samples() {
    let samples = |format| {
        let page = page(sample::status(), format);
        let samples = page.lines().filter(|line| !line.starts_with('#')).map(str::to_owned);
        // A histogram's come in another order.
        samples.collect::<BTreeSet<_>>()
    };
    let text = samples(Format::Text);
    assert_eq!(text, samples(Format::OpenMetrics));
    assert!(text.iter().all(|sample| sample.starts_with("xlvs_")), "{text:#?}");
}

#[test]
fn a_name_may_have_anything_in_it() {
    let mut status = sample::status();
    status.instances[0].name = "a\"b\\c\nd".into();
    let page = page(status, Format::OpenMetrics);
    assert!(page.contains(r#"xlvs_vrrp_priority{vrrp_instance="a\"b\\c\nd"} 99"#), "{page}");
}

#[test]
fn who_does_not_ask_for_openmetrics_gets_the_older_format() {
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3";
    for (accept, format) in [
        (prometheus, Format::OpenMetrics),
        ("", Format::Text),
        ("*/*", Format::Text),
        ("text/html", Format::Text),
    ] {
        assert_eq!(Format::accepted(accept), format, "{accept}");
    }
}
