//! What a setting is. [`settings!`] takes a table of settings, in which each stands once: name, type, flag,
//! variables of the environment, default, and the sentence that says what it is for. It makes a struct of
//! optional values that can be filled from each source:
//!
//! ```text
//! flags        clap::Args: one flag for each setting that has one, with its help
//! environment  from_environment: the first variable that is set, and not empty
//! file         serde::Deserialize: keys in kebab-case; an unknown one is an error
//! ```
//!
//! `over` lays one struct over another. For a setting with a default, a function of its name returns the value
//! or the default. [`Setting`] is a line of the table, for `docs/reference/settings.md`.

use super::ConfigError;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::OsString;
use std::path::PathBuf;

/// Looks a variable up: the process environment, or a table in tests.
pub(crate) type Environment<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// A line of the table.
pub struct Setting {
    /// As the settings file has it, such as `log.level`.
    pub key: String,
    /// What its value looks like.
    pub form: &'static str,
    /// The flag, if it has one.
    pub flag: Option<Flag>,
    /// The variables of the environment, the one that counts first.
    pub variables: &'static [&'static str],
    /// As it would be typed, or in words what holds without it.
    pub default: Option<&'static str>,
    /// What it is for, without a period at the end.
    pub doc: String,
}

/// The flag of a setting.
#[derive(Clone, Copy)]
pub struct Flag {
    /// As it is typed, with the name of its value: `--cache-size BYTES`.
    pub typed: &'static str,
    /// Makes the argument take values of the setting's type.
    accept: fn(Arg) -> Arg,
}

impl Flag {
    pub(super) const fn of<T: Value>(typed: &'static str) -> Self {
        let accept = T::accept;
        Self { typed, accept }
    }

    fn argument(self, help: String) -> Arg {
        let (name, value) = match self.typed.split_once(' ') {
            Some((_, value)) => (name_of(self.typed), Some(value)),
            None => (name_of(self.typed), None),
        };
        let argument = (self.accept)(Arg::new(name).long(name).help(help));
        match value {
            Some(value) => argument.value_name(value),
            None => argument,
        }
    }
}

/// The name in `--name VALUE`.
fn name_of(typed: &'static str) -> &'static str {
    let dashed = typed.split(' ').next().unwrap_or(typed);
    dashed.trim_start_matches('-')
}

impl Setting {
    /// For `--help`: the sentence, then what else has a say.
    fn help(&self) -> String {
        let variables = match self.variables {
            [] => None,
            some => Some(format!("env {}", some.join(", "))),
        };
        let default = self.default.map(|default| format!("default {default}"));
        let more: Vec<_> = variables.into_iter().chain(default).collect();
        match more.is_empty() {
            true => self.doc.clone(),
            false => format!("{} [{}]", self.doc, more.join("; ")),
        }
    }
}

/// Adds the flags of these settings to a command.
pub(super) fn with_flags(command: Command, settings: &[Setting]) -> Command {
    let arguments = settings
        .iter()
        .filter_map(|setting| Some(setting.flag?.argument(setting.help())));
    command.args(arguments)
}

/// What the values of a type look like.
pub(crate) trait Form {
    /// For a reader of the reference.
    const FORM: &'static str;
}

/// A type of settings that a flag or a variable can give.
pub(super) trait Value: Form + Clone + Send + Sync + 'static {
    /// From a variable of the environment.
    fn from_variable(value: OsString) -> Result<Self, String>;

    /// Makes an argument take such values.
    fn accept(argument: Arg) -> Arg;

    /// What the flag says; a switch that is not given says nothing, rather than "no": the file may say yes.
    fn from_flag(matches: &ArgMatches, name: &str) -> Option<Self> {
        matches.get_one::<Self>(name).cloned()
    }
}

impl Form for PathBuf {
    const FORM: &'static str = "path";
}

impl Value for PathBuf {
    fn from_variable(value: OsString) -> Result<Self, String> {
        Ok(value.into())
    }

    fn accept(argument: Arg) -> Arg {
        argument.value_parser(clap::value_parser!(PathBuf))
    }
}

impl Form for bool {
    const FORM: &'static str = "true or false";
}

impl Value for bool {
    /// As scripts write it.
    fn from_variable(value: OsString) -> Result<Self, String> {
        let text = utf8(value)?;
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(format!("{text:?} is neither true nor false")),
        }
    }

    fn accept(argument: Arg) -> Arg {
        argument.action(ArgAction::SetTrue)
    }

    fn from_flag(matches: &ArgMatches, name: &str) -> Option<Self> {
        matches.get_flag(name).then_some(true)
    }
}

/// For types that parse from the same text everywhere.
macro_rules! text_values {
    ($($Type:ty: $form:literal,)+) => {$(
        impl $crate::config::setting::Form for $Type {
            const FORM: &'static str = $form;
        }

        impl $crate::config::setting::Value for $Type {
            fn from_variable(value: std::ffi::OsString) -> Result<Self, String> {
                let text = $crate::config::setting::utf8(value)?;
                text.parse::<Self>().map_err(|error| error.to_string())
            }

            fn accept(argument: clap::Arg) -> clap::Arg {
                argument.value_parser(clap::value_parser!($Type))
            }
        }
    )+};
}

pub(super) use text_values;

pub(super) fn utf8(value: OsString) -> Result<String, String> {
    value.into_string().map_err(|_| "is not UTF-8".to_owned())
}

