//! What a health checker decides of real servers, and when: scenarios of faults, the servers that play them, and the
//! decisions as `xlvs` and keepalived log them.

mod logs;
mod run;
mod scenario;
mod servers;
mod stage;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, bail};

pub use self::run::{Observed, Subject, run};
pub use self::scenario::Scenario;

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A real server is up.
    Up(IpAddr),
    /// A real server is down.
    Down(IpAddr),
    /// A real server has another weight.
    Weight(IpAddr, u32),
    /// The virtual server has its quorum.
    Gained,
    /// It has none.
    Lost,
    /// Its sorry server stands in.
    Sorry(IpAddr),
    /// Its sorry server is relieved.
    Relieved(IpAddr),
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up(server) => write!(f, "{server}\tup"),
            Self::Down(server) => write!(f, "{server}\tdown"),
            Self::Weight(server, weight) => write!(f, "{server}\tweight {weight}"),
            Self::Gained => f.write_str("-\tquorum gained"),
            Self::Lost => f.write_str("-\tquorum lost"),
            Self::Sorry(server) => write!(f, "{server}\tsorry server in"),
            Self::Relieved(server) => write!(f, "{server}\tsorry server out"),
        }
    }
}

impl Decision {
    fn parse(server: &str, what: &str) -> Result<Self> {
        let address = || server.parse().with_context(|| format!("no address: {server}"));
        Ok(match what {
            "up" => Self::Up(address()?),
            "down" => Self::Down(address()?),
            "quorum gained" => Self::Gained,
            "quorum lost" => Self::Lost,
            "sorry server in" => Self::Sorry(address()?),
            "sorry server out" => Self::Relieved(address()?),
            _ => match what.strip_prefix("weight ") {
                Some(weight) => Self::Weight(address()?, weight.parse()?),
                None => bail!("no decision: {what}"),
            },
        })
    }
}

/// A decision about a virtual server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// After the first probe, negative before it.
    pub millis: i64,
    /// Which virtual server.
    pub service: SocketAddr,
    /// What was decided.
    pub decision: Decision,
}

/// Seconds, virtual server, real server, decision: a line with tabs between.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { millis, service, decision } = self;
        write!(f, "{:.2}\t{service}\t{decision}", *millis as f64 / 1000.0)
    }
}

impl FromStr for Moment {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        let columns: Vec<&str> = line.split('\t').collect();
        let &[seconds, service, server, what] = columns.as_slice() else { bail!("not four columns: {line}") };
        let seconds: f64 = seconds.parse().with_context(|| format!("no number of seconds: {line}"))?;
        let millis = (seconds * 1000.0).round() as i64;
        Ok(Self { millis, service: service.parse()?, decision: Decision::parse(server, what)? })
    }
}

/// Reads lines of moments; those that begin with `#` are comments.
///
/// # Errors
/// A line that is none.
pub fn read(text: &str) -> Result<Vec<Moment>> {
    text.lines().filter(|line| !line.starts_with('#')).map(str::parse).collect()
}

/// What is different in `got`: other decisions, or another order of them, of a virtual server or a real server in it, or a
/// moment more than `tolerance` away. What is decided before the first probe counts as decided with it.
pub fn differences(expected: &[Moment], got: &[Moment], tolerance: Duration) -> Vec<String> {
    let (expected, mut got) = (by_subject(expected), by_subject(got));
    let mut found = Vec::new();
    for (subject, expected) in expected {
        let got = got.remove(&subject).unwrap_or_default();
        let decisions = |moments: &[Moment]| moments.iter().map(|one| one.decision).collect::<Vec<_>>();
        if decisions(&expected) != decisions(&got) {
            let text = |of: &[Moment]| of.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n    ");
            found.push(format!(
                "{}: wanted\n    {}\n  got\n    {}\n",
                subject.0,
                text(&expected),
                text(&got)
            ));
            continue;
        }
        for (expected, got) in expected.iter().zip(&got) {
            if u128::from(expected.millis.abs_diff(got.millis)) > tolerance.as_millis() {
                found.push(format!("wanted {expected}\n   got {got}\n"));
            }
        }
    }
    found.extend(got.into_values().flatten().map(|moment| format!("{moment}: not wanted\n")));
    found
}

/// The virtual server, and the real server if it is about one.
type About = (SocketAddr, Option<IpAddr>);

fn by_subject(moments: &[Moment]) -> BTreeMap<About, Vec<Moment>> {
    let mut subjects: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for moment in moments {
        let server = match moment.decision {
            Decision::Up(server) | Decision::Down(server) | Decision::Weight(server, _) => Some(server),
            Decision::Gained | Decision::Lost | Decision::Sorry(_) | Decision::Relieved(_) => None,
        };
        let moment = Moment { millis: moment.millis.max(0), ..*moment };
        subjects.entry((moment.service, server)).or_default().push(moment);
    }
    subjects
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# a comment\n-0.02\t10.0.0.1:80\t10.0.0.2\tdown\n4.50\t10.0.0.1:80\t-\tquorum lost\n\
                        4.51\t10.0.0.1:80\t10.0.0.9\tsorry server in\n9.00\t10.0.0.1:80\t10.0.0.2\tweight 3\n";

    #[test]
    fn lines_are_read_as_they_are_written() {
        let moments = read(TEXT).expect("lines");
        assert_eq!((moments[0].millis, moments.len()), (-20, 4));
        let written: String = moments.iter().map(|moment| moment.to_string() + "\n").collect();
        assert_eq!(written, TEXT.trim_start_matches("# a comment\n"));
        for wrong in ["1\t10.0.0.1:80\tup", "x\t10.0.0.1:80\t-\tquorum lost", "1\t10.0.0.1:80\t-\tup"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_moment_and_the_order_count() {
        let expected = read(TEXT).expect("lines");
        let tolerance = Duration::from_millis(300);
        let differ = |change: &dyn Fn(&mut Vec<Moment>)| {
            let mut got = expected.clone();
            change(&mut got);
            differences(&expected, &got, tolerance).len()
        };
        assert_eq!(differ(&|got| got[1].millis += 300), 0);
        assert_eq!(differ(&|got| got[1].millis -= 301), 1);
        assert_eq!(differ(&|got| got[0].millis -= 1000), 0);
        assert_eq!(differ(&|got| got.swap(1, 2)), 1);
        assert_eq!(differ(&|got| got.retain(|one| one.decision != Decision::Lost)), 1);
        assert_eq!(differ(&|got| got[3].service.set_port(81)), 2);
        assert_eq!(differ(&|got| got.swap(0, 3)), 1);
        assert_eq!(differ(&|got| got.clear()), 2);
    }
}
