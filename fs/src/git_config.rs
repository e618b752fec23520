//! `config`: local to this machine, because a shared one would be remote code
//! execution; seeded with the replicated format, and watched for it, and for settings that decide about safety.

use gitmoor_model::setting::{self, Kind, Setting};
use gitmoor_model::{Format, ObjectFormat, RefStorage, RepoPath, host_file};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The read-only file of replicated settings, beside `config`.
pub const SETTINGS: &str = "gitmoor.config";

/// Bytes of a `config` that is looked into.
pub const LARGEST: u64 = 1 << 20;

/// What a new `config` begins with: first, so that local settings win.
pub(crate) const INCLUDE: &str = "[include]\n\tpath = gitmoor.config\n";

/// Whether a `config` names the replicated settings.
pub(crate) fn has_include(text: &[u8]) -> bool {
    text.windows(SETTINGS.len())
        .any(|at| at == SETTINGS.as_bytes())
}

/// A push starts no maintenance and waits for none: Gitmoor's own follows within a minute.
const DEFAULTS: [(&str, &str); 1] = [("receive.autogc", "false")];

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

/// Names of files of hosts that rendered settings add.
pub fn added_host_files(settings: &[u8]) -> Vec<RepoPath> {
    let metadata = gix_config::file::Metadata::default();
    let file = gix_config::File::from_bytes_no_includes(settings, metadata, Default::default());
    let names = file.ok().and_then(|file| file.strings(host_file::ADDED));
    let names = names.into_iter().flatten();
    let paths = names.filter_map(|name| RepoPath::new(name.as_slice()));
    paths.filter(host_file::may_be_added).collect()
}

/// Settings by key.
pub(crate) type Values = BTreeMap<String, String>;

/// What a `config` says itself of settings that decide about safety, and which of them it gives values that cannot be
/// replicated. `None` while the file cannot be parsed.
pub(crate) fn safety_settings(config: &[u8]) -> Option<(Values, Vec<&'static str>)> {
    let metadata = gix_config::file::Metadata::default();
    let file =
        gix_config::File::from_bytes_no_includes(config, metadata, Default::default()).ok()?;
    let (mut values, mut unusable) = (BTreeMap::new(), Vec::new());
    for setting in setting::SETTINGS
        .iter()
        .filter(|setting| setting.is_for_safety())
    {
        match said(&file, setting) {
            None => {}
            Some(value) if setting.check(&value).is_ok() => {
                values.insert(setting.key.to_owned(), value);
            }
            Some(_) => unusable.push(setting.key),
        }
    }
    Some((values, unusable))
}

/// What a file says of a setting, in the words of our table where git reads other words as the same.
fn said(file: &gix_config::File, setting: &Setting) -> Option<String> {
    // Without `=`: true.
    let last = file.string_implicit(setting.key)?;
    let last = last.map_or("true".to_owned(), |last| last.to_string());
    Some(match setting.kind {
        Kind::RefPrefixes => {
            let all = file.strings(setting.key).unwrap_or_default();
            let all: Vec<_> = all.iter().map(|value| value.to_string()).collect();
            all.join("\n")
        }
        Kind::Switch => match file.boolean(setting.key) {
            Ok(Some(value)) => value.to_string(),
            Ok(None) | Err(_) => last,
        },
        Kind::SwitchOr(_) | Kind::Sharing | Kind::Number { .. } | Kind::HostFiles => {
            last.to_ascii_lowercase()
        }
    })
}

/// A `config` with other values of these settings, or without them; all else stays as it is.
pub(crate) fn with_settings(
    config: &[u8],
    settings: &BTreeMap<String, Option<String>>,
) -> Result<Vec<u8>, String> {
    let metadata = gix_config::file::Metadata::default();
    let file = gix_config::File::from_bytes_no_includes(config, metadata, Default::default());
    let mut file = file.map_err(|error| error.to_string())?;
    for (key, value) in settings {
        let Some((section, name)) = key.split_once('.') else {
            continue;
        };
        remove_lines(&mut file, section, name);
        let Some(value) = value else {
            continue;
        };
        let setting = setting::find(key).map_err(|error| error.to_string())?;
        let section = file.section_mut_or_create_new(section, None);
        let mut section = section.map_err(|error| error.to_string())?;
        for value in setting.values(value) {
            let pushed = section.push(name, value);
            pushed.map_err(|error| error.to_string())?;
        }
    }
    Ok(file.to_bstring().into())
}

