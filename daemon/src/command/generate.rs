//! `gitmoor completions` and `gitmoor man`: generated from what can be typed, so that they cannot
//! say anything else.

use super::Cli;
use super::Failure;
use super::mount_helper;
use super::output;
use clap::CommandFactory;
use clap_complete::Shell;
use std::io;
use std::path::Path;

/// Prints the completions of a shell.
pub(super) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gitmoor", &mut script);
    Ok(io::Write::write_all(&mut io::stdout(), &script)?)
}

/// Writes the manual pages of all commands into a directory, and that of `mount.gitmoor`.
pub(super) fn man(dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Cli::command(), dir)?;
    let mut page = Vec::new();
    let helper = clap_mangen::Man::new(mount_helper::command());
    helper.section("8").render(&mut page)?;
    std::fs::write(dir.join("mount.gitmoor.8"), page)?;
    let pages = std::fs::read_dir(dir)?.count();
    Ok(output::line(format_args!(
        "{pages} pages in {}",
        dir.display()
    ))?)
}
