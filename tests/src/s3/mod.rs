//! S3 servers for tests: [`FakeS3`], in this process, which counts exactly and
//! fails on demand; and [`Garage`], a real one.

mod counts;
mod faults;
mod garage;
mod memory;
mod server;
mod tls;

pub use counts::{Counts, Kind};
pub use faults::Fault;
pub use garage::Garage;
pub use memory::Sealed;
pub use server::FakeS3;
pub use tls::Tls;

/// The bucket of either server.
pub const BUCKET: &str = "git";

/// The settings of a client, as environment variables.
fn environment(endpoint: &str, region: &str, key: &str, secret: &str) -> Vec<(String, String)> {
    [
        ("S3_ENDPOINT", endpoint),
        ("S3_REGION", region),
        ("S3_BUCKET", BUCKET),
        ("S3_ACCESS_KEY_ID", key),
        ("S3_SECRET_ACCESS_KEY", secret),
        ("S3_USE_PATH_STYLE", "true"),
    ]
    .map(|(name, value)| (name.to_string(), value.to_string()))
    .to_vec()
}
