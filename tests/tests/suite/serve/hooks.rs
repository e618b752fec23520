//! Hooks at the door: those of the machine run, for whoever pushes and with no more rights than git has there; those of a
//! repository's own do not, and then nothing is pushed past them.

use crate::tree::hooks::put;
use gitmoor_tests::door::{SERVER, Served};
use gitmoor_tests::git::Repo;
use std::path::PathBuf;
use std::process::Command;

/// A door whose machine has a `pre-receive`, and the place for that.
fn with_hook(script: &str) -> (Served, Repo) {
    let served = Served::with_settings(|daemon| {
        let dir = daemon.data.with_file_name("hooks-of-machine");
        put(&dir, "pre-receive", script);
        (
            format!("hooks = {:?}\n", dir.display().to_string()),
            String::new(),
        )
    });
    let token = served.alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.work("work", &url);
    (served, work)
}

#[test]
fn a_hook_of_the_machine_refuses_and_says_why() {
    let (_served, work) = with_hook(
        "[ \"$GIT_PUSH_OPTION_0\" = reviewed ] || { echo 'nobody has reviewed this' >&2; exit 1; }\n\
         while read -r old new ref; do git cat-file -e \"$new\" && echo \"$REMOTE_USER $(id -u) $ref\"; done",
    );
    let told = work.fail("push origin HEAD:refs/heads/main");
    assert!(told.contains("nobody has reviewed this"), "{told}");
    assert!(told.contains("pre-receive hook declined"), "{told}");
    assert_eq!(work.ok("ls-remote origin"), "");
    let pushed = work.run("push -o reviewed origin HEAD:refs/heads/main", b"");
    let told = String::from_utf8_lossy(&pushed.stderr).into_owned();
    assert!(pushed.status.success(), "{told}");
    let line = format!("alice {SERVER} refs/heads/main");
    assert!(told.contains(&line), "{told}");
    // Who reads runs none.
    work.ok("fetch --quiet origin");
}

/// A hook has the rights of git at the door: the repository that is pushed to, and not the files of root.
#[test]
fn a_hook_may_no_more_than_git() {
    let (served, work) = with_hook("touch \"$GIT_PUSH_OPTION_0/mark\" && echo touched; exit 0");
    let dir: PathBuf = served.place.scratch("dir");
    std::fs::create_dir_all(&dir).expect("mkdir");
    let pushed = work.run(
        format!("push -o {} origin HEAD:refs/heads/main", dir.display()),
        b"",
    );
    assert!(pushed.status.success(), "{pushed:?}");
    assert!(!String::from_utf8_lossy(&pushed.stderr).contains("touched"));
    assert!(!dir.join("mark").exists());
}

/// Whatever the configuration of the repository says.
#[test]
fn a_repository_does_not_choose_other_hooks() {
    let (served, work) = with_hook("echo 'of the machine' >&2; exit 1");
    let bare = served.place.repo("team/app.git");
    bare.ok("-c safe.directory=* config core.hooksPath /nonexistent");
    let told = work.fail("push origin HEAD:refs/heads/main");
    assert!(told.contains("of the machine"), "{told}");
}

#[test]
fn hooks_of_a_repositorys_own_are_not_passed_by() {
    let served = Served::new();
    let token = served.alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.work("work", &url);
    let hooks = served.place.root.join("team/app.git/hooks");
    put(&hooks, "update", "exit 0");
    let told = work.fail("push origin HEAD:refs/heads/main");
    assert!(told.contains("403"), "{told}");
    work.ok("ls-remote origin");
    std::fs::remove_file(hooks.join("update")).expect("rm");
    work.ok("push --quiet origin HEAD:refs/heads/main");
}

/// The administrator may say that such hooks are of no matter.
#[test]
fn hooks_of_a_repositorys_own_do_not_run() {
    let served =
        Served::with_settings(|_| ("missing-hooks = \"warn\"\n".to_owned(), String::new()));
    let token = served.alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.work("work", &url);
    let hooks = served.place.root.join("team/app.git/hooks");
    put(&hooks, "update", "exit 1");
    work.ok("push --quiet origin HEAD:refs/heads/main");
    assert!(work.is("ls-remote --exit-code origin refs/heads/main"));
}

/// A hook may ask that pushes are signed: the nonce is this door's, and git on the machine can read the certificate.
#[test]
fn a_hook_judges_signed_pushes() {
    let (served, work) = with_hook(
        "[ \"$GIT_PUSH_CERT_NONCE_STATUS\" = OK ] || { echo \"nonce: ${GIT_PUSH_CERT_NONCE_STATUS:-none}\" >&2; exit 1; }\n\
         git cat-file blob \"$GIT_PUSH_CERT\" | sed -n '/^pusher /p; /^-----BEGIN/p'",
    );
    let told = work.fail("push origin HEAD:refs/heads/main");
    assert!(told.contains("nonce: none"), "{told}");
    let key = served.place.scratch("key");
    let mut generate = Command::new("ssh-keygen");
    let arguments = ["-q", "-t", "ed25519", "-N", "", "-f"];
    let status = generate.args(arguments).arg(&key).status();
    assert!(status.expect("ssh-keygen(1)").success());
    work.ok("config gpg.format ssh");
    work.ok(format!("config user.signingKey {}.pub", key.display()));
    let pushed = work.run("push --signed origin HEAD:refs/heads/main", b"");
    let told = String::from_utf8_lossy(&pushed.stderr).into_owned();
    assert!(pushed.status.success(), "{told}");
    assert!(
        told.contains("pusher ") && told.contains("-----BEGIN SSH SIGNATURE"),
        "{told}"
    );
}

/// Nobody would look at the certificate.
#[test]
fn without_hooks_no_signature_is_asked_for() {
    let served = Served::new();
    let token = served.alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.work("work", &url);
    work.ok("config gpg.format ssh");
    let told = work.fail("push --signed origin HEAD:refs/heads/main");
    assert!(told.contains("does not support --signed"), "{told}");
    work.ok("push --quiet --signed=if-asked origin HEAD:refs/heads/main");
}
