//! Why a request is refused, and which status says so: one text, which git shows to its user.

use super::out::Out;
use crate::admission::{Busy, RETRY_AFTER};
use crate::body::{BodyError, InflateError};
use crate::may::MayError;
use crate::rate::Often;
use crate::route::RouteError;
use crate::who::WhoError;
use gitmoor_model::RepoPath;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER as WHEN, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

/// What git and browsers ask a user for.
const CHALLENGE: HeaderValue =
    HeaderValue::from_static("Basic realm=\"gitmoor\", charset=\"UTF-8\"");

#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error(transparent)]
    Who(#[from] WhoError),
    #[error(transparent)]
    May(#[from] MayError),
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error(transparent)]
    Often(#[from] Often),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("this content type is not expected here: expected {0}")]
    MediaType(String),
    #[error("this content encoding is not known here: expected gzip or none")]
    Encoding,
    #[error("no majority of the cluster answers, so that nothing can be served")]
    Unavailable(String),
    #[error("this server is about to end; another node of the cluster serves")]
    Draining,
    #[error("the repository was renamed meanwhile: repeat the command")]
    Renamed,
    #[error(
        "this repository has hooks of its own (hooks/{0}), which do not run at a door: the administrator serves with \
         --hooks, or sets missing-hooks = \"warn\""
    )]
    OwnHooks(RepoPath),
    #[error("git could not serve this: the log of the server says why")]
    Git(String),
}

impl Refused {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Route(RouteError::BadPath) => StatusCode::BAD_REQUEST,
            Self::Route(RouteError::NotFound) | Self::May(MayError::NotFound) => {
                StatusCode::NOT_FOUND
            }
            Self::Route(RouteError::Dumb | RouteError::NoService)
            | Self::May(MayError::Forbidden(_))
            | Self::OwnHooks(_) => StatusCode::FORBIDDEN,
            Self::Route(RouteError::Method(_)) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Who(WhoError::Wrong) | Self::May(MayError::Anonymous) => StatusCode::UNAUTHORIZED,
            Self::Busy(_) | Self::Unavailable(_) | Self::Draining | Self::Renamed => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Often(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Body(error) => of_body(error),
            Self::MediaType(_) | Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Git(_)
            | Self::Who(WhoError::Unreadable(_))
            | Self::May(MayError::Unreadable(_)) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// For the log: more than the client is told.
    pub(super) fn problem(&self) -> String {
        match self {
            Self::Git(why) => why.clone(),
            Self::Unavailable(why) => format!("{self}: {why}"),
            other => other.to_string(),
        }
    }

    pub(super) fn response(&self) -> Response<Out> {
        let mut response = Response::new(Out::text(format!("{self}\n")));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(CONTENT_TYPE, text);
        match self {
            Self::Who(WhoError::Wrong) | Self::May(MayError::Anonymous) => {
                headers.insert(WWW_AUTHENTICATE, CHALLENGE);
            }
            Self::Busy(_) | Self::Unavailable(_) | Self::Draining | Self::Renamed => {
                headers.insert(WHEN, HeaderValue::from(RETRY_AFTER));
            }
            Self::Often(often) => {
                headers.insert(WHEN, HeaderValue::from(often.after));
            }
            Self::Route(RouteError::Method(allowed)) => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            Self::Route(_)
            | Self::Who(_)
            | Self::May(_)
            | Self::Body(_)
            | Self::MediaType(_)
            | Self::Encoding
            | Self::OwnHooks(_)
            | Self::Git(_) => {}
        }
        response
    }
}

fn of_body(error: &BodyError) -> StatusCode {
    match error {
        BodyError::Inflate(InflateError::Bomb) | BodyError::TooLarge(_) => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        BodyError::Inflate(InflateError::Garbled(_) | InflateError::Barren)
        | BodyError::Gone(_) => StatusCode::BAD_REQUEST,
        BodyError::Slow(_) => StatusCode::REQUEST_TIMEOUT,
    }
}
