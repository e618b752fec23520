//! One line of the log for each request, and what is counted of it, when the last byte of the answer is sent or nobody
//! takes any more. No secret comes into it: a token is named by its id.

use crate::metrics::{self, Counted};
use crate::who::Caller;
use gitmoor_model::{NamePath, TokenId};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The target of lines of those who have shown a token. All of them are written.
pub const ACCESS: &str = "gitmoor::access";

/// Whose name the door has in the log and in the audit trail.
pub(super) const DOOR: &str = "http";

/// Written when it is dropped.
pub(super) struct Line {
    began: Instant,
    pub(super) address: IpAddr,
    pub(super) verb: &'static str,
    pub(super) repo: Option<NamePath>,
    user: String,
    token: Option<TokenId>,
    pub(super) status: u16,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) queued: Duration,
    pub(super) problem: Option<String>,
}

impl Line {
    pub(super) fn new(address: IpAddr) -> Self {
        Self {
            began: Instant::now(),
            address,
            verb: "other",
            repo: None,
            user: String::new(),
            token: None,
            // As nginx has it: the client went away before there was an answer.
            status: 499,
            received: 0,
            sent: 0,
            queued: Duration::ZERO,
            problem: None,
        }
    }

    pub(super) fn is_by(&mut self, caller: &Caller) {
        self.user = caller.name().into_owned();
        self.token = caller.token();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        metrics::count(&Counted {
            door: DOOR,
            verb: self.verb,
            status: self.status,
            received: self.received,
            sent: self.sent,
            took,
            queued: self.queued,
        });
        let repo = self.repo.as_ref().map(ToString::to_string);
        macro_rules! write_line {
            ($target:expr) => {
                tracing::info!(
                    target: $target,
                    door = DOOR,
                    verb = self.verb,
                    repo = repo.unwrap_or_default(),
                    user = self.user,
                    token = self.token.map(tracing::field::display),
                    address = %self.address,
                    status = self.status,
                    received = self.received,
                    sent = self.sent,
                    queued_ms = self.queued.as_millis() as u64,
                    took_ms = took.as_millis() as u64,
                    problem = self.problem,
                )
            };
        }
        // Who is known has no more lines than requests; strangers would fill the log.
        match self.token {
            Some(_) => write_line!(ACCESS),
            None => write_line!("gitmoor::strangers"),
        }
    }
}
