//! The page on the admin socket: what each request is for, and how one looks.

use super::page::Page;
use crate::command::access::AccessRequest;
use crate::command::audit::AuditQuery;
use crate::command::cluster::ClusterRequest;
use crate::command::fsck::FsckRequest;
use crate::command::gc::{GcRequest, MaintainRequest};
use crate::command::hooks::HooksRequest;
use crate::command::import::{ImportAbandonRequest, ImportRequest};
use crate::command::repo::config::{ConfigRequest, SettingChange};
use crate::command::repo::create::{CreateRequest, ObjectFormat, RefFormat};
use crate::command::repo::delete::DeleteRequest;
use crate::command::repo::fork::ForkRequest;
use crate::command::repo::info::InfoRequest;
use crate::command::repo::limit::{LimitChange, LimitRequest};
use crate::command::repo::rename::RenameRequest;
use crate::command::repo::restore::{RestoreObjectsRequest, RestoreRequest};
use crate::command::umount::UmountRequest;
use crate::command::{Reply, Request};
use crate::config::RepoName;
use gitmoor_jobs::import::{Source, Verify};
use gitmoor_model::Limit;

pub(super) fn page() -> String {
    let mut page = Page::new("The admin socket");
    page.text(
        "A daemon listens at `admin.sock` in its data directory: a Unix socket that only the daemon's user can open. \
         One line of JSON asks, one line of JSON answers. A connection may ask any number of times. The commands of \
         `gitmoor` ask in this way; a script needs nothing but a socket.",
    );
    page.code(
        "text",
        "→ {\"request\":\"umount\",\"mountpoint\":\"/mnt/git\",\"lazy\":false}\n\
         ← {\"ok\":{\"reply\":\"done\"}}\n\
         ← {\"error\":{\"kind\":\"failed\",\"message\":\"/mnt/git is busy …\"}}",
    );
    page.text(
        "An answer is `ok`, with a reply; or `error`, with a message, of kind `usage` (ask differently: exit code 2) \
         or `failed` (exit code 1). Before the answer to a long request come lines of `progress`. An unknown request \
         or an unknown field is an error.",
    );
    page.heading(2, "Requests");
    for (name, doc) in Request::DOCS {
        page.heading(3, &format!("`{}`", kebab(name)));
        page.text(&joined(doc));
        for request in examples() {
            let line = serde_json::to_string(&request).expect("plain data encodes");
            if line.starts_with(&format!("{{\"request\":\"{}\"", kebab(name))) {
                page.code("json", &line);
            }
        }
    }
    page.heading(3, "About the cluster");
    page.text("A request `cluster` says in `about` what it is about:");
    page.gap();
    for (name, doc) in ClusterRequest::DOCS {
        page.item(&format!("`{}`: {}", kebab(name), joined(doc)));
    }
    page.heading(3, "About hooks");
    page.text("A request `hooks` says in `about` what it is about:");
    page.gap();
    for (name, doc) in HooksRequest::DOCS {
        page.item(&format!("`{}`: {}", kebab(name), joined(doc)));
    }
    page.heading(3, "About access");
    page.text("A request `access` says in `about` what it is about:");
    page.gap();
    for (name, doc) in AccessRequest::DOCS {
        page.item(&format!("`{}`: {}", kebab(name), joined(doc)));
    }
    page.heading(2, "Replies");
    page.text(
        "`reply` names the kind of the reply, `value` is what `--json` prints of the command:",
    );
    page.gap();
    for (name, doc) in Reply::DOCS {
        page.item(&format!("`{}`: {}", kebab(name), joined(doc)));
    }
    page.finished()
}

/// One of each kind.
fn examples() -> Vec<Request> {
    let name = || name("team/app.git");
    let to = self::name("team/fork.git");
    vec![
        Request::Status,
        Request::Umount(UmountRequest {
            mountpoint: "/mnt/git".into(),
            lazy: false,
        }),
        Request::RepoList,
        Request::RepoCreate(CreateRequest {
            name: name(),
            object_format: ObjectFormat::Sha1,
            ref_format: RefFormat::Files,
            default_branch: "main".to_owned(),
        }),
        Request::RepoInfo(InfoRequest { name: name() }),
        Request::RepoFork(ForkRequest {
            name: name(),
            to: to.clone(),
            copy: false,
        }),
        Request::RepoRename(RenameRequest {
            from: name(),
            to: to.clone(),
        }),
        Request::RepoDelete(DeleteRequest { name: name() }),
        Request::RepoTrash,
        Request::RepoRestore(RestoreRequest {
            repo: "team/app.git".to_owned(),
            to: Some(to),
        }),
        Request::RepoRestoreObjects(RestoreObjectsRequest { name: name() }),
        Request::Fsck(FsckRequest {
            name: name(),
            repair: false,
            deep: false,
        }),
        Request::Gc(GcRequest {
            name: None,
            dry_run: true,
        }),
        Request::Backup,
        Request::Backups,
        Request::TakeOver,
        Request::Cluster(ClusterRequest::Token {
            seconds: 3600,
            client: true,
            repos: Vec::new(),
            read_only: true,
        }),
        Request::RepoConfig(ConfigRequest {
            name: name(),
            change: Some(SettingChange {
                key: "gc.auto".to_owned(),
                value: Some("0".to_owned()),
            }),
        }),
        Request::RepoLimit(LimitRequest {
            name: name(),
            change: Some(LimitChange {
                limit: Limit::Bytes,
                value: Some(10 << 30),
            }),
        }),
        Request::Audit(AuditQuery {
            of: Some("team/app.git".to_owned()),
            reference: Some("main".to_owned()),
            since: None,
            from: 0,
        }),
        Request::Probe,
        Request::Counters,
        Request::Maintain(MaintainRequest {
            name: name(),
            full: false,
            split_blobs: false,
            dry_run: false,
        }),
        Request::Import(ImportRequest {
            name: name(),
            source: Source::Disk("/srv/git/app.git".into()),
            verify: Verify::Checksums,
            live: false,
        }),
        Request::ImportAbandon(ImportAbandonRequest { name: name() }),
        Request::Imports,
        Request::Hooks(HooksRequest::Promote { seconds: 3600 }),
        Request::Access(AccessRequest::Grant {
            at: "team".to_owned(),
            to: "@devs".to_owned(),
            role: Some("write".to_owned()),
        }),
        Request::TimeStore,
    ]
}

fn name(name: &str) -> RepoName {
    name.parse().expect("a name of a repository")
}

/// As serde has it: `RepoList` is `repo-list`.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(c.to_ascii_lowercase());
    }
    kebab
}

/// The lines of a doc comment as one.
fn joined(lines: &[&str]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| line.trim()).collect();
    lines.join(" ")
}
