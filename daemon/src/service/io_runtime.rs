//! The runtime that carries S3 requests, metrics and signals.

use std::ops::Deref;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Tokio's own drop waits for whatever blocks in it without a bound, such as the
/// resolver asking a name server that is gone.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A runtime that does not hold up the end of the process.
#[derive(Debug)]
pub(super) struct IoRuntime(Option<Runtime>);

impl IoRuntime {
    pub(super) fn start() -> std::io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.enable_all().thread_name("io").build()?;
        Ok(Self(Some(runtime)))
    }
}

impl Deref for IoRuntime {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        self.0.as_ref().expect("it is taken out only by drop")
    }
}

impl Drop for IoRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(TIMEOUT);
        }
    }
}
