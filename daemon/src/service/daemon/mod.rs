//! Answers requests inside the daemon. Looking is answered here; leaving is decided
//! by the main thread, which is asked through [`Event`].

mod access;
mod audit;
mod cluster;
mod imports;
mod repos;
mod trash;

pub(super) use cluster::{Cluster, cluster_status, other_hooks};

use super::git::InheritedUmask;
use super::replica_handle::ReplicaHandle;
use crate::admin::{Answer, Answering, Answers, Asker, Rejection};
use crate::command::bench::TimedStore;
use crate::command::doctor::Probe;
use crate::command::hooks::HooksRequest;
use crate::command::status::{Cache, MountStatus, Pending, Staging, State, Status};
use crate::command::top::Counters;
use crate::command::umount::UmountRequest;
use crate::command::{Reply, Request};
use crate::data_dir::DataDir;
use crate::metrics::{self, Facts, Watched};
use access::Access;
use gitmoor_fs::{FileSystem, HooksOfMount, HooksStatus, StoreOwner};
use gitmoor_jobs::Jobs;
use gitmoor_model::Actor;
use gitmoor_replicator::Replica;
use repos::Repos;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// Why the main thread should wake up.
#[derive(Debug)]
pub(super) enum Event {
    /// A signal asks the daemon to leave.
    Signal(&'static str),
    /// Somebody unmounted from outside, or the last file of a lazy unmount is closed.
    Unmounted,
    /// `gitmoor umount`.
    Umount {
        /// Even while files are open.
        lazy: bool,
        /// Who waits for what became of it.
        asker: mpsc::Sender<Result<Reply, Rejection>>,
    },
}

/// What the answers are about.
pub(super) struct Daemon {
    pub fs: Arc<FileSystem>,
    /// Long work on it.
    pub jobs: Arc<Jobs>,
    /// The replicator, for what only this daemon asks of it …
    pub(crate) replica_handle: ReplicaHandle,
    /// … as the file system sees it.
    pub replica: Arc<dyn Replica>,
    /// The object store, without secrets.
    pub store: String,
    pub data: PathBuf,
    /// What is mounted where.
    pub mount: MountStatus,
    /// Where git is served.
    pub doors: Vec<String>,
    /// For the git processes it starts.
    pub(crate) umask: InheritedUmask,
    pub since: Instant,
    /// Set once it leaves.
    pub leaving: AtomicBool,
    /// Wakes the main thread.
    pub events: mpsc::Sender<Event>,
    /// Answers that are not written yet.
    pub answering: Answering,
}

impl Answers for Daemon {
    type Request = Request;
    type Reply = Reply;

    fn answer(&self, request: Request, asker: &Asker<'_>) -> Answer<Reply> {
        self.handle(request, asker).into()
    }

    fn answering(&self) -> &Answering {
        &self.answering
    }
}

impl Watched for Daemon {
    fn measure(&self) {
        self.replica_handle.measure();
        self.fs.measure();
        metrics::set_waits(self.waits(self.fs.status().waits).len());
    }

    fn facts(&self) -> Facts {
        Facts {
            leaving: self.leaving.load(Ordering::Relaxed),
            has_leader: self.replica_handle.status().leader.is_some(),
            mount: Some((self.mount.mountpoint.clone(), Arc::clone(&self.fs))),
        }
    }
}

impl Daemon {
    fn handle(&self, request: Request, asker: &Asker<'_>) -> Result<Reply, Rejection> {
        if self.fs.is_read_only() && request.changes() {
            return Err(Rejection::failed(
                "this mount is read-only: mount without --read-only, or ask another node",
            ));
        }
        let repos = Repos {
            fs: &self.fs,
            jobs: &self.jobs,
            replica: &*self.replica,
            mount: &self.mount,
            umask: self.umask,
            actor: self.actor(&request, asker),
        };
        match request {
            Request::Status => Ok(Reply::Status(Box::new(self.status()))),
            Request::Umount(request) => self.umount(&request),
            Request::RepoList => repos.list().map(Reply::Repos),
            Request::RepoInfo(request) => repos.info(&request.name).map(Box::new).map(Reply::Repo),
            Request::RepoCreate(request) => repos.create(&request).map(Reply::Created),
            Request::RepoFork(request) => repos.fork(&request, asker).map(Reply::Created),
            Request::RepoRename(request) => repos.rename(&request).map(|()| Reply::Done),
            Request::RepoDelete(request) => repos.delete(&request.name).map(|()| Reply::Done),
            Request::RepoTrash => repos.trash().map(Reply::Trash),
            Request::RepoRestore(request) => repos.restore(&request).map(Reply::Restored),
            Request::RepoRestoreObjects(request) => {
                repos.restore_objects(&request.name).map(Reply::Restored)
            }
            Request::Fsck(request) => repos.fsck(&request).map(Box::new).map(Reply::Checked),
            Request::Gc(request) => repos.collect(&request).map(Reply::Collected),
            Request::Backup => repos.back_up().map(|made| Reply::Backups(vec![made])),
            Request::Backups => repos.backups().map(Reply::Backups),
            Request::TakeOver => self.take_over().map(Box::new).map(Reply::Owner),
            Request::Cluster(request) => self.replica_handle.answer(request),
            Request::Probe => self.probe().map(Reply::Probed),
            Request::TimeStore => self.time_store().map(Reply::TimedStore),
            Request::RepoConfig(request) => repos.configure(request).map(Reply::Settings),
            Request::RepoLimit(request) => repos.limit(request).map(Reply::Limits),
            Request::Audit(query) => repos.audit(&query).map(Box::new).map(Reply::Audit),
            Request::Import(request) => {
                imports::import(&self.fs, &self.jobs, request, asker).map(Reply::Imported)
            }
            Request::ImportAbandon(request) => {
                imports::abandon(&self.jobs, &request.name).map(|()| Reply::Done)
            }
            Request::Access(request) => Access(&repos).answer(request),
            Request::Imports => imports::list(&self.jobs).map(Reply::Imports),
            Request::Hooks(request) => self.hooks(&request, repos.actor).map(Reply::Hooks),
            Request::Counters => self.counters().map(Box::new).map(Reply::Counters),
            Request::Maintain(request) => repos.maintain(&request, asker).map(Reply::Repacked),
        }
    }

