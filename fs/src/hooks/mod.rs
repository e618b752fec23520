//! Hooks of this machine (the setting `hooks`): one directory that is `hooks/` of every repository of the mount.
//!
//! The directory is read as a whole, into memory, when its contents stay the same for a moment ([`Directory`]). What
//! is shown is what was read, so that git runs exactly the bytes whose digest the cluster knows. In a cluster a new
//! content is shown once it is accepted there; until then the former one is. When what is shown is not accepted any
//! more, a `pre-receive` of ours takes its place ([`refusal`]), which tells the pusher why and ends the push.
//!
//! The replicator refuses the refs of such a push in any case.

mod directory;
mod error;
mod refusal;
mod tree;

pub use error::HooksError;
pub(crate) use tree::{HookNode, HookTree};

use directory::{Directory, Stamp};
use gitmoor_model::{Digest, HookSet, MachineHooks, RepoPath};
use parking_lot::RwLock;
use std::path::Path;
use std::sync::Arc;

/// See the module.
pub(crate) struct Hooks {
    directory: Option<Directory>,
    /// Takes pushes to repositories that lack hooks here.
    lenient: bool,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    /// The content that is in use; `None` without a directory.
    used: Option<Arc<HookTree>>,
    /// What stands in the directory now.
    latest: Option<Arc<HookTree>>,
    /// How the directory looked when `latest` was read, and a moment ago.
    read: Stamp,
    seen: Stamp,
    /// Why the directory cannot be used as it is now.
    problem: Option<String>,
    /// What is shown as `hooks/`; `None`: what each repository has.
    shown: Option<Arc<HookTree>>,
    /// Why pushes are refused.
    refusal: Option<String>,
}

/// What there is to say of it.
pub(crate) struct Standing {
    pub used: Option<Digest>,
    /// Another content, which is not in use yet.
    pub waiting: Option<Digest>,
    pub problem: Option<String>,
    pub refusal: Option<String>,
}

impl Hooks {
    /// Reads the directory, if there is one. It is in use at once, until the cluster was asked.
    pub(crate) fn open(path: Option<&Path>, lenient: bool) -> Result<Self, HooksError> {
        let Some(path) = path else {
            return Ok(Self {
                directory: None,
                lenient,
                state: RwLock::default(),
            });
        };
        let directory = Directory::open(path)?;
        let stamp = directory.stamp()?;
        let tree = Arc::new(directory.read()?);
        let state = State {
            used: Some(tree.clone()),
            latest: Some(tree.clone()),
            read: stamp.clone(),
            seen: stamp,
            shown: Some(tree),
            ..State::default()
        };
        Ok(Self {
            directory: Some(directory),
            lenient,
            state: RwLock::new(state),
        })
    }

    /// Where the directory is.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.directory.as_ref().map(Directory::path)
    }

    /// What is shown as `hooks/` of every repository; `None`: what each has.
    pub(crate) fn shown(&self) -> Option<Arc<HookTree>> {
        self.state.read().shown.clone()
    }

    /// What this machine tells the cluster.
    pub(crate) fn told(&self) -> MachineHooks {
        let used = self.state.read().used.clone();
        MachineHooks {
            directory: used.map(|tree| tree.set().clone()),
            lenient: self.lenient,
        }
    }

    /// Of the content in use, and whether pushes are taken without a hook.
    pub(crate) fn in_use(&self) -> (Option<Digest>, bool) {
        let state = self.state.read();
        (digest(&state.used), self.lenient)
    }

    pub(crate) fn standing(&self) -> Standing {
        let state = self.state.read();
        let used = digest(&state.used);
        Standing {
            used,
            waiting: digest(&state.latest).filter(|latest| Some(*latest) != used),
            problem: state.problem.clone(),
            refusal: state.refusal.clone(),
        }
    }

    /// Looks at the directory: a new content is read when it has stayed the same since the last look.
    pub(crate) fn look(&self) {
        let Some(directory) = &self.directory else {
            return;
        };
        let (stamp, is_new) = match directory.stamp() {
            Ok(stamp) => {
                let state = self.state.read();
                let is_new = stamp == state.seen && stamp != state.read;
                (stamp, is_new)
            }
            Err(error) => return self.is_unusable(&error),
        };
        let read = is_new.then(|| directory.read());
        match read {
            Some(Ok(tree)) => self.state.write().has_read(tree, &stamp),
            Some(Err(error)) => {
                self.is_unusable(&error);
                self.state.write().read = stamp.clone();
            }
            None => {}
        }
        self.state.write().seen = stamp;
    }

    /// Reads the directory now, for who is about to promote it.
    pub(crate) fn read_now(&self) -> Result<Option<HookSet>, HooksError> {
        if let Some(directory) = &self.directory {
            let stamp = directory.stamp()?;
            let tree = directory.read()?;
            self.state.write().has_read(tree, &stamp);
        }
        let latest = self.state.read().latest.clone();
        Ok(latest.map(|tree| tree.set().clone()))
    }

    fn is_unusable(&self, error: &HooksError) {
        let problem = error.to_string();
        let mut state = self.state.write();
        if state.problem.as_ref() != Some(&problem) {
            tracing::warn!(%problem, "the hooks directory cannot be used as it is now; what it was before is in use");
            state.problem = Some(problem);
        }
    }

    /// Uses what the cluster accepts, and shows that. `differs` says which file of the content in use is not as it is
    /// in the cluster. Returns whether another content is shown.
    pub(crate) fn settle(
        &self,
        accepts: &dyn Fn(Option<Digest>) -> bool,
        differs: &dyn Fn(&HookSet) -> Option<RepoPath>,
    ) -> bool {
        let mut state = self.state.write();
        let state = &mut *state;
        if let Some(latest) = &state.latest
            && accepts(Some(latest.digest()))
        {
            state.used = Some(latest.clone());
        }
        let used = state.used.clone();
        let (shown, refusal) = match accepts(digest(&used)) {
            true => (used, None),
            false => {
                let file = used.as_ref().and_then(|tree| differs(tree.set()));
                let why = refusal::sentence(used.is_some(), file.as_ref());
                (Some(Arc::new(refusal::tree(&why))), Some(why))
            }
        };
        let is_new = digest(&state.shown) != digest(&shown);
        if is_new {
            match &refusal {
                Some(why) => tracing::warn!(%why, "this machine takes no push"),
                None => tracing::info!("other hooks are shown"),
            }
        }
        state.shown = shown;
        state.refusal = refusal;
        is_new
    }
}

fn digest(tree: &Option<Arc<HookTree>>) -> Option<Digest> {
    tree.as_ref().map(|tree| tree.digest())
}

impl State {
    fn has_read(&mut self, tree: HookTree, stamp: &Stamp) {
        self.latest = Some(Arc::new(tree));
        self.read.clone_from(stamp);
        self.problem = None;
    }
}
