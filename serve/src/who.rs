//! Who asks: the Authorization header, and the token in it.
//!
//! A token is found by its id, which is no secret, and its secret is compared by digest in constant time. Whatever is
//! wrong with what was shown is answered in one and the same way.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gitmoor_model::{
    ANONYMOUS, DEPLOY, SecretDigest, Timestamp, Token, TokenId, UserName, presented,
};
use gitmoor_replicator::state::View;
use gitmoor_replicator::{ReadError, read};
use std::borrow::Cow;

/// The longest header that is looked at, bytes.
const LONGEST: usize = 1024;

/// What a request shows of who asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shown {
    /// Nothing.
    Nothing,
    /// Something that cannot be a token of ours.
    Nonsense,
    /// A token, and the name beside it, if there is one.
    Token {
        /// As whom, if it says so.
        name: Option<String>,
        /// Which token.
        id: TokenId,
        /// What its secret is known by.
        digest: SecretDigest,
    },
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// Nobody knows.
    Anonymous,
    /// A user, by a token.
    User(UserName, TokenId, Token),
    /// A machine, by a deploy token.
    Deploy(TokenId, Token),
}

impl Caller {
    /// For logs, hooks and the audit trail. A user who had the name before that was reserved is told from those whom it
    /// was reserved for: no user's name has a colon.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Anonymous => ANONYMOUS.into(),
            Self::User(user, ..) if user.is_reserved() => format!("user:{user}").into(),
            Self::User(user, ..) => user.as_str().into(),
            Self::Deploy(..) => DEPLOY.into(),
        }
    }

    pub(crate) fn token(&self) -> Option<TokenId> {
        match self {
            Self::Anonymous => None,
            Self::User(_, id, _) | Self::Deploy(id, _) => Some(*id),
        }
    }
}

/// What was shown is good for nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WhoError {
    #[error("this token is unknown, was revoked, has expired, or is another user's")]
    Wrong,
    #[error(transparent)]
    Unreadable(#[from] ReadError),
}

/// What a header says: `Basic`, with the token as the password, or `Bearer`.
pub fn shown(header: Option<&[u8]>) -> Shown {
    let Some(header) = header else {
        return Shown::Nothing;
    };
    let text = std::str::from_utf8(header).ok();
    let parted = text
        .filter(|text| text.len() <= LONGEST)
        .and_then(|text| text.split_once(' '));
    let Some((scheme, rest)) = parted else {
        return Shown::Nonsense;
    };
    let (name, token) = if scheme.eq_ignore_ascii_case("bearer") {
        (None, rest.trim().to_owned())
    } else if scheme.eq_ignore_ascii_case("basic") {
        match basic(rest.trim()) {
            Some((name, token)) => (Some(name), token),
            None => return Shown::Nonsense,
        }
    } else {
        return Shown::Nonsense;
    };
    match presented(&token) {
        Some((id, digest)) => Shown::Token { name, id, digest },
        None => Shown::Nonsense,
    }
}

fn basic(encoded: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (name, token) = decoded.split_once(':')?;
    Some((name.to_owned(), token.to_owned()))
}

/// Who that is, now.
pub(crate) fn who(view: &dyn View, shown: Shown, now: Timestamp) -> Result<Caller, WhoError> {
    let (name, id, digest) = match shown {
        Shown::Nothing => return Ok(Caller::Anonymous),
        Shown::Nonsense => return Err(WhoError::Wrong),
        Shown::Token { name, id, digest } => (name, id, digest),
    };
    let token = read::token(view, id)?.ok_or(WhoError::Wrong)?;
    if !token.digest.is(&digest) || !token.is_good(now) {
        return Err(WhoError::Wrong);
    }
    let Some(user) = token.holder.clone() else {
        return Ok(Caller::Deploy(id, token));
    };
    let is_other = name.is_some_and(|name| !name.is_empty() && name != user.as_str());
    match is_other || read::user(view, &user)?.is_none() {
        true => Err(WhoError::Wrong),
        false => Ok(Caller::User(user, id, token)),
    }
}
