//! The ground that the other tests stand on is what they take it for.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::hostile::{Ground, INTRUDER, as_intruder};
use std::fs;
use std::os::unix::fs::MetadataExt;

#[test]
fn the_intruder_owns_one_repository_and_nothing_else() {
    let ground = Ground::new(Kind::Dir, "");
    assert_eq!(
        ground.sh_ok("id -u; id -G"),
        format!("{INTRUDER}\n{INTRUDER}")
    );
    ground.sh_ok("git update-ref refs/heads/mine main && echo x >notes");
    assert_eq!(
        ground.sh_ok("git rev-parse mine"),
        ground.sh_ok("git rev-parse main")
    );
    let notes = ground.mine.dir.join("notes");
    assert_eq!(fs::metadata(&notes).expect("stat").uid(), INTRUDER);
    for forbidden in [
        "cat $CANARIES/secret",
        "echo x >>$CANARIES/list",
        "ls $M/other.git",
        "mkdir $M/new.git",
    ] {
        assert!(!ground.sh(forbidden).status.success(), "{forbidden}");
    }
    ground.unharmed();
}

#[test]
fn one_thread_alone_is_the_intruder() {
    let ground = Ground::new(Kind::Dir, "");
    let made = ground.home.join("by a thread");
    as_intruder(|| fs::write(&made, "x").expect("the intruder's own directory"));
    assert_eq!(fs::metadata(&made).expect("stat").uid(), INTRUDER);
    let secret = ground.canaries.dir.join("secret");
    as_intruder(|| fs::read(&secret).expect_err("of root alone"));
    fs::read(&secret).expect("this thread is root's");
}
