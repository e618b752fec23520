//! Users, groups and permission bits, as people write them.

use super::setting::text_values;
use nix::unistd::{Group, User};
use serde::de::{Deserialize, Deserializer, Error};
use std::str::FromStr;

text_values! {
    UserId: "number, or name of a user",
    GroupId: "number, or name of a group",
    Umask: "octal digits, in the file as a text: \"027\"",
}

/// A user of this machine, by number or name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserId(pub u32);

impl FromStr for UserId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |name: &str| User::from_name(name).ok().flatten();
        let id = text.parse().ok();
        id.or_else(|| named(text).map(|user| user.uid.as_raw()))
            .map(Self)
            .ok_or_else(|| {
                format!("{text:?} is no user; expected a number, or a name that this machine knows")
            })
    }
}

/// A group of this machine, by number or name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupId(pub u32);

impl FromStr for GroupId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |name: &str| Group::from_name(name).ok().flatten();
        let id = text.parse().ok();
        id.or_else(|| named(text).map(|group| group.gid.as_raw()))
            .map(Self)
            .ok_or_else(|| {
                format!(
                    "{text:?} is no group; expected a number, or a name that this machine knows"
                )
            })
    }
}

/// Permission bits that nothing shall have: octal, as in umask(1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Umask(pub u32);

impl FromStr for Umask {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        u32::from_str_radix(text, 8)
            .ok()
            .filter(|bits| *bits <= 0o777 && !text.starts_with('+'))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no umask; expected octal digits such as \"027\""))
    }
}

/// TOML has no octal numbers that look like umasks, so that is a text.
impl<'de> Deserialize<'de> for Umask {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[derive(serde::Deserialize)]
#[serde(untagged, expecting = "expected a number, or a name in quotes")]
enum NumberOrName {
    Number(u32),
    Name(String),
}

impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match NumberOrName::deserialize(from)? {
            NumberOrName::Number(id) => Ok(Self(id)),
            NumberOrName::Name(name) => name.parse().map_err(D::Error::custom),
        }
    }
}

impl<'de> Deserialize<'de> for GroupId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match NumberOrName::deserialize(from)? {
            NumberOrName::Number(id) => Ok(Self(id)),
            NumberOrName::Name(name) => name.parse().map_err(D::Error::custom),
        }
    }
}
