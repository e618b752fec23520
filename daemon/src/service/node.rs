//! A node without a mount: opens its part of the cluster, answers, waits, leaves.

use super::daemon::Event;
use super::io_runtime::IoRuntime;
use super::member::Member;
use super::{ServiceError, notify, open_files, renewal, serve_metrics, signals, starting};
use crate::admin::{Answer, Answering, Answers, Asker, Rejection, Server};
use crate::command::{Reply, Request};
use crate::config::NodeSettings;
use crate::data_dir::{DataDir, DataDirError};
use crate::metrics::{Facts, Watched};
use gitmoor_replicator::Node;
use std::sync::{Arc, mpsc};

/// Runs the node in this process until it is told to leave.
pub(crate) fn run(settings: &NodeSettings) -> Result<(), ServiceError> {
    let dir = DataDir::new(settings.data.clone());
    if !dir.cluster().is_member() {
        return Err(DataDirError::NotMember(settings.data.clone()).into());
    }
    open_files::raise_limit();
    let _lock = dir.own(None)?;
    let runtime = IoRuntime::start().map_err(starting("the I/O runtime"))?;
    let telling = serve_metrics(settings.metrics, &runtime)?;
    let (events, inbox) = mpsc::channel();
    runtime
        .block_on(async { signals::listen(events, None) })
        .map_err(starting("signal handling"))?;
    let server = Server::bind(dir.path()).map_err(starting("the admin socket"))?;
    let (member, node) = Member::open(&dir, &runtime, None)?;
    let node = Arc::new(node);
    renewal::keep(&node, &dir, &runtime);
    let daemon = Arc::new(NodeDaemon {
        member,
        node,
        answering: Answering::default(),
    });
    let watched: Arc<dyn Watched> = daemon.clone();
    telling.watch(Arc::downgrade(&watched));
    drop(watched);
    server
        .start(Arc::downgrade(&daemon))
        .map_err(starting("the admin socket"))?;
    tracing::info!(
        node = daemon.member.id,
        cluster = %daemon.member.reached.cluster,
        listen = %daemon.member.reached.listen,
        data = %dir.path().display(),
        version = env!("CARGO_PKG_VERSION"),
        "serving"
    );
    let serving = format!(
        "node {} at {}",
        daemon.member.id, daemon.member.reached.listen
    );
    notify::ready(&serving).map_err(ServiceError::Abandoned)?;
    wait(&inbox);
    Ok(())
}

fn wait(inbox: &mpsc::Receiver<Event>) {
    // Only signals end a node without a mount.
    if let Ok(Event::Signal(signal)) = inbox.recv() {
        tracing::info!(signal, "leaving");
        notify::stopping("leaving");
    }
}

/// What the answers are about.
struct NodeDaemon {
    member: Member,
    node: Arc<Node>,
    answering: Answering,
}

impl Watched for NodeDaemon {
    fn measure(&self) {
        self.node.measure();
    }

    fn facts(&self) -> Facts {
        Facts {
            leaving: false,
            has_leader: self.node.status().leader.is_some(),
            mount: None,
        }
    }
}

impl Answers for NodeDaemon {
    type Request = Request;
    type Reply = Reply;

    fn answer(&self, request: Request, _: &Asker<'_>) -> Answer<Reply> {
        match request {
            Request::Cluster(request) => self.member.answer(&self.node, request).into(),
            _ => Answer::Error(Rejection::usage(
                "this daemon is a node of a cluster without a mount: it answers `gitmoor cluster` only",
            )),
        }
    }

    fn answering(&self) -> &Answering {
        &self.answering
    }
}
