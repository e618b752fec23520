//! Hooks on the machines of a cluster: all have the same, or a machine takes no push.

use super::mounts::{MACHINES, init, work};
use crate::tree::hooks::{put, rules};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::{BOUND, Cluster};
use gitmoor_tests::process::report;
use gitmoor_tests::wait;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The hooks directory of a machine.
fn directory(cluster: &Cluster, machine: usize) -> PathBuf {
    cluster.scratch(&format!("hooks-of-{machine}"))
}

/// Starts the mount of a machine anew, with its hooks directory or without.
fn remount(cluster: &mut Cluster, machine: usize, with_hooks: bool) {
    let hooks = directory(cluster, machine).display().to_string();
    let mut mount = cluster.machines[machine].mount.take().expect("it runs");
    mount.umount();
    let toml = mount.settings().toml.clone();
    let mut lines: Vec<_> = toml
        .lines()
        .filter(|line| !line.starts_with("hooks = "))
        .collect();
    let line = format!("hooks = {hooks:?}");
    if with_hooks {
        lines.insert(0, &line);
    }
    mount.configure(lines.join("\n"));
    mount.launch();
    cluster.machines[machine].mount = Some(mount);
}

/// Three mounts with the same hooks directory.
fn with_hooks() -> Cluster {
    let mut cluster = Cluster::mounted(Kind::Dir);
    for machine in MACHINES {
        rules(&directory(&cluster, machine));
        remount(&mut cluster, machine, true);
    }
    cluster
}

/// Pushes a new commit to a branch by way of a machine: what the pusher is told, when it is refused.
fn push(cluster: &Cluster, machine: usize, branch: &str) -> Result<(), String> {
    let path = cluster.scratch(&format!("work-{machine}-app.git"));
    let work = match path.join(".git").exists() {
        true => cluster.git.at(path),
        false => work(cluster, machine, "app.git"),
    };
    static PUSHED: AtomicU32 = AtomicU32::new(0);
    work.commit(&format!("next-{}", PUSHED.fetch_add(1, Ordering::Relaxed)));
    let pushed = work.run(format!("push --force origin HEAD:{branch}"), b"");
    match pushed.status.success() {
        true => Ok(()),
        false => Err(report(&pushed)),
    }
}

#[track_caller]
fn takes_pushes(cluster: &Cluster, machine: usize, is_so: bool) {
    wait::until(
        &format!("machine {machine} takes pushes: {is_so}"),
        BOUND,
        || push(cluster, machine, "main").is_ok() == is_so,
    );
}

#[test]
fn all_have_the_same_directory() {
    let cluster = with_hooks();
    init(&cluster, 0, "app.git", "");
    for machine in MACHINES {
        assert_eq!(push(&cluster, machine, "main"), Ok(()));
        let told = push(&cluster, machine, "closed").expect_err("a hook refuses it");
        assert!(told.contains("closed by the host"), "{told}");
    }
    let status = cluster.ok(1, &["hooks", "status"]);
    assert_eq!(status.matches("  accepted").count(), 3, "{status}");
    let cluster_status = cluster.ok(1, &["cluster", "status"]);
    assert!(
        !cluster_status.contains("takes no push"),
        "{cluster_status}"
    );
}

