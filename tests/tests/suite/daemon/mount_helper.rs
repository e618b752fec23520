//! mount(8), umount(8), findmnt(8) and fstab(5), through `mount.gitmoor`. In a mount namespace of its own each, where
//! /sbin has nothing but that.

use gitmoor_tests::mount::gitmoor;
use gitmoor_tests::process::{self, report};
use gitmoor_tests::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;
use tempfile::TempDir;

struct Machine {
    dir: TempDir,
    data: PathBuf,
    at: PathBuf,
}

impl Machine {
    fn new() -> Machine {
        let dir = tempfile::Builder::new().prefix("gitmoor-helper-").tempdir();
        let dir = dir.expect("temporary directory");
        let (data, at) = (dir.path().join("data"), dir.path().join("mnt"));
        fs::create_dir(&at).expect("mkdir");
        let sbin = dir.path().join("sbin");
        fs::create_dir(&sbin).expect("mkdir");
        for name in ["mount.gitmoor", "mount.fuse.gitmoor"] {
            symlink(gitmoor().get_program(), sbin.join(name)).expect("symlink");
        }
        Machine { dir, data, at }
    }

    /// Runs a script with `$DATA`, `$AT` and `$FSTAB`.
    fn run(&self, script: &str) -> Output {
        let sbin = self.dir.path().join("sbin");
        let mut shell = Command::new("unshare");
        shell.args(["--mount", "--propagation", "private", "sh", "-euc"]);
        shell.arg(format!(
            "mount --bind {} /usr/sbin\n{script}",
            sbin.display()
        ));
        shell
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C");
        shell.env("DATA", &self.data).env("AT", &self.at);
        shell.env("FSTAB", self.dir.path().join("fstab"));
        process::run(&mut shell, b"", process::LIMIT)
    }

