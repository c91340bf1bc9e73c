//! `FILE_CHECK`: the number in a file says whether a server is up, or what is added to its weight.

use tracing::debug;

use super::probe::Failure;
use crate::config::model::check::FileProbe;
use crate::health::{Input, Share};
use crate::io::trackers;

/// Looks at the file. One that is not there or has no number in it counts as 0, as it does for virtual routers.
pub(super) fn probe(file: &FileProbe) -> Result<Input, Failure> {
    let value = trackers::number(&file.path).unwrap_or_else(|reason| {
        debug!("track_file {} counts as 0: {reason}", file.name);
        0
    });
    match (file.weight, (value == 0) == file.reverse) {
        (0, true) => Err(format!("the file {} says {value}", file.path.display()).into()),
        (0, false) => Ok(Input::Passed),
        (weight, _) => {
            let product = i64::from(value) * i64::from(weight);
            Ok(Input::PassedWith(Share::By(if file.reverse { -product } else { product })))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_number_times_the_weight_is_added() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        let said = |content: &str, weight, reverse| {
            fs::write(&path, content).unwrap();
            probe(&FileProbe { name: "f".to_owned(), path: path.clone(), weight, reverse })
        };
        let by = |more| Ok(Input::PassedWith(Share::By(more)));
        assert_eq!(said("-7\n", 2, false), by(-14));
        assert_eq!(said("-7\n", 2, true), by(14));
        assert_eq!(said("rubbish", 2, true), by(0));
        assert_eq!(said("2147483647", -2_147_483_647, false), by(-4_611_686_014_132_420_609));
        assert_eq!(said("0", 0, false), Ok(Input::Passed));
        assert_eq!(said("1", 0, false), Err(format!("the file {} says 1", path.display()).into()));
        assert_eq!(said("1", 0, true), Ok(Input::Passed));
        assert_eq!(said("0", 0, true), Err(format!("the file {} says 0", path.display()).into()));
    }
}
