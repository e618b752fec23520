//! Settings: precedence of flags, environment and file, and what their errors say.

use clap::Parser;
use gitmoor::command::{Cli, Command};
use gitmoor::config::{ByteSize, ConfigError, Credentials, Layer, LogFilter, LogFormat, Settings};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

type Variables<'a> = &'a [(&'a str, &'a str)];

fn lookup(variables: Variables<'_>, key: &str) -> Option<OsString> {
    let found = variables.iter().find(|(name, _)| *name == key);
    found.map(|(_, value)| value.into())
}

fn resolve(args: &[&str], variables: Variables<'_>) -> Result<Settings, ConfigError> {
    let line = ["gitmoor", "mount", "/mnt/git"].iter().chain(args);
    let cli = Cli::try_parse_from(line).expect("the arguments are well-formed");
    let Command::Mount(mount) = cli.command else {
        panic!("it is a mount command");
    };
    Settings::resolve(&cli.place, &mount, &|key| lookup(variables, key))
}

fn data_dir_with(toml: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("gitmoor.toml"), toml).expect("a settings file");
    dir
}

fn in_data_dir(dir: &Path, args: &[&str], env: Variables<'_>) -> Result<Settings, ConfigError> {
    let data = dir.to_str().expect("UTF-8");
    resolve(&[&["--data", data], args].concat(), env)
}

fn error_of(toml: &str) -> String {
    let dir = data_dir_with(toml);
    let error = in_data_dir(dir.path(), &[], &[])
        .expect_err("a wrong file")
        .to_string();
    assert!(error.contains("gitmoor.toml"), "names the file: {error}");
    error
}

#[test]
fn defaults() {
    let dir = tempfile::tempdir().unwrap();
    let settings = in_data_dir(dir.path(), &[], &[]).unwrap();
    assert_eq!(settings.data, dir.path());
    assert!(settings.store.url.is_none());
    assert_eq!(settings.fs.cache_bytes, 10 << 30);
    assert_eq!(settings.fs.staging_bytes, Some(10 << 30));
    assert!(!settings.store.offline);
    assert_eq!(settings.fs.publish_timeout, Duration::from_secs(60));
    assert_eq!(settings.log.format, LogFormat::Text);
    assert!(settings.metrics.is_none());
    assert!(!settings.mount.allow_other);
}

/// And a form, and a default that has it: [`Settings::resolve`] reads them all.
#[test]
fn every_setting_says_what_it_is_for() {
    let settings = Layer::settings();
    let keys: BTreeSet<_> = settings.iter().map(|setting| &setting.key).collect();
    assert_eq!(keys.len(), settings.len(), "each is declared once");
    for setting in &settings {
        let (key, doc) = (&setting.key, &setting.doc);
        assert!(!doc.is_empty() && !doc.ends_with('.'), "{key}: {doc}");
        assert!(!setting.form.is_empty(), "{key}");
    }
    for key in ["cache-size", "s3.ca-bundle", "log.level", "traces.ratio"] {
        assert!(settings.iter().any(|setting| setting.key == key), "{key}");
    }
    Settings::without_mount(&Default::default(), &|key| {
        (key == "HOME").then(|| "/".into())
    })
    .unwrap();
}

#[test]
fn flags_beat_environment_beats_file() {
    let dir = data_dir_with("store = \"dir:/from/file\"\n[log]\nlevel = \"warn\"\n");
    let store = |args: &[&str], env: Variables<'_>| {
        let settings = in_data_dir(dir.path(), args, env).unwrap();
        settings.store.url.unwrap().to_string()
    };
    assert_eq!(store(&[], &[]), "dir:/from/file");
    let env: Variables<'_> = &[("GITMOOR_STORE", "dir:/from/env")];
    assert_eq!(store(&[], env), "dir:/from/env");
    assert_eq!(store(&["--store", "dir:/from/flag"], env), "dir:/from/flag");

    let level =
        |args: &[&str], env: Variables<'_>| in_data_dir(dir.path(), args, env).unwrap().log.filter;
    assert_eq!(level(&[], &[]).as_str(), "warn");
    assert_eq!(level(&[], &[("RUST_LOG", "debug")]).as_str(), "debug");
    let both: Variables<'_> = &[("RUST_LOG", "debug"), ("GITMOOR_LOG", "trace")];
    assert_eq!(level(&[], both).as_str(), "trace");
    assert_eq!(level(&["--log-level", "error"], both).as_str(), "error");
}

#[test]
fn staging_size_and_offline_from_every_source() {
    let dir = data_dir_with("staging-size = \"1GiB\"\noffline = true\n");
    let both = |args: &[&str], env: Variables<'_>| {
        let settings = in_data_dir(dir.path(), args, env).unwrap();
        (settings.fs.staging_bytes, settings.store.offline)
    };
    assert_eq!(both(&[], &[]), (Some(1 << 30), true));
    let env: Variables<'_> = &[("GITMOOR_STAGING_SIZE", "5MB"), ("GITMOOR_OFFLINE", "0")];
    assert_eq!(both(&[], env), (Some(5_000_000), false));
    let flags = ["--staging-size", "unlimited", "--offline"];
    assert_eq!(both(&flags, env), (None, true));
}

