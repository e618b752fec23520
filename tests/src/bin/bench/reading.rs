//! Commands that read.

use crate::compare::{Bench, LONG_TARGET, within};

impl Bench<'_> {
    pub(crate) fn reading(&mut self) {
        for command in [
            "rev-parse HEAD",
            "cat-file -p HEAD",
            "log -1",
            "for-each-ref",
        ] {
            self.command(command, self.options.rounds * 3);
        }
        for command in [
            "rev-list --all --count",
            "rev-list --all --objects --quiet",
            "fsck --no-dangling --no-progress",
        ] {
            self.command(command, self.options.rounds.min(5));
        }
        let copy = self.place.git.at(self.place.scratch("copy.git"));
        let at = self.place.git.at(&self.place.scratch);
        let rounds = self.options.rounds.min(5);
        self.compare(
            "clone --bare from it",
            Some(LONG_TARGET),
            rounds,
            |_, side| {
                let _ = std::fs::remove_dir_all(&copy.dir);
                within(
                    &at,
                    format!("clone --quiet --bare {} {}", side.url(), copy.path()),
                )
            },
        );
    }

    fn command(&mut self, line: &str, rounds: usize) {
        self.compare(line, Some(LONG_TARGET), rounds, |_, side| {
            within(side, line)
        });
    }
}
