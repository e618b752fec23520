//! Whether a history is linearizable: whether there is one order of all operations
//! that agrees with real time and explains what everyone saw.
//!
//! The search is Wing and Gong's with Lowe's memory: take any operation that was
//! invoked before every other open one returned, if the register explains what it
//! saw, and go on; never visit the same set of taken operations with the same value
//! twice. An operation without an answer may be taken at any later point, or never.
//!
//! Refs are independent, so each is a history of its own. What makes the search
//! short: a write without an answer that no value and no conflict ever showed is left
//! out, since without it every order is as good as with it.

use crate::history::{Action, Operation, Seen, Token, Value};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// An operation, as the search sees it.
struct Call {
    action: Action,
    seen: Option<Saw>,
    invoked: u64,
    /// Never, without an answer.
    returned: u64,
}

enum Saw {
    Value(Value),
    Done,
    Conflict(Option<Token>),
}

/// Checks the operations of one ref. `written` says which token is the last of the
/// value of a version.
pub(crate) fn check(
    operations: &[Operation],
    written: &BTreeMap<u64, Token>,
) -> Result<(), String> {
    let mut calls: Vec<_> = operations
        .iter()
        .filter_map(|operation| Call::of(operation, written))
        .collect();
    drop_unseen(&mut calls);
    calls.sort_by_key(|call| call.invoked);
    if can_be_explained(&calls) {
        return Ok(());
    }
    let lines: Vec<_> = operations.iter().map(|one| format!("{one:?}")).collect();
    Err(format!("not linearizable:\n{}", lines.join("\n")))
}

impl Call {
    /// `None` for a read without an answer, which says nothing.
    fn of(operation: &Operation, written: &BTreeMap<u64, Token>) -> Option<Self> {
        let action = operation.action;
        let (returned, seen) = match &operation.returned {
            None if action == Action::Read => return None,
            None => (u64::MAX, None),
            Some((returned, seen)) => (*returned, Some(Saw::of(seen, written))),
        };
        Some(Self {
            action,
            seen,
            invoked: operation.invoked,
            returned,
        })
    }

    /// The value after this, if it explains what was seen.
    fn apply(&self, value: &Value) -> Option<Value> {
        let written = match self.action {
            Action::Read => value.clone(),
            Action::Set(token) => vec![token],
            Action::Append(token) => [value.as_slice(), &[token]].concat(),
            Action::Swap(expected, token) if value.last().copied() == expected => vec![token],
            Action::Swap(..) => {
                let explained = match &self.seen {
                    Some(Saw::Conflict(actual)) => value.last() == actual.as_ref(),
                    Some(Saw::Value(_) | Saw::Done) => false,
                    None => true,
                };
                return explained.then(|| value.clone());
            }
        };
        match &self.seen {
            Some(Saw::Value(seen)) => (seen == value).then_some(written),
            Some(Saw::Conflict(_)) => None,
            Some(Saw::Done) | None => Some(written),
        }
    }
}

impl Saw {
    fn of(seen: &Seen, written: &BTreeMap<u64, Token>) -> Self {
        match seen {
            Seen::Value(value) => Self::Value(value.clone()),
            Seen::Done => Self::Done,
            Seen::Conflict(version) => Self::Conflict(written.get(version).copied()),
        }
    }
}

fn drop_unseen(calls: &mut Vec<Call>) {
    let mut shown = BTreeSet::new();
    for call in calls.iter() {
        match &call.seen {
            Some(Saw::Value(value)) => shown.extend(value.iter().copied()),
            Some(Saw::Conflict(actual)) => shown.extend(*actual),
            Some(Saw::Done) | None => {}
        }
        if let Action::Swap(Some(expected), _) = call.action {
            shown.insert(expected);
        }
    }
    let is_shown = |call: &Call| {
        call.action
            .token()
            .is_some_and(|token| shown.contains(&token))
    };
    calls.retain(|call| call.seen.is_some() || is_shown(call));
}

/// How far the search has come.
#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    /// All calls before this one are taken …
    first: usize,
    /// … and these after it.
    beyond: BTreeSet<usize>,
    /// Answered calls that are not taken.
    open: usize,
    value: Value,
}