#[test]
fn limits_of_a_second_from_every_source() {
    let dir = data_dir_with("upload-limit = \"1MB\"\ndownload-limit = 100000\n");
    let limits = |args: &[&str], env: Variables<'_>| {
        let settings = in_data_dir(dir.path(), args, env).unwrap();
        settings.store.s3.bandwidth.limits()
    };
    assert_eq!(limits(&[], &[]), (Some(1_000_000), Some(100_000)));
    let env: Variables<'_> = &[
        ("GITMOOR_UPLOAD_LIMIT", "2MB"),
        ("GITMOOR_DOWNLOAD_LIMIT", "3MB"),
    ];
    assert_eq!(limits(&[], env), (Some(2_000_000), Some(3_000_000)));
    let flags = ["--upload-limit", "64KiB"];
    assert_eq!(limits(&flags, env), (Some(65_536), Some(3_000_000)));
    let refused = error_of("upload-limit = \"1KB\"\n");
    assert!(refused.contains("at least 64KiB"), "{refused}");
}

#[test]
fn what_a_mount_shows_from_every_source() {
    let dir = data_dir_with(
        "read-only = true\nallow-other = true\nuid = 7\ngid = \"root\"\numask = \"022\"\n",
    );
    let mount = |args: &[&str], env: Variables<'_>| {
        let settings = in_data_dir(dir.path(), args, env).unwrap();
        let (mount, shown) = (settings.mount, settings.fs.shown);
        let shown = (shown.uid, shown.gid, shown.umask);
        (mount.read_only, mount.allow_other, shown)
    };
    assert_eq!(mount(&[], &[]), (true, true, (Some(7), Some(0), 0o22)));
    let env: Variables<'_> = &[
        ("GITMOOR_READ_ONLY", "no"),
        ("GITMOOR_ALLOW_OTHER", "no"),
        ("GITMOOR_UID", "root"),
        ("GITMOOR_GID", "8"),
        ("GITMOOR_UMASK", "7"),
    ];
    assert_eq!(mount(&[], env), (false, false, (Some(0), Some(8), 0o7)));
    let flags = [
        "--read-only",
        "--allow-other",
        "--uid",
        "9",
        "--gid",
        "10",
        "--umask",
        "077",
    ];
    assert_eq!(mount(&flags, env), (true, true, (Some(9), Some(10), 0o77)));
}

#[test]
fn owners_and_umasks_that_are_none() {
    for (toml, words) in [
        ("uid = \"nobody at all\"", ["key uid", "no user"]),
        ("gid = \"nobody at all\"", ["key gid", "no group"]),
        ("uid = -1", ["key uid", "a number, or a name"]),
        ("umask = \"8\"", ["key umask", "octal"]),
        ("umask = \"1000\"", ["key umask", "octal"]),
        ("umask = 27", ["key umask", "string"]),
    ] {
        let error = error_of(toml);
        assert!(
            words.iter().all(|word| error.contains(word)),
            "{toml}: {error}"
        );
    }
    let error = resolve(&[], &[("GITMOOR_UMASK", "+7")])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("GITMOOR_UMASK") && error.contains("octal"),
        "{error}"
    );
}

#[test]
fn data_directory_from_flag_environment_or_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "data = \"/from/file\"").unwrap();
    let file = file.path().to_str().unwrap();
    let env: Variables<'_> = &[("GITMOOR_DATA", "/from/env")];
    let data = |args: &[&str], env: Variables<'_>| resolve(args, env).unwrap().data;
    assert_eq!(data(&["--config", file], &[]), Path::new("/from/file"));
    assert_eq!(data(&["--config", file], env), Path::new("/from/env"));
    assert_eq!(
        data(&["--config", file, "--data", "/flag"], env),
        Path::new("/flag")
    );
}

#[test]
fn a_bucket_alone_names_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let env: Variables<'_> = &[("S3_BUCKET", "git"), ("S3_REGION", "garage")];
    let settings = in_data_dir(dir.path(), &[], env).unwrap();
    assert_eq!(settings.store.url.unwrap().to_string(), "s3://git");
}

#[test]
fn keys_come_in_pairs_and_stay_secret() {
    let env = |variables| Layer::from_environment(&|key| lookup(variables, key));
    let error = env(&[("S3_ACCESS_KEY_ID", "id")]).unwrap_err().to_string();
    assert!(error.contains("S3_SECRET_ACCESS_KEY"), "{error}");
    let keys: Variables<'_> = &[("S3_ACCESS_KEY_ID", "id"), ("S3_SECRET_ACCESS_KEY", "hush")];
    let layer = env(keys).unwrap();
    assert!(!format!("{layer:?}").contains("hush"));
    let settings = resolve(&["--data", "/nonexistent"], keys).unwrap();
    assert!(!format!("{settings:?}").contains("hush"));
    let chain = env(&[("AWS_PROFILE", "work")]).unwrap();
    assert!(matches!(chain.s3.credentials, Some(Credentials::Chain)));
}

