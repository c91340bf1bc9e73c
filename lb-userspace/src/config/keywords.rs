//! Owns what is known of every keyword of keepalived.conf: its block, what it takes, what counts without it, what it
//! means, and whether it does anything yet. Reads no values: the tests hold the readers to the ranges, defaults and
//! heritage that stand here.
//!
//! The words and their shapes are those of keepalived 2.2 and 2.4, with what older files still carry.

mod global;
mod lvs;
mod vrrp;

use std::fmt;

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

/// What stands behind the arguments of a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// No block.
    None,
    /// A block of keywords.
    Block(BlockKind),
    /// A block whose lines are values.
    Lines,
    /// A block of values, or none.
    MaybeLines,
}

/// What a keyword does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It does what it says, or what is to be said is said where its value is read.
    Now,
    /// Nothing yet, and each use is warned of.
    Later,
    /// Nothing yet, and where its value is read it is said what becomes of it.
    Told,
    /// Nothing; said once for the block around it, or of no consequence for the service.
    Silent,
}

/// What stands behind a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing, or a block.
    Nothing,
    /// A whole number from the first to the second.
    Number(i64, i64),
    /// Seconds from the first to the second, which may have up to six decimals.
    Seconds(&'static str, &'static str),
    /// `yes` (`on`, `true`), `no` (`off`, `false`), or nothing for yes.
    Switch,
    /// What this describes.
    Text(&'static str),
}

/// What counts where a keyword is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// Nothing is there then.
    Nothing,
    /// The same as if this were written.
    Is(&'static str),
    /// What this describes.
    Says(&'static str),
}

/// Where a keyword that a block does not have comes from before its default counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heritage {
    /// From nowhere.
    None,
    /// The keyword of this name in the blocks around, from the inside out.
    Around,
    /// This keyword of `global_defs`.
    Global(&'static str),
}

/// One keyword of one kind of block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keyword {
    pub(super) name: &'static str,
    /// Fewest and most arguments.
    pub(super) arguments: (usize, usize),
    pub(super) body: Body,
    pub(super) effect: Effect,
    pub(super) form: Form,
    pub(super) default: Absent,
    pub(super) heritage: Heritage,
    /// The keyword of the same block whose value counts where neither this one nor its heritage is written.
    pub(super) beside: Option<&'static str>,
    /// The keyword of the same block that this one is another word for, or the opposite of: the last of them counts.
    pub(super) alias: Option<&'static str>,
    /// In one sentence.
    pub(super) meaning: &'static str,
    /// What is not as in keepalived; empty where nothing is.
    pub(super) difference: &'static str,
}

impl Keyword {
    const fn new(name: &'static str, fewest: usize, most: usize, body: Body) -> Self {
        Self {
            name,
            arguments: (fewest, most),
            body,
            effect: Effect::Silent,
            form: Form::Nothing,
            default: Absent::Nothing,
            heritage: Heritage::None,
            beside: None,
            alias: None,
            meaning: "",
            difference: "",
        }
    }

    const fn now(self) -> Self {
        Self { effect: Effect::Now, ..self }
    }

    const fn later(self) -> Self {
        Self { effect: Effect::Later, ..self }
    }

    const fn told(self) -> Self {
        Self { effect: Effect::Told, ..self }
    }

    const fn number(self, least: i64, most: i64) -> Self {
        Self { form: Form::Number(least, most), ..self }
    }

    const fn seconds(self, least: &'static str, most: &'static str) -> Self {
        Self { form: Form::Seconds(least, most), ..self }
    }

    /// Off where it is not written.
    const fn switch(self) -> Self {
        Self { form: Form::Switch, default: Absent::Is("no"), ..self }
    }

    const fn takes(self, form: &'static str) -> Self {
        Self { form: Form::Text(form), ..self }
    }

    const fn is(self, default: &'static str) -> Self {
        Self { default: Absent::Is(default), ..self }
    }

    const fn or(self, default: &'static str) -> Self {
        Self { default: Absent::Says(default), ..self }
    }

    const fn around(self) -> Self {
        Self { heritage: Heritage::Around, ..self }
    }

    const fn global(self, name: &'static str) -> Self {
        Self { heritage: Heritage::Global(name), ..self }
    }

