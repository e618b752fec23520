//! The pages of `docs/reference/` that are made of the code: what can be typed, what can be set, and what can be
//! said on the admin socket. `daemon/tests/reference.rs` checks that the pages are these, and writes them.

mod page;
mod socket;

use crate::command::Cli;
use crate::config::{Layer, Setting};
use clap::{Arg, Command, CommandFactory};
use page::{Page, plain};
use std::fmt::Write;

/// Names of files in `docs/reference/`, and what they hold.
pub fn pages() -> Vec<(&'static str, String)> {
    vec![
        ("settings.md", settings()),
        ("cli.md", commands()),
        ("admin-socket.md", socket::page()),
    ]
}

fn settings() -> String {
    let mut page = Page::new("Settings");
    page.text(
        "A setting has up to three sources: a flag, a variable of the environment, and a key of the settings file. \
         The flag counts before the variable, the variable before the file. A variable that is empty counts as \
         unset.",
    );
    page.text(
        "The settings file is TOML: `gitmoor.toml` in the data directory, or the file that `--config FILE` names. \
         A key with a dot is in a table: `log.level` is `level` in `[log]`. An unknown key is an error.",
    );
    for setting in Layer::settings() {
        describe_setting(&mut page, &setting);
    }
    page.finished()
}

fn commands() -> String {
    let mut page = Page::new("Commands");
    page.text(
        "`gitmoor help COMMAND` and `man gitmoor-COMMAND` say the same. What stands in brackets at the end of a \
         sentence also has a say: variables of the environment, and the default.",
    );
    let mut cli = Cli::command();
    cli.build();
    describe_arguments(&mut page, cli.get_arguments());
    describe_end(&mut page, &cli);
    for command in cli.get_subcommands() {
        describe_command(&mut page, command, "gitmoor");
    }
    page.finished()
}

fn describe_setting(page: &mut Page, setting: &Setting) {
    let Setting {
        key,
        form,
        flag,
        variables,
        default,
        doc,
    } = setting;
    page.heading(2, &format!("`{key}`"));
    page.text(&format!("{}.", plain(doc)));
    page.gap();
    page.item(&format!("Value: {}", plain(form)));
    if let Some(flag) = flag {
        page.item(&format!("Flag: `{}`", flag.typed));
    }
    if !variables.is_empty() {
        let variables: Vec<_> = variables.iter().map(|name| format!("`{name}`")).collect();
        page.item(&format!("Environment: {}", variables.join(", ")));
    }
    page.item(&format!("Default: {}", plain(default.unwrap_or("none"))));
}

fn describe_command(page: &mut Page, command: &Command, parent: &str) {
    let name = format!("{parent} {}", command.get_name());
    if command.get_name() == "help" {
        return;
    }
    page.heading(2, &format!("`{name}`"));
    if let Some(about) = command.get_about() {
        page.text(&format!("{}.", plain(&about.to_string())));
    }
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    page.code("text", usage.trim());
    let arguments = command.get_arguments();
    describe_arguments(page, arguments.filter(|arg| !arg.is_global_set()));
    describe_end(page, command);
    for sub in command.get_subcommands() {
        describe_command(page, sub, &name);
    }
}

fn describe_arguments<'a>(page: &mut Page, arguments: impl Iterator<Item = &'a Arg>) {
    let shown = |arg: &&Arg| !matches!(arg.get_id().as_str(), "help" | "version");
    let mut arguments = arguments.filter(shown).peekable();
    if arguments.peek().is_some() {
        page.gap();
    }
    for argument in arguments {
        let item = describe(argument);
        page.item(&item);
    }
}

fn describe_end(page: &mut Page, command: &Command) {
    if let Some(text) = command.get_after_help() {
        page.text(&text.to_string());
    }
}

/// An argument, and what `--help` says of it.
fn describe(argument: &Arg) -> String {
    let mut text = format!("`{argument}`");
    if let Some(help) = argument.get_help() {
        let help = help.to_string();
        let _ = write!(text, ": {}", plain(&help));
    }
    let values: Vec<_> = argument
        .get_possible_values()
        .into_iter()
        .filter(|_| argument.get_action().takes_values())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !values.is_empty() {
        let _ = write!(text, " ({})", values.join(", "));
    }
    let defaults: Vec<_> = argument
        .get_default_values()
        .iter()
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .filter(|_| argument.get_action().takes_values())
        .collect();
    if !defaults.is_empty() {
        let _ = write!(text, " [default: {}]", defaults.join(", "));
    }
    text
}
