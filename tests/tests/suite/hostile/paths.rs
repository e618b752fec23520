//! Paths through directories that the intruder writes to: nothing there is followed, nothing is waited for, and only
//! regular files get the names under which the daemon reads or moves what stands there.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::hostile::{BOUND, Ground, as_intruder};
use gitmoor_tests::process::report;
use gitmoor_tests::{files, wait};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Instant;

/// The publisher takes what is finished almost at once.
const EAGER: &str = "idle-publish = \"50ms\"\n";

/// rename(2) and nothing else, where mv(1) would copy.
const RENAME: &str =
    "rename() { perl -e 'rename($ARGV[0], $ARGV[1]) or die \"$!\\n\"' \"$1\" \"$2\"; };";

/// Waits until nothing that has a final name in `objects/info` is a real file any more.
fn published(ground: &Ground) {
    let info = ground.real_dir().join("objects/info");
    wait::until("everything is published", BOUND, || {
        files::below(&info).iter().all(|path| !path.is_file())
    });
}

/// It fails, and says why.
#[track_caller]
fn refused(ground: &Ground, script: &str, why: &str) {
    let output = ground.sh_within(&format!("{RENAME} {script}"), BOUND);
    let said = report(&output);
    assert!(
        !output.status.success() && said.contains(why),
        "{script}: {said}"
    );
}

#[test]
fn a_published_file_replaces_a_link_and_is_not_written_through_it() {
    let ground = Ground::new(Kind::Dir, EAGER);
    for target in ["new", "secret", "program", "setuid", "list", "dir/new"] {
        ground.sh_ok("cd objects/info && printf '#!/bin/sh\\nid >/tmp/x\\n' >s && chmod 4755 s");
        published(&ground);
        ground.sh_ok(&format!(
            "cd objects/info && ln -s $CANARIES/{target} tmp_s && mv -T s tmp_s && test -f tmp_s && ! test -L tmp_s && rm tmp_s"
        ));
        ground.canaries.untouched();
    }
    ground.unharmed();
}

#[test]
fn a_copy_for_writing_replaces_a_link_and_is_not_written_through_it() {
    let ground = Ground::new(Kind::Dir, EAGER);
    ground.sh_ok("cd objects/info && echo x >s");
    published(&ground);
    // link(2) of a published file, and an open for writing of one whose name was a link a moment before.
    ground.sh_ok("cd objects/info && ln s tmp_l && ln -s $CANARIES/list tmp_s && ln -f s tmp_s && echo y >>s");
    assert_eq!(ground.sh_ok("cat objects/info/s"), "x\ny");
    ground.unharmed();
}

#[test]
fn a_link_gets_no_final_name() {
    let ground = Ground::new(Kind::Dir, EAGER);
    let loose = format!("objects/22/{}", "2".repeat(38));
    let pack = format!("objects/pack/pack-{}.pack", "2".repeat(40));
    let secret = ground.canaries.dir.join("large-secret");
    ground.sh_ok(&format!(
        "mkdir -p objects/22; ln -s {} l",
        secret.display()
    ));
    for name in [
        "objects/info/stolen",
        &loose,
        &pack,
        "objects/pack/multi-pack-index",
        "objects/info/commit-graphs/commit-graph-chain",
        "packed-refs",
        "shallow",
        "config",
    ] {
        let above = name.rsplit_once('/').map_or(".", |(above, _)| above);
        ground.sh_ok(&format!("mkdir -p {above}"));
        refused(&ground, &format!("rename l {name}"), "Invalid argument");
        refused(&ground, &format!("ln -fP l {name}"), "Invalid argument");
        refused(
            &ground,
            &format!("ln -sfn $(readlink l) {name}"),
            "Invalid argument",
        );
    }
    ground.sh_ok("ln -P l refs/heads/s.lock");
    refused(
        &ground,
        "ln -P refs/heads/s.lock refs/heads/stolen",
        "Invalid",
    );
    refused(&ground, "cat refs/heads/stolen", "No such file");
    ground.sh_ok("rm refs/heads/s.lock && git update-ref refs/heads/two main");
    ground.unharmed();
}

