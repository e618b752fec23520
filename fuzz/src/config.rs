//! git configuration, read and written: a `config` that git or a person wrote never
//! breaks its reader, and replicated settings render into a file that says these
//! settings and nothing else, whatever another node put into them.

use crate::fields;
use gitmoor_fs::parsers::config::{format_of, render_settings, seed};
use gitmoor_model::setting;
use gix_config::File;
use gix_config::file::Metadata;
use std::collections::BTreeMap;

/// A `config`; and settings, with 0xff between key, value, key, ….
pub fn run(data: &[u8]) {
    if let Some(format) = format_of(data) {
        assert_eq!(format_of(seed(&format).as_bytes()), Some(format));
    }
    let text: Vec<_> = fields(data).map(String::from_utf8_lossy).collect();
    let pairs = text.chunks_exact(2);
    let settings = pairs.map(|pair| (pair[0].to_string(), pair[1].to_string()));
    check_settings(&settings.collect());
}

/// They stand where no setting takes their place: not having them would be worse than
/// not having a setting that no git could read.
const DEFAULTS: [(&str, &str); 1] = [("receive.autogc", "false")];

/// Renders settings and reads them again.
pub(crate) fn check_settings(settings: &BTreeMap<String, String>) {
    let text = render_settings(settings);
    let file = File::from_bytes_no_includes(&text, Metadata::default(), Default::default());
    let file = file.expect("it is a configuration file");
    let mut read = 0;
    for section in file.sections() {
        let header = section.header();
        for name in section.value_names() {
            let section_name = header.name().to_string();
            let key = match header.subsection_name() {
                Some(sub) => format!("{section_name}.{sub}.{name}"),
                None => format!("{section_name}.{name}"),
            };
            let value = section.value(&*name).expect("it was listed").to_string();
            let setting = setting::find(&key).expect("only settings are rendered");
            // A list has a line for each of its values.
            let set = settings.get(&key);
            let set = set.is_some_and(|set| setting.values(set).any(|one| one == value));
            let default = DEFAULTS.contains(&(&key, &value));
            assert!(set || default, "{key} = {value:?} was never set");
            read += 1;
        }
    }
    assert!(read >= DEFAULTS.len(), "the defaults, at least");
}
