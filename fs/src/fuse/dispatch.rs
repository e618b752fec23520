//! On which thread an operation runs: the one that read the request, or one that may wait
//! ([`super::waiting`]). [`Op::may_block`] says which; nobody else asks. Here an operation is also
//! timed, and is a step of the command that asks for it.

use super::asked::{Asked, At};
use super::calls::Calls;
use super::commands::Commands;
use super::metrics::Timer;
use super::reading_threads;
use super::reply::{ReplyWith, reply_with};
use super::waiting::{Call, Requester, Waiting};
use crate::error::FsResult;
use crate::tree::{MayBlock, Op};
use fuser::Request;
use gitmoor_instrument::trace::TARGET;
use gitmoor_store::wait::on_behalf_of;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tracing::{Span, info_span};

pub(super) struct Dispatch {
    calls: Arc<Calls>,
    waiting: Waiting,
    commands: Commands,
    /// Reading threads that list a directory, and how many may.
    listing: AtomicUsize,
    may_list: usize,
    /// An operation that takes longer is logged.
    slow: Duration,
}

impl Dispatch {
    pub(super) fn new(calls: Arc<Calls>) -> io::Result<Self> {
        let config = &calls.fs.shared().config;
        let (slow, ratio) = (config.slow_operation, config.trace_ratio);
        Ok(Self {
            calls,
            waiting: Waiting::new()?,
            commands: Commands::new(ratio)?,
            listing: AtomicUsize::new(0),
            may_list: reading_threads() - 1,
            slow,
        })
    }

    /// Runs an operation. `call` does it, and its result is the reply.
    pub(super) fn run<'a, T, R: ReplyWith<T>>(
        &self,
        op: Op,
        request: &Request,
        at: impl Into<At<'a>>,
        reply: R,
        call: impl FnOnce(&Calls, &Asked<'_>, &mut R) -> FsResult<T> + Send + 'static,
    ) {
        self.run_for(Requester::of(request), op, request, at, reply, call);
    }

    /// The same; it counts for the share of `requester`.
    pub(super) fn run_for<'a, T, R: ReplyWith<T>>(
        &self,
        requester: Requester,
        op: Op,
        request: &Request,
        at: impl Into<At<'a>>,
        reply: R,
        call: impl FnOnce(&Calls, &Asked<'_>, &mut R) -> FsResult<T> + Send + 'static,
    ) {
        let asked = Asked::new(op.name(), request, at.into());
        let (ino, name) = (asked.ino(), asked.name());
        match op.may_block(&self.calls.tree, ino, name, asked.process) {
            MayBlock::No => self.here(&asked, reply, call),
            MayBlock::Lists => match self.leave_to_list() {
                Some(_leave) => self.here(&asked, reply, call),
                None => self.wait(requester, asked, reply, call),
            },
            MayBlock::Yes => self.wait(requester, asked, reply, call),
        }
    }

    /// Runs an operation that never blocks and borrows bytes of the request.
    pub(super) fn run_here<'a, T, R: ReplyWith<T>>(
        &self,
        op: Op,
        request: &Request,
        at: impl Into<At<'a>>,
        reply: R,
        call: impl FnOnce(&Calls, &Asked<'_>, &mut R) -> FsResult<T>,
    ) {
        self.here(&Asked::new(op.name(), request, at.into()), reply, call);
    }

    fn here<T, R: ReplyWith<T>>(
        &self,
        asked: &Asked<'_>,
        mut reply: R,
        call: impl FnOnce(&Calls, &Asked<'_>, &mut R) -> FsResult<T>,
    ) {
        let step = self.step(asked).unwrap_or_else(Span::none);
        let _in_step = step.enter();
        let _timer = Timer::since(Instant::now(), asked, &self.calls.tree, self.slow);
        let result = call(&self.calls, asked, &mut reply);
        self.calls.note(asked, &result);
        reply_with(reply, asked.op, result);
    }

    /// Has a thread that may wait do it, when the share of the requester allows that.
    fn wait<T, R: ReplyWith<T>>(
        &self,
        requester: Requester,
        asked: Asked<'_>,
        mut reply: R,
        call: impl FnOnce(&Calls, &Asked<'_>, &mut R) -> FsResult<T> + Send + 'static,
    ) {
        let (begin, slow, calls) = (Instant::now(), self.slow, self.calls.clone());
        // It carries the request's number to the logs of the store and the replicator.
        let span = self.step(&asked).unwrap_or_else(|| {
            info_span!(
                "fuse",
                op = asked.op,
                request = asked.number,
                pid = asked.process.tid
            )
        });
        let asked = asked.on_a_thread_that_waits();
        let answer = move |may: FsResult<()>| {
            let _in_span = span.enter();
            let _timer = Timer::since(begin, &asked, &calls.tree, slow);
            let caller = asked.process.tid;
            match may {
                Ok(()) => on_behalf_of(caller, || {
                    let result = call(&calls, &asked, &mut reply);
                    calls.note(&asked, &result);
                    reply_with(reply, asked.op, result);
                }),
                Err(refused) => reply_with(reply, asked.op, Err(refused)),
            }
        };
        self.waiting.begin(Call {
            requester,
            answer: Box::new(answer),
        });
    }

    /// The operation as a step of the command that asks; `None` if that is not traced.
    fn step(&self, asked: &Asked<'_>) -> Option<Span> {
        let process = asked.process;
        let command = self.commands.span_of(process.uid, process.tid);
        if command.is_none() {
            return None;
        }
        let path = asked.describe(&self.calls.tree);
        Some(info_span!(
            target: TARGET, parent: &command, "fuse", otel.name = asked.op,
            op = asked.op, request = asked.number, pid = process.tid, path
        ))
    }

    /// Leave for a reading thread to list a directory, which takes long if it is large: given to all of them
    /// but one, so that requests are read all the while.
    fn leave_to_list(&self) -> Option<impl Drop + '_> {
        let begun = self.listing.fetch_add(1, Ordering::Relaxed);
        let leave = Lists(&self.listing);
        (begun < self.may_list).then_some(leave)
    }
}

/// One more lists; no longer when it is dropped.
struct Lists<'a>(&'a AtomicUsize);

impl Drop for Lists<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
