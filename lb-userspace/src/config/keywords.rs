//! Owns what is known of every keyword of keepalived.conf: its block, what it takes, what counts without it, what it
//! means, and whether it does anything yet. Reads no values: the tests hold the readers to the ranges, defaults and
//! heritage that stand here.
//!
//! The words and their shapes are those of keepalived 2.2 and 2.4, with what older files still carry.

mod global;
mod lvs;
mod row;
mod vrrp;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::LazyLock;

pub(super) use row::{Absent, Body, Effect, Form, Heritage, Keyword, Repeat};
use row::{any, block, flag, lines, maybe, named, one, some};

/// A kind of block, or the outermost level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum BlockKind {
    Root,
    GlobalDefs,
    GarpGroup,
    TrackGroup,
    TrackFile,
    TrackProcess,
    BfdInstance,
    Ssl,
    VrrpScript,
    VrrpSyncGroup,
    VrrpInstance,
    Authentication,
    FwmarkRules,
    Mark,
    VirtualServer,
    RealServer,
    TcpCheck,
    HttpGet,
    SslGet,
    Url,
    SmtpCheck,
    SmtpHost,
    DnsCheck,
    MiscCheck,
    UdpCheck,
    PingCheck,
    FileCheck,
    BfdCheck,
}

impl fmt::Display for BlockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "the outermost level",
            Self::GlobalDefs => "global_defs",
            Self::GarpGroup => "garp_group",
            Self::TrackGroup => "track_group",
            Self::TrackFile => "track_file",
            Self::TrackProcess => "vrrp_track_process",
            Self::BfdInstance => "bfd_instance",
            Self::Ssl => "SSL",
            Self::VrrpScript => "vrrp_script",
            Self::VrrpSyncGroup => "vrrp_sync_group",
            Self::VrrpInstance => "vrrp_instance",
            Self::Authentication => "authentication",
            Self::FwmarkRules => "fwmark_rules",
            Self::Mark => "mark",
            Self::VirtualServer => "virtual_server",
            Self::RealServer => "real_server",
            Self::TcpCheck => "TCP_CHECK",
            Self::HttpGet => "HTTP_GET",
            Self::SslGet => "SSL_GET",
            Self::Url => "url",
            Self::SmtpCheck => "SMTP_CHECK",
            Self::SmtpHost => "host",
            Self::DnsCheck => "DNS_CHECK",
            Self::MiscCheck => "MISC_CHECK",
            Self::UdpCheck => "UDP_CHECK",
            Self::PingCheck => "PING_CHECK",
            Self::FileCheck => "FILE_CHECK",
            Self::BfdCheck => "BFD_CHECK",
        })
    }
}

