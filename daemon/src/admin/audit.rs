//! Who changed what, for people and scripts: the records of the audit trails as lines of one shape.

use super::protocol::Rejection;
use super::repos::Repos;
use crate::repo_limit;
use gitmoor_model::{Actor, Format, NamePath, RepoId, Version, hex};
use gitmoor_replicator::state::{AuditEvent, AuditRecord, RefMove, RefValue, Trail};
use gitmoor_replicator::{ProposeError, read};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Lines of one answer, about: it ends with a commit.
const PAGE: usize = 10_000;

/// What to look for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// A repository: its name, or the name or id of a deleted one. Without it, what became of
    /// repositories and directories.
    pub of: Option<String>,
    /// Only this ref.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// Nothing before this: seconds since 1970.
    pub since: Option<i64>,
    /// Nothing before this commit: 0, or what the last answer says.
    pub from: u64,
}

/// Some of the lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// The oldest first.
    pub lines: Vec<AuditLine>,
    /// Where to go on; `None` when this is all.
    pub next: Option<u64>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// When, by the clock of whoever asked for it: seconds since 1970.
    pub time: i64,
    /// By which commit.
    pub version: u64,
    /// The repository's id; none of a directory.
    pub repository: Option<String>,
    /// What happened: `ref`, `setting`, `renamed`, ….
    pub event: String,
    /// To what: a ref, a setting, a path.
    pub what: String,
    /// What it was before; none for nothing.
    pub old: Option<String>,
    /// What it is from then on.
    pub new: Option<String>,
    /// By whom.
    #[serde(flatten)]
    pub who: Who,
}

/// Whoever changed something, as far as that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The node or client through which it was done.
    pub node: Option<u64>,
    /// The user; none for Gitmoor itself.
    pub uid: Option<u32>,
    /// The process.
    pub pid: Option<u32>,
    /// What that was started as.
    pub command: Option<String>,
    /// The address that it served.
    pub address: Option<String>,
}

/// When refs last moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastPush {
    /// Seconds since 1970.
    pub time: i64,
    /// By whom.
    #[serde(flatten)]
    pub who: Who,
}

impl Repos<'_> {
    /// A piece of a trail.
    pub(super) fn audit(&self, query: &AuditQuery) -> Result<AuditPage, Rejection> {
        let caught_up = self.replica.catch_up(&|| false);
        caught_up.map_err(|error: ProposeError| Rejection::failed(error))?;
        let trail = query.of.as_deref().map(|of| self.trail(of)).transpose()?;
        let trail = trail.unwrap_or(Trail::Namespace);
        let mut page = AuditPage {
            lines: Vec::new(),
            next: None,
        };
        let mut last = Version::default();
        let mut sink = |version: Version, record: AuditRecord| {
            if page.lines.len() >= PAGE && version != last {
                page.next = Some(version.0);
                return false;
            }
            last = version;
            let lines = lines(version, record).into_iter();
            page.lines.extend(lines.filter(|line| query.matches(line)));
            true
        };
        read::audit(self.replica.view(), trail, Version(query.from), &mut sink)
            .map_err(Rejection::failed)?;
        Ok(page)
    }

    /// Of one that is there, or was.
    fn trail(&self, of: &str) -> Result<Trail, Rejection> {
        if let Ok(name) = of.parse()
            && let Some(repo) = self.find(&name)?
        {
            return Ok(Trail::Of(repo.id));
        }
        if let Ok(id) = of.parse::<RepoId>() {
            return Ok(Trail::Of(id));
        }
        let trashed = self.deleted(of).map_err(|_| unknown(of))?;
        let id = trashed.id.parse().map_err(|_| unknown(of))?;
        Ok(Trail::Of(id))
    }

    /// Who moved refs last.
    pub(super) fn last_push(&self, id: RepoId) -> Result<Option<LastPush>, Rejection> {
        let record = read::last_move(self.replica.view(), id).map_err(Rejection::failed)?;
        Ok(record.map(|record| LastPush {
            time: record.time.secs,
            who: record.actor.into(),
        }))
    }
}

fn unknown(of: &str) -> Rejection {
    Rejection::failed(format!(
        "there is no repository {of}, and none in the trash had that name (gitmoor audit, without a name, says what \
         became of repositories, with their ids)"
    ))
}

