//! A URL that may carry a password, which nobody is shown.

use super::ImportError;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Nothing that runs a program of the URL's choosing.
const PROTOCOLS: [&str; 5] = ["https", "http", "ssh", "git", "file"];

/// A URL that git can fetch from. `Debug` and `Display` hide its secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Url(String);

impl Url {
    /// Takes any text; an import checks the scheme.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(super) fn is_allowed(&self) -> bool {
        let scheme = self.0.split_once("://").map(|(scheme, _)| scheme);
        scheme.is_some_and(|scheme| PROTOCOLS.contains(&scheme))
    }

    /// Whether it names a database.
    pub fn is_postgres(&self) -> bool {
        ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| self.0.starts_with(scheme))
    }

    /// What git may use for it: servers send from http to https, and nowhere else.
    pub(super) fn protocols(&self) -> &'static str {
        match self.0.split_once("://").map(|(scheme, _)| scheme) {
            Some("https") => "https",
            Some("http") => "http:https",
            Some("git") => "git",
            // `host:path`.
            _ => "ssh",
        }
    }

    /// Of `file://`: a path of this machine, which nothing need be fetched from.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let path = percent_encoding::percent_decode_str(self.0.strip_prefix("file://")?);
        let path: Vec<u8> = path.collect();
        path.starts_with(b"/")
            .then(|| PathBuf::from(OsString::from_vec(path)))
    }

    /// As it was given.
    pub(super) fn secret(&self) -> &str {
        &self.0
    }

    /// User and password, as they stand there. A name without a password is none of ssh, but may be a token elsewhere.
    fn credentials(&self) -> Option<&str> {
        let (scheme, rest) = self.0.split_once("://")?;
        let host = rest.split(['/', '?', '#']).next()?;
        let (user, _) = host.rsplit_once('@')?;
        (!user.is_empty() && (scheme != "ssh" || user.contains(':'))).then_some(user)
    }

    /// What follows a question mark may be a token too.
    fn query(&self) -> Option<&str> {
        let (_, query) = self.0.split_once("://")?.1.split_once('?')?;
        (!query.is_empty()).then_some(query)
    }

    /// A text without what is secret of this.
    pub(super) fn redact(&self, text: &str) -> String {
        let secrets = [self.credentials(), self.query()];
        let mut text = text.to_owned();
        for secret in secrets.into_iter().flatten() {
            text = text.replace(secret, "***");
            // A program may leave out the user, and quote the password alone.
            if let Some((_, password)) = secret.split_once(':').filter(|(_, word)| word.len() > 2) {
                text = text.replace(password, "***");
            }
        }
        text
    }

    pub(super) fn without_secrets(&self, error: ImportError) -> ImportError {
        match error {
            ImportError::Git { step, said } => ImportError::Git {
                step,
                said: self.redact(&said),
            },
            other => other,
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redact(&self.0))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::Url;

    #[test]
    fn shows_no_secrets() {
        for (url, shown) in [
            ("https://me:secret@host/app.git", "https://***@host/app.git"),
            ("https://token@host/app.git", "https://***@host/app.git"),
            ("https://host/app.git?key=abc", "https://host/app.git?***"),
            ("ssh://git@host/app.git", "ssh://git@host/app.git"),
            ("ssh://git:secret@host/app.git", "ssh://***@host/app.git"),
            ("https://host/a@b/app.git", "https://host/a@b/app.git"),
            ("git@host:app.git", "git@host:app.git"),
        ] {
            assert_eq!(Url::new(url).to_string(), shown);
            assert_eq!(format!("{:?}", Url::new(url)), format!("{shown:?}"));
        }
        let url = Url::new("https://me:secret@host/app.git");
        let said = "fatal: unable to access 'https://me:secret@host/': password secret is wrong";
        let shown = "fatal: unable to access 'https://***@host/': password *** is wrong";
        assert_eq!(url.redact(said), shown);
    }
}
