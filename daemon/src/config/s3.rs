//! How an `s3://` store is reached, and how it is to encrypt.

use super::layer::{Credentials, S3Layer};
use super::place::absolute;
use super::value::Sse;
use super::{ConfigError, layer};
use gitmoor_store::object_store::{Bandwidth, Encryption, S3Credentials, S3Settings};

/// Servers other than AWS rarely have a host name for every bucket.
pub(super) fn resolve(layer: S3Layer, bandwidth: Bandwidth) -> Result<S3Settings, ConfigError> {
    let encryption = encryption(&layer)?;
    let bundle = layer.ca_bundle.as_deref();
    let bundle = bundle.map(|path| absolute("s3.ca-bundle", path));
    Ok(S3Settings {
        path_style: layer.path_style.unwrap_or(layer.endpoint.is_some()),
        endpoint: layer.endpoint,
        region: layer.region,
        credentials: layer.credentials.and_then(credentials),
        encryption,
        ca_bundle: bundle.transpose()?,
        bandwidth,
        ..S3Settings::default()
    })
}

/// What is said of keys must mean something.
fn encryption(layer: &layer::S3Layer) -> Result<Option<Encryption>, ConfigError> {
    let of_kms = [
        (layer.sse_kms_key.is_some(), "s3.sse-kms-key"),
        (layer.sse_bucket_key.is_some(), "s3.sse-bucket-key"),
    ];
    match layer.sse {
        Some(Sse::Kms) => Ok(Some(Encryption::Kms {
            key: layer.sse_kms_key.clone(),
            bucket_key: layer.sse_bucket_key,
        })),
        given => match of_kms.into_iter().find(|(is_set, _)| *is_set) {
            Some((_, key)) => Err(ConfigError::WithoutKms(key)),
            None => Ok(given.map(|_| Encryption::S3)),
        },
    }
}

/// `None` leaves it to the AWS chain.
fn credentials(credentials: Credentials) -> Option<S3Credentials> {
    match credentials {
        Credentials::Chain => None,
        Credentials::Keys {
            access_key_id,
            secret_access_key,
        } => Some(S3Credentials {
            access_key_id,
            secret_access_key: secret_access_key.reveal().to_owned(),
            session_token: None,
        }),
    }
}
