//! Who may do what: nobody anything by default, and no more than was granted.

use gitmoor_tests::door::{Served, status};

fn advertised(served: &Served, path: &str, service: &str) -> u16 {
    status(&served.get(&format!("/{path}/info/refs?service=git-{service}")))
}

#[test]
fn nobody_may_anything_by_default() {
    let (served, _) = Served::with_alice();
    for path in ["team/app.git", "team/none.git"] {
        let asked = served.get(&format!("/{path}/info/refs?service=git-upload-pack"));
        assert_eq!(status(&asked), 401, "{asked}");
        assert!(
            asked.to_lowercase().contains("www-authenticate: basic"),
            "{asked}"
        );
    }
    let bob = served.user("bob");
    let at = served.place.git.at(&served.place.scratch);
    let url = served.url(&format!("bob:{bob}"), "team/app.git");
    let told = at.fail(format!("ls-remote {url}"));
    assert!(told.contains("not found") || told.contains("404"), "{told}");
}

/// A variable of a script that nobody has set, and names with slashes alone.
#[test]
fn a_place_without_a_name_is_not_everything() {
    let (served, _) = Served::with_alice();
    served.user("bob");
    let settings = served.daemon().settings().clone();
    for at in ["", "//", "///"] {
        let granted = settings.gitmoor(&["access", "grant", at, "bob", "read"]);
        assert!(!granted.status.success(), "{at:?}");
    }
    let listed = settings.gitmoor_ok(&["access", "list"]);
    assert!(!listed.contains("bob"), "{listed}");
    served.ok("access grant / bob read");
    let listed = settings.gitmoor_ok(&["access", "list"]);
    assert!(listed.contains("bob"), "{listed}");
}

#[test]
fn everyone_may_read_where_that_is_granted() {
    let (served, token) = Served::with_alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.work("work", &url);
    work.ok("push --quiet origin HEAD:refs/heads/main");
    served.ok("access grant team/app.git everyone read");
    let copy = served.clone("--branch main", &served.url("", "team/app.git"), "copy");
    assert_eq!(copy.oid("HEAD"), work.oid("HEAD"));
    assert_eq!(advertised(&served, "team/app.git", "receive-pack"), 401);
    served.ok("access revoke team/app.git everyone");
    assert_eq!(advertised(&served, "team/app.git", "upload-pack"), 401);
}

#[test]
fn wrong_tokens_open_nothing() {
    let (served, token) = Served::with_alice();
    let bob = served.user("bob");
    let at = served.place.git.at(&served.place.scratch);
    let last = if token.ends_with('0') { "1" } else { "0" };
    let changed = format!("{}{last}", &token[..token.len() - 1]);
    for who in [
        format!("alice:{changed}"),
        "alice:password".to_owned(),
        // Another user's, and one of whom nobody knows.
        format!("alice:{bob}"),
        format!("carol:{token}"),
    ] {
        let told = at.fail(format!("ls-remote {}", served.url(&who, "team/app.git")));
        assert!(told.contains("Authentication failed"), "{who}: {told}");
    }
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    at.ok(format!("ls-remote {url}"));
    let id = token.split('_').nth(1).expect("an id");
    served.ok(&format!("token revoke {id}"));
    at.fail(format!("ls-remote {url}"));
    let short = served.ok("token create --user alice --expires 1s");
    let url = served.url(&format!("alice:{}", short.trim()), "team/app.git");
    std::thread::sleep(std::time::Duration::from_millis(2100));
    at.fail(format!("ls-remote {url}"));
}

#[test]
fn a_token_allows_no_more_than_it_says() {
    let (served, _) = Served::with_alice();
    served.ok("repo create team/other.git");
    let read = served.ok("token create --user alice --role read --repo team/app.git");
    let read = format!("alice:{}", read.trim());
    let at = served.place.git.at(&served.place.scratch);
    at.ok(format!("ls-remote {}", served.url(&read, "team/app.git")));
    at.fail(format!("ls-remote {}", served.url(&read, "team/other.git")));
    let work = served.work("work", &served.url(&read, "team/app.git"));
    let told = work.fail("push origin HEAD:refs/heads/main");
    assert!(told.contains("403"), "{told}");
    // A deploy token has no user, and its own scope.
    let deploy = served.ok("token create --deploy --role write --repo team/other.git");
    let deploy = format!("x:{}", deploy.trim());
    work.ok(format!(
        "push --quiet {} HEAD:refs/heads/main",
        served.url(&deploy, "team/other.git")
    ));
    work.fail(format!(
        "push {} HEAD:refs/heads/main",
        served.url(&deploy, "team/app.git")
    ));
}

