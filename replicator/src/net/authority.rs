//! The certificates of a cluster.
//!
//! Every node holds the cluster's key and may admit others: a node has the whole truth
//! and could falsify it, so keeping this key from it would protect nothing. Clients do
//! not get it.

use super::holder::any_node;
use super::{ClusterId, Holder, NetError};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use std::time::{Duration, SystemTime};
use tokio_rustls::rustls::pki_types::{
    CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer,
};
use x509_parser::prelude::{FromDer, X509Certificate};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// The cluster's certificate outlives its machines.
const AUTHORITY_DAYS: u32 = 20 * 365;
/// A node's is renewed long before.
const HOLDER_DAYS: u32 = 365;
/// Certificates are valid from a little before they are made: clocks differ.
const CLOCKS_DIFFER: Duration = Duration::from_secs(3600);

/// The key and certificate that all certificates of a cluster hang on.
pub struct Authority {
    cluster: ClusterId,
    key: KeyPair,
    certificate: CertificateDer<'static>,
}

/// Key and certificate of a node or client, and what it believes others by.
#[derive(Debug)]
pub struct Identity {
    /// The cluster that the certificate is for.
    pub cluster: ClusterId,
    /// The node or client that the certificate names.
    pub holder: Holder,
    /// When the certificate expires.
    pub expires: SystemTime,
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) authority: CertificateDer<'static>,
}

impl Authority {
    /// Of a new cluster.
    pub fn found(cluster: ClusterId) -> Result<Self, NetError> {
        let key = new_key()?;
        let certificate = authority_params(cluster)
            .self_signed(&key)
            .map_err(|error| NetError::credential("the cluster's certificate", error))?;
        Ok(Self {
            cluster,
            key,
            certificate: certificate.into(),
        })
    }

    /// From its key (PKCS #8) and certificate, both DER.
    pub fn load(cluster: ClusterId, key: &[u8], certificate: &[u8]) -> Result<Self, NetError> {
        Ok(Self {
            cluster,
            key: key_of("the cluster's key", key, certificate)?,
            certificate: CertificateDer::from(certificate.to_vec()),
        })
    }

    /// The cluster that this authority admits to.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The certificate as DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Its key, PKCS #8 DER. Whoever has it is the cluster.
    pub fn key(&self) -> &[u8] {
        self.key.serialized_der()
    }

    /// A certificate for the key of a certificate request (DER), of which nothing else counts.
    pub fn certify(&self, holder: Holder, request: &[u8]) -> Result<Vec<u8>, NetError> {
        let what = "the certificate request";
        let request = CertificateSigningRequestDer::from(request);
        let asked = CertificateSigningRequestParams::from_der(&request)
            .map_err(|error| NetError::credential(what, error))?;
        let request = CertificateSigningRequestParams {
            params: holder_params(holder, self.cluster)?,
            public_key: asked.public_key,
        };
        let issuer = Issuer::new(authority_params(self.cluster), &self.key);
        let certificate = request
            .signed_by(&issuer)
            .map_err(|error| NetError::credential(what, error))?;
        Ok(certificate.der().to_vec())
    }

    /// A new certificate for the key that somebody has already.
    pub fn renew(&self, identity: &Identity) -> Result<Identity, NetError> {
        identity.renewed(&self.certify(identity.holder, &identity.request()?)?)
    }

    /// A key and certificate made here.
    pub fn identity(&self, holder: Holder) -> Result<Identity, NetError> {
        let request = CertificateRequest::new()?;
        let certificate = self.certify(holder, request.der())?;
        request.granted(self.certificate(), &certificate)
    }
}

/// A key whose certificate is still to be made.
pub(super) struct CertificateRequest {
    key: KeyPair,
    der: Vec<u8>,
}

impl CertificateRequest {
    pub(super) fn new() -> Result<Self, NetError> {
        let key = new_key()?;
        let der = CertificateParams::default()
            .serialize_request(&key)
            .map_err(|error| NetError::credential("the certificate request", error))?;
        Ok(Self {
            der: der.der().to_vec(),
            key,
        })
    }

    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    pub(super) fn granted(
        self,
        authority: &[u8],
        certificate: &[u8],
    ) -> Result<Identity, NetError> {
        Identity::load(self.key.serialized_der(), certificate, authority)
    }
}

