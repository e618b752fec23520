//! What a stranger sends to a door: a path never leaves the namespace, a header shows a token or nothing, the first
//! lines of a request are told apart whatever they are, and compressed bytes do not grow without a bound.

use crate::fields;
use gitmoor_serve::parsers::{Inflate, Method, Route, fetched, forwarded, route, shown};

/// More than what is unpacked before a bound is checked.
const SLACK: usize = 3 << 20;

/// Path and query, a header, and the rest as a body, with 0xff between.
pub fn run(data: &[u8]) {
    let mut parts = fields(data);
    let [path, header] = [(); 2].map(|()| parts.next().unwrap_or_default());
    let path = String::from_utf8_lossy(path);
    let (path, query) = path.split_once('?').unwrap_or((&path, ""));
    for method in [Method::Get, Method::Post, Method::Other] {
        if let Ok(Route::Advertise(repo, _) | Route::Serve(repo, _)) =
            route(method, path, Some(query))
        {
            assert!(!repo.is_root());
            crate::rows::assert_valid(repo.as_bytes());
        }
    }
    shown(Some(header));
    forwarded(Some(header));
    let body = data;
    let whole = fetched(body, true);
    assert!(whole.is_some());
    // What a beginning tells, more does not change.
    for end in [body.len() / 2, body.len() / 3] {
        if let Some(work) = fetched(&body[..end], false) {
            assert_eq!(Some(work), whole);
        }
    }
    let mut inflate = Inflate::default();
    if let Ok(made) = inflate.push(body) {
        assert!(made.len() <= SLACK.max(body.len() * 101));
    }
}