    const fn beside(self, name: &'static str) -> Self {
        Self { beside: Some(name), ..self }
    }

    const fn alias(self, name: &'static str) -> Self {
        Self { alias: Some(name), ..self }
    }

    const fn means(self, meaning: &'static str) -> Self {
        Self { meaning, ..self }
    }

    const fn differs(self, difference: &'static str) -> Self {
        Self { difference, ..self }
    }

    /// The name under which [`Self::alias`]es are one.
    pub(super) const fn canonical(&self) -> &'static str {
        match self.alias {
            Some(name) => name,
            None => self.name,
        }
    }
}

/// Takes nothing.
const fn flag(name: &'static str) -> Keyword {
    Keyword::new(name, 0, 0, Body::None)
}

/// Takes one value.
const fn one(name: &'static str) -> Keyword {
    Keyword::new(name, 1, 1, Body::None)
}

/// Takes one value or none.
const fn maybe(name: &'static str) -> Keyword {
    Keyword::new(name, 0, 1, Body::None)
}

/// Takes one value or more.
const fn some(name: &'static str) -> Keyword {
    Keyword::new(name, 1, usize::MAX, Body::None)
}

/// Takes any number of values.
const fn any(name: &'static str) -> Keyword {
    Keyword::new(name, 0, usize::MAX, Body::None)
}

/// Takes a block of values.
const fn lines(name: &'static str) -> Keyword {
    Keyword::new(name, 0, 0, Body::Lines)
}

/// Takes a block of keywords and no value.
const fn block(name: &'static str, kind: BlockKind) -> Keyword {
    Keyword::new(name, 0, 0, Body::Block(kind))
}

/// Takes one value, the block's name, and a block of keywords.
const fn named(name: &'static str, kind: BlockKind) -> Keyword {
    Keyword::new(name, 1, 1, Body::Block(kind))
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
    (BlockKind::VirtualServer, lvs::VIRTUAL_SERVER),
    (BlockKind::RealServer, lvs::TIMING),
    (BlockKind::RealServer, lvs::REAL_SERVER),
    (BlockKind::TcpCheck, lvs::TIMING),
    (BlockKind::TcpCheck, lvs::TCP_CHECK),
    (BlockKind::HttpGet, lvs::TIMING),
    (BlockKind::HttpGet, lvs::CONNECT),
    (BlockKind::HttpGet, lvs::HTTP_GET),
    (BlockKind::SslGet, lvs::TIMING),
    (BlockKind::SslGet, lvs::CONNECT),
    (BlockKind::SslGet, lvs::HTTP_GET),
    (BlockKind::SslGet, lvs::SSL_GET),
    (BlockKind::Url, lvs::URL),
    (BlockKind::SmtpCheck, lvs::TIMING),
    (BlockKind::SmtpCheck, lvs::CONNECT),
    (BlockKind::SmtpCheck, lvs::SMTP_CHECK),
    (BlockKind::SmtpHost, lvs::CONNECT),
    (BlockKind::DnsCheck, lvs::TIMING),
    (BlockKind::DnsCheck, lvs::CONNECT),
    (BlockKind::DnsCheck, lvs::DNS_CHECK),
    (BlockKind::MiscCheck, lvs::TIMING),
    (BlockKind::MiscCheck, lvs::MISC_CHECK),
    (BlockKind::UdpCheck, lvs::TIMING),
    (BlockKind::UdpCheck, lvs::CONNECT),
    (BlockKind::UdpCheck, lvs::UDP_CHECK),
    (BlockKind::PingCheck, lvs::TIMING),
    (BlockKind::PingCheck, lvs::CONNECT),
    (BlockKind::FileCheck, lvs::FILE_CHECK),
    (BlockKind::BfdCheck, lvs::BFD_CHECK),
];

/// The keywords whose values must not be shown.
const SECRET: [&str; 3] = ["auth_pass", "auth_hmac", "password"];

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
    TABLE.iter().filter(move |(row, _)| *row == kind).flat_map(|(_, keywords)| keywords.iter())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
                BlockKind::RealServer,
                BlockKind::FileCheck,
            ]
        );
        assert!(homes("frobnicate").is_empty());
    }
}
