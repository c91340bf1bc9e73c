//! What `SSL_GET` shows of the director, read from the files of the `SSL` block. Looks at no server.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::tls;
use crate::config::Config;
use crate::config::model::TlsFiles;
use crate::config::model::check::{HttpProbe, Probe};
use crate::io::files;

/// How TLS is spoken, without and with the name of the server.
#[derive(Clone, Debug)]
pub struct Credentials([Arc<ClientConfig>; 2]);

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{what} {} of the `SSL` block cannot be read: {error}", path.display())]
    Unreadable { what: &'static str, path: PathBuf, error: io::Error },
    #[error("{} of the `SSL` block has no certificate: it is to have one or more in PEM", path.display())]
    NoCertificate { path: PathBuf },
    #[error("{} of the `SSL` block is not PEM: {error}", path.display())]
    NotPem { path: PathBuf, error: &'static str },
    #[error("the key {} of the `SSL` block is encrypted: decrypt it, as with `openssl pkey -in OLD -out NEW`", path.display())]
    Encrypted { path: PathBuf },
    #[error("the key {} of the `SSL` block cannot be used: {error}", path.display())]
    Unusable { path: PathBuf, error: rustls::Error },
    #[error("the key {} of the `SSL` block is not that of the certificate", path.display())]
    OfAnother { path: PathBuf },
}

impl Credentials {
    /// None at all.
    ///
    /// # Errors
    /// Where the library speaks no TLS.
    pub fn none() -> anyhow::Result<Self> {
        Self::of(None).context("no TLS")
    }

    /// Reads the files that `config` names, if it or `file`, whose services may come back, has a check that speaks TLS.
    ///
    /// # Errors
    /// When one cannot be read, or is not what it should be. keepalived ends then.
    pub fn load(config: &Config, file: &Config) -> anyhow::Result<Self> {
        match config.tls.as_ref().filter(|_| speaks(config) || speaks(file)) {
            Some(files) => Ok(Self::of(identity(files)?)?),
            None => Self::none(),
        }
    }

    /// With the name of the server in the handshake, or without.
    pub(super) fn client(&self, sni: bool) -> Arc<ClientConfig> {
        Arc::clone(&self.0[usize::from(sni)])
    }

    fn of(identity: Option<CertifiedKey>) -> Result<Self, rustls::Error> {
        let identity = identity.map(|identity| Arc::new(SingleCertAndKey::from(identity)));
        Ok(Self([Arc::new(tls::config(false, identity.clone())?), Arc::new(tls::config(true, identity)?)]))
    }
}

/// Does it have a check that speaks TLS?
fn speaks(config: &Config) -> bool {
    let checkers = config.served().flat_map(|service| service.pool()).flat_map(|server| &server.checkers);
    let mut probes = checkers.map(|checker| &checker.probe);
    probes.any(|probe| matches!(probe, Probe::Http(HttpProbe { tls: Some(_), .. })))
}

/// The certificate with its key, where there are both.
fn identity(files: &TlsFiles) -> Result<Option<CertifiedKey>, Error> {
    if let Some(path) = &files.ca {
        certificates("the certificates", path)?;
    }
    let chain = files.certificate.as_ref().map(|path| certificates("the certificate", path)).transpose()?;
    let Some(path) = &files.key else { return Ok(None) };
    let key = key(path)?;
    let Some(chain) = chain else { return Ok(None) };
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(Error::OfAnother { path: path.clone() })
        }
        // Of the others, such as certificates of the first version, it is the server that judges.
        Ok(()) | Err(_) => Ok(Some(certified)),
    }
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(what, path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = read.map_err(|error| Error::NotPem { path: path.to_owned(), error: fault(&error) })?;
    if certificates.is_empty() {
        Err(Error::NoCertificate { path: path.to_owned() })
    } else {
        Ok(certificates)
    }
}

fn key(path: &Path) -> Result<Arc<dyn rustls::sign::SigningKey>, Error> {
    let text = read("the key", path)?;
    if text.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED) {
        return Err(Error::Encrypted { path: path.to_owned() });
    }
    let der = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|error| Error::NotPem { path: path.to_owned(), error: fault(&error) })?;
    let provider: CryptoProvider = tls::provider();
    let key = provider.key_provider.load_private_key(der);
    key.map_err(|error| Error::Unusable { path: path.to_owned(), error })
}

/// What is wrong, without a word of the file: its error says what it found, which may be the key.
const fn fault(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "a line that should begin a section does not",
        pem::Error::Base64Decode(_) => "what is in a section is not base64",
        pem::Error::NoItemsFound => "it has none",
        _ => "it cannot be read",
    }
}

/// Stands in the first line of an encrypted key, or in one of the next.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    files::bytes(path).map_err(|error| Error::Unreadable { what, path: path.to_owned(), error })
}