/// The text of a link that git makes for a symbolic ref is its value, whatever it points at.
#[test]
fn a_ref_that_is_a_link_is_its_text() {
    let ground = Ground::new(Kind::Dir, EAGER);
    ground.sh_ok("git update-ref refs/heads/two main && rm HEAD && ln -s refs/heads/two HEAD");
    ground.sh_ok("ln -s $CANARIES/secret refs/heads/stolen");
    ground.sh_ok("ln -s $CANARIES/secret x && mv -T x refs/heads/moved");
    ground.place.restart();
    assert_eq!(ground.sh_ok("git symbolic-ref HEAD"), "refs/heads/two");
    let secret = ground.canaries.dir.join("secret");
    for name in ["stolen", "moved"] {
        let link = ground.mine.dir.join("refs/heads").join(name);
        assert_eq!(fs::read_link(link).expect("a link"), secret);
        refused(
            &ground,
            &format!("cat refs/heads/{name}"),
            "Permission denied",
        );
    }
    ground.unharmed();
}

#[test]
fn a_fifo_gets_no_name_that_the_daemon_reads() {
    let ground = Ground::new(Kind::Dir, EAGER);
    ground.sh_ok("mkfifo f; mkdir -p objects/22 objects/info/commit-graphs; perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => \"s\", Listen => 1) or die'");
    let loose = format!("objects/22/{}", "2".repeat(38));
    let pack = format!("objects/pack/pack-{}.idx", "2".repeat(40));
    for special in ["f", "s"] {
        for name in [
            "objects/info/x",
            "objects/info/alternates",
            "objects/info/commit-graphs/x",
            &loose,
            &pack,
            "objects/pack/tmp_x",
            "objects/tmp_x",
            "refs/heads/x",
            "refs/heads/x.lock",
            "HEAD",
            "HEAD.lock",
            "packed-refs",
            "packed-refs.new",
            "shallow",
            "config",
        ] {
            refused(&ground, &format!("rename {special} {name}"), "Invalid");
            if !name.ends_with("HEAD") && name != "config" {
                refused(&ground, &format!("ln {special} {name}"), "Invalid");
            }
        }
    }
    ground.sh_ok("mkfifo hooks-f && mv hooks-f hooks/f && git update-ref refs/heads/two main");
    ground.unharmed();
}

#[test]
fn a_directory_that_is_moved_brings_no_file_to_a_final_name() {
    let ground = Ground::new(Kind::Dir, EAGER);
    let hex = "2".repeat(38);
    ground.sh_ok(&format!(
        "mkdir z y && echo rubbish >z/{hex} && mkfifo y/{hex}"
    ));
    for dir in ["z", "y"] {
        for to in ["objects/22", "objects/info/commit-graphs", "objects/x"] {
            refused(&ground, &format!("rename {dir} {to}"), "cross-device");
        }
    }
    // mv(1) copies then, and each file is checked.
    for dir in ["z", "y"] {
        let moved = ground.sh_within(&format!("mv -T {dir} objects/22"), BOUND);
        assert!(!moved.status.success(), "{dir}: {}", report(&moved));
        assert_eq!(ground.sh_ok("find objects/22 -not -type d"), "", "{dir}");
    }
    // And whole directories of objects have no other name.
    refused(&ground, "rename objects/pack objects/p", "cross-device");
    refused(&ground, "rename objects o", "cross-device");
    ground.sh_ok("mkdir -p w/refs && mkfifo w/refs/f");
    refused(&ground, "rename w/refs refs/heads/w", "Invalid");
    ground.sh_ok("git update-ref refs/heads/two main && git fsck");
    ground.unharmed();
}

