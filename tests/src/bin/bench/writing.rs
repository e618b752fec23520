//! Commands that write.

use crate::compare::{Bench, within};
use gitmoor_tests::git::Repo;
use gitmoor_tests::history::noise;
use std::time::Instant;

impl Bench<'_> {
    pub(crate) fn writing(&mut self) {
        let tip = self.disk.oid("HEAD");
        self.hundred_commits();
        self.one_push();
        self.compare(
            "update-ref of 1000 refs",
            None,
            self.options.rounds,
            |round, side| {
                let lines: String = (0..1000)
                    .map(|n| format!("create refs/heads/t{round}/{n} {tip}\n"))
                    .collect();
                let began = Instant::now();
                side.feed("update-ref --stdin", lines);
                began.elapsed()
            },
        );
    }

    fn hundred_commits(&mut self) {
        let place = self.place;
        self.compare("100 commits in a worktree", None, 3, |round, side| {
            let name = side
                .dir
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let tree = place.git.at(place.scratch(format!("{name}-tree-{round}")));
            // No checkout: the commits are measured, not the size of the tree.
            side.ok(format!(
                "worktree add --quiet --no-checkout -b tree-{round} {} HEAD",
                tree.path()
            ));
            tree.ok("read-tree --empty");
            let began = Instant::now();
            (0..100).for_each(|number| commit(&tree, number));
            began.elapsed()
        });
    }

    fn one_push(&mut self) {
        let work = self.place.work("pusher");
        let mut pushed = 0;
        self.compare(
            "push of one commit",
            None,
            self.options.rounds,
            |round, side| {
                pushed += 1;
                let tip = work.commit(&format!("push-{pushed}"));
                within(
                    &work,
                    format!("push --quiet {} {tip}:refs/heads/push-{round}", side.url()),
                )
            },
        );
    }
}

/// One more commit.
pub(crate) fn commit(tree: &Repo, number: u64) {
    tree.write("file", noise(200, number));
    tree.ok("add file");
    tree.ok(format!("commit --quiet -m n{number}"));
}
