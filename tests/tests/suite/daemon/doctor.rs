//! `gitmoor doctor`: each fault is made, found with what mends it, and gone when it is mended.

use gitmoor_tests::backend::{Kind, Store};
use gitmoor_tests::cluster::Cluster;
use gitmoor_tests::mount::{Settings, gitmoor};
use gitmoor_tests::place::{Place, let_others_through};
use gitmoor_tests::process::{self, report};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::statvfs;
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// The tests' disks may be small.
const SETTINGS: &str = "cache-size = \"1MiB\"\ncache-free-floor = \"1MiB\"\n";

fn place(kind: Kind, more: &str) -> Place {
    Place::set(kind, &format!("{SETTINGS}{more}"))
}

/// `gitmoor doctor --json` with the settings of the mount. In a mount namespace of its own: other tests leave dead
/// mounts on purpose, which must neither be mended here nor count.
fn examined(settings: &Settings, args: &[&str]) -> (Output, Vec<Value>) {
    let toml = settings.log.with_extension("toml");
    fs::write(&toml, &settings.toml).expect("write");
    let doctor = settings.command(&["doctor", "--json", "--config"]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-euc"]);
    // The mounts of others are detached here, and stay where they are.
    command.arg(
        "findmnt -n -l -t fuse.gitmoor -o TARGET | while read -r at; do [ \"$at\" = \"$AT\" ] || umount -l \"$at\"; done
         \"$@\"",
    );
    command
        .arg("sh")
        .arg(doctor.get_program())
        .args(doctor.get_args())
        .arg(toml)
        .args(args);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .env("AT", &settings.at);
    command.env("GITMOOR_DATA", &settings.data);
    command.envs(settings.env.iter().map(|(key, value)| (key, value)));
    let output = process::run(&mut command, b"", process::LIMIT);
    let checks = parsed(&output);
    (output, checks)
}

fn parsed(output: &Output) -> Vec<Value> {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error} {}", report(output)))
}

#[track_caller]
fn healthy(settings: &Settings) {
    let (output, checks) = examined(settings, &[]);
    assert!(output.status.success(), "{checks:#?}");
    assert_eq!(checks.len(), 9);
}

/// Exactly one thing is wrong, in this check, and these words say what.
#[track_caller]
fn finding(settings: &Settings, check: &str, words: &[&str]) {
    let (output, checks) = examined(settings, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", report(&output));
    one_finding(&checks, check, words);
}

#[track_caller]
fn one_finding(checks: &[Value], check: &str, words: &[&str]) {
    let found: Vec<_> = checks
        .iter()
        .filter(|check| check["findings"] != serde_json::json!([]))
        .collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["name"], check, "{found:#?}");
    assert_eq!(
        found[0]["findings"].as_array().map(Vec::len),
        Some(1),
        "{found:#?}"
    );
    let said = found[0]["findings"][0].to_string();
    for word in words {
        assert!(said.contains(word), "{word:?} missing in {said}");
    }
}

/// `--fix` mends it.
#[track_caller]
fn mended(settings: &Settings) {
    let (output, checks) = examined(settings, &["--fix", "--yes"]);
    assert!(output.status.success(), "{checks:#?}");
    let findings = checks
        .iter()
        .filter_map(|check| check["findings"].as_array())
        .flatten();
    let mended = findings.filter(|finding| finding["fixed"] == true).count();
    assert!(mended > 0, "{checks:#?}");
}

/// What the flag of the mount said, in the environment, where it beats the bucket.
fn without_daemon(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    settings
        .env
        .push(("GITMOOR_STORE".into(), settings.store.clone()));
    settings
}

fn unused(toml: &str) -> (TempDir, Settings) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut settings = Store::Dir.settings(dir.path());
    settings.toml = format!("{SETTINGS}{toml}");
    (dir, settings)
}

#[test]
fn nothing_is_wrong() {
    let (_dir, settings) = unused("");
    healthy(&settings);
    assert!(!settings.data.exists(), "it begins nothing");
    for kind in [Kind::Dir, Kind::S3s] {
        let place = place(kind, "");
        place.pushed("app.git", 2);
        let settings = place.daemon().settings().clone();
        let keys = |place: &Place| match kind {
            Kind::S3s => place.server().objects().len(),
            _ => 0,
        };
        let before = keys(&place);
        healthy(&settings);
        let toml = settings.log.with_extension("toml");
        let text = settings.gitmoor_ok(&["doctor", "--config", toml.to_str().expect("UTF-8")]);
        assert!(text.contains("takes, gives, lists and removes"), "{text}");
        place.daemon().umount();
        healthy(&without_daemon(&settings));
        assert_eq!(keys(&place), before, "the probe leaves nothing");
        place.daemon().launch();
    }
}