#[test]
fn environment_errors_name_the_variable_and_what_is_expected() {
    let error = resolve(&[], &[("S3_USE_PATH_STYLE", "maybe")]).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("S3_USE_PATH_STYLE") && error.contains("true nor false"));
    let error = resolve(&[], &[("GITMOOR_STORE", "ftp://x")]).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("GITMOOR_STORE") && error.contains("dir:PATH"),
        "{error}"
    );
}

#[test]
fn empty_variables_count_as_unset() {
    let dir = tempfile::tempdir().unwrap();
    let env: Variables<'_> = &[("GITMOOR_STORE", ""), ("S3_BUCKET", "")];
    assert!(
        in_data_dir(dir.path(), &[], env)
            .unwrap()
            .store
            .url
            .is_none()
    );
}

#[test]
fn file_errors_name_line_key_and_what_is_expected() {
    let error = error_of("cache-sise = 3\n");
    assert!(
        error.contains("line 1") && error.contains("cache-sise"),
        "{error}"
    );
    assert!(
        error.contains("cache-size"),
        "lists the known keys: {error}"
    );
    let error = error_of("# comment\nread-timeout = \"soon\"\n");
    assert!(error.contains("line 2, key read-timeout"), "{error}");
    assert!(error.contains("such as 30s"), "{error}");
    let error = error_of("allow-other = \"yes\"\n");
    assert!(
        error.contains("allow-other") && error.contains("boolean"),
        "{error}"
    );
    let error = error_of("[log]\nformat = \"xml\"\n");
    assert!(
        error.contains("key format") && error.contains("\"json\""),
        "{error}"
    );
    let error = error_of("[s3]\nsecret = 1\n");
    assert!(error.contains("line 2, key secret"), "{error}");
}

#[test]
fn a_file_in_a_data_directory_cannot_point_elsewhere() {
    assert!(error_of("data = \"/elsewhere\"\n").contains("key data"));
}

#[test]
fn a_file_that_was_asked_for_must_exist() {
    let error = resolve(&["--config", "/nonexistent/x.toml"], &[]).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/x.toml"));
}

#[test]
fn the_whole_file() {
    let dir = data_dir_with(
        r#"
        store = "s3://bucket/prefix"
        cache-size = "2GiB"
        bundle-over = 20
        read-timeout = "1m"
        publish-timeout = "90s"
        idle-publish = "500ms"
        slow-operation = "2s"
        allow-other = true
        [s3]
        endpoint = "http://127.0.0.1:3900"
        region = "garage"
        path-style = true
        credentials = { access-key-id = "id", secret-access-key = "hush" }
        [log]
        format = "json"
        level = "gitmoor_fs=debug,info"
        [metrics]
        listen = "127.0.0.1:9464"
        "#,
    );
    let settings = in_data_dir(dir.path(), &[], &[]).unwrap();
    assert_eq!(settings.fs.cache_bytes, 2 << 30);
    assert_eq!(settings.fs.bundle_over, 20);
    assert_eq!(settings.fs.publish_timeout, Duration::from_secs(90));
    assert_eq!(settings.fs.idle_publish, Duration::from_millis(500));
    assert_eq!(settings.fs.slow_operation, Duration::from_secs(2));
    assert_eq!(settings.log.format, LogFormat::Json);
    assert!(settings.mount.allow_other);
    assert_eq!(settings.metrics.unwrap().port(), 9464);
}

#[test]
fn metrics_stay_on_this_machine_unless_allowed() {
    let error = resolve(&["--metrics", "0.0.0.0:9464"], &[]).unwrap_err();
    assert!(matches!(error, ConfigError::MetricsNotLoopback(_)));
    let allowed = ["--metrics", "0.0.0.0:9464", "--metrics-allow-remote"];
    assert!(resolve(&allowed, &[]).unwrap().metrics.is_some());
    assert!(
        resolve(&["--metrics", "[::1]:9464"], &[])
            .unwrap()
            .metrics
            .is_some()
    );
}

#[test]
fn sizes() {
    let size = |text: &str| text.parse::<ByteSize>().map(|size| size.0);
    assert_eq!(size("4096"), Ok(4096));
    assert_eq!(size("500MB"), Ok(500_000_000));
    assert_eq!(size("10GiB"), Ok(10 << 30));
    assert_eq!(size("1 kib"), Ok(1024));
    for wrong in ["", "GiB", "-1", "1.5GB", "3 parsecs", "99999999999TiB"] {
        assert!(size(wrong).is_err(), "{wrong}");
    }
    assert_eq!(ByteSize(1536).to_string(), "1.5 KiB");
    assert_eq!(ByteSize(12).to_string(), "12 B");
}

#[test]
fn a_word_that_is_no_level_is_refused() {
    assert!("verbose".parse::<LogFilter>().is_err());
    assert!("".parse::<LogFilter>().is_err());
    assert!("INFO".parse::<LogFilter>().is_ok());
    assert!("gitmoor=debug,warn".parse::<LogFilter>().is_ok());
}
