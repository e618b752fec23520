//! Who changed what: the records of the audit trails as lines for people and scripts.

use super::repos::Repos;
use crate::admin::Rejection;
use crate::command::audit::{AuditLine, AuditPage, AuditQuery, LastPush, Who};
use crate::repo_limit;
use gitmoor_model::{Digest, Format, NamePath, RepoId, Version, hex};
use gitmoor_replicator::state::{AuditEvent, AuditRecord, RefMove, RefValue, Trail};
use gitmoor_replicator::{ProposeError, read};

/// Lines of one answer, about: it ends with a commit.
const PAGE: usize = 10_000;

impl Repos<'_> {
    /// A piece of a trail.
    pub(super) fn audit(&self, query: &AuditQuery) -> Result<AuditPage, Rejection> {
        let caught_up = self.replica.read_barrier(&|| false);
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

/// An event, to what, and the values before and after.
type EventText = (&'static str, String, Option<String>, Option<String>);

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

fn told(event: AuditEvent) -> Vec<EventText> {
    let at = |event, path: NamePath| (event, path.to_string(), None, None);
    let count = |event, files| (event, files_told(files), None, None);
    vec![match event {
        AuditEvent::RefsMoved(moves) => return told_of_each("ref", moves),
        AuditEvent::HostFilesChanged(changes) => return told_of_each("file", changes),
        AuditEvent::HooksPromoted { old, new } => {
            let text = |digest: Option<Digest>| digest.map(|Digest(digest)| hex(&digest));
            ("hooks-promoted", "hooks".to_owned(), text(old), text(new))
        }
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
        AuditEvent::Borrowed { files, from } => (
            "objects-borrowed",
            files_told(files),
            Some(from.to_string()),
            None,
        ),
        AuditEvent::DirectoryCreated { path } => at("directory-created", path),
        AuditEvent::DirectoryRemoved { path } => at("directory-removed", path),
        AuditEvent::FileWritten { path, size, digest } => {
            let new = value(RefValue::Long { size, digest });
            ("file-written", path.to_string(), None, new)
        }
        AuditEvent::Linked { path, target } => {
            let new = value(RefValue::Link(target));
            ("linked", path.to_string(), None, new)
        }
        AuditEvent::Unlinked { path } => at("unlinked", path),
        AuditEvent::Access { what, old, new } => ("access", what, old, new),
    }]
}

fn told_of_each(event: &'static str, moves: Vec<RefMove>) -> Vec<EventText> {
    let told = |RefMove { name, old, new }| (event, name.to_string(), value(old), value(new));
    moves.into_iter().map(told).collect()
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
