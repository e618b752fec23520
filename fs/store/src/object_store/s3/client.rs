//! Builds the SDK's client from our settings.

use super::bounded::Bounded;
use super::{S3Settings, authorities};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Builder, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
    retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use std::path::Path;
use std::time::Duration;

/// Time to connect; a try has more, see [`crate::object_store::RetryPolicy`].
const CONNECT: Duration = Duration::from_secs(3);

/// The region of servers that have none.
const NO_REGION: &str = "us-east-1";

/// Builds the client. Fails when there is neither a region nor an endpoint.
pub(super) async fn build(settings: &S3Settings) -> Result<Client, String> {
    let http = http_client(settings.ca_bundle.as_deref())?;
    let base = base(settings, http.clone()).await;
    let region = base.region().cloned();
    let region = match (region, &settings.endpoint) {
        (Some(region), _) => region,
        (None, Some(_)) => Region::new(NO_REGION),
        (None, None) => return Err("no region is set; set S3_REGION or AWS_REGION".to_string()),
    };
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).build();
    let config = Builder::from(&base)
        .http_client(http)
        .region(region)
        .force_path_style(settings.path_style)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        // We send our own CRC-32C; the SDK's default would be a trailer in
        // aws-chunked encoding for streams.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .interceptor(Bounded);
    Ok(Client::from_conf(config.build()))
}

/// TLS by rustls with ring, and the system's roots or those of a file; plain http works too.
fn http_client(ca_bundle: Option<&Path>) -> Result<SharedHttpClient, String> {
    let client = aws_smithy_http_client::Builder::new();
    let client = client.tls_provider(Provider::Rustls(CryptoMode::Ring));
    Ok(match ca_bundle {
        None => client.build_https(),
        Some(path) => client
            .tls_context(authorities::from_file(path)?)
            .build_https(),
    })
}

/// What the AWS chain and our settings say. With all that is needed in the
/// settings the chain is not asked, since it may wait for instance metadata.
async fn base(settings: &S3Settings, http: SharedHttpClient) -> SdkConfig {
    let explicit = settings.credentials.as_ref().map(|keys| {
        let (id, secret) = (keys.access_key_id.clone(), keys.secret_access_key.clone());
        let keys = Credentials::new(id, secret, keys.session_token.clone(), None, "settings");
        SharedCredentialsProvider::new(keys)
    });
    let region = settings.region.clone().or_else(|| {
        (settings.endpoint.is_some() && explicit.is_some()).then(|| NO_REGION.to_string())
    });
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    if let Some(endpoint) = &settings.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(keys) = explicit {
        loader = loader.credentials_provider(keys);
    }
    loader.load().await
}