/// Every kind of block with its keywords; several rows of one kind add up.
const TABLE: &[(BlockKind, &[Keyword])] = &[
    (BlockKind::Root, global::ROOT),
    (BlockKind::GlobalDefs, global::GLOBAL_DEFS),
    (BlockKind::GarpGroup, global::GARP_GROUP),
    (BlockKind::TrackGroup, global::TRACK_GROUP),
    (BlockKind::TrackFile, global::TRACK_FILE),
    (BlockKind::TrackProcess, global::TRACK_PROCESS),
    (BlockKind::BfdInstance, global::BFD_INSTANCE),
    (BlockKind::Ssl, global::SSL),
    (BlockKind::VrrpScript, vrrp::SCRIPT),
    (BlockKind::VrrpSyncGroup, vrrp::SYNC_GROUP),
    (BlockKind::VrrpSyncGroup, vrrp::NOTIFY_AND_TRACK),
    (BlockKind::VrrpInstance, vrrp::INSTANCE),
    (BlockKind::VrrpInstance, vrrp::NOTIFY_AND_TRACK),
    (BlockKind::Authentication, vrrp::AUTHENTICATION),
    (BlockKind::FwmarkRules, lvs::FWMARK_RULES),
    (BlockKind::Mark, lvs::MARK),
    (BlockKind::VirtualServer, lvs::TIMING),
    (BlockKind::VirtualServer, lvs::PACE),
    (BlockKind::VirtualServer, lvs::VIRTUAL_SERVER),
    (BlockKind::RealServer, lvs::TIMING),
    (BlockKind::RealServer, lvs::PACE),
    (BlockKind::RealServer, lvs::REAL_SERVER),
    (BlockKind::TcpCheck, lvs::TCP_RETRY),
    (BlockKind::TcpCheck, lvs::PACE),
    (BlockKind::TcpCheck, lvs::CONNECT),
    (BlockKind::TcpCheck, lvs::TCP_CHECK),
    (BlockKind::HttpGet, lvs::HTTP_RETRY),
    (BlockKind::HttpGet, lvs::PACE),
    (BlockKind::HttpGet, lvs::CONNECT),
    (BlockKind::HttpGet, lvs::HTTP_GET),
    (BlockKind::HttpGet, lvs::SSL_GET),
    (BlockKind::SslGet, lvs::HTTP_RETRY),
    (BlockKind::SslGet, lvs::PACE),
    (BlockKind::SslGet, lvs::CONNECT),
    (BlockKind::SslGet, lvs::HTTP_GET),
    (BlockKind::SslGet, lvs::SSL_GET),
    (BlockKind::Url, lvs::URL),
    (BlockKind::SmtpCheck, lvs::TCP_RETRY),
    (BlockKind::SmtpCheck, lvs::PACE),
    (BlockKind::SmtpCheck, lvs::CONNECT),
    (BlockKind::SmtpCheck, lvs::SMTP_CHECK),
    (BlockKind::SmtpHost, lvs::TCP_RETRY),
    (BlockKind::SmtpHost, lvs::PACE),
    (BlockKind::SmtpHost, lvs::SMTP_HOST),
    (BlockKind::DnsCheck, lvs::DNS_RETRY),
    (BlockKind::DnsCheck, lvs::PACE),
    (BlockKind::DnsCheck, lvs::CONNECT),
    (BlockKind::DnsCheck, lvs::DNS_CHECK),
    (BlockKind::MiscCheck, lvs::MISC_RETRY),
    (BlockKind::MiscCheck, lvs::PACE),
    (BlockKind::MiscCheck, lvs::MISC_CHECK),
    (BlockKind::UdpCheck, lvs::TCP_RETRY),
    (BlockKind::UdpCheck, lvs::PACE),
    (BlockKind::UdpCheck, lvs::CONNECT),
    (BlockKind::UdpCheck, lvs::UDP_CHECK),
    (BlockKind::PingCheck, lvs::TCP_RETRY),
    (BlockKind::PingCheck, lvs::PACE),
    (BlockKind::PingCheck, lvs::CONNECT),
    (BlockKind::FileCheck, lvs::FILE_CHECK),
    (BlockKind::BfdCheck, lvs::BFD_CHECK),
];

/// The keywords whose values must not be shown.
const SECRET: [&str; 3] = ["auth_pass", "auth_hmac", "password"];

/// Whether a command stands behind this keyword.
pub(super) fn takes_command(name: &str) -> bool {
    // It is asked for every line.
    static COMMANDS: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
        let keywords = TABLE.iter().flat_map(|(_, keywords)| keywords.iter());
        keywords.filter(|keyword| keyword.is_command).map(|keyword| keyword.name).collect()
    });
    COMMANDS.contains(name)
}

/// Every kind of block, in the order of the table.
pub(super) fn kinds() -> Vec<BlockKind> {
    let mut kinds: Vec<_> = TABLE.iter().map(|(kind, _)| *kind).collect();
    kinds.dedup();
    kinds
}

/// The keyword `name` of a block of kind `kind`.
pub(super) fn lookup(kind: BlockKind, name: &str) -> Option<&'static Keyword> {
    of(kind).find(|keyword| keyword.name == name)
}

/// The kind of block of keywords that `name` opens in a block of kind `kind`.
pub(super) fn opens(kind: BlockKind, name: &str) -> Option<BlockKind> {
    match lookup(kind, name)?.body {
        Body::Block(inner) => Some(inner),
        Body::None | Body::Lines | Body::MaybeLines => None,
    }
}

/// The kinds of block that know `name`, each once.
pub(super) fn homes(name: &str) -> Vec<BlockKind> {
    let mut kinds: Vec<_> = TABLE
        .iter()
        .filter(|(_, keywords)| keywords.iter().any(|keyword| keyword.name == name))
        .map(|(kind, _)| *kind)
        .collect();
    kinds.dedup();
    kinds
}

