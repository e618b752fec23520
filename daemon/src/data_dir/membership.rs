//! `cluster/`: what makes this machine a node of a cluster. Written by `gitmoor cluster
//! init` and `join`, once.
//!
//! ```text
//! authority.der  authority.key   the cluster: whoever has this key can admit nodes
//! node.der       node.key        this node
//! node.toml                      where it listens, where the others were; written last
//! begun                          it has run: its data may not be begun anew
//! ```
//!
//! Certificates are X.509, keys PKCS #8, all DER.

use super::{DataDir, DataDirError, failed, write_durably};
use gitmoor_model::ClusterId;
use gitmoor_replicator::net::{Authority, Identity, NetError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// This machine's part in a cluster.
pub(crate) struct Membership {
    pub identity: Identity,
    /// With which it admits others.
    pub authority: Authority,
    /// Where it is reached.
    pub reached: Reached,
    /// Whether it has run before.
    pub has_begun: bool,
}

/// Where a node is reached, and reaches others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reached {
    /// Of which cluster it is.
    pub cluster: ClusterId,
    /// The address it listens at.
    pub listen: SocketAddr,
    /// Where the others reach it, host:port.
    pub advertise: String,
    /// Where the others were when it joined, by id.
    #[serde(default)]
    pub others: BTreeMap<u64, String>,
}

/// Certificates, which are good for a year, are made anew when they expire so soon, or have.
pub(crate) const RENEWED_BEFORE: Duration = Duration::from_secs(180 * 24 * 3600);

const TOML: &str = "node.toml";
const BEGUN: &str = "begun";

/// `cluster/` of a data directory.
pub(crate) struct ClusterDir<'a>(pub(super) &'a DataDir);

impl ClusterDir<'_> {
    pub(super) fn path(&self) -> PathBuf {
        self.0.path.join("cluster")
    }

    /// A file of what makes this machine a part of one.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>, DataDirError> {
        let path = self.path().join(name);
        let context = || format!("reading {}", path.display());
        std::fs::read(&path).map_err(failed(context))
    }

    /// One of these, or all of them without a name, says nothing that can be used.
    pub(super) fn damaged(&self, name: &str, why: impl ToString) -> DataDirError {
        DataDirError::Membership {
            path: self.path().join(name),
            why: why.to_string(),
        }
    }

    /// Whether the nodes of a cluster have its truth: it is one of them, or a client of theirs.
    pub(crate) fn is_joined(&self) -> bool {
        self.is_member() || self.is_client()
    }

    /// Whether this machine is a node of a cluster.
    pub(crate) fn is_member(&self) -> bool {
        self.path().join(TOML).exists()
    }

    /// Its part; `None` for a machine alone.
    pub(crate) fn membership(&self) -> Result<Option<Membership>, DataDirError> {
        if !self.is_member() {
            return Ok(None);
        }
        let read = |name: &str| self.read(name);
        let toml = String::from_utf8_lossy(&read(TOML)?).into_owned();
        let reached: Reached = toml::from_str(&toml).map_err(|error| self.damaged(TOML, error))?;
        let credential = |error: NetError| self.damaged("", error);
        let certificate = read("authority.der")?;
        let authority = Authority::load(reached.cluster, &read("authority.key")?, &certificate)
            .map_err(credential)?;
        let identity = Identity::load(&read("node.key")?, &read("node.der")?, &certificate)
            .map_err(credential)?;
        Ok(Some(Membership {
            identity,
            authority,
            reached,
            has_begun: self.path().join(BEGUN).exists(),
        }))
    }

    /// Writes it down; after a crash it is there whole or not at all.
    pub(crate) fn write_membership(&self, membership: &Membership) -> Result<(), DataDirError> {
        let Membership {
            identity,
            authority,
            reached,
            has_begun,
        } = membership;
        let dir = self.path();
        self.0.create_dir(&dir)?;
        write_durably(&dir.join("authority.key"), authority.key())?;
        write_durably(&dir.join("authority.der"), authority.certificate())?;
        write_durably(&dir.join("node.key"), identity.key())?;
        self.write_node_certificate(identity)?;
        if *has_begun {
            self.mark_begun()?;
        }
        let toml = toml::to_string(reached).expect("plain tables encode");
        write_durably(&dir.join(TOML), toml.as_bytes())
    }

    /// A new certificate for the same key.
    pub(crate) fn write_node_certificate(&self, identity: &Identity) -> Result<(), DataDirError> {
        write_durably(&self.path().join("node.der"), identity.certificate())
    }

    /// From now on its data must be there.
    pub(crate) fn mark_begun(&self) -> Result<(), DataDirError> {
        match self.path().join(BEGUN) {
            path if path.exists() => Ok(()),
            path => write_durably(&path, b""),
        }
    }

    /// A machine is a node or client of one cluster.
    pub(crate) fn check_no_member(&self) -> Result<(), DataDirError> {
        if self.is_client() {
            return Err(DataDirError::Client(self.0.path.clone()));
        }
        match self.membership()? {
            None => Ok(()),
            Some(Membership { reached, .. }) => Err(DataDirError::Member {
                path: self.0.path.clone(),
                cluster: reached.cluster.to_string(),
            }),
        }
    }

    /// A node that joins gets everything from the others.
    pub(crate) fn check_no_data(&self) -> Result<(), DataDirError> {
        match self.0.has_data() {
            false => Ok(()),
            true => Err(DataDirError::HasData(self.0.path.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gitmoor_replicator::net::Holder;

    fn written() -> (tempfile::TempDir, DataDir) {
        let dir = tempfile::tempdir().expect("a directory");
        let data = DataDir::new(dir.path().to_owned());
        let cluster = ClusterId::random();
        let authority = Authority::found(cluster).expect("a cluster");
        let identity = authority.identity(Holder::Node(7)).expect("a certificate");
        let reached = Reached {
            cluster,
            listen: "127.0.0.1:7400".parse().expect("an address"),
            advertise: "a:7400".to_owned(),
            others: BTreeMap::from([(1, "b:7400".to_owned())]),
        };
        let membership = Membership {
            identity,
            authority,
            reached,
            has_begun: false,
        };
        data.cluster()
            .write_membership(&membership)
            .expect("written");
        (dir, data)
    }

    fn read(data: &DataDir) -> Membership {
        data.cluster()
            .membership()
            .expect("whole")
            .expect("a member")
    }

    #[test]
    fn comes_back_as_it_was() {
        let (_dir, data) = written();
        let membership = read(&data);
        assert_eq!(membership.identity.node(), 7);
        assert_eq!(membership.reached.others[&1], "b:7400");
        assert!(!membership.has_begun);
        data.cluster().mark_begun().expect("written");
        assert!(read(&data).has_begun);
        data.cluster().check_no_member().expect_err("a member");
    }

    #[test]
    fn damage_is_named() {
        let (_dir, data) = written();
        let dir = data.path().join("cluster");
        for (name, bytes) in [
            ("node.key", &b"no key"[..]),
            ("authority.key", b"no key"),
            ("node.der", b"no certificate"),
            ("node.toml", b"cluster = 7"),
        ] {
            let good = std::fs::read(dir.join(name)).expect("read");
            std::fs::write(dir.join(name), bytes).expect("write");
            let error = data.cluster().membership().err();
            let error = error.unwrap_or_else(|| panic!("{name} is taken"));
            assert!(error.to_string().contains("cluster"), "{error}");
            std::fs::write(dir.join(name), good).expect("write");
        }
    }
}
