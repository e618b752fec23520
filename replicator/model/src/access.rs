//! Who may do what through the doors of `gitmoor serve`: users and their groups, tokens, grants.
//!
//! A user has a role in a repository by grants: of the repository itself, of a directory above it, to the user, to a
//! group of the user, to everyone. The greatest counts. A token never allows more than its holder may, nor than its own
//! scope says.

use super::{NamePath, RepoId, RepoPattern, SecretDigest, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Bytes of a name.
const LONGEST_NAME: usize = 64;
/// Bytes of what a token is called.
const LONGEST_LABEL: usize = 200;
/// Patterns of a token, as many as a [`super::Scope`] obeys.
const MOST_PATTERNS: usize = 64;

/// What everyone is called, where a user could stand.
const EVERYONE: &str = "everyone";

/// A text is no name of a user or group.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0:?} is no name; expected up to {LONGEST_NAME} small letters, digits, dots, dashes and underscores, the first of \
     them a letter or digit"
)]
pub struct NameError(String);

fn check_name(text: &str) -> Result<(), NameError> {
    let is_first = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_one = |byte: u8| is_first(&byte) || matches!(byte, b'.' | b'-' | b'_');
    let begins = text.as_bytes().first().is_some_and(is_first);
    let is_sound = begins && text.len() <= LONGEST_NAME && text.bytes().all(is_one);
    match is_sound && text != EVERYONE {
        true => Ok(()),
        false => Err(NameError(text.to_owned())),
    }
}

macro_rules! name_type {
    ($(#[doc = $doc:literal])+ $Name:ident) => {
        $(#[doc = $doc])+
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $Name(String);

        impl $Name {
            /// The name as it is typed.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $Name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                check_name(&text).map(|()| Self(text))
            }
        }

        impl FromStr for $Name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$Name> for String {
            fn from(name: $Name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

name_type!(
    /// A user of the doors: no user of any machine.
    UserName
);
name_type!(
    /// A group of such users.
    GroupName
);

/// As whom logs and hooks know callers that are no users.
pub const DEPLOY: &str = "deploy";
/// The same of those who show no token.
pub const ANONYMOUS: &str = "anonymous";

impl UserName {
    /// Whether no new user may be called so: in logs it would be somebody else.
    pub fn is_reserved(&self) -> bool {
        [DEPLOY, ANONYMOUS].contains(&self.as_str())
    }
}

/// What may be done in a repository. Each includes the ones before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Role {
    /// Fetch.
    Read,
    /// Push, but branches only go forward and stay.
    Write,
    /// Rewrite and delete branches.
    Force,
}

impl Role {
    /// All, the least first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Force];

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Force => "force",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| format!("{text:?} is no role; expected read, write or force"))
    }
}

/// To whom something is granted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Grantee {
    /// Whoever asks, without a name. Only [`Role::Read`].
    Everyone,
    /// One user.
    User(UserName),
    /// All users of a group.
    Group(GroupName),
}

impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.pad(EVERYONE),
            Self::User(user) => f.pad(user.as_str()),
            Self::Group(group) => f.pad(&format!("@{group}")),
        }
    }
}

/// As it is typed: `everyone`, a user, or `@` and a group.
impl FromStr for Grantee {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix('@') {
            Some(group) => group.parse().map(Self::Group),
            None if text == EVERYONE => Ok(Self::Everyone),
            None => text.parse().map(Self::User),
        }
    }
}

/// Where something is granted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Ground {
    /// A repository, wherever it stands.
    Repository(RepoId),
    /// A directory of the namespace with all that is beneath it; the root is everything.
    Directory(NamePath),
}

/// What a token is known by. No secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct TokenId(pub [u8; 8]);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&super::hex(&self.0))
    }
}

impl FromStr for TokenId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no id of a token; gitmoor token list shows them");
        let is_hex = text.len() == ID_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u64::from_str_radix(text, 16) {
            Ok(number) if is_hex => Ok(Self(number.to_be_bytes())),
            Ok(_) | Err(_) => Err(wrong()),
        }
    }
}

