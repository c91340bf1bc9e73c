//! `xlvs` decides the same of real servers as keepalived, at the same moments: the scenarios in fixtures/health are played to it,
//! and beside each lies what keepalived decided where its kernel has IPVS.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use lb_tests::timed;
use lb_tests::timeline::{self, Moment, Scenario, Subject};

#[test]
fn checks_decide_as_keepalived_does_and_when_it_does() -> Result<()> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/health");
    let scenarios = Scenario::read_all(&fixtures)?;
    timed::on_time(|| {
        let observed = timeline::run(&scenarios, Subject::Xlvs)?;
        differences(&fixtures, &scenarios, &observed.moments)
    })
}

/// What is unlike the recordings, for people.
fn differences(fixtures: &Path, scenarios: &[Scenario], moments: &[Moment]) -> Result<String> {
    let mut found = String::new();
    for scenario in scenarios {
        let path = fixtures.join(&scenario.name).with_extension("tsv");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let recorded = timeline::read(&text).with_context(|| path.display().to_string())?;
        ensure!(!recorded.is_empty(), "{} has no decisions", path.display());
        let got: Vec<Moment> =
            moments.iter().filter(|moment| scenario.has(moment.service)).copied().collect();
        for difference in timeline::differences(&recorded, &got, scenario.tolerance) {
            write!(found, "{}: {difference}", scenario.name)?;
        }
    }
    Ok(found)
}