/// The keyword of a block of kind `kind` that is spelt most like `name`, if one is near enough to be meant.
pub(super) fn nearest(kind: BlockKind, name: &str) -> Option<&'static str> {
    nearest_of(of(kind).map(|keyword| keyword.name), name)
}

/// The one of `known` that is spelt most like `name`, if one is near enough to be meant.
pub(super) fn nearest_of<'a>(known: impl Iterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    let length = name.chars().count();
    // The distance is quadratic in the length, and no keyword is this long.
    if length > 64 {
        return None;
    }
    known
        .filter(|known| known.len() <= 256)
        .map(|known| (strsim::osa_distance(&known.to_lowercase(), &name.to_lowercase()), known))
        .min()
        .filter(|(distance, _)| *distance <= (length / 3).max(1))
        .map(|(_, nearest)| nearest)
}

/// Whether `word` is a keyword behind which a secret stands, or is probably meant to be one.
pub(super) fn hides(word: &str) -> bool {
    nearest_of(SECRET.into_iter(), word).is_some()
}

/// The keywords of a block of kind `kind`, in the order of the table.
pub(super) fn of(kind: BlockKind) -> impl Iterator<Item = &'static Keyword> {
    // It is asked for every statement.
    static BY_KIND: LazyLock<BTreeMap<BlockKind, Vec<&Keyword>>> = LazyLock::new(|| {
        let mut by_kind = BTreeMap::<_, Vec<_>>::new();
        for (kind, keywords) in TABLE {
            by_kind.entry(*kind).or_default().extend(keywords.iter());
        }
        by_kind
    });
    BY_KIND.get(&kind).into_iter().flatten().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_keyword_is_there_twice_in_a_block() {
        let mut seen = BTreeSet::new();
        for (kind, keywords) in TABLE {
            for keyword in *keywords {
                assert!(seen.insert((kind, keyword.name)), "{} twice in {kind}", keyword.name);
            }
        }
    }

    #[test]
    fn what_takes_a_command_takes_one_in_every_block() {
        // The lexer reads a line before it is known what block it is in.
        for keyword in TABLE.iter().flat_map(|(_, keywords)| keywords.iter()) {
            assert_eq!(takes_command(keyword.name), keyword.is_command, "{}", keyword.name);
        }
        assert!(takes_command("script") && !takes_command("frobnicate"));
    }

    #[test]
    fn every_kind_of_block_is_opened_somewhere() {
        let opened: BTreeSet<_> = TABLE
            .iter()
            .flat_map(|(_, keywords)| keywords.iter())
            .filter_map(|keyword| match keyword.body {
                Body::Block(kind) => Some(kind),
                Body::None | Body::Lines | Body::MaybeLines => None,
            })
            .collect();
        for (kind, _) in TABLE {
            assert!(*kind == BlockKind::Root || opened.contains(kind), "{kind}");
        }
    }

    #[test]
    fn the_nearest_keyword_is_one_of_the_block() {
        assert_eq!(nearest(BlockKind::RealServer, "wieght"), Some("weight"));
        assert_eq!(nearest(BlockKind::RealServer, "tcp_check"), Some("TCP_CHECK"));
        assert_eq!(nearest(BlockKind::VirtualServer, "lb_alg"), Some("lb_algo"));
        assert_eq!(nearest(BlockKind::VirtualServer, "frobnicate"), None);
        assert_eq!(nearest(BlockKind::VirtualServer, &"l".repeat(1000)), None);
    }

    #[test]
    fn secrets_are_known_though_misspelt() {
        assert!(
            ["auth_pass", "AUTH_PASS", "auth_pas", "auht_pass", "password"]
                .map(hides)
                .iter()
                .all(|hides| *hides)
        );
        for (_, keywords) in TABLE {
            for keyword in *keywords {
                assert_eq!(hides(keyword.name), SECRET.contains(&keyword.name), "{}", keyword.name);
            }
        }
    }

    #[test]
    fn a_keyword_knows_its_blocks() {
        assert_eq!(homes("advert_int"), [BlockKind::VrrpInstance]);
        assert_eq!(
            homes("weight"),
            [
                BlockKind::TrackFile,
                BlockKind::TrackProcess,
                BlockKind::BfdInstance,
                BlockKind::VrrpScript,
                BlockKind::VirtualServer,
                BlockKind::RealServer,
                BlockKind::FileCheck,
            ]
        );
        assert!(homes("frobnicate").is_empty());
    }
}