#[test]
fn who_may_write_may_not_rewrite() {
    let (served, token) = Served::with_alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.work("work", &url);
    work.ok("push --quiet origin HEAD:refs/heads/main HEAD:refs/heads/two");
    work.ok("commit --quiet --amend --allow-empty -m other");
    let told = work.fail("push --force origin HEAD:refs/heads/main");
    assert!(told.contains("non-fast-forward"), "{told}");
    let told = work.fail("push origin :refs/heads/two");
    assert!(told.contains("deletion"), "{told}");
    served.ok("access grant team/app.git alice force");
    work.ok("push --quiet --force origin HEAD:refs/heads/main");
    work.ok("push --quiet origin :refs/heads/two");
}

/// A branch has the rules of a branch by whatever name it is pushed.
fn by_other_names(served: &Served, repo: &str, token: &str) {
    let work = served.work(repo, &served.url(&format!("alice:{token}"), repo));
    work.commit("two");
    work.ok("push --quiet origin HEAD:refs/heads/main HEAD:refs/heads/two");
    let main = work.oid("HEAD");
    let bare = served.place.repo(repo);
    let at = |name: &str| {
        bare.ok(format!("-c safe.directory=* rev-parse {name}"))
            .trim()
            .to_owned()
    };
    bare.ok("-c safe.directory=* symbolic-ref refs/tags/link refs/heads/main");
    bare.ok("-c safe.directory=* symbolic-ref refs/other/link refs/tags/link");
    bare.ok("-c safe.directory=* symbolic-ref refs/other/head HEAD");
    bare.ok("-c safe.directory=* symbolic-ref refs/heads/old refs/heads/two");
    let mut names = vec!["refs/tags/link", "refs/other/link", "refs/other/head"];
    if bare.read("HEAD").contains("main") {
        let link = bare.dir.join("refs/tags/dir");
        std::os::unix::fs::symlink("../heads", link).expect("symlink");
        names.push("refs/tags/dir/main");
    }
    work.ok("commit --quiet --amend --allow-empty -m other");
    for name in names {
        for source in ["HEAD", "HEAD^", ""] {
            let told = work.fail(format!("push --force origin {source}:{name}"));
            assert!(told.contains("hidden ref"), "{name}: {told}");
        }
        assert_eq!(at("refs/heads/main"), main);
    }
    let told = work.fail("push --force origin HEAD:refs/heads/old");
    assert!(told.contains("non-fast-forward"), "{told}");
    work.ok("push --quiet --force origin HEAD:refs/tags/v1 HEAD:refs/heads/three");
    // A branch that would move with a tag.
    bare.ok("-c safe.directory=* symbolic-ref refs/heads/moves refs/tags/v1");
    let told = work.fail("push --force origin HEAD^:refs/tags/v1");
    assert!(told.contains("hidden ref"), "{told}");
    work.ok("push --quiet origin HEAD:refs/heads/four");
    served.ok(&format!("access grant {repo} alice force"));
    work.ok("push --quiet --force origin HEAD:refs/tags/link HEAD^:refs/tags/v1");
    assert_eq!(at("refs/heads/main"), work.oid("HEAD"));
}

#[test]
fn a_branch_has_no_other_name() {
    let (served, token) = Served::with_alice();
    by_other_names(&served, "team/app.git", &token);
    if served.place.git.has((2, 45), "reftables") {
        served.ok("repo create --ref-format reftable team/tables.git");
        by_other_names(&served, "team/tables.git", &token);
    }
}