/// What an earlier version let in, or a crash left: every place in which the daemon looks at its start.
#[test]
fn what_stands_in_the_way_at_the_start_is_set_aside_and_not_opened() {
    let ground = Ground::new(Kind::Dir, EAGER);
    let real = ground.real_dir();
    ground.place.daemon().umount();
    let hex = "2".repeat(38);
    for dir in [
        "objects/22",
        "objects/33",
        "objects/info",
        "objects/pack",
        "refs/heads",
    ] {
        fs::create_dir_all(real.join(dir)).expect("mkdir");
    }
    fs::remove_file(real.join("config")).expect("rm");
    let pack = format!("objects/pack/pack-{}.pack", "2".repeat(40));
    let long = format!("objects/info/{}", "l".repeat(250));
    let fifos = [
        &format!("objects/22/{hex}"),
        "objects/info/x",
        "objects/info/alternates",
        &pack,
        &long,
        "objects/pack/tmp_x",
        "objects/tmp_obj_x",
        "refs/heads/x",
        "refs/heads/x.lock",
        "packed-refs.new",
        "config",
        "config.lock",
        "info/f",
        "hooks/f",
    ];
    for fifo in fifos {
        let path = real.join(fifo);
        let _ = fs::remove_file(&path);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    }
    let canaries = &ground.canaries.dir;
    for (link, target) in [
        (format!("objects/33/{hex}"), "program"),
        ("objects/info/stolen".into(), "large-secret"),
        ("objects/x".into(), "dir"),
        ("objects/y".into(), "dir"),
        ("refs/heads/stolen".into(), "secret"),
    ] {
        symlink(canaries.join(target), real.join(link)).expect("ln -s");
    }
    let began = Instant::now();
    ground.place.daemon().launch();
    ground.sh_ok("git update-ref refs/heads/two main && git config --get core.bare && git fsck");
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    refused(&ground, "cat objects/info/stolen", "No such file");
    jobs(&ground);
    ground.unharmed();
}

/// Everything that root's daemon and root's commands do with a repository.
#[track_caller]
fn jobs(ground: &Ground) {
    let out = ground.place.scratch("exported");
    let out = out.to_str().expect("UTF-8");
    let mount = ground.place.root.display().to_string();
    for job in [
        &["gc", "a.git"] as &[&str],
        &["gc", "--full", "a.git"],
        &["fsck", "a.git"],
        &["warm", &mount],
        &["repo", "fork", "a.git", "fork.git"],
        &["backup"],
        &["export", "a.git", out],
    ] {
        let began = Instant::now();
        let output = ground.gitmoor(job);
        assert!(began.elapsed() < BOUND, "{job:?}: {}", report(&output));
        ground.canaries.untouched();
    }
}

#[test]
fn jobs_of_root_over_a_repository_full_of_links_and_fifos() {
    let ground = Ground::new(Kind::Dir, EAGER);
    ground.sh_ok(
        "for d in . info hooks objects refs/bisect worktrees/w logs/refs/heads; do
           mkdir -p $d
           mkfifo $d/fifo || :
           ln -s $CANARIES/large-secret $d/link || :
           ln -s $CANARIES/dir $d/dir || :
         done
         rmdir objects/info 2>/dev/null && ln -s $CANARIES objects/info
         ln -s $CANARIES/secret index; ln -s $CANARIES/secret logs/HEAD; mkfifo logs/refs/heads/main
         ln -s $CANARIES/dir objects/44; mkfifo worktrees/w/HEAD; ln -s $CANARIES/secret worktrees/w/index",
    );
    jobs(&ground);
    ground.place.restart();
    jobs(&ground);
    ground.unharmed();
}

