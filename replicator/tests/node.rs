//! The node as its users see it.

use gitmoor_replicator::model::{Actor, Command, NamePath, Outcome, RepoId};
use gitmoor_replicator::{NameEntry, Node, NodeConfig, Replica};

fn path(text: &str) -> NamePath {
    NamePath::new(text).expect("a valid path")
}

#[test]
fn what_was_acknowledged_is_there_after_reopening() {
    let dir = tempfile::tempdir().expect("a directory");
    let id = RepoId::random();
    let node = Node::open(NodeConfig::new(dir.path())).expect("opens");
    let create = Command::CreateRepo {
        id,
        path: path("app.git"),
    };
    let outcome = node.propose(Actor::default(), create).expect("an outcome");
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    println!("{:?}", node.status());
    drop(node);
    let node = Node::open(NodeConfig::new(dir.path())).expect("opens again");
    assert_eq!(
        node.name(&path("app.git")).expect("reads"),
        Some(NameEntry::Repo(id))
    );
    println!("{:?}", node.status());
}