/// What a replacement says of a commit is not what git goes by.
#[test]
fn who_may_write_replaces_nothing() {
    let (served, token) = Served::with_alice();
    let url = served.url(&format!("alice:{token}"), "team/app.git");
    let work = served.work("work", &url);
    work.ok("push --quiet origin HEAD:refs/heads/main");
    let old = work.oid("HEAD");
    work.ok("commit --quiet --amend --allow-empty -m other");
    let other = work.oid("HEAD");
    // As if the other commit came after the old one.
    work.ok(format!("replace --graft {other} {old}"));
    let told = work.fail("push origin refs/replace/*:refs/replace/*");
    assert!(told.contains("hidden ref"), "{told}");
    let told = work.fail("push --force origin HEAD:refs/heads/main");
    assert!(told.contains("non-fast-forward"), "{told}");
    // Also where there is one.
    served.ok("access grant team/app.git alice force");
    work.ok("push --quiet origin refs/replace/*:refs/replace/*");
    served.ok("access revoke team/app.git alice");
    let told = work.fail("push --force origin HEAD:refs/heads/main");
    assert!(told.contains("non-fast-forward"), "{told}");
    let told = work.fail(format!("push origin :refs/replace/{other}"));
    assert!(told.contains("hidden ref"), "{told}");
}

/// A `gitmoor` command that must fail; what it says.
#[track_caller]
fn refused(served: &Served, line: &str) -> String {
    let words: Vec<_> = line.split(' ').collect();
    let output = served.daemon_settings().gitmoor(&words);
    assert!(!output.status.success(), "{line}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_is_not_there_is_said() {
    let (served, _) = Served::with_alice();
    // Alice was granted something above it.
    let told = refused(&served, "access revoke team/app.git alice");
    assert!(told.contains("nothing is granted to alice"), "{told}");
    let told = refused(&served, "user leave alice devs");
    assert!(told.contains("alice is not in the group devs"), "{told}");
    served.ok("user join alice devs");
    served.ok("user leave alice devs");
    refused(&served, "user leave alice devs");
    served.ok("access revoke team alice");
    refused(&served, "access revoke team alice");
}

/// What comes back with a repository is shown before, and can be taken back.
#[test]
fn grants_of_what_is_in_the_trash() {
    let (served, token) = Served::with_alice();
    served.ok("access grant team/app.git alice force");
    served.ok("repo delete --yes team/app.git");
    let told = served.ok("access list");
    let trashed = told.lines().find(|line| line.contains("app.git"));
    let id = trashed.and_then(|line| line.split_once("in the trash as "));
    let id = id.unwrap_or_else(|| panic!("{told}")).1.to_owned();
    // By its former name, while nothing else has that.
    assert!(served.ok("access list team/app.git").contains(&id));
    refused(&served, "access grant team/app.git alice force");
    served.ok("repo create team/app.git");
    served.ok("access grant team/app.git alice read");
    let now = served.ok("access list team/app.git");
    assert!(!now.contains("trash"), "{now}");
    served.ok(&format!("access revoke {id} alice"));
    assert!(!served.ok("access list").contains("trash"));
    assert_eq!(served.ok("access list team/app.git"), now);
    served.ok(&format!("repo restore --as team/old.git {id}"));
    let url = served.url(&format!("alice:{token}"), "team/old.git");
    let work = served.work("work", &url);
    work.ok("push --quiet origin HEAD:refs/heads/main");
    work.ok("commit --quiet --amend --allow-empty -m other");
    work.fail("push --quiet --force origin HEAD:refs/heads/main");
}

#[test]
fn names_of_those_who_are_no_users() {
    let served = Served::new();
    for name in ["deploy", "anonymous"] {
        let told = refused(&served, &format!("user add {name}"));
        assert!(told.contains("choose another name"), "{told}");
        refused(&served, &format!("user remove {name}"));
    }
}

#[test]
fn groups_and_their_members() {
    let (served, _) = Served::with_alice();
    let bob = served.user("bob");
    served.ok("access grant / @devs read");
    let url = served.url(&format!("bob:{bob}"), "team/app.git");
    let at = served.place.git.at(&served.place.scratch);
    at.fail(format!("ls-remote {url}"));
    served.ok("user join bob devs");
    at.ok(format!("ls-remote {url}"));
    served.ok("user leave bob devs");
    at.fail(format!("ls-remote {url}"));
    assert_eq!(served.ok("access list /"), "/  @devs  read\n");
    served.ok("user remove bob");
    assert!(!served.ok("token list").contains("bob"));
}