/// One thread changes attributes through descriptors and names, another lets the directory above be a link to root's
/// files and a directory in turns.
#[test]
fn attributes_change_where_they_were_asked_for() {
    let ground = Ground::new(Kind::Dir, "");
    ground.sh_ok("mkdir d && : >d/secret && : >d/program && ln -s $CANARIES l");
    let top = &ground.mine.dir;
    let at = |name: &str| top.join(name);
    std::thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            as_intruder(|| {
                for _ in 0..1500 {
                    let _ = fs::rename(at("d"), at("e"));
                    let _ = fs::rename(at("l"), at("d"));
                    let _ = fs::rename(at("d"), at("l"));
                    let _ = fs::rename(at("e"), at("d"));
                }
            });
        });
        as_intruder(|| {
            let held = File::options()
                .write(true)
                .open(at("d/secret"))
                .or_else(|_| File::options().write(true).open(at("e/secret")));
            while !swapping.is_finished() {
                let name = at("d/program");
                let _ = fs::set_permissions(&name, Permissions::from_mode(0o777));
                let _ =
                    std::os::unix::fs::chown(&name, None, Some(gitmoor_tests::hostile::INTRUDER));
                let _ = File::options().write(true).truncate(true).open(&name);
                let _ =
                    fs::hard_link(&name, at("again")).and_then(|()| fs::remove_file(at("again")));
                if let Ok(held) = &held {
                    let _ = held.set_permissions(Permissions::from_mode(0o666));
                    let _ = held.set_len(0);
                }
            }
        });
    });
    ground.unharmed();
}

/// A repository of the intruder's on the disk, packed, for root to import.
fn old(ground: &Ground) -> String {
    ground.sh_ok("git clone -q --bare . $HOME/old.git && git -C $HOME/old.git repack -adq");
    ground.home.join("old.git").display().to_string()
}

/// What root says of an import, which ends soon whatever it finds.
#[track_caller]
fn import(ground: &Ground, args: &[&str]) -> String {
    let began = Instant::now();
    let output = ground.gitmoor(&[&["import"], args].concat());
    assert!(began.elapsed() < BOUND, "{args:?}: {}", report(&output));
    ground.canaries.untouched();
    let found = ground.place.git.at(&ground.place.root);
    let found = found.run("grep -rl --no-index -e the.secret.of.root .", b"");
    assert!(found.stdout.is_empty(), "{}", report(&found));
    report(&output)
}

/// The same of a copy of `old` in which the intruder has set a trap.
fn import_with(ground: &Ground, old: &str, n: usize, trap: &str, options: &[&str]) -> String {
    ground.sh_ok(&format!(
        "cp -a {old} $HOME/{n}.git; cd $HOME/{n}.git; {trap}"
    ));
    let source = ground.home.join(format!("{n}.git"));
    let name = format!("in{n}.git");
    let source = source.to_str().expect("UTF-8");
    import(ground, &[options, &[source, &name]].concat())
}

#[test]
fn an_import_follows_no_links_and_waits_for_no_fifo() {
    let ground = Ground::new(Kind::Dir, EAGER);
    let old = old(&ground);
    for (n, trap) in [
        "p=$(ls objects/pack/*.pack); ln -sf $CANARIES/large-secret ${p%.pack}.bitmap",
        "p=$(ls objects/pack/*.pack); mkfifo ${p%.pack}.mtimes",
        "mkdir -p objects/22; ln -s $CANARIES/large-secret objects/22/$(printf %038d 2)",
        "mkdir -p objects/22; mkfifo objects/22/$(printf %038d 2)",
        "ln -s $CANARIES objects/22",
    ]
    .into_iter()
    .enumerate()
    {
        let said = import_with(&ground, &old, n, trap, &[]);
        assert!(!said.contains("panicked"), "{trap}: {said}");
    }
    ground.unharmed();
}

/// The fence and what is lent are put into the old repository, and nowhere else.
#[test]
fn a_repository_is_taken_over_within_its_directory() {
    let ground = Ground::new(Kind::Dir, EAGER);
    let old = old(&ground);
    for (n, trap) in [
        "rm -rf hooks; ln -s $CANARIES/dir hooks",
        "rm -rf hooks; mkdir hooks; ln -s $CANARIES/list hooks/reference-transaction.gitmoor",
        "rm -rf hooks; mkdir hooks; ln -s $CANARIES/new hooks/reference-transaction",
        "rm -rf hooks; mkdir hooks; mkfifo hooks/reference-transaction",
        "ln -s $CANARIES/dir gitmoor-lent",
        "mkdir gitmoor-lent; ln -s $CANARIES/dir gitmoor-lent/objects",
    ]
    .into_iter()
    .enumerate()
    {
        import_with(&ground, &old, n, trap, &["--live"]);
    }
    ground.unharmed();
}
