//! Which git settings may be replicated with `gitmoor repo config`.
//!
//! A replicated setting takes effect on every machine that mounts the repository,
//! so whoever sets it acts there. A key stands in the table only if git reads it as
//! a switch, a number, one of a few words, or a ref prefix: never as a command, a
//! path, a URL or another file to include. So no value can make a machine run
//! or reveal anything. `core.fsmonitor`, `core.hooksPath`, `uploadpack.packObjectsHook`,
//! `*.textconv`, `filter.*`, `include.*`, `receive.denyCurrentBranch` (whose `updateInstead`
//! writes work trees) and their like are left out for that reason. `gitmoor.replicate` is ours, and git reads it as
//! nothing.

use super::{RepoPath, host_file};

/// What git makes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A boolean: `true` or `false`.
    Switch,
    /// A decimal number between these two (git takes the repository for broken when it
    /// meets another), with an optional k, m or g.
    Number {
        /// The least number that git accepts.
        least: i64,
        /// The greatest number that git accepts.
        most: i64,
    },
    /// A switch, or one of these words.
    SwitchOr(&'static [&'static str]),
    /// Ref name prefixes, such as `refs/internal`, with `!` and `^` in front as
    /// git-config(1) says: one a line, each a value of its own to git.
    RefPrefixes,
    /// Whom a repository is shared with, as in `core.sharedRepository`.
    Sharing,
    /// Paths that [`host_file::may_be_added`], one a line.
    HostFiles,
}

/// A setting that may be replicated.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// In git's own spelling.
    pub key: &'static str,
    /// What its value must look like.
    pub kind: Kind,
}

const fn switch(key: &'static str) -> Setting {
    Setting {
        key,
        kind: Kind::Switch,
    }
}

const fn number(key: &'static str, least: i64, most: i64) -> Setting {
    let kind = Kind::Number { least, most };
    Setting { key, kind }
}

/// What git keeps in an `int`: it takes the least of them for out of range.
const fn int(key: &'static str) -> Setting {
    number(key, -(i32::MAX as i64), i32::MAX as i64)
}

/// What git keeps in an `unsigned long`; the upper half of it is of no use.
const fn size(key: &'static str) -> Setting {
    number(key, 0, i64::MAX)
}

/// A level of zlib.
const fn level(key: &'static str) -> Setting {
    number(key, -1, 9)
}

const fn prefix(key: &'static str) -> Setting {
    Setting {
        key,
        kind: Kind::RefPrefixes,
    }
}

/// All of them, by name.
pub const SETTINGS: [Setting; 47] = [
    size("core.bigFileThreshold"),
    level("core.compression"),
    Setting {
        key: "core.logAllRefUpdates",
        kind: Kind::SwitchOr(&["always"]),
    },
    level("core.looseCompression"),
    Setting {
        key: "core.sharedRepository",
        kind: Kind::Sharing,
    },
    switch("fetch.fsckObjects"),
    int("fetch.unpackLimit"),
    int("gc.auto"),
    int("gc.autoPackLimit"),
    Setting {
        key: host_file::ADDED,
        kind: Kind::HostFiles,
    },
    switch("http.getanyfile"),
    switch("http.receivepack"),
    switch("http.uploadpack"),
    switch("maintenance.auto"),
    switch("pack.allowPackReuse"),
    level("pack.compression"),
    int("pack.deltaCacheLimit"),
    int("pack.deltaCacheSize"),
    int("pack.depth"),
    size("pack.packSizeLimit"),
    number("pack.threads", 0, i32::MAX as i64),
    switch("pack.useBitmaps"),
    int("pack.window"),
    size("pack.windowMemory"),
    switch("pack.writeBitmapHashCache"),
    switch("receive.advertiseAtomic"),
    switch("receive.advertisePushOptions"),
    switch("receive.autogc"),
    Setting {
        key: "receive.denyDeleteCurrent",
        kind: Kind::SwitchOr(&["warn", "ignore", "refuse"]),
    },
    switch("receive.denyDeletes"),
    switch("receive.denyNonFastForwards"),
    switch("receive.fsckObjects"),
    prefix("receive.hideRefs"),
    number("receive.maxInputSize", -i64::MAX, i64::MAX),
    switch("receive.shallowUpdate"),
    int("receive.unpackLimit"),
    switch("repack.packKeptObjects"),
    switch("repack.useDeltaBaseOffset"),
    switch("repack.useDeltaIslands"),
    switch("repack.writeBitmaps"),
    switch("transfer.fsckObjects"),
    prefix("transfer.hideRefs"),
    switch("uploadpack.allowAnySHA1InWant"),
    switch("uploadpack.allowFilter"),
    switch("uploadpack.allowReachableSHA1InWant"),
    switch("uploadpack.allowTipSHA1InWant"),
    prefix("uploadpack.hideRefs"),
];

/// Why a setting is not replicated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// The key is not in the table.
    #[error(
        "{key} is not a setting that can be replicated; expected one that runs nothing and names \
         no file: {}", SETTINGS.map(|setting| setting.key).join(", ")
    )]
    NotAllowed {
        /// The key, as it was given.
        key: String,
    },
    /// The value does not fit the key.
    #[error("{key}: {value:?} does not fit; expected {expected}")]
    Value {
        /// The key, in git's own spelling.
        key: &'static str,
        /// The value, as it was given.
        value: String,
        /// What the value must look like.
        expected: String,
    },
}