    #[track_caller]
    fn ok(&self, script: &str) -> String {
        let output = self.run(script);
        assert!(output.status.success(), "{script}\n{}", report(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[track_caller]
    fn refused(&self, script: &str, code: i32, word: &str) {
        let output = self.run(script);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{script}\n{}",
            report(&output)
        );
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(word), "{word:?} missing in {said}");
    }
}

impl Drop for Machine {
    /// umount(8) does not wait until the daemon has left; its directory must not go before it. A test that
    /// failed may have left it mounted, where only it sees that.
    fn drop(&mut self) {
        let lock = self.data.join("lock");
        if std::thread::panicking()
            && let Ok(owner) = fs::read(&lock)
            && let Ok(owner) = serde_json::from_slice::<serde_json::Value>(&owner)
            && let Some(pid) = owner["pid"].as_i64()
        {
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
        }
        let is_free = || File::open(&lock).map_or(true, |lock| lock.try_lock().is_ok());
        let _ = wait::poll(Duration::from_secs(60), || is_free().then_some(()));
    }
}

#[test]
fn by_hand() {
    let machine = Machine::new();
    let told = machine.ok(
        "mount -v -t gitmoor \"$DATA\" \"$AT\" -o cache_size=64MiB,umask=077,nofail,noauto,_netdev,x-systemd.idle-timeout=1m
         git init --quiet --bare \"$AT/app.git\"
         stat -c %a \"$AT/app.git/HEAD\"
         findmnt -n -t fuse.gitmoor -M \"$AT\" -o SOURCE,TARGET,FSTYPE
         umount \"$AT\"
         findmnt -M \"$AT\" || echo gone",
    );
    assert!(
        told.contains("--cache-size=64MiB"),
        "-v says what is done: {told}"
    );
    let (data, at) = (machine.data.display(), machine.at.display());
    let words: Vec<_> = told
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert!(
        words.contains(&format!("{data} {at} fuse.gitmoor")),
        "{told}"
    );
    assert!(words.contains(&"600".to_owned()), "{told}");
    assert!(told.ends_with("gone\n"), "{told}");
}

#[test]
fn by_fstab() {
    let machine = Machine::new();
    let (data, at) = (machine.data.display(), machine.at.display());
    let store = machine.dir.path().join("the store");
    let line = |options: &str| {
        fs::write(
            machine.dir.path().join("fstab"),
            format!("{data} {at} gitmoor {options} 0 0\n"),
        )
        .expect("write");
    };
    line(
        &format!(
            "defaults,_netdev,nofail,user,exec,x-systemd.automount,store=dir:{}",
            store.display()
        )
        .replace(' ', "\\040"),
    );
    // All that is not mounted: the second time there is nothing to do.
    let mounted = machine.ok("mount -T \"$FSTAB\" -a; mount -T \"$FSTAB\" -a
         findmnt -n -t fuse.gitmoor -M \"$AT\" -o TARGET
         git init --quiet --bare \"$AT/app.git\"
         umount \"$AT\"");
    assert_eq!(mounted.trim(), at.to_string());
    assert!(
        store.join("gitmoor-format").exists(),
        "the option reached it"
    );
    line("ro,_netdev");
    let options = machine.ok(
        "mount -T \"$FSTAB\" \"$AT\"; git -C \"$AT/app.git\" rev-parse --is-bare-repository
         ! mkdir \"$AT/other.git\" 2>/dev/null
         findmnt -n -t fuse.gitmoor -M \"$AT\" -o OPTIONS; umount \"$AT\"",
    );
    assert!(options.starts_with("true\nro,"), "{options}");
}

#[test]
fn a_store_as_source() {
    let machine = Machine::new();
    let store = format!("dir:{}", machine.dir.path().join("store").display());
    let source = machine.ok(&format!(
        "mount -t gitmoor {store} \"$AT\" -o data=\"$DATA\",noexec
         findmnt -n -o SOURCE,OPTIONS \"$AT\"; umount \"$AT\""
    ));
    assert!(
        source.contains(&store) && source.contains("noexec"),
        "{source}"
    );
    assert!(machine.data.join("lock").exists());
}

#[test]
fn what_cannot_be_meant() {
    let machine = Machine::new();
    let refused = |options: &str, code, word| {
        machine.refused(
            &format!("mount -t gitmoor \"$DATA\" \"$AT\" {options}"),
            code,
            word,
        );
    };
    refused("-o cache_sise=1GiB", 1, "option cache_sise=1GiB");
    refused("-o foreground", 1, "option foreground");
    refused("-o cache_size=much", 1, "much");
    refused("-f -o cache_size=much", 1, "much");
    refused("-o data=/elsewhere", 1, "--data");
    refused(
        "-o store=s3://no-such-bucket-at-all/x,config=/nonexistent.toml",
        1,
        "/nonexistent.toml",
    );
    fs::write(machine.at.join("file"), "").expect("write");
    refused("", 1, "not empty");
    fs::remove_file(machine.at.join("file")).expect("unlink");
    machine.ok("mount -f -t gitmoor \"$DATA\" \"$AT\" -o cache_size=1GiB");
    assert!(!machine.data.exists(), "-f mounts nothing");
    machine.ok(
        "mount -s -t gitmoor \"$DATA\" \"$AT\" -o nonsense; findmnt -M \"$AT\"; umount \"$AT\"",
    );
}

#[test]
fn remounting_is_refused_and_changes_nothing() {
    let machine = Machine::new();
    machine.refused(
        "mount -t gitmoor \"$DATA\" \"$AT\"; trap 'umount \"$AT\"' EXIT
         mount -o remount,ro \"$AT\"",
        1,
        "umount it, then mount it",
    );
    machine.refused(
        "mount -t gitmoor \"$DATA\" \"$AT\"; trap 'umount \"$AT\"' EXIT
         mount -t gitmoor \"$DATA\" \"$AT\"",
        32,
        "mounted",
    );
}
