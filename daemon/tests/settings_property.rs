//! Settings, at random: a value is taken exactly if it has the documented form, means what it
//! says, and is otherwise refused with its key and what was expected.

use clap::Parser;
use gitmoor::command::{Cli, Command};
use gitmoor::config::{ByteSize, LogFormat, Settings, StoreUrl};
use proptest::prelude::*;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// A line of a settings file, and whether it is right; if not, a word of the expectation.
#[derive(Clone, Debug)]
struct Line {
    key: &'static str,
    value: String,
    wrong: Option<&'static str>,
}

fn text(value: impl std::fmt::Display) -> String {
    format!("{:?}", value.to_string())
}

fn sizes() -> impl Strategy<Value = (String, bool)> {
    let unit = prop::sample::select(vec![
        "", "B", "KB", "MB", "GB", "TB", "KiB", "MiB", "gib", " tib", "K", "bits", "MiBs", "-",
    ]);
    let number = prop_oneof![
        4 => (0..100_000u64).prop_map(|n| n.to_string()),
        1 => prop::sample::select(vec!["", "-1", "1.5", "+3", "0x10", "99999999999999999999"])
            .prop_map(str::to_owned),
    ];
    (number, unit).prop_map(|(number, unit)| {
        let right = number.len() <= 6 && number.bytes().all(|b| b.is_ascii_digit());
        let known = !["K", "bits", "MiBs", "-"].contains(&unit);
        (
            format!("{number}{unit}"),
            right && known && !number.is_empty(),
        )
    })
}

fn times() -> impl Strategy<Value = (String, bool)> {
    let unit = prop::sample::select(vec![
        ("ms", true),
        ("s", true),
        ("m", true),
        ("h", true),
        ("", false),
        ("parsecs", false),
    ]);
    let number = prop::sample::select(vec![
        ("1", true),
        ("20", true),
        ("300", true),
        ("", false),
        ("-5", false),
    ]);
    (number, unit)
        .prop_map(|((number, right), (unit, known))| (format!("{number}{unit}"), right && known))
}

fn urls() -> impl Strategy<Value = (String, bool)> {
    let bucket = prop::sample::select(vec![
        ("git", true),
        ("a.b-c", true),
        ("ab", false),
        ("a b c", false),
        ("", false),
    ]);
    let prefix = prop::sample::select(vec![
        ("", true),
        ("/", true),
        ("/p/q", true),
        ("/p/", true),
        ("//p", false),
        ("/../p", false),
        ("/p/./q", false),
    ]);
    let s3 = (bucket, prefix)
        .prop_map(|((bucket, a), (prefix, b))| (format!("s3://{bucket}{prefix}"), a && b));
    let other = prop::sample::select(vec![
        ("dir:/x", true),
        ("dir:x/y", true),
        ("dir:", false),
        ("s3:git", false),
        ("/x", false),
        ("http://x", false),
        ("", false),
    ]);
    prop_oneof![s3, other.prop_map(|(url, right)| (url.to_owned(), right))]
}

fn line() -> impl Strategy<Value = Line> {
    let make = |key, expected| {
        move |(value, right): (String, bool)| Line {
            key,
            value: text(value),
            wrong: (!right).then_some(expected),
        }
    };
    let raw = |key, values: Vec<(&'static str, bool)>, expected| {
        prop::sample::select(values).prop_map(move |(value, right)| Line {
            key,
            value: value.to_owned(),
            wrong: (!right).then_some(expected),
        })
    };
    let word = |key, values: Vec<(&'static str, bool)>, expected| {
        prop::sample::select(values).prop_map(move |(value, right)| Line {
            key,
            value: text(value),
            wrong: (!right).then_some(expected),
        })
    };
    prop_oneof![
        sizes().prop_map(make("cache-size", "10GiB")),
        sizes().prop_map(make("cache-free-floor", "10GiB")),
        sizes().prop_map(make("staging-size", "unlimited")),
        raw(
            "upload-limit",
            vec![
                ("65535", false),
                ("65536", true),
                ("\"64KiB\"", true),
                ("\"1MB\"", true),
            ],
            "64KiB",
        ),
        times().prop_map(make("read-timeout", "30s")),
        times().prop_map(make("publish-timeout", "30s")),
        times().prop_map(make("idle-publish", "30s")),
        times().prop_map(make("slow-operation", "30s")),
        urls().prop_map(make("store", "dir:PATH")),
        raw(
            "bundle-over",
            vec![
                ("0", true),
                ("10", true),
                ("-1", false),
                ("1.5", false),
                ("true", false)
            ],
            "usize"
        ),
        raw(
            "offline",
            vec![("true", true), ("\"true\"", false)],
            "boolean"
        ),
        raw(
            "allow-other",
            vec![
                ("true", true),
                ("false", true),
                ("1", false),
                ("\"yes\"", false)
            ],
            "boolean"
        ),
        word(
            "log.format",
            vec![("text", true), ("json", true), ("xml", false), ("", false)],
            "json"
        ),
        word(
            "log.level",
            vec![
                ("info", true),
                ("gitmoor=debug,warn", true),
                ("loud", false),
                ("", false)
            ],
            "trace"
        ),
        word(
            "metrics.listen",
            vec![
                ("127.0.0.1:1", true),
                ("[::1]:9", true),
                ("localhost", false),
                ("1", false)
            ],
            "socket address"
        ),
        raw(
            "s3.path-style",
            vec![("true", true), ("\"true\"", false)],
            "boolean"
        ),
        raw("no-such-key", vec![("1", false)], "cache-size"),
        raw("s3.no-such-key", vec![("1", false)], "endpoint"),
    ]
}

