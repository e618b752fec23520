//! What the headers of a request say to git, and those of its answer.

use super::refused::Refused;
use crate::route::Service;
use bytes::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, EXPIRES, HeaderMap, HeaderName, HeaderValue,
    PRAGMA,
};

/// Bytes of what a client says of the protocol.
const PROTOCOL: usize = 128;

/// The one that a client of this service gives.
pub(super) fn check_media(headers: &HeaderMap, service: Service) -> Result<(), Refused> {
    let expected = format!("application/x-git-{}-request", service.name());
    let given = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    match given == Some(expected.as_bytes()) {
        true => Ok(()),
        false => Err(Refused::MediaType(expected)),
    }
}

/// Whether the body is compressed.
pub(super) fn is_packed(headers: &HeaderMap) -> Result<bool, Refused> {
    match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(false),
        Some(b"gzip" | b"x-gzip") => Ok(true),
        Some(_) => Err(Refused::Encoding),
    }
}

/// What the client says of the protocol, if it could be that.
pub(super) fn protocol(headers: &HeaderMap) -> Option<String> {
    let said = headers.get("git-protocol")?.to_str().ok()?;
    let is_one = |byte: u8| byte.is_ascii_alphanumeric() || b"=:.-_".contains(&byte);
    let is_sound = said.len() <= PROTOCOL && said.bytes().all(is_one);
    is_sound.then(|| said.to_owned())
}

/// Of an answer: nobody keeps it, as gitprotocol-http(5) says.
pub(super) fn of_answer(service: Service, advertise: bool) -> [(HeaderName, HeaderValue); 4] {
    let kind = match advertise {
        true => "advertisement",
        false => "result",
    };
    let media = format!("application/x-git-{}-{kind}", service.name());
    let fixed = HeaderValue::from_static;
    [
        (
            CONTENT_TYPE,
            HeaderValue::from_str(&media).expect("made of plain text"),
        ),
        (EXPIRES, fixed("Fri, 01 Jan 1980 00:00:00 GMT")),
        (PRAGMA, fixed("no-cache")),
        (CACHE_CONTROL, fixed("no-cache, max-age=0, must-revalidate")),
    ]
}

/// As gitprotocol-http(5) has it, an advertisement of versions 0 and 1 begins with the name of the service.
pub(super) fn head(service: Service, advertise: bool, protocol: Option<&str>) -> Bytes {
    let mut keys = protocol.unwrap_or("").split(':');
    if !advertise || keys.any(|key| key == "version=2") {
        return Bytes::new();
    }
    let line = format!("# service=git-{}\n", service.name());
    Bytes::from(format!("{:04x}{line}0000", line.len() + 4))
}
