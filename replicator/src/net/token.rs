//! What a new node or client is given to join: `gitmoor-join-…`, to copy and paste.
//!
//! It holds the cluster's certificate, so that the new node knows whom it talks to before it sends
//! the secret, and needs no verification of its own making.

use super::ClusterId;
use crate::model::Part;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

const PREFIX: &str = "gitmoor-join-";

/// Admits one, once. Its `Debug` does not show the secret; its `Display` is the token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The cluster that the token admits to.
    pub cluster: ClusterId,
    /// Where to ask, host:port.
    pub address: String,
    /// The cluster's certificate, DER.
    pub authority: Vec<u8>,
    /// What proves that an administrator wants this node or client.
    pub secret: [u8; 32],
    /// Which of the two.
    pub part: Part,
}

/// A text is no token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected the token that `gitmoor cluster token` printed, which begins with {PREFIX}")]
pub struct TokenError;

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = postcard::to_stdvec(self).expect("plain data encodes");
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(TokenError)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenError)?;
        match postcard::take_from_bytes(&bytes) {
            Ok((token, [])) => Ok(token),
            Ok(_) | Err(_) => Err(TokenError),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("cluster", &self.cluster)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
