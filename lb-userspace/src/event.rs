//! What happens in a director, as `xlvs events` tells it: one JSON object for each. Decides nothing.

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::{Deserialize, Serialize};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// When, in seconds since 1970 began (UTC), to the millisecond.
    pub time: f64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened. Services and real servers have the names that they have in metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// The first line: what happens from now on follows.
    Following {
        /// Version of the daemon.
        version: String,
    },
    /// So many events were not read in time, and are not told.
    Lost {
        /// How many.
        count: u64,
    },
    /// A `vrrp_instance` went into another state.
    Router {
        /// Its name.
        instance: String,
        /// `MASTER`, `BACKUP`, `FAULT` or `STOP`.
        from: String,
        /// Likewise.
        to: String,
        /// Its effective priority.
        priority: u8,
        /// Why, for people.
        reason: String,
    },
    /// The effective priority of a `vrrp_instance` changed.
    Priority {
        /// Its name.
        instance: String,
        /// What it is now.
        priority: u8,
    },
    /// All members of a `vrrp_sync_group` went into a state.
    Group {
        /// Its name.
        group: String,
        /// `MASTER`, `BACKUP`, `FAULT` or `STOP`.
        to: String,
    },
    /// A check of a real server came to another result.
    Check {
        /// The service.
        service: String,
        /// The real server.
        server: String,
        /// It passes now.
        passes: bool,
        /// Why it does not, for people.
        reason: Option<String>,
    },
    /// All checks of a real server pass again, or the first has failed; or the way to it was found, or lost.
    Server {
        /// The service.
        service: String,
        /// The real server.
        server: String,
        /// It is back; and takes connections if neither a check nor the way is against it.
        up: bool,
        /// What decided.
        cause: Cause,
        /// Why it is out, for people.
        reason: Option<String>,
    },
    /// A check gave a real server another weight.
    Weight {
        /// The service.
        service: String,
        /// The real server.
        server: String,
        /// The weight before.
        from: u16,
        /// The weight now.
        to: u16,
    },
    /// A service gained or lost its quorum.
    Quorum {
        /// The service.
        service: String,
        /// It has it now.
        held: bool,
        /// The sorry server, which stands in while the quorum is lost.
        sorry: Option<String>,
        /// The numbers that decided, as keepalived writes them.
        rule: String,
    },
    /// The file was read again and is in force.
    ConfigurationLoaded {
        /// The file.
        file: String,
        /// What changed, one line each.
        changes: Vec<String>,
        /// What of the file is not in force in spite of it.
        warnings: Vec<String>,
        /// Why another XDP program took the place of the running one, if it did.
        replaced: Option<String>,
    },
    /// The file was read again and is not in force as a whole; what was stays so, unless the reason says otherwise.
    ConfigurationRefused {
        /// The file.
        file: String,
        /// Is it the file that is wrong?
        in_file: bool,
        /// Why, in one line.
        reason: String,
    },
    /// Somebody changed something with ipvsadm's commands, or with `xlvs drain` and `xlvs undrain`.
    ByHand {
        /// What changed, one line each.
        changes: Vec<String>,
    },
}

/// What takes a real server out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// A check.
    Check,
    /// That its MAC address is not known, or it is reached through an interface without the program.
    Way,
}

/// The JSON Schema of a line of `xlvs events`.
pub fn schema() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Event>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_object() {
        let event = Event {
            time: 1_764_412_345.123,
            what: What::Server {
                service: "TCP 10.0.0.100:80".into(),
                server: "10.0.0.1:80".into(),
                up: false,
                cause: Cause::Check,
                reason: Some("connection refused".into()),
            },
        };
        let json = serde_json::to_string(&event).expect("serialises");
        assert_eq!(
            json,
            r#"{"time":1764412345.123,"event":"server","service":"TCP 10.0.0.100:80","server":"10.0.0.1:80","up":false,"cause":"check","reason":"connection refused"}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&json).expect("parses"), event);
    }
}
