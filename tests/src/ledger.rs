//! What git acknowledged, against what is there after a crash.
//!
//! Before a command the ledger hears what the command would make of each ref,
//! after an exit code of 0 that it did. What was tried and not acknowledged may
//! have happened or not, but nothing else may have.

use crate::git::Repo;
use std::collections::BTreeMap;

/// The value of a ref; `None` is its absence.
type Value = Option<String>;

/// One repository's refs, as their only writer knows them.
#[derive(Debug, Default, Clone)]
pub struct Ledger {
    refs: BTreeMap<String, Known>,
}

/// What is known of one ref.
#[derive(Debug, Default, Clone)]
struct Known {
    acknowledged: Value,
    tried: Vec<Try>,
}

/// A change nobody answered for.
#[derive(Debug, Clone)]
enum Try {
    /// To this value.
    To(Value),
    /// To some commit on top of the value that was acknowledged last: its name
    /// was not known beforehand.
    Child,
}

impl Ledger {
    /// A command is about to set a ref.
    pub fn will_set(&mut self, name: &str, oid: &str) {
        self.tries(name).push(Try::To(Some(oid.to_owned())));
    }

    /// A command is about to commit on a branch.
    pub fn will_commit(&mut self, name: &str) {
        self.tries(name).push(Try::Child);
    }

    /// A command is about to delete a ref.
    pub fn will_delete(&mut self, name: &str) {
        self.tries(name).push(Try::To(None));
    }

    /// git said that the ref is at that object.
    pub fn is_set(&mut self, name: &str, oid: &str) {
        self.acknowledge(name, Some(oid.to_owned()));
    }

    /// git said that the ref is gone.
    pub fn is_deleted(&mut self, name: &str) {
        self.acknowledge(name, None);
    }

    /// The refs that exist for certain, with their values.
    pub fn certain(&self) -> Vec<(&str, &str)> {
        let certain = self.refs.iter().filter(|(_, known)| known.tried.is_empty());
        let values = certain.map(|(name, known)| (name.as_str(), known.acknowledged.as_deref()));
        values
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    /// How many changes were acknowledged or tried.
    pub fn is_empty(&self) -> bool {
        self.refs.is_empty()
    }

    fn tries(&mut self, name: &str) -> &mut Vec<Try> {
        &mut self.refs.entry(name.to_owned()).or_default().tried
    }

    fn acknowledge(&mut self, name: &str, value: Value) {
        let (acknowledged, tried) = (value, Vec::new());
        let known = Known {
            acknowledged,
            tried,
        };
        self.refs.insert(name.to_owned(), known);
    }

    /// Every ref of the repository is what was acknowledged, or what was tried
    /// since, and none is there that nobody made; from now on that is certain.
    #[track_caller]
    pub fn check(&mut self, bare: &Repo) {
        let there = refs(bare);
        for (name, known) in &mut self.refs {
            let value = there.get(name).cloned();
            assert!(
                value == known.acknowledged || known.tried(&value, bare),
                "{name} is {value:?} after the crash, but {known:?}"
            );
            known.acknowledged = value;
            known.tried.clear();
        }
        let strange = there.keys().find(|name| !self.refs.contains_key(*name));
        assert_eq!(strange, None, "nobody ever made this ref");
    }

    /// The refs as they are are acknowledged: the ledger begins here.
    #[track_caller]
    pub fn of(bare: &Repo) -> Ledger {
        let mut ledger = Ledger::default();
        for (name, oid) in refs(bare) {
            ledger.is_set(&name, &oid);
        }
        ledger
    }
}

impl Known {
    fn tried(&self, value: &Value, bare: &Repo) -> bool {
        self.tried.iter().any(|tried| match (tried, value) {
            (Try::To(to), value) => to == value,
            (Try::Child, Some(oid)) => Some(bare.oid(&format!("{oid}^"))) == self.acknowledged,
            (Try::Child, None) => false,
        })
    }
}

#[track_caller]
fn refs(bare: &Repo) -> BTreeMap<String, String> {
    let lines = bare.refs();
    let parts = lines.lines().filter_map(|line| line.split_once(' '));
    parts
        .map(|(oid, name)| (name.to_owned(), oid.to_owned()))
        .collect()
}
