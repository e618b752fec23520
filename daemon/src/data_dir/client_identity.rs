//! `cluster/` of a client: what makes this machine one. Written by `gitmoor cluster join`.
//!
//! ```text
//! authority.der            the cluster
//! client.der  client.key   this client
//! client.toml              where the nodes are; written last
//! ```

use super::{ClusterDir, DataDirError, write_durably};
use gitmoor_replicator::net::Identity;
use serde::{Deserialize, Serialize};

/// This machine's part in a cluster that it asks.
pub(crate) struct ClientIdentity {
    pub identity: Identity,
    /// Where the nodes are, host:port.
    pub addresses: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nodes {
    addresses: Vec<String>,
}

const TOML: &str = "client.toml";

impl ClusterDir<'_> {
    /// Whether this machine is a client of a cluster.
    pub(crate) fn is_client(&self) -> bool {
        self.path().join(TOML).exists()
    }

    pub(crate) fn client_identity(&self) -> Result<ClientIdentity, DataDirError> {
        let read = |name: &str| self.read(name);
        let toml = String::from_utf8_lossy(&read(TOML)?).into_owned();
        let nodes: Result<Nodes, _> = toml::from_str(&toml);
        let nodes = nodes.map_err(|error| self.damaged(TOML, error))?;
        let (key, certificate) = (read("client.key")?, read("client.der")?);
        let identity = Identity::load(&key, &certificate, &read("authority.der")?);
        Ok(ClientIdentity {
            identity: identity.map_err(|error| self.damaged("", error))?,
            addresses: nodes.addresses,
        })
    }

    /// Writes it down; after a crash it is there whole or not at all.
    pub(crate) fn write_client_identity(
        &self,
        client_identity: &ClientIdentity,
    ) -> Result<(), DataDirError> {
        let dir = self.path();
        self.0.create_dir(&dir)?;
        let identity = &client_identity.identity;
        write_durably(&dir.join("authority.der"), identity.authority())?;
        write_durably(&dir.join("client.key"), identity.key())?;
        self.write_client_certificate(identity)?;
        self.write_nodes(&client_identity.addresses)
    }

    /// A new certificate for the same key.
    pub(crate) fn write_client_certificate(&self, identity: &Identity) -> Result<(), DataDirError> {
        write_durably(&self.path().join("client.der"), identity.certificate())
    }

    /// The nodes are here.
    pub(crate) fn write_nodes(&self, addresses: &[String]) -> Result<(), DataDirError> {
        let addresses = addresses.to_vec();
        let toml = toml::to_string(&Nodes { addresses }).expect("plain tables encode");
        write_durably(&self.path().join(TOML), toml.as_bytes())
    }
}