impl Identity {
    /// From key (PKCS #8), certificate, and the cluster's certificate, all DER.
    pub fn load(key: &[u8], certificate: &[u8], authority: &[u8]) -> Result<Self, NetError> {
        key_of("this node's key", key, certificate)?;
        let certificate = CertificateDer::from(certificate.to_vec());
        let named = Named::of(&certificate)?;
        Ok(Self {
            cluster: named.cluster,
            holder: named.holder,
            expires: named.expires,
            certificate,
            key: PrivatePkcs8KeyDer::from(key.to_vec()).into(),
            authority: CertificateDer::from(authority.to_vec()),
        })
    }

    /// The node that it is for.
    pub fn node(&self) -> u64 {
        match self.holder {
            Holder::Node(id) => id,
            Holder::Client(id) => unreachable!("client {id} has no state to serve"),
        }
    }

    /// A certificate request for its key, PKCS #10, DER.
    pub fn request(&self) -> Result<Vec<u8>, NetError> {
        let what = "this node's key";
        let key =
            KeyPair::try_from(self.key()).map_err(|error| NetError::credential(what, error))?;
        let request = CertificateParams::default()
            .serialize_request(&key)
            .map_err(|error| NetError::credential(what, error))?;
        Ok(request.der().to_vec())
    }

    /// The same with another certificate, DER, for its key.
    pub fn renewed(&self, certificate: &[u8]) -> Result<Self, NetError> {
        Self::load(self.key(), certificate, &self.authority)
    }

    /// The cluster's certificate, DER.
    pub fn authority(&self) -> &[u8] {
        &self.authority
    }

    /// The certificate as DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Its key, PKCS #8 DER.
    pub fn key(&self) -> &[u8] {
        self.key.secret_der()
    }
}

/// What a certificate says.
pub(super) struct Named {
    pub(super) cluster: ClusterId,
    pub(super) holder: Holder,
    pub(super) expires: SystemTime,
}

impl Named {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<Self, NetError> {
        let bad = |why: String| NetError::credential("a certificate", why);
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|error| bad(error.to_string()))?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let (holder, cluster) = names
            .iter()
            .flat_map(|names| &names.value.general_names)
            .find_map(|name| match name {
                x509_parser::prelude::GeneralName::DNSName(name) => Holder::parse(name),
                _ => None,
            })
            .ok_or_else(|| bad("it names no node of a cluster".to_owned()))?;
        let expires = parsed.validity().not_after.timestamp().max(0);
        Ok(Self {
            cluster,
            holder,
            expires: SystemTime::UNIX_EPOCH + Duration::from_secs(expires.unsigned_abs()),
        })
    }
}

/// A key, if it is the one of a certificate.
fn key_of(what: &'static str, key: &[u8], certificate: &[u8]) -> Result<KeyPair, NetError> {
    let key = KeyPair::try_from(key).map_err(|error| NetError::credential(what, error))?;
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| NetError::credential("a certificate", error))?;
    if parsed.public_key().raw != key.subject_public_key_info() {
        let why = "it belongs to another certificate";
        return Err(NetError::credential(what, why));
    }
    Ok(key)
}

fn new_key() -> Result<KeyPair, NetError> {
    KeyPair::generate().map_err(|error| NetError::credential("a new key", error))
}

fn authority_params(cluster: ClusterId) -> CertificateParams {
    let mut params = valid_for(AUTHORITY_DAYS);
    let name = format!("gitmoor cluster {cluster}");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn holder_params(holder: Holder, cluster: ClusterId) -> Result<CertificateParams, NetError> {
    let mut params = valid_for(HOLDER_DAYS);
    params
        .distinguished_name
        .push(DnType::CommonName, holder.to_string());
    params.subject_alt_names = names(holder, cluster)?;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    Ok(params)
}

fn names(holder: Holder, cluster: ClusterId) -> Result<Vec<SanType>, NetError> {
    let mut names = vec![holder.name(cluster)];
    if let Holder::Node(_) = holder {
        names.push(any_node(cluster));
    }
    let name = |name: String| {
        let name = name.try_into().map(SanType::DnsName);
        name.map_err(|error| NetError::credential("the name of a certificate", error))
    };
    names.into_iter().map(name).collect()
}

fn valid_for(days: u32) -> CertificateParams {
    let now = SystemTime::now();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = (now - CLOCKS_DIFFER).into();
    params.not_after = (now + DAY * days).into();
    params
}
