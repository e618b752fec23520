//! What is shown in place of hooks that are not accepted: a `pre-receive` that ends each push and says why, which git
//! passes on to the pusher.

use super::tree::{HookNode, HookTree};
use gitmoor_model::{HookKind, RepoPath, Timestamp};
use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

/// Why a machine takes no push, for the pusher.
pub(super) fn sentence(has_directory: bool, differs: Option<&RepoPath>) -> String {
    let why = match (has_directory, differs) {
        (false, _) => "this machine has no hooks directory, and its cluster has one".to_owned(),
        (true, Some(file)) => {
            format!("{file} in the hooks directory of this machine is not the one of its cluster")
        }
        (true, None) => {
            "the hooks directory of this machine is not the one of its cluster".to_owned()
        }
    };
    format!(
        "gitmoor: {why}: it takes no push. Push through another machine, and tell the administrator \
         (gitmoor hooks status)."
    )
}

pub(super) fn tree(why: &str) -> HookTree {
    let script = format!("#!/bin/sh\nprintf '%s\\n' {} >&2\nexit 1\n", quoted(why));
    // The content is another file than any other; when it was made nobody asks.
    let time = Timestamp::from(UNIX_EPOCH);
    let hook = HookNode::new(HookKind::Program, script.into_bytes(), time);
    let path = RepoPath::new("pre-receive").expect("a valid path");
    HookTree::new(BTreeMap::from([(path, hook)]), time)
}

/// As one word of a shell, without control characters for a terminal.
fn quoted(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    format!("'{}'", plain.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_the_word_that_it_is_in() {
        let name = RepoPath::new("a'; touch /tmp/x; \x1b'b").expect("a valid path");
        let tree = tree(&sentence(true, Some(&name)));
        let path = RepoPath::new("hooks/pre-receive").expect("a valid path");
        let script = &tree.at(&path).expect("it is there").bytes;
        let script = String::from_utf8_lossy(script);
        assert!(
            script.contains(r"a'\''; touch /tmp/x; ?'\''b in the"),
            "{script}"
        );
    }
}