fn can_be_explained(calls: &[Call]) -> bool {
    let start = State {
        first: 0,
        beyond: BTreeSet::new(),
        open: calls.iter().filter(|call| call.seen.is_some()).count(),
        value: Value::new(),
    };
    if start.open == 0 {
        return true;
    }
    let mut visited = HashSet::from([start.clone()]);
    // States, each with the next call to try from there.
    let mut path = vec![(start, 0)];
    while let Some((state, next)) = path.last_mut() {
        let Some((call, after)) = state.step(calls, *next) else {
            path.pop();
            continue;
        };
        *next = call + 1;
        if after.open == 0 {
            return true;
        }
        if visited.insert(after.clone()) {
            path.push((after, 0));
        }
    }
    false
}

impl State {
    /// The first call from `from` on that can be taken now, and what is then.
    fn step(&self, calls: &[Call], from: usize) -> Option<(usize, Self)> {
        let mut earliest_return = u64::MAX;
        let left = (self.first..calls.len()).filter(|call| !self.beyond.contains(call));
        for call in left {
            if calls[call].invoked > earliest_return {
                return None;
            }
            earliest_return = earliest_return.min(calls[call].returned);
            if call >= from
                && let Some(value) = calls[call].apply(&self.value)
            {
                return Some((call, self.with(&calls[call], call, value)));
            }
        }
        None
    }

    fn with(&self, taken: &Call, call: usize, value: Value) -> Self {
        let mut state = self.clone();
        state.beyond.insert(call);
        while state.beyond.remove(&state.first) {
            state.first += 1;
        }
        state.open -= usize::from(taken.seen.is_some());
        state.value = value;
        state
    }
}

fn operation(action: Action, invoked: u64, returned: Option<(u64, Seen)>) -> Operation {
    Operation {
        reference: 0,
        action,
        invoked,
        returned,
    }
}

fn read(invoked: u64, returned: u64, value: &[Token]) -> Operation {
    let seen = Seen::Value(value.to_vec());
    operation(Action::Read, invoked, Some((returned, seen)))
}

fn done(action: Action, invoked: u64, returned: u64) -> Operation {
    operation(action, invoked, Some((returned, Seen::Done)))
}

fn is_linear(operations: &[Operation]) -> bool {
    check(operations, &[(7, 1), (8, 2)].into()).is_ok()
}

#[test]
fn what_overlaps_may_be_seen_in_either_order() {
    let set = done(Action::Set(1), 0, 10);
    assert!(is_linear(&[set.clone(), read(2, 3, &[]), read(4, 5, &[1])]));
    assert!(!is_linear(&[
        set.clone(),
        read(2, 3, &[1]),
        read(4, 5, &[])
    ]));
    assert!(!is_linear(&[set, read(11, 12, &[])]));
}

#[test]
fn a_write_without_an_answer_may_come_late_or_never_but_once() {
    let lost = operation(Action::Append(2), 0, None);
    let set = done(Action::Set(1), 5, 6);
    assert!(is_linear(&[lost.clone(), set.clone(), read(7, 8, &[1])]));
    assert!(is_linear(&[lost.clone(), set.clone(), read(7, 8, &[1, 2])]));
    assert!(!is_linear(&[
        lost.clone(),
        set.clone(),
        read(7, 8, &[1, 2, 2])
    ]));
    assert!(!is_linear(&[
        lost,
        set,
        read(7, 8, &[1, 2]),
        read(9, 10, &[1])
    ]));
}

#[test]
fn a_swap_says_what_was_there() {
    let conflict = |version| {
        let seen = Seen::Conflict(version);
        operation(Action::Swap(None, 3), 5, Some((6, seen)))
    };
    let writes = [done(Action::Set(1), 0, 1), done(Action::Set(2), 2, 3)];
    let with = |last| [writes.as_slice(), &[last]].concat();
    assert!(is_linear(&with(conflict(8))));
    assert!(!is_linear(&with(conflict(7))), "long gone");
    assert!(!is_linear(&with(done(Action::Swap(Some(1), 3), 5, 6))));
    assert!(is_linear(&with(done(Action::Swap(Some(2), 3), 5, 6))));
}