fn resolve(toml: &str) -> Result<Settings, String> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("gitmoor.toml"), toml).expect("a settings file");
    let data = dir.path().to_str().expect("UTF-8");
    let cli = Cli::try_parse_from(["gitmoor", "mount", "/mnt/git", "--data", data]);
    let cli = cli.expect("the arguments are well-formed");
    let Command::Mount(mount) = cli.command else {
        panic!("it is a mount command");
    };
    let nothing = |_: &str| None::<OsString>;
    Settings::resolve(&cli.place, &mount, &nothing).map_err(|error| error.to_string())
}

proptest! {
    #[test]
    fn a_line_is_taken_exactly_if_it_is_right(line in line()) {
        let toml = format!("{} = {}\n", line.key, line.value);
        match (resolve(&toml), line.wrong) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => {
                let key = line.key.rsplit('.').next().expect("a name");
                prop_assert!(error.contains(key), "names the key: {}", error);
                prop_assert!(error.contains(expected), "says what is expected: {}", error);
                prop_assert!(error.contains("line 1"), "says where: {}", error);
            }
            (result, wrong) => prop_assert!(false, "{}: {:?}, {:?}", toml, result.err(), wrong),
        }
    }

    #[test]
    fn values_mean_what_they_say(
        bytes in 0..1_000_000u64,
        unit in prop::sample::select(vec![("", 1u64), ("KB", 1_000), ("MiB", 1 << 20), ("TB", 1_000_000_000_000)]),
        seconds in 1..100_000u64,
        over in 0..1000usize,
        json in any::<bool>(),
    ) {
        let format = if json { "json" } else { "text" };
        let toml = format!(
            "cache-size = \"{bytes}{}\"\nread-timeout = \"{seconds}s\"\nslow-operation = \"{seconds}ms\"\nbundle-over = {over}\n[log]\nformat = \"{format}\"\n",
            unit.0
        );
        let settings = resolve(&toml).expect("it is right");
        prop_assert_eq!(settings.fs.cache_bytes, bytes * unit.1);
        prop_assert_eq!(settings.fs.read_timeout, Duration::from_secs(seconds));
        prop_assert_eq!(settings.fs.slow_operation, Duration::from_millis(seconds));
        prop_assert_eq!(settings.fs.bundle_over, over);
        prop_assert_eq!(settings.log.format == LogFormat::Json, json);
    }

    #[test]
    fn sizes_do_not_wrap(number in any::<u64>()) {
        let size = format!("{number}KiB").parse::<ByteSize>().ok();
        prop_assert_eq!(size, number.checked_mul(1024).map(ByteSize));
    }

    #[test]
    fn urls_are_written_as_they_are_read(url in "(dir:|s3://|s3:)?[a-z./-]{0,12}") {
        if let Ok(parsed) = url.parse::<StoreUrl>() {
            prop_assert_eq!(parsed.to_string().parse(), Ok(parsed.clone()));
            if let StoreUrl::Dir(path) = &parsed {
                prop_assert_eq!(path.as_path(), Path::new(&url["dir:".len()..]));
            }
        }
    }
}
