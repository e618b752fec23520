//! Completions and manual pages are those of the commands that there are.

#![allow(
    clippy::disallowed_methods,
    reason = "tests start what they test, and git to compare with"
)]

mod support;

use clap::CommandFactory;
use gitmoor::command::Cli;
use std::path::Path;
use std::process::{Command, Output};
use support::{expect, gitmoor};

fn run(program: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    command
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .env("MANWIDTH", "500");
    command
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn commands() -> Vec<String> {
    let cli = Cli::command();
    cli.get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect()
}

#[test]
fn completions_of_every_shell() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = gitmoor(dir.path(), &["completions", shell]);
        expect(&output, 0, &[]);
        let script = String::from_utf8(output.stdout).unwrap();
        for command in commands() {
            assert!(script.contains(&command), "{command} in {shell}");
        }
        std::fs::write(dir.path().join(shell), script).unwrap();
    }
    expect(
        &gitmoor(dir.path(), &["completions", "tcsh"]),
        2,
        &["tcsh", "bash"],
    );
}

/// As bash does when somebody types `gitmoor mount --read` and Tab.
#[test]
fn bash_completes() {
    let dir = tempfile::tempdir().unwrap();
    let script = gitmoor(dir.path(), &["completions", "bash"]).stdout;
    let file = dir.path().join("gitmoor.bash");
    std::fs::write(&file, script).unwrap();
    let file = file.to_str().unwrap();
    expect(&run("bash", &["-n", file]), 0, &[]);
    let typed = |words: &str, at: &str| {
        let ask = format!(
            "source {file}; COMP_WORDS=({words}); COMP_CWORD={at}; \
             _gitmoor gitmoor \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; \
             echo \"${{COMPREPLY[*]}}\""
        );
        let output = run("bash", &["-c", &ask]);
        expect(&output, 0, &[]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(typed("gitmoor umo", "1"), "umount");
    assert_eq!(typed("gitmoor mount --read", "2"), "--read-only");
    assert_eq!(typed("gitmoor repo ren", "2"), "rename");
}

#[test]
fn a_manual_page_of_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man/pages");
    expect(
        &gitmoor(dir.path(), &["man", pages.to_str().unwrap()]),
        0,
        &[],
    );
    let shown = |name: &str| {
        let page = pages.join(name);
        let output = run(
            "man",
            &["--warnings", "-P", "cat", "-l", page.to_str().unwrap()],
        );
        expect(&output, 0, &[]);
        assert!(
            output.stderr.is_empty(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    for command in commands() {
        assert!(shown(&format!("gitmoor-{command}.1")).contains(&format!("gitmoor-{command}")));
    }
    assert!(shown("gitmoor.1").contains("Exit codes"));
    let mount = shown("gitmoor-mount.1");
    assert!(
        mount.contains("--read-only") && mount.contains("GITMOOR_READ_ONLY"),
        "{mount}"
    );
    assert!(shown("gitmoor-repo-create.1").contains("--object-format"));
    assert!(shown("mount.gitmoor.8").contains("MOUNTPOINT"));
    let count = std::fs::read_dir(&pages).unwrap().count();
    assert!(count > commands().len(), "{count}");
    let nowhere = Path::new("/dev/null/man").to_str().unwrap();
    expect(&gitmoor(dir.path(), &["man", nowhere]), 1, &[]);
}
