//! Asks a person who is about to do what cannot be undone.

use super::Failure;
use std::io::{self, IsTerminal, Write};

/// Succeeds when it is wanted: `--yes` was said, or the word is typed on the terminal. `what` is the command,
/// `question` the sentence that says what it does.
pub(super) fn confirm(what: &str, question: &str, word: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(format!(
            "{what}: expected --yes, since there is no terminal to confirm it on. {question}"
        )));
    }
    eprint!("{question} Type {word} to confirm: ");
    io::stderr().flush()?;
    let mut typed = String::new();
    io::stdin().read_line(&mut typed)?;
    match typed.trim() == word {
        true => Ok(()),
        false => Err(Failure::Declined),
    }
}
