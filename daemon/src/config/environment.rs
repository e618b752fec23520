//! Variables of the environment that need more than being parsed.

use super::layer::Credentials;
use super::setting::{Environment, present, utf8, variable};
use super::value::Secret;
use super::{ConfigError, StoreUrl};
use std::str::FromStr;

/// Variables that tell the AWS chain where to look, and so beat keys in the file.
const CHAIN: [&str; 3] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];

const NOT_ALONE: &str =
    "is not set; S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY are expected together, or neither";

/// A bucket alone names a store as well.
pub(super) fn store_url(env: &Environment<'_>) -> Result<Option<StoreUrl>, ConfigError> {
    if let Some(url) = variable(env, &["GITMOOR_STORE"])? {
        return Ok(Some(url));
    }
    let Some(bucket) = text(env, "S3_BUCKET")? else {
        return Ok(None);
    };
    format!("s3://{bucket}")
        .parse()
        .map(Some)
        .map_err(|error: <StoreUrl as FromStr>::Err| bad("S3_BUCKET", error.to_string()))
}

/// Both halves of a key, or where the AWS chain finds them.
pub(super) fn credentials(env: &Environment<'_>) -> Result<Option<Credentials>, ConfigError> {
    let id = text(env, "S3_ACCESS_KEY_ID")?;
    let secret = text(env, "S3_SECRET_ACCESS_KEY")?;
    match (id, secret) {
        (Some(access_key_id), Some(secret)) => Ok(Some(Credentials::Keys {
            access_key_id,
            secret_access_key: Secret::new(secret),
        })),
        (None, None) => {
            let chain = CHAIN.iter().any(|key| present(env, key).is_some());
            Ok(chain.then_some(Credentials::Chain))
        }
        (Some(_), None) => Err(bad("S3_SECRET_ACCESS_KEY", NOT_ALONE)),
        (None, Some(_)) => Err(bad("S3_ACCESS_KEY_ID", NOT_ALONE)),
    }
}

fn text(env: &Environment<'_>, key: &'static str) -> Result<Option<String>, ConfigError> {
    let text = present(env, key).map(utf8).transpose();
    text.map_err(|reason| bad(key, reason))
}

fn bad(key: &'static str, reason: impl Into<String>) -> ConfigError {
    ConfigError::Environment {
        key,
        reason: reason.into(),
    }
}