/// What a variable says. An empty one counts as unset, as shell scripts often mean it.
pub(super) fn present(env: &Environment<'_>, key: &str) -> Option<OsString> {
    env(key).filter(|value| !value.is_empty())
}

/// What the first of these variables that is set says.
pub(super) fn variable<T: Value>(
    env: &Environment<'_>,
    keys: &[&'static str],
) -> Result<Option<T>, ConfigError> {
    let set = |key: &&'static str| Some((*key, present(env, key)?));
    let Some((key, value)) = keys.iter().find_map(set) else {
        return Ok(None);
    };
    let value = T::from_variable(value);
    let value = value.map_err(|reason| ConfigError::Environment { key, reason });
    value.map(Some)
}

/// The value that was given, or the default as it would be typed.
pub(super) fn or_default<T: Value>(given: Option<&T>, default: &'static str) -> T {
    given.cloned().unwrap_or_else(|| {
        T::from_variable(default.into()).expect("a test reads the defaults of all settings")
    })
}

/// What a flag says.
pub(super) fn flag<T: Value>(matches: &ArgMatches, typed: &'static str) -> Option<T> {
    T::from_flag(matches, name_of(typed))
}

/// The key of a field in a settings file: `s3` and `path_style` make `s3.path-style`.
pub(super) fn key_of(table: &str, field: &str) -> String {
    let key = field.replace('_', "-");
    match table {
        "" => key,
        table => format!("{table}.{key}"),
    }
}

/// The lines of a doc comment as one.
pub(super) fn joined(lines: &[&str]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| line.trim()).collect();
    lines.join(" ")
}

/// See the module. `in` names the table of the settings file. A setting has, in this order and where it needs
/// them: `flag`, `env` (`by` a function, if the variables need more than being parsed), and `default`, as it
/// would be typed, or `unset`, which says in words what holds without it.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        pub struct $Layer:ident in $table:literal {
            $(
                $(#[doc = $doc:literal])+
                $(#[serde($($serde:tt)+)])?
                $field:ident: $Type:ty {
                    $(flag: $flag:literal,)?
                    $(env: [$($variable:literal),+] $(by $read:ident)?,)?
                    $(default: $default:literal,)?
                    $(unset: $unset:literal,)?
                }
            )+
            $(groups { $($(#[doc = $group_doc:literal])+ $group:ident: $Group:ident,)+ })?
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Default, serde::Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
        pub struct $Layer {
            $(
                $(#[doc = $doc])+
                $(#[serde($($serde)+)])?
                pub $field: Option<$Type>,
            )+
            $($($(#[doc = $group_doc])+ pub $group: $Group,)+)?
        }

        impl $Layer {
            /// The settings, each once.
            pub fn settings() -> Vec<$crate::config::Setting> {
                use $crate::config::setting::{Form, joined, key_of};
                let own = [$($crate::config::Setting {
                    key: key_of($table, stringify!($field)),
                    form: <$Type as Form>::FORM,
                    flag: [$($crate::config::Flag::of::<$Type>($flag))?].first().copied(),
                    variables: &[$($($variable),+)?],
                    default: [$($default)? $($unset)?].first().copied(),
                    doc: joined(&[$($doc),+]),
                }),+];
                let groups: Vec<Vec<$crate::config::Setting>> = vec![$($($Group::settings()),+)?];
                own.into_iter().chain(groups.into_iter().flatten()).collect()
            }

            /// This layer where it says something, `lower` elsewhere.
            pub fn over(self, lower: Self) -> Self {
                Self {
                    $($field: self.$field.or(lower.$field),)+
                    $($($group: self.$group.over(lower.$group),)+)?
                }
            }

            /// What the environment says.
            #[allow(unused_mut, unused_variables, reason = "a table may be without a variable")]
            pub fn from_environment(
                env: &$crate::config::Environment<'_>,
            ) -> Result<Self, $crate::config::ConfigError> {
                let mut layer = Self::default();
                $($(
                    layer.$field = from_variables!(env, [$($variable),+] $($read)?)?;
                )?)+
                $($(layer.$group = $Group::from_environment(env)?;)+)?
                Ok(layer)
            }

            $($(
                pub(super) fn $field(&self) -> $Type {
                    $crate::config::setting::or_default(self.$field.as_ref(), $default)
                }
            )?)+
        }

        impl clap::FromArgMatches for $Layer {
            fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
                let mut layer = Self::default();
                layer.update_from_arg_matches(matches)?;
                Ok(layer)
            }

            #[allow(unused_variables, reason = "a table may be without a flag")]
            fn update_from_arg_matches(
                &mut self,
                matches: &clap::ArgMatches,
            ) -> Result<(), clap::Error> {
                $($(
                    self.$field = $crate::config::setting::flag(matches, $flag);
                )?)+
                $($(self.$group.update_from_arg_matches(matches)?;)+)?
                Ok(())
            }
        }

        impl clap::Args for $Layer {
            fn augment_args(command: clap::Command) -> clap::Command {
                $crate::config::setting::with_flags(command, &Self::settings())
            }

            fn augment_args_for_update(command: clap::Command) -> clap::Command {
                Self::augment_args(command)
            }
        }
    };
}

/// How variables are read: parsed, or by a function of their own.
macro_rules! from_variables {
    ($env:ident, [$($variable:literal),+]) => {
        $crate::config::setting::variable($env, &[$($variable),+])
    };
    ($env:ident, [$($variable:literal),+] $read:ident) => {
        $read($env)
    };
}

pub(super) use {from_variables, settings};