impl AuditQuery {
    fn matches(&self, line: &AuditLine) -> bool {
        let is_meant = |wanted: &String| {
            let forms = ["", "refs/", "refs/heads/", "refs/tags/", "refs/remotes/"];
            let mut forms = forms.iter().map(|prefix| format!("{prefix}{wanted}"));
            line.event == "ref" && forms.any(|name| name == line.what)
        };
        self.since.is_none_or(|since| line.time >= since)
            && self.reference.as_ref().is_none_or(is_meant)
    }
}

impl From<Actor> for Who {
    fn from(actor: Actor) -> Self {
        let Actor {
            uid,
            pid,
            node,
            command,
            address,
        } = actor;
        Self {
            node,
            uid,
            pid,
            command,
            address,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.uid, self.pid) {
            (Some(uid), Some(pid)) => write!(f, "uid {uid}, pid {pid}")?,
            _ => write!(f, "gitmoor itself")?,
        }
        if let Some(command) = &self.command {
            write!(f, ", {command}")?;
        }
        if let Some(address) = &self.address {
            write!(f, ", from {address}")?;
        }
        match self.node {
            Some(node) => write!(f, ", on node {node}"),
            None => Ok(()),
        }
    }
}

/// An event, to what, and the values before and after.
type Told = (&'static str, String, Option<String>, Option<String>);

fn lines(version: Version, record: AuditRecord) -> Vec<AuditLine> {
    let (time, repository) = (record.time.secs, record.repo.map(|repo| repo.to_string()));
    let who = Who::from(record.actor);
    let told = told(record.event).into_iter();
    told.map(|(event, what, old, new)| AuditLine {
        time,
        version: version.0,
        repository: repository.clone(),
        event: event.to_owned(),
        what,
        old,
        new,
        who: who.clone(),
    })
    .collect()
}

fn told(event: AuditEvent) -> Vec<Told> {
    let at = |event, path: NamePath| (event, path.to_string(), None, None);
    let count = |event, files| (event, files_told(files), None, None);
    vec![match event {
        AuditEvent::RefsMoved(moves) => return moves.into_iter().map(moved).collect(),
        AuditEvent::ObjectsRemoved { files } => count("objects-removed", files),
        AuditEvent::ObjectsRestored { files } => count("objects-restored", files),
        AuditEvent::ObjectsExpired { files } => count("objects-expired", files),
        AuditEvent::Repacked { added, removed } => {
            let (old, new) = (files_told(removed), files_told(added));
            ("repacked", "objects".to_owned(), Some(old), Some(new))
        }
        AuditEvent::Created { path } => at("created", path),
        AuditEvent::Renamed { from, to } => {
            let (old, new) = (from.to_string(), to.to_string());
            ("renamed", new.clone(), Some(old), Some(new))
        }
        AuditEvent::Deleted { path } => at("deleted", path),
        AuditEvent::Restored { path } => at("restored", path),
        AuditEvent::Expired { path } => at("condemned", path),
        AuditEvent::Purged { path } => at("purged", path),
        AuditEvent::FormatSet(format) => ("format", format_told(format), None, None),
        AuditEvent::SettingSet { key, old, new } => ("setting", key, old, new),
        AuditEvent::LimitSet { limit, old, new } => {
            let text = |value: Option<u64>| value.map(|value| value.to_string());
            (
                "limit",
                repo_limit::name(limit).to_owned(),
                text(old),
                text(new),
            )
        }
        AuditEvent::Forked { path, from } => {
            let (path, from) = (path.to_string(), from.to_string());
            ("forked", path.clone(), Some(from), Some(path))
        }
        AuditEvent::Imported { path, source } => {
            let path = path.to_string();
            ("imported", path.clone(), Some(source), Some(path))
        }
        AuditEvent::DirectoryCreated { path } => at("directory-created", path),
        AuditEvent::DirectoryRemoved { path } => at("directory-removed", path),
    }]
}

fn moved(RefMove { name, old, new }: RefMove) -> Told {
    ("ref", name.to_string(), value(old), value(new))
}

fn value(value: RefValue) -> Option<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned();
    match value {
        RefValue::Absent => None,
        RefValue::Object(oid) => Some(hex(&oid)),
        RefValue::Text(bytes) => Some(text(&bytes)),
        RefValue::Link(target) => Some(format!("-> {}", text(&target))),
        RefValue::Long { size, digest } => {
            Some(format!("{size} bytes, blake3 {}", hex(&digest.0[..16])))
        }
    }
}

fn files_told(files: u64) -> String {
    format!("{files} files")
}

fn format_told(format: Format) -> String {
    let kind = if format.bare { "bare" } else { "not bare" };
    let (objects, refs) = (format.objects.name(), format.refs.name());
    format!("{objects}, {refs}, {kind}")
}