#[test]
fn who_differs_serves_reads_and_takes_no_push() {
    let mut cluster = with_hooks();
    init(&cluster, 0, "app.git", "");
    assert_eq!(push(&cluster, 0, "main"), Ok(()));
    put(&directory(&cluster, 2), "update.d/host", "exit 0");
    // What is in use stays in use.
    assert_eq!(push(&cluster, 2, "main"), Ok(()));
    remount(&mut cluster, 2, true);
    let told = push(&cluster, 2, "main").expect_err("it differs");
    let words = [
        "gitmoor: update.d/host",
        "takes no push",
        "pre-receive hook declined",
    ];
    for word in words {
        assert!(told.contains(word), "{word}: {told}");
    }
    // Nor without that hook.
    let bare = cluster.repo(2, "app.git");
    let told = bare.fail("update-ref refs/heads/other refs/heads/main");
    assert!(
        told.contains("Read-only file system") || told.contains("couldn't set"),
        "{told}"
    );
    assert!(
        !cluster
            .repo(0, "app.git")
            .is("rev-parse --verify --quiet other")
    );
    assert_eq!(bare.oid("main"), cluster.repo(0, "app.git").oid("main"));
    let not_allowed = cluster.ok(2, &["status"]);
    assert!(
        not_allowed.contains("update.d/host is not the same"),
        "{not_allowed}"
    );
    let node = cluster.machines[2].node;
    for args in [&["cluster", "status"][..], &["hooks", "status"]] {
        let status = cluster.ok(0, args);
        let line = status.lines().find(|line| {
            line.starts_with(&format!("machine {node} ")) && line.contains("takes no push")
        });
        assert!(
            line.is_some_and(|line| line.contains("update.d/host")),
            "{status}"
        );
    }
    let doctor = report(&cluster.gitmoor(0, &["doctor"]));
    let finding = format!("machine {node} takes no push: update.d/host");
    assert!(doctor.contains(&finding), "{doctor}");
    rules(&directory(&cluster, 2));
    takes_pushes(&cluster, 2, true);
    remount(&mut cluster, 2, false);
    let told = push(&cluster, 2, "main").expect_err("it has none");
    assert!(told.contains("has no hooks directory"), "{told}");
}

/// A client is a machine like another.
#[test]
fn a_client_has_the_same_directory() {
    let mut cluster = with_hooks();
    let client = cluster.mount_client();
    init(&cluster, 0, "app.git", "");
    assert_eq!(push(&cluster, 0, "main"), Ok(()));
    let told = push(&cluster, client, "main").expect_err("it has none");
    assert!(told.contains("has no hooks directory"), "{told}");
    rules(&directory(&cluster, client));
    remount(&mut cluster, client, true);
    takes_pushes(&cluster, client, true);
    let told = push(&cluster, client, "closed").expect_err("a hook refuses it");
    assert!(told.contains("closed by the host"), "{told}");
    cluster.refused(client, &["hooks", "promote"], 1, &["only nodes"]);
}

#[test]
fn another_directory_is_rolled_out_machine_by_machine() {
    let cluster = with_hooks();
    init(&cluster, 0, "app.git", "");
    let change = |machine: usize| {
        let script = "echo 'closed anew' >&2; [ \"$1\" != refs/heads/closed ]";
        put(&directory(&cluster, machine), "update.d/host", script);
    };
    let is_new = |machine: usize| {
        push(&cluster, machine, "closed").is_err_and(|told| told.contains("closed anew"))
    };
    change(0);
    wait::until("the change waits", BOUND, || {
        cluster
            .ok(0, &["hooks", "status"])
            .contains("gitmoor hooks promote")
    });
    assert!(!is_new(0), "not before it is promoted");
    cluster.ok(0, &["hooks", "promote", "--grace", "20s"]);
    assert!(is_new(0));
    assert_eq!(push(&cluster, 1, "main"), Ok(()), "within the grace");
    change(1);
    wait::until("it is in use", BOUND, || is_new(1));
    assert_eq!(push(&cluster, 1, "main"), Ok(()));
    takes_pushes(&cluster, 2, false);
    // The refusal holds from the end of the grace on; the machine looks for the sentence a moment later.
    wait::until("the pusher is told which file differs", BOUND, || {
        push(&cluster, 2, "main").is_err_and(|told| told.contains("update.d/host"))
    });
    change(2);
    takes_pushes(&cluster, 2, true);
    assert!(is_new(2));
    let audit = cluster.ok(1, &["audit"]);
    assert!(audit.contains("hooks-promoted"), "{audit}");
}

