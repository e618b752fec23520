//! What a server may answer: nobody trusts a store with this machine's memory. Objects are read only as far as they
//! were asked for ([`super::body::receive`]); every other answer, errors too, comes whole into memory, and
//! ends here when it is larger than any that makes sense.

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;

/// Far more than a page of a listing, which is the largest: 1,000 keys of 1,024 bytes, escaped.
const MOST: usize = 16 << 20;

#[derive(Debug)]
pub(super) struct Bounded;

impl Intercept for Bounded {
    fn name(&self) -> &'static str {
        "bounded answers"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let reads = config
            .load::<Metadata>()
            .is_some_and(|operation| operation.name() == "GetObject");
        let response = context.response_mut();
        if reads && response.status().is_success() {
            return Ok(());
        }
        let body = std::mem::replace(response.body_mut(), SdkBody::taken());
        *response.body_mut() = SdkBody::from_body_1_x(Limited::new(body, MOST));
        Ok(())
    }
}