#[test]
fn a_dead_mount() {
    let place = place(Kind::Dir, "");
    let settings = place.daemon().settings().clone();
    let mut child = place.daemon().kill9_only();
    child.wait().expect("it ends");
    let (output, checks) = examined(&settings, &[]);
    assert_eq!(output.status.code(), Some(1));
    let found: Vec<_> = checks
        .iter()
        .filter(|check| check["findings"] != serde_json::json!([]))
        .collect();
    let names: Vec<_> = found
        .iter()
        .map(|check| check["name"].as_str().unwrap_or(""))
        .collect();
    assert_eq!(
        names,
        ["daemon", "mounts"],
        "a socket, and a mount: {found:#?}"
    );
    assert!(found[0].to_string().contains("admin.sock"), "{found:#?}");
    assert!(
        found[1]
            .to_string()
            .contains("transport endpoint is not connected"),
        "{found:#?}"
    );
    // Nobody is there to confirm it.
    let refused = settings.gitmoor(&["doctor", "--fix"]);
    assert_eq!(refused.status.code(), Some(2), "{}", report(&refused));
    assert!(statvfs(&settings.at).is_err(), "still dead");
    mended(&settings);
    assert!(!settings.data.join("admin.sock").exists());
    // It was cleared where the doctor ran.
    gitmoor_tests::mount::detach(&settings.at);
    healthy(&settings);
    place.daemon().launch();
}

#[test]
fn what_is_left_in_staging() {
    let place = place(Kind::Dir, "idle-publish = \"1h\"\n");
    let bare = place.bare("app.git");
    bare.feed("hash-object -w --stdin", "pending\n");
    place.daemon().kill9();
    let settings = place.daemon().settings().clone();
    fs::remove_file(settings.data.join("admin.sock")).expect("unlink");
    finding(&settings, "staging", &["1 finished files", "mount"]);
    place.daemon().launch();
    place.daemon().umount();
    healthy(&settings);

    let repo = fs::read_dir(settings.data.join("repos"))
        .expect("repositories")
        .flatten()
        .next();
    let repo = repo.expect("one").path();
    let quarantine = repo.join("files/objects/tmp_objdir-incoming-x");
    fs::create_dir_all(quarantine.join("pack")).expect("mkdir");
    healthy(&settings);
    let day_before = SystemTime::now() - Duration::from_secs(25 * 3600);
    let age = |dir: &Path| {
        File::open(dir)
            .and_then(|dir| dir.set_modified(day_before))
            .expect("utimes")
    };
    age(&quarantine);
    // A push that takes longer than a day writes further in.
    healthy(&settings);
    age(&quarantine.join("pack"));
    finding(&settings, "staging", &["tmp_objdir-incoming-x", "remove"]);
    mended(&settings);
    assert!(!quarantine.exists());
    healthy(&settings);

    fs::create_dir(repo.join("damaged")).expect("mkdir");
    fs::write(repo.join("damaged/objects_00_11"), "x").expect("write");
    finding(&settings, "staging", &["damaged"]);
    fs::remove_dir_all(repo.join("damaged")).expect("rm");
    place.daemon().launch();
}

#[test]
fn a_store_that_fails() {
    let place = place(
        Kind::S3s,
        "publish-timeout = \"1s\"\nidle-publish = \"100ms\"\n",
    );
    let settings = place.daemon().settings().clone();
    place.server().skew(Duration::from_secs(600));
    finding(&settings, "store", &["ahead of", "set the clocks"]);
    place.server().skew(Duration::ZERO);
    healthy(&settings);
    // Through the daemon it takes as long as its retries; without one it is told soon.
    place.daemon().umount();
    place.server().set_down(true);
    let alone = without_daemon(&settings);
    finding(&alone, "store", &["did not answer", "endpoint"]);
    place.server().set_down(false);
    healthy(&alone);
    let mut keys = alone.clone();
    keys.env.retain(|(key, _)| key != "S3_SECRET_ACCESS_KEY");
    keys.env
        .push(("S3_SECRET_ACCESS_KEY".into(), "another".into()));
    finding(&keys, "store", &["SignatureDoesNotMatch"]);
    place.daemon().launch();
}

