//! What clients did and saw: the material of the linearizability check.

use std::collections::BTreeMap;

/// Names a write for good; the value of a ref is the list of the writes it is made
/// of, the last one last.
pub(crate) type Token = u32;

pub(crate) type Value = Vec<Token>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    Read,
    /// The value is this token.
    Set(Token),
    /// The value is this token if its last one was that (`None`: no value).
    Swap(Option<Token>, Token),
    /// The value has one token more.
    Append(Token),
}

impl Action {
    /// What it writes.
    pub(crate) fn token(self) -> Option<Token> {
        match self {
            Self::Read => None,
            Self::Set(token) | Self::Swap(_, token) | Self::Append(token) => Some(token),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    /// A read: the value; empty when there is none.
    Value(Value),
    /// A write took effect.
    Done,
    /// A swap did not: this version was there (0 for none).
    Conflict(u64),
}

/// What one client did. Times are microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) reference: usize,
    pub(crate) action: Action,
    pub(crate) invoked: u64,
    /// When and what it was answered. A write that was not may have taken effect,
    /// or may do so at any later time.
    pub(crate) returned: Option<(u64, Seen)>,
}

#[derive(Default)]
pub(crate) struct History {
    pub(crate) operations: Vec<Operation>,
    /// The version that a token was acknowledged with.
    pub(crate) acknowledged: BTreeMap<Token, u64>,
}

impl History {
    pub(crate) fn invoke(&mut self, reference: usize, action: Action, now: u64) -> usize {
        self.operations.push(Operation {
            reference,
            action,
            invoked: now,
            returned: None,
        });
        self.operations.len() - 1
    }

    pub(crate) fn done(&mut self, operation: usize, version: u64, now: u64) {
        let action = self.operations[operation].action;
        let token = action.token().expect("only writes are done");
        self.acknowledged.insert(token, version);
        self.returned(operation, Seen::Done, now);
    }

    pub(crate) fn returned(&mut self, operation: usize, seen: Seen, now: u64) {
        self.operations[operation].returned = Some((now, seen));
    }
}