/// Gitea, Forgejo and gitolite write hooks into each repository.
#[test]
fn a_host_that_writes_hooks_on_one_machine() {
    let cluster = Cluster::mounted(Kind::Dir);
    let bare = init(&cluster, 0, "app.git", "");
    for machine in MACHINES {
        assert_eq!(push(&cluster, machine, "main"), Ok(()));
    }
    let gitea = "exec \"$GIT_DIR/hooks/pre-receive.d/gitea\"";
    put(&bare.dir.join("hooks"), "pre-receive", gitea);
    put(
        &bare.dir.join("hooks"),
        "pre-receive.d/gitea",
        "cat >/dev/null",
    );
    takes_pushes(&cluster, 1, false);
    takes_pushes(&cluster, 2, false);
    assert_eq!(push(&cluster, 0, "main"), Ok(()));
    let status = cluster.ok(1, &["status"]);
    assert!(
        status.contains("has hooks/pre-receive for this repository"),
        "{status}"
    );
    let doctor = report(&cluster.gitmoor(1, &["doctor"]));
    assert!(
        doctor.contains("app.git: machine 1 has hooks/pre-receive"),
        "{doctor}"
    );
    let oid = cluster.repo(1, "app.git").oid("main");
    assert_eq!(oid, cluster.repo(0, "app.git").oid("main"), "it is read");
    let hooks = cluster.repo(1, "app.git").dir.join("hooks");
    put(&hooks, "pre-receive", gitea);
    put(&hooks, "pre-receive.d/gitea", "cat >/dev/null");
    takes_pushes(&cluster, 1, true);
    // As gitolite does.
    let hooks = cluster.repo(2, "app.git").dir.join("hooks");
    symlink("/bin/true", hooks.join("pre-receive")).expect("ln -s");
    fs::create_dir(hooks.join("pre-receive.d")).expect("mkdir");
    symlink("/bin/true", hooks.join("pre-receive.d/gitea")).expect("ln -s");
    takes_pushes(&cluster, 2, true);
    fs::remove_dir_all(bare.dir.join("hooks")).expect("rm -r");
    takes_pushes(&cluster, 0, false);
}

/// The setting `missing-hooks`.
#[test]
fn a_machine_may_take_pushes_all_the_same() {
    let cluster = Cluster::mounted_with(Kind::Dir, |settings| {
        settings.toml.insert_str(0, "missing-hooks = \"warn\"\n");
    });
    let bare = init(&cluster, 0, "app.git", "");
    put(&bare.dir.join("hooks"), "update", "exit 0");
    wait::until("node 1 has told", BOUND, || {
        report(&cluster.gitmoor(1, &["doctor"])).contains("has hooks/update")
    });
    assert_eq!(push(&cluster, 1, "main"), Ok(()));
    let log = fs::read_to_string(cluster.log(1)).expect("its log");
    assert!(log.contains("passes by a hook"), "{log}");
}

/// `rm -rf` begins with what it comes upon first, and takes its time.
#[test]
fn a_repository_whose_hooks_go_first_is_removed() {
    let cluster = Cluster::mounted(Kind::Dir);
    init(&cluster, 0, "app.git", "");
    for machine in MACHINES {
        let hooks = cluster.repo(machine, "app.git").dir.join("hooks");
        put(&hooks, "pre-receive", "exit 0");
        assert_eq!(push(&cluster, machine, "main"), Ok(()));
    }
    let dir = cluster.repo(0, "app.git").dir;
    fs::remove_dir_all(dir.join("hooks")).expect("rm -r");
    // The publisher comes by several times meanwhile.
    for _ in 0..30 {
        fs::symlink_metadata(dir.join("no-such-name")).expect_err("it is not there");
        std::thread::sleep(Duration::from_millis(100));
    }
    fs::remove_dir_all(&dir).expect("rm -r");
    wait::until("it is gone everywhere", BOUND, || {
        MACHINES
            .iter()
            .all(|machine| !cluster.repo(*machine, "app.git").dir.exists())
    });
}
