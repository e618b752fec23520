//! What reaches a node over the network before its sender is believed: tokens, patterns of
//! repositories, requests of clients, commands, messages. What is read is what was said: written
//! again it is read as the same.

use crate::fields;
use gitmoor_model::{NamePath, Proposal, RepoPattern, Scope};
use gitmoor_replicator::net::Token;
use gitmoor_replicator::parsers::ClientCall;
use gitmoor_replicator::peer::Message;

/// Bytes of a question, of a command, of a message; texts of tokens, patterns and paths.
pub fn run(data: &[u8]) {
    call(data);
    command(data);
    if let Ok(message) = Message::decode(data) {
        assert_eq!(
            Message::decode(&message.encode()).expect("it is one"),
            message
        );
    }
    let texts: Vec<_> = fields(data).map(String::from_utf8_lossy).collect();
    for text in &texts {
        if let Ok(token) = text.parse::<Token>() {
            assert!(token.to_string().parse::<Token>() == Ok(token));
        }
    }
    patterns(&texts);
}

fn call(data: &[u8]) {
    if let Ok(call) = postcard::from_bytes::<ClientCall>(data) {
        let bytes = postcard::to_stdvec(&call).expect("it encodes");
        postcard::from_bytes::<ClientCall>(&bytes).expect("and decodes");
    }
}

/// Whatever can be proposed can be applied: it decodes, and is about something.
fn command(data: &[u8]) {
    let read = Proposal::envelope(data);
    match Proposal::read(data.to_vec()) {
        Ok(proposal) => {
            let envelope = read.expect("a proposal is an envelope");
            assert_eq!(proposal.key(), (envelope.session, envelope.sequence));
            assert_eq!(proposal.data(), data);
            assert!(!envelope.command.concerns().is_empty());
            Proposal::new(&envelope, usize::MAX).expect("what was read can be proposed");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Patterns and paths of one input: an administrator writes few.
const MOST: usize = 16;

/// A pattern lets see what it names, and the directories above that.
fn patterns(texts: &[impl AsRef<str>]) {
    let texts = texts.iter().map(AsRef::as_ref).take(MOST);
    let patterns = texts
        .clone()
        .filter_map(|text| text.parse::<RepoPattern>().ok());
    for pattern in patterns {
        let scope = Scope {
            repos: vec![pattern],
            read_only: true,
        };
        let bytes = postcard::to_stdvec(&scope).expect("it encodes");
        assert_eq!(postcard::from_bytes(&bytes), Ok(scope.clone()));
        let sight = scope.sight();
        for path in texts.clone().filter_map(NamePath::new) {
            let mut above = path.parent();
            while let Some(dir) = above.filter(|_| path.names_repository() && sight.has(&path)) {
                assert!(
                    dir.names_repository() || sight.has(&dir),
                    "{dir} above {path}"
                );
                above = dir.parent();
            }
        }
    }
}
