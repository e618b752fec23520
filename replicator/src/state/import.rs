//! Imports: a repository is brought in as one is that nobody can see.
//!
//! Its rows, files and refs, are those of any repository, keyed by its id; it only has no name and no row among the
//! repositories, as one in the trash. So nobody reads it, nobody changes it, and gc, which goes by names, leaves
//! its bytes alone. The last step gives it its name, all at once, and only if every file of it was read
//! back from the store: what nobody verified nobody sees. Of a repository that is served meanwhile, by a name that it
//! has already, the last step gives that the files. One that is given up goes the way
//! of a deleted repository whose time in the trash is over.

use super::apply::{Context, Halt};
use super::audit::{self, AuditEvent};
use super::trash::{Gone, TrashedRepo};
use super::view::{KeyRange, View, load};
use super::{
    NameEntry, Overlay, ReadError, Table, catalog, host_files, keys, namespace, read, refs,
    shared_keys, tombstones,
};
use crate::model::{
    Digest, FileAdd, Format, Import, ImportPlan, ImportStage, ImportStep, Importing, NamePath,
    PackedEdit, RefEdit, Refusal, Repo, RepoId, RepoPath, Usage,
};
use std::collections::BTreeSet;

pub(super) fn import(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    importing: &Importing,
) -> Result<(), Halt> {
    let id = importing.id;
    if let ImportStep::Begin {
        path,
        source,
        borrower,
    } = &importing.step
    {
        check_name(overlay, path, *borrower)?;
        return begin(overlay, context, id, path, source);
    }
    let import = unfinished(overlay, id)?.ok_or(Refusal::NoImport(id))?;
    match &importing.step {
        ImportStep::Begin { .. } => unreachable!("returned above"),
        ImportStep::Reach { stage, plan } => reach(overlay, context, import, stage, *plan),
        ImportStep::Store(files) => store(overlay, context, import, files),
        ImportStep::Verify { paths, full } => verify(overlay, id, paths, *full),
        ImportStep::Drop(paths) => drop_files(overlay, context, import, paths),
        ImportStep::Refs {
            first,
            loose,
            packed,
        } => note_refs(overlay, context, import, *first, (loose, packed)),
        ImportStep::Finish { format } => finish(overlay, context, import, *format),
        ImportStep::Abandon => Ok(abandon(overlay, context, &import)?),
        ImportStep::GiveTo { repo, instead_of } => {
            give_to(overlay, context, import, *repo, *instead_of)
        }
    }
}

/// An import that has not come to its end.
pub(super) fn unfinished(view: &dyn View, id: RepoId) -> Result<Option<Import>, ReadError> {
    let import: Option<Import> = load(view, Table::Imports, &keys::import(id))?;
    Ok(import.filter(|import| import.stage != ImportStage::Done))
}

/// Forgets all that is known of one.
pub(super) fn forget(overlay: &mut Overlay<'_>, id: RepoId) -> Result<(), ReadError> {
    overlay.delete(Table::Imports, keys::import(id));
    forget_verified(overlay, id)
}

fn forget_verified(overlay: &mut Overlay<'_>, id: RepoId) -> Result<(), ReadError> {
    overlay.clear(Table::Imports, KeyRange::prefix(&keys::all_verified(id)))
}

/// Whether what is at a path is what shall be there.
fn check_name(view: &dyn View, path: &NamePath, borrower: Option<RepoId>) -> Result<(), Halt> {
    if !path.names_repository() {
        return Err(Refusal::BadPath(path.clone()).into());
    }
    match (read::name(view, path)?, borrower.map(NameEntry::Repo)) {
        (there, expected) if there == expected => Ok(()),
        (Some(_), _) => Err(Refusal::Exists(path.clone()).into()),
        (None, _) => Err(Refusal::NotFound(path.clone()).into()),
    }
}

fn begin(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    id: RepoId,
    path: &NamePath,
    source: &str,
) -> Result<(), Halt> {
    if let Some(holder) = namespace::holder_of(overlay, id)? {
        return Err(Refusal::Exists(holder).into());
    }
    for other in read::imports(overlay)? {
        match other.stage {
            _ if other.path != *path => {}
            // Of a repository that has gone from there since.
            ImportStage::Done => overlay.delete(Table::Imports, keys::import(other.id)),
            _ => return Err(Refusal::BeingImported(path.clone()).into()),
        }
    }
    let import = Import {
        id,
        path: path.clone(),
        source: source.to_owned(),
        stage: ImportStage::Pending,
        plan: ImportPlan::default(),
        usage: Usage::default(),
        began: context.time,
        changed: context.time,
    };
    overlay.put(Table::Imports, keys::import(id), &import);
    Ok(())
}

fn reach(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    mut import: Import,
    stage: &ImportStage,
    plan: ImportPlan,
) -> Result<(), Halt> {
    if *stage == ImportStage::Done {
        return Err(Refusal::BeingImported(import.path).into());
    }
    import.stage = stage.clone();
    import.plan = plan;
    import.changed = context.time;
    overlay.put(Table::Imports, keys::import(import.id), &import);
    Ok(())
}

/// The repository that it becomes, which has no row yet.
fn hidden(context: Context<'_>, import: &Import) -> Repo {
    Repo {
        usage: import.usage,
        ..namespace::new_repo(context, import.id, &import.path)
    }
}