fn remove_lines(file: &mut gix_config::File, section: &str, name: &str) {
    let sections = file.sections_and_ids_by_name(section).into_iter().flatten();
    let sections = sections.filter(|(section, _)| section.header().subsection_name().is_none());
    let ids: Vec<_> = sections.map(|(_, id)| id).collect();
    for id in ids {
        if let Some(mut section) = file.section_mut_by_id(id) {
            while section.remove(name).is_some() {}
        }
    }
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
        writeln!(text, "{header}").expect("writing to a String");
        let setting = setting::find(key).expect("it is renderable");
        for value in setting.values(value) {
            writeln!(text, "\t{name} = {}", quoted(value)).expect("writing to a String");
        }
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
    use super::{of_format, safety_settings, stated_format, with_settings};
    use gitmoor_model::{Format, ObjectFormat, RefStorage};
    use std::collections::BTreeMap;

    const CONFIG: &str = "[core]
\tbare = true
\tsharedRepository = GROUP
# ours
[receive]
\tdenyDeletes
\tdenyNonFastForwards = Yes ; and why
\tdenyCurrentBranch = updateInstead
[transfer]
\thideRefs = refs/a
\thideRefs = !refs/a/b
[RECEIVE]
\tfsckobjects = off
[http]
\treceivepack = maybe
\tsslCAInfo = /etc/shadow
[include]
\tpath = other
";

    #[test]
    fn safety_is_what_the_file_itself_says_in_words_of_the_table() {
        let (values, unusable) = safety_settings(CONFIG.as_bytes()).expect("parses");
        let values: Vec<_> = values.iter().map(|(key, it)| (&key[..], &it[..])).collect();
        assert_eq!(
            values,
            [
                ("core.sharedRepository", "group"),
                ("receive.denyDeletes", "true"),
                ("receive.denyNonFastForwards", "true"),
                ("receive.fsckObjects", "false"),
                ("transfer.hideRefs", "refs/a\n!refs/a/b"),
            ]
        );
        assert_eq!(unusable, ["http.receivepack"]);
        assert_eq!(safety_settings(b"[core"), None);
        let nothing = safety_settings(b"").expect("parses");
        assert_eq!(nothing, (BTreeMap::new(), Vec::new()));
    }

    #[test]
    fn other_lines_stay_as_they_are() {
        let set = |key: &str, value: Option<&str>| (key.to_owned(), value.map(str::to_owned));
        let changes = BTreeMap::from([
            set("receive.denyDeletes", Some("false")),
            set("receive.fsckObjects", None),
            set("transfer.hideRefs", Some("refs/c\nrefs/d")),
        ]);
        let changed = with_settings(CONFIG.as_bytes(), &changes).expect("parses");
        let text = String::from_utf8(changed.clone()).expect("text");
        for line in [
            "# ours",
            "denyNonFastForwards = Yes ; and why",
            "\tdenyCurrentBranch = updateInstead",
            "\tpath = other",
        ] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
        let (values, _) = safety_settings(&changed).expect("parses");
        let value = |key: &str| values.get(key).map(String::as_str);
        assert_eq!(value("receive.denyDeletes"), Some("false"));
        assert_eq!(value("receive.fsckObjects"), None);
        assert_eq!(value("transfer.hideRefs"), Some("refs/c\nrefs/d"));
        assert_eq!(value("receive.denyNonFastForwards"), Some("true"));
        assert_eq!(text.matches("hideRefs").count(), 2, "{text}");
        let is_empty = |line: &str| line.trim().is_empty();
        assert!(!text.lines().any(is_empty), "{text}");
        let removed = BTreeMap::from([set("uploadpack.allowFilter", None)]);
        let same = with_settings(CONFIG.as_bytes(), &removed).expect("parses");
        assert_eq!(same, CONFIG.as_bytes(), "nothing to remove");
    }

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
