//! The refs of a repository, as git tells them.

use super::{ExportError, git};
use gitmoor_fs::program::Program;
use std::path::Path;

#[derive(PartialEq, Eq, Debug)]
pub(super) struct Refs {
    /// Object and name, in order of the names.
    direct: Vec<(String, String)>,
    /// Target and name.
    symbolic: Vec<(String, String)>,
    /// A branch, or an object.
    head: String,
}

impl Refs {
    /// Of a repository on which this is `git STEP`.
    pub(super) fn of(on_it: &dyn Fn(&[&str]) -> Program) -> Result<Self, ExportError> {
        let format = "--format=%(objectname) %(refname) %(symref)";
        let lines = git::ask(on_it(&["for-each-ref", format]))?;
        let (mut direct, mut symbolic) = (Vec::new(), Vec::new());
        for line in lines.lines() {
            let mut words = line.splitn(3, ' ').map(str::to_owned);
            let (oid, name) = (words.next(), words.next());
            let (oid, name) = (oid.unwrap_or_default(), name.unwrap_or_default());
            match words.next().filter(|target| !target.is_empty()) {
                Some(target) => symbolic.push((target, name)),
                None => direct.push((oid, name)),
            }
        }
        let head = match git::ask_whether(on_it(&["symbolic-ref", "-q", "HEAD"]))? {
            Some(branch) => format!("ref: {branch}"),
            None => git::ask(on_it(&["rev-parse", "--verify", "HEAD"]))?,
        };
        Ok(Self {
            direct,
            symbolic,
            head,
        })
    }

    pub(super) fn count(&self) -> usize {
        self.direct.len() + self.symbolic.len()
    }

    /// Writes them into a bare repository that has none.
    pub(super) fn write(&self, dir: &Path) -> Result<(), ExportError> {
        let mut packed = "# pack-refs with: sorted \n".to_owned();
        for (oid, name) in &self.direct {
            packed.push_str(&format!("{oid} {name}\n"));
        }
        git::write(&dir.join("packed-refs"), packed.as_bytes())?;
        for (target, name) in &self.symbolic {
            git::ask(git::own(dir, &["symbolic-ref", name, target]))?;
        }
        git::write(&dir.join("HEAD"), self.head.as_bytes())
    }

    /// An error when what was made has others.
    pub(super) fn check(&self, made: &Self, name: &str) -> Result<(), ExportError> {
        match self == made {
            true => Ok(()),
            false => Err(self.differs(made, name)),
        }
    }

    /// The same of a bundle, which has no symbolic refs.
    pub(super) fn check_values(&self, made: &Self, name: &str) -> Result<(), ExportError> {
        let made_all: Vec<_> = made.direct.iter().map(|(_, name)| name).collect();
        let symbolic = self.symbolic.iter().map(|(_, name)| name);
        let all: Vec<_> = self.direct.iter().map(|(_, name)| name).collect();
        let has = |name: &&String| made_all.binary_search(name).is_ok();
        let same = self.direct.iter().all(|line| made.direct.contains(line));
        match same && symbolic.clone().all(|name| has(&name)) {
            true if made_all.len() == all.len() + symbolic.count() => Ok(()),
            _ => Err(self.differs(made, name)),
        }
    }

    fn differs(&self, made: &Self, name: &str) -> ExportError {
        let lines = self.direct.iter().chain(&self.symbolic);
        let mut missing =
            lines.filter(|line| !made.direct.contains(line) && !made.symbolic.contains(line));
        let example = missing.next().map_or("HEAD", |(_, name)| name);
        ExportError::OtherRefs {
            name: name.to_owned(),
            example: example.to_owned(),
        }
    }
}