fn note_usage(overlay: &mut Overlay<'_>, mut import: Import, usage: Usage) {
    import.usage = usage;
    overlay.put(Table::Imports, keys::import(import.id), &import);
}

fn store(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    import: Import,
    files: &[FileAdd],
) -> Result<(), Halt> {
    tombstones::check_adds(overlay, import.id, files)?;
    for file in files {
        overlay.delete(Table::Imports, keys::verified(import.id, &file.path));
    }
    let mut repo = hidden(context, &import);
    catalog::add(overlay, context, &mut repo, files, Gone::Removed)?;
    note_usage(overlay, import, repo.usage);
    Ok(())
}

/// One that is not in the catalog is skipped.
fn verify(
    overlay: &mut Overlay<'_>,
    id: RepoId,
    paths: &[RepoPath],
    full: bool,
) -> Result<(), Halt> {
    for path in paths {
        if read::file(overlay, id, path)?.is_some() {
            overlay.put(Table::Imports, keys::verified(id, path), &full);
        }
    }
    Ok(())
}

fn drop_files(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    import: Import,
    paths: &[RepoPath],
) -> Result<(), Halt> {
    for path in paths {
        overlay.delete(Table::Imports, keys::verified(import.id, path));
    }
    let mut repo = hidden(context, &import);
    catalog::remove(overlay, context, &mut repo, paths, Gone::Removed)?;
    note_usage(overlay, import, repo.usage);
    Ok(())
}

fn note_refs(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    import: Import,
    first: bool,
    (loose, packed): (&[RefEdit], &[PackedEdit]),
) -> Result<(), Halt> {
    let (id, mut usage) = (import.id, import.usage);
    if first {
        overlay.clear(Table::Refs, keys::whole_repo(id))?;
        overlay.clear(Table::Packed, keys::whole_repo(id))?;
        usage.refs = 0;
    }
    // Each name comes once.
    let below_refs = |edit: &&RefEdit| edit.name.as_bytes().starts_with(b"refs/");
    usage.refs += (packed.len() + loose.iter().filter(below_refs).count()) as u64;
    refs::edit_loose(overlay, context, id, loose)?;
    refs::check_directories(overlay, id, loose)?;
    host_files::check_size(overlay, id, loose, 0)?;
    refs::edit_packed(overlay, id, packed)?;
    note_usage(overlay, import, usage);
    Ok(())
}

fn finish(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    import: Import,
    format: Format,
) -> Result<(), Halt> {
    namespace::check_free(overlay, &import.path)?;
    check_verified(overlay, import.id)?;
    let mut repo = hidden(context, &import);
    repo.format = Some(format);
    namespace::put_repo(overlay, &repo);
    forget_verified(overlay, import.id)?;
    let (path, source) = (import.path.clone(), import.source.clone());
    let done = Import {
        stage: ImportStage::Done,
        changed: context.time,
        ..import
    };
    overlay.put(Table::Imports, keys::import(done.id), &done);
    let event = AuditEvent::Imported { path, source };
    Ok(audit::of_both(overlay, context, &repo, event)?)
}

fn check_verified(view: &dyn View, id: RepoId) -> Result<(), Halt> {
    let verified = read::verified(view, id)?.into_iter();
    let verified: BTreeSet<_> = verified.map(|(path, _)| path).collect();
    for path in read::file_paths(view, id)? {
        if !verified.contains(&path) {
            return Err(Refusal::Unverified { path }.into());
        }
    }
    Ok(())
}

/// Nobody can name anything of it any more, but for the keys that others share.
fn abandon(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    import: &Import,
) -> Result<(), ReadError> {
    let expired = TrashedRepo {
        time: context.time,
        version: context.version,
        repo: namespace::new_repo(context, import.id, &import.path),
    };
    overlay.put(Table::Trash, keys::expired_repo(import.id), &expired);
    forget(overlay, import.id)
}

/// The files keep their keys, which are shared from then on, as those of a fork are.
fn give_to(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    import: Import,
    to: RepoId,
    instead_of: Digest,
) -> Result<(), Halt> {
    check_verified(overlay, import.id)?;
    let mut repo = namespace::existing_repo(overlay, to)?;
    for add in read::file_adds(overlay, import.id)? {
        shared_keys::share(overlay, to, &add.entry);
        catalog::add(overlay, context, &mut repo, &[add], Gone::Removed)?;
    }
    let alternates = RepoPath::new("objects/info/alternates").expect("a valid path");
    let there = read::file(overlay, to, &alternates)?;
    if there.is_some_and(|there| there.digest == instead_of) {
        catalog::remove(overlay, context, &mut repo, &[alternates], Gone::Removed)?;
    }
    repo.catalog_version = context.version;
    overlay.put(Table::Repositories, keys::repo(to), &repo);
    abandon(overlay, context, &import)?;
    let (path, source) = (import.path.clone(), import.source.clone());
    let done = Import {
        id: to,
        stage: ImportStage::Done,
        changed: context.time,
        ..import
    };
    overlay.put(Table::Imports, keys::import(to), &done);
    let event = AuditEvent::Imported { path, source };
    Ok(audit::of_both(overlay, context, &repo, event)?)
}
