//! What happens to a command is logged with the request that caused it.

use gitmoor_model::{Actor, Command, NamePath};
use gitmoor_replicator::{Node, NodeConfig, Replica};
use std::io::Write;
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .expect("is not poisoned")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_loop_logs_in_the_span_of_the_proposer() {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let dir = tempfile::tempdir().expect("a directory");
    let node = Node::open(NodeConfig::new(dir.path())).expect("opens");
    let path = NamePath::new("team").expect("is valid");
    tracing::info_span!("request", unique = 4711).in_scope(|| {
        node.propose(Actor::default(), Command::CreateDirectory { path })
            .expect("has an outcome");
    });
    drop(node);
    let bytes = lines.0.lock().expect("is not poisoned").clone();
    let text = String::from_utf8(bytes).expect("is text");
    for event in ["proposed", "applied"] {
        let logged = text
            .lines()
            .any(|line| line.contains("unique=4711") && line.contains(event));
        assert!(logged, "no line of {event:?} in {text}");
    }
    // Raft's own words arrive as well, with their fields.
    assert!(
        text.lines()
            .any(|line| line.contains("became leader") && line.contains("raft_id=1"))
    );
}
