//! `config`: local to this machine, because a shared one would be remote code
//! execution; seeded with the replicated format, and watched for it.

use gitmoor_model::{Format, ObjectFormat, RefStorage, setting};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The read-only file of replicated settings, beside `config`.
pub const SETTINGS: &str = "gitmoor.config";

/// Bytes of a `config` that is looked into.
pub(crate) const LARGEST: u64 = 1 << 20;

/// What a new `config` begins with: first, so that local settings win.
pub(crate) const INCLUDE: &str = "[include]\n\tpath = gitmoor.config\n";

/// Whether a `config` names the replicated settings.
pub(crate) fn has_include(text: &[u8]) -> bool {
    text.windows(SETTINGS.len())
        .any(|at| at == SETTINGS.as_bytes())
}

/// Maintenance is Gitmoor's; git's own would repack under the feet of others.
const DEFAULTS: [(&str, &str); 3] = [
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("receive.autogc", "false"),
];

/// A `config` for a repository that this machine sees for the first time.
pub fn seed(format: &Format) -> String {
    let extended = format.objects != ObjectFormat::Sha1 || format.refs != RefStorage::Files;
    let version = u8::from(extended);
    let bare = format.bare;
    let mut text = format!(
        "{INCLUDE}[core]\n\trepositoryformatversion = {version}\n\tfilemode = true\n\tbare = {bare}\n"
    );
    if extended {
        text.push_str("[extensions]\n");
    }
    if format.objects == ObjectFormat::Sha256 {
        text.push_str("\tobjectformat = sha256\n");
    }
    if format.refs == RefStorage::Reftable {
        text.push_str("\trefstorage = reftable\n");
    }
    text
}

/// A `config` that says the format, and nothing else.
pub fn of_format(format: &Format) -> Vec<u8> {
    let storage = match format.refs {
        RefStorage::Files => "",
        RefStorage::Reftable => "\trefStorage = reftable\n",
    };
    let hash = format.objects.name();
    format!("[core]\n\trepositoryFormatVersion = 1\n\tbare = true\n[extensions]\n\tobjectFormat = {hash}\n{storage}")
        .into_bytes()
}

/// Extensions of the format that change nothing about how refs and objects are read.
const HARMLESS: [&str; 6] = [
    "noop",
    "noop-v1",
    "partialclone",
    "preciousobjects",
    "relativeworktrees",
    "worktreeconfig",
];

/// The format that a `config` of others states, without a look at anything that it includes; an error, as of git, for one that is not known here.
pub(crate) fn stated_format(config: &[u8]) -> Result<Format, String> {
    let metadata = gix_config::file::Metadata::default();
    let file = gix_config::File::from_bytes_no_includes(config, metadata, Default::default());
    let file = file.map_err(|error| error.to_string())?;
    let is_new = file.string("core.repositoryformatversion");
    let is_new = is_new.is_some_and(|version| version.trim_ascii() != b"0");
    let mut format = Format {
        bare: true,
        objects: ObjectFormat::Sha1,
        refs: RefStorage::Files,
    };
    for section in file
        .sections_by_name("extensions")
        .into_iter()
        .flatten()
        .filter(|_| is_new)
    {
        for name in section.value_names() {
            let value = section.value(&name).unwrap_or_default();
            let (name, value) = (name.to_ascii_lowercase(), value.to_ascii_lowercase());
            match (&name[..], &value[..]) {
                ("objectformat", b"sha1") | ("refstorage", b"files") => {}
                ("objectformat", b"sha256") => format.objects = ObjectFormat::Sha256,
                ("refstorage", b"reftable") => format.refs = RefStorage::Reftable,
                (name, _) if HARMLESS.contains(&name) => {}
                (name, value) => {
                    let value = value.escape_ascii();
                    return Err(format!(
                        "extensions.{name} = {value} is a format that is not known here"
                    ));
                }
            }
        }
    }
    Ok(format)
}

/// Whether a `config` says that its repository is the `.git` of a work tree around it.
pub fn is_of_work_tree(config: &[u8]) -> bool {
    let metadata = gix_config::file::Metadata::default();
    let file = gix_config::File::from_bytes_no_includes(config, metadata, Default::default());
    file.is_ok_and(|file| {
        let is_bare = file.boolean("core.bare");
        matches!(is_bare, Ok(Some(false))) && file.string("core.worktree").is_none()
    })
}

