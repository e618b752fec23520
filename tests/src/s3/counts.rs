//! Kinds of requests, told apart by method and query, and how many there were.

use hyper::{HeaderMap, Method, Uri};

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// GetObject.
    Get,
    /// PutObject.
    Put,
    /// HeadObject, HeadBucket.
    Head,
    /// ListObjects.
    List,
    /// DeleteObject, DeleteObjects.
    Delete,
    /// UploadPart.
    Part,
    /// UploadPartCopy.
    Copy,
    /// Begin, completion or abortion of a multipart upload.
    Multipart,
    /// Anything else.
    Other,
}

impl Kind {
    pub(super) fn of(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let has = |name: &str| {
            let query = uri.query().unwrap_or_default();
            query
                .split('&')
                .any(|pair| pair.split('=').next() == Some(name))
        };
        let bucket_only = uri.path().trim_matches('/').split('/').count() < 2;
        match method.as_str() {
            "GET" if bucket_only => Self::List,
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "PUT" if headers.contains_key("x-amz-copy-source") => Self::Copy,
            "PUT" if has("partNumber") => Self::Part,
            "PUT" if !bucket_only => Self::Put,
            "POST" if has("delete") => Self::Delete,
            "POST" if has("uploads") || has("uploadId") => Self::Multipart,
            "DELETE" if has("uploadId") => Self::Multipart,
            "DELETE" => Self::Delete,
            _ => Self::Other,
        }
    }
}

/// How many requests came, including those that were made to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// GetObject.
    pub get: u64,
    /// PutObject.
    pub put: u64,
    /// HeadObject, HeadBucket.
    pub head: u64,
    /// ListObjects.
    pub list: u64,
    /// DeleteObject, DeleteObjects.
    pub delete: u64,
    /// UploadPart.
    pub part: u64,
    /// UploadPartCopy.
    pub copy: u64,
    /// Begin, completion or abortion of a multipart upload.
    pub multipart: u64,
    /// Anything else.
    pub other: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of answers' bodies.
    pub bytes_out: u64,
}

impl Counts {
    /// All requests.
    pub fn requests(&self) -> u64 {
        self.get
            + self.put
            + self.head
            + self.list
            + self.delete
            + self.part
            + self.copy
            + self.multipart
            + self.other
    }

    pub(super) fn add(&mut self, kind: Kind) {
        let count = match kind {
            Kind::Get => &mut self.get,
            Kind::Put => &mut self.put,
            Kind::Head => &mut self.head,
            Kind::List => &mut self.list,
            Kind::Delete => &mut self.delete,
            Kind::Part => &mut self.part,
            Kind::Copy => &mut self.copy,
            Kind::Multipart => &mut self.multipart,
            Kind::Other => &mut self.other,
        };
        *count += 1;
    }
}
