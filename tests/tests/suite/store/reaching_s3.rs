//! How a client reaches an S3 store otherwise than every other test does: with the keys
//! of the usual AWS chain, which a real server checks, and over HTTPS.

use gitmoor_tests::backend::{Kind, Store};
use gitmoor_tests::git::Installed;
use gitmoor_tests::history;
use gitmoor_tests::mount::{Mounted, Settings};
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use gitmoor_tests::s3::{FakeS3, Tls};
use std::fs;
use std::sync::Arc;

fn value<'a>(settings: &'a Settings, name: &str) -> &'a str {
    let found = settings.env.iter().find(|(key, _)| key == name);
    found.map_or_else(|| panic!("no {name}"), |(_, value)| value)
}

fn works(change: fn(Settings) -> Settings) {
    let place = Place::with(Kind::Garage, &Installed::newest(), change);
    let (bare, work) = place.pushed("app.git", 3);
    place.cool();
    assert_eq!(bare.oid("main"), work.oid("main"));
    bare.fsck();
}

#[test]
fn aws_environment() {
    works(|settings| {
        let names = [
            ("AWS_ENDPOINT_URL_S3", "S3_ENDPOINT"),
            ("AWS_REGION", "S3_REGION"),
            ("AWS_ACCESS_KEY_ID", "S3_ACCESS_KEY_ID"),
            ("AWS_SECRET_ACCESS_KEY", "S3_SECRET_ACCESS_KEY"),
        ];
        let env = names.map(|(aws, ours)| (aws.to_owned(), value(&settings, ours).to_owned()));
        Settings {
            env: env.into(),
            ..settings
        }
    });
}

#[test]
fn aws_profile() {
    works(|settings| {
        let dir = settings.log.parent().expect("a directory");
        let (keys, config) = (dir.join("aws-credentials"), dir.join("aws-config"));
        let lines = format!(
            "[tests]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            value(&settings, "S3_ACCESS_KEY_ID"),
            value(&settings, "S3_SECRET_ACCESS_KEY"),
        );
        fs::write(&keys, lines).expect("credentials");
        let region = value(&settings, "S3_REGION");
        fs::write(&config, format!("[profile tests]\nregion = {region}\n")).expect("config");
        let toml = format!("s3.endpoint = \"{}\"\n", value(&settings, "S3_ENDPOINT"));
        let env = [
            ("AWS_PROFILE", "tests".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", keys.display().to_string()),
            ("AWS_CONFIG_FILE", config.display().to_string()),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value));
        Settings {
            env: env.into(),
            toml,
            ..settings
        }
    });
}

/// The daemon trusts what the system trusts, here one certificate more, and nobody else.
#[test]
fn https() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let server = FakeS3::start();
    let pem = dir.path().join("certificate.pem");
    let tls = Tls::start(server.address(), &pem);
    let store = Store::S3s(Arc::new(server));
    let mut settings = store.settings(dir.path());
    let endpoint = settings
        .env
        .iter_mut()
        .find(|(key, _)| key == "S3_ENDPOINT");
    endpoint.expect("it has one").1 = tls.endpoint();
    fs::create_dir(&settings.at).expect("mkdir");
    let at = settings
        .at
        .to_str()
        .expect("the tests' own paths are UTF-8")
        .to_owned();
    let refused = settings.gitmoor(&["mount", "--store", &settings.store, &at]);
    let said = report(&refused);
    assert!(
        !refused.status.success() && said.contains("certificate"),
        "{said}"
    );
    assert!(said.contains(&tls.endpoint()), "{said}");
    let pem = pem
        .to_str()
        .expect("the tests' own paths are UTF-8")
        .to_owned();
    settings.env.push(("SSL_CERT_FILE".to_owned(), pem));
    let mount = Mounted::start(settings);
    let git = Installed::newest().with_home(&dir.path().join("home"));
    let bare = git.at(mount.path().join("app.git"));
    git.at(dir.path())
        .ok(format!("init --quiet --bare {}", bare.path()));
    bare.import(&history::commits(2));
    bare.fsck();
}
