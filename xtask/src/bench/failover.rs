//! `cargo xtask bench failover`: for how long a virtual address is not answered when its master dies or stops, for a
//! pair of xlvs beside a pair of keepalived in the same lab.
//!
//! A client asks for an echo every 2 ms; the figure is the longest time without an answer. What happens to the master
//! happens a chosen time after one of its adverts, because the others wait from that advert on: every round has its
//! time for each setting, the same for both programs.

mod plan;
mod report;
mod rig;

use anyhow::{Result, ensure};
use clap::Args;
use lb_tests::with_site;
use serde_json::json;

use self::plan::{Event, Setting, Subject, phase};
use self::report::Report;
use self::rig::Rig;
use super::document::Document;

/// Arguments of `cargo xtask bench failover`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Rounds; each measures everything once
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Also measure datagrams to a virtual server of xlvs with two real servers: the gap of its data plane
    #[arg(long)]
    datagrams: bool,
}

/// Measures and prints the tables; fails when the median of xlvs is above that of keepalived.
pub(crate) fn main(arguments: &Arguments, document: &mut Document) -> Result<()> {
    let mut report = Report::default();
    with_site(|site| {
        let rig = Rig::plug(site)?;
        for round in 0..arguments.rounds {
            eprintln!("round {} of {}", round + 1, arguments.rounds);
            for setting in Setting::ALL {
                for event in Event::ALL {
                    for &subject in Subject::of(arguments.datagrams) {
                        let phase = phase(setting, round);
                        report.add(
                            setting,
                            event,
                            subject,
                            rig.measure(site, setting, event, subject, phase)?,
                        );
                    }
                }
            }
        }
        Ok(())
    })?;
    print!("{report}");
    let setup = || json!({ "rounds": arguments.rounds });
    report.measurements().for_each(|measurement| document.add(measurement.with(setup())));
    let worse = report.worse();
    ensure!(worse == 0, "the median of xlvs is above that of keepalived in {worse} of the cases");
    Ok(())
}
