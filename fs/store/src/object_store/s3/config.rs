//! Settings of an S3 store.

use crate::object_store::{Bandwidth, RetryPolicy, StoreUrl};
use std::fmt;
use std::path::PathBuf;

/// A bucket and how to reach it.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// Name of the bucket.
    pub bucket: String,
    /// What all keys begin with; no slash at its ends, may be empty.
    pub prefix: String,
    /// How to reach it.
    pub settings: S3Settings,
}

impl S3Config {
    /// For messages: `s3://bucket/prefix at endpoint`, and how it encrypts.
    pub(super) fn describe(&self) -> String {
        let (bucket, prefix) = (self.bucket.clone(), self.prefix.clone());
        let url = StoreUrl::S3 { bucket, prefix };
        let endpoint = self.settings.endpoint.as_deref().unwrap_or("AWS");
        match &self.settings.encryption {
            None => format!("{url} at {endpoint}"),
            Some(encryption) => format!("{url} at {endpoint} with {encryption}"),
        }
    }
}

/// How to reach S3. Everything is optional: what is not given here comes from the usual AWS chain
/// (environment, profile, web identity, container, instance metadata).
#[derive(Clone, Debug, Default)]
pub struct S3Settings {
    /// Such as `http://127.0.0.1:3900`; `None` is AWS.
    pub endpoint: Option<String>,
    /// Such as `eu-central-1`. With an endpoint and no region: `us-east-1`.
    pub region: Option<String>,
    /// Access key; without one, the SDK looks for credentials.
    pub credentials: Option<S3Credentials>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`.
    pub path_style: bool,
    /// How the server is to encrypt; `None` leaves that to the bucket.
    pub encryption: Option<Encryption>,
    /// A file of certificates (PEM) of those who may vouch for the server, instead of the system's.
    pub ca_bundle: Option<PathBuf>,
    /// How long requests are tried.
    pub retry: RetryPolicy,
    /// How many bytes go and come in a second.
    pub bandwidth: Bandwidth,
}

/// Encryption by the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Encryption {
    /// With its own keys: SSE-S3.
    S3,
    /// With a key of a key management service: SSE-KMS.
    Kms {
        /// Id, alias or ARN; `None` is the account's key for S3.
        key: Option<String>,
        /// Whether a key of the bucket stands for it; `None` leaves that to the bucket.
        bucket_key: Option<bool>,
    },
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::S3 => "SSE-S3",
            Self::Kms { .. } => "SSE-KMS",
        })
    }
}

/// An access key. Its `Debug` shows no secret.
#[derive(Clone)]
pub struct S3Credentials {
    /// The public part of the access key.
    pub access_key_id: String,
    /// The secret part of the access key.
    pub secret_access_key: String,
    /// Session token; only temporary credentials have one.
    pub session_token: Option<String>,
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}
