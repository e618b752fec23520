//! `config`: local to this machine, because a shared one would be remote code
//! execution; seeded with the replicated format, and watched for it.

use gitmoor_replicator::model::{Format, ObjectFormat, RefStorage, setting};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The read-only file of replicated settings, beside `config`.
pub const SETTINGS: &str = "gitmoor.config";

/// What a new `config` begins with: first, so that local settings win.
pub const INCLUDE: &str = "[include]\n\tpath = gitmoor.config\n";

/// Whether a `config` names the replicated settings.
pub fn has_include(text: &[u8]) -> bool {
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
    let mut all: BTreeMap<&str, &str> = DEFAULTS.into_iter().collect();
    let given = settings.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    all.extend(given.filter(|(key, value)| is_renderable(key, value)));
    let mut text = String::from("# Replicated settings: change them with `gitmoor repo config`.\n");
    for (key, value) in all {
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