/// The format that a `config` states; `None` before git has written it, or
/// while the file cannot be parsed.
pub fn format_of(config: &[u8]) -> Option<Format> {
    let metadata = gix_config::file::Metadata::default();
    let file =
        gix_config::File::from_bytes_no_includes(config, metadata, Default::default()).ok()?;
    file.string("core.repositoryformatversion")?;
    let is = |key: &str, value: &str| {
        file.string(key)
            .is_some_and(|v| v.eq_ignore_ascii_case(value.as_bytes()))
    };
    Some(Format {
        bare: matches!(file.boolean("core.bare"), Ok(Some(true))),
        objects: if is("extensions.objectformat", "sha256") {
            ObjectFormat::Sha256
        } else {
            ObjectFormat::Sha1
        },
        refs: if is("extensions.refstorage", "reftable") {
            RefStorage::Reftable
        } else {
            RefStorage::Files
        },
    })
}

/// Whether a setting is one that may be replicated. Nobody can set another one, but what another
/// node sent, or an earlier version let in, may be anything.
fn is_renderable(key: &str, value: &str) -> bool {
    setting::find(key).is_ok_and(|setting| setting.key == key && setting.check(value).is_ok())
}

/// Renders the replicated settings, over the defaults.
pub fn render_settings(settings: &BTreeMap<String, String>) -> Vec<u8> {
    let defaults = DEFAULTS.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let mut all = BTreeMap::from(defaults);
    // One that is left out takes no default's place.
    let usable = settings
        .iter()
        .filter(|(key, value)| is_renderable(key, value));
    all.extend(usable.map(|(key, value)| (key.clone(), value.clone())));
    let mut text = b"# Replicated settings: change them with `gitmoor repo config`.\n".to_vec();
    text.extend(render(&all));
    text
}

/// Renders settings. Those that git would read as something else are left out.
pub fn render(settings: &BTreeMap<String, String>) -> Vec<u8> {
    let mut text = String::new();
    for (key, value) in settings
        .iter()
        .filter(|(key, value)| is_renderable(key, value))
    {
        let Some((section, name)) = key.rsplit_once('.') else {
            continue;
        };
        let header = match section.split_once('.') {
            Some((section, sub)) => format!("[{section} {}]", quoted(sub)),
            None => format!("[{section}]"),
        };
        writeln!(text, "{header}\n\t{name} = {}", quoted(value)).expect("writing to a String");
    }
    text.into_bytes()
}

fn quoted(value: &str) -> String {
    let escaped = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::{of_format, stated_format};
    use gitmoor_model::{Format, ObjectFormat, RefStorage};

    #[test]
    fn the_format_is_what_the_file_itself_says() {
        let format = |objects, refs| Format {
            bare: true,
            objects,
            refs,
        };
        let plain = format(ObjectFormat::Sha1, RefStorage::Files);
        for (text, expected) in [
            ("", plain),
            (
                "[core]\nrepositoryformatversion = 0\n[extensions]\nobjectFormat = sha256\n",
                plain,
            ),
            (
                "[include]\npath = /dev/stdin\n[core]\nsshCommand = id\nbare = false\n",
                plain,
            ),
            (
                "[core]\nrepositoryformatversion = 1\n[extensions]\npartialClone = origin\nworktreeConfig\n",
                plain,
            ),
        ] {
            assert_eq!(stated_format(text.as_bytes()), Ok(expected), "{text}");
        }
        for objects in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
            for refs in [RefStorage::Files, RefStorage::Reftable] {
                let format = format(objects, refs);
                assert_eq!(stated_format(&of_format(&format)), Ok(format));
            }
        }
        for text in [
            "[core]\nrepositoryformatversion = 1\n[extensions]\nrefStorage = other\n",
            "[core]\nrepositoryformatversion = 1\n[extensions]\nnew = true\n",
            "[core",
        ] {
            assert!(stated_format(text.as_bytes()).is_err(), "{text}");
        }
    }
}
