//! Names directly under the mount that are directories of one machine.

use super::setting::{Form, Value, utf8};
use clap::{Arg, ArgAction, ArgMatches};
use gitmoor_model::NamePath;
use serde::Deserialize;
use std::ffi::OsString;
use std::str::FromStr;

/// One of them: `+gitaly`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct LocalName(NamePath);

impl FromStr for LocalName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = NamePath::new(text).filter(|name| {
            let is_one = name.parent().is_some_and(|above| above.is_root());
            is_one && !text.contains(',') && !name.names_repository()
        });
        name.map(Self).ok_or_else(|| {
            format!(
                "{text:?} is no name for a directory directly under the mount; expected one such as +gitaly, without \
                 a slash or a comma in it, that does not end in .git"
            )
        })
    }
}

impl TryFrom<String> for LocalName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// All of them. The flag is given once for each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct LocalNames(Vec<LocalName>);

impl LocalNames {
    /// As paths of the namespace.
    pub(super) fn paths(self) -> Vec<NamePath> {
        self.0.into_iter().map(|name| name.0).collect()
    }
}

impl Form for LocalNames {
    const FORM: &'static str = "names, in the file as a list: [\"+gitaly\"]";
}

impl Value for LocalNames {
    fn from_variable(value: OsString) -> Result<Self, String> {
        let text = utf8(value)?;
        let names = text.split(',').map(str::parse);
        names.collect::<Result<_, _>>().map(Self)
    }

    fn accept(argument: Arg) -> Arg {
        let parse = |text: &str| text.parse::<LocalName>();
        argument.action(ArgAction::Append).value_parser(parse)
    }

    fn from_flag(matches: &ArgMatches, name: &str) -> Option<Self> {
        let names = matches.get_many::<LocalName>(name)?;
        Some(Self(names.cloned().collect()))
    }
}