    /// Who asks, for the audit trail.
    fn actor(&self, request: &Request, asker: &Asker<'_>) -> Actor {
        match asker.credentials() {
            Ok((uid, pid)) if request.changes() => self.fs.actor(uid, pid),
            Ok(_) | Err(_) => Actor::default(),
        }
    }

    fn hooks(&self, request: &HooksRequest, actor: Actor) -> Result<Box<HooksStatus>, Rejection> {
        let hooks = HooksOfMount(&self.fs);
        if let HooksRequest::Promote { seconds } = request {
            let grace = Duration::from_secs(*seconds);
            hooks.promote(actor, grace).map_err(Rejection::failed)?;
        }
        hooks.status().map(Box::new).map_err(Rejection::failed)
    }

    fn take_over(&self) -> Result<StoreOwner, Rejection> {
        let owner = self.fs.take_over_store().map_err(Rejection::failed)?;
        let offline = || Rejection::failed("this mount is offline: it owns no store");
        let owner = owner.ok_or_else(offline)?;
        let original = DataDir::new(self.data.clone()).birth().mark_original();
        original.map_err(Rejection::failed)?;
        Ok(owner)
    }

    fn probe(&self) -> Result<Probe, Rejection> {
        let probed = self.fs.probe_store().map_err(Rejection::failed)?;
        let note = match (&probed, self.fs.is_offline()) {
            (Some(_), _) => "",
            (None, true) => "not asked: this mount is offline",
            (None, false) => "not tried out: this mount is read-only",
        };
        Ok(Probe {
            store: self.store.clone(),
            note: note.to_owned(),
            probed,
        })
    }

    fn time_store(&self) -> Result<TimedStore, Rejection> {
        Ok(TimedStore {
            store: self.store.clone(),
            times: self.fs.time_store().map_err(Rejection::failed)?,
        })
    }

    fn counters(&self) -> Result<Counters, Rejection> {
        Ok(Counters {
            status: self.status(),
            repositories: self.fs.traffic().map_err(Rejection::failed)?,
            metrics: metrics::samples(),
        })
    }

    fn status(&self) -> Status {
        let files = self.fs.status();
        Status {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: self.state(),
            uptime_seconds: self.since.elapsed().as_secs(),
            data: self.data.clone(),
            store: self.store.clone(),
            offline: files.offline,
            refused: files.refused,
            not_allowed: files.not_allowed,
            read_only: files.read_only,
            owner: self.fs.store_owner(),
            mounts: vec![self.mount.clone()],
            doors: self.doors.clone(),
            replicator: self.replica_handle.status(),
            asks: self.replica_handle.asks(),
            confirmed_seconds_ago: files.confirmed.map(|ago| ago.as_secs_f64()),
            pending: Pending {
                files: files.pending_files,
                bytes: files.pending_bytes,
                failure: files.publish_failure,
            },
            staging: Staging {
                staged: files.staged,
                limit: files.staging_limit,
            },
            cache: Cache {
                bytes: files.cache_bytes,
                limit: files.cache_limit,
            },
            waits: self.waits(files.waits),
        }
    }

    /// Of the file system, and what jobs are doing.
    fn waits(&self, of_fs: Vec<String>) -> Vec<String> {
        [of_fs, self.jobs.sentences()].concat()
    }

    fn state(&self) -> State {
        if self.leaving.load(Ordering::Relaxed) {
            State::Leaving
        } else {
            State::Serving
        }
    }

    fn umount(&self, request: &UmountRequest) -> Result<Reply, Rejection> {
        let UmountRequest { mountpoint, lazy } = request;
        let mounted = &self.mount.mountpoint;
        if mountpoint != mounted {
            return Err(Rejection::usage(format!(
                "this daemon is mounted at {}, not at {}",
                mounted.display(),
                mountpoint.display()
            )));
        }
        let (asker, outcome) = mpsc::channel();
        let gone = || Rejection::failed("the daemon is leaving already");
        self.events
            .send(Event::Umount { lazy: *lazy, asker })
            .map_err(|_| gone())?;
        outcome.recv().unwrap_or_else(|_| Err(gone()))
    }
}

fn check_online(fs: &FileSystem, what: &str) -> Result<(), Rejection> {
    match fs.is_offline() {
        false => Ok(()),
        true => Err(Rejection::failed(format!(
            "this mount is offline, and {what} works on the object store: unmount, and mount \
             without --offline"
        ))),
    }
}
