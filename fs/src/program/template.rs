//! What `git init` makes on this machine besides objects and refs, by its own template.

use super::{Program, ProgramError, Scratch};
use std::io;
use std::sync::OnceLock;

/// Directories that each `git init` of these years makes.
const USUAL: [&str; 2] = ["hooks", "info"];

/// The directories, by name: `branches`, which newer versions of git leave out, is one where git makes it. An
/// administrator's template (`init.templateDir`) has no say.
pub fn template_dirs() -> &'static [String] {
    static DIRS: OnceLock<Vec<String>> = OnceLock::new();
    DIRS.get_or_init(|| {
        made().unwrap_or_else(|error| {
            tracing::warn!(%error, "git does not say what a new repository has; taking hooks and info");
            USUAL.map(str::to_owned).to_vec()
        })
    })
}

fn made() -> Result<Vec<String>, ProgramError> {
    let dir = Scratch::new()?;
    let init = Program::git(&["init", "--bare", "--quiet"]);
    let said = init.on(dir.path()).writes(dir.path()).ask(b"", &|| false)?;
    if !said.status.success() {
        return Err(io::Error::other(said.words()).into());
    }
    let mut names = Vec::new();
    #[expect(
        clippy::disallowed_methods,
        reason = "the directory is the daemon's own, and nobody else has its name"
    )]
    for entry in std::fs::read_dir(dir.path())? {
        let entry = entry?;
        let name = entry.file_name().into_string();
        if let (Ok(name), true) = (name, entry.file_type()?.is_dir()) {
            names.push(name);
        }
    }
    names.retain(|name| !matches!(name.as_str(), "objects" | "refs"));
    names.sort_unstable();
    Ok(names)
}
