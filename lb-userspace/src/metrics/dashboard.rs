//! `docs/grafana/xlvs.json` shows every metric there is, and no other.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use super::{Format, Metrics, PREFIX};
use crate::status::sample;

/// The names that a page in the older format has, without what histograms add to theirs.
fn exported() -> BTreeSet<String> {
    let page = Metrics::of(sample::status()).page(Format::Text);
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect()
}

fn dashboard() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/grafana/xlvs.json");
    serde_json::from_str(&fs::read_to_string(path).expect("it is there")).expect("it is JSON")
}

/// Every expression of a panel and of a variable.
fn expressions(of: &Value, found: &mut Vec<String>) {
    match of {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| match value {
            Value::String(text) if ["expr", "definition"].contains(&name.as_str()) => {
                found.push(text.clone());
            }
            _ => expressions(value, found),
        }),
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let mut found = Vec::new();
    expressions(&dashboard(), &mut found);
    let words = found.iter().flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    let named = words.filter(|word| word.starts_with(&format!("{PREFIX}_")));
    let shown: BTreeSet<String> =
        named.map(|name| name.strip_suffix("_bucket").unwrap_or(name).to_owned()).collect();
    assert_eq!(shown, exported());
}

#[test]
fn no_two_panels_have_one_place_or_one_number() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut numbers = BTreeSet::new();
    let mut places = BTreeSet::new();
    for panel in panels {
        assert!(numbers.insert(panel["id"].as_u64()), "{panel}");
        let at = |side: &str| panel["gridPos"][side].as_u64().expect("a place");
        for (x, y) in
            (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
        {
            assert!(x < 24 && places.insert((x, y)), "{panel}");
        }
    }
}