#[test]
fn a_disk_without_room() {
    let (dir, settings) = unused("");
    let small = dir.path().join("small");
    fs::create_dir(&small).expect("mkdir");
    mount(
        Some("none"),
        &small,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("size=4m"),
    )
    .expect("tmpfs");
    let settings = Settings {
        data: small.join("data"),
        ..settings
    };
    healthy(&settings);
    let too_large = Settings {
        toml: "cache-size = \"4MiB\"\ncache-free-floor = \"1MiB\"\n".into(),
        ..settings.clone()
    };
    finding(&too_large, "disk", &["cache-size", "larger disk"]);
    fs::write(small.join("full"), vec![1; 3_500_000]).expect("write");
    finding(&settings, "disk", &["less than cache-free-floor"]);
    umount2(&small, MntFlags::MNT_DETACH).expect("umount");
}

/// Without /dev/fuse, and as a user who may not what root may.
#[test]
fn a_machine_that_cannot_mount() {
    let (dir, settings) = unused("");
    fs::write(dir.path().join("settings.toml"), &settings.toml).expect("write");
    let run = |command: &mut Command| {
        command.env("GITMOOR_DATA", &settings.data);
        process::run(command, b"", process::LIMIT)
    };
    let program = gitmoor().get_program().to_owned();
    let program = Path::new(&program).display().to_string();
    let toml = dir.path().join("settings.toml").display().to_string();
    let doctor = format!("{program} doctor --json --config {toml}");
    // Of mounts of other tests it may speak as well.
    let fuse = |output: &Output| -> Vec<Value> {
        let checks = parsed(output).into_iter();
        checks.filter(|check| check["name"] != "mounts").collect()
    };
    let within = |script: String| {
        let mut shell = Command::new("unshare");
        shell.args(["--mount", "--propagation", "private", "sh", "-euc"]);
        shell.arg(format!(
            "mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3\n{script}"
        ));
        run(&mut shell)
    };
    let output = within(doctor);
    one_finding(&fuse(&output), "fuse", &["no /dev/fuse", "modprobe fuse"]);

    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("chmod");
    let_others_through();
    let copy = dir.path().join("gitmoor");
    fs::copy(&program, &copy).expect("copy");
    let nobody = |mode: u32, path: &str| {
        let ids = "--reuid=65534 --regid=65534 --clear-groups";
        let copy = copy.display();
        within(format!(
            "mknod -m {mode} /dev/fuse c 10 229
             PATH={path} exec /usr/bin/setpriv {ids} {copy} doctor --json --config {toml}"
        ))
    };
    let output = nobody(600, "/usr/bin:/bin");
    one_finding(&fuse(&output), "fuse", &["cannot be opened", "0666"]);
    let output = nobody(666, "/nonexistent");
    one_finding(
        &fuse(&output),
        "fuse",
        &["fusermount3 is not installed", "fuse3"],
    );
    let toml = format!("{}allow-other = true\n", settings.toml);
    fs::write(dir.path().join("settings.toml"), toml).expect("write");
    let output = nobody(666, "/usr/bin:/bin");
    one_finding(
        &fuse(&output),
        "fuse",
        &["user_allow_other", "/etc/fuse.conf"],
    );
}

#[test]
fn members_of_a_cluster() {
    let mut cluster = Cluster::of_three();
    let leader = cluster.leader(0, &[]);
    let (dead, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let node = cluster.machines[dead].node.to_string();
    cluster.kill9(dead);
    let toml = cluster.scratch("doctor").join("doctor.toml");
    fs::write(&toml, SETTINGS).expect("write");
    let toml = toml.to_str().expect("UTF-8");
    let doctor = |machine| {
        let output = cluster.gitmoor(machine, &["doctor", "--json", "--config", toml]);
        assert_eq!(output.status.code(), Some(1), "{}", report(&output));
        let checks = parsed(&output).into_iter();
        checks
            .filter(|check| check["name"] != "mounts")
            .collect::<Vec<_>>()
    };
    let words = [
        &format!("node {node} ") as &str,
        "does not answer",
        "cluster remove",
    ];
    one_finding(&doctor(other), "cluster", &words);
    let alone = serde_json::to_string(&doctor(dead)).expect("JSON");
    assert!(alone.contains("its daemon does not run"), "{alone}");
    cluster.start(dead);
}

/// The lock is held and nobody answers.
#[test]
fn a_daemon_that_does_not_answer() {
    let (_dir, settings) = unused("");
    fs::create_dir_all(&settings.data).expect("mkdir");
    let lock = File::create(settings.data.join("lock")).expect("create");
    lock.lock().expect("flock");
    finding(
        &settings,
        "daemon",
        &["owns the data directory", "gitmoor.log"],
    );
    lock.unlock().expect("unlock");
    healthy(&settings);
}
