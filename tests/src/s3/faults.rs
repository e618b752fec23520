//! Ways for a request to fail.

use super::Kind;
use bytes::Bytes;
use futures::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::{Response, StatusCode};
use s3s::Body;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::time::Duration;

/// What happens to one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It is answered 503 SlowDown and not carried out.
    SlowDown,
    /// It is answered 500 InternalError and not carried out.
    InternalError,
    /// It is carried out after this time.
    Delay(Duration),
    /// It is carried out once [`super::FakeS3::release`] says so.
    Hold,
    /// The connection is closed without an answer and it is not carried out.
    Reset,
    /// It is carried out, then the connection is closed without an answer.
    LostAnswer,
    /// The connection is closed after half of the answer's body.
    Truncate,
    /// The first byte of the answer's body is another one.
    WrongBytes,
}

/// The faults of the requests to come.
#[derive(Default)]
pub(super) struct Faults {
    queued: HashMap<Kind, VecDeque<Fault>>,
    /// No request is answered.
    pub(super) down: bool,
}

impl Faults {
    pub(super) fn queue(&mut self, kind: Kind, fault: Fault, times: usize) {
        self.queued
            .entry(kind)
            .or_default()
            .extend(std::iter::repeat_n(fault, times));
    }

    pub(super) fn next(&mut self, kind: Kind) -> Option<Fault> {
        self.outage()
            .or_else(|| self.queued.get_mut(&kind)?.pop_front())
    }

    /// What every request meets.
    pub(super) fn outage(&self) -> Option<Fault> {
        self.down.then_some(Fault::Reset)
    }
}

/// An error as S3 answers it.
pub(super) fn error(status: StatusCode, code: &str) -> Response<Body> {
    let xml = format!("<Error><Code>{code}</Code><Message>on demand</Message></Error>");
    let mut response = Response::new(Body::from(xml));
    *response.status_mut() = status;
    response
}

/// A body that breaks off after its first half.
pub(super) fn truncated(body: &Bytes) -> Body {
    let half = Frame::data(body.slice(..body.len() / 2));
    let frames = [Ok(half), Err(io::Error::other("broken off on demand"))];
    Body::http_body_unsync(StreamBody::new(stream::iter(frames)))
}

/// A body whose first byte is another one.
pub(super) fn wrong(body: &Bytes) -> Body {
    let mut bytes = body.to_vec();
    if let Some(first) = bytes.first_mut() {
        *first ^= 0xff;
    }
    Body::from(bytes)
}
