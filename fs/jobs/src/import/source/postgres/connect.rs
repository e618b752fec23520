//! The connection. TLS is asked for in the URL, in libpq's words; the server must then prove its name, whichever of
//! these words it is: a connection that anybody may stand in needs no encryption either.

use super::super::super::ImportError;
use super::tables::{Database, failed};
use percent_encoding::percent_decode_str;
use postgres::{Client, Config, NoTls};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn connect(database: &Database) -> Result<Client, ImportError> {
    let asked = Asked::of(database.url.secret());
    let config = asked.url.parse::<Config>();
    let mut config = config.map_err(|error| failed(database, &error))?;
    config.connect_timeout(TIMEOUT).application_name("gitmoor");
    let client = match asked.tls {
        false => config.connect(NoTls),
        true => {
            let roots = roots(asked.authorities.as_deref());
            let roots = roots.map_err(|reason| ImportError::Damaged {
                path: PathBuf::from(database.url.to_string()),
                reason,
            })?;
            config.connect(verifying(roots))
        }
    };
    client.map_err(|error| failed(database, &error))
}

/// What a URL asks for.
#[derive(PartialEq, Eq, Debug)]
struct Asked {
    /// With the words that [`Config`] knows.
    url: String,
    tls: bool,
    /// A PEM file; the system's when there is none.
    authorities: Option<PathBuf>,
}

impl Asked {
    /// libpq's `sslmode` and `sslrootcert`; everything else is left to [`Config`].
    fn of(url: &str) -> Self {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut tls, mut authorities) = (false, None);
        let mut others = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", "require" | "verify-ca" | "verify-full")) => tls = true,
                Some(("sslrootcert", path)) => {
                    let path = percent_decode_str(path).decode_utf8_lossy();
                    authorities = Some(PathBuf::from(path.into_owned()));
                }
                _ => others.push(parameter),
            }
        }
        if tls {
            others.push("sslmode=require");
        }
        let url = match others.is_empty() {
            true => base.to_owned(),
            false => format!("{base}?{}", others.join("&")),
        };
        Self {
            url,
            tls,
            authorities,
        }
    }
}

/// Who may vouch for the server.
fn roots(file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(file) = file else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        return match roots.is_empty() {
            false => Ok(roots),
            true => Err(
                "this machine knows no certificate authorities; name some with sslrootcert=FILE"
                    .to_owned(),
            ),
        };
    };
    let wrong = |error: &dyn std::fmt::Display| format!("sslrootcert {}: {error}", file.display());
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    match roots.is_empty() {
        false => Ok(roots),
        true => Err(wrong(&"there is no certificate in it")),
    }
}

fn verifying(roots: RootCertStore) -> MakeRustlsConnect {
    let provider = ring::default_provider().into();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    MakeRustlsConnect::new(config)
}

#[cfg(test)]
mod tests {
    use super::Asked;
    use std::path::PathBuf;

    #[test]
    fn what_a_url_asks_for() {
        let asked = |url: &str, tls, authorities: Option<&str>| Asked {
            url: url.to_owned(),
            tls,
            authorities: authorities.map(PathBuf::from),
        };
        let plain = "postgres://me@db/app";
        let required = "postgres://me@db/app?sslmode=require";
        for (url, expected) in [
            (plain.to_owned(), asked(plain, false, None)),
            (format!("{plain}?"), asked(plain, false, None)),
            (
                format!("{plain}?sslmode=require"),
                asked(required, true, None),
            ),
            (
                format!("{plain}?sslmode=verify-full"),
                asked(required, true, None),
            ),
            (
                format!("{plain}?sslmode=verify-ca&sslrootcert=%2Fca%20s.pem"),
                asked(required, true, Some("/ca s.pem")),
            ),
            (
                format!("{plain}?options=-c%20a=b&sslmode=verify-full"),
                asked(
                    "postgres://me@db/app?options=-c%20a=b&sslmode=require",
                    true,
                    None,
                ),
            ),
            (
                format!("{plain}?sslmode=disable"),
                asked("postgres://me@db/app?sslmode=disable", false, None),
            ),
            (
                format!("{plain}?sslmode=maybe"),
                asked("postgres://me@db/app?sslmode=maybe", false, None),
            ),
        ] {
            assert_eq!(Asked::of(&url), expected, "{url}");
        }
    }
}
