//! The environment as a layer of settings.

use super::layer::{Credentials, Layer, LogLayer, S3Layer};
use super::value::Secret;
use super::{ConfigError, StoreUrl};
use std::ffi::OsString;
use std::str::FromStr;

/// Looks a variable up: the process environment, or a table in tests.
pub type Environment<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// Reads the variables that are settings. Empty ones count as unset, as shell
/// scripts often mean them.
pub fn from_environment(env: &Environment<'_>) -> Result<Layer, ConfigError> {
    Ok(Layer {
        data: present(env, "GITMOOR_DATA").map(Into::into),
        staging_size: parsed(env, "GITMOOR_STAGING_SIZE")?,
        offline: parsed::<Flag>(env, "GITMOOR_OFFLINE")?.map(|flag| flag.0),
        trash_keep: parsed(env, "GITMOOR_TRASH_KEEP")?,
        allow_other: parsed::<Flag>(env, "GITMOOR_ALLOW_OTHER")?.map(|flag| flag.0),
        read_only: parsed::<Flag>(env, "GITMOOR_READ_ONLY")?.map(|flag| flag.0),
        uid: parsed(env, "GITMOOR_UID")?,
        gid: parsed(env, "GITMOOR_GID")?,
        umask: parsed(env, "GITMOOR_UMASK")?,
        cluster: parsed(env, "GITMOOR_CLUSTER")?,
        fallback: present(env, "GITMOOR_FALLBACK").map(Into::into),
        store: store(env)?,
        s3: S3Layer {
            endpoint: first_text(env, &ENDPOINT)?,
            region: first_text(env, &REGION)?,
            credentials: credentials(env)?,
            path_style: parsed::<Flag>(env, "S3_USE_PATH_STYLE")?.map(|flag| flag.0),
            sse: parsed(env, "S3_SSE")?,
            sse_kms_key: text(env, "S3_SSE_KMS_KEY")?,
            sse_bucket_key: parsed::<Flag>(env, "S3_SSE_BUCKET_KEY")?.map(|flag| flag.0),
            ca_bundle: CA_BUNDLE
                .iter()
                .find_map(|key| present(env, key))
                .map(Into::into),
        },
        log: LogLayer {
            level: match parsed(env, "GITMOOR_LOG")? {
                Some(level) => Some(level),
                None => parsed(env, "RUST_LOG")?,
            },
            ..LogLayer::default()
        },
        ..Layer::default()
    })
}

/// The AWS names stand here too, though the SDK reads them itself: it is handed
/// an explicit value when the settings file has one, and the environment must
/// beat the file.
const ENDPOINT: [&str; 3] = ["S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
const REGION: [&str; 3] = ["S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"];

/// The second is what AWS' own programs read; the SDK does not.
const CA_BUNDLE: [&str; 2] = ["S3_CA_BUNDLE", "AWS_CA_BUNDLE"];

/// Variables that tell the AWS chain where to look, and so beat keys in the file.
const CHAIN: [&str; 3] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];

fn store(env: &Environment<'_>) -> Result<Option<StoreUrl>, ConfigError> {
    if let Some(url) = parsed(env, "GITMOOR_STORE")? {
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

fn credentials(env: &Environment<'_>) -> Result<Option<Credentials>, ConfigError> {
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

const NOT_ALONE: &str =
    "is not set; S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY are expected together, or neither";

/// `true` or `false`, as scripts write it.
struct Flag(bool);

impl FromStr for Flag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(Self(true)),
            "false" | "0" | "no" | "off" => Ok(Self(false)),
            _ => Err(format!("{text:?} is neither true nor false")),
        }
    }
}

fn present(env: &Environment<'_>, key: &str) -> Option<OsString> {
    env(key).filter(|value| !value.is_empty())
}

fn text(env: &Environment<'_>, key: &'static str) -> Result<Option<String>, ConfigError> {
    present(env, key)
        .map(|value| value.into_string().map_err(|_| bad(key, "is not UTF-8")))
        .transpose()
}

fn first_text(env: &Environment<'_>, keys: &[&'static str]) -> Result<Option<String>, ConfigError> {
    let key = keys.iter().find(|key| present(env, key).is_some());
    key.map_or(Ok(None), |key| text(env, key))
}

fn parsed<T>(env: &Environment<'_>, key: &'static str) -> Result<Option<T>, ConfigError>
where
    T: FromStr<Err: std::fmt::Display>,
{
    let parse = |value: String| {
        value
            .parse()
            .map_err(|error: T::Err| bad(key, error.to_string()))
    };
    text(env, key)?.map(parse).transpose()
}

fn bad(key: &'static str, reason: impl Into<String>) -> ConfigError {
    ConfigError::Environment {
        key,
        reason: reason.into(),
    }
}
