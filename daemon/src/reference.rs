//! The pages of `docs/reference/` that are made of the code: what can be typed, what can be set, and what can be
//! said on the admin socket. `daemon/tests/reference.rs` checks that the pages are these, and writes them.

use crate::cli::Cli;
use crate::config::{Layer, Setting};
use clap::builder::StyledStr;
use clap::{Arg, Command, CommandFactory};
use std::fmt::Write;

/// Pages have lines of at most so many characters, unless a line is code.
const WIDTH: usize = 100;

const MADE: &str = "<!-- Made of the code by daemon/src/reference.rs; daemon/tests/reference.rs writes it anew. -->";

/// Names of files in `docs/reference/`, and what they hold.
pub fn pages() -> Vec<(&'static str, String)> {
    vec![("settings.md", settings()), ("cli.md", commands())]
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
        page.setting(&setting);
    }
    page.text
}

fn commands() -> String {
    let mut page = Page::new("Commands");
    page.text(
        "`gitmoor help COMMAND` and `man gitmoor-COMMAND` say the same. What stands in brackets at the end of a \
         sentence also has a say: variables of the environment, and the default.",
    );
    let mut cli = Cli::command();
    cli.build();
    page.arguments(cli.get_arguments());
    page.paragraph(cli.get_after_help());
    for command in cli.get_subcommands() {
        page.command(command, "gitmoor");
    }
    page.text
}

/// A page as it grows.
struct Page {
    text: String,
}

impl Page {
    fn new(title: &str) -> Self {
        let text = format!("# {title}\n\n{MADE}\n");
        Self { text }
    }

    /// A paragraph.
    fn text(&mut self, text: &str) {
        self.text.push('\n');
        self.wrapped(text, "", "");
    }

    fn paragraph(&mut self, text: Option<&StyledStr>) {
        if let Some(text) = text {
            self.text(&text.to_string());
        }
    }

    fn heading(&mut self, level: usize, text: &str) {
        let marks = "#".repeat(level);
        self.line(&format!("\n{marks} {text}"));
    }

    fn item(&mut self, text: &str) {
        self.wrapped(text, "- ", "  ");
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Code in backticks stays on one line.
    fn wrapped(&mut self, text: &str, first: &str, others: &str) {
        let mut line = first.to_owned();
        let mut is_empty = true;
        for word in words(text) {
            if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(&line);
                line = others.to_owned();
                is_empty = true;
            }
            if !is_empty {
                line.push(' ');
            }
            line.push_str(&word);
            is_empty = false;
        }
        self.line(&line);
    }

    fn setting(&mut self, setting: &Setting) {
        let Setting {
            key,
            form,
            flag,
            variables,
            default,
            doc,
        } = setting;
        self.heading(2, &format!("`{key}`"));
        self.text(&format!("{}.", plain(doc)));
        self.text.push('\n');
        self.item(&format!("Value: {}", plain(form)));
        if let Some(flag) = flag {
            self.item(&format!("Flag: `{}`", flag.typed));
        }
        if !variables.is_empty() {
            let variables: Vec<_> = variables.iter().map(|name| format!("`{name}`")).collect();
            self.item(&format!("Environment: {}", variables.join(", ")));
        }
        self.item(&format!("Default: {}", plain(default.unwrap_or("none"))));
    }

    fn command(&mut self, command: &Command, parent: &str) {
        let name = format!("{parent} {}", command.get_name());
        if command.get_name() == "help" {
            return;
        }
        self.heading(2, &format!("`{name}`"));
        if let Some(about) = command.get_about() {
            self.text(&format!("{}.", plain(&about.to_string())));
        }
        let usage = command.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ");
        self.line(&format!("\n```text\n{}\n```", usage.trim()));
        self.arguments(command.get_arguments().filter(|arg| !arg.is_global_set()));
        self.paragraph(command.get_after_help());
        for sub in command.get_subcommands() {
            self.command(sub, &name);
        }
    }

    fn arguments<'a>(&mut self, arguments: impl Iterator<Item = &'a Arg>) {
        let shown = |arg: &&Arg| !matches!(arg.get_id().as_str(), "help" | "version");
        let mut arguments = arguments.filter(shown).peekable();
        if arguments.peek().is_some() {
            self.text.push('\n');
        }
        for argument in arguments {
            let item = describe(argument);
            self.item(&item);
        }
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

/// What Markdown would take for its own.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut is_code = false;
    for c in text.chars() {
        is_code ^= c == '`';
        if !is_code && "*_<>[]|".contains(c) {
            plain.push('\\');
        }
        plain.push(c);
    }
    plain
}

/// Between blanks; what is in backticks is one.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_code = false;
    for c in text.chars() {
        is_code ^= c == '`';
        match (c, words.last_mut()) {
            (c, _) if c.is_whitespace() && !is_code => words.push(String::new()),
            (c, Some(word)) => word.push(c),
            (_, None) => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
