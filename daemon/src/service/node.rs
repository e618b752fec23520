//! A node without a mount: opens its part of the cluster, answers, waits, leaves.

use super::io_runtime::IoRuntime;
use super::{ServiceError, open_files, serve_metrics, signals, starting};
use crate::Failure;
use crate::admin::{Answer, Answering, Answers, Cluster, Event, Rejection, Request, Server};
use crate::config::NodeSettings;
use crate::data_dir::{DataDir, DataDirError, Membership, Reached};
use gitmoor_replicator::storage::Beginning;
use gitmoor_replicator::{ClusterConfig, Node, NodeConfig};
use std::sync::{Arc, mpsc};
use std::time::SystemTime;

/// Runs the node in this process until it is told to leave.
pub(crate) fn run(settings: &NodeSettings) -> Result<(), Failure> {
    let dir = DataDir::new(settings.data.clone());
    if !dir.is_member() {
        return Err(DataDirError::NotMember(settings.data.clone()).into());
    }
    open_files::raise_limit();
    let _lock = dir.own(None)?;
    let runtime = IoRuntime::start().map_err(starting("the I/O runtime"))?;
    serve_metrics(settings.metrics, &runtime)?;
    let (events, inbox) = mpsc::channel();
    runtime
        .block_on(async { signals::listen(events, None) })
        .map_err(starting("signal handling"))?;
    let server = Server::bind(dir.path()).map_err(starting("the admin socket"))?;
    let daemon = Arc::new(open(&dir, &runtime)?);
    let answers: Arc<dyn Answers> = daemon.clone();
    server
        .start(Arc::downgrade(&answers))
        .map_err(starting("the admin socket"))?;
    drop(answers);
    tracing::info!(
        node = daemon.id,
        cluster = %daemon.reached.cluster,
        listen = %daemon.reached.listen,
        data = %dir.path().display(),
        version = env!("CARGO_PKG_VERSION"),
        "serving"
    );
    wait(&inbox);
    Ok(())
}

fn wait(inbox: &mpsc::Receiver<Event>) {
    // Only signals end a node without a mount.
    if let Ok(Event::Signal(signal)) = inbox.recv() {
        tracing::info!(signal, "leaving");
    }
}

fn open(dir: &DataDir, runtime: &IoRuntime) -> Result<NodeDaemon, Failure> {
    let membership = dir.renewed_membership(SystemTime::now())?;
    let not_member = || DataDirError::NotMember(dir.path().to_owned());
    let Membership {
        identity,
        authority,
        reached,
        has_begun,
    } = membership.ok_or_else(not_member)?;
    let beginning = match has_begun {
        true => Beginning::Resume,
        false => Beginning::Join,
    };
    let certificate = authority.certificate().to_vec();
    let id = identity.node();
    let cluster = ClusterConfig {
        identity,
        authority,
        listen: reached.listen,
        others: reached.others.clone(),
        observer: None,
        incoming: dir.path().join("cluster/incoming"),
        runtime: runtime.handle().clone(),
    };
    let node = Node::open_in(NodeConfig::new(dir.replica()), cluster, beginning);
    let node = node.map_err(ServiceError::from)?;
    dir.mark_begun()?;
    Ok(NodeDaemon {
        id,
        node,
        reached,
        authority: certificate,
        answering: Answering::default(),
    })
}

/// What the answers are about.
struct NodeDaemon {
    id: u64,
    node: Node,
    reached: Reached,
    /// The cluster's certificate, DER.
    authority: Vec<u8>,
    answering: Answering,
}

impl Answers for NodeDaemon {
    fn answer(&self, request: Request) -> Answer {
        let Request::Cluster(request) = request else {
            return Answer::Error(Rejection::usage(
                "this daemon is a node of a cluster without a mount: it answers `gitmoor cluster` only",
            ));
        };
        let cluster = Cluster {
            node: &self.node,
            reached: &self.reached,
            authority: &self.authority,
        };
        cluster.answer(request).into()
    }

    fn answering(&self) -> &Answering {
        &self.answering
    }
}
