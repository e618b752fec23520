//! Deleting many keys with one request. Its answer may be a success for some of them and
//! a failure for others: what is deleted is not asked for again, what may go better is, and a key that
//! the bucket keeps (a retention, a legal hold, a policy) keeps no other from being deleted.

use super::bucket::Bucket;
use super::failure::{classify, of_service};
use crate::object_store::StoreError;
use crate::object_store::retry::{Failure, GaveUp, Request};
use aws_sdk_s3::types::{Delete, Error, ObjectIdentifier};
use parking_lot::Mutex;

/// Most keys of one request.
pub(super) const BATCH: usize = 1000;

/// A key that is still there, as the bucket has it, and why.
type Kept = (String, Failure);

/// At most [`BATCH`] keys.
pub(super) async fn batch(bucket: &Bucket, keys: &[String]) -> Result<(), GaveUp> {
    let request = Request::new("DELETE", &keys[0], 0);
    let full = keys.iter().map(|key| bucket.full_key(key));
    let left = Mutex::new(full.collect());
    let deleted = bucket
        .tries
        .run(request, || delete_left(bucket, &left))
        .await;
    match deleted {
        Err(GaveUp::AtOnce(Failure::NotFound)) => Ok(()),
        deleted => deleted,
    }
}

async fn delete_left(bucket: &Bucket, left: &Mutex<Vec<String>>) -> Result<(), Failure> {
    let keys = left.lock().clone();
    if let [key] = keys.as_slice() {
        return delete_one(bucket, key).await;
    }
    let kept = delete_many(bucket, &keys).await?;
    // A server that does not name them is asked for all again.
    if kept.iter().all(|(key, _)| keys.contains(key)) {
        *left.lock() = kept.iter().map(|(key, _)| key.clone()).collect();
    }
    let number = kept.len();
    // Those that may go better decide: the others are asked for again along with them.
    match kept.into_iter().min_by_key(|(_, why)| is_final(why)) {
        None => Ok(()),
        Some(kept) => Err(named(kept, number)),
    }
}

async fn delete_one(bucket: &Bucket, key: &str) -> Result<(), Failure> {
    let delete = bucket.client.delete_object().bucket(&bucket.config.bucket);
    delete.key(key).send().await.map(drop).map_err(classify)
}

/// Those that are still there.
async fn delete_many(bucket: &Bucket, keys: &[String]) -> Result<Vec<Kept>, Failure> {
    let objects = keys.iter().map(|key| {
        let object = ObjectIdentifier::builder().key(key);
        object.build().expect("the key is set")
    });
    let delete = Delete::builder()
        .set_objects(Some(objects.collect()))
        .quiet(true)
        .build()
        .expect("the objects are set");
    let request = bucket.client.delete_objects().bucket(&bucket.config.bucket);
    let answer = request.delete(delete).send().await.map_err(classify)?;
    let kept = answer.errors().iter().map(kept);
    Ok(kept
        .filter(|(_, why)| !matches!(why, Failure::NotFound))
        .collect())
}

fn kept(error: &Error) -> Kept {
    let (code, message) = (error.code(), error.message());
    let why = of_service(
        200,
        code.unwrap_or_default(),
        message.unwrap_or_default(),
        None,
    );
    (error.key().unwrap_or_default().to_owned(), why)
}

fn is_final(why: &Failure) -> bool {
    !matches!(why, Failure::Transient { .. } | Failure::SlowDown { .. })
}

/// The failure with its key, and how many have failed with it.
fn named((key, why): Kept, number: usize) -> Failure {
    let named = |reason: String| match number {
        1 => format!("{key}: {reason}"),
        _ => format!("{key}, and {} keys more: {reason}", number - 1),
    };
    match why {
        Failure::Transient { reason, request_id } => Failure::Transient {
            reason: named(reason),
            request_id,
        },
        Failure::SlowDown { reason, request_id } => Failure::SlowDown {
            reason: named(reason),
            request_id,
        },
        Failure::Refused { reason } => Failure::Refused {
            reason: named(reason),
        },
        other => other,
    }
}

/// Of several batches: each is tried, the first failure is the answer.
pub(super) fn each(
    keys: &[String],
    mut delete: impl FnMut(&[String]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut first = Ok(());
    for batch in keys.chunks(BATCH) {
        let deleted = delete(batch);
        // Where nothing gets through, no other will.
        let goes_on = matches!(deleted, Ok(()) | Err(StoreError::Refused { .. }));
        first = first.and(deleted);
        if !goes_on {
            break;
        }
    }
    first
}