/// At the front of a token, so that a search for secrets finds it.
const PREFIX: &str = "gmt_";
/// Digits of the id, and of the secret.
const ID_DIGITS: usize = 16;
const SECRET_DIGITS: usize = 64;

/// A token as its holder has it: `gmt_`, the id, `_`, the secret.
pub fn token_text(id: TokenId, secret: &[u8; 32]) -> String {
    format!("{PREFIX}{id}_{}", super::hex(secret))
}

/// Which token a text is said to be, and what its secret is known by; `None` when it is none.
pub fn presented(text: &str) -> Option<(TokenId, SecretDigest)> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_sound = id.len() == ID_DIGITS && secret.len() == SECRET_DIGITS;
    if !is_sound || !id.bytes().chain(secret.bytes()).all(is_hex) {
        return None;
    }
    Some((id.parse().ok()?, SecretDigest::of(secret.as_bytes())))
}

/// A token, without its secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Token {
    /// What its secret, as it is written, is known by.
    pub digest: SecretDigest,
    /// Whose it is. `None` for a deploy token, which may what its scope says and has no grants.
    pub holder: Option<UserName>,
    /// For these repositories only; all of the holder's without a pattern.
    pub repos: Vec<RepoPattern>,
    /// No more than this.
    pub role: Role,
    /// Until when, by the clock of the node that is shown it. `None` for good.
    pub expires: Option<Timestamp>,
    /// What people call it.
    pub label: String,
    /// By the clock of its proposer.
    pub created: Timestamp,
}

impl Token {
    /// Whether it is good at this time.
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| expires >= now)
    }

    /// Why a proposer may not say this, if so.
    pub(crate) fn unfit(&self) -> Option<&'static str> {
        let is_long = self.label.len() > LONGEST_LABEL;
        if is_long || self.label.contains(char::is_control) {
            return Some("a label has up to 200 bytes, and no control characters");
        }
        if self.repos.len() > MOST_PATTERNS {
            return Some("a token has too many patterns");
        }
        let is_of_all = self.holder.is_none() && self.repos.is_empty();
        is_of_all.then_some("a deploy token names its repositories")
    }
}

/// A user of the doors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct User {
    /// By the clock of the proposer.
    pub created: Timestamp,
}

/// One change of who may do what.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AccessChange {
    /// A new user, who may nothing yet.
    AddUser(UserName),
    /// The user goes, and with it its tokens, grants and groups.
    RemoveUser(UserName),
    /// A user comes into a group.
    Join {
        /// Who.
        user: UserName,
        /// Where.
        group: GroupName,
    },
    /// A user leaves a group.
    Leave {
        /// Who.
        user: UserName,
        /// From where.
        group: GroupName,
    },
    /// A new token.
    AddToken {
        /// Random.
        id: TokenId,
        /// What it is.
        token: Token,
    },
    /// A token is none from here on.
    RevokeToken(TokenId),
    /// Somebody gets a role, or with `None` loses it.
    Grant {
        /// Where.
        ground: Ground,
        /// Who.
        to: Grantee,
        /// What.
        role: Option<Role>,
    },
}

impl AccessChange {
    /// A short name of its kind, for metrics and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AddUser(_) => "add_user",
            Self::RemoveUser(_) => "remove_user",
            Self::Join { .. } => "join_group",
            Self::Leave { .. } => "leave_group",
            Self::AddToken { .. } => "add_token",
            Self::RevokeToken(_) => "revoke_token",
            Self::Grant { .. } => "grant",
        }
    }

    /// Why a proposer may not say this, if so.
    pub(crate) fn unfit(&self) -> Option<&'static str> {
        match self {
            Self::AddToken { token, .. } => token.unfit(),
            Self::Grant {
                to: Grantee::Everyone,
                role: Some(Role::Write | Role::Force),
                ..
            } => Some("everyone may get no more than read"),
            Self::Grant { .. }
            | Self::AddUser(_)
            | Self::RemoveUser(_)
            | Self::Join { .. }
            | Self::Leave { .. }
            | Self::RevokeToken(_) => None,
        }
    }
}