/// Finds a setting; git does not mind the case of its keys, so neither do we.
pub fn find(key: &str) -> Result<Setting, SettingError> {
    SETTINGS
        .into_iter()
        .find(|setting| setting.key.eq_ignore_ascii_case(key))
        .ok_or_else(|| SettingError::NotAllowed {
            key: key.to_owned(),
        })
}

impl Setting {
    /// Whether it decides who may do what, or see what, in the repository: then what a `config` says of it holds on
    /// every machine.
    pub fn is_for_safety(&self) -> bool {
        let groups = ["receive.deny", "uploadpack.", "http."];
        groups.iter().any(|group| self.key.starts_with(group))
            || matches!(
                self.key,
                "core.sharedRepository"
                    | "receive.fsckObjects"
                    | "receive.hideRefs"
                    | "receive.maxInputSize"
                    | "transfer.fsckObjects"
                    | "transfer.hideRefs"
            )
    }

    /// The values that git sees in one of ours.
    pub fn values(self, value: &str) -> impl Iterator<Item = &str> {
        let is_list = matches!(self.kind, Kind::RefPrefixes | Kind::HostFiles);
        value.split(move |c| is_list && c == '\n')
    }

    /// Whether the value is one that git will understand.
    pub fn check(&self, value: &str) -> Result<(), SettingError> {
        if self.kind.accepts(value) {
            return Ok(());
        }
        Err(SettingError::Value {
            key: self.key,
            value: value.to_owned(),
            expected: self.kind.expected(),
        })
    }
}

impl Kind {
    fn accepts(self, value: &str) -> bool {
        match self {
            Self::Switch => is_switch(value),
            Self::Number { least, most } => {
                number_of(value).is_some_and(|number| (least..=most).contains(&number))
            }
            Self::SwitchOr(words) => is_switch(value) || words.contains(&value),
            Self::RefPrefixes => {
                value.len() <= LONGEST_LIST && value.split('\n').all(is_ref_prefix)
            }
            Self::Sharing => is_switch(value) || is_sharing(value),
            Self::HostFiles => value.len() <= LONGEST_LIST && value.split('\n').all(is_host_file),
        }
    }

    fn expected(self) -> String {
        match self {
            Self::Switch => "true or false".to_owned(),
            Self::Number { least, most } => {
                format!("a number from {least} to {most}, such as 5 or 2k")
            }
            Self::SwitchOr(words) => format!("true, false, {}", words.join(", ")),
            Self::RefPrefixes => "ref prefixes such as refs/internal, one a line".to_owned(),
            Self::Sharing => "true, false, group, all, umask or a mode such as 0660".to_owned(),
            Self::HostFiles => "names such as gl-extra or info/extra, one a line, that begin with a small letter and that \
                 git has no use for"
                .to_owned(),
        }
    }
}

fn is_switch(value: &str) -> bool {
    matches!(
        value,
        "true" | "false" | "yes" | "no" | "on" | "off" | "1" | "0"
    )
}

/// git takes 010 for eight and 0x10 for sixteen; whoever writes that here means
/// something else.
fn number_of(value: &str) -> Option<i64> {
    let (digits, unit) = match value.as_bytes().last()?.to_ascii_lowercase() {
        b'k' => (&value[..value.len() - 1], 1 << 10),
        b'm' => (&value[..value.len() - 1], 1 << 20),
        b'g' => (&value[..value.len() - 1], 1 << 30),
        _ => (value, 1),
    };
    let plain = digits.strip_prefix('-').unwrap_or(digits);
    let is_decimal = plain == "0" || plain.starts_with(|c| ('1'..='9').contains(&c));
    let number = digits.parse::<i64>().ok().filter(|_| is_decimal);
    number?.checked_mul(unit)
}

/// As `git_config_perm` of git has it: a mode leaves the owner's rights.
fn is_sharing(value: &str) -> bool {
    let is_mode = matches!(
        value.as_bytes(),
        [b'0', b'6' | b'7', b'0'..=b'7', b'0'..=b'7']
    );
    is_mode
        || matches!(
            value,
            "umask" | "group" | "all" | "world" | "everybody" | "2"
        )
}

fn is_host_file(name: &str) -> bool {
    RepoPath::new(name).is_some_and(|path| host_file::may_be_added(&path))
}

/// Bytes of all values of a setting that is a list.
const LONGEST_LIST: usize = 16 << 10;

/// Bytes of a ref prefix.
const LONGEST_PREFIX: usize = 1024;

/// No quotes, backslashes, control characters or comment signs: the value is
/// rendered into a configuration file and must stay one value there.
fn is_ref_prefix(value: &str) -> bool {
    let name = value.trim_start_matches(['!', '^']);
    name.starts_with("refs/")
        && value.len() <= LONGEST_PREFIX
        && name
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"\"\\#;~^:?*[".contains(&b))
}
